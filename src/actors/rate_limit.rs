//! Rate limits: window buckets and the actor that owns those of the zones ip, user and global. Buckets
//! of the session zone live in the session's own actor.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::types::time::Millis;

/// Buckets are looked through for ended ones when there are this many, and again at each doubling.
const FIRST_SWEEP: usize = 1024;

/// How much a rule allows in how long.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub length: Duration,
}

/// A bucket after a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// This request included.
    pub hits: u64,
    /// When the window ends: milliseconds since 1970.
    pub reset: Millis,
}

#[derive(Debug)]
struct Bucket {
    hits: u64,
    ends: Instant,
    reset: Millis,
}

/// Fixed windows that begin with the first request of a key.
#[derive(Debug)]
pub struct Buckets {
    buckets: HashMap<(usize, String), Bucket>,
    sweep_at: usize,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { buckets: HashMap::new(), sweep_at: FIRST_SWEEP }
    }
}

impl Buckets {
    /// Counts one request of `key` against rule number `rule`.
    pub fn hit(&mut self, rule: usize, key: &str, window: &Window, now: Instant) -> Count {
        if self.buckets.len() >= self.sweep_at {
            self.sweep(now);
            self.sweep_at = (self.buckets.len() * 2).max(FIRST_SWEEP);
        }
        let fresh = || Bucket {
            hits: 0,
            ends: now + window.length,
            reset: Millis(
                Millis::now().0.saturating_add(i64::try_from(window.length.as_millis()).unwrap_or(i64::MAX)),
            ),
        };
        let bucket = self.buckets.entry((rule, key.to_owned())).or_insert_with(fresh);
        if bucket.ends <= now {
            *bucket = fresh();
        }
        bucket.hits += 1;
        Count { hits: bucket.hits, reset: bucket.reset }
    }

    /// Whether every window is over.
    pub fn is_empty(&mut self, now: Instant) -> bool {
        self.sweep(now);
        self.buckets.is_empty()
    }

    fn sweep(&mut self, now: Instant) {
        self.buckets.retain(|_, bucket| bucket.ends > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_with_the_first_request_and_end_alone() {
        let mut buckets = Buckets::default();
        let window = Window { length: Duration::from_secs(10) };
        let start = Instant::now();
        assert_eq!(buckets.hit(0, "a", &window, start).hits, 1);
        assert_eq!(buckets.hit(0, "a", &window, start + Duration::from_secs(9)).hits, 2);
        assert_eq!(buckets.hit(1, "a", &window, start).hits, 1);
        assert_eq!(buckets.hit(0, "b", &window, start).hits, 1);
        assert_eq!(buckets.hit(0, "a", &window, start + Duration::from_secs(10)).hits, 1);
        assert!(!buckets.is_empty(start + Duration::from_secs(15)));
        assert!(buckets.is_empty(start + Duration::from_secs(20)));
    }
}
