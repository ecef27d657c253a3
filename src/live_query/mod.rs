//! Live queries: clients subscribe over WebSockets and hear of objects as they change.
//!
//! Writes hand what they did to the [`LiveQueryHub`] after commit. It sends the event to the class's
//! owner ([`class::LiveClassActor`]), which finds the subscriptions concerned through an index, decides
//! with the same permission code as a find, serialises each distinct form once and sends one message
//! to each worker thread. Other servers hear of it through the [`bus`].

pub mod delivery;
pub mod matching;
pub mod protocol;

use crate::live_query::delivery::bus;
use crate::live_query::delivery::captures;
use crate::live_query::delivery::class;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use actix::{Actor, Addr};
use tokio::sync::Semaphore;

use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::live_query::delivery::bus::Bus;
use crate::live_query::delivery::captures::Captures;
use crate::live_query::delivery::class::{Happened, LiveClassActor, Resumed, Subscribe, Unsubscribe};
use crate::live_query::delivery::ledger::{AppCharge, Charge, Ledger, Limits};
use crate::live_query::delivery::seat::{Listeners, Seat};
use crate::live_query::delivery::worker::ConnectionId;
use crate::live_query::matching::event::Shared;
use crate::live_query::matching::ring::Counter;
use crate::live_query::matching::waiting::Waiting;
use crate::operations::Services;
use crate::operations::ports::{EventSink, ObjectEvent};
use crate::types::ClassName;

/// What triggers are told about the whole server.
#[derive(Debug, Default)]
pub struct Counters {
    pub clients: AtomicU64,
    pub subscriptions: AtomicU64,
}

/// Calls of afterLiveQueryEvent, and questions to the database, that are under way at a time for one class.
const CALLS_AT_ONCE: usize = 16;
/// A class is listened to this long after its last subscriber that may come back has gone.
const RESUMABLE_FOR: Duration = Duration::from_secs(120);
/// How often classes that nobody came back to are let go.
const SWEEP: Duration = Duration::from_secs(10);
/// Bytes that listening to one more class takes.
pub const CLASS_WEIGHT: usize = 4096;

struct LiveClass {
    owner: Addr<LiveClassActor>,
    listeners: Arc<Listeners>,
    waiting: Arc<Waiting>,
    /// Milliseconds since the hub began, up to which somebody may come back.
    awaited_until: AtomicU64,
    _charge: AppCharge,
}

impl LiveClass {
    fn is_listened_to(&self, began: Instant) -> bool {
        self.listeners.count() > 0 || self.awaited_until.load(Ordering::Relaxed) > millis_since(began)
    }
}

fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// One for each app. Created before the app's services, which it is given once they exist.
pub struct LiveQueryHub {
    config: Arc<AppConfig>,
    services: OnceLock<Arc<Services>>,
    classes: RwLock<HashMap<ClassName, Arc<LiveClass>>>,
    bus: OnceLock<Arc<dyn Bus>>,
    pub counters: Arc<Counters>,
    numbers: Arc<Counter>,
    captures: Arc<Captures>,
    pub ledger: Arc<Ledger>,
    /// Bytes of events that wait for their classes.
    waiting: Arc<Waiting>,
    began: Instant,
    this: Weak<Self>,
}

impl LiveQueryHub {
    /// Call it inside a running actix system.
    pub fn new(config: Arc<AppConfig>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            captures: Arc::new(Captures::new(&config)),
            ledger: Ledger::new(Limits::of(&config.live_query_server)),
            waiting: Waiting::of_app(),
            config,
            services: OnceLock::new(),
            classes: RwLock::default(),
            bus: OnceLock::new(),
            counters: Arc::default(),
            numbers: Arc::default(),
            began: Instant::now(),
            this: this.clone(),
        })
    }

    /// Gives the hub the services it is itself a part of, and starts listening to other servers.
    ///
    /// # Errors
    /// When the bus cannot be set up at all (a bad Redis URL).
    pub async fn attach(self: &Arc<Self>, services: Arc<Services>) -> Result<()> {
        let bus = bus::start(Arc::downgrade(self), &services).await?;
        captures::start(Arc::downgrade(self), self.captures.clone(), services.clone());
        actix::spawn(sweep(Arc::downgrade(self)));
        if self.services.set(services).is_err() {
            return Err(Error::internal("the live query hub already has its services"));
        }
        if let Some(bus) = bus {
            self.bus.set(bus).map_err(|_| Error::internal("the live query hub already has a bus"))?;
        }
        Ok(())
    }

    pub fn config(&self) -> &AppConfig {
        &self.config
    }

    /// # Errors
    /// Before [`LiveQueryHub::attach`].
    pub fn services(&self) -> Result<&Arc<Services>> {
        self.services.get().ok_or_else(|| Error::internal("live queries are not ready yet"))
    }

    fn class(&self, class: &ClassName) -> Option<Arc<LiveClass>> {
        self.classes.read().unwrap_or_else(PoisonError::into_inner).get(class).cloned()
    }

    fn class_or_start(&self, class: &ClassName) -> Result<Arc<LiveClass>> {
        if let Some(live) = self.class(class).filter(|live| live.owner.connected()) {
            return Ok(live);
        }
        let services = self.services()?.clone();
        let mut classes = self.classes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = classes.get(class).filter(|live| live.owner.connected()) {
            return Ok(live.clone());
        }
        let waiting = self.waiting.of_class();
        // On the thread of its first subscriber: what happens there need not wake another thread, and
        // classes spread over the threads.
        let owner = LiveClassActor::new(Shared {
            class: class.clone(),
            services,
            counters: self.counters.clone(),
            numbers: self.numbers.clone(),
            subscriptions: Rc::default(),
            ring: Rc::default(),
            calls: Rc::new(Semaphore::new(CALLS_AT_ONCE)),
        });
        let live = Arc::new(LiveClass {
            owner: owner.start(),
            listeners: Listeners::new(class.clone(), self.counters.clone(), self.this.clone()),
            waiting,
            awaited_until: AtomicU64::new(0),
            _charge: self.ledger.charge_app(CLASS_WEIGHT),
        });
        classes.insert(class.clone(), live.clone());
        Ok(live)
    }

    /// Opens a subscription, which holds `charge` as long as it is there.
    ///
    /// # Errors
    /// When the class's owner is gone, or refuses one more query that needs the database.
    pub async fn subscribe(&self, request: class::Request, charge: Charge) -> Result<Option<Resumed>> {
        let class = request.opened.class.clone();
        self.captures.ensure(self.services()?, &class).await;
        let live = self.class_or_start(&class)?;
        let continuous = live.is_listened_to(self.began);
        if let Some(bus) = self.bus.get() {
            bus.listen_to(&class).await;
        }
        let (connection, request_id) = (request.subscriber.connection, request.subscriber.request_id.clone());
        let seat = Seat::new(charge, live.listeners.clone());
        let done = crate::actors::ask(&live.owner, Subscribe { request, seat, continuous }).await;
        if done.is_err() {
            // It may have come to be all the same, if only the answer was late.
            let message = Unsubscribe { connection, request_id: Some(request_id) };
            if live.owner.try_send(message).is_err() {
                tracing::debug!(class = %class, "a subscription ends with its class");
            }
            drop(live);
            self.let_go(&class);
        }
        done
    }

    /// Ends one subscription.
    pub async fn unsubscribe(&self, class: &ClassName, message: Unsubscribe) {
        let Some(live) = self.class(class) else { return };
        // What it held goes with it.
        let _ = crate::actors::ask(&live.owner, message).await;
        drop(live);
        self.let_go(class);
    }

    /// A connection is gone: its subscriptions to the class end. Waits for nothing, so that it can be
    /// called wherever the connection comes to its end. `may_return`: the client may come back and ask
    /// for what it missed.
    pub fn leave(&self, class: &ClassName, connection: ConnectionId, may_return: bool) {
        let Some(live) = self.class(class) else { return };
        if may_return {
            let until = millis_since(self.began).saturating_add(RESUMABLE_FOR.as_millis() as u64);
            live.awaited_until.fetch_max(until, Ordering::Relaxed);
        }
        if live.owner.try_send(Unsubscribe { connection, request_id: None }).is_err() {
            tracing::debug!(class = %class, "subscriptions end with their class");
        }
    }

    /// Clients choose the names of classes: owners that have nothing to do are let go.
    fn let_go(&self, class: &ClassName) {
        let mut classes = self.classes.write().unwrap_or_else(PoisonError::into_inner);
        if classes.get(class).is_some_and(|live| self.is_idle(live)) {
            classes.remove(class);
        }
    }

    fn is_idle(&self, live: &Arc<LiveClass>) -> bool {
        // Whoever is about to subscribe holds the class, too.
        Arc::strong_count(live) == 1 && !live.is_listened_to(self.began)
    }

    /// Events of other servers may have been missed: whoever comes back with an older id is told so.
    pub fn may_have_missed(&self) {
        self.numbers.mark_gap();
    }

    /// Whether anybody connected to this server listens to the class, or did and may come back.
    pub fn has_subscribers(&self, class: &ClassName) -> bool {
        let classes = self.classes.read().unwrap_or_else(PoisonError::into_inner);
        classes.get(class).is_some_and(|live| live.is_listened_to(self.began))
    }

    /// Classes somebody here listens to.
    pub fn live_classes(&self) -> Vec<ClassName> {
        let classes = self.classes.read().unwrap_or_else(PoisonError::into_inner);
        let live = classes.iter().filter(|(_, live)| live.is_listened_to(self.began));
        live.map(|(class, _)| class.clone()).collect()
    }

    /// Hands an event to this server's own subscribers.
    pub fn deliver(&self, event: ObjectEvent) {
        let Some(live) = self.class(&event.class) else { return };
        if !live.is_listened_to(self.began) {
            return;
        }
        let Some(place) = live.waiting.take(&event) else {
            // Whoever comes back is told that something is missing.
            self.may_have_missed();
            tracing::error!(class = %event.class, "too many live query events wait: one is not told");
            return;
        };
        if live.owner.try_send(Happened { event, place }).is_err() {
            tracing::error!("a live query class takes no events any more");
        }
    }
}

/// Lets classes go that were kept for somebody who did not come back.
async fn sweep(hub: Weak<LiveQueryHub>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(hub) = hub.upgrade() else { return };
        let mut classes = hub.classes.write().unwrap_or_else(PoisonError::into_inner);
        classes.retain(|_, live| !hub.is_idle(live));
    }
}

impl EventSink for LiveQueryHub {
    fn publishes(&self, class: &ClassName) -> bool {
        self.config.live_query.publishes(class)
            && (self.has_subscribers(class) || self.bus.get().is_some_and(|bus| bus.is_wanted(class)))
    }

    fn emit(&self, event: ObjectEvent) {
        if let Some(bus) = self.bus.get()
            && bus.is_wanted(&event.class)
        {
            bus.publish(&event);
        }
        self.deliver(event);
    }

    fn roles_changed(&self, user_ids: &[String]) {
        if let Some(bus) = self.bus.get() {
            bus.roles_changed(user_ids);
        }
    }
}
