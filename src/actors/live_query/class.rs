//! `LiveClassActor`: owns the subscriptions of one class and turns what happened to an object into
//! what each subscriber hears. Events of a class are worked off one after another, in order; the
//! actor lives on an arbiter of its own kind, so no request waits for it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, Addr, AtomicResponse, Context, Handler, Message};
use bytes::Bytes;
use serde_json::Value;

use super::decide::{Decision, Event, Situation, decide};
use super::index::{EntryId, Index};
use super::order::Order;
use super::render::{Mask, Renderer};
use super::subscription::{Audience, Opened, Rights};
use super::worker::{ConnectionId, Deliver, Delivery, LiveQueryWorker, Parcel};
use super::{Counters, triggers};
use crate::error::{Error, Result};
use crate::operations::permissions::Protection;
use crate::operations::services::{ObjectEvent, ObjectEventKind};
use crate::operations::{ClassSnapshot, Services};
use crate::types::query::eval::json_equals;
use crate::types::{Acl, ClassName, ClassSchema, Object, Operation};

/// How many candidates are matched before other work of the arbiter gets a turn.
const CHUNK: usize = 512;

/// One client's subscription.
#[derive(Clone)]
pub struct Subscriber {
    pub connection: ConnectionId,
    pub worker: Addr<LiveQueryWorker>,
    pub request_id: Value,
    pub installation_id: Option<String>,
    pub keys: Option<Arc<BTreeSet<String>>>,
    pub watch: Option<Arc<Vec<String>>>,
}

/// Subscriptions with the same query.
struct Entry {
    opened: Rc<Opened>,
    audiences: HashMap<Audience, Vec<Subscriber>>,
}

#[derive(Default)]
struct Subscriptions {
    index: Index,
    entries: HashMap<EntryId, Entry>,
    by_query: HashMap<String, EntryId>,
    /// Connection and request id → where the subscription is.
    places: HashMap<(ConnectionId, String), (EntryId, Audience)>,
    next: EntryId,
}

impl Subscriptions {
    fn insert(&mut self, opened: Opened, audience: Audience, subscriber: Subscriber) {
        let place = (subscriber.connection, subscriber.request_id.to_string());
        self.remove(&place);
        let id = match self.by_query.get(&opened.identity) {
            Some(id) => *id,
            None => {
                self.next += 1;
                let id = self.next;
                self.index.insert(id, opened.matcher.filter());
                self.by_query.insert(opened.identity.clone(), id);
                self.entries.insert(id, Entry { opened: Rc::new(opened), audiences: HashMap::new() });
                id
            }
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.audiences.entry(audience.clone()).or_default().push(subscriber);
            self.places.insert(place, (id, audience));
        }
    }

    fn remove(&mut self, place: &(ConnectionId, String)) -> bool {
        let Some((id, audience)) = self.places.remove(place) else { return false };
        let Some(entry) = self.entries.get_mut(&id) else { return true };
        if let Some(subscribers) = entry.audiences.get_mut(&audience) {
            let request_id: Option<Value> = serde_json::from_str(&place.1).ok();
            subscribers.retain(|s| s.connection != place.0 || Some(&s.request_id) != request_id.as_ref());
            if subscribers.is_empty() {
                entry.audiences.remove(&audience);
            }
        }
        if entry.audiences.is_empty()
            && let Some(entry) = self.entries.remove(&id)
        {
            self.by_query.remove(&entry.opened.identity);
            self.index.remove(id);
        }
        true
    }
}

pub struct LiveClassActor {
    class: ClassName,
    services: Arc<Services>,
    counters: Arc<Counters>,
    subscriptions: Rc<RefCell<Subscriptions>>,
    order: Order,
}

impl LiveClassActor {
    pub fn new(class: ClassName, services: Arc<Services>, counters: Arc<Counters>) -> Self {
        Self { class, services, counters, subscriptions: Rc::default(), order: Order::default() }
    }
}

impl Actor for LiveClassActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Events come from writes that are done: there is nobody to hold back.
        ctx.set_mailbox_capacity(1 << 20);
    }
}

/// Opens (or replaces) a subscription.
pub struct Subscribe {
    pub opened: Opened,
    pub audience: Audience,
    pub subscriber: Subscriber,
}

impl Message for Subscribe {
    type Result = Result<()>;
}

impl Handler<Subscribe> for LiveClassActor {
    type Result = Result<()>;

    fn handle(&mut self, message: Subscribe, _: &mut Self::Context) -> Self::Result {
        self.subscriptions.borrow_mut().insert(message.opened, message.audience, message.subscriber);
        Ok(())
    }
}

/// Ends one subscription; answers whether there was one.
pub struct Unsubscribe {
    pub connection: ConnectionId,
    pub request_id: Value,
}

impl Message for Unsubscribe {
    type Result = Result<bool>;
}

impl Handler<Unsubscribe> for LiveClassActor {
    type Result = Result<bool>;

    fn handle(&mut self, message: Unsubscribe, _: &mut Self::Context) -> Self::Result {
        let place = (message.connection, message.request_id.to_string());
        let mut subscriptions = self.subscriptions.borrow_mut();
        let removed = subscriptions.remove(&place);
        if subscriptions.entries.is_empty() {
            self.order.clear();
        }
        Ok(removed)
    }
}

/// Something happened to an object of this class.
pub struct Happened(pub ObjectEvent);

impl Message for Happened {
    type Result = ();
}

impl Handler<Happened> for LiveClassActor {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, Happened(event): Happened, _: &mut Self::Context) -> Self::Result {
        let Some(event) = self.order.admit(event, Instant::now()) else {
            return AtomicResponse::new(Box::pin(actix::fut::ready(())));
        };
        let subscriptions = self.subscriptions.clone();
        let (class, services, counters) = (self.class.clone(), self.services.clone(), self.counters.clone());
        AtomicResponse::new(Box::pin(actix::fut::wrap_future::<_, Self>(async move {
            let work = Work { class, services, counters, subscriptions, event };
            if let Err(error) = work.run().await {
                tracing::error!(%error, "a live query event was lost");
            }
        })))
    }
}

struct Work {
    class: ClassName,
    services: Arc<Services>,
    counters: Arc<Counters>,
    subscriptions: Rc<RefCell<Subscriptions>>,
    event: ObjectEvent,
}

/// An entry whose query one of the two states satisfies.
struct Hit {
    opened: Rc<Opened>,
    original: bool,
    current: bool,
    audiences: Vec<(Audience, Vec<Subscriber>)>,
}

/// Deliveries collected for each worker. There are few workers: a list is enough.
type Outbox = Vec<(Addr<LiveQueryWorker>, Vec<Delivery>)>;

impl Work {
    async fn run(&self) -> Result<()> {
        let hits = self.hits().await;
        if hits.is_empty() {
            return Ok(());
        }
        let snapshot = match self.services.classes.admit(&self.class).await? {
            Some(snapshot) => snapshot,
            None => Arc::new(ClassSnapshot::build(ClassSchema::with_defaults(self.class.clone()), None, 0)),
        };
        let mut rights: HashMap<Audience, Rights> = HashMap::new();
        let mut outbox = Outbox::new();
        let mut renderer = Renderer::new(&self.event);
        for hit in hits {
            for (audience, subscribers) in &hit.audiences {
                if !rights.contains_key(audience) {
                    rights.insert(audience.clone(), audience.resolve(&self.services).await);
                }
                let Some(rights) = rights.get(audience) else { continue };
                self.tell_audience(&snapshot, &hit, rights, subscribers, &mut renderer, &mut outbox).await;
            }
        }
        for (worker, deliveries) in outbox {
            if worker.try_send(Deliver(deliveries)).is_err() {
                tracing::warn!("a worker takes no live query events any more");
            }
        }
        Ok(())
    }

    async fn hits(&self) -> Vec<Hit> {
        let current = &*self.event.object;
        let original = self.event.original.as_deref();
        let candidates = {
            let subscriptions = self.subscriptions.borrow();
            subscriptions.index.candidates(std::iter::once(current).chain(original))
        };
        let mut hits = Vec::new();
        for chunk in candidates.chunks(CHUNK) {
            {
                let subscriptions = self.subscriptions.borrow();
                for entry in chunk.iter().filter_map(|id| subscriptions.entries.get(id)) {
                    let matches = |object: &Object| entry.opened.matcher.matches(object);
                    let (before, now) = (original.is_some_and(matches), matches(current));
                    if before || now {
                        hits.push(Hit {
                            opened: entry.opened.clone(),
                            original: before,
                            current: now,
                            audiences: entry.audiences.iter().map(|(a, s)| (a.clone(), s.clone())).collect(),
                        });
                    }
                }
            }
            if candidates.len() > CHUNK {
                tokio::task::yield_now().await;
            }
        }
        hits
    }

    async fn tell_audience(
        &self,
        class: &ClassSnapshot,
        hit: &Hit,
        rights: &Rights,
        subscribers: &[Subscriber],
        renderer: &mut Renderer<'_>,
        outbox: &mut Outbox,
    ) {
        match rights.admitted(class, hit.opened.op, &self.event.object) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                self.tell_error(&error, subscribers, outbox);
                return;
            }
        }
        let acl = |object: &Object| object.get("ACL").and_then(|acl| Acl::from_json(acl).ok());
        let readable = |object: &Object| rights.may_read(acl(object).as_ref());
        let current_readable = readable(&self.event.object);
        let original_readable = self.event.original.as_deref().is_some_and(readable);
        let owner_exempt = self.services.config.users.protected_fields_owner_exempt;
        let exact = hit.opened.matcher.filter().exact_id();
        let protection = Protection::resolve(&rights.auth, class, exact, owner_exempt);
        // Protected since it was opened: hearing of a match would tell the field's value.
        if hit.opened.looks_at.iter().any(|field| protection.forbids(field)) {
            return;
        }
        let mask = Mask::of(class, &rights.auth, &protection, &self.event);
        for subscriber in subscribers {
            if subscriber.watch.iter().flat_map(|watch| watch.iter()).any(|field| protection.forbids(field)) {
                continue;
            }
            let decision = match self.event.kind {
                // With a state before: a deletion that those who saw that state know of (see `order`).
                ObjectEventKind::Deleted => {
                    let knows = hit.original && original_readable;
                    (hit.current && current_readable && !knows).then_some(Decision {
                        event: Event::Delete,
                        object_is_original: false,
                        with_original: false,
                    })
                }
                ObjectEventKind::Saved => decide(Situation {
                    has_original: self.event.original.is_some(),
                    original_matches: hit.original,
                    original_readable,
                    current_matches: hit.current,
                    current_readable,
                    watched_changed: self.watched_changed(subscriber),
                }),
            };
            let Some(decision) = decision else { continue };
            if triggers::has_after_event(&self.services, &self.class) {
                self.tell_through_trigger(decision, rights, subscriber, &mask, outbox).await;
                continue;
            }
            let object = renderer.render(decision.object_is_original, &mask, subscriber.keys.as_ref());
            let original =
                decision.with_original.then(|| renderer.render(true, &mask, subscriber.keys.as_ref()));
            push(outbox, subscriber, Parcel::Event { event: decision.event, object, original });
        }
    }

    fn watched_changed(&self, subscriber: &Subscriber) -> bool {
        let Some(watch) = &subscriber.watch else { return true };
        let value = |object: Option<&Object>, field: &str| {
            object.and_then(|object| object.get(field)).cloned().unwrap_or(Value::Null)
        };
        watch.iter().any(|field| {
            let now = value(Some(&*self.event.object), field);
            !json_equals(&now, &value(self.event.original.as_deref(), field))
        })
    }

    async fn tell_through_trigger(
        &self,
        decision: Decision,
        rights: &Rights,
        subscriber: &Subscriber,
        mask: &Mask,
        outbox: &mut Outbox,
    ) {
        let state = |original: bool| {
            if original { self.event.original.as_deref() } else { Some(&*self.event.object) }
        };
        let call = triggers::AfterEvent {
            class: &self.class,
            event: decision.event,
            object: state(decision.object_is_original),
            original: state(true).filter(|_| decision.with_original),
            rights,
            installation_id: subscriber.installation_id.as_deref(),
            counters: &self.counters,
        };
        match triggers::after_event(&self.services, call).await {
            Ok(None) => {}
            Ok(Some((object, original))) => {
                let render = |object: &Object| mask.render(object, subscriber.keys.as_deref());
                let parcel = Parcel::Event {
                    event: decision.event,
                    object: render(&object),
                    original: original.as_ref().map(render),
                };
                push(outbox, subscriber, parcel);
            }
            Err(error) => self.tell_error(&error, std::slice::from_ref(subscriber), outbox),
        }
    }

    fn tell_error(&self, error: &Error, subscribers: &[Subscriber], outbox: &mut Outbox) {
        let code = error.code().map_or(141, |code| code.0);
        let message = error.public_message(self.services.config.http.sanitize_errors).to_owned();
        for subscriber in subscribers {
            push(outbox, subscriber, Parcel::Error { code, message: message.clone() });
        }
    }
}

fn push(outbox: &mut Outbox, subscriber: &Subscriber, parcel: Parcel) {
    let delivery =
        Delivery { connection: subscriber.connection, request_id: subscriber.request_id.clone(), parcel };
    match outbox.iter_mut().find(|(worker, _)| *worker == subscriber.worker) {
        Some((_, deliveries)) => deliveries.push(delivery),
        None => outbox.push((subscriber.worker.clone(), vec![delivery])),
    }
}

/// Whether an operation on this class is a `get` for class permissions.
pub fn is_get(opened: &Opened) -> bool {
    opened.op == Operation::Get
}

/// Shared by the renderer's callers.
pub type Rendered = Bytes;
