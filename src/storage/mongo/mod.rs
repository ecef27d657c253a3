//! The MongoDB adapter: the layout of parse-server's Mongo adapter, so that either server opens a database of the
//! other, at the same time too.
//!
//! * [`connection`]: the URI and its options, what the driver tells; [`error`]: what a failure means;
//! * [`layout`]: where a field is kept and how; documents into rows from their bytes;
//! * [`query`]: filters as query documents, and the reads; [`write`]: each one command where it is one object;
//! * [`schema`]: `_SCHEMA` and the indexes;
//! * [`feed`]: how servers tell each other, and what anybody changes;
//! * [`own`]: what the server itself keeps, in collections `_parsimony_…`; [`gridfs`]: files;
//! * [`adapter`], [`session`], [`transaction`]: the storage traits; a transaction is the adapter on one session.
//!
//! Named by `server` alone.

mod adapter;
mod connection;
mod error;
mod feed;
mod gridfs;
mod layout;
mod own;
mod query;
mod schema;
mod session;
mod transaction;
mod write;

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use mongodb::{Client, ClientSession, Collection, Database};
use tokio::sync::{Mutex, RwLock};

pub use connection::MongoOptions;
use layout::strangers::Strangers;
use schema::beside::Beside;

use crate::pubsub::postgres::PostgresPubSub;
use crate::storage::statements::Statements;
use crate::storage::{StorageError, StorageResult};
use crate::types::ClassName;
use crate::types::time::Millis;

/// One database, or an open transaction on it.
pub struct MongoAdapter {
    core: Arc<Core>,
    /// Of a transaction: its session.
    open: Option<Mutex<ClientSession>>,
    /// How servers on this database tell each other, where it can carry that.
    pubsub: Option<Arc<PostgresPubSub>>,
}

/// What an adapter and its transactions share.
struct Core {
    client: Client,
    db: Database,
    prefix: String,
    deadline: Option<Duration>,
    max_time: Option<Duration>,
    /// Documents that one answer of the server holds at most, where there are many.
    batch: u32,
    /// Whether the server is part of a replica set, or of a sharded cluster: only there are transactions.
    has_transactions: bool,
    /// The last stamp given where the server tells no time of its own.
    clock: AtomicU64,
    /// Read-locked by transactions that were dropped and are being rolled back.
    ending: Arc<RwLock<()>>,
    started: Instant,
    /// Seconds from `started` to when the database's clock was read, and one; 0: never.
    clock_read: AtomicU64,
    /// Milliseconds that the database's clock is ahead of ours.
    clock_ahead: AtomicI64,
    statements: Statements,
    strangers: Strangers,
    beside: Beside,
}

/// Sends what the action builder says, inside the transaction if there is one.
macro_rules! run {
    ($adapter:expr, $action:expr) => {{
        let adapter: &$crate::storage::mongo::MongoAdapter = $adapter;
        match &adapter.open {
            None => adapter.core.timed($action).await,
            Some(open) => {
                let mut session = open.lock().await;
                adapter.core.timed($action.session(&mut *session)).await
            }
        }
    }};
}
use run;

impl MongoAdapter {
    /// Checks the options and that the database answers.
    ///
    /// # Errors
    /// A malformed URI; `Unavailable` when the server cannot be reached.
    pub async fn connect(options: MongoOptions) -> StorageResult<Arc<Self>> {
        let (driver, database) = options.resolve().await?;
        let client = Client::with_options(driver)?;
        let db = client.database(&database);
        let hello = db.run_command(doc! { "hello": 1 }).await?;
        let is_mongos = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        let batch = options.batch();
        let core = Core {
            has_transactions: is_mongos || hello.contains_key("setName"),
            client,
            db,
            prefix: options.collection_prefix,
            deadline: options.deadline.filter(|deadline| !deadline.is_zero()),
            max_time: options.max_time,
            batch,
            clock: AtomicU64::new(0),
            ending: Arc::default(),
            started: Instant::now(),
            clock_read: AtomicU64::new(0),
            clock_ahead: AtomicI64::new(0),
            statements: Statements::new(options.slow),
            strangers: Strangers::default(),
            beside: Beside::default(),
        };
        let core = Arc::new(core);
        let streams = || Arc::new(feed::listen::ChangeStreams { core: core.clone() });
        let pubsub = core.has_transactions.then(|| Arc::new(PostgresPubSub::new(streams())));
        Ok(Arc::new(Self { core, open: None, pubsub }))
    }

    fn objects(&self, class: &ClassName) -> Collection<RawDocumentBuf> {
        self.core.collection(class.as_str())
    }

    fn documents(&self, name: &str) -> Collection<Document> {
        self.core.collection(name)
    }
}

impl Core {
    fn collection<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        if self.prefix.is_empty() {
            return self.db.collection(name);
        }
        self.db.collection(&self.full_name(name))
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Nobody waits longer than the deadline, whatever becomes of the server.
    async fn timed<T>(
        &self,
        work: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> mongodb::error::Result<T> {
        let work = work.into_future();
        match self.deadline {
            None => work.await,
            Some(deadline) => tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| Err(too_long())),
        }
    }

    /// The same for several steps.
    async fn within<T>(&self, work: impl Future<Output = StorageResult<T>>) -> StorageResult<T> {
        match self.deadline {
            None => work.await,
            Some(deadline) => {
                tokio::time::timeout(deadline, work).await.unwrap_or(Err(StorageError::Timeout))
            }
        }
    }

    /// A stamp that grows, for servers that tell no time.
    fn own_stamp(&self) -> u64 {
        let now = u64::try_from(Millis::now().0).unwrap_or_default() << 20;
        let step = |last: u64| Some(now.max(last + 1));
        self.clock
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .map_or(now, |last| now.max(last + 1))
    }

    /// The time of the session's last operation: of writes to one object, in the order of their commits.
    fn stamp(&self, session: &ClientSession) -> u64 {
        match session.operation_time() {
            Some(at) => (u64::from(at.time) << 32) | u64::from(at.increment),
            None => self.own_stamp(),
        }
    }
}

/// The deadline has passed, as an error of the driver.
fn too_long() -> mongodb::error::Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Whether it was [`too_long`].
fn is_too_long(error: &mongodb::error::Error) -> bool {
    matches!(error.kind.as_ref(), mongodb::error::ErrorKind::Io(io) if io.kind() == std::io::ErrorKind::TimedOut)
}
