//! `LiveClassActor`: owns the subscriptions of one class and turns what happened to an object into
//! what each subscriber hears (see [`crate::live_query::matching::event`]). Events of a class are worked off one after
//! another, in order; where Cloud Code or the database is waited for, those of different objects at the
//! same time (see [`crate::live_query::matching::lanes`]). The actor lives on the worker thread of the class's first subscriber and lets
//! other work of that thread go on in between.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::{Actor, AtomicResponse, Context, Handler, Message};

use super::ledger::{Charge, Resource};
use super::seat::Seat;
use super::worker::ConnectionId;
use crate::error::{Error, ErrorCode, Result};
use crate::live_query::delivery::captures;
use crate::live_query::matching::event::Shared;
use crate::live_query::matching::lanes::{Lanes, Told};
use crate::live_query::matching::order::Order;
use crate::live_query::matching::ring::EventId;
use crate::live_query::matching::subscription::{Audience, Opened};
pub use crate::live_query::matching::subscriptions::Subscriber;
use crate::live_query::matching::subscriptions::{Place, Subscriptions};
use crate::live_query::matching::{replay, waiting};
use crate::operations::ports::ObjectEvent;

/// Different queries of one class that may need the database for an event, whoever's they are.
const MOST_ASKING: usize = 1_000;

pub struct LiveClassActor {
    shared: Shared,
    order: Order,
    lanes: Rc<Lanes>,
}

impl LiveClassActor {
    pub fn new(shared: Shared) -> Self {
        Self { shared, order: Order::default(), lanes: Rc::default() }
    }
}

impl Actor for LiveClassActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Events come from writes that are done: there is nobody to hold back. Their bytes are bounded
        // by what `waiting` lets in, and clients have one request each.
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
    /// Where the order of events stands, sealed.
    pub id: String,
    /// Whether what it missed follows; else it has to ask for it with a find. `None`: it missed nothing.
    pub complete: Option<bool>,
}

/// What a client wants to hear.
pub struct Request {
    pub opened: Opened,
    pub audience: Audience,
    pub subscriber: Subscriber,
    pub resume: Option<Resume>,
}

/// Opens (or replaces) a subscription.
pub struct Subscribe {
    pub request: Request,
    pub seat: Seat,
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
        let (shared, lanes) = (self.shared.clone(), self.lanes.clone());
        AtomicResponse::new(Box::pin(actix::fut::wrap_future::<_, Self>(async move {
            if message.request.resume.is_some() {
                // What is on its way has no number yet, and does not know of this subscription.
                lanes.until_idle().await;
            }
            open(shared, message).await
        })))
    }
}

async fn open(shared: Shared, message: Subscribe) -> Result<Option<Resumed>> {
    let Subscribe { request, seat, continuous } = message;
    let place: Place = (request.subscriber.connection, request.subscriber.request_id.clone());
    {
        let mut subscriptions = shared.subscriptions.borrow_mut();
        let asking = may_ask(&shared, &subscriptions, &request, &seat)?;
        subscriptions.insert(request.opened, request.audience, request.subscriber, seat, asking);
    }
    let Some(resume) = request.resume else { return Ok(None) };
    let last = shared.numbers.last();
    shared.ring.borrow_mut().keep(last, continuous);
    let id = shared.numbers.id(last).seal(&shared.services.state.seal);
    let after = match resume {
        Resume::Now => return Ok(Some(Resumed { id, complete: None })),
        Resume::After(after) => after,
    };
    let complete = match missed(&shared, &after).await {
        None => false,
        Some(missed) => match replay::run(&shared, &place, missed).await {
            Ok(complete) => complete,
            Err(error) => {
                // The client is told that there is no subscription.
                shared.subscriptions.borrow_mut().remove(&place);
                return Err(error);
            }
        },
    };
    Ok(Some(Resumed { id, complete: Some(complete) }))
}

/// From the ring of this process, or from the log.
async fn missed(shared: &Shared, after: &str) -> Option<Vec<(EventId, Arc<ObjectEvent>)>> {
    let after = EventId::open(&shared.services.state.seal, after)?;
    if shared.numbers.knows(&after)
        && let Some(kept) = shared.ring.borrow().since(after.number)
    {
        let kept = kept.into_iter().map(|kept| (shared.numbers.id(kept.number), kept.event));
        return Some(kept.collect());
    }
    let logged = captures::missed(&shared.services, &shared.class, &after).await?;
    Some(logged.into_iter().map(|(id, event)| (id, Arc::new(event))).collect())
}

/// One more query that needs the database is at the charge of whoever brings it: a user, or an address.
fn may_ask(
    shared: &Shared,
    subscriptions: &Subscriptions,
    request: &Request,
    seat: &Seat,
) -> Result<Option<Charge>> {
    let opened = &request.opened;
    if !opened.matcher.asks() || subscriptions.knows(&opened.identity) {
        return Ok(None);
    }
    let refused = |whose: &str| {
        let class = &shared.class;
        Error::parse(
            ErrorCode::REQUEST_LIMIT_EXCEEDED,
            format!("Too many different live queries with sub-queries {whose} on class {class}"),
        )
    };
    if subscriptions.asking() >= MOST_ASKING {
        return Err(refused("are open"));
    }
    let (account, wanted) = (seat.charge().account(), [(Resource::Asking, 1)]);
    let charge = match request.audience.users.first() {
        Some(user) => account.take_as(user, &wanted),
        None => account.take(&wanted),
    };
    charge.map(Some).map_err(|_| refused("of one client are open"))
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
        if subscriptions.is_empty() {
            self.order.clear();
        }
        Ok(ended)
    }
}

/// Something happened to an object of this class.
pub struct Happened {
    pub event: ObjectEvent,
    pub place: waiting::Place,
}

impl Message for Happened {
    type Result = ();
}

impl Handler<Happened> for LiveClassActor {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, Happened { event, place }: Happened, _: &mut Self::Context) -> Self::Result {
        let Some(event) = self.order.admit(event, place.bytes(), Instant::now()) else {
            return AtomicResponse::new(Box::pin(actix::fut::ready(())));
        };
        let told = Told { event: Arc::new(event), place: Arc::new(place) };
        // Where nobody outside this process is waited for, one event after the other is quickest.
        if self.lanes.is_idle() && !self.shared.waits_for_others() {
            let shared = self.shared.clone();
            return AtomicResponse::new(Box::pin(actix::fut::wrap_future::<_, Self>(told.run(shared))));
        }
        self.lanes.take(told, &self.shared);
        AtomicResponse::new(Box::pin(actix::fut::ready(())))
    }
}
