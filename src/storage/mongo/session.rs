//! Reads and writes on objects, as the storage traits name them; outside or inside a transaction.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::MongoAdapter;
use crate::query::{FindHints, FindSpec, Pipeline};
use crate::storage::{
    AggregateOptions, Changed, Related, RelationQuery, Returning, Session, StorageResult, Target,
};
use crate::types::path::FieldPath;
use crate::types::update::RelationChange;
use crate::types::{ClassName, ClassSchema, FieldName, Object, ObjectId, RowSet, Update};

#[async_trait]
impl Session for MongoAdapter {
    async fn find(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<RowSet> {
        self.find_rows(class, spec).await
    }

    async fn find_by_ids(
        &self,
        class: &Arc<ClassSchema>,
        ids: &[String],
        readers: Option<&Arc<[String]>>,
        columns: Option<&[FieldName]>,
        hints: &FindHints,
    ) -> StorageResult<RowSet> {
        self.find_ids(class, ids, readers, columns, hints).await
    }

    async fn count(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<u64> {
        self.count_rows(class, spec).await
    }

    async fn distinct(
        &self,
        class: &Arc<ClassSchema>,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        self.distinct_values(class, path, spec).await
    }

    async fn aggregate(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &Pipeline,
        options: &AggregateOptions,
    ) -> StorageResult<Vec<Object>> {
        self.aggregated(class, pipeline, options).await
    }

    async fn explain(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<Value> {
        self.plan_of(class, spec).await
    }

    async fn create(&self, class: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()> {
        self.insert(class, rows).await
    }

    async fn update(
        &self,
        class: &Arc<ClassSchema>,
        target: &Target,
        update: &Update,
        returning: Returning,
    ) -> StorageResult<Changed> {
        self.update_rows(class, target, update, returning).await
    }

    async fn delete(
        &self,
        class: &Arc<ClassSchema>,
        target: &Target,
        returning_before: bool,
    ) -> StorageResult<Changed> {
        self.delete_rows(class, target, returning_before).await
    }

    async fn change_relations(
        &self,
        class: &ClassName,
        owner: &ObjectId,
        changes: &[RelationChange],
    ) -> StorageResult<()> {
        self.change_members(class, owner, changes).await
    }

    async fn create_related(
        &self,
        class: &Arc<ClassSchema>,
        row: &Object,
        related: &Related,
    ) -> StorageResult<()> {
        self.insert_related(class, row, related).await
    }

    async fn update_related(
        &self,
        class: &Arc<ClassSchema>,
        target: &Target,
        update: &Update,
        returning: Returning,
        related: &Related,
    ) -> StorageResult<Changed> {
        self.update_with_related(class, target, update, returning, related).await
    }

    async fn relation_ids(&self, query: &RelationQuery) -> StorageResult<Vec<String>> {
        self.pairs(&ClassName::join(&query.field, &query.class), &query.by).await
    }

    async fn roles_of_user(&self, user_id: &str) -> StorageResult<Vec<String>> {
        self.role_names(user_id).await
    }
}
