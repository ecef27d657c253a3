//! Reads and writes on objects, as the storage traits name them; outside or inside a transaction.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::MongoAdapter;
use crate::query::{FindHints, FindSpec, Pipeline};
use crate::storage::statements::Shape;
use crate::storage::{
    AggregateOptions, Changed, Related, RelationQuery, Returning, Session, StorageResult, WriteFilter,
};
use crate::types::path::FieldPath;
use crate::types::update::RelationChange;
use crate::types::{ClassName, ClassSchema, FieldName, Object, ObjectId, RowSet, Update};

#[async_trait]
impl Session for MongoAdapter {
    async fn find(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<RowSet> {
        let work = async { self.find_rows(class, spec).await };
        self.core.statements.watch(Shape::Find, class.name.as_str(), work).await
    }

    async fn find_by_ids(
        &self,
        class: &Arc<ClassSchema>,
        ids: &[String],
        readers: Option<&Arc<[String]>>,
        columns: Option<&[FieldName]>,
        hints: &FindHints,
    ) -> StorageResult<RowSet> {
        let work = async { self.find_ids(class, ids, readers, columns, hints).await };
        self.core.statements.watch(Shape::FindByIds, class.name.as_str(), work).await
    }

    async fn count(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<u64> {
        let work = async { self.count_rows(class, spec).await };
        self.core.statements.watch(Shape::Count, class.name.as_str(), work).await
    }

    async fn distinct(
        &self,
        class: &Arc<ClassSchema>,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        let work = async { self.distinct_values(class, path, spec).await };
        self.core.statements.watch(Shape::Distinct, class.name.as_str(), work).await
    }

    async fn aggregate(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &Pipeline,
        options: &AggregateOptions,
    ) -> StorageResult<Vec<Object>> {
        let work = async { self.aggregated(class, pipeline, options).await };
        self.core.statements.watch(Shape::Aggregate, class.name.as_str(), work).await
    }

    async fn explain(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<Value> {
        let work = async { self.plan_of(class, spec).await };
        self.core.statements.watch(Shape::Explain, class.name.as_str(), work).await
    }

    async fn create(&self, class: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()> {
        let work = async { self.insert(class, rows).await };
        self.core.statements.watch(Shape::Insert, class.name.as_str(), work).await
    }

    async fn update(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
    ) -> StorageResult<Changed> {
        let work = async { self.update_rows(class, target, update, returning).await };
        self.core.statements.watch(Shape::Update, class.name.as_str(), work).await
    }

    async fn delete(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        returning_before: bool,
    ) -> StorageResult<Changed> {
        let work = async { self.delete_rows(class, target, returning_before).await };
        self.core.statements.watch(Shape::Delete, class.name.as_str(), work).await
    }

    async fn change_relations(
        &self,
        class: &ClassName,
        owner: &ObjectId,
        changes: &[RelationChange],
    ) -> StorageResult<()> {
        let work = async { self.change_members(class, owner, changes).await };
        self.core.statements.watch(Shape::Relations, class.as_str(), work).await
    }

    async fn create_related(
        &self,
        class: &Arc<ClassSchema>,
        row: &Object,
        related: &Related,
    ) -> StorageResult<()> {
        let work = async { self.insert_related(class, row, related).await };
        self.core.statements.watch(Shape::Insert, class.name.as_str(), work).await
    }

    async fn update_related(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
        related: &Related,
    ) -> StorageResult<Changed> {
        let work = async { self.update_with_related(class, target, update, returning, related).await };
        self.core.statements.watch(Shape::Update, class.name.as_str(), work).await
    }

    async fn relation_ids(&self, query: &RelationQuery) -> StorageResult<Vec<String>> {
        let work = async { self.pairs(&ClassName::join(&query.field, &query.class), &query.by).await };
        self.core.statements.watch(Shape::RelationIds, query.class.as_str(), work).await
    }

    async fn roles_of_user(&self, user_id: &str) -> StorageResult<Vec<String>> {
        let work = async { self.role_names(user_id).await };
        self.core.statements.watch(Shape::Roles, "_Role", work).await
    }
}
