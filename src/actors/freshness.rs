//! Whether a class's snapshot may be believed. Every read of a schema has a number, taken before it
//! begins; every event after which a schema may be another one has a number too. A snapshot counts as
//! long as its read began after the last such event; until then requests wait for a read of their own.
//!
//! [`listen`] turns notices of other servers into events, [`renew`] repeats reads until they succeed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::WeakAddr;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::class::ClassSlot;
use super::schema::{Refresh, SchemaActor, Slots};
use crate::storage::Notice;
use crate::types::ClassName;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many classes are read one by one; more of them all at once, in one statement.
const FEW: usize = 4;

/// Shared by the registry, the schema actor and its two tasks.
pub struct Freshness {
    slots: Arc<Slots>,
    numbers: AtomicU64,
    /// The last event that concerned every class.
    everything: AtomicU64,
    /// Notices of other servers do not arrive at present.
    deaf: AtomicBool,
    /// `databaseOptions.schemaCacheTtl`.
    ttl: Option<Duration>,
    started: Instant,
    stale: Mutex<Stale>,
    poke: Notify,
}

/// What has to be read again.
#[derive(Default)]
struct Stale {
    everything: bool,
    classes: HashSet<ClassName>,
}

impl Freshness {
    pub fn new(slots: Arc<Slots>, ttl: Option<Duration>) -> Self {
        Self {
            slots,
            numbers: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            deaf: AtomicBool::new(false),
            ttl: ttl.filter(|ttl| !ttl.is_zero()),
            started: Instant::now(),
            stale: Mutex::default(),
            poke: Notify::new(),
        }
    }

    /// The number of a read or an event that begins now.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn age(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The slot shows what the read of this number found.
    pub fn was_read(&self, slot: &ClassSlot, number: u64) {
        slot.was_read(number, if self.ttl.is_some() { self.age() } else { 0 });
    }

    /// Whether the slot's snapshot may be used without a look into the database.
    pub fn covers(&self, slot: &ClassSlot) -> bool {
        !self.deaf.load(Ordering::Acquire)
            && slot.read() > self.last_event(slot)
            && self
                .ttl
                .is_none_or(|ttl| u128::from(self.age() - slot.read_at().min(self.age())) < ttl.as_millis())
    }

    fn last_event(&self, slot: &ClassSlot) -> u64 {
        slot.last_event().max(self.everything.load(Ordering::Acquire))
    }

    /// A read with a greater number is needed.
    pub fn needed(&self, slot: &ClassSlot) -> u64 {
        let event = self.last_event(slot);
        if slot.read() > event {
            // Too old, or nobody would tell: as of now.
            return self.number();
        }
        event
    }

    /// Something may have changed this class: whoever says so reads it again.
    pub fn mark(&self, class: &ClassName) {
        if let Some(slot) = self.slots.load().get(class) {
            slot.happened(self.number());
        }
    }

    /// Something may have changed this class, or (`None`) any class: [`renew`] reads it again.
    pub fn changed(&self, class: Option<&ClassName>) {
        match class {
            None => {
                self.everything.fetch_max(self.number(), Ordering::AcqRel);
            }
            Some(class) => self.mark(class),
        }
        let mut stale = self.stale();
        match class {
            None => stale.everything = true,
            Some(class) => {
                stale.classes.insert(class.clone());
            }
        }
        drop(stale);
        self.poke.notify_one();
    }

    /// Notices arrive again, or no longer.
    pub fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::Release);
    }

    fn stale(&self) -> std::sync::MutexGuard<'_, Stale> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks at once what a notice concerns, however long a read under way may take.
pub async fn listen(mut notices: Receiver<Notice>, freshness: Arc<Freshness>) {
    loop {
        match notices.recv().await {
            Ok(Notice::Schema { class }) => freshness.changed(class.as_ref()),
            Ok(Notice::Deaf) => freshness.set_deaf(true),
            Ok(Notice::Lost) => {
                freshness.changed(None);
                freshness.set_deaf(false);
            }
            Err(RecvError::Lagged(_)) => freshness.changed(None),
            Ok(_) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Reads again what is stale, until it succeeded; the pauses between attempts grow.
pub async fn renew(freshness: Arc<Freshness>, actor: WeakAddr<SchemaActor>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let stale = std::mem::take(&mut *freshness.stale());
        if !stale.everything && stale.classes.is_empty() {
            freshness.poke.notified().await;
            continue;
        }
        let Some(actor) = actor.upgrade() else { return };
        let mut failed = None;
        if stale.everything || stale.classes.len() > FEW {
            failed = super::ask(&actor, Refresh { class: None }).await.err();
        } else {
            for class in &stale.classes {
                let outcome = super::ask(&actor, Refresh { class: Some(class.clone()) }).await;
                failed = failed.or(outcome.err());
            }
        }
        drop(actor);
        let Some(error) = failed else {
            pause = FIRST_PAUSE;
            continue;
        };
        tracing::warn!(%error, "schemas could not be read again: permissions are read for each request until they were");
        {
            let mut again = freshness.stale();
            again.everything |= stale.everything;
            again.classes.extend(stale.classes);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
