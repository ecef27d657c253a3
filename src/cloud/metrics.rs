//! Counts of calls into application code, by name: how many, how many failed, how long they took. Names are those
//! of registered code; beyond a number of them the rest is counted together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::{Counter, Family, Histogram, OTHER, Page};

/// Figures of one function, trigger or job since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallStats {
    pub count: u64,
    pub errors: u64,
    pub total_us: u64,
    pub max_us: u64,
}

/// What is called, and where it runs.
#[derive(Clone, Copy, Debug)]
pub struct Callee<'a> {
    /// `node` for the hosts, `webhook` for what is behind HTTP.
    pub host: &'static str,
    /// `function`, `trigger` or `job`.
    pub kind: &'static str,
    /// Triggers read `beforeSave.Game`.
    pub name: &'a str,
}

#[derive(Debug, Default)]
struct Calls {
    times: Histogram,
    errors: Counter,
    max_us: AtomicU64,
}

#[derive(Debug, Default)]
pub struct Metrics {
    /// By host, kind and name with a space between them.
    calls: Family<Calls>,
}

impl Metrics {
    /// Counts a call.
    pub fn record(&self, callee: Callee<'_>, took: Duration, failed: bool) {
        let Callee { host, kind, name } = callee;
        let calls = self.calls.of(&format!("{host} {kind} {name}"));
        calls.times.observe(took);
        if failed {
            calls.errors.increment();
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if calls.max_us.load(Ordering::Relaxed) < us {
            calls.max_us.fetch_max(us, Ordering::Relaxed);
        }
    }

    /// By name; jobs read `job.nightly`.
    pub fn snapshot(&self) -> BTreeMap<String, CallStats> {
        let mut all = BTreeMap::<String, CallStats>::new();
        for (key, calls) in self.calls.all() {
            let (_, kind, name) = parts(&key);
            let totals = calls.times.totals();
            if totals.count() == 0 {
                continue;
            }
            let name = if kind == "job" { format!("job.{name}") } else { name.to_owned() };
            let stats = all.entry(name).or_default();
            stats.count += totals.count();
            stats.errors += calls.errors.get();
            stats.total_us = stats.total_us.saturating_add(totals.sum_us);
            stats.max_us = stats.max_us.max(calls.max_us.load(Ordering::Relaxed));
        }
        all
    }

    pub fn report(&self, page: &mut Page) {
        let help = "Calls of functions, triggers and jobs, by name and where they run.";
        let errors = "Calls of functions, triggers and jobs that failed or refused.";
        for (key, calls) in self.calls.all() {
            let (host, kind, name) = parts(&key);
            let labels = [("host", host), ("kind", kind), ("name", name)];
            let totals = calls.times.totals();
            if totals.count() > 0 {
                page.histogram("parsimony_cloud_call_seconds", help, &labels, &totals);
                page.counter("parsimony_cloud_call_errors_total", errors, &labels, calls.errors.get());
            }
        }
    }

    /// Writes a line per name that was called since `before`, which becomes the present.
    pub fn log_since(&self, before: &mut BTreeMap<String, CallStats>) {
        let now = self.snapshot();
        for (name, stats) in &now {
            let old = before.get(name).copied().unwrap_or_default();
            let count = stats.count.saturating_sub(old.count);
            let took_us = stats.total_us.saturating_sub(old.total_us);
            // Not called since.
            let Some(mean_us) = took_us.checked_div(count) else { continue };
            let errors = stats.errors.saturating_sub(old.errors);
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

/// Host, kind and name of a key.
fn parts(key: &str) -> (&str, &str, &str) {
    let mut parts = key.splitn(3, ' ');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(host), Some(kind), Some(name)) => (host, kind, name),
        _ => (OTHER, OTHER, OTHER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_add_up() {
        let metrics = Metrics::default();
        let hello = Callee { host: "node", kind: "function", name: "hello world" };
        metrics.record(hello, Duration::from_micros(10), false);
        metrics.record(hello, Duration::from_micros(30), true);
        let stats = metrics.snapshot()["hello world"];
        assert_eq!(stats, CallStats { count: 2, errors: 1, total_us: 40, max_us: 30 });
        metrics.record(Callee { kind: "job", ..hello }, Duration::ZERO, false);
        assert_eq!(metrics.snapshot()["job.hello world"].count, 1);
        let mut before = BTreeMap::new();
        metrics.log_since(&mut before);
        assert_eq!(before, metrics.snapshot());
        let mut page = Page::default();
        metrics.report(&mut page);
        let labels = "{host=\"node\",kind=\"function\",name=\"hello world\"}";
        let text = page.render();
        assert!(text.contains(&format!("parsimony_cloud_call_seconds_count{labels} 2\n")), "{text}");
        assert!(text.contains(&format!("parsimony_cloud_call_errors_total{labels} 1\n")), "{text}");
    }
}
