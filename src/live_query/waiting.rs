//! Events that wait for the owner of their class, counted in bytes: writes do not wait for live queries,
//! so what cannot be told in time is bounded here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::size::size_of_event;
use crate::metrics::{Histogram, Page};
use crate::operations::ports::ObjectEvent;

/// Bytes that may wait for one class, and for all of an app.
const OF_A_CLASS: usize = 16 * 1024 * 1024;
const OF_AN_APP: usize = 64 * 1024 * 1024;

/// The bytes of one class, or of all.
pub struct Waiting {
    bytes: AtomicUsize,
    limit: usize,
    all: Option<Arc<Self>>,
    /// Of an app: from the write to the end of the work on its event.
    lag: Histogram,
}

impl Waiting {
    pub fn of_app() -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), limit: OF_AN_APP, all: None, lag: Histogram::default() })
    }

    pub fn of_class(self: &Arc<Self>) -> Arc<Self> {
        let (bytes, lag) = (AtomicUsize::new(0), Histogram::default());
        Arc::new(Self { bytes, limit: OF_A_CLASS, all: Some(self.clone()), lag })
    }

    pub fn report(&self, page: &mut Page) {
        let help = "Live-query events, from the write to when all who listen were told.";
        page.histogram("parsimony_live_query_event_seconds", help, &[], &self.lag.totals());
        let help = "Bytes of live-query events that wait.";
        page.count("parsimony_live_query_waiting_bytes", help, &[], self.bytes.load(Ordering::Relaxed));
    }

    /// Room for the event; `None` when there is none. A single event always finds some.
    pub fn take(self: &Arc<Self>, event: &ObjectEvent) -> Option<WaitingBytes> {
        let bytes = size_of_event(event);
        if !self.add(bytes) {
            return None;
        }
        if self.all.as_ref().is_some_and(|all| !all.add(bytes)) {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        Some(WaitingBytes { waiting: self.clone(), bytes, since: Instant::now() })
    }

    fn add(&self, bytes: usize) -> bool {
        let room = |held: usize| (held == 0 || held + bytes <= self.limit).then_some(held + bytes);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }
}

/// The bytes of one event, held as long as it waits or is worked on.
pub struct WaitingBytes {
    waiting: Arc<Waiting>,
    bytes: usize,
    since: Instant,
}

impl WaitingBytes {
    /// What the event takes, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for WaitingBytes {
    fn drop(&mut self) {
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(all) = &self.waiting.all {
            all.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            all.lag.observe(self.since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::ports::ObjectEventKind;
    use crate::types::ClassName;

    #[test]
    fn what_waits_is_bounded_and_one_event_always_finds_room() {
        let object = json!({ "text": "x".repeat(OF_A_CLASS / 3) }).as_object().cloned().unwrap_or_default();
        let event = ObjectEvent {
            class: ClassName::known("Chat"),
            kind: ObjectEventKind::Saved,
            object: Arc::new(object),
            original: None,
            stamp: 0,
            permissions: None,
        };
        let app = Waiting::of_app();
        let classes: Vec<_> = (0..8).map(|_| app.of_class()).collect();
        let mut held: Vec<WaitingBytes> = Vec::new();
        for class in &classes {
            held.extend((0..9).filter_map(|_| class.take(&event)));
            assert!(class.bytes.load(Ordering::Relaxed) <= OF_A_CLASS);
        }
        assert!(held.len() >= 8 && app.bytes.load(Ordering::Relaxed) <= OF_AN_APP);
        held.clear();
        assert_eq!(app.bytes.load(Ordering::Relaxed), 0);
        assert!(classes.iter().all(|class| class.bytes.load(Ordering::Relaxed) == 0));
        let large = json!({ "text": "x".repeat(OF_AN_APP) }).as_object().cloned().unwrap_or_default();
        let large = ObjectEvent { object: Arc::new(large), ..event };
        let first = classes[0].take(&large);
        assert!(first.is_some() && classes[0].take(&large).is_none() && classes[1].take(&large).is_none());
    }
}
