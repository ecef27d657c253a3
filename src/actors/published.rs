//! Numbers that one actor publishes and everybody may read: generations (what was read under an older one does
//! not count any more) and limits. The half that writes cannot be cloned, so that there is one owner.
//!
//! Used by the role actor and the session directory, which own numbers, and by caches, which ask whether what they
//! remember still counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The owner's half.
#[derive(Debug)]
pub struct NumberOwner(Arc<AtomicU64>);

/// What everybody else has of it.
#[derive(Clone, Debug)]
pub struct Number(Arc<AtomicU64>);

impl NumberOwner {
    pub fn new(value: u64) -> Self {
        Self(Arc::new(AtomicU64::new(value)))
    }

    pub fn reader(&self) -> Number {
        Number(self.0.clone())
    }

    /// Begins the next generation.
    pub fn raise(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

impl Number {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
