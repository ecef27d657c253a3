//! The PostgreSQL adapter: parse-server's own layout, reached through diesel-async.
//!
//! * `connection`: opening, the lanes that share connections, errors by SQLSTATE, what servers tell each other;
//! * `sql`, `value`: the one statement type, and how values of Parse types are bound;
//! * `query`: reads, from the filter to the row;
//! * `write`: statements that change class tables and join tables;
//! * `schema`: class tables as they are made and changed, indexes, start-up;
//! * `own`: what the server itself keeps in schema `parsimony`;
//! * `transaction`, `adapter`: the storage traits, on one connection and on the lanes;
//! * `embedded`: the private cluster.
//!
//! Each names those above it only.
//! Only the adapter's methods touch the lanes; everything below takes an [`Executor`] or a connection.

mod adapter;
pub mod connection;
pub mod embedded;
pub mod own;
pub mod query;
pub mod schema;
pub mod sql;
mod transaction;
pub(crate) mod value;
pub mod write;

use crate::metrics::Page;
use crate::pubsub::postgres::PostgresPubSub;
use crate::storage::postgres::connection::pace;
use crate::storage::postgres::schema::{builds, on_demand};
use crate::storage::postgres::write::insert_template;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

use crate::storage::postgres::connection::connect::Connector;
use crate::storage::postgres::connection::control::ControlLane;
use crate::storage::postgres::connection::error::boxed;
use crate::storage::postgres::connection::listen::DatabaseChannels;
use crate::storage::postgres::connection::options::ParsedUri;
pub use crate::storage::postgres::connection::options::PostgresOptions;
use crate::storage::postgres::connection::pool::Lanes;
use crate::storage::postgres::connection::pooled::PgConn;
use crate::storage::postgres::connection::replica::Replica;
use crate::storage::statements::Statements;
use crate::storage::{StorageError, StorageResult};
use crate::types::{ClassName, ClassSchema};
use sql::{PgRow, Shapes, Sql};

/// How long an idle connection is kept when the URI does not say (`idleTimeoutMillis`).
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_MAX: u32 = 10;

/// One database (and its replicas). Cheap to share; made once per app.
pub struct PostgresAdapter {
    core: Arc<Core>,
    /// The same with each write on a connection of its own; this one's writes may share them.
    independent: Option<Box<PostgresAdapter>>,
}

/// What spawned writes keep alive.
pub(crate) struct Core {
    lanes: Lanes,
    replicas: Vec<Replica>,
    next_replica: std::sync::atomic::AtomicUsize,
    control: Arc<ControlLane>,
    pubsub: Arc<PostgresPubSub>,
    builds: builds::Builds,
    shapes: Arc<Shapes>,
    templates: insert_template::Templates,
    pace: pace::Pace,
    /// Indexes that reads missed; `None` where none is built by itself.
    wishes: Option<on_demand::Wishes>,
    statements: Statements,
    copier: write::copy::Copier,
    reads: query::reads::Reads,
    prepared_statements: bool,
    /// Opens a bracket behind a pooler: what would be the session's settings, for one transaction.
    begin: Arc<str>,
}

impl PostgresAdapter {
    /// Checks the options and that the database answers. Opens one connection; the lanes open theirs
    /// when first needed.
    ///
    /// # Errors
    /// A malformed URI or unreadable certificates; `Unavailable` when the server cannot be reached.
    pub async fn connect(options: PostgresOptions) -> StorageResult<Arc<Self>> {
        let adapter = Self::new(&options)?;
        let conn = adapter.core.control.lock().await?;
        conn.done();
        Ok(Arc::new(adapter))
    }

    fn new(options: &PostgresOptions) -> StorageResult<Self> {
        let app_name = options.app_name.as_deref().unwrap_or("parsimony");
        let connector_of = |target: &ParsedUri, most: Option<Duration>, session: bool| {
            Connector::new(target, app_name, options.statement_timeout, most, session).map(Arc::new)
        };
        let connector = |target: &ParsedUri, most: Option<Duration>| {
            connector_of(target, most, options.prepared_statements)
        };
        let lanes = |target: &ParsedUri, connector: Arc<Connector>| {
            let max = options.max.or(target.max).unwrap_or(DEFAULT_MAX);
            let idle = target.idle_timeout.unwrap_or(IDLE_TIMEOUT);
            let pipelining = options.prepared_statements;
            Lanes::new(connector, max, options.workers, options.acquire_timeout, idle, pipelining)
        };
        let target = ParsedUri::parse(&options.uri)?;
        let primary = connector(&target, None)?;
        let replicas = options.read_uris.iter().map(|uri| {
            let target = ParsedUri::parse(uri)?;
            Ok(Replica::new(lanes(&target, connector(&target, options.max_time)?)))
        });
        let listening = match &options.listen_uri {
            // Not through the pooler, so it can have settings, and what needs a session is done there too.
            Some(uri) => connector_of(&ParsedUri::parse(uri)?, None, true)?,
            None => primary.clone(),
        };
        // Operations on objects; schema changes have their own patience.
        let operations = match options.max_time {
            Some(most) => connector(&target, Some(most))?,
            None => primary.clone(),
        };
        let begin = operations.begin_text().into();
        let control = Arc::new(ControlLane::new(listening.clone()));
        let core = Arc::new(Core {
            replicas: replicas.collect::<StorageResult<_>>()?,
            next_replica: std::sync::atomic::AtomicUsize::new(0),
            lanes: lanes(&target, operations),
            pubsub: Arc::new(PostgresPubSub::new(Arc::new(DatabaseChannels::new(
                listening,
                control.clone(),
            )))),
            control,
            builds: builds::Builds::default(),
            shapes: Arc::new(Shapes::default()),
            templates: insert_template::Templates::default(),
            pace: pace::Pace::default(),
            wishes: on_demand::Wishes::new(options.auto_index),
            statements: Statements::new(options.slow),
            copier: write::copy::Copier::default(),
            reads: query::reads::Reads::default(),
            prepared_statements: options.prepared_statements,
            begin,
        });
        let independent = Box::new(Self { core: core.clone(), independent: None });
        Ok(Self { core, independent: Some(independent) })
    }

    /// Whether statements may be prepared (not behind a pooler).
    pub(crate) fn prepares_statements(&self) -> bool {
        self.core.prepared_statements
    }
}

impl Core {
    /// Connections, how reads went over them, statements.
    fn report(&self, page: &mut Page) {
        self.lanes.report(page, "primary");
        for replica in &self.replicas {
            replica.lanes.report(page, "replica");
        }
        self.reads.report(page);
        let help = "Shapes of statements that are prepared.";
        page.count("parsimony_database_prepared_shapes", help, &[], self.shapes.count());
        self.statements.report(page);
    }
}

/// One connection and how statements are run on it.
pub(crate) struct Executor<'a> {
    conn: &'a PgConn,
    shapes: &'a Shapes,
    templates: &'a insert_template::Templates,
    prepared_statements: bool,
    in_transaction: bool,
    /// Every statement is planned anew: a kept plan was refused.
    fresh: bool,
    begin: &'a str,
}

impl Executor<'_> {
    /// Chooses whether the statement is prepared for good.
    fn admit(&self, sql: &mut Sql) {
        if self.prepared_statements && !self.fresh {
            self.shapes.admit(sql);
        } else {
            sql.uncacheable();
        }
    }

    async fn load(&self, mut sql: Sql) -> StorageResult<Vec<PgRow>> {
        self.admit(&mut sql);
        self.bracketed(async { Ok(sql.load(self.conn).await?) }).await
    }

    async fn execute(&self, mut sql: Sql) -> StorageResult<u64> {
        self.execute_kept(&mut sql).await
    }

    /// The same of a statement that may have to be sent once more.
    async fn execute_kept(&self, sql: &mut Sql) -> StorageResult<u64> {
        self.admit(sql);
        self.bracketed(async { Ok(sql.execute(self.conn).await? as u64) }).await
    }

    /// Behind a pooler in transaction mode, prepare and execute only meet on the same server
    /// connection inside a transaction.
    async fn bracketed<T>(&self, work: impl Future<Output = StorageResult<T>> + Send) -> StorageResult<T> {
        if self.prepared_statements || self.in_transaction {
            return work.await;
        }
        self.begin().await?;
        self.end(work.await).await
    }

    /// Opens a transaction. The connection is closed, which rolls back, unless [`Executor::end`] is reached.
    async fn begin(&self) -> StorageResult<()> {
        self.conn.set_dirty(true);
        command(self.conn, self.begin).await
    }

    /// Commits, or rolls back after an error.
    async fn end<T>(&self, outcome: StorageResult<T>) -> StorageResult<T> {
        let ended = command(self.conn, if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
        if ended.is_ok() {
            self.conn.set_dirty(false);
        }
        let answer = outcome?;
        ended.map(|()| answer)
    }
}

/// Runs text that this program spelled, several statements if need be, without binds.
async fn command(conn: &AsyncPgConnection, text: &str) -> StorageResult<()> {
    let mut conn = conn;
    SimpleAsyncConnection::batch_execute(&mut conn, text).await?;
    Ok(())
}

/// A text column of a row.
fn column_text(row: &PgRow, index: usize) -> Option<String> {
    sql::with_bytes(row, index, |bytes| String::from_utf8_lossy(bytes).into_owned())
}

async fn table_exists(conn: &AsyncPgConnection, class: &ClassName) -> StorageResult<bool> {
    let mut sql = Sql::new("SELECT to_regclass('public.' || quote_ident(");
    sql.push_text(class.as_str()).push_sql(")) IS NOT NULL");
    let rows = sql.load(conn).await?;
    Ok(rows.first().and_then(|row| sql::with_bytes(row, 0, |b| b == [1])).unwrap_or(false))
}

/// Runs work that must not be cut half-way when its caller goes away.
async fn spawned<T: Send + 'static>(
    work: impl Future<Output = StorageResult<T>> + Send + 'static,
) -> StorageResult<T> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(StorageError::Other(boxed(format!("a database task failed: {error}")))),
    }
}

/// Every change answers the class; deletions do not come here.
fn stored(schema: Option<ClassSchema>, class: &ClassName) -> StorageResult<ClassSchema> {
    schema.ok_or_else(|| StorageError::StaleSchema(boxed(format!("class {class} does not exist"))))
}
