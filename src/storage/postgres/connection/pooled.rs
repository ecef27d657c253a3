//! A connection as a pool keeps it, and on which thread it is driven. Called by the lanes (`pool`), which
//! hand such connections out, and by who holds one.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::ThreadId;

use bb8::ManageConnection;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::PoolableConnection;

use super::connect::Connector;
use crate::storage::{StorageError, StorageResult};

/// A connection as the pool keeps it.
pub struct PgConn {
    conn: AsyncPgConnection,
    pub(super) place: OpenedOn,
    /// Set while a transaction is open: a connection given back like this is closed, which rolls back.
    dirty: AtomicBool,
    connector: Arc<Connector>,
    recovered: AtomicU32,
}

/// So often a connection survives that somebody went away in the middle of a statement: each time, the
/// server may keep a statement that was being prepared.
const MAX_RECOVERIES: u32 = 100;

impl PgConn {
    pub fn set_dirty(&self, dirty: bool) {
        self.dirty.store(dirty, Ordering::Relaxed);
    }

    /// Whether it is worth being cleaned, rather than closed.
    pub fn may_recover(&self) -> bool {
        self.recovered.fetch_add(1, Ordering::Relaxed) < MAX_RECOVERIES
    }

    /// Ends the statement that runs on it.
    pub async fn cancel(&self) {
        self.connector.cancel(self.conn.cancel_token()).await;
    }
}

impl Deref for PgConn {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.conn
    }
}

impl DerefMut for PgConn {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.conn
    }
}

/// Where the connections of a slot are driven: nowhere in particular until a thread has registered, nor
/// after that thread has ended.
#[derive(Default)]
pub(super) struct Home(std::sync::Mutex<Option<Residence>>);

#[derive(Clone)]
struct Residence {
    runtime: tokio::runtime::Handle,
    thread: ThreadId,
}

/// Where a connection was opened, to be compared with where it should be.
pub(super) type OpenedOn = Option<ThreadId>;

impl Home {
    fn residence(&self) -> std::sync::MutexGuard<'_, Option<Residence>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The first thread to come stays.
    pub(super) fn settle(&self) {
        let thread = std::thread::current().id();
        let runtime = tokio::runtime::Handle::current();
        self.residence().get_or_insert(Residence { runtime, thread });
    }

    pub(super) fn place(&self) -> OpenedOn {
        self.residence().as_ref().map(|home| home.thread)
    }

    /// A connection that is driven at home, or here while there is no home.
    pub(super) async fn connect(
        &self,
        connector: &Arc<Connector>,
    ) -> StorageResult<(AsyncPgConnection, OpenedOn)> {
        let home = self.residence().clone();
        let Some(home) = home else { return Ok((connector.connect().await?, None)) };
        if home.thread == std::thread::current().id() {
            return Ok((connector.connect().await?, Some(home.thread)));
        }
        let elsewhere = connector.clone();
        match home.runtime.spawn(async move { elsewhere.connect().await }).await {
            Ok(opened) => Ok((opened?, Some(home.thread))),
            // The worker has ended, as it does before the last things are written at a stop.
            Err(_) => {
                *self.residence() = None;
                Ok((connector.connect().await?, None))
            }
        }
    }
}

/// Lets bb8 open and judge connections.
pub struct Manager(pub(super) Arc<Connector>, pub(super) Arc<Home>);

impl ManageConnection for Manager {
    type Connection = PgConn;
    type Error = StorageError;

    async fn connect(&self) -> Result<PgConn, StorageError> {
        let (conn, place) = self.1.connect(&self.0).await?;
        Ok(PgConn {
            conn,
            place,
            dirty: AtomicBool::new(false),
            connector: self.0.clone(),
            recovered: AtomicU32::new(0),
        })
    }

    async fn is_valid(&self, _: &mut PgConn) -> Result<(), StorageError> {
        // Never asked: `test_on_check_out` is off, `Lanes::get` looks at the socket instead.
        Ok(())
    }

    fn has_broken(&self, conn: &mut PgConn) -> bool {
        conn.dirty.load(Ordering::Relaxed) || conn.conn.is_broken()
    }
}

pub type Pooled = bb8::PooledConnection<'static, Manager>;
