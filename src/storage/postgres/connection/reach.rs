//! Whether a database is reached: told once when it is not any more, with the reason, and once when it is again. Who
//! waits for a connection of the pool hears only that there was none in time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::storage::StorageResult;

/// A database that takes some connections and refuses others is told of no more often.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct State {
    /// Before the first time the start tells what is wrong.
    was_reached: bool,
    is_away: bool,
    told: Option<Instant>,
}

/// Of one database.
pub struct Reach {
    /// `host:port`
    name: String,
    state: Mutex<State>,
}

impl Reach {
    pub fn of(name: String) -> Self {
        Self { name, state: Mutex::default() }
    }

    /// A connection was opened, or could not be.
    pub fn note<T>(&self, opened: &StorageResult<T>) {
        let name = &self.name;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match opened {
            Ok(_) => {
                state.was_reached = true;
                if std::mem::take(&mut state.is_away) {
                    tracing::info!("The database at {name} is reached again.");
                }
            }
            Err(error) => {
                let is_news = !state.is_away && state.told.is_none_or(|told| told.elapsed() > PAUSE);
                if state.was_reached && is_news {
                    state.is_away = true;
                    state.told = Some(Instant::now());
                    tracing::warn!(%error, "The database at {name} cannot be reached: {error}");
                }
            }
        }
    }
}
