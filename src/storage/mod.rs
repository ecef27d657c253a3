//! What the operations need of a database, in the terms of [`crate::types`]. Implemented by
//! `postgres` and, for tests, by `memory`; one conformance suite runs on all of them.
//!
//! Layering: adapters decide nothing about rights. Filters, readers and sub-queries arrive resolved.

pub mod changes;
pub mod live_log;
pub mod memory;
mod mismatch;
#[cfg(feature = "mongo")]
pub mod mongo;
pub mod postgres;
pub mod preview;
pub mod push;
pub mod statements;
mod work;

pub use work::{
    Begun, Claimed, Enqueue, Lease, Mark, NewWork, Retry, Wanted, WorkItem, WorkQueue, WorkState,
};

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::error::{BoxError, Error, ErrorCode};
use crate::files::FileStore;
use crate::files::crypt::Key;
use crate::pubsub::PubSub;
use crate::query::{Constraint, Filter, FindHints, FindSpec, Operand, OrderKey, Pipeline};
use crate::types::update::RelationChange;
use crate::types::{
    ClassName, ClassSchema, Field, FieldName, FieldType, Layout, Object, ObjectId, RowSet, Update,
};

/// Why storage could not do what it was asked.
#[derive(Debug)]
pub enum StorageError {
    /// A unique index refused the row. `field` is the column, `provider` the auth provider of a
    /// `_User_unique_authData_<provider>_id` index.
    Duplicate {
        field: Option<String>,
        provider: Option<String>,
    },
    /// A client's value or query cannot be expressed: travels as it is.
    Refused(Error),
    /// The table or column does not exist (yet, or any more): the caller's schema is stale.
    StaleSchema(BoxError),
    /// Serialisation failure or deadlock: the whole transaction may be retried.
    Conflict(BoxError),
    /// No connection to be had within the deadline, or the server is away.
    Unavailable(BoxError),
    /// It takes connections, or is on its way, and does not answer within the deadline.
    Silent,
    /// Every connection is busy and none came free within the deadline.
    Exhausted,
    /// The statement ran longer than `statementTimeout`.
    Timeout,
    Other(BoxError),
}

impl StorageError {
    /// 102 for results of which there was no room for all.
    pub fn no_room() -> Self {
        Self::Refused(Error::invalid_query("The results take more memory than a request may have."))
    }
}

impl std::fmt::Display for StorageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Duplicate { field, .. } => write!(f, "duplicate value for {field:?}"),
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::StaleSchema(source) => write!(f, "stale schema: {source}"),
            Self::Conflict(source) => write!(f, "transaction conflict: {source}"),
            Self::Unavailable(source) => write!(f, "unavailable: {source}"),
            Self::Silent => f.write_str("the database does not answer"),
            Self::Exhausted => f.write_str("every database connection is busy"),
            Self::Timeout => f.write_str("statement timeout"),
            Self::Other(source) => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for StorageError {}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Duplicate { provider: Some(_), .. } => {
                Self::parse(ErrorCode::ACCOUNT_ALREADY_LINKED, "this auth is already used")
            }
            StorageError::Duplicate { .. } => Self::parse(
                ErrorCode::DUPLICATE_VALUE,
                "A duplicate value for a field with unique values was provided",
            ),
            StorageError::Refused(error) => error,
            StorageError::Exhausted | StorageError::Silent => Self::overloaded(),
            StorageError::Timeout => Self::parse(ErrorCode::TIMEOUT, "The request took too long"),
            StorageError::StaleSchema(source) => {
                tracing::warn!(error = %source, "a statement does not suit its class: {source}");
                Self::invalid_query(UNSUITABLE)
            }
            other => Self::database(other),
        }
    }
}

/// What a client reads when a statement did not suit its class, and did not after it was built anew.
const UNSUITABLE: &str = "The request does not suit the fields of the class";

/// Whether the error was a [`StorageError::StaleSchema`]: nothing was done, and with what the class is now
/// it may work.
pub fn is_stale_schema(error: &Error) -> bool {
    matches!(error, Error::Parse { code, message } if *code == ErrorCode::INVALID_QUERY && message == UNSUITABLE)
}

/// Whether a transaction collided with another one: begun again, it may work.
pub fn is_conflict(error: &Error) -> bool {
    let Error::Database(source) = error else { return false };
    matches!(source.downcast_ref::<StorageError>(), Some(StorageError::Conflict(_)))
}

pub type StorageResult<T> = Result<T, StorageError>;

/// Which rows a write concerns.
#[derive(Clone, Debug)]
pub struct Target {
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
        path: &crate::types::path::FieldPath,
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
        target: &Target,
        update: &Update,
        returning: Returning,
    ) -> StorageResult<Changed>;

    /// `before` holds the deleted rows when asked for.
    async fn delete(
        &self,
        class: &Arc<ClassSchema>,
        target: &Target,
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
        target: &Target,
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
    fn push_writer(&self) -> Option<&dyn push::PushWriter> {
        None
    }
    /// For callers that hold the transaction behind an `Arc` or a lock.
    fn as_session(&self) -> &dyn Session;
}

/// Indexes in the schema API's form: name → `{column: direction or kind}`.
pub type IndexMap = Map<String, Value>;

/// Indexes that the storage's own reads would have used, in the order in which they were missed.
#[async_trait]
pub trait IndexWishes: Send {
    /// The next one that is worth building; `None` when there will be no more.
    async fn next(&mut self) -> Option<(ClassName, IndexMap)>;
}

/// The whole database: sessions, schema changes, transactions. Every schema change tells other servers
/// with its commit, except those inside a transaction.
#[async_trait]
pub trait StorageAdapter: Session {
    /// Creates what is missing (system tables, SQL functions, our own schema) and nothing else.
    async fn initialize(&self) -> StorageResult<()>;

    /// Those start-up indexes that take no time, before the first request.
    async fn ensure_small_indexes(&self, options: &StartupIndexes, providers: &[String])
    -> StorageResult<()>;

    /// Start-up indexes; unique ones first. `providers` are the auth provider names.
    async fn ensure_indexes(&self, options: &StartupIndexes, providers: &[String]) -> StorageResult<()>;

    /// Every class with a row in `_SCHEMA`.
    async fn load_schemas(&self) -> StorageResult<Vec<ClassSchema>>;
    async fn load_schema(&self, class: &ClassName) -> StorageResult<Option<ClassSchema>>;

    /// Creates the class with these fields, or returns the one another server just created.
    async fn create_class(&self, schema: &ClassSchema) -> StorageResult<ClassSchema>;

    /// Adds fields that are missing, under the schema lock; answers what is stored afterwards, which
    /// may hold other types for them when another server was first.
    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema>;

    /// Replaces options (`required`, `defaultValue`) of existing fields.
    async fn set_field_options(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema>;

    /// Drops columns, join tables and their `_SCHEMA` entries.
    async fn delete_fields(&self, class: &ClassName, fields: &[FieldName]) -> StorageResult<ClassSchema>;

    async fn set_permissions(
        &self,
        class: &ClassName,
        clp: &Map<String, Value>,
    ) -> StorageResult<ClassSchema>;

    /// Creates and drops indexes and notes that in the class's map. Takes as long as it takes; others
    /// go on meanwhile.
    async fn set_indexes(
        &self,
        class: &ClassName,
        create: &IndexMap,
        drop: &[String],
    ) -> StorageResult<ClassSchema>;

    /// Waits until no other server applies defined schemas, and keeps others from it until dropped. `None`: this
    /// database cannot do that.
    async fn migration_turn(&self) -> StorageResult<Option<Box<dyn std::any::Any + Send>>> {
        Ok(None)
    }

    /// What a change of a class would do, without doing it.
    fn preview(&self, planned: preview::Planned<'_>) -> Vec<preview::Statement> {
        preview::in_words(planned)
    }

    /// What reads find missing, for the one who builds it with [`StorageAdapter::set_indexes`]; once.
    fn index_wishes(&self) -> Option<Box<dyn IndexWishes>> {
        None
    }

    /// Drops table, join tables and the `_SCHEMA` row.
    async fn delete_class(&self, schema: &ClassSchema) -> StorageResult<()>;

    /// Removes every row, and every row of its join tables.
    async fn purge_class(&self, schema: &ClassSchema) -> StorageResult<()>;

    async fn begin(&self) -> StorageResult<Box<dyn Transaction>>;

    /// The session of a token and its user, each with every column, in one statement where that is
    /// possible. Not for tokens with NUL characters.
    async fn session_with_user(
        &self,
        sessions: &Arc<ClassSchema>,
        users: &Arc<ClassSchema>,
        token: &str,
    ) -> StorageResult<Option<(Object, Object)>> {
        let by_token = Filter::eq("sessionToken", Operand::Text(token.to_owned()));
        let found = self.find(sessions, &FindSpec::new(by_token).limit(1)).await?;
        let Some(session) = found.first().map(|row| row.to_object()) else { return Ok(None) };
        let id = session.get("user").and_then(|user| user.get("objectId")).and_then(Value::as_str);
        let Some(id) = id.and_then(ObjectId::new) else { return Ok(None) };
        let found = self.find(users, &FindSpec::new(Filter::by_id(&id)).limit(1)).await?;
        Ok(found.first().map(|user| (session, user.to_object())))
    }

    /// How servers on this database tell each other, if the database can carry that. What the adapter itself does
    /// to schemas it tells in the same transaction.
    fn pubsub(&self) -> Option<Arc<dyn PubSub>> {
        None
    }

    /// The calling thread serves requests from now on, once per thread. An adapter may give it connections
    /// of its own.
    fn register_thread(&self) {}

    /// Files kept in the database itself, if it can.
    fn file_stores(&self) -> Option<&dyn FileStoreProvider> {
        None
    }

    /// Work that outlives the server, if the database keeps any.
    fn work_queue(&self) -> Option<&dyn WorkQueue> {
        None
    }

    /// Pushes that were accepted, if the database keeps any.
    fn push_ledger(&self) -> Option<&dyn push::PushLedger> {
        None
    }

    /// Where the database itself writes changes down, if it can.
    fn live_log(&self) -> Option<&dyn live_log::LiveLog> {
        None
    }

    /// What any program changes, if the database tells.
    fn change_feed(&self) -> Option<&dyn changes::ChangeFeed> {
        None
    }

    /// Every object, a page at a time, in an order of the database's own: those behind the cursor that the page before
    /// gave, which is `None` with the last.
    async fn scan(
        &self,
        class: &Arc<ClassSchema>,
        after: Option<&str>,
        columns: Option<&[FieldName]>,
        most: u64,
    ) -> StorageResult<(RowSet, Option<String>)> {
        let filter = match after {
            Some(id) => {
                Filter::field(FieldName::known("objectId"), Constraint::Gt(Operand::Text(id.to_owned())))
            }
            None => Filter::all(),
        };
        let order = OrderKey::Field { path: FieldName::known("objectId").into(), descending: false };
        let columns = columns.map(<[FieldName]>::to_vec);
        let spec = FindSpec { order: vec![order], columns, ..FindSpec::new(filter).limit(most) };
        let page = self.find(class, &spec).await?;
        let is_last = (page.len() as u64) < most;
        let last = page.len().checked_sub(1).and_then(|last| page.get(last));
        let cursor = last.filter(|_| !is_last).map(|row| row.object_id().to_owned());
        Ok((page, cursor))
    }

    /// [`Session::create`] of many rows by the fastest way that the database has; all or none.
    async fn import(&self, class: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()> {
        self.create(class, rows).await
    }

    /// Shows every text that the database holds, of every table and column, in one snapshot. JSON is shown
    /// as its text.
    async fn visit_texts(&self, see: See<'_>) -> StorageResult<()>;

    /// The adapter as a plain session (each call on its own connection).
    fn as_session(&self) -> &dyn Session;

    /// The same, for work that an open transaction may be waiting for: nothing it does queues behind
    /// statements that may themselves wait for that transaction.
    fn independent(&self) -> &dyn Session {
        self.as_session()
    }

    /// Whether the database answers right now.
    async fn ping(&self) -> StorageResult<()>;

    /// Tells the page of metrics of connections and statements.
    fn report(&self, _page: &mut crate::metrics::Page) {}

    /// Finishes what runs, then closes every connection.
    async fn close(&self);

    /// The columns a class's rows have; cached by callers in their snapshots.
    fn layout(&self, schema: &ClassSchema) -> Layout {
        Layout::of(schema)
    }
}

/// An adapter that keeps files beside the objects.
pub trait FileStoreProvider: Send + Sync {
    /// The files of one app, encrypted where there is a key.
    fn file_store(&self, app: &str, key: Option<Key>) -> Arc<dyn FileStore>;
}

/// Is shown one text after the other.
pub type See<'a> = &'a mut (dyn for<'t> FnMut(&'t str) + Send + 'a);

/// `databaseOptions.createIndex*`; all on by default.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct StartupIndexes {
    pub auth_data_uniqueness: bool,
    pub role_name: bool,
    pub user_email: bool,
    pub user_email_case_insensitive: bool,
    pub user_email_verify_token: bool,
    pub user_password_reset_token: bool,
    pub user_username: bool,
    pub user_username_case_insensitive: bool,
}

impl Default for StartupIndexes {
    fn default() -> Self {
        Self {
            auth_data_uniqueness: true,
            role_name: true,
            user_email: true,
            user_email_case_insensitive: true,
            user_email_verify_token: true,
            user_password_reset_token: true,
            user_username: true,
            user_username_case_insensitive: true,
        }
    }
}

/// Whether a column of this type exists in storage at all.
pub fn is_stored(ty: &FieldType) -> bool {
    !matches!(ty, FieldType::Relation(_) | FieldType::Acl)
}
