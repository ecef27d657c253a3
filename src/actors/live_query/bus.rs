//! How servers hear of each other's writes: PostgreSQL notifications by default, Redis channels in
//! parse-server's layout when `liveQuery.redisURL` is set.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::LiveQueryHub;
use super::redis_bus::RedisBus;
use crate::error::Result;
use crate::operations::Services;
use crate::operations::services::{ObjectEvent, ObjectEventKind};
use crate::storage::Notice;
use crate::types::names::random_alphanumeric;
use crate::types::query::{Filter, FindSpec};
use crate::types::{ClassName, Object, ObjectId};

pub trait Bus: Send + Sync {
    /// Whether another server may want events of this class.
    fn is_wanted(&self, class: &ClassName) -> bool;
    /// Queues the event for the other servers.
    fn publish(&self, event: &ObjectEvent);
    /// Tells the others that somebody here listens to the class.
    fn announce_interest(&self, class: &ClassName);
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
/// A notification holds 8,000 bytes; the rest is for its envelope.
const LARGEST: usize = 7_000;
/// An announced interest counts this long; it is repeated well before.
const INTEREST_LASTS: Duration = Duration::from_secs(90);
const REPEAT_INTEREST: Duration = Duration::from_secs(30);

/// LISTEN/NOTIFY through storage's own listening connection; never in a write's transaction.
struct NotifyBus {
    node: String,
    /// Class → when another server last said it listens.
    wanted: RwLock<HashMap<ClassName, Instant>>,
    outgoing: mpsc::UnboundedSender<(&'static str, Value)>,
}

impl NotifyBus {
    fn start(hub: Weak<LiveQueryHub>, services: Arc<Services>) -> Arc<Self> {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let bus = Arc::new(Self { node: random_alphanumeric(12), wanted: RwLock::default(), outgoing });
        actix::spawn(send(queue, services.clone()));
        actix::spawn(listen(Arc::downgrade(&bus), hub.clone(), services));
        actix::spawn(repeat_interest(Arc::downgrade(&bus), hub));
        // Whoever is there already says what it listens to.
        bus.queue(INTEREST, json!({ "node": bus.node, "ask": true }));
        bus
    }

    fn queue(&self, channel: &'static str, payload: Value) {
        // Only fails while the server goes down.
        let _ = self.outgoing.send((channel, payload));
    }

    fn note_interest(&self, class: ClassName) {
        self.wanted.write().unwrap_or_else(PoisonError::into_inner).insert(class, Instant::now());
    }
}

impl Bus for NotifyBus {
    fn is_wanted(&self, class: &ClassName) -> bool {
        let wanted = self.wanted.read().unwrap_or_else(PoisonError::into_inner);
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
        });
        let payload = if whole.to_string().len() <= LARGEST {
            whole
        } else {
            // By reference: the others read the row; its state before the write is then unknown to
            // them, so an enter or leave is told as the row's present state tells it.
            json!({
                "node": self.node,
                "class": event.class.as_str(),
                "deleted": deleted,
                "id": event.object.get("objectId"),
                "existed": event.original.is_some(),
                "stamp": event.stamp,
            })
        };
        self.queue(EVENTS, payload);
    }

    fn announce_interest(&self, class: &ClassName) {
        self.queue(INTEREST, json!({ "node": self.node, "class": class.as_str() }));
    }
}

/// One notifying task: notifications leave in the order of the events.
async fn send(mut queue: mpsc::UnboundedReceiver<(&'static str, Value)>, services: Arc<Services>) {
    let mut warned = false;
    while let Some((channel, payload)) = queue.recv().await {
        let notice = Notice::Other { channel: channel.to_owned(), payload: payload.to_string() };
        match services.storage.notify(notice).await {
            Ok(()) => warned = false,
            Err(error) if !warned => {
                tracing::warn!(%error, "live query events do not reach other servers");
                warned = true;
            }
            Err(_) => {}
        }
    }
}

async fn listen(bus: Weak<NotifyBus>, hub: Weak<LiveQueryHub>, services: Arc<Services>) {
    use tokio::sync::broadcast::error::RecvError;
    let mut notices = services.storage.notices();
    loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "live query events of other servers were missed");
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let (Some(bus), Some(hub)) = (bus.upgrade(), hub.upgrade()) else { return };
        match notice {
            Notice::Other { channel, payload } if channel == EVENTS || channel == INTEREST => {
                let Ok(payload) = serde_json::from_str::<Value>(&payload) else { continue };
                if payload.get("node").and_then(Value::as_str) == Some(&bus.node) {
                    continue;
                }
                if channel == INTEREST {
                    hear_interest(&bus, &hub, &payload);
                } else if let Some(event) = read_event(&services, &hub, &payload).await {
                    hub.deliver(event);
                }
            }
            Notice::Lost => bus.queue(INTEREST, json!({ "node": bus.node, "ask": true })),
            _ => {}
        }
    }
}

fn hear_interest(bus: &NotifyBus, hub: &LiveQueryHub, payload: &Value) {
    if payload.get("ask").is_some_and(|ask| ask == true) {
        for class in hub.live_classes() {
            bus.announce_interest(&class);
        }
    }
    if let Some(class) = payload.get("class").and_then(Value::as_str).and_then(ClassName::valid) {
        bus.note_interest(class);
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
        for class in hub.live_classes() {
            bus.announce_interest(&class);
        }
    }
}
