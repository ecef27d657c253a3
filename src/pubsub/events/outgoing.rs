//! What waits to leave for other servers, bounded: while a bus is slow or away, writes do not wait for it, and
//! what is beyond the bound is thrown away. The others are told that they missed something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// Bytes that may wait; messages between the servers themselves, which are short, may go beyond.
const MOST_BYTES: usize = 16 * 1024 * 1024;
const MOST_MESSAGES: usize = 50_000;
/// What is counted for a message besides its text.
const OVERHEAD: usize = 64;
const FOR_SERVERS: usize = 1024 * 1024;

/// Bytes that are given back when the message has left.
struct Held {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One message on its way.
pub struct Message<C> {
    pub channel: C,
    pub payload: String,
    _held: Held,
}

/// The writers' end.
pub struct Outgoing<C> {
    queue: mpsc::Sender<Message<C>>,
    bytes: Arc<AtomicUsize>,
    lost: AtomicBool,
}

impl<C> Outgoing<C> {
    pub fn new() -> (Self, mpsc::Receiver<Message<C>>) {
        let (queue, receiver) = mpsc::channel(MOST_MESSAGES);
        (Self { queue, bytes: Arc::default(), lost: AtomicBool::new(false) }, receiver)
    }

    /// The parts of one event: all of them or none.
    pub fn event(&self, parts: Vec<(C, String)>) {
        let bytes: usize = parts.iter().map(|(_, payload)| OVERHEAD + payload.len()).sum();
        let is_free = self.bytes.load(Ordering::Relaxed) == 0;
        let fits = is_free || self.bytes.load(Ordering::Relaxed) + bytes <= MOST_BYTES;
        if !fits || self.queue.capacity() < parts.len() + MOST_MESSAGES / 100 {
            return self.lose();
        }
        for (channel, payload) in parts {
            if !self.push(channel, payload) {
                return self.lose();
            }
        }
    }

    /// A message between servers; answers whether it found a place.
    pub fn tell(&self, channel: C, payload: String) -> bool {
        self.bytes.load(Ordering::Relaxed) + payload.len() <= MOST_BYTES + FOR_SERVERS
            && self.push(channel, payload)
    }

    fn push(&self, channel: C, payload: String) -> bool {
        let bytes = OVERHEAD + payload.len();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { bytes, all: self.bytes.clone() };
        self.queue.try_send(Message { channel, payload, _held: held }).is_ok()
    }

    fn lose(&self) {
        if !self.lost.swap(true, Ordering::Relaxed) && !self.is_closed() {
            tracing::error!("too many live query events wait for other servers: some are not told there");
        }
    }

    /// Whether something was thrown away since this was last asked.
    pub fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed)
    }

    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_what_has_left_makes_room() {
        let (outgoing, mut queue) = Outgoing::<u8>::new();
        let part = "x".repeat(1024 * 1024);
        for n in 0..40 {
            outgoing.event(vec![(n, part.clone()), (n, part.clone())]);
        }
        assert!(outgoing.bytes.load(Ordering::Relaxed) <= MOST_BYTES);
        assert!(outgoing.has_lost() && !outgoing.has_lost(), "told once");
        assert!(outgoing.tell(99, "a word between servers".to_owned()));
        let mut seen = Vec::new();
        while let Ok(message) = queue.try_recv() {
            seen.push(message.channel);
        }
        // Events are whole.
        assert!(seen.len() % 2 == 1 && seen.last() == Some(&99) && seen[..2] == [0, 0], "{seen:?}");
        assert_eq!(outgoing.bytes.load(Ordering::Relaxed), 0);
        outgoing.event(vec![(1, part.repeat(20))]);
        assert!(queue.try_recv().is_ok(), "a single one always finds a place");
        for _ in 0..2 * MOST_MESSAGES {
            outgoing.event(vec![(1, String::new())]);
        }
        assert!(outgoing.has_lost() && outgoing.tell(2, String::new()));
        drop(queue);
        assert!(outgoing.is_closed() && !outgoing.tell(2, String::new()));
        assert_eq!(outgoing.bytes.load(Ordering::Relaxed), 0);
    }
}
