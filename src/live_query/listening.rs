//! Whether anybody listens to a class: what the class's owner publishes of its subscriptions. Writes ask
//! before they read the row before, the hub before it sends an event. A [`Seat`] is one subscription's part
//! in every count: of its class, of the server, of the client's account. It goes with the subscription, or
//! with the message that was to open one, and gives everything back then.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ledger::{AppCharge, Charge, Ledger};
use super::waiting::Waiting;
use crate::metrics::Counter;

/// What triggers are told about the whole server.
#[derive(Debug, Default)]
pub struct Counters {
    pub clients: AtomicU64,
    pub subscriptions: AtomicU64,
    /// Frames that told clients of events.
    pub frames: Counter,
    /// Events that found no room and were told to nobody.
    pub lost: Counter,
}

/// Bytes that listening to one more class takes.
pub const CLASS_WEIGHT: usize = 4096;
/// A class is listened to this long after its last subscriber that may come back has gone.
const RESUMABLE_FOR: Duration = Duration::from_secs(120);

/// Of one class.
pub struct Listening {
    /// Subscriptions, those that are about to be opened among them.
    subscriptions: AtomicUsize,
    began: Instant,
    /// Milliseconds since then, up to which somebody may come back.
    awaited_until: AtomicU64,
    counters: Arc<Counters>,
    ledger: Arc<Ledger>,
    /// Held while somebody listens.
    charge: Mutex<Option<AppCharge>>,
    /// Events that wait for the owner.
    pub waiting: Arc<Waiting>,
    /// Some found no room, and subscribers were not told so yet.
    pub lost: AtomicBool,
}

impl Listening {
    pub fn new(counters: Arc<Counters>, ledger: Arc<Ledger>, waiting: Arc<Waiting>) -> Arc<Self> {
        Arc::new(Self {
            subscriptions: AtomicUsize::new(0),
            began: Instant::now(),
            awaited_until: AtomicU64::new(0),
            counters,
            ledger,
            charge: Mutex::new(None),
            waiting,
            lost: AtomicBool::new(false),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether somebody listens, or did a moment ago and may come back.
    pub fn is_listened_to(&self) -> bool {
        self.subscriptions.load(Ordering::Relaxed) > 0
            || self.awaited_until.load(Ordering::Relaxed) > self.now()
    }

    /// Somebody who goes may come back and ask for what was missed.
    pub fn await_return(&self) {
        let until = self.now().saturating_add(RESUMABLE_FOR.as_millis() as u64);
        self.awaited_until.fetch_max(until, Ordering::Relaxed);
    }

    /// Gives back what listening to the class takes, unless somebody listens.
    pub fn settle(&self) {
        let mut charge = self.charge.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_listened_to() {
            charge.take();
        }
    }
}

pub struct Seat {
    charge: Charge,
    listening: Arc<Listening>,
}

impl Seat {
    pub fn new(charge: Charge, listening: Arc<Listening>) -> Self {
        {
            let mut held = listening.charge.lock().unwrap_or_else(PoisonError::into_inner);
            listening.subscriptions.fetch_add(1, Ordering::Relaxed);
            held.get_or_insert_with(|| listening.ledger.charge_app(CLASS_WEIGHT));
        }
        listening.counters.subscriptions.fetch_add(1, Ordering::Relaxed);
        Self { charge, listening }
    }

    pub fn charge(&self) -> &Charge {
        &self.charge
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.listening.counters.subscriptions.fetch_sub(1, Ordering::Relaxed);
        if self.listening.subscriptions.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.listening.settle();
        }
    }
}
