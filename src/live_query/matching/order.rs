//! The order of events about one object. Events reach a class's owner from several workers and servers,
//! not always in the order of the writes; each carries the stamp that its write took under the row's
//! lock. The owner tells the newest state last:
//!
//! - An event newer than everything told about its object goes out as it is.
//! - A late one is told as the step from its own state before to the newest state known, so that a
//!   query that saw the state before still learns where the object went, and nobody is left with an
//!   older state.
//! - After a deletion nothing brings the object back: a late save is told as the deletion to those
//!   whose query matched only the state before.
//!
//! `createdAt` tells one life of an id from the next. Events without a stamp (parse-server's) are taken
//! in the order in which they come.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::types::Object;

/// How long an event may be on its way and still find its place.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Objects remembered for one class; beyond that the oldest are forgotten sooner.
const MOST: usize = 10_000;
/// Bytes of their states.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Creation first: a later life of the same id is newer whatever its stamps.
type Key = (String, u64);

struct Newest {
    key: Key,
    object: Arc<Object>,
    deleted: bool,
    at: Instant,
    bytes: usize,
}

/// What was last told about each object of a class.
#[derive(Default)]
pub struct Order {
    newest: HashMap<String, Newest>,
    /// Objects by the time they were entered; an object may be in here more than once.
    aging: VecDeque<(Instant, String)>,
    bytes: usize,
}

impl Order {
    /// The event to tell now; `None` when it tells nothing any more. `bytes`: what it takes in memory.
    pub fn admit(&mut self, event: ObjectEvent, bytes: usize, now: Instant) -> Option<ObjectEvent> {
        let text = |key: &str| event.object.get(key).and_then(Value::as_str);
        let Some(id) = text("objectId").map(str::to_owned) else { return Some(event) };
        let mut key = (text("createdAt").unwrap_or_default().to_owned(), event.stamp);
        self.forget_old(now);
        let is_create = event.kind == ObjectEventKind::Saved && event.original.is_none();
        if let Some(newest) = self.newest.get(&id) {
            if event.stamp == 0 && !is_create {
                // No order is known: as it comes.
                key = key.max(newest.key.clone());
            } else if key < newest.key {
                return late(event, newest);
            } else if key == newest.key {
                return None;
            }
        }
        let deleted = event.kind == ObjectEventKind::Deleted;
        let newest = Newest { key, object: event.object.clone(), deleted, at: now, bytes };
        self.bytes += bytes;
        match self.newest.insert(id.clone(), newest) {
            Some(before) => self.bytes -= before.bytes,
            None => self.aging.push_back((now, id)),
        }
        Some(event)
    }

    /// Nobody listens any more.
    pub fn clear(&mut self) {
        self.newest = HashMap::new();
        self.aging = VecDeque::new();
        self.bytes = 0;
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((entered, id)) = self.aging.front() {
            let full = self.newest.len() >= MOST || self.bytes >= MOST_BYTES;
            if !full && now.duration_since(*entered) < REMEMBERED {
                return;
            }
            let id = id.clone();
            self.aging.pop_front();
            match self.newest.get(&id).map(|newest| newest.at) {
                // Told of again since: it gets the rest of its time.
                Some(at) if !full && now.duration_since(at) < REMEMBERED => self.aging.push_back((at, id)),
                _ => {
                    self.bytes -= self.newest.remove(&id).map_or(0, |newest| newest.bytes);
                }
            }
        }
    }
}

fn late(event: ObjectEvent, newest: &Newest) -> Option<ObjectEvent> {
    let same_life = event.object.get("createdAt").and_then(Value::as_str).unwrap_or_default() == newest.key.0;
    // Of an earlier life, or a deletion that was undone: the newest state stands.
    if !same_life || event.kind == ObjectEventKind::Deleted {
        return None;
    }
    if !newest.deleted {
        return Some(ObjectEvent { object: newest.object.clone(), ..event });
    }
    let before = event.original.clone()?;
    Some(ObjectEvent {
        kind: ObjectEventKind::Deleted,
        object: before,
        // Subscribers whose query matched this state were told already.
        original: Some(newest.object.clone()),
        ..event
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::ClassName;

    fn object(n: u64) -> Arc<Object> {
        let object = json!({"objectId": "o", "createdAt": "2024-01-01T00:00:00.000Z", "n": n});
        Arc::new(object.as_object().unwrap().clone())
    }

    fn saved(before: Option<u64>, after: u64, stamp: u64) -> ObjectEvent {
        ObjectEvent {
            class: ClassName::known("Game"),
            kind: ObjectEventKind::Saved,
            object: object(after),
            original: before.map(object),
            stamp,
            permissions: None,
        }
    }

    fn deleted(n: u64, stamp: u64) -> ObjectEvent {
        ObjectEvent { kind: ObjectEventKind::Deleted, original: None, ..saved(None, n, stamp) }
    }

    fn told(event: Option<ObjectEvent>) -> Option<(ObjectEventKind, Option<u64>, u64)> {
        let n = |object: &Object| object["n"].as_u64().unwrap();
        event.map(|event| (event.kind, event.original.as_deref().map(n), n(&event.object)))
    }

    use ObjectEventKind::{Deleted, Saved};

    #[test]
    fn a_late_event_is_a_step_to_the_newest_state() {
        let (mut order, now) = (Order::default(), Instant::now());
        assert_eq!(told(order.admit(saved(Some(2), 3, 20), 100, now)), Some((Saved, Some(2), 3)));
        assert_eq!(told(order.admit(saved(Some(1), 2, 10), 100, now)), Some((Saved, Some(1), 3)));
        assert_eq!(told(order.admit(saved(None, 1, 0), 100, now)), Some((Saved, None, 3)));
        assert_eq!(told(order.admit(saved(Some(2), 3, 20), 100, now)), None, "told already");
        assert_eq!(told(order.admit(saved(Some(3), 4, 30), 100, now)), Some((Saved, Some(3), 4)));
    }

    #[test]
    fn the_deleted_stay_deleted() {
        let (mut order, now) = (Order::default(), Instant::now());
        assert_eq!(told(order.admit(deleted(3, 30), 100, now)), Some((Deleted, None, 3)));
        assert_eq!(told(order.admit(saved(Some(2), 3, 20), 100, now)), Some((Deleted, Some(3), 2)));
        assert_eq!(told(order.admit(saved(None, 1, 0), 100, now)), None);
        let mut again = (*object(9)).clone();
        again.insert("createdAt".into(), json!("2025-01-01T00:00:00.000Z"));
        let again = ObjectEvent { object: Arc::new(again), ..saved(None, 9, 0) };
        assert_eq!(told(order.admit(again, 100, now)), Some((Saved, None, 9)), "a new life of the id");
        assert_eq!(told(order.admit(deleted(3, 40), 100, now)), None, "of the life before");
    }

    #[test]
    fn events_without_a_stamp_come_as_they_come() {
        let (mut order, now) = (Order::default(), Instant::now());
        for n in [2, 1, 3] {
            assert_eq!(told(order.admit(saved(Some(0), n, 0), 100, now)), Some((Saved, Some(0), n)));
        }
        order.admit(saved(Some(3), 4, 10), 100, now);
        assert_eq!(told(order.admit(deleted(4, 0), 100, now)), Some((Deleted, None, 4)));
    }

    #[test]
    fn forgets_in_time_and_beyond_its_size() {
        let (mut order, now) = (Order::default(), Instant::now());
        order.admit(saved(Some(2), 3, 20), 100, now);
        let later = now + REMEMBERED + Duration::from_secs(1);
        assert_eq!(told(order.admit(saved(Some(1), 2, 10), 100, later)), Some((Saved, Some(1), 2)));
        for n in 0..2 * MOST {
            let mut one = (*object(1)).clone();
            one.insert("objectId".into(), json!(format!("o{n}")));
            order.admit(ObjectEvent { object: Arc::new(one), ..saved(Some(1), 1, 1) }, 100, later);
        }
        assert!(order.newest.len() <= MOST && order.aging.len() <= MOST);
        for n in 0..100 {
            let mut one = (*object(1)).clone();
            one.insert("objectId".into(), json!(format!("large{n}")));
            order.admit(
                ObjectEvent { object: Arc::new(one), ..saved(Some(1), 1, 1) },
                MOST_BYTES / 10,
                later,
            );
        }
        assert!(order.bytes <= MOST_BYTES + MOST_BYTES / 10 && order.newest.len() <= 11);
        let sum: usize = order.newest.values().map(|newest| newest.bytes).sum();
        assert_eq!(order.bytes, sum);
        order.clear();
        assert_eq!((order.bytes, order.newest.len()), (0, 0));
    }
}
