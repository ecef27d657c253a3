//! What recently happened in a class, for clients that come back: a bounded list in memory, kept
//! while somebody who may come back listens, or did a moment ago.
//!
//! An event's id is `<node>-<number>-<microseconds>`, sealed: numbers of one server process count up over all
//! classes in the order in which frames leave, so the last id that a client saw says what it missed. The
//! time is there for the durable log, which outlives the process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::operations::ports::ObjectEvent;
use crate::operations::seal::Seal;
use crate::types::limits::MAX_RESUME_BYTES;
use crate::types::names::random_alphanumeric;

/// What ids are sealed for.
const PURPOSE: &str = "live query resume";
/// Events and bytes kept for one class at most.
const MOST_EVENTS: usize = 5_000;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A place in the order of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId {
    pub node: String,
    pub number: u64,
    pub micros: i64,
}

impl EventId {
    /// As clients carry it: `<seal>-<number>-<microseconds>`. The seal alone counts, what follows lets a
    /// client tell which of two came later.
    pub fn seal(&self, seal: &Seal) -> String {
        let sealed = seal.seal(PURPOSE, self.to_string().as_bytes());
        // Letters, digits and underscores: a hyphen ends the seal.
        let sealed = sealed.replace('_', "__").replace('-', "_h");
        format!("{sealed}-{}-{}", self.number, self.micros)
    }

    /// `None` for what is no id of ours.
    pub fn open(seal: &Seal, text: &str) -> Option<Self> {
        let (sealed, _) = text.split_once('-').filter(|_| text.len() <= MAX_RESUME_BYTES)?;
        let sealed = sealed.split("__").map(|part| part.replace("_h", "-")).collect::<Vec<_>>().join("_");
        let plain = seal.open(PURPOSE, &sealed)?;
        Self::parse(std::str::from_utf8(&plain).ok()?)
    }

    /// What was sealed; `None` for what is no id of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let id = Self {
            node: parts.next()?.to_owned(),
            number: parts.next()?.parse().ok()?,
            micros: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(id)
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.node, self.number, self.micros)
    }
}

/// Numbers the events of one server process.
pub struct Counter {
    node: String,
    last: AtomicU64,
    /// Something may be missing at or before this number.
    gap: AtomicU64,
}

impl Default for Counter {
    fn default() -> Self {
        Self { node: random_alphanumeric(12), last: AtomicU64::new(0), gap: AtomicU64::new(0) }
    }
}

impl Counter {
    pub fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The newest number given out.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    pub fn id(&self, number: u64) -> EventId {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EventId {
            node: self.node.clone(),
            number,
            micros: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
        }
    }

    /// Events before now may not all have been heard.
    pub fn mark_gap(&self) {
        self.gap.fetch_max(self.last(), Ordering::Relaxed);
    }

    /// Whether the rings of this process have all that came after.
    pub fn knows(&self, id: &EventId) -> bool {
        id.node == self.node && id.number >= self.gap.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
pub struct Kept {
    pub number: u64,
    pub event: Arc<ObjectEvent>,
    size: usize,
}

/// The ring of one class.
pub struct Ring {
    events: VecDeque<Kept>,
    bytes: usize,
    /// Everything after this number is here.
    complete_after: u64,
    /// Whether events are being kept at all.
    keeps: bool,
}

impl Default for Ring {
    fn default() -> Self {
        Self { events: VecDeque::new(), bytes: 0, complete_after: u64::MAX, keeps: false }
    }
}

impl Ring {
    /// Begins to keep events, or goes on; `last` is the newest number given out. Without continuity (the
    /// class was not listened to for a while) what was kept is not all that happened.
    pub fn keep(&mut self, last: u64, continuous: bool) {
        if !self.keeps || !continuous {
            *self = Self { complete_after: last, keeps: true, ..Self::default() };
        }
    }

    /// `size`: bytes it takes in memory, roughly.
    pub fn record(&mut self, number: u64, event: &Arc<ObjectEvent>, size: usize) {
        if !self.keeps {
            return;
        }
        self.bytes += size;
        self.events.push_back(Kept { number, event: event.clone(), size });
        while self.events.len() > MOST_EVENTS || self.bytes > MOST_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size;
            self.complete_after = oldest.number;
        }
    }

    /// What came after `number`; `None` when that is not all here.
    pub fn since(&self, number: u64) -> Option<Vec<Kept>> {
        (self.keeps && number >= self.complete_after)
            .then(|| self.events.iter().filter(|kept| kept.number > number).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::AppConfig;
    use crate::live_query::size::size_of_object;
    use crate::operations::ports::ObjectEventKind;
    use crate::types::ClassName;

    fn event(text: &str) -> Arc<ObjectEvent> {
        let object = json!({ "text": text }).as_object().cloned().unwrap_or_default();
        Arc::new(ObjectEvent {
            class: ClassName::known("Chat"),
            kind: ObjectEventKind::Saved,
            object: Arc::new(object),
            original: None,
            stamp: 0,
            permissions: None,
        })
    }

    #[test]
    fn ids_are_read_back() {
        let id = Counter::default().id(7);
        assert_eq!(EventId::parse(&id.to_string()), Some(id));
        for text in ["", "a", "a-1", "a-1-2-3", "a-b-1", "a-1-"] {
            assert_eq!(EventId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sealed_ids_cannot_be_made() {
        let seal = Seal::new(&AppConfig::for_tests(json!({})));
        for number in 0..200 {
            let id = Counter::default().id(number);
            let text = id.seal(&seal);
            assert_eq!(EventId::open(&seal, &text).as_ref(), Some(&id), "{text}");
            assert!(text.len() < MAX_RESUME_BYTES);
            let mut parts = text.split('-');
            assert!(
                parts.next().is_some_and(|part| part.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()))
            );
            assert_eq!(parts.collect::<Vec<_>>(), [number.to_string(), id.micros.to_string()]);
            let other = text.replacen(|c: char| c.is_ascii_alphanumeric(), "~", 1);
            assert_eq!(EventId::open(&seal, &other), None);
            assert_eq!(EventId::open(&seal, &id.to_string()), None, "as it is");
        }
    }

    #[test]
    fn ids_from_before_a_gap_are_not_known() {
        let numbers = Counter::default();
        let old = numbers.id(numbers.next());
        assert!(numbers.knows(&old) && !numbers.knows(&Counter::default().id(1)));
        numbers.next();
        numbers.mark_gap();
        assert!(!numbers.knows(&old) && numbers.knows(&numbers.id(numbers.next())));
    }

    #[test]
    fn gives_what_was_missed_or_says_that_it_cannot() {
        let mut ring = Ring::default();
        ring.record(1, &event("a"), 100);
        assert!(ring.since(0).is_none() && ring.since(1).is_none());
        ring.keep(1, true);
        for number in 2..=4 {
            ring.record(number, &event("a"), 100);
        }
        ring.keep(4, true);
        let numbers = |ring: &Ring, after| -> Option<Vec<u64>> {
            Some(ring.since(after)?.iter().map(|kept| kept.number).collect())
        };
        assert_eq!(numbers(&ring, 0), None);
        assert_eq!(numbers(&ring, 1), Some(vec![2, 3, 4]));
        assert_eq!(numbers(&ring, 4), Some(vec![]));
        ring.keep(9, false);
        assert_eq!((numbers(&ring, 4), numbers(&ring, 9)), (None, Some(vec![])));
    }

    #[test]
    fn is_bounded() {
        let mut ring = Ring::default();
        ring.keep(0, true);
        let large = event(&"x".repeat(100_000));
        for number in 1..=1000 {
            ring.record(number, &large, size_of_object(&large.object));
        }
        assert!(ring.bytes <= MOST_BYTES && ring.events.len() > 10);
        assert!(ring.since(500).is_none() && ring.since(990).is_some_and(|kept| kept.len() == 10));
        let small = event("");
        for number in 1001..=10_000 {
            ring.record(number, &small, 100);
        }
        assert_eq!(ring.events.len(), MOST_EVENTS);
    }
}
