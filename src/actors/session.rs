//! `SessionActor`: one for each live session token, and the owner of record of what is known of the session: its
//! principal with the roles, when it expires, and its rate-limit buckets. It reads the principal from storage when
//! it does not count any more (one look-up however many requests wait), publishes it as [`Published`], withdraws
//! what it published when the session changes or ends, and prolongs the session when it is used. Stops when idle
//! or evicted; everything it knows can be read again.
//!
//! Started by [`super::principals`] for tokens that were proven to exist; its address is in [`super::directory`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::{ActorFutureExt, WrapFuture};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture};

use super::buckets::{Buckets, Count, Window};
use super::flight::{Flight, Landing, answer_all};
use super::lookup::{Failure, Loaded, Lookup};
use super::mail::{self, Mail, Mailed};
use crate::error::{Error, Result};
use crate::operations::Principal;
use crate::types::time::Millis;

const IDLE: Duration = Duration::from_secs(300);
const IDLE_CHECK: Duration = Duration::from_secs(60);
/// At most one look whether a session has to be prolonged in this time.
const EXTENSION_CHECK_MS: i64 = 500;

/// A principal as its owner published it. The actor holds the only lasting reference; workers remember a weak one,
/// so that what it dropped is gone everywhere, and what a request still holds is marked as withdrawn.
#[derive(Debug)]
pub struct Published {
    loaded: Loaded,
    withdrawn: AtomicBool,
    usage: Arc<Usage>,
}

impl Published {
    /// Whether it may be used without asking the owner.
    pub fn counts(&self, lookup: &Lookup) -> bool {
        !self.withdrawn.load(Ordering::Acquire) && lookup.counts(&self.loaded)
    }

    pub fn principal(&self) -> &Arc<Principal> {
        &self.loaded.principal
    }

    pub fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }
}

/// When a session was used last: requests leave their mark here, the owner and the directory read it.
#[derive(Debug)]
pub struct Usage {
    last_used_ms: AtomicI64,
    last_extension_ms: AtomicI64,
}

impl Usage {
    pub fn now() -> Arc<Self> {
        let now = AtomicI64::new(Millis::now().0);
        Arc::new(Self { last_used_ms: now, last_extension_ms: AtomicI64::new(0) })
    }

    pub fn touch(&self) {
        self.last_used_ms.store(Millis::now().0, Ordering::Relaxed);
    }

    pub fn last_used_ms(&self) -> i64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    /// True once in [`EXTENSION_CHECK_MS`].
    pub fn takes_extension_check(&self) -> bool {
        let now = Millis::now().0;
        let last = self.last_extension_ms.load(Ordering::Relaxed);
        now - last >= EXTENSION_CHECK_MS
            && self
                .last_extension_ms
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

type Outcome = Result<Arc<Published>, Failure>;

pub struct SessionActor {
    token: Arc<str>,
    lookup: Arc<Lookup>,
    directory: Recipient<Left>,
    usage: Arc<Usage>,
    published: Option<Arc<Published>>,
    reading: Option<Flight<Outcome>>,
    buckets: Buckets,
}

/// A session actor that was just started.
#[derive(Clone)]
pub struct Owner {
    pub address: Addr<SessionActor>,
    pub published: Arc<Published>,
}

impl SessionActor {
    /// Starts the owner of a session that `loaded` proves, on the current arbiter.
    pub fn begin(token: Arc<str>, lookup: Arc<Lookup>, directory: Recipient<Left>, loaded: Loaded) -> Owner {
        let usage = Usage::now();
        let published = publish(loaded, &usage);
        let actor = Self {
            token,
            lookup,
            directory,
            usage,
            published: Some(published.clone()),
            reading: None,
            buckets: Buckets::default(),
        };
        Owner { address: actor.start(), published }
    }

    /// What was published does not count any more, on any thread, when this returns.
    fn withdraw(&mut self) {
        if let Some(published) = self.published.take() {
            published.withdrawn.store(true, Ordering::Release);
        }
        if let Some(reading) = &mut self.reading {
            reading.overtake();
        }
    }

    fn leave(&mut self, ctx: &mut Context<Self>) {
        self.withdraw();
        ctx.stop();
    }

    fn is_idle(&mut self) -> bool {
        let idle = Millis::now().0 - self.usage.last_used_ms() >= IDLE.as_millis() as i64;
        idle && self.reading.is_none() && self.buckets.is_empty(Instant::now())
    }

    fn read(&self, ctx: &mut Context<Self>) {
        let (lookup, token) = (self.lookup.clone(), self.token.clone());
        let work = async move { lookup.read(&token).await };
        ctx.spawn(work.into_actor(self).map(|outcome, actor, ctx| actor.was_read(outcome, ctx)));
    }

    fn was_read(&mut self, outcome: Result<Loaded, Failure>, ctx: &mut Context<Self>) {
        let Some(flight) = self.reading.take() else { return };
        let (waiting, counts) = match flight.land() {
            Landing::Again(flight) => {
                self.reading = Some(flight);
                return self.read(ctx);
            }
            Landing::Done { waiting, counts } => (waiting, counts),
        };
        let outcome = match outcome {
            Ok(loaded) if loaded.is_expired() => Err(Failure::Expired),
            Ok(loaded) => Ok(publish(loaded, &self.usage)),
            Err(failure) => Err(failure),
        };
        match &outcome {
            Ok(published) if counts => {
                self.withdraw();
                self.published = Some(published.clone());
            }
            // It was overtaken again and again: for those who waited only.
            Ok(published) => published.withdrawn.store(true, Ordering::Release),
            Err(Failure::Unknown | Failure::Expired) => self.leave(ctx),
            Err(_) => {}
        }
        answer_all(waiting, &outcome);
    }
}

fn publish(loaded: Loaded, usage: &Arc<Usage>) -> Arc<Published> {
    Arc::new(Published { loaded, withdrawn: AtomicBool::new(false), usage: usage.clone() })
}

impl Mailed for SessionActor {
    fn mail() -> &'static Mail {
        &mail::SESSION
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(IDLE_CHECK, |actor, ctx| {
            if actor.is_idle() {
                actor.leave(ctx);
            }
        });
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.withdraw();
        // A directory that is gone or busy finds out when it next needs the address.
        let _ = self.directory.try_send(Left { token: self.token.clone(), owner: ctx.address() });
    }
}

/// To the directory: this owner has stopped, and nothing that it published counts.
pub struct Left {
    pub token: Arc<str>,
    pub owner: Addr<SessionActor>,
}

impl Message for Left {
    type Result = ();
}

/// The principal as it is now.
pub struct Authenticate;

impl Message for Authenticate {
    type Result = Result<Arc<Published>>;
}

impl Handler<Authenticate> for SessionActor {
    type Result = ResponseFuture<Result<Arc<Published>>>;

    fn handle(&mut self, _: Authenticate, ctx: &mut Self::Context) -> Self::Result {
        self.usage.touch();
        if let Some(published) = self.published.clone().filter(|published| published.counts(&self.lookup)) {
            return Box::pin(async move { Ok(published) });
        }
        let first = self.reading.is_none();
        let outcome = self.reading.get_or_insert_default().wait();
        if first {
            self.read(ctx);
        }
        Box::pin(async move {
            match outcome.await {
                Ok(outcome) => outcome.map_err(Error::from),
                Err(_) => Err(Error::internal("the session actor has stopped")),
            }
        })
    }
}

/// The session or its user changed: what was read so far does not count.
pub struct Withdraw;

impl Message for Withdraw {
    type Result = ();
}

impl Handler<Withdraw> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Withdraw, _: &mut Self::Context) {
        self.withdraw();
    }
}

/// The session was used: prolongs it when half of its time is over (`extendSessionOnUse`).
pub struct Prolong;

impl Message for Prolong {
    type Result = ();
}

impl Handler<Prolong> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Prolong, ctx: &mut Self::Context) {
        let (lookup, Some(published)) = (self.lookup.clone(), self.published.clone()) else { return };
        let work = async move { lookup.extend(&published.loaded).await };
        ctx.spawn(work.into_actor(self).map(|outcome, actor, _| match outcome {
            Ok(true) => actor.withdraw(),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "could not prolong a session: {error}"),
        }));
    }
}

/// One request against a rule of the session zone; `rule` is its number.
pub struct AdmitToSession {
    pub rule: u64,
    pub window: Window,
}

impl Message for AdmitToSession {
    type Result = Result<Count>;
}

impl Handler<AdmitToSession> for SessionActor {
    type Result = Result<Count>;

    fn handle(&mut self, message: AdmitToSession, _: &mut Self::Context) -> Self::Result {
        self.usage.touch();
        Ok(self.buckets.hit(message.rule, "", &message.window, Instant::now()))
    }
}

/// Ends the actor at once.
pub struct Stop;

impl Message for Stop {
    type Result = ();
}

impl Handler<Stop> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.leave(ctx);
    }
}
