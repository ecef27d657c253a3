//! `ClassRegistry`: the handle through which operations reach class and schema actors. One for each
//! app, shared by all workers; implements [`ClassDirectory`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Addr};
use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::class::{Admit, ClassActor, ClassSlot};
use super::freshness::Freshness;
use super::schema::{AddFields, Change, Create, Delete, Refresh, SchemaActor, ServerProtected, Slots};
use super::{ASK_DEADLINE, ask};
use crate::error::{Error, Result};
use crate::operations::ClassSnapshot;
use crate::operations::ports::{ClassDirectory, IndexChange, SchemaChange};
use crate::storage::{IndexMap, StorageAdapter};
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, Field, FieldName};

/// A class nobody knows is looked up in storage at most this often (all classes in one statement):
/// a parse-server beside us may have created it without telling.
const MISS_REFRESH_MS: i64 = 1000;

pub struct ClassRegistry {
    /// Tells this app's replicas from another's on the same thread.
    number: u64,
    slots: Arc<Slots>,
    freshness: Arc<Freshness>,
    storage: Arc<dyn StorageAdapter>,
    schema: Addr<SchemaActor>,
    last_miss_refresh: AtomicI64,
}

impl ClassRegistry {
    /// Loads every schema and starts the schema actor on the current arbiter. Schemas are read again
    /// after `ttl`, whether or not somebody tells of a change.
    ///
    /// # Errors
    /// When storage cannot be read.
    pub async fn start(
        storage: Arc<dyn StorageAdapter>,
        protected: ServerProtected,
        ttl: Option<Duration>,
    ) -> Result<Arc<Self>> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let slots: Arc<Slots> = Arc::new(ArcSwap::from_pointee(HashMap::new()));
        let freshness = Arc::new(Freshness::new(slots.clone(), ttl));
        let read = (freshness.number(), storage.load_schemas().await?);
        let actor =
            SchemaActor::new(storage.clone(), slots.clone(), freshness.clone(), Arc::new(protected), read);
        Ok(Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            slots,
            freshness,
            storage,
            schema: actor.start(),
            last_miss_refresh: AtomicI64::new(Millis::now().0),
        }))
    }

    fn slot(&self, class: &ClassName) -> Option<Arc<ClassSlot>> {
        self.slots.load().get(class).cloned()
    }

    /// Reads a class again whose snapshot may be wrong. Those who come meanwhile share the read, if it
    /// began after they came.
    async fn renew(&self, class: &ClassName, slot: &ClassSlot) -> Result<()> {
        let needed = self.freshness.needed(slot);
        let renewal = async {
            let _turn = slot.renewal().await;
            if slot.read() > needed {
                return Ok(());
            }
            ask(&self.schema, Refresh { class: Some(class.clone()) }).await
        };
        let overdue = |_| Err(Error::internal("the permissions of a class could not be read in time"));
        tokio::time::timeout(ASK_DEADLINE, renewal).await.unwrap_or_else(overdue)
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
        if let Some(slot) = self.slot(class) {
            if !self.freshness.covers(&slot) {
                self.renew(class, &slot).await?;
            }
            if let Some(snapshot) = self.ask_replica(class, &slot).await? {
                return Ok(Some(snapshot));
            }
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

    async fn change(&self, class: &ClassName, mut change: SchemaChange) -> Result<Arc<ClassSnapshot>> {
        let indexes = change.indexes.take();
        if let Some(IndexChange { create, drop }) = indexes {
            if !change.is_empty() {
                ask(&self.schema, Change { class: class.clone(), change }).await?;
            }
            return self.change_indexes(class.clone(), create, drop).await;
        }
        ask(&self.schema, Change { class: class.clone(), change }).await
    }

    async fn delete(&self, class: &ClassName) -> Result<()> {
        ask(&self.schema, Delete(class.clone())).await
    }

    async fn refresh(&self, class: &ClassName) -> Result<()> {
        self.freshness.mark(class);
        let outcome = self.read_again(class).await;
        if outcome.is_err() {
            self.freshness.changed(Some(class));
        }
        outcome
    }
}

impl ClassRegistry {
    async fn read_again(&self, class: &ClassName) -> Result<()> {
        if self.schema.connected() {
            return ask(&self.schema, Refresh { class: Some(class.clone()) }).await;
        }
        Err(Error::internal("the schema actor has stopped"))
    }

    /// A build takes as long as the table is large, and waits for every transaction that wrote to it:
    /// only the caller waits for that, and nobody does when he goes away.
    async fn change_indexes(
        &self,
        class: ClassName,
        create: IndexMap,
        drop: Vec<String>,
    ) -> Result<Arc<ClassSnapshot>> {
        let (storage, schema, freshness) =
            (self.storage.clone(), self.schema.clone(), self.freshness.clone());
        let name = class.clone();
        let work = actix::spawn(async move {
            let outcome = storage.set_indexes(&name, &create, &drop).await;
            freshness.mark(&name);
            let read = ask(&schema, Refresh { class: Some(name.clone()) }).await;
            if read.is_err() {
                freshness.changed(Some(&name));
            }
            outcome.map_err(Error::from).and(read)
        });
        work.await.map_err(|error| Error::internal(format!("an index build failed: {error}")))??;
        let slot = self.slot(&class);
        slot.and_then(|slot| slot.load()).ok_or_else(|| Error::internal("the class was deleted meanwhile"))
    }
}
