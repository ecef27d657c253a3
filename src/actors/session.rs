//! `SessionActor`: one for each live session token. It owns the session's principal: reads it from
//! storage when it is too old (one look-up however many requests wait), publishes it for all workers
//! in its [`SessionCell`] and prolongs the session when it is used. Stops when idle or evicted;
//! everything it knows can be read again.
//!
//! Started by [`super::principals`] for tokens that were proven to exist, and asked by it alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::{ActorFutureExt, WrapFuture};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture};
use arc_swap::ArcSwapOption;
use tokio::sync::oneshot;

use super::buckets::{Buckets, Count, Window};
use super::lookup::{Failure, Loaded, Lookup};
use crate::error::{Error, Result};
use crate::operations::Principal;
use crate::types::time::Millis;

const IDLE: Duration = Duration::from_secs(300);
const IDLE_CHECK: Duration = Duration::from_secs(60);
/// At most one look whether a session has to be prolonged in this time.
const EXTENSION_CHECK_MS: i64 = 500;

/// What all workers read of a session. The actor is the only one that publishes.
#[derive(Debug)]
pub struct SessionCell {
    pub token: Arc<str>,
    /// What other servers call the token.
    pub hash: String,
    /// Grows with every invalidation: what was read before does not count afterwards.
    generation: AtomicU64,
    current: ArcSwapOption<Loaded>,
    last_used_ms: AtomicI64,
    last_extension_ms: AtomicI64,
    evicted: AtomicBool,
}

impl SessionCell {
    pub fn new(token: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            hash: super::principals::hash_of(&token),
            token,
            generation: AtomicU64::new(0),
            current: ArcSwapOption::empty(),
            last_used_ms: AtomicI64::new(Millis::now().0),
            last_extension_ms: AtomicI64::new(0),
            evicted: AtomicBool::new(false),
        })
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What was read so far is not to be used any more.
    pub fn invalidate(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.current.store(None);
    }

    /// Publishes what was read while the cell had this generation; false when it came too late.
    pub fn publish(&self, generation: u64, loaded: Arc<Loaded>) -> bool {
        if self.generation() != generation {
            return false;
        }
        self.current.store(Some(loaded));
        // An invalidation between the two lines must not leave what it meant to remove.
        if self.generation() != generation {
            self.current.store(None);
            return false;
        }
        true
    }

    /// The principal, when it may still be used without asking.
    pub fn fresh(&self, lookup: &Lookup) -> Option<Arc<Loaded>> {
        let loaded = self.current.load_full()?;
        (lookup.is_fresh(&loaded) && !loaded.is_expired()).then_some(loaded)
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

    /// The registry has no place for it any more.
    pub fn evict(&self) {
        self.evicted.store(true, Ordering::Release);
    }
}

type Waiter = oneshot::Sender<Result<Arc<Principal>, Failure>>;

pub struct SessionActor {
    cell: Arc<SessionCell>,
    lookup: Arc<Lookup>,
    /// Those who wait for the look-up that is under way; empty when there is none.
    waiting: Vec<Waiter>,
    buckets: Buckets,
}

impl SessionActor {
    pub fn new(cell: Arc<SessionCell>, lookup: Arc<Lookup>) -> Self {
        Self { cell, lookup, waiting: Vec::new(), buckets: Buckets::default() }
    }

    fn is_done(&mut self) -> bool {
        if self.cell.evicted.load(Ordering::Acquire) {
            return true;
        }
        let idle = Millis::now().0 - self.cell.last_used_ms() >= IDLE.as_millis() as i64;
        idle && self.buckets.is_empty(Instant::now())
    }

    fn answer_all(&mut self, outcome: &Result<Arc<Principal>, Failure>) {
        for waiter in self.waiting.drain(..) {
            // Whoever stopped waiting needs no answer.
            let _ = waiter.send(outcome.clone());
        }
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(IDLE_CHECK, |actor, ctx| {
            if actor.is_done() {
                actor.cell.evict();
                ctx.stop();
            }
        });
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.cell.evict();
    }
}

/// The principal as it is now.
pub struct Authenticate;

impl Message for Authenticate {
    type Result = Result<Arc<Principal>>;
}

impl Handler<Authenticate> for SessionActor {
    type Result = ResponseFuture<Result<Arc<Principal>>>;

    fn handle(&mut self, _: Authenticate, ctx: &mut Self::Context) -> Self::Result {
        self.cell.touch();
        if let Some(loaded) = self.cell.fresh(&self.lookup) {
            return Box::pin(async move { Ok(loaded.principal.clone()) });
        }
        let (sender, receiver) = oneshot::channel();
        let first = self.waiting.is_empty();
        self.waiting.push(sender);
        if first {
            let (lookup, cell) = (self.lookup.clone(), self.cell.clone());
            let work = async move { lookup.load_into(&cell).await };
            ctx.spawn(work.into_actor(self).map(|outcome, actor, ctx| {
                let ended = matches!(outcome, Err(Failure::Unknown | Failure::Expired));
                actor.answer_all(&outcome);
                if ended {
                    actor.cell.evict();
                    ctx.stop();
                }
            }));
        }
        Box::pin(async move {
            match receiver.await {
                Ok(outcome) => outcome.map_err(Error::from),
                Err(_) => Err(Error::internal("the session actor has stopped")),
            }
        })
    }
}

/// The session was used: prolongs it when half of its time is over (`extendSessionOnUse`).
pub struct Touch;

impl Message for Touch {
    type Result = ();
}

impl Handler<Touch> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: Touch, ctx: &mut Self::Context) {
        let (lookup, cell) = (self.lookup.clone(), self.cell.clone());
        let Some(loaded) = cell.current.load_full() else { return };
        let work = async move {
            if let Err(error) = lookup.extend(&cell, &loaded).await {
                tracing::error!(%error, "could not prolong a session: {error}");
            }
        };
        ctx.spawn(work.into_actor(self));
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
        self.cell.touch();
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
        ctx.stop();
    }
}
