//! The live queries of one class, as the class's owner keeps them: subscriptions, the order of events, and
//! what is kept for clients that come back. Subscriptions are opened and ended and events told one after
//! another, in the order in which the owner heard of them; where Cloud Code or the database is waited for,
//! events of different objects are told at the same time (see [`super::lanes`]).
//!
//! The steps have a queue of their own, beside the owner's mailbox: a step may wait for the class to be
//! read again, which waits for the owner to publish it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::lanes::{Lanes, Untold};
use super::order::Order;
use super::outbox::{Outbox, error_parcel, push, send};
use super::replay;
use super::ring::EventId;
use super::shared::{LiveApp, Shared};
use super::subscription::{Audience, Opened};
use super::subscriptions::{Subscriber, SubscriptionKey, Subscriptions};
use crate::error::{Error, ErrorCode, Result};
use crate::live_query::event_log;
use crate::live_query::ledger::{Charge, Resource};
use crate::live_query::listening::{Listening, Seat};
use crate::live_query::parcel::ConnectionId;
use crate::live_query::protocol::Resumed;
use crate::live_query::waiting::WaitingBytes;
use crate::operations::ports::ObjectEvent;
use crate::types::ClassName;

/// Different queries of one class that may need the database for an event, all clients' together.
const MOST_ASKING: usize = 1_000;

/// Where a client that wants event ids goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It has seen nothing yet.
    Now,
    /// After the event with this id, as the client says.
    After(String),
}

/// What a client wants to hear.
pub struct Request {
    pub opened: Opened,
    pub audience: Audience,
    pub subscriber: Subscriber,
    pub resume: Option<Resume>,
}

/// Opens (or replaces) a subscription.
pub struct Opening {
    pub request: Request,
    pub seat: Seat,
    /// Whether the class was listened to until now.
    pub continuous: bool,
}

/// Ends one subscription, or all of a connection.
pub struct Ending {
    pub connection: ConnectionId,
    /// As JSON; `None` for all of the connection.
    pub request_id: Option<Arc<str>>,
}

pub type Answer = Result<Option<Resumed>>;

/// What the owner heard of, in order.
enum Step {
    Open(Box<Opening>, oneshot::Sender<Answer>),
    End(Ending, oneshot::Sender<()>),
    Tell(ObjectEvent, WaitingBytes),
    /// Events found no room, since this was last told.
    Lost(Arc<Listening>),
}

pub struct LiveClass {
    shared: Shared,
    order: RefCell<Order>,
    lanes: Rc<Lanes>,
    steps: RefCell<VecDeque<Step>>,
    is_working: Cell<bool>,
}

impl LiveClass {
    pub fn new(class: ClassName, app: Arc<LiveApp>) -> Rc<Self> {
        Rc::new(Self {
            shared: Shared::new(class, app),
            order: RefCell::default(),
            lanes: Rc::default(),
            steps: RefCell::default(),
            is_working: Cell::new(false),
        })
    }

    /// Whether nobody is subscribed and nothing is left to do.
    pub fn is_idle(&self) -> bool {
        !self.is_working.get() && self.lanes.is_idle() && self.shared.subscriptions.borrow().is_empty()
    }

    /// Opens a subscription; the answer comes when the steps before it are done.
    pub fn open(self: &Rc<Self>, opening: Opening) -> (oneshot::Receiver<Answer>, Option<Work>) {
        let (done, answer) = oneshot::channel();
        (answer, self.take(Step::Open(Box::new(opening), done)))
    }

    pub fn end(self: &Rc<Self>, ending: Ending) -> (oneshot::Receiver<()>, Option<Work>) {
        let (done, answer) = oneshot::channel();
        (answer, self.take(Step::End(ending, done)))
    }

    /// Something happened to an object of this class.
    pub fn tell(self: &Rc<Self>, event: ObjectEvent, waiting: WaitingBytes) -> Option<Work> {
        self.take(Step::Tell(event, waiting))
    }

    /// Events were thrown away: their subscribers hear that, behind what is told already.
    pub fn lose(self: &Rc<Self>, listening: Arc<Listening>) -> Option<Work> {
        self.take(Step::Lost(listening))
    }

    fn take(self: &Rc<Self>, step: Step) -> Option<Work> {
        self.steps.borrow_mut().push_back(step);
        (!self.is_working.replace(true)).then(|| Work(self.clone()))
    }

    /// Until no step is left.
    async fn work(&self) {
        loop {
            let step = self.steps.borrow_mut().pop_front();
            let Some(step) = step else { break };
            if AssertUnwindSafe(self.work_off(step)).catch_unwind().await.is_err() {
                tracing::error!(class = %self.shared.class, "a step of a class's live queries panicked");
            }
        }
        self.is_working.set(false);
    }

    async fn work_off(&self, step: Step) {
        match step {
            Step::Open(opening, done) => {
                if opening.request.resume.is_some() {
                    // What is on its way has no number yet, and does not know of this subscription.
                    self.lanes.until_idle().await;
                }
                // The client may have given up: a step of its own ends the subscription then.
                let _ = done.send(open(&self.shared, *opening).await);
            }
            Step::End(Ending { connection, request_id }, done) => {
                let mut subscriptions = self.shared.subscriptions.borrow_mut();
                match request_id {
                    Some(request_id) => subscriptions.remove(&(connection, request_id)),
                    None => subscriptions.remove_connection(connection) > 0,
                };
                if subscriptions.is_empty() {
                    self.order.borrow_mut().clear();
                }
                let _ = done.send(());
            }
            Step::Lost(listening) => {
                self.lanes.until_idle().await;
                listening.lost.store(false, Ordering::Relaxed);
                self.tell_of_loss();
            }
            Step::Tell(event, waiting) => {
                let admitted = self.order.borrow_mut().admit(event, waiting.bytes(), Instant::now());
                let Some(event) = admitted else { return };
                let untold = Untold { event: Arc::new(event), waiting: Arc::new(waiting) };
                // Where nobody outside this process is waited for, one event after the other is quickest.
                if self.lanes.is_idle() && !self.shared.waits_for_others() {
                    untold.run(self.shared.clone()).await;
                } else {
                    self.lanes.take(untold, &self.shared);
                }
            }
        }
    }
}

impl LiveClass {
    /// Who wants to know what is stored asks again.
    fn tell_of_loss(&self) {
        let error = Error::parse(
            ErrorCode::REQUEST_LIMIT_EXCEEDED,
            format!("Events of class {} were lost: more happened than could be told.", self.shared.class),
        );
        let mut outbox = Outbox::new();
        for group in self.shared.subscriptions.borrow().groups() {
            let parcel = error_parcel(self.shared.services(), &error);
            push(&mut outbox, &group.key, group.recipients.clone(), parcel);
        }
        send(outbox, String::new, None);
    }
}

/// Steps to be worked off: the actor that is given this drives it to its end.
#[must_use]
pub struct Work(Rc<LiveClass>);

impl Work {
    pub async fn run(self) {
        self.0.work().await;
    }
}

async fn open(shared: &Shared, opening: Opening) -> Answer {
    let Opening { request, seat, continuous } = opening;
    let subscription: SubscriptionKey =
        (request.subscriber.connection, request.subscriber.request_id.clone());
    {
        let mut subscriptions = shared.subscriptions.borrow_mut();
        let asking = may_ask(shared, &subscriptions, &request, &seat)?;
        subscriptions.insert(request.opened, request.audience, request.subscriber, seat, asking);
    }
    let Some(resume) = request.resume else { return Ok(None) };
    let numbers = &shared.app.numbers;
    let last = numbers.last();
    shared.ring.borrow_mut().keep(last, continuous);
    let id = numbers.id(last).seal(&shared.services().state.seal);
    let after = match resume {
        Resume::Now => return Ok(Some(Resumed { id, complete: None })),
        Resume::After(after) => after,
    };
    let complete = match missed(shared, &after).await {
        None => false,
        Some(missed) => match replay::run(shared, &subscription, missed).await {
            Ok(complete) => complete,
            Err(error) => {
                // The client is told that there is no subscription.
                shared.subscriptions.borrow_mut().remove(&subscription);
                return Err(error);
            }
        },
    };
    Ok(Some(Resumed { id, complete: Some(complete) }))
}

/// From the ring of this process, or from the log.
async fn missed(shared: &Shared, after: &str) -> Option<Vec<(EventId, Arc<ObjectEvent>)>> {
    let numbers = &shared.app.numbers;
    let after = EventId::open(&shared.services().state.seal, after)?;
    if numbers.knows(&after)
        && let Some(kept) = shared.ring.borrow().since(after.number)
    {
        let kept = kept.into_iter().map(|kept| (numbers.id(kept.number), kept.event));
        return Some(kept.collect());
    }
    let logged = event_log::missed(shared.services(), &shared.class, after.micros).await?;
    let id = |micros| EventId { node: "log".to_owned(), number: 0, micros };
    Some(logged.into_iter().map(|(micros, event)| (id(micros), Arc::new(event))).collect())
}

/// A query that needs the database is charged to the user who subscribes to it first, or to the address.
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
