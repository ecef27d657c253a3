//! A read replica, and what to do without it: who merely prefers it reads from the primary while it is away. Called by
//! the reads, which ask it again from time to time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pool::Lanes;
use crate::query::ReadPreference;
use crate::storage::StorageError;

/// Between two tries of a replica that is away, each of which may take as long as a connection does.
const PAUSE: Duration = Duration::from_secs(10);

pub struct Replica {
    pub lanes: Lanes,
    /// Away, and not to be asked before.
    away: Mutex<Option<Instant>>,
}

impl Replica {
    pub fn new(lanes: Lanes) -> Self {
        Self { lanes, away: Mutex::default() }
    }

    fn away(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to read from it. Of one that is away: one read finds out, at its time.
    pub fn is_to_be_asked(&self) -> bool {
        let mut away = self.away();
        let (now, until) = (Instant::now(), *away);
        match until {
            Some(until) if now < until => false,
            Some(_) => {
                *away = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    pub fn has_answered(&self) {
        if self.away().take().is_some() {
            tracing::info!("A read replica is back.");
        }
    }

    /// Whether the primary may do better: the replica is away, or behind.
    pub fn has_failed(&self, error: &StorageError) -> bool {
        let is_away = match error {
            StorageError::Unavailable(_) | StorageError::Silent => true,
            // One that is merely busy is no reason to make the primary busy.
            StorageError::Exhausted => !self.lanes.is_connected(),
            // It has not heard of a field yet, or what it hears of ended the read.
            StorageError::StaleSchema(_) | StorageError::Conflict(_) => return true,
            StorageError::Duplicate { .. }
            | StorageError::Refused(_)
            | StorageError::Timeout
            | StorageError::Other(_) => false,
        };
        if is_away && self.away().replace(Instant::now() + PAUSE).is_none() {
            tracing::warn!(
                %error,
                "A read replica is away ({error}): reads that prefer a secondary go to the primary."
            );
        }
        is_away
    }
}

/// Whether the primary may answer instead.
pub fn is_preferred_only(preference: ReadPreference) -> bool {
    matches!(preference, ReadPreference::SecondaryPreferred | ReadPreference::Nearest)
}
