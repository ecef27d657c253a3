//! One subscription's place in every count: of its class, of the server, of whoever opened it. It goes
//! with the subscription, or with the message that was to open one, and gives everything back then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::ledger::Charge;
use crate::live_query::{Counters, LiveQueryHub};
use crate::types::ClassName;

/// How many subscriptions a class has, those that are about to be opened among them.
pub struct Listeners {
    class: ClassName,
    count: AtomicUsize,
    counters: Arc<Counters>,
    hub: Weak<LiveQueryHub>,
}

impl Listeners {
    pub fn new(class: ClassName, counters: Arc<Counters>, hub: Weak<LiveQueryHub>) -> Arc<Self> {
        Arc::new(Self { class, count: AtomicUsize::new(0), counters, hub })
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

pub struct Seat {
    charge: Charge,
    listeners: Arc<Listeners>,
}

impl Seat {
    pub fn new(charge: Charge, listeners: Arc<Listeners>) -> Self {
        listeners.count.fetch_add(1, Ordering::Relaxed);
        listeners.counters.subscriptions.fetch_add(1, Ordering::Relaxed);
        Self { charge, listeners }
    }

    pub fn charge(&self) -> &Charge {
        &self.charge
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let listeners = &self.listeners;
        listeners.counters.subscriptions.fetch_sub(1, Ordering::Relaxed);
        if listeners.count.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(hub) = listeners.hub.upgrade()
        {
            hub.let_go(&listeners.class);
        }
    }
}
