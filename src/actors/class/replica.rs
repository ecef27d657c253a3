//! `ClassReplica`: one for each class in use and worker thread. It answers a request's [`Admit`] from what
//! the class's owner published. Stops when nobody asked for a while; the next request starts another.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, MessageResult};

use super::owner::{IDLE_CHECK, Published};
use crate::actors::freshness::Freshness;
use crate::actors::mail::{self, Mail, Mailed};
use crate::operations::ClassSnapshot;
use crate::types::ClassName;

const IDLE: Duration = Duration::from_secs(300);

/// Asks for the snapshot to run an operation on.
pub struct Admit {
    /// The class was read again on behalf of this request: what is published counts, whatever happened since.
    pub is_renewed: bool,
}

pub enum Admitted {
    Class(Arc<ClassSnapshot>),
    /// What is published may be wrong by now: the class has to be read again.
    Stale,
    /// Nothing is published: the class was deleted, or its owner has ended.
    Unknown,
}

impl Message for Admit {
    type Result = Admitted;
}

pub struct ClassReplica {
    key: ReplicaKey,
    published: Arc<Published>,
    freshness: Arc<Freshness>,
    last_used: Instant,
}

/// The registry's number (not the application id), and the class.
type ReplicaKey = (u64, ClassName);

thread_local! {
    /// The replicas of this thread's arbiter.
    static REPLICAS: RefCell<HashMap<ReplicaKey, Addr<ClassReplica>>> = RefCell::default();
}

impl ClassReplica {
    /// This thread's replica, if there is one.
    pub fn here(app: u64, class: &ClassName) -> Option<Addr<Self>> {
        REPLICAS.with_borrow(|replicas| replicas.get(&(app, class.clone())).cloned())
    }

    /// Starts this thread's replica, instead of one that reads what an earlier owner published. Call it on an
    /// actix arbiter, for classes that exist.
    pub fn start_here(
        app: u64,
        class: &ClassName,
        published: Arc<Published>,
        freshness: Arc<Freshness>,
    ) -> Addr<Self> {
        let key = (app, class.clone());
        let replica = Self { key: key.clone(), published, freshness, last_used: Instant::now() };
        let addr = replica.start();
        REPLICAS.with_borrow_mut(|replicas| replicas.insert(key, addr.clone()));
        addr
    }

    fn forget(&self, addr: &Addr<Self>) {
        REPLICAS.with_borrow_mut(|replicas| {
            if replicas.get(&self.key) == Some(addr) {
                replicas.remove(&self.key);
            }
        });
    }
}

impl Mailed for ClassReplica {
    fn mail() -> &'static Mail {
        &mail::CLASS_REPLICA
    }
}

impl Actor for ClassReplica {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(IDLE_CHECK, |replica, ctx| {
            let addr = ctx.address();
            let is_replaced = REPLICAS.with_borrow(|replicas| replicas.get(&replica.key) != Some(&addr));
            let is_empty = replica.published.with(|_| ()).is_none();
            if is_replaced || is_empty || replica.last_used.elapsed() >= IDLE {
                replica.forget(&addr);
                ctx.stop();
            }
        });
    }
}

impl Handler<Admit> for ClassReplica {
    type Result = MessageResult<Admit>;

    fn handle(&mut self, Admit { is_renewed }: Admit, _: &mut Self::Context) -> Self::Result {
        self.last_used = Instant::now();
        let admitted = self.published.with(|admission| {
            if is_renewed || self.freshness.covers(&self.key.1, admission.read) {
                Admitted::Class(admission.snapshot.clone())
            } else {
                Admitted::Stale
            }
        });
        MessageResult(admitted.unwrap_or(Admitted::Unknown))
    }
}
