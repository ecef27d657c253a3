//! Bytes that are left for an answer while it is made: a field may be asked for under many names, and each name
//! shows it once more.

use std::cell::Cell;

#[derive(Debug)]
pub struct Room {
    left: Cell<usize>,
    full: Cell<bool>,
}

impl Room {
    pub fn of(bytes: usize) -> Self {
        Self { left: Cell::new(bytes), full: Cell::new(false) }
    }

    /// Whether there is so much. Once there is not, there is nothing.
    pub fn take(&self, bytes: usize) -> bool {
        match self.left.get().checked_sub(bytes) {
            Some(left) if !self.full.get() => {
                self.left.set(left);
                true
            }
            _ => {
                self.full.set(true);
                false
            }
        }
    }

    pub fn left(&self) -> usize {
        self.left.get()
    }

    pub fn is_full(&self) -> bool {
        self.full.get()
    }
}
