//! Which statements are prepared.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError, RwLock};

use super::Sql;

/// Which statement shapes may be prepared: those seen before, and no more than a fixed number of
/// them. Shared by all connections of an adapter, so it bounds every connection's cache.
#[derive(Debug, Default)]
pub struct Shapes {
    admitted: RwLock<HashSet<u64>>,
    seen_once: Mutex<HashSet<u64>>,
}

/// Shapes prepared per connection at most.
const MAX_SHAPES: usize = 500;
/// Bound of the memory of shapes seen once.
const MAX_SEEN_ONCE: usize = 4096;

impl Shapes {
    /// Leaves the statement cacheable when its shape was seen before and there is room for it.
    pub fn admit(&self, sql: &mut Sql) {
        if sql.uncacheable {
            return;
        }
        let shape = sql.shape();
        if self.admitted.read().unwrap_or_else(PoisonError::into_inner).contains(&shape) {
            return;
        }
        let mut seen_once = self.seen_once.lock().unwrap_or_else(PoisonError::into_inner);
        if seen_once.remove(&shape) {
            let mut admitted = self.admitted.write().unwrap_or_else(PoisonError::into_inner);
            if admitted.len() < MAX_SHAPES {
                admitted.insert(shape);
                return;
            }
        }
        if seen_once.len() >= MAX_SEEN_ONCE {
            seen_once.clear();
        }
        seen_once.insert(shape);
        sql.uncacheable = true;
    }

    /// How many may be prepared.
    pub fn count(&self) -> usize {
        self.admitted.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_admitted_on_second_sight() {
        let shapes = Shapes::default();
        let make = || {
            let mut sql = Sql::new("SELECT ");
            sql.push_text("v");
            sql
        };
        let (mut first, mut second, mut third) = (make(), make(), make());
        shapes.admit(&mut first);
        shapes.admit(&mut second);
        shapes.admit(&mut third);
        assert!(!first.is_cacheable() && second.is_cacheable() && third.is_cacheable());
    }
}
