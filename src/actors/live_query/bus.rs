//! How servers hear of each other's writes: PostgreSQL notifications by default, Redis channels in
//! parse-server's layout when `liveQuery.redisURL` is set.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::outgoing::{Message, Outgoing};
use super::redis_bus::RedisBus;
use super::{LiveQueryHub, parts};
use crate::error::Result;
use crate::operations::Services;
use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::query::{Filter, FindSpec};
use crate::storage::Notice;
use crate::types::names::random_alphanumeric;
use crate::types::{ClassName, Object, ObjectId};

#[async_trait(?Send)]
pub trait Bus: Send + Sync {
    /// Whether another server may want events of this class.
    fn is_wanted(&self, class: &ClassName) -> bool;
    /// Queues the event for the other servers.
    fn publish(&self, event: &ObjectEvent);
    /// Somebody here listens to the class: answers once the servers that are known to be there publish
    /// it, or did not say so in time.
    async fn listen_to(&self, class: &ClassName);
    /// Roles were written by, or the membership changed of, these users.
    fn roles_changed(&self, user_ids: &[String]);
}

/// `None` when live queries are not configured.
///
/// # Errors
/// When a configured bus cannot be set up at all.
pub async fn start(hub: Weak<LiveQueryHub>, services: &Arc<Services>) -> Result<Option<Arc<dyn Bus>>> {
    if services.config.live_query.class_names.is_none() {
        return Ok(None);
    }
    let url =
        |secret: &Option<crate::config::Secret<String>>| secret.as_ref().map(|url| url.expose().clone());
    let publish = url(&services.config.live_query.redis_url);
    let listen = url(&services.config.live_query_server.redis_url);
    if publish.is_some() || listen.is_some() {
        let bus = RedisBus::start(hub, services, publish.as_deref(), listen.as_deref())?;
        return Ok(Some(bus));
    }
    Ok(Some(NotifyBus::start(hub, services.clone())))
}

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

/// LISTEN/NOTIFY through storage's own listening connection; never in a write's transaction.
struct NotifyBus {
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

impl NotifyBus {
    fn start(hub: Weak<LiveQueryHub>, services: Arc<Services>) -> Arc<Self> {
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
        actix::spawn(send(queue, services.clone(), Arc::downgrade(&bus)));
        let notices = services.storage.notices();
        actix::spawn(listen(Arc::downgrade(&bus), hub.clone(), services, notices));
        actix::spawn(repeat_interest(Arc::downgrade(&bus), hub));
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
impl Bus for NotifyBus {
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
    services: Arc<Services>,
    bus: Weak<NotifyBus>,
) {
    let mut warned = false;
    while let Some(mut message) = queue.recv().await {
        let payload = std::mem::take(&mut message.payload);
        let notice = Notice::Other { channel: message.channel.to_owned(), payload };
        match services.storage.notify(notice).await {
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
    bus: Weak<NotifyBus>,
    hub: Weak<LiveQueryHub>,
    services: Arc<Services>,
    mut notices: broadcast::Receiver<Notice>,
) {
    use tokio::sync::broadcast::error::RecvError;
    let mut parts = parts::Parts::default();
    loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "live query events of other servers were missed");
                if let Some(hub) = hub.upgrade() {
                    hub.may_have_missed();
                }
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let (Some(bus), Some(hub)) = (bus.upgrade(), hub.upgrade()) else { return };
        match notice {
            Notice::Other { channel, payload } if channel == EVENTS || channel == INTEREST => {
                let Ok(payload) = serde_json::from_str::<Value>(&payload) else { continue };
                let Some(node) = payload.get("node").and_then(Value::as_str) else { continue };
                if node == bus.node {
                    continue;
                }
                if channel == INTEREST {
                    hear_interest(&bus, &hub, node, &payload).await;
                } else if let Some(whole) = parts.take(payload)
                    && let Some(event) = read_event(&services, &hub, &whole).await
                {
                    hub.deliver(event);
                }
            }
            // The listening connection is there (again).
            Notice::Lost => {
                hub.may_have_missed();
                bus.ask();
            }
            _ => {}
        }
    }
}

async fn hear_interest(bus: &NotifyBus, hub: &LiveQueryHub, from: &str, payload: &Value) {
    bus.note_peer(from);
    if payload.get("ask").is_some_and(|ask| ask == true) {
        bus.queue(INTEREST, &json!({ "node": bus.node, "here": true }));
        for class in hub.live_classes() {
            bus.announce(&class);
        }
    }
    if payload.get("missed").is_some_and(|missed| missed == true) {
        hub.may_have_missed();
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

async fn read_event(services: &Services, hub: &LiveQueryHub, payload: &Value) -> Option<ObjectEvent> {
    let class = ClassName::valid(payload.get("class")?.as_str()?)?;
    if !hub.has_subscribers(&class) {
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
    let state = Arc::new(read_object(services, &class, &id).await?);
    let existed = payload.get("existed").is_some_and(|existed| existed == true);
    let original = existed.then(|| state.clone());
    Some(ObjectEvent { class, kind, object: state, original, stamp, permissions: None })
}

async fn read_object(services: &Services, class: &ClassName, id: &ObjectId) -> Option<Object> {
    let snapshot = services.classes.admit(class).await.ok()??;
    let spec = FindSpec::new(Filter::by_id(id)).limit(1);
    let rows = services.storage.find(&snapshot.schema, &spec).await.ok()?;
    let mut object = rows.first()?.to_object();
    object.retain(|key, _| !key.starts_with('_'));
    object.insert("className".to_owned(), class.as_str().into());
    Some(object)
}

async fn repeat_interest(bus: Weak<NotifyBus>, hub: Weak<LiveQueryHub>) {
    loop {
        tokio::time::sleep(REPEAT_INTEREST).await;
        let (Some(bus), Some(hub)) = (bus.upgrade(), hub.upgrade()) else { return };
        bus.queue(INTEREST, &json!({ "node": bus.node, "here": true }));
        forget_old(&mut bus.wanted.write().unwrap_or_else(PoisonError::into_inner));
        let live = hub.live_classes();
        let mut announced = bus.announced.lock().await;
        announced.retain(|class, _| live.contains(class));
        for class in live {
            bus.announce(&class);
            announced.insert(class, Instant::now());
        }
    }
}
