//! The lanes. Each worker thread has a slot of its own; a slot holds a bb8 pool and a few shared
//! connections for short reads that are pipelined. All slots together stay within `max`.
//!
//! Threads that never called [`Lanes::register_thread`] (tests, start-up, other arbiters) are spread
//! over the same slots, so no thread is without connections and the budget holds anyhow. Whoever opens
//! a connection, what drives it runs on the slot's own thread: elsewhere each answer would wake a
//! second thread first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bb8::RunError;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::PoolableConnection;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::connect::Connector;
use super::error::boxed;
use super::patience::Patience;
use super::pooled::{Home, Manager, OpenedOn, Pooled};
use super::writers::{Writer, Writers};
use crate::metrics::{Counter, Page};
use crate::storage::{StorageError, StorageResult};

struct Slot {
    home: Arc<Home>,
    pool: OnceLock<bb8::Pool<Manager>>,
    pool_size: u32,
    /// Transactions hold at most half of the pool, so that what runs beside them finds a connection.
    transactions: Arc<Semaphore>,
    long_reads: Arc<Semaphore>,
    shared: Vec<tokio::sync::Mutex<Option<Arc<SharedConn>>>>,
    turn: AtomicUsize,
    writers: Writers,
    /// Callers that wait for a connection of the pool.
    waiting: AtomicUsize,
    /// Those that got none in time.
    exhausted: Counter,
}

/// One of those who wait.
struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection of the pipelined lane.
pub struct SharedConn {
    conn: AsyncPgConnection,
    place: OpenedOn,
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

/// How often idle connections are looked for, where they may idle longer.
const REAPED: Duration = Duration::from_secs(30);

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
                    long_reads: Arc::new(Semaphore::new((pool_size * 3 / 4).max(1))),
                    shared: (0..shared).map(|_| tokio::sync::Mutex::new(None)).collect(),
                    turn: AtomicUsize::new(0),
                    writers: Writers::default(),
                    waiting: AtomicUsize::new(0),
                    exhausted: Counter::default(),
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
                .reaper_rate(self.idle_timeout.clamp(Duration::from_secs(1), REAPED))
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
        let _in_line = InLine::enter(&slot.waiting);
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
                    slot.exhausted.increment();
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

    /// A connection for a read that may take long, counted against the three quarters of the pool that those may
    /// hold: whoever asks for many of them does not keep others from writing.
    ///
    /// # Errors
    /// As [`Lanes::get`].
    pub async fn get_for_long_read(&self) -> StorageResult<(Pooled, OwnedSemaphorePermit)> {
        let slot = self.slot();
        let waiting = tokio::time::timeout(self.acquire_timeout, slot.long_reads.clone().acquire_owned());
        let permit = {
            let _in_line = InLine::enter(&slot.waiting);
            waiting.await
        };
        match permit {
            Ok(Ok(permit)) => Ok((self.get_from(slot).await?, permit)),
            _ => {
                slot.exhausted.increment();
                Err(StorageError::Exhausted)
            }
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

    /// Whether the caller's slot has a connection.
    pub fn is_connected(&self) -> bool {
        self.slot().pool.get().is_some_and(|pool| pool.state().connections > 0)
    }

    /// Connections and who waits for one.
    pub fn report(&self, page: &mut Page, server: &str) {
        let (mut open, mut idle, mut most, mut waiting, mut exhausted) = (0_u32, 0_u32, 0_u32, 0, 0);
        let (mut shared, mut most_shared, mut transactions) = (0, 0, 0);
        for slot in &self.slots {
            if let Some(pool) = slot.pool.get() {
                let state = pool.state();
                open += state.connections;
                idle += state.idle_connections;
            }
            most += slot.pool_size;
            waiting += slot.waiting.load(Ordering::Relaxed);
            exhausted += slot.exhausted.get();
            most_shared += slot.shared.len();
            // One that is being opened is none yet.
            let open = |place: &&tokio::sync::Mutex<Option<Arc<SharedConn>>>| {
                place.try_lock().is_ok_and(|conn| conn.is_some())
            };
            shared += slot.shared.iter().filter(open).count();
            let may = (slot.pool_size as usize / 2).max(1);
            transactions += may.saturating_sub(slot.transactions.available_permits());
        }
        let help = "Connections to the database that are used by one caller at a time, by what they do.";
        for (state, count) in [("used", open.saturating_sub(idle)), ("idle", idle)] {
            let labels = [("server", server), ("state", state)];
            page.gauge("parsimony_database_pool_connections", help, &labels, count);
        }
        let server = [("server", server)];
        let help = "The most connections there may be of that kind.";
        page.gauge("parsimony_database_pool_connections_max", help, &server, most);
        let help = "Callers that wait for a connection.";
        page.count("parsimony_database_pool_waiting", help, &server, waiting);
        let help = "Callers that got no connection in time.";
        page.counter("parsimony_database_pool_exhausted_total", help, &server, exhausted);
        let help = "Connections over which several short reads go at a time.";
        page.count("parsimony_database_shared_connections", help, &server, shared);
        let help = "The most connections there may be of that kind.";
        page.count("parsimony_database_shared_connections_max", help, &server, most_shared);
        page.count("parsimony_database_transactions", "Transactions that are open.", &server, transactions);
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
