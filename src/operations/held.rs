//! What a server has claimed of the work queue and still works at, for jobs and pushes. Only that is renewed: a claim whose
//! answer was lost, or an item that was given up, runs out and is done by somebody.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Ids of items of the work queue.
#[derive(Debug, Default)]
pub struct Held(Mutex<HashSet<i64>>);

impl Held {
    /// The item counts until the answer is dropped.
    pub fn hold(self: &Arc<Self>, id: i64) -> Holding {
        self.items().insert(id);
        Holding { held: self.clone(), id }
    }

    pub fn ids(&self) -> Vec<i64> {
        self.items().iter().copied().collect()
    }

    fn items(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub struct Holding {
    held: Arc<Held>,
    id: i64,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.items().remove(&self.id);
    }
}
