//! Whether a class's snapshot may be believed. Every read of a schema has a number, taken before it
//! begins; every event after which a schema may be another one has a number too. A snapshot counts as
//! long as its read began after the last such event; until then requests wait for a read of their own.
//!
//! The schema actor owns this and publishes it: replicas look at it for each request, which costs a few
//! loads where no class is marked. [`listen`] turns notices of other servers into events, [`tell`]
//! sends them some, [`renew`] repeats reads until they succeed. Knows neither the actors nor what they keep.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::error::Result;
use crate::pubsub::{Notice, PubSub};
use crate::types::ClassName;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many classes are read one by one; more of them all at once, in one statement.
const FEW: usize = 4;

/// One read of a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStamp {
    pub number: u64,
    /// When it was made, in milliseconds since the start; 0 where that does not matter.
    at: u64,
}

/// One for each app.
pub struct Freshness {
    numbers: AtomicU64,
    /// The last event that concerned every class.
    everything: AtomicU64,
    marks: Marks,
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

/// Classes that something happened to and that were not read again yet, with the number of the last such
/// event. Nearly always none: then nobody takes the lock.
#[derive(Default)]
struct Marks {
    count: AtomicUsize,
    events: RwLock<HashMap<ClassName, u64>>,
}

impl Marks {
    fn of(&self, class: &ClassName) -> u64 {
        if self.count.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let events = self.events.read().unwrap_or_else(PoisonError::into_inner);
        events.get(class).copied().unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<ClassName, u64>)) {
        let mut events = self.events.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut events);
        self.count.store(events.len(), Ordering::Release);
    }
}

impl Freshness {
    pub fn new(ttl: Option<Duration>) -> Self {
        Self {
            numbers: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            marks: Marks::default(),
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

    /// The read with this number has been made.
    pub fn stamp(&self, number: u64) -> ReadStamp {
        ReadStamp { number, at: if self.ttl.is_some() { self.age() } else { 0 } }
    }

    /// What the read with this number found of the class is published.
    pub fn was_read(&self, class: &ClassName, number: u64) {
        if self.marks.of(class) > 0 {
            self.marks.change(|events| {
                if events.get(class).is_some_and(|event| *event < number) {
                    events.remove(class);
                }
            });
        }
    }

    /// Whether what this read found may be used without a look into the database.
    pub fn covers(&self, class: &ClassName, read: ReadStamp) -> bool {
        !self.deaf.load(Ordering::Acquire)
            && read.number > self.last_event(class)
            && self.ttl.is_none_or(|ttl| u128::from(self.age() - read.at.min(self.age())) < ttl.as_millis())
    }

    /// Whether what a read of all classes found, and what was published since, may be used as it is.
    pub fn covers_everything(&self, read: ReadStamp) -> bool {
        !self.deaf.load(Ordering::Acquire)
            && self.marks.count.load(Ordering::Acquire) == 0
            && read.number > self.everything.load(Ordering::Acquire)
            && self.ttl.is_none_or(|ttl| u128::from(self.age() - read.at.min(self.age())) < ttl.as_millis())
    }

    fn last_event(&self, class: &ClassName) -> u64 {
        self.marks.of(class).max(self.everything.load(Ordering::Acquire))
    }

    /// A read with a greater number than this is needed.
    pub fn needed(&self, class: &ClassName, read: ReadStamp) -> u64 {
        let event = self.last_event(class);
        if read.number > event {
            // Too old, or notices do not arrive: a read that begins now.
            return self.number();
        }
        event
    }

    /// Something may have changed this class: the caller reads it again.
    pub fn mark(&self, class: &ClassName) {
        self.marks.change(|events| {
            events.insert(class.clone(), self.number());
        });
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

/// Tells other servers that a class is another one, beside what its caller does: they are read again by whoever hears
/// it. Storage that tells by itself needs no `others`.
pub fn tell(others: Option<&Arc<dyn PubSub>>, class: &ClassName) {
    let Some(others) = others.cloned() else { return };
    let class = class.clone();
    actix::spawn(async move {
        let notice = Notice::Schema { class: Some(class.clone()) };
        if let Err(error) = others.notify(notice).await {
            tracing::warn!(%error, class = %class, "other servers could not be told of a change of class {class}");
        }
    });
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

/// Reads again what is stale, until it succeeded; the pauses between attempts grow. `read` reads one
/// class, or (`None`) all; it answers `None` when there is nobody left to read for.
pub async fn renew<R>(freshness: Arc<Freshness>, read: impl Fn(Option<ClassName>) -> R)
where
    R: Future<Output = Option<Result<()>>>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let stale = std::mem::take(&mut *freshness.stale());
        if !stale.everything && stale.classes.is_empty() {
            freshness.poke.notified().await;
            continue;
        }
        let mut failed = None;
        let all = stale.everything || stale.classes.len() > FEW;
        let which = stale.classes.iter().cloned().map(Some).collect();
        for class in if all { vec![None] } else { which } {
            let Some(outcome) = read(class).await else { return };
            failed = failed.or(outcome.err());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &'static str) -> ClassName {
        ClassName::known(name)
    }

    #[test]
    fn a_read_counts_until_something_happens_to_its_class() {
        let freshness = Freshness::new(None);
        let (a, b) = (class("A"), class("B"));
        let read = freshness.stamp(freshness.number());
        assert!(freshness.covers(&a, read) && freshness.covers(&b, read));
        let under_way = freshness.number();
        freshness.mark(&a);
        assert!(!freshness.covers(&a, read) && freshness.covers(&b, read));
        // It began before the event.
        freshness.was_read(&a, under_way);
        assert!(!freshness.covers(&a, freshness.stamp(under_way)));
        assert!(freshness.needed(&a, read) > under_way);
        let later = freshness.number();
        freshness.was_read(&a, later);
        assert!(freshness.covers(&a, freshness.stamp(later)));
        assert_eq!(freshness.marks.count.load(Ordering::Relaxed), 0, "nothing is left to look at");
        freshness.changed(None);
        assert!(!freshness.covers(&a, freshness.stamp(later)) && !freshness.covers(&b, read));
    }

    #[test]
    fn deaf_servers_and_old_reads_look_into_the_database() {
        let freshness = Freshness::new(None);
        let read = freshness.stamp(freshness.number());
        freshness.set_deaf(true);
        assert!(!freshness.covers(&class("A"), read));
        assert!(freshness.needed(&class("A"), read) > read.number);
        freshness.set_deaf(false);
        assert!(freshness.covers(&class("A"), read));
        let freshness = Freshness::new(Some(Duration::from_nanos(1)));
        assert!(!freshness.covers(&class("A"), freshness.stamp(freshness.number())));
    }
}
