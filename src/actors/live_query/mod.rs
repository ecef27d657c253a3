//! `LiveQueryHub`: the handle for everything about live queries of an app. Writes hand it what they did, sockets
//! open and end subscriptions through it; both come to the owners of the classes. Other servers hear of
//! events through a bus of [`crate::pubsub::events`], whose [`audience`] this is.

mod audience;
mod sql_changes;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};

use super::ask;
use super::class::directory::{Directory, InUse};
use super::class::owner::{EventsLost, Happened, Subscribe, Unsubscribe};
use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::live_query::event_log::Captures;
use crate::live_query::ledger::{Charge, Ledger, Limits, Resource};
use crate::live_query::listening::{Counters, Listening, Seat};
use crate::live_query::matching::class::{Ending, Opening, Request};
use crate::live_query::matching::ring::Counter;
use crate::live_query::matching::shared::LiveApp;
use crate::live_query::parcel::ConnectionId;
use crate::live_query::protocol::Resumed;
use crate::live_query::waiting::Waiting;
use crate::metrics::Page;
use crate::operations::ports::EventSink;
use crate::operations::{ClassSnapshot, Services};
use crate::pubsub::events::{self, Audience, EventBus, ObjectEvent};
use crate::types::ClassName;

/// One for each app. Created before the app's services, which it is given once they exist.
pub struct LiveQueryHub {
    config: Arc<AppConfig>,
    app: OnceLock<Arc<LiveApp>>,
    owners: Arc<Directory>,
    bus: OnceLock<Arc<dyn EventBus>>,
    pub counters: Arc<Counters>,
    numbers: Arc<Counter>,
    captures: Arc<Captures>,
    pub ledger: Arc<Ledger>,
    /// Bytes of events that wait for their classes.
    waiting: Arc<Waiting>,
}

impl LiveQueryHub {
    pub fn new(config: Arc<AppConfig>, owners: Arc<Directory>) -> Arc<Self> {
        Arc::new(Self {
            captures: Arc::new(Captures::new(&config)),
            ledger: Ledger::new(Limits::of(&config.live_query_server)),
            waiting: Waiting::of_app(),
            config,
            app: OnceLock::new(),
            owners,
            bus: OnceLock::new(),
            counters: Arc::default(),
            numbers: Arc::default(),
        })
    }

    /// Gives the hub the services it is itself a part of, and starts listening to other servers. Call it inside
    /// a running actix system.
    ///
    /// # Errors
    /// When the bus cannot be set up at all (a bad Redis URL).
    pub fn attach(self: &Arc<Self>, services: Arc<Services>) -> Result<()> {
        let this = Arc::downgrade(self);
        let audience: Weak<dyn Audience> = this.clone();
        let (config, pubsub) = (services.config.clone(), services.pubsub.clone());
        sql_changes::start(this, self.captures.clone(), services.clone());
        let app = LiveApp { services, counters: self.counters.clone(), numbers: self.numbers.clone() };
        if self.app.set(Arc::new(app)).is_err() {
            return Err(Error::internal("the live query hub already has its services"));
        }
        if let Some(bus) = events::start(&audience, &config, &pubsub)? {
            self.bus.set(bus).map_err(|_| Error::internal("the live query hub already has a bus"))?;
        }
        Ok(())
    }

    pub fn config(&self) -> &AppConfig {
        &self.config
    }

    fn app(&self) -> Result<&Arc<LiveApp>> {
        self.app.get().ok_or_else(|| Error::internal("live queries are not ready yet"))
    }

    /// # Errors
    /// Before [`LiveQueryHub::attach`].
    pub fn services(&self) -> Result<&Arc<Services>> {
        self.app().map(|app| &app.services)
    }

    fn listening<'c>(&self, in_use: &'c InUse) -> &'c Arc<Listening> {
        in_use.listening.get_or_init(|| {
            Listening::new(self.counters.clone(), self.ledger.clone(), self.waiting.of_class())
        })
    }

    /// Opens a subscription, which holds `charge` as long as it is there.
    ///
    /// # Errors
    /// When the class's owner is gone, or refuses one more query that needs the database.
    pub async fn subscribe(&self, request: Request, charge: Charge) -> Result<Option<Resumed>> {
        let class = request.opened.class.clone();
        let app = self.app()?.clone();
        self.captures.ensure(&app.services, &class).await;
        // An owner that is started here lives on this thread: its events need not wake another one.
        let in_use = self.owners.open(&class);
        let listening = self.listening(&in_use).clone();
        let continuous = listening.is_listened_to();
        if let Some(bus) = self.bus.get() {
            bus.listen_to(&class).await;
        }
        let (connection, request_id) = (request.subscriber.connection, request.subscriber.request_id.clone());
        let seat = Seat::new(charge, listening.clone());
        let opening = Opening { request, seat, continuous };
        let done = ask(&in_use.owner, Subscribe { app, listening, opening }).await;
        if done.is_err() {
            // It may have come to be all the same, if only the answer was late.
            let ending = Ending { connection, request_id: Some(request_id) };
            if in_use.owner.try_send(Unsubscribe(ending)).is_err() {
                tracing::debug!(class = %class, "a subscription ends with its class");
            }
            drop(in_use);
            self.owners.let_go(&class);
        }
        done
    }

    /// Ends one subscription.
    pub async fn unsubscribe(&self, class: &ClassName, ending: Ending) {
        let Some(in_use) = self.owners.get(class) else { return };
        // What it held goes with it.
        let _ = ask(&in_use.owner, Unsubscribe(ending)).await;
        drop(in_use);
        // Clients choose the names of classes.
        self.owners.let_go(class);
    }

    /// A connection is gone: its subscriptions to the class end. Waits for nothing, so that it can be
    /// called wherever the connection comes to its end. `may_return`: the client may come back and ask
    /// for what it missed.
    pub fn leave(&self, class: &ClassName, connection: ConnectionId, may_return: bool) {
        let Some(in_use) = self.owners.get(class) else { return };
        if may_return && let Some(listening) = in_use.listening.get() {
            listening.await_return();
        }
        let ending = Ending { connection, request_id: None };
        if in_use.owner.try_send(Unsubscribe(ending)).is_err() {
            tracing::debug!(class = %class, "subscriptions end with their class");
        }
    }

    /// Tells the page of metrics of sockets, subscriptions and events.
    pub fn report(&self, page: &mut Page) {
        let sockets = self.ledger.used(Resource::Sockets);
        page.count("parsimony_live_query_sockets", "Sockets of live-query clients.", &[], sockets);
        let subscriptions = self.counters.subscriptions.load(Ordering::Relaxed) as f64;
        page.gauge("parsimony_live_query_subscriptions", "Live-query subscriptions.", &[], subscriptions);
        let help = "Classes that somebody listens to.";
        page.count("parsimony_live_query_classes", help, &[], self.live_classes().len());
        let help = "Bytes that wait for clients to read them.";
        page.count("parsimony_live_query_unread_bytes", help, &[], self.ledger.used(Resource::Unread));
        let help = "Memory that subscriptions hold, as far as it is counted.";
        page.count("parsimony_live_query_subscription_bytes", help, &[], self.ledger.used(Resource::Bytes));
        let help = "Frames that told clients of events.";
        page.counter("parsimony_live_query_frames_total", help, &[], self.counters.frames.get());
        let help = "Events for which there was no room, so that nobody was told.";
        page.counter("parsimony_live_query_dropped_events_total", help, &[], self.counters.lost.get());
        self.waiting.report(page);
    }

    /// Events of other servers may have been missed: a client that comes back with an older id is told so.
    pub fn may_have_missed(&self) {
        self.numbers.mark_gap();
    }

    /// Whether anybody connected to this server listens to the class, or did and may come back.
    pub fn has_subscribers(&self, class: &ClassName) -> bool {
        self.owners.is_listened_to(class)
    }

    /// Classes that clients of this server listen to.
    pub fn live_classes(&self) -> Vec<ClassName> {
        self.owners.listened_to()
    }

    /// Hands an event to this server's own subscribers.
    pub fn deliver(&self, event: ObjectEvent) {
        let Some(in_use) = self.owners.get(&event.class) else { return };
        let Some(listening) = in_use.listening.get().filter(|listening| listening.is_listened_to()) else {
            return;
        };
        let Some(waiting) = listening.waiting.take(&event) else {
            // A client that comes back is told that something is missing.
            self.may_have_missed();
            self.counters.lost.increment();
            tracing::error!(class = %event.class, "too many live query events wait: one is not told");
            let is_known = listening.lost.swap(true, Ordering::Relaxed);
            if !is_known && in_use.owner.try_send(EventsLost).is_err() {
                tracing::error!("the owner of a class takes no live query events any more");
            }
            return;
        };
        if in_use.owner.try_send(Happened { event, waiting }).is_err() {
            tracing::error!("the owner of a class takes no live query events any more");
        }
    }
}

impl EventSink for LiveQueryHub {
    fn publishes(&self, class: &ClassSnapshot) -> bool {
        let name = class.name();
        class.is_published
            && (self.has_subscribers(name) || self.bus.get().is_some_and(|bus| bus.is_wanted(name)))
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
