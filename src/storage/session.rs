//! Reads and writes on objects, outside and inside a transaction.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::push::PushWriter;
use super::{Enqueue, StorageResult};
use crate::query::{Filter, FindHints, FindSpec, Pipeline};
use crate::types::path::FieldPath;
use crate::types::update::RelationChange;
use crate::types::{ClassName, ClassSchema, Field, FieldName, Object, ObjectId, RowSet, Update};

/// Which rows a write concerns.
#[derive(Clone, Debug)]
pub struct WriteFilter {
    pub filter: Filter,
    /// `None`: master. Otherwise the row's `_wperm` must be null or name one of these (`*` included).
    pub writers: Option<Arc<[String]>>,
}

/// What an update hands back. Both sides come from the statement itself, under the row lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returning {
    pub before: bool,
    pub after: bool,
    /// Of the row after, at least the fields that the update names; the rest may be left out. Has no
    /// effect together with `before`.
    pub written_only: bool,
}

/// Rows an update or delete touched, in the same order on both sides.
#[derive(Debug)]
pub struct Changed {
    pub count: u64,
    pub before: Option<RowSet>,
    pub after: Option<RowSet>,
    /// Grows with the commit order of writes to one object (transaction id or clock under the row
    /// lock); 0 when no row was asked for.
    pub stamp: u64,
}

/// Reads and writes on objects; an adapter runs each call on its own, a transaction on its one
/// connection.
#[async_trait]
pub trait Session: Send + Sync {
    async fn find(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<RowSet>;

    /// One `find` with `objectId = ANY(ids)`, for includes; order unspecified, missing ids absent.
    /// `layout` limits the columns when given.
    async fn find_by_ids(
        &self,
        class: &Arc<ClassSchema>,
        ids: &[String],
        readers: Option<&Arc<[String]>>,
        columns: Option<&[FieldName]>,
        hints: &FindHints,
    ) -> StorageResult<RowSet>;

    /// Ignores order, limit and skip.
    async fn count(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<u64>;

    /// Distinct values of a column or path, arrays unwound, nulls dropped, REST encoding.
    async fn distinct(
        &self,
        class: &Arc<ClassSchema>,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>>;

    /// Rows come back in REST encoding with `objectId` for `_id`. Filters and classes of the pipeline have
    /// their rights on them.
    async fn aggregate(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &Pipeline,
        options: &AggregateOptions,
    ) -> StorageResult<Vec<Object>>;

    /// The database's plan for the find, as JSON.
    async fn explain(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<Value>;

    /// Inserts all rows in one statement where possible, or none. Objects are in REST encoding with
    /// `objectId`, `createdAt`, `updatedAt` (ISO), `_rperm`/`_wperm` (arrays of strings) and internal
    /// columns by their storage names.
    async fn create(&self, class: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()>;

    /// Applies the operations atomically in SQL to every row the target matches.
    async fn update(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
    ) -> StorageResult<Changed>;

    /// `before` holds the deleted rows when asked for.
    async fn delete(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        returning_before: bool,
    ) -> StorageResult<Changed>;

    /// Adds and removes members of one object's relations; join tables are made when missing.
    async fn change_relations(
        &self,
        class: &ClassName,
        owner: &ObjectId,
        changes: &[RelationChange],
    ) -> StorageResult<()>;

    /// [`Session::create`] of one object together with its relations: both or neither.
    async fn create_related(
        &self,
        class: &Arc<ClassSchema>,
        row: &Object,
        related: &Related,
    ) -> StorageResult<()>;

    /// [`Session::update`] of one object together with its relations: both or neither. Where no row is
    /// touched, no relation is.
    async fn update_related(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
        related: &Related,
    ) -> StorageResult<Changed>;

    /// Ids of the objects that relation `field` of `owners` points to (`owning → related`), or the
    /// owners that hold one of `related`.
    async fn relation_ids(&self, query: &RelationQuery) -> StorageResult<Vec<String>>;

    /// All role names a user holds, directly or through child roles, by one recursive statement.
    async fn roles_of_user(&self, user_id: &str) -> StorageResult<Vec<String>>;
}

/// Changes to the relations of one object.
#[derive(Clone, Debug)]
pub struct Related {
    pub owner: ObjectId,
    pub changes: Vec<RelationChange>,
}

#[derive(Clone, Debug)]
pub struct RelationQuery {
    pub class: ClassName,
    pub field: FieldName,
    pub by: RelationSide,
}

#[derive(Clone, Debug)]
pub enum RelationSide {
    /// Members of these owners.
    Owners(Vec<String>),
    /// Owners that have one of these members.
    Members(Vec<String>),
}

#[derive(Clone, Debug, Default)]
pub struct AggregateOptions {
    pub raw_values: bool,
    pub raw_field_names: bool,
    pub hints: FindHints,
    pub explain: bool,
}

/// An open transaction. Dropping it without [`Transaction::commit`] rolls back.
#[async_trait]
pub trait Transaction: Session {
    async fn commit(self: Box<Self>) -> StorageResult<()>;
    async fn rollback(self: Box<Self>) -> StorageResult<()>;
    /// DDL on the transaction's own connection, for fields found missing inside it.
    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema>;
    /// From now on, a statement that is refused changes nothing and leaves the transaction open; without
    /// it, it may end the transaction. `false`: this database cannot do that.
    fn survive_refusals(&self) -> bool {
        false
    }
    /// Writes work down that is there from the commit on, where the database keeps any.
    fn work(&self) -> Option<&dyn Enqueue> {
        None
    }
    /// Writes pushes down, where the database keeps any.
    fn push_writer(&self) -> Option<&dyn PushWriter> {
        None
    }
    /// For callers that hold the transaction behind an `Arc` or a lock.
    fn as_session(&self) -> &dyn Session;
}
