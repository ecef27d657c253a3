//! What subscribers are sent, and the way to the worker threads that hold their connections: one message
//! for each event and thread, whatever the number of connections. The owner of a class fills it
//! ([`super::matching`]), each thread's [`super::outlet`] takes it out.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::protocol::Event;
use super::waiting::WaitingBytes;

pub type ConnectionId = u64;

/// What connections are to send.
#[derive(Clone, Debug)]
pub enum Parcel {
    Event {
        event: Event,
        object: Bytes,
        original: Option<Bytes>,
        /// For clients that asked for ids.
        id: Option<Arc<str>>,
    },
    Error {
        code: i32,
        message: String,
    },
}

impl Parcel {
    /// Roughly the bytes that a frame takes.
    pub fn size(&self) -> usize {
        match self {
            Self::Event { object, original, .. } => object.len() + original.as_ref().map_or(0, Bytes::len),
            Self::Error { message, .. } => message.len(),
        }
    }
}

/// One subscription that a parcel is for.
#[derive(Clone, Debug)]
pub struct Recipient {
    pub connection: ConnectionId,
    /// As JSON.
    pub request_id: Arc<str>,
    pub installation_id: Option<Arc<str>>,
}

/// One parcel for many.
#[derive(Clone, Debug)]
pub struct Dispatch {
    pub parcel: Arc<Parcel>,
    pub recipients: Arc<Vec<Recipient>>,
}

/// Parcels for any of one thread's connections.
pub struct Delivery {
    pub dispatches: Vec<Dispatch>,
    /// What is not yet in the outlets still waits.
    pub _waiting: Option<Arc<WaitingBytes>>,
}

/// The way to one thread's outlets. What is under way is bounded in bytes: see [`WaitingBytes`].
///
/// A queue and a task, not an actor: all it does is pass on, and for that a mailbox would allocate an
/// envelope for each event where the queue stores it in place.
#[derive(Clone, Debug)]
pub struct Worker {
    number: u64,
    queue: mpsc::UnboundedSender<Delivery>,
}

impl Worker {
    /// `number` tells it from every other of the process.
    pub fn new(number: u64, queue: mpsc::UnboundedSender<Delivery>) -> Self {
        Self { number, queue }
    }

    pub fn is_there(&self) -> bool {
        !self.queue.is_closed()
    }

    pub fn deliver(&self, delivery: Delivery) {
        if self.queue.send(delivery).is_err() {
            tracing::warn!("a worker takes no live query events any more");
        }
    }
}

impl PartialEq for Worker {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Worker {}

impl Hash for Worker {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}
