//! Tells a slow database from a slow statement in front of a short read that shares its connection, and
//! bounds what is sent twice. A database that answers slowly is waited for: sending everything again would
//! be what it needs least. Only when others are answered quickly is the connection held up, and then a
//! read goes to one of its own, as long as such reads are few.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Nothing is suspected before.
const LEAST: Duration = Duration::from_millis(250);
/// Nor before so many times the usual.
const TIMES: u32 = 4;
/// One answer's share in the usual.
const SHARE: u32 = 8;
/// Reads for each one that may be sent twice.
const READS: u32 = 10;
/// Such reads that may be saved up.
const SAVED: u32 = 20;

/// Of the reads to one database.
pub struct Patience {
    /// How long a short read usually takes, in microseconds.
    usual: AtomicU32,
    /// Reads that were not sent twice.
    credit: AtomicU32,
    /// One at a time finds out what is slow.
    asking: AtomicBool,
}

impl Default for Patience {
    fn default() -> Self {
        Self { usual: AtomicU32::new(0), credit: AtomicU32::new(READS), asking: AtomicBool::new(false) }
    }
}

/// The right to find out.
pub struct Question<'a>(&'a AtomicBool);

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

impl Patience {
    /// Beyond this, something is in the way, or the database became slow.
    pub fn limit(&self) -> Duration {
        LEAST.max(self.usual().saturating_mul(TIMES))
    }

    pub fn usual(&self) -> Duration {
        Duration::from_micros(u64::from(self.usual.load(Ordering::Relaxed)))
    }

    /// A short read was answered. Updates of several threads may get lost, which is no harm.
    pub fn answered(&self, took: Duration) {
        let usual = self.usual.load(Ordering::Relaxed);
        // One that waited behind something says little about the rest.
        let took = micros(took.min(self.limit().saturating_mul(2)));
        let share = |from: u32, to: u32| (from - to).div_ceil(SHARE);
        let next = if took > usual { usual + share(took, usual) } else { usual - share(usual, took) };
        self.usual.store(next, Ordering::Relaxed);
        if self.credit.load(Ordering::Relaxed) < SAVED * READS {
            self.credit.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One trip to the database takes this long.
    pub fn at_least(&self, trip: Duration) {
        self.usual.fetch_max(micros(trip), Ordering::Relaxed);
    }

    /// `None` while somebody is finding out already.
    pub fn ask(&self) -> Option<Question<'_>> {
        (!self.asking.swap(true, Ordering::Acquire)).then_some(Question(&self.asking))
    }

    /// Whether one more read may be sent twice.
    pub fn spend(&self) -> bool {
        let pay = |credit: u32| credit.checked_sub(READS);
        self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_follows_the_database() {
        let patience = Patience::default();
        assert_eq!(patience.limit(), LEAST);
        patience.at_least(Duration::from_millis(400));
        assert_eq!(patience.limit(), Duration::from_millis(1600));
        for _ in 0..100 {
            patience.answered(Duration::from_millis(1));
        }
        assert_eq!(patience.limit(), LEAST);
        for _ in 0..40 {
            patience.answered(Duration::from_millis(400));
        }
        assert!(patience.limit() > Duration::from_millis(1500));
    }

    #[test]
    fn one_in_ten_is_sent_twice() {
        let patience = Patience::default();
        let mut spent = 0;
        for _ in 0..1000 {
            patience.answered(Duration::ZERO);
            spent += u32::from(patience.spend());
        }
        assert_eq!(spent, 101);
        for _ in 0..1000 {
            patience.answered(Duration::ZERO);
        }
        let saved = (0..1000).filter(|_| patience.spend()).count();
        assert!(saved <= 21, "{saved}");
    }

    #[test]
    fn one_asks_at_a_time() {
        let patience = Patience::default();
        let asking = patience.ask();
        assert!(asking.is_some() && patience.ask().is_none());
        drop(asking);
        assert!(patience.ask().is_some());
    }
}
