//! The lanes. Each worker thread has a slot of its own; a slot holds a bb8 pool and a few shared
//! connections for short reads that are pipelined. All slots together stay within `max`.
//!
//! Threads that never called [`Lanes::register_thread`] (tests, start-up, other arbiters) are spread
//! over the same slots, so no thread is without connections and the budget holds anyhow. Whoever opens
//! a connection, what drives it runs on the slot's own thread: elsewhere each answer would wake a
//! second thread first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;
use std::time::Duration;

use bb8::{ManageConnection, RunError};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::PoolableConnection;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::connect::Connector;
use super::error::boxed;
use super::patience::Patience;
use super::writers::{Writer, Writers};
use crate::storage::{StorageError, StorageResult};

/// A connection as the pool keeps it.
pub struct PgConn {
    conn: AsyncPgConnection,
    place: Place,
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
struct Home(std::sync::Mutex<Option<Residence>>);

#[derive(Clone)]
struct Residence {
    runtime: tokio::runtime::Handle,
    thread: ThreadId,
}

/// Where a connection was opened, to be compared with where it should be.
type Place = Option<ThreadId>;

impl Home {
    fn residence(&self) -> std::sync::MutexGuard<'_, Option<Residence>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The first thread to come stays.
    fn settle(&self) {
        let thread = std::thread::current().id();
        let runtime = tokio::runtime::Handle::current();
        self.residence().get_or_insert(Residence { runtime, thread });
    }

    fn place(&self) -> Place {
        self.residence().as_ref().map(|home| home.thread)
    }

    /// A connection that is driven at home, or here while there is no home.
    async fn connect(&self, connector: &Arc<Connector>) -> StorageResult<(AsyncPgConnection, Place)> {
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
pub struct Manager(Arc<Connector>, Arc<Home>);

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

struct Slot {
    home: Arc<Home>,
    pool: OnceLock<bb8::Pool<Manager>>,
    pool_size: u32,
    /// Transactions hold at most half of the pool, so that what runs beside them finds a connection.
    transactions: Arc<Semaphore>,
    shared: Vec<tokio::sync::Mutex<Option<Arc<SharedConn>>>>,
    turn: AtomicUsize,
    writers: Writers,
}

/// A connection of the pipelined lane.
pub struct SharedConn {
    conn: AsyncPgConnection,
    place: Place,
    /// Broken, or busy with something long: nobody takes it any more.
    retired: AtomicBool,
    /// Wakes those who wait for it when it is retired.
    given_up: Notify,
}

impl SharedConn {
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.given_up.notify_waiters();
    }

    /// Until something long is known to be in the way.
    pub async fn retired(&self) {
        let mut given_up = std::pin::pin!(self.given_up.notified());
        given_up.as_mut().enable();
        if !self.retired.load(Ordering::Acquire) {
            given_up.await;
        }
    }
}

impl Deref for SharedConn {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.conn
    }
}

/// The connections to one database.
pub struct Lanes {
    id: u64,
    connector: Arc<Connector>,
    slots: Vec<Slot>,
    registered: AtomicUsize,
    strangers: AtomicUsize,
    acquire_timeout: Duration,
    idle_timeout: Duration,
    closed: AtomicBool,
    pub patience: Patience,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Which slot this thread uses, by adapter.
    static SLOT: RefCell<HashMap<u64, usize>> = RefCell::new(HashMap::new());
}

impl Lanes {
    pub fn new(
        connector: Arc<Connector>,
        max: u32,
        workers: usize,
        acquire_timeout: Duration,
        idle_timeout: Duration,
        pipelining: bool,
    ) -> Self {
        let max = usize::try_from(max.max(1)).unwrap_or(1);
        // At least three connections a slot, else two threads with one each would starve in turn.
        let count = workers.clamp(1, (max / 3).max(1));
        let slots = (0..count)
            .map(|index| {
                let share = max / count + usize::from(index < max % count);
                let shared = match share {
                    _ if !pipelining => 0,
                    0..=2 => 0,
                    3..=5 => 1,
                    _ => 2,
                };
                let pool_size = share - shared;
                Slot {
                    home: Arc::default(),
                    pool: OnceLock::new(),
                    pool_size: u32::try_from(pool_size).unwrap_or(1),
                    transactions: Arc::new(Semaphore::new((pool_size / 2).max(1))),
                    shared: (0..shared).map(|_| tokio::sync::Mutex::new(None)).collect(),
                    turn: AtomicUsize::new(0),
                    writers: Writers::default(),
                }
            })
            .collect();
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            connector,
            slots,
            registered: AtomicUsize::new(0),
            strangers: AtomicUsize::new(0),
            acquire_timeout,
            idle_timeout,
            closed: AtomicBool::new(false),
            patience: Patience::default(),
        }
    }

    /// Gives the calling worker thread the next slot. Call it on that thread's runtime.
    pub fn register_thread(&self) {
        let slot = self.registered.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        self.slots[slot].home.settle();
        SLOT.with_borrow_mut(|slots| slots.insert(self.id, slot));
    }

    fn slot(&self) -> &Slot {
        let index = SLOT.with_borrow_mut(|slots| {
            *slots
                .entry(self.id)
                .or_insert_with(|| self.strangers.fetch_add(1, Ordering::Relaxed) % self.slots.len())
        });
        &self.slots[index % self.slots.len()]
    }

    fn pool<'a>(&self, slot: &'a Slot) -> &'a bb8::Pool<Manager> {
        slot.pool.get_or_init(|| {
            bb8::Pool::builder()
                .max_size(slot.pool_size.max(1))
                .min_idle(None)
                .test_on_check_out(false)
                .idle_timeout(Some(self.idle_timeout))
                .max_lifetime(None)
                .connection_timeout(self.acquire_timeout)
                .build_unchecked(Manager(self.connector.clone(), slot.home.clone()))
        })
    }

    /// A connection for the caller alone.
    ///
    /// # Errors
    /// `Exhausted` when none is free within the deadline, `Unavailable` when none can be opened.
    pub async fn get(&self) -> StorageResult<Pooled> {
        self.get_from(self.slot()).await
    }

    async fn get_from(&self, slot: &Slot) -> StorageResult<Pooled> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(StorageError::Unavailable(boxed("the server is shutting down")));
        }
        let pool = self.pool(slot);
        loop {
            match pool.get_owned().await {
                // After a restart of the database every idle connection is dead; taking them all out
                // here is what makes the next request work.
                Ok(mut conn) => {
                    if !conn.is_broken() && conn.place == slot.home.place() {
                        return Ok(conn);
                    }
                    conn.set_dirty(true);
                }
                Err(RunError::User(error)) => return Err(error),
                Err(RunError::TimedOut) => {
                    return Err(StorageError::Exhausted);
                }
            }
        }
    }

    /// A connection for one statement that commits by itself; where all are in use, behind other writes.
    ///
    /// # Errors
    /// As [`Lanes::get`].
    pub async fn writer(&self) -> StorageResult<Writer> {
        let slot = self.slot();
        let pool = self.pool(slot);
        let room = || {
            let state = pool.state();
            state.idle_connections > 0 || state.connections < slot.pool_size
        };
        if !self.closed.load(Ordering::Relaxed)
            && let Some(writer) = slot.writers.join(room)
        {
            return Ok(writer);
        }
        Ok(slot.writers.open(self.get_from(slot).await?))
    }

    /// A connection for a transaction, counted against the half of the pool transactions may hold.
    ///
    /// # Errors
    /// As [`Lanes::get`].
    pub async fn get_for_transaction(&self) -> StorageResult<(Pooled, OwnedSemaphorePermit)> {
        let slot = self.slot();
        let waiting = tokio::time::timeout(self.acquire_timeout, slot.transactions.clone().acquire_owned());
        match waiting.await {
            Ok(Ok(permit)) => Ok((self.get_from(slot).await?, permit)),
            _ => Err(StorageError::Exhausted),
        }
    }

    /// A shared connection for a short read; `None` when this slot has no pipelined lane.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened.
    pub async fn shared(&self) -> StorageResult<Option<Arc<SharedConn>>> {
        let slot = self.slot();
        if slot.shared.is_empty() || self.closed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let turn = slot.turn.fetch_add(1, Ordering::Relaxed) % slot.shared.len();
        let mut place = slot.shared[turn].lock().await;
        let usable = |conn: &&Arc<SharedConn>| {
            !conn.retired.load(Ordering::Relaxed) && conn.place == slot.home.place()
        };
        if let Some(conn) = place.as_ref().filter(usable) {
            return Ok(Some(conn.clone()));
        }
        let (conn, opened_at) = slot.home.connect(&self.connector).await?;
        self.patience.at_least(self.connector.trip());
        let (retired, given_up) = (AtomicBool::new(false), Notify::new());
        let conn = Arc::new(SharedConn { conn, place: opened_at, retired, given_up });
        *place = Some(conn.clone());
        Ok(Some(conn))
    }

    /// Refuses new work and drops the shared connections. Pooled ones close as they come back.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for slot in &self.slots {
            for place in &slot.shared {
                place.lock().await.take();
            }
            if let Some(pool) = slot.pool.get() {
                // Waits for what runs: whoever gets the last connection is us.
                let mut held = Vec::new();
                for _ in 0..pool.state().connections {
                    match tokio::time::timeout(self.acquire_timeout, pool.get_owned()).await {
                        Ok(Ok(conn)) => {
                            conn.set_dirty(true);
                            held.push(conn);
                        }
                        _ => break,
                    }
                }
            }
        }
    }
}

/// The connection for schema changes and notices: outside the lanes, so that open transactions cannot
/// keep it from those who need it. One at a time; opened when first needed.
pub struct ControlLane {
    connector: Arc<Connector>,
    conn: tokio::sync::Mutex<Option<AsyncPgConnection>>,
}

impl ControlLane {
    pub fn new(connector: Arc<Connector>) -> Self {
        Self { connector, conn: tokio::sync::Mutex::new(None) }
    }

    pub fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }

    /// The connection, for the holder alone.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened.
    pub async fn lock(&self) -> StorageResult<Control<'_>> {
        let mut place = self.conn.lock().await;
        let mut kept = place.take();
        let conn = match kept.take_if(|conn| !conn.is_broken()) {
            Some(conn) => conn,
            None => self.connector.connect().await?,
        };
        Ok(Control { place, conn })
    }

    pub async fn close(&self) {
        self.conn.lock().await.take();
    }
}

/// Holder of the control connection. Dropped without [`Control::done`] (an error, a cancelled
/// future), the connection is closed, which ends whatever was open on it.
pub struct Control<'a> {
    place: tokio::sync::MutexGuard<'a, Option<AsyncPgConnection>>,
    conn: AsyncPgConnection,
}

impl Control<'_> {
    /// Gives the connection back in a clean state.
    pub fn done(mut self) {
        *self.place = Some(self.conn);
    }
}

impl Deref for Control<'_> {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.conn
    }
}
