//! Events as notices of a [`PubSub`]. Servers announce the classes that their clients listen to, so that only these
//! events travel; an announcement is confirmed by the servers that are known, and repeated.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::outgoing::{Message, Outgoing};
use super::{Audience, EventBus, ObjectEvent, ObjectEventKind, parts};
use crate::pubsub::{Notice, PubSub};
use crate::types::names::random_alphanumeric;
use crate::types::{ClassName, ObjectId};

const EVENTS: &str = "live";
const INTEREST: &str = "live-interest";
/// An announced interest counts this long; it is repeated well before.
const INTEREST_LASTS: Duration = Duration::from_secs(90);
const REPEAT_INTEREST: Duration = Duration::from_secs(30);
/// Classes that others are known to listen to; with more, every class counts as wanted.
const MOST_WANTED: usize = 20_000;
/// A server that does not confirm an interest in this time is taken for dead.
const CONFIRMATION: Duration = Duration::from_millis(500);
/// After it began to listen a server publishes everything for so long: it has asked what others
/// listen to, and their answers are on their way.
const SETTLING: Duration = Duration::from_secs(1);

/// Never part of a write's transaction.
pub struct NoticeBus {
    node: String,
    /// Class → when another server last said it listens.
    wanted: RwLock<HashMap<ClassName, Instant>>,
    /// Other servers, and when they were last heard of.
    peers: RwLock<HashMap<String, Instant>>,
    /// Class → when the others were last told that we listen. Held while they are told.
    announced: tokio::sync::Mutex<HashMap<ClassName, Instant>>,
    /// Number of an announcement → who has yet to confirm it.
    unconfirmed: Mutex<HashMap<u64, Unconfirmed>>,
    numbers: AtomicU64,
    /// When this server last began to listen, and asked.
    asked: Mutex<Instant>,
    outgoing: Outgoing<&'static str>,
}

/// Forgets what nobody repeated.
fn forget_old(wanted: &mut HashMap<ClassName, Instant>) {
    wanted.retain(|_, at| at.elapsed() < INTEREST_LASTS);
}

struct Unconfirmed {
    peers: HashSet<String>,
    done: oneshot::Sender<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NoticeBus {
    pub fn start(audience: &Weak<dyn Audience>, pubsub: Arc<dyn PubSub>) -> Arc<Self> {
        let (outgoing, queue) = Outgoing::new();
        let bus = Arc::new(Self {
            node: random_alphanumeric(12),
            wanted: RwLock::default(),
            peers: RwLock::default(),
            announced: tokio::sync::Mutex::default(),
            unconfirmed: Mutex::default(),
            numbers: AtomicU64::new(1),
            asked: Mutex::new(Instant::now()),
            outgoing,
        });
        let notices = pubsub.notices();
        tokio::task::spawn_local(send(queue, pubsub, Arc::downgrade(&bus)));
        tokio::task::spawn_local(listen(Arc::downgrade(&bus), audience.clone(), notices));
        tokio::task::spawn_local(repeat_interest(Arc::downgrade(&bus), audience.clone()));
        // The connection may have been there before anybody here could hear that it is.
        bus.ask();
        bus
    }

    fn queue(&self, channel: &'static str, payload: &Value) {
        // Without a place it is said again in a while.
        self.outgoing.tell(channel, payload.to_string());
    }

    /// What do the others listen to?
    fn ask(&self) {
        *lock(&self.asked) = Instant::now();
        self.queue(INTEREST, &json!({ "node": self.node, "ask": true }));
    }

    fn note_interest(&self, class: ClassName) {
        let mut wanted = self.wanted.write().unwrap_or_else(PoisonError::into_inner);
        // Clients of the other servers choose the names.
        if wanted.len() >= MOST_WANTED {
            forget_old(&mut wanted);
        }
        if wanted.len() < MOST_WANTED || wanted.contains_key(&class) {
            wanted.insert(class, Instant::now());
        }
    }

    fn note_peer(&self, node: &str) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.insert(node.to_owned(), Instant::now());
        peers.retain(|_, at| at.elapsed() < INTEREST_LASTS);
    }

    fn announce(&self, class: &ClassName) {
        self.queue(INTEREST, &json!({ "node": self.node, "class": class.as_str() }));
    }

    /// Tells the others and waits for those that are known.
    async fn announce_and_wait(&self, class: &ClassName) {
        let peers: HashSet<String> =
            self.peers.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        if peers.is_empty() {
            self.announce(class);
            return;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (done, confirmed) = oneshot::channel();
        lock(&self.unconfirmed).insert(number, Unconfirmed { peers, done });
        let message = json!({ "node": self.node, "class": class.as_str(), "confirm": number });
        self.queue(INTEREST, &message);
        if tokio::time::timeout(CONFIRMATION, confirmed).await.is_err()
            && let Some(late) = lock(&self.unconfirmed).remove(&number)
        {
            let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
            peers.retain(|peer, _| !late.peers.contains(peer));
        }
    }

    fn hear_confirmation(&self, from: &str, number: u64) {
        let mut unconfirmed = lock(&self.unconfirmed);
        let Some(waiting) = unconfirmed.get_mut(&number) else { return };
        waiting.peers.remove(from);
        if waiting.peers.is_empty()
            && let Some(waiting) = unconfirmed.remove(&number)
        {
            // Whoever waited may have given up.
            let _ = waiting.done.send(());
        }
    }
}

#[async_trait(?Send)]
impl EventBus for NoticeBus {
    fn is_wanted(&self, class: &ClassName) -> bool {
        if lock(&self.asked).elapsed() < SETTLING {
            return true;
        }
        let wanted = self.wanted.read().unwrap_or_else(PoisonError::into_inner);
        if wanted.len() >= MOST_WANTED {
            return true;
        }
        wanted.get(class).is_some_and(|at| at.elapsed() < INTEREST_LASTS)
    }

    fn publish(&self, event: &ObjectEvent) {
        let deleted = event.kind == ObjectEventKind::Deleted;
        let whole = json!({
            "node": self.node,
            "class": event.class.as_str(),
            "deleted": deleted,
            "object": *event.object,
            "original": event.original.as_deref(),
            "stamp": event.stamp,
        })
        .to_string();
        if let Some(parts) = parts::split(&self.node, whole) {
            return self.outgoing.event(parts.into_iter().map(|part| (EVENTS, part)).collect());
        }
        // By reference: the others read the row; its state before the write is then unknown to them.
        let reference = json!({
            "node": self.node,
            "class": event.class.as_str(),
            "deleted": deleted,
            "id": event.object.get("objectId"),
            "existed": event.original.is_some(),
            "stamp": event.stamp,
        });
        self.outgoing.event(vec![(EVENTS, reference.to_string())]);
    }

    async fn listen_to(&self, class: &ClassName) {
        let mut announced = self.announced.lock().await;
        if announced.get(class).is_some_and(|at| at.elapsed() < INTEREST_LASTS - REPEAT_INTEREST) {
            return;
        }
        self.announce_and_wait(class).await;
        announced.insert(class.clone(), Instant::now());
    }

    /// Principals tell each other themselves.
    fn roles_changed(&self, _: &[String]) {}
}

/// One notifying task: notifications leave in the order of the events.
async fn send(
    mut queue: mpsc::Receiver<Message<&'static str>>,
    pubsub: Arc<dyn PubSub>,
    bus: Weak<NoticeBus>,
) {
    let mut warned = false;
    while let Some(mut message) = queue.recv().await {
        let payload = std::mem::take(&mut message.payload);
        let notice = Notice::Other { channel: message.channel.to_owned(), payload };
        match pubsub.notify(notice).await {
            Ok(()) => {
                warned = false;
                if let Some(bus) = bus.upgrade().filter(|bus| bus.outgoing.has_lost()) {
                    bus.queue(INTEREST, &json!({ "node": bus.node, "missed": true }));
                }
            }
            Err(error) if !warned => {
                tracing::warn!(%error, "live query events do not reach other servers");
                warned = true;
            }
            Err(_) => {}
        }
    }
}

async fn listen(
    bus: Weak<NoticeBus>,
    audience: Weak<dyn Audience>,
    mut notices: broadcast::Receiver<Notice>,
) {
    use tokio::sync::broadcast::error::RecvError;
    let mut parts = parts::Parts::default();
    loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "live query events of other servers were missed");
                if let Some(audience) = audience.upgrade() {
                    audience.may_have_missed();
                }
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let (Some(bus), Some(audience)) = (bus.upgrade(), audience.upgrade()) else { return };
        match notice {
            Notice::Other { channel, payload } if channel == EVENTS || channel == INTEREST => {
                let Ok(payload) = serde_json::from_str::<Value>(&payload) else { continue };
                let Some(node) = payload.get("node").and_then(Value::as_str) else { continue };
                if node == bus.node {
                    continue;
                }
                if channel == INTEREST {
                    hear_interest(&bus, &*audience, node, &payload).await;
                } else if let Some(whole) = parts.take(payload)
                    && let Some(event) = read_event(&*audience, &whole).await
                {
                    audience.deliver(event);
                }
            }
            // The listening connection is there (again).
            Notice::Lost => {
                audience.may_have_missed();
                bus.ask();
            }
            _ => {}
        }
    }
}

async fn hear_interest(bus: &NoticeBus, audience: &dyn Audience, from: &str, payload: &Value) {
    bus.note_peer(from);
    if payload.get("ask").is_some_and(|ask| ask == true) {
        bus.queue(INTEREST, &json!({ "node": bus.node, "here": true }));
        for class in audience.live_classes() {
            bus.announce(&class);
        }
    }
    if payload.get("missed").is_some_and(|missed| missed == true) {
        audience.may_have_missed();
    }
    let confirm = payload.get("confirm").and_then(Value::as_u64);
    if payload.get("to").is_some_and(|to| to == &bus.node) {
        bus.hear_confirmation(from, confirm.unwrap_or_default());
    }
    if let Some(class) = payload.get("class").and_then(Value::as_str).and_then(ClassName::valid) {
        bus.note_interest(class);
        if let Some(number) = confirm {
            bus.queue(INTEREST, &json!({ "node": bus.node, "to": from, "confirm": number }));
        }
    }
}

async fn read_event(audience: &dyn Audience, payload: &Value) -> Option<ObjectEvent> {
    let class = ClassName::valid(payload.get("class")?.as_str()?)?;
    if !audience.has_subscribers(&class) {
        return None;
    }
    let deleted = payload.get("deleted").is_some_and(|deleted| deleted == true);
    let kind = if deleted { ObjectEventKind::Deleted } else { ObjectEventKind::Saved };
    let stamp = payload.get("stamp").and_then(Value::as_u64).unwrap_or_default();
    let object = |key: &str| payload.get(key).and_then(Value::as_object).cloned().map(Arc::new);
    if let Some(state) = object("object") {
        return Some(ObjectEvent {
            class,
            kind,
            object: state,
            original: object("original"),
            stamp,
            permissions: None,
        });
    }
    let id = ObjectId::new(payload.get("id")?.as_str()?)?;
    let state = Arc::new(audience.read(&class, &id).await?);
    let existed = payload.get("existed").is_some_and(|existed| existed == true);
    let original = existed.then(|| state.clone());
    Some(ObjectEvent { class, kind, object: state, original, stamp, permissions: None })
}

async fn repeat_interest(bus: Weak<NoticeBus>, audience: Weak<dyn Audience>) {
    loop {
        tokio::time::sleep(REPEAT_INTEREST).await;
        let (Some(bus), Some(audience)) = (bus.upgrade(), audience.upgrade()) else { return };
        bus.queue(INTEREST, &json!({ "node": bus.node, "here": true }));
        forget_old(&mut bus.wanted.write().unwrap_or_else(PoisonError::into_inner));
        let live = audience.live_classes();
        let mut announced = bus.announced.lock().await;
        announced.retain(|class, _| live.contains(class));
        for class in live {
            bus.announce(&class);
            announced.insert(class, Instant::now());
        }
    }
}
