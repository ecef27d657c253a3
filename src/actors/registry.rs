//! `ClassRegistry`: the handle through which operations reach class and schema actors. One for each
//! app, shared by all workers; implements [`ClassDirectory`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use actix::{Actor, Addr};
use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::ask;
use super::class::{Admit, ClassActor, ClassSlot};
use super::schema::{AddFields, Change, Create, Delete, Refresh, SchemaActor, ServerProtected, Slots};
use crate::error::{Error, Result};
use crate::operations::ClassSnapshot;
use crate::operations::services::{ClassDirectory, SchemaChange};
use crate::storage::StorageAdapter;
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, Field, FieldName};

/// A class nobody knows is looked up in storage at most this often (all classes in one statement):
/// a parse-server beside us may have created it without telling.
const MISS_REFRESH_MS: i64 = 1000;

pub struct ClassRegistry {
    /// Tells this app's replicas from another's on the same thread.
    number: u64,
    slots: Arc<Slots>,
    schema: Addr<SchemaActor>,
    last_miss_refresh: AtomicI64,
}

impl ClassRegistry {
    /// Loads every schema and starts the schema actor on the current arbiter.
    ///
    /// # Errors
    /// When storage cannot be read.
    pub async fn start(storage: Arc<dyn StorageAdapter>, protected: ServerProtected) -> Result<Arc<Self>> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let slots: Arc<Slots> = Arc::new(ArcSwap::from_pointee(HashMap::new()));
        let schemas = storage.load_schemas().await?;
        let actor = SchemaActor::new(storage, slots.clone(), Arc::new(protected), schemas);
        Ok(Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            slots,
            schema: actor.start(),
            last_miss_refresh: AtomicI64::new(Millis::now().0),
        }))
    }

    fn slot(&self, class: &ClassName) -> Option<Arc<ClassSlot>> {
        self.slots.load().get(class).cloned()
    }

    async fn ask_replica(
        &self,
        class: &ClassName,
        slot: &Arc<ClassSlot>,
    ) -> Result<Option<Arc<ClassSnapshot>>> {
        let replica = ClassActor::replica(self.number, class, slot);
        match replica.send(Admit).await {
            Ok(snapshot) => Ok(snapshot),
            // It stopped for idleness between our look-up and the message: the slot has the answer.
            Err(_) => Ok(slot.load()),
        }
    }
}

#[async_trait(?Send)]
impl ClassDirectory for ClassRegistry {
    async fn admit(&self, class: &ClassName) -> Result<Option<Arc<ClassSnapshot>>> {
        if let Some(slot) = self.slot(class)
            && let Some(snapshot) = self.ask_replica(class, &slot).await?
        {
            return Ok(Some(snapshot));
        }
        let now = Millis::now().0;
        let last = self.last_miss_refresh.load(Ordering::Relaxed);
        let due = now - last >= MISS_REFRESH_MS
            && self
                .last_miss_refresh
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !due {
            return Ok(None);
        }
        ask(&self.schema, Refresh { class: None }).await?;
        match self.slot(class) {
            Some(slot) => self.ask_replica(class, &slot).await,
            None => Ok(None),
        }
    }

    async fn evolve(&self, class: &ClassName, fields: &[(FieldName, Field)]) -> Result<Arc<ClassSnapshot>> {
        ask(&self.schema, AddFields { class: class.clone(), fields: fields.to_vec() }).await
    }

    async fn list(&self) -> Result<Vec<Arc<ClassSnapshot>>> {
        ask(&self.schema, Refresh { class: None }).await?;
        let mut classes: Vec<_> = self.slots.load().values().filter_map(|slot| slot.load()).collect();
        classes.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(classes)
    }

    async fn reload(&self, class: &ClassName) -> Result<Option<Arc<ClassSnapshot>>> {
        ask(&self.schema, Refresh { class: Some(class.clone()) }).await?;
        Ok(self.slot(class).and_then(|slot| slot.load()))
    }

    async fn create(&self, schema: ClassSchema) -> Result<Arc<ClassSnapshot>> {
        ask(&self.schema, Create(schema)).await
    }

    async fn change(&self, class: &ClassName, change: SchemaChange) -> Result<Arc<ClassSnapshot>> {
        ask(&self.schema, Change { class: class.clone(), change }).await
    }

    async fn delete(&self, class: &ClassName) -> Result<()> {
        ask(&self.schema, Delete(class.clone())).await
    }

    async fn refresh(&self, class: &ClassName) -> Result<()> {
        if self.schema.connected() {
            return ask(&self.schema, Refresh { class: Some(class.clone()) }).await;
        }
        Err(Error::internal("the schema actor has stopped"))
    }
}
