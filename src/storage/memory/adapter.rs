//! The whole database, and an open transaction on it, which is a copy.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use indexmap::IndexMap as Ordered;
use serde_json::{Map, Value};

use super::{MemoryAdapter, other, work};
use crate::storage::{
    Enqueue, IndexMap, See, Session, StartupIndexes, StorageAdapter, StorageError, StorageResult,
    Transaction, WorkQueue,
};
use crate::types::{ClassName, ClassSchema, Clp, Field, FieldName};

#[async_trait]
impl Transaction for MemoryAdapter {
    async fn commit(self: Box<Self>) -> StorageResult<()> {
        let Some((origin, began)) = &self.origin else { return Ok(()) };
        let mut shared = origin.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.version != *began {
            return Err(StorageError::Conflict(other("something else was written meanwhile")));
        }
        *shared = self.state().clone();
        self.work.commit(&self.pending);
        Ok(())
    }

    async fn rollback(self: Box<Self>) -> StorageResult<()> {
        Ok(())
    }

    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        StorageAdapter::add_fields(self, class, fields).await
    }

    fn work(&self) -> Option<&dyn Enqueue> {
        Some(self)
    }

    /// Refused statements never change anything here.
    fn survive_refusals(&self) -> bool {
        true
    }

    fn as_session(&self) -> &dyn Session {
        self
    }
}

#[async_trait]
impl StorageAdapter for MemoryAdapter {
    async fn initialize(&self) -> StorageResult<()> {
        for name in ["_User", "_Role"] {
            self.create_class(&ClassSchema::with_defaults(ClassName::known(name))).await?;
        }
        Ok(())
    }

    async fn ensure_small_indexes(
        &self,
        _options: &StartupIndexes,
        _providers: &[String],
    ) -> StorageResult<()> {
        Ok(())
    }

    async fn ensure_indexes(&self, _options: &StartupIndexes, _providers: &[String]) -> StorageResult<()> {
        Ok(())
    }

    async fn visit_texts(&self, see: See<'_>) -> StorageResult<()> {
        let state = self.state();
        for field in state.schemas.values().flat_map(|schema| schema.fields.values()) {
            if let Some(default) = &field.default_value {
                see(&default.to_string());
            }
        }
        for object in state.rows.values().flat_map(|rows| rows.values()) {
            see(&Value::Object(object.clone()).to_string());
        }
        Ok(())
    }

    async fn load_schemas(&self) -> StorageResult<Vec<ClassSchema>> {
        Ok(self.state().schemas.values().cloned().collect())
    }

    async fn load_schema(&self, class: &ClassName) -> StorageResult<Option<ClassSchema>> {
        Ok(self.state().schemas.get(class).cloned())
    }

    async fn create_class(&self, schema: &ClassSchema) -> StorageResult<ClassSchema> {
        let mut state = self.state();
        state.version += 1;
        Ok(state.schemas.entry(schema.name.clone()).or_insert_with(|| schema.clone()).clone())
    }

    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        self.state().edit(class, |schema| {
            for (name, field) in fields {
                schema.fields.entry(name.clone()).or_insert_with(|| field.clone());
            }
        })
    }

    async fn set_field_options(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        self.state().edit(class, |schema| schema.fields.extend(fields.iter().cloned()))
    }

    async fn delete_fields(&self, class: &ClassName, fields: &[FieldName]) -> StorageResult<ClassSchema> {
        let mut state = self.state();
        for name in fields {
            state.joins.remove(&ClassName::join(name, class));
            for row in state.rows.get_mut(class).into_iter().flat_map(Ordered::values_mut) {
                row.shift_remove(name.as_str());
            }
        }
        state.edit(class, |schema| schema.fields.retain(|name, _| !fields.contains(name)))
    }

    async fn set_permissions(
        &self,
        class: &ClassName,
        clp: &Map<String, Value>,
    ) -> StorageResult<ClassSchema> {
        self.state().edit(class, |schema| schema.clp = Some(Clp::from_json(clp)))
    }

    async fn set_indexes(
        &self,
        class: &ClassName,
        create: &IndexMap,
        drop: &[String],
    ) -> StorageResult<ClassSchema> {
        self.state().edit(class, |schema| {
            let primary = || ("_id_".to_owned(), serde_json::json!({ "_id": 1 }));
            if schema.indexes.is_empty() {
                schema.indexes.extend([primary()]);
            }
            schema.indexes.retain(|name, _| !drop.contains(name));
            schema.indexes.extend(create.clone());
        })
    }

    async fn delete_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        self.purge_class(schema).await?;
        self.state().schemas.shift_remove(&schema.name);
        Ok(())
    }

    async fn purge_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        let mut state = self.state();
        state.version += 1;
        state.rows.remove(&schema.name);
        for name in schema.fields.keys() {
            state.joins.remove(&ClassName::join(name, &schema.name));
        }
        Ok(())
    }

    fn work_queue(&self) -> Option<&dyn WorkQueue> {
        Some(self)
    }

    async fn begin(&self) -> StorageResult<Box<dyn Transaction>> {
        let copy = self.state().clone();
        let origin = Some((self.state.clone(), copy.version));
        let state = Arc::new(Mutex::new(copy));
        Ok(Box::new(Self { state, origin, work: self.work.clone(), pending: work::Pending::default() }))
    }

    fn as_session(&self) -> &dyn Session {
        self
    }

    async fn ping(&self) -> StorageResult<()> {
        Ok(())
    }

    async fn close(&self) {}
}
