//! Numbers that many threads add to and hardly anybody reads.
//!
//! The first threads have a cell each, to which nobody else writes, so that adding is a plain load and a plain store;
//! the threads after them share the last cell and add atomically. A reader sums the cells up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Worker threads, and a few for everything beside requests; the last cell is shared.
const SHARDS: usize = 16;
const SHARED: usize = SHARDS - 1;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The calling thread's cell.
fn shard() -> usize {
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT.fetch_add(1, Ordering::Relaxed).min(SHARED));
        }
        shard.get()
    })
}

/// Adds to a number of this thread's cell.
fn add_to(number: &AtomicU64, shard: usize, amount: u64) {
    if shard == SHARED {
        number.fetch_add(amount, Ordering::Relaxed);
    } else {
        // Nobody else writes it.
        number.store(number.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }
}

/// Of two cache lines, which processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter([Padded; SHARDS]);

impl Counter {
    /// For one that belongs to the process.
    pub const fn new() -> Self {
        Self([const { Padded(AtomicU64::new(0)) }; SHARDS])
    }

    pub fn add(&self, amount: u64) {
        let shard = shard();
        if let Some(cell) = self.0.get(shard) {
            add_to(&cell.0, shard, amount);
        }
    }

    pub fn increment(&self) {
        self.add(1);
    }

    pub fn get(&self) -> u64 {
        self.0.iter().map(|cell| cell.0.load(Ordering::Relaxed)).sum()
    }
}

/// Upper bounds of the buckets, in microseconds, and as the page writes them, in seconds. Everything longer is in
/// one more.
pub const BOUNDS: [(u64, &str); 14] = [
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (10_000_000, "10"),
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// Times. Two additions each: a bucket and the sum.
#[derive(Debug, Default)]
pub struct Histogram([Shard; SHARDS]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    buckets: [AtomicU64; BUCKETS],
    /// Microseconds.
    sum: AtomicU64,
}

/// What a histogram held when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// In each bucket, those below it not counted.
    pub buckets: [u64; BUCKETS],
    pub sum_us: u64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|(bound, _)| us <= *bound).unwrap_or(BOUNDS.len());
        let shard = shard();
        let Some(cell) = self.0.get(shard) else { return };
        if let Some(bucket) = cell.buckets.get(bucket) {
            add_to(bucket, shard, 1);
        }
        add_to(&cell.sum, shard, us);
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in &self.0 {
            for (total, bucket) in totals.buckets.iter_mut().zip(&shard.buckets) {
                *total += bucket.load(Ordering::Relaxed);
            }
            totals.sum_us = totals.sum_us.wrapping_add(shard.sum.load(Ordering::Relaxed));
        }
        totals
    }
}

impl Totals {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let (counter, times) = (Arc::new(Counter::default()), Arc::new(Histogram::default()));
        let threads: Vec<_> = (0..20)
            .map(|n| {
                let (counter, times) = (counter.clone(), times.clone());
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        counter.add(2);
                        times.observe(Duration::from_micros(n * 100));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(counter.get(), 40_000);
        let totals = times.totals();
        assert_eq!((totals.count(), totals.sum_us), (20_000, 190 * 100 * 1000));
        // 0, 100, 200; 300, 400, 500; 600 to 1000.
        assert_eq!(totals.buckets[..3], [3000, 3000, 5000]);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let times = Histogram::default();
        times.observe(Duration::from_micros(250));
        times.observe(Duration::from_micros(251));
        times.observe(Duration::from_secs(11));
        let totals = times.totals();
        assert_eq!((totals.buckets[0], totals.buckets[1], totals.buckets[BUCKETS - 1]), (1, 1, 1));
        for (us, text) in BOUNDS {
            assert_eq!(text.parse::<f64>().unwrap(), us as f64 / 1e6);
        }
    }
}
