//! `ClassActor`: one for each class in use and worker thread. It answers a request's [`Admit`] with
//! the class's current snapshot, which the schema actor publishes to all replicas by one store into
//! the shared [`ClassSlot`]. Stops when nobody asked for a while; the next request starts another.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, MessageResult};
use arc_swap::ArcSwapOption;

use crate::operations::ClassSnapshot;
use crate::types::ClassName;

const IDLE: Duration = Duration::from_secs(300);
const IDLE_CHECK: Duration = Duration::from_secs(60);

/// Where a class's snapshot is published. `None` once the class was deleted.
#[derive(Default)]
pub struct ClassSlot {
    current: ArcSwapOption<ClassSnapshot>,
    /// Number of the read that `current` comes from, when it was made, and number of the last event
    /// after which it may be wrong: see [`super::freshness`].
    read: AtomicU64,
    read_at: AtomicU64,
    event: AtomicU64,
    /// Whoever finds the snapshot too old reads it again, one after another.
    renewal: tokio::sync::Mutex<()>,
}

impl ClassSlot {
    pub fn load(&self) -> Option<Arc<ClassSnapshot>> {
        self.current.load_full()
    }

    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Acquire)
    }

    pub(super) fn read_at(&self) -> u64 {
        self.read_at.load(Ordering::Acquire)
    }

    pub(super) fn last_event(&self) -> u64 {
        self.event.load(Ordering::Acquire)
    }

    /// Call it after [`ClassSlot::publish`].
    pub(super) fn was_read(&self, number: u64, at: u64) {
        self.read_at.store(at, Ordering::Release);
        self.read.fetch_max(number, Ordering::AcqRel);
    }

    pub(super) fn happened(&self, event: u64) {
        self.event.fetch_max(event, Ordering::AcqRel);
    }

    pub(super) async fn renewal(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.renewal.lock().await
    }

    /// Only the schema actor calls this.
    pub(super) fn publish(&self, snapshot: Option<Arc<ClassSnapshot>>) {
        self.current.store(snapshot);
    }
}

/// Asks for the snapshot to run an operation on; `None` when the class was deleted meanwhile.
pub struct Admit;

impl Message for Admit {
    type Result = Option<Arc<ClassSnapshot>>;
}

pub struct ClassActor {
    key: ReplicaKey,
    slot: Arc<ClassSlot>,
    last_used: Instant,
}

type ReplicaKey = (u64, ClassName);

/// With the slot it reads: a class that was deleted and made again has another one.
type Replica = (Arc<ClassSlot>, Addr<ClassActor>);

thread_local! {
    /// The replicas of this thread's arbiter.
    static REPLICAS: RefCell<HashMap<ReplicaKey, Replica>> = RefCell::new(HashMap::new());
}

impl ClassActor {
    /// This thread's replica, started when there is none. Call it on an actix arbiter, for classes
    /// that exist: `app` is the registry's number, not the application id.
    pub fn replica(app: u64, class: &ClassName, slot: &Arc<ClassSlot>) -> Addr<Self> {
        let key = (app, class.clone());
        REPLICAS.with_borrow_mut(|replicas| {
            let usable = |(known, addr): &&Replica| Arc::ptr_eq(known, slot) && addr.connected();
            if let Some((_, addr)) = replicas.get(&key).filter(usable) {
                return addr.clone();
            }
            let actor = Self { key: key.clone(), slot: slot.clone(), last_used: Instant::now() };
            let addr = actor.start();
            replicas.insert(key, (slot.clone(), addr.clone()));
            addr
        })
    }
}

impl Actor for ClassActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(IDLE_CHECK, |actor, ctx| {
            if actor.last_used.elapsed() >= IDLE || actor.slot.load().is_none() {
                REPLICAS.with_borrow_mut(|replicas| {
                    if replicas.get(&actor.key).is_some_and(|(_, addr)| *addr == ctx.address()) {
                        replicas.remove(&actor.key);
                    }
                });
                ctx.stop();
            }
        });
    }
}

impl Handler<Admit> for ClassActor {
    type Result = MessageResult<Admit>;

    fn handle(&mut self, _: Admit, _: &mut Self::Context) -> Self::Result {
        self.last_used = Instant::now();
        MessageResult(self.slot.load())
    }
}
