//! Connections that autocommitted writes share. A write waits for the disk, not for us: while one does,
//! the next is sent behind it on the same connection, and PostgreSQL goes on without our asking.
//!
//! A shared connection is one of the pool's, lent for as long as writes are under way on it. Only
//! single statements that insert or touch one object come here, and they share only while this server
//! has no open transaction: a write that waits for a transaction's row lock must not hold up one that
//! the same transaction's Cloud Code waits for. Who wants a connection alone is let in first.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel_async::AsyncPgConnection;

use super::pool::Pooled;

/// Writes under way on one connection.
const DEPTH: usize = 16;
/// Nobody joins a connection that has not finished a write for this long: it waits for a lock.
const STUCK: Duration = Duration::from_millis(100);

/// The connections of one slot that are lent to writes.
#[derive(Default)]
pub struct Writers {
    open: Mutex<Vec<Writer>>,
    /// Callers who wait for a connection of their own.
    waiting: AtomicUsize,
}

struct Writer {
    conn: Arc<Pooled>,
    under_way: usize,
    /// When a write last ended here, or the first began.
    progress: Instant,
}

impl Writer {
    fn can_be_joined(&self) -> bool {
        self.under_way < DEPTH && self.progress.elapsed() < STUCK && !self.conn.is_dirty()
    }
}

impl Writers {
    fn open(&self) -> MutexGuard<'_, Vec<Writer>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the caller as waiting for a connection of its own until the guard is dropped.
    pub fn make_way(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// A place on the least busy connection. `None` when a connection should be taken from the pool:
    /// none can be joined, somebody waits for one, or the pool has one to `spare`.
    pub fn join(self: &Arc<Self>, spare: impl FnOnce() -> bool) -> Option<WriteTurn> {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let mut open = self.open();
        let free = open.iter_mut().filter(|writer| writer.can_be_joined());
        let writer = free.min_by_key(|writer| writer.under_way)?;
        if spare() {
            return None;
        }
        writer.under_way += 1;
        Some(WriteTurn { conn: writer.conn.clone(), writers: self.clone() })
    }

    /// A place on a connection that the caller took; with `shared` others may join it.
    pub fn lend(self: &Arc<Self>, conn: Pooled, shared: bool) -> WriteTurn {
        let conn = Arc::new(conn);
        if shared {
            self.open().push(Writer { conn: conn.clone(), under_way: 1, progress: Instant::now() });
        }
        WriteTurn { conn, writers: self.clone() }
    }

    fn leave(&self, conn: &Arc<Pooled>) {
        let mut open = self.open();
        let Some(index) = open.iter().position(|writer| Arc::ptr_eq(&writer.conn, conn)) else { return };
        let writer = &mut open[index];
        writer.under_way -= 1;
        writer.progress = Instant::now();
        if writer.under_way == 0 {
            let last = open.swap_remove(index);
            // Given back to the pool by the turn that is being dropped.
            drop(open);
            drop(last);
        }
    }
}

/// See [`Writers::make_way`].
pub struct Waiting<'a>(&'a Writers);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to run one statement. Dropped early, a statement that was sent still runs; who gets the
/// connection next comes after it.
pub struct WriteTurn {
    conn: Arc<Pooled>,
    writers: Arc<Writers>,
}

impl WriteTurn {
    /// Nobody joins this connection any more, and the pool closes it.
    pub fn retire(&self) {
        self.conn.set_dirty(true);
    }
}

impl Deref for WriteTurn {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.conn
    }
}

impl Drop for WriteTurn {
    fn drop(&mut self) {
        self.writers.leave(&self.conn);
    }
}
