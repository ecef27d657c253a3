//! `LiveClassActor`: owns the subscriptions of one class and turns what happened to an object into
//! what each subscriber hears (see [`super::event`]). Events of a class are worked off one after
//! another, in order. The actor lives on the worker thread of the class's first subscriber and lets
//! other work of that thread go on in between.

use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, AtomicResponse, Context, Handler, Message};

use super::captures;
use super::event::{Shared, Work};
use super::order::Order;
use super::ring::EventId;
use super::subscription::{Audience, Opened};
pub use super::subscriptions::Subscriber;
use super::subscriptions::{Place, Subscriptions};
use super::worker::ConnectionId;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::services::ObjectEvent;

/// Different queries of one class that may need the database for an event.
const MOST_ASKING: usize = 200;

pub struct LiveClassActor {
    shared: Shared,
    order: Order,
}

impl LiveClassActor {
    pub fn new(shared: Shared) -> Self {
        Self { shared, order: Order::default() }
    }
}

impl Actor for LiveClassActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Events come from writes that are done: there is nobody to hold back.
        ctx.set_mailbox_capacity(1 << 20);
    }
}

/// Where a client that wants event ids goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It has seen nothing yet.
    Now,
    /// After the event with this id, as the client says.
    After(String),
}

/// What such a client is told with its subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Where the order of events stands.
    pub id: EventId,
    /// Whether what it missed follows; else it has to ask for it with a find. `None`: it missed nothing.
    pub complete: Option<bool>,
}

/// Opens (or replaces) a subscription.
pub struct Subscribe {
    pub opened: Opened,
    pub audience: Audience,
    pub subscriber: Subscriber,
    pub resume: Option<Resume>,
    /// Whether the class was listened to until now.
    pub continuous: bool,
}

impl Message for Subscribe {
    type Result = Result<Option<Resumed>>;
}

impl Handler<Subscribe> for LiveClassActor {
    type Result = AtomicResponse<Self, Result<Option<Resumed>>>;

    /// Later events wait until what was missed is on its way.
    fn handle(&mut self, message: Subscribe, _: &mut Self::Context) -> Self::Result {
        let shared = self.shared.clone();
        AtomicResponse::new(Box::pin(actix::fut::wrap_future::<_, Self>(open(shared, message))))
    }
}

async fn open(shared: Shared, message: Subscribe) -> Result<Option<Resumed>> {
    let place: Place = (message.subscriber.connection, message.subscriber.request_id.clone());
    {
        let mut subscriptions = shared.subscriptions.borrow_mut();
        if message.opened.matcher.asks() && !may_ask(&subscriptions, &message.opened) {
            shared.subtract(1);
            return Err(Error::parse(
                ErrorCode::REQUEST_LIMIT_EXCEEDED,
                format!(
                    "Only {MOST_ASKING} different live queries with sub-queries are possible on class {}",
                    shared.class
                ),
            ));
        }
        if subscriptions.insert(message.opened, message.audience, message.subscriber) {
            shared.subtract(1);
        }
    }
    let Some(resume) = message.resume else { return Ok(None) };
    let last = shared.numbers.last();
    shared.ring.borrow_mut().keep(last, message.continuous);
    let id = shared.numbers.id(last);
    let after = match resume {
        Resume::Now => return Ok(Some(Resumed { id, complete: None })),
        Resume::After(after) => after,
    };
    let missed = missed(&shared, &after).await;
    let complete = Some(missed.is_some());
    for (id, event) in missed.into_iter().flatten() {
        Work::new(shared.clone(), event).replay(&place, id).await?;
    }
    Ok(Some(Resumed { id, complete }))
}

/// From the ring of this process, or from the log.
async fn missed(shared: &Shared, after: &str) -> Option<Vec<(EventId, Arc<ObjectEvent>)>> {
    let after = EventId::parse(after)?;
    if shared.numbers.knows(&after)
        && let Some(kept) = shared.ring.borrow().since(after.number)
    {
        let kept = kept.into_iter().map(|kept| (shared.numbers.id(kept.number), kept.event));
        return Some(kept.collect());
    }
    let logged = captures::missed(&shared.services, &shared.class, &after).await?;
    Some(logged.into_iter().map(|(id, event)| (id, Arc::new(event))).collect())
}

fn may_ask(subscriptions: &Subscriptions, opened: &Opened) -> bool {
    subscriptions.knows(&opened.identity) || subscriptions.asking() < MOST_ASKING
}

/// Ends one subscription; answers how many there were.
pub struct Unsubscribe {
    pub connection: ConnectionId,
    /// As JSON; `None` for all of the connection.
    pub request_id: Option<Arc<str>>,
}

impl Message for Unsubscribe {
    type Result = Result<usize>;
}

impl Handler<Unsubscribe> for LiveClassActor {
    type Result = Result<usize>;

    fn handle(&mut self, message: Unsubscribe, _: &mut Self::Context) -> Self::Result {
        let mut subscriptions = self.shared.subscriptions.borrow_mut();
        let ended = match message.request_id {
            Some(request_id) => usize::from(subscriptions.remove(&(message.connection, request_id))),
            None => subscriptions.remove_connection(message.connection),
        };
        self.shared.subtract(ended);
        if subscriptions.is_empty() {
            self.order.clear();
        }
        Ok(ended)
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
        let shared = self.shared.clone();
        AtomicResponse::new(Box::pin(actix::fut::wrap_future::<_, Self>(async move {
            if let Err(error) = Work::new(shared, Arc::new(event)).run().await {
                tracing::error!(%error, "a live query event was lost");
            }
        })))
    }
}
