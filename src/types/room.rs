//! Memory for what is read, accounted while it comes: who asks lends a [`Room`], storage takes from it row by
//! row, and what was taken is given back when the rows are dropped.

use std::fmt;
use std::sync::Arc;

/// Bytes that may be held at a time.
pub trait Room: Send + Sync + fmt::Debug {
    /// False when there are not so many.
    fn take(&self, bytes: usize) -> bool;
    fn give_back(&self, bytes: usize);
}

/// A room that was lent; without one there is no limit.
#[derive(Clone, Debug, Default)]
pub struct Lent(Option<Arc<dyn Room>>);

impl Lent {
    pub fn of(room: Arc<dyn Room>) -> Self {
        Self(Some(room))
    }
}

/// It says nothing about what is asked.
impl PartialEq for Lent {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What one result has taken.
#[derive(Debug, Default)]
pub struct Taken {
    room: Lent,
    bytes: usize,
}

/// Takes this much at a time, so that most rows cost a comparison.
const STEP: usize = 16 * 1024;

impl Taken {
    pub fn from(room: &Lent) -> Self {
        Self { room: room.clone(), bytes: 0 }
    }

    /// Whether there is room for a result that has grown to so many bytes.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Some(room) = self.room.0.as_ref().filter(|_| bytes >= self.bytes + STEP) else { return true };
        let more = bytes - self.bytes;
        let is_there = room.take(more);
        if is_there {
            self.bytes = bytes;
        }
        is_there
    }
}

/// A copy is accounted nowhere.
impl Clone for Taken {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(room) = self.room.0.as_ref().filter(|_| self.bytes > 0) {
            room.give_back(self.bytes);
        }
    }
}
