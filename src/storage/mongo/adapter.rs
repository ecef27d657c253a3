//! The whole database, as the storage traits name it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, doc};
use mongodb::options::FindOptions;
use serde_json::{Map, Value};

use super::MongoAdapter;
use super::layout::rest_json;
use crate::pubsub::PubSub;
use crate::storage::changes::ChangeFeed;
use crate::storage::push::PushLedger;
use crate::storage::{
    FileStoreProvider, IndexMap, See, Session, StartupIndexes, StorageAdapter, StorageResult, Transaction,
    WorkQueue,
};
use crate::types::{ClassName, ClassSchema, Field, FieldName, RowSet};

/// Classes that have a document in `_SCHEMA` from the start.
const START_CLASSES: &[&str] = &["_User", "_Role", "_Idempotency"];

/// How long the closing of connections may take.
const CLOSING: Duration = Duration::from_secs(5);

#[async_trait]
impl StorageAdapter for MongoAdapter {
    async fn initialize(&self) -> StorageResult<()> {
        let known = self.schemas(Document::new()).await?;
        for name in START_CLASSES {
            if !known.iter().any(|schema| schema.name == *name) {
                self.make_class(&ClassSchema::with_defaults(ClassName::known(name))).await?;
            }
        }
        self.prepare_own().await?;
        self.note_real_indexes().await
    }

    async fn ensure_small_indexes(
        &self,
        options: &StartupIndexes,
        _providers: &[String],
    ) -> StorageResult<()> {
        self.make_small(options).await
    }

    async fn ensure_indexes(&self, options: &StartupIndexes, providers: &[String]) -> StorageResult<()> {
        self.make_all(options, providers).await
    }

    async fn migration_turn(&self) -> StorageResult<Option<Box<dyn std::any::Any + Send>>> {
        Ok(Some(Box::new(self.take_migration_turn().await?)))
    }

    async fn load_schemas(&self) -> StorageResult<Vec<ClassSchema>> {
        self.schemas(Document::new()).await
    }

    async fn load_schema(&self, class: &ClassName) -> StorageResult<Option<ClassSchema>> {
        self.schema(class).await
    }

    async fn create_class(&self, schema: &ClassSchema) -> StorageResult<ClassSchema> {
        self.make_class(schema).await
    }

    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        self.make_fields(class, fields).await
    }

    async fn set_field_options(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        self.change_options(class, fields).await
    }

    async fn delete_fields(&self, class: &ClassName, fields: &[FieldName]) -> StorageResult<ClassSchema> {
        self.drop_fields(class, fields).await
    }

    async fn set_permissions(
        &self,
        class: &ClassName,
        clp: &Map<String, Value>,
    ) -> StorageResult<ClassSchema> {
        self.change_permissions(class, clp).await
    }

    async fn set_indexes(
        &self,
        class: &ClassName,
        create: &IndexMap,
        drop: &[String],
    ) -> StorageResult<ClassSchema> {
        self.change_indexes(class, create, drop).await
    }

    async fn delete_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        self.drop_class(schema).await
    }

    async fn purge_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        self.empty_class(schema).await
    }

    async fn begin(&self) -> StorageResult<Box<dyn Transaction>> {
        Ok(Box::new(self.start().await?))
    }

    fn pubsub(&self) -> Option<Arc<dyn PubSub>> {
        self.pubsub.clone().map(|pubsub| pubsub as _)
    }

    fn file_stores(&self) -> Option<&dyn FileStoreProvider> {
        Some(self)
    }

    fn work_queue(&self) -> Option<&dyn WorkQueue> {
        Some(self)
    }

    /// What belongs together is written in transactions.
    fn push_ledger(&self) -> Option<&dyn PushLedger> {
        self.core.has_transactions.then_some(self as _)
    }

    fn change_feed(&self) -> Option<&dyn ChangeFeed> {
        self.core.has_transactions.then_some(self as _)
    }

    async fn scan(
        &self,
        class: &Arc<ClassSchema>,
        after: Option<&str>,
        columns: Option<&[FieldName]>,
        most: u64,
    ) -> StorageResult<(RowSet, Option<String>)> {
        self.scanned(class, after, columns, most).await
    }

    async fn beside_classes(&self) -> StorageResult<Vec<String>> {
        self.beside().await
    }

    async fn visit_texts(&self, see: See<'_>) -> StorageResult<()> {
        let names = self.core.timed(self.core.db.list_collection_names()).await?;
        let ours = names.iter().filter_map(|name| name.strip_prefix(self.core.prefix.as_str()));
        // Files are what is looked for, not where.
        let ours = ours.filter(|name| !name.starts_with("fs.") && !name.starts_with("system."));
        for name in ours {
            let collection = self.core.collection(name);
            self.each(&collection, Document::new(), FindOptions::default(), |document| {
                let mut text = Vec::new();
                rest_json::write(&mut text, bson::RawBsonRef::Document(document));
                if let Ok(text) = std::str::from_utf8(&text) {
                    see(text);
                }
                true
            })
            .await?;
        }
        Ok(())
    }

    fn as_session(&self) -> &dyn Session {
        self
    }

    async fn ping(&self) -> StorageResult<()> {
        self.core.timed(self.core.db.run_command(doc! { "ping": 1 })).await?;
        Ok(())
    }

    fn report(&self, page: &mut crate::metrics::Page) {
        self.core.statements.report(page);
    }

    async fn close(&self) {
        if let Some(pubsub) = &self.pubsub {
            pubsub.close();
        }
        // What is still open may be waiting for a server that is away.
        let _ = tokio::time::timeout(CLOSING, self.core.client.clone().shutdown()).await;
    }
}
