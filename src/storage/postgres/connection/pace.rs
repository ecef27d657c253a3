//! Which statement shapes are quick by experience. A find or count whose filter is plain comparisons may
//! be a matter of microseconds or of seconds; which, only indexes and data know. So such a shape runs on
//! a connection of its own first, and on the pipelined lane for as long as it is found to be quick: now
//! and then it is measured again, and what was slow once keeps off the lane for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// On a connection of its own a quick statement takes no longer.
const QUICK: Duration = Duration::from_millis(5);
/// Slower than a busy machine explains.
const SLOW: Duration = Duration::from_millis(25);
/// One of so many runs is measured again.
const MEASURED: u32 = 64;
const FIRST_BAN: Duration = Duration::from_secs(10);
const LONGEST_BAN: Duration = Duration::from_secs(600);
const MAX_SHAPES: usize = 1000;

#[derive(Debug, Default)]
pub struct Pace {
    shapes: Mutex<HashMap<u64, Shape>>,
}

#[derive(Debug, Default)]
struct Shape {
    quick: bool,
    runs: u32,
    banned: Option<(Instant, Duration)>,
}

impl Shape {
    fn ban(&mut self) {
        self.quick = false;
        let length = self.banned.map_or(FIRST_BAN, |(_, last)| (last * 2).min(LONGEST_BAN));
        self.banned = Some((Instant::now() + length, length));
    }
}

impl Pace {
    /// Whether this run may share a connection.
    pub fn is_quick(&self, shape: u64) -> bool {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = shapes.get_mut(&shape) else { return false };
        known.runs = known.runs.wrapping_add(1);
        known.quick && known.runs % MEASURED != 0
    }

    /// What a run on a connection of its own took.
    pub fn measured(&self, shape: u64, took: Duration) {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if shapes.len() >= MAX_SHAPES && !shapes.contains_key(&shape) {
            shapes.clear();
        }
        let known = shapes.entry(shape).or_default();
        if took > SLOW {
            known.ban();
        } else if known.banned.is_none_or(|(until, _)| until <= Instant::now()) {
            known.quick = took <= QUICK;
        }
    }

    /// It held up the lane until its time was over.
    pub fn blocked(&self, shape: u64) {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shapes.get_mut(&shape) {
            known.ban();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_shares_once_it_was_quick_and_not_after_it_was_slow() {
        let pace = Pace::default();
        assert!(!pace.is_quick(1));
        pace.measured(1, Duration::from_millis(10));
        assert!(!pace.is_quick(1));
        pace.measured(1, Duration::from_millis(1));
        assert!(pace.is_quick(1) && !pace.is_quick(2));
        pace.measured(1, Duration::from_millis(100));
        assert!(!pace.is_quick(1));
        // Not trusted again at once.
        pace.measured(1, Duration::from_millis(1));
        assert!(!pace.is_quick(1));
    }

    #[test]
    fn shapes_are_measured_again_and_barred_when_they_block() {
        let pace = Pace::default();
        pace.measured(1, Duration::ZERO);
        let shared = (0..MEASURED * 10).filter(|_| pace.is_quick(1)).count();
        assert_eq!(shared, (MEASURED as usize - 1) * 10);
        pace.blocked(1);
        assert!(!pace.is_quick(1));
    }
}
