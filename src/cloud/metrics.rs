//! Counts of calls into application code, by name: how many, how many failed, how long they took.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Figures of one function, trigger or job since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallStats {
    pub count: u64,
    pub errors: u64,
    pub total_us: u64,
    pub max_us: u64,
}

#[derive(Debug, Default)]
pub struct Metrics {
    // A std mutex: never held across an await.
    calls: Mutex<BTreeMap<String, CallStats>>,
}

impl Metrics {
    /// Counts a call. Names are those of registered code, so their number is bounded.
    pub fn record(&self, name: &str, took: Duration, failed: bool) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if !calls.contains_key(name) {
            calls.insert(name.to_owned(), CallStats::default());
        }
        if let Some(stats) = calls.get_mut(name) {
            stats.count += 1;
            stats.errors += u64::from(failed);
            stats.total_us = stats.total_us.saturating_add(us);
            stats.max_us = stats.max_us.max(us);
        }
    }

    pub fn snapshot(&self) -> BTreeMap<String, CallStats> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes a line per name that was called since `before`, which becomes the present.
    pub fn log_since(&self, before: &mut BTreeMap<String, CallStats>) {
        let now = self.snapshot();
        for (name, stats) in &now {
            let old = before.get(name).copied().unwrap_or_default();
            let count = stats.count - old.count;
            let took_us = stats.total_us.saturating_sub(old.total_us);
            // Not called since.
            let Some(mean_us) = took_us.checked_div(count) else { continue };
            let errors = stats.errors - old.errors;
            let max_us = stats.max_us;
            tracing::info!(
                name,
                count,
                errors,
                mean_us,
                max_us,
                "Cloud Code {name}: {count} calls, {errors} failed"
            );
        }
        *before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_add_up() {
        let metrics = Metrics::default();
        metrics.record("hello", Duration::from_micros(10), false);
        metrics.record("hello", Duration::from_micros(30), true);
        let stats = metrics.snapshot()["hello"];
        assert_eq!(stats, CallStats { count: 2, errors: 1, total_us: 40, max_us: 30 });
        let mut before = BTreeMap::new();
        metrics.log_since(&mut before);
        assert_eq!(before, metrics.snapshot());
    }
}
