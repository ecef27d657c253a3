//! Who writes on which connection. A write of one object is one statement that commits by itself: when
//! every connection of the slot is in use, the next one is sent behind those under way instead of
//! waiting for its turn in the pool. Answers and requests then travel several to a packet, and no
//! connection idles between two of them.
//!
//! What is sent first is done first, so one that waits (for a row lock, say) holds up those behind it.
//! Hence the bounds: nobody joins a connection whose statements stopped being answered, and each goes
//! back to the pool after some writes, where others queue for it. Work that an open transaction may be
//! waiting for never joins (see [`crate::storage::StorageAdapter::independent`]).

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::pooled::{PgConn, Pooled};
use crate::storage::postgres::command;

/// Statements under way on one connection at most.
const DEPTH: u32 = 8;
/// Writes after which a connection goes back to the pool.
const TURNS: u32 = 32;
/// Without an answer for so long, the statement in front is waiting for something.
const STALLED: Duration = Duration::from_millis(20);

/// A connection taken from the pool for as long as writes are under way on it.
struct Lane {
    conn: Pooled,
    load: Mutex<Load>,
}

impl Lane {
    /// One statement fewer is under way.
    fn moved(&self) {
        let mut load = lock(&self.load);
        load.under_way = load.under_way.saturating_sub(1);
        load.moved = Instant::now();
    }
}

struct Load {
    under_way: u32,
    turns_left: u32,
    /// When the last statement was answered, or the first one sent.
    moved: Instant,
}

impl Load {
    fn takes_more(&self, now: Instant) -> bool {
        let moves = self.under_way == 0 || now.duration_since(self.moved) < STALLED;
        self.turns_left > 0 && self.under_way < DEPTH && moves
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to send one statement. Given back when that was answered, whether or not whoever sent it
/// still waits.
pub struct Writer {
    lane: Arc<Lane>,
    answered: bool,
}

impl Writer {
    fn join(lane: Arc<Lane>, now: Instant) -> Self {
        {
            let mut load = lock(&lane.load);
            if load.under_way == 0 {
                load.moved = now;
            }
            load.under_way += 1;
            load.turns_left = load.turns_left.saturating_sub(1);
        }
        Self { lane, answered: false }
    }

    /// Nothing is under way any more.
    pub fn answered(&mut self) {
        self.answered = true;
    }

    /// For one caller alone.
    pub fn alone(conn: Pooled) -> Self {
        let now = Instant::now();
        let load = Mutex::new(Load { under_way: 0, turns_left: 1, moved: now });
        Self::join(Arc::new(Lane { conn, load }), now)
    }

    /// Nobody joins any more, and the connection is closed once those under way are answered.
    pub fn retire(&self) {
        self.lane.conn.set_dirty(true);
        lock(&self.lane.load).turns_left = 0;
    }
}

impl Deref for Writer {
    type Target = PgConn;
    fn deref(&self) -> &PgConn {
        &self.lane.conn
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.answered
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            // The statement is on its way, and happens: the connection is kept until it has.
            let lane = self.lane.clone();
            runtime.spawn(async move {
                if command(&lane.conn, "").await.is_err() {
                    lane.conn.set_dirty(true);
                }
                lane.moved();
            });
            return;
        }
        self.lane.moved();
    }
}

/// The connections of one slot on which writes are under way.
#[derive(Default)]
pub struct Writers(Mutex<Vec<Weak<Lane>>>);

impl Writers {
    /// A place behind others, on the connection with the fewest. `None` while the pool has `room`, or
    /// when no connection takes more.
    pub fn join(&self, room: impl FnOnce() -> bool) -> Option<Writer> {
        let mut lanes = lock(&self.0);
        lanes.retain(|lane| lane.strong_count() > 0);
        if lanes.is_empty() || room() {
            return None;
        }
        let now = Instant::now();
        let open = lanes.iter().filter_map(Weak::upgrade).filter_map(|lane| {
            let under_way = {
                let load = lock(&lane.load);
                load.takes_more(now).then_some(load.under_way)
            };
            Some((under_way?, lane))
        });
        let (_, lane) = open.min_by_key(|(under_way, _)| *under_way)?;
        Some(Writer::join(lane, now))
    }

    /// A connection that others may join.
    pub fn open(&self, conn: Pooled) -> Writer {
        let now = Instant::now();
        let lane =
            Arc::new(Lane { conn, load: Mutex::new(Load { under_way: 0, turns_left: TURNS, moved: now }) });
        lock(&self.0).push(Arc::downgrade(&lane));
        Writer::join(lane, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let now = Instant::now();
        let load = |under_way, turns_left, moved| Load { under_way, turns_left, moved };
        assert!(load(1, 1, now).takes_more(now));
        assert!(!load(1, 0, now).takes_more(now));
        assert!(!load(DEPTH, 1, now).takes_more(now));
        assert!(!load(1, 1, now).takes_more(now + STALLED));
        assert!(load(0, 1, now).takes_more(now + STALLED));
    }
}
