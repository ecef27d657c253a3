//! Fixed windows that count requests, in memory: owned by the actors of classes and sessions, and by the rate
//! limit actor.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix::Message;

use crate::error::Result;
use crate::types::time::Millis;

/// Buckets are looked through for ended ones when there are this many, and again at each doubling.
const FIRST_SWEEP: usize = 1024;

/// How long requests are counted together.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub length: Duration,
}

impl Window {
    /// Nonsense (negative, not finite) is no time at all.
    pub fn from_millis(millis: f64) -> Self {
        const LONGEST_S: f64 = 1e9;
        Self { length: Duration::from_secs_f64((millis / 1000.0).clamp(0.0, LONGEST_S)) }
    }

    pub fn millis(&self) -> i64 {
        i64::try_from(self.length.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A bucket after a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// This request included.
    pub hits: u64,
    /// When the window ends: milliseconds since 1970.
    pub reset: Millis,
}

/// Counts one request of `key` against a rule, with the owner of the rule's buckets.
pub struct Hit {
    pub rule: u64,
    pub key: String,
    pub window: Window,
}

impl Message for Hit {
    type Result = Result<Count>;
}

#[derive(Debug)]
struct Bucket {
    hits: u64,
    ends: Instant,
    reset: Millis,
}

/// Windows begin with the first request of a key.
#[derive(Debug)]
pub struct Buckets {
    buckets: HashMap<(u64, String), Bucket>,
    sweep_at: usize,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { buckets: HashMap::new(), sweep_at: FIRST_SWEEP }
    }
}

impl Buckets {
    /// Counts one request of `key` against the rule with this number.
    pub fn hit(&mut self, rule: u64, key: &str, window: &Window, now: Instant) -> Count {
        if self.buckets.len() >= self.sweep_at {
            self.sweep(now);
            self.sweep_at = (self.buckets.len() * 2).max(FIRST_SWEEP);
        }
        let fresh = || Bucket {
            hits: 0,
            ends: now + window.length,
            reset: Millis(Millis::now().0.saturating_add(window.millis())),
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
        let window = Window::from_millis(10_000.0);
        let start = Instant::now();
        assert_eq!(buckets.hit(0, "a", &window, start).hits, 1);
        assert_eq!(buckets.hit(0, "a", &window, start + Duration::from_secs(9)).hits, 2);
        assert_eq!(buckets.hit(1, "a", &window, start).hits, 1);
        assert_eq!(buckets.hit(0, "b", &window, start).hits, 1);
        assert_eq!(buckets.hit(0, "a", &window, start + Duration::from_secs(10)).hits, 1);
        assert!(!buckets.is_empty(start + Duration::from_secs(15)));
        assert!(buckets.is_empty(start + Duration::from_secs(20)));
    }

    #[test]
    fn ended_windows_are_swept() {
        let mut buckets = Buckets::default();
        let window = Window::from_millis(1.0);
        let start = Instant::now();
        for n in 0..10 * FIRST_SWEEP {
            buckets.hit(0, &n.to_string(), &window, start + Duration::from_millis(n as u64));
        }
        assert!(buckets.buckets.len() <= FIRST_SWEEP, "{}", buckets.buckets.len());
    }
}
