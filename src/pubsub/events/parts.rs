//! Events in PostgreSQL notifications, which hold less than 8,000 bytes: longer ones travel in parts, in
//! order on one connection, and are put together again on arrival.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Of a payload, once it is text inside its JSON envelope.
const LARGEST: usize = 7_700;
/// Bytes in one part: four thirds of it are sent.
const PART: usize = 5_600;
/// Longer events go by reference.
const MOST_PARTS: usize = 1_500;

/// The payloads to send; `None` for events that are too long for parts.
pub fn split(node: &str, whole: String) -> Option<Vec<String>> {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    // Quotes are escaped once more inside the envelope.
    if whole.len() <= LARGEST && Value::from(whole.as_str()).to_string().len() <= LARGEST {
        return Some(vec![whole]);
    }
    let count = whole.len().div_ceil(PART);
    if count > MOST_PARTS {
        return None;
    }
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let parts = whole.as_bytes().chunks(PART).enumerate().map(|(index, bytes)| {
        json!({ "node": node, "event": number, "part": index, "of": count, "bytes": STANDARD.encode(bytes) })
            .to_string()
    });
    Some(parts.collect())
}

/// Events of which parts came: one for each server, since a server sends one after another.
#[derive(Default)]
pub struct Parts {
    begun: HashMap<String, Begun>,
}

struct Begun {
    event: u64,
    next: u64,
    bytes: Vec<u8>,
}

impl Parts {
    /// The whole event, once it is there. What lost a part is dropped.
    pub fn take(&mut self, payload: Value) -> Option<Value> {
        let number = |key: &str| payload.get(key).and_then(Value::as_u64);
        let Some(part) = number("part") else { return Some(payload) };
        let node = payload.get("node")?.as_str()?;
        let (event, of) = (number("event")?, number("of")?);
        let bytes = STANDARD.decode(payload.get("bytes")?.as_str()?).ok()?;
        if part == 0 {
            self.begun.insert(node.to_owned(), Begun { event, next: 0, bytes: Vec::new() });
        }
        let begun = self.begun.get_mut(node).filter(|begun| begun.event == event && begun.next == part)?;
        begun.next += 1;
        begun.bytes.extend(bytes);
        if begun.next < of {
            return None;
        }
        serde_json::from_slice(&self.begun.remove(node)?.bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(parts: &mut Parts, payloads: &[String]) -> Vec<Value> {
        payloads.iter().filter_map(|text| parts.take(serde_json::from_str(text).unwrap())).collect()
    }

    #[test]
    fn long_events_are_put_together_again() {
        let mut parts = Parts::default();
        for length in [1, 3_000, 7_000, 20_000, 200_000] {
            let event = json!({ "node": "a", "text": "\"ä".repeat(length) });
            let payloads = split("a", event.to_string()).unwrap();
            let longest = payloads.iter().map(|payload| Value::from(payload.as_str()).to_string().len());
            assert!(longest.max().unwrap() <= LARGEST);
            assert_eq!(through(&mut parts, &payloads), [event]);
        }
        assert!(parts.begun.is_empty());
        assert_eq!(split("a", "x".repeat(PART * MOST_PARTS + 1)), None);
    }

    #[test]
    fn an_event_that_lost_a_part_is_dropped() {
        let mut parts = Parts::default();
        let event = |text: &str| json!({ "node": "a", "text": text.repeat(20_000) });
        let mut broken = split("a", event("x").to_string()).unwrap();
        broken.remove(1);
        assert!(through(&mut parts, &broken).is_empty());
        let payloads = split("a", event("y").to_string()).unwrap();
        assert_eq!(through(&mut parts, &payloads), [event("y")]);
    }
}
