//! The whole database: classes, indexes, transactions, and what else it may be able to do.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::changes::ChangeFeed;
use super::live_log::LiveLog;
use super::preview::{self, Planned, Statement};
use super::push::PushLedger;
use super::{Session, StorageResult, Transaction, WorkQueue};
use crate::files::FileStore;
use crate::files::crypt::Key;
use crate::pubsub::PubSub;
use crate::query::{Constraint, Filter, FindSpec, Operand, OrderKey};
use crate::types::{ClassName, ClassSchema, Field, FieldName, Layout, Object, ObjectId, RowSet};

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
    fn preview(&self, planned: Planned<'_>) -> Vec<Statement> {
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
    fn push_ledger(&self) -> Option<&dyn PushLedger> {
        None
    }

    /// Where the database itself writes changes down, if it can.
    fn live_log(&self) -> Option<&dyn LiveLog> {
        None
    }

    /// What any program changes, if the database tells.
    fn change_feed(&self) -> Option<&dyn ChangeFeed> {
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

    /// What lies beside the classes, in words: tables and fields of other programs, which no scan shows. Fields are
    /// those that scans met.
    async fn beside_classes(&self) -> StorageResult<Vec<String>> {
        Ok(Vec::new())
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
