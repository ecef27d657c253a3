//! `ClassActor`: the owner of one class in use. The schema actor hands it the class's snapshot
//! ([`Publish`]); it alone publishes that to the replicas, by one store into [`Published`], whose `store`
//! nobody outside of this file can call.
//!
//! It also owns the class's live queries (subscriptions, their index, the order of events) and the buckets of
//! the rate limit rules that name the class. Nothing of this survives it but what the database can give
//! again: so it stops only when no replica reads what it publishes, nobody listens and no window is under
//! way. Whatever way it ends, what it published ends with it, and the next request starts another owner.
//!
//! Not here: the class's triggers. Cloud Code registers for all classes at once, and one `Arc` of the cloud
//! engine says it for all; a reload or a hook replaces it as a whole. A share of it with each owner would have
//! to be exchanged on every worker before the hooks route answers, to save one look-up by name.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::fut::wrap_future;
use actix::prelude::ActorFutureExt;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture};
use arc_swap::ArcSwapOption;

use crate::actors::buckets::{Buckets, Count, Hit};
use crate::actors::freshness::ReadStamp;
use crate::actors::mail::{self, Mail, Mailed};
use crate::error::{Error, Result};
use crate::live_query::listening::Listening;
use crate::live_query::matching::class::{Ending, LiveClass, Opening, Work};
use crate::live_query::matching::shared::LiveApp;
use crate::live_query::protocol::Resumed;
use crate::live_query::waiting::WaitingBytes;
use crate::operations::ClassSnapshot;
use crate::operations::ports::ObjectEvent;
use crate::types::ClassName;

/// How often owners and replicas look whether they are still of use.
pub const IDLE_CHECK: Duration = Duration::from_secs(30);

/// What requests are admitted with.
#[derive(Clone)]
pub struct Admission {
    pub snapshot: Arc<ClassSnapshot>,
    /// The read of the schema that the snapshot comes from.
    pub read: ReadStamp,
}

/// Where an owner publishes. Empty before the schema actor handed a snapshot over, after the class was
/// deleted, and after the owner ended.
#[derive(Default)]
pub struct Published {
    current: ArcSwapOption<Admission>,
    /// The owner counts requests in a window that is not over.
    is_counting: AtomicBool,
}

impl Published {
    /// Looks at what is published without taking a share of it.
    pub fn with<T>(&self, look: impl FnOnce(&Admission) -> T) -> Option<T> {
        self.current.load().as_deref().map(look)
    }

    pub fn is_counting(&self) -> bool {
        self.is_counting.load(Ordering::Acquire)
    }

    fn store(&self, admission: Option<Admission>) {
        self.current.store(admission.map(Arc::new));
    }
}

pub struct ClassActor {
    class: ClassName,
    published: Arc<Published>,
    /// The newest read that was handed over.
    read: u64,
    /// There while somebody listens to the class.
    live: Option<Live>,
    /// Of the rate limit rules that name the class.
    buckets: Buckets,
    /// Takes the owner out of the directory unless somebody uses it; answers whether it is out.
    release: Box<dyn Fn() -> bool>,
}

struct Live {
    class: Rc<LiveClass>,
    listening: Arc<Listening>,
}

impl ClassActor {
    pub fn new(class: ClassName, published: Arc<Published>, release: Box<dyn Fn() -> bool>) -> Self {
        Self { class, published, read: 0, live: None, buckets: Buckets::default(), release }
    }

    /// Works off what the live queries have to do, beside other messages.
    fn drive(work: Option<Work>, ctx: &mut Context<Self>) {
        if let Some(work) = work {
            ctx.spawn(wrap_future::<_, Self>(work.run()).map(|(), owner, ctx| {
                if owner.forget_live() && (owner.release)() {
                    ctx.stop();
                }
            }));
        }
    }

    /// What live queries keep goes with the last that listens; answers whether it went now.
    fn forget_live(&mut self) -> bool {
        let is_over = |live: &Live| live.class.is_idle() && !live.listening.is_listened_to();
        self.live.take_if(|live| is_over(live)).is_some_and(|live| {
            live.listening.settle();
            true
        })
    }
}

impl Mailed for ClassActor {
    fn mail() -> &'static Mail {
        &mail::CLASS
    }
}

impl Actor for ClassActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Events come from writes that are done: there is nobody to hold back. Their bytes are bounded by what
        // `Waiting` lets in, clients have one request each, and so have schema changes.
        ctx.set_mailbox_capacity(1 << 20);
        ctx.run_interval(IDLE_CHECK, |owner, ctx| {
            owner.forget_live();
            // The next count sets it again.
            owner.published.is_counting.store(!owner.buckets.is_empty(Instant::now()), Ordering::Release);
            if (owner.release)() {
                ctx.stop();
            }
        });
    }
}

/// Also where a handler panicked: replicas must not go on with what nobody keeps up to date.
impl Drop for ClassActor {
    fn drop(&mut self) {
        self.published.store(None);
    }
}

/// The class as a read of its schema found it; without a snapshot there is no such class. Answered once it
/// is published: a schema change is answered after that, and seen on every worker.
pub struct Publish {
    pub read: ReadStamp,
    pub snapshot: Option<Arc<ClassSnapshot>>,
}

impl Message for Publish {
    type Result = ();
}

impl Handler<Publish> for ClassActor {
    type Result = ();

    fn handle(&mut self, Publish { read, snapshot }: Publish, _: &mut Self::Context) {
        // Two may be under way at a time: the later read stands.
        if read.number >= self.read {
            self.read = read.number;
            self.published.store(snapshot.map(|snapshot| Admission { snapshot, read }));
        }
    }
}

impl Handler<Hit> for ClassActor {
    type Result = Result<Count>;

    fn handle(&mut self, hit: Hit, _: &mut Self::Context) -> Self::Result {
        self.published.is_counting.store(true, Ordering::Release);
        Ok(self.buckets.hit(hit.rule, &hit.key, &hit.window, Instant::now()))
    }
}

/// The directory has let the owner go.
pub struct Retire;

impl Message for Retire {
    type Result = ();
}

impl Handler<Retire> for ClassActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        if (self.release)() {
            ctx.stop();
        }
    }
}

/// Opens (or replaces) a subscription.
pub struct Subscribe {
    pub app: Arc<LiveApp>,
    pub listening: Arc<Listening>,
    pub opening: Opening,
}

impl Message for Subscribe {
    type Result = Result<Option<Resumed>>;
}

impl Handler<Subscribe> for ClassActor {
    type Result = ResponseFuture<Result<Option<Resumed>>>;

    fn handle(&mut self, message: Subscribe, ctx: &mut Self::Context) -> Self::Result {
        let Subscribe { app, listening, opening } = message;
        let class = &self.class;
        let live =
            self.live.get_or_insert_with(|| Live { class: LiveClass::new(class.clone(), app), listening });
        let (opened, work) = live.class.open(opening);
        Self::drive(work, ctx);
        Box::pin(async move { opened.await.map_err(Error::internal)? })
    }
}

/// Ends subscriptions; answered when nothing more will be sent for them.
pub struct Unsubscribe(pub Ending);

impl Message for Unsubscribe {
    type Result = Result<()>;
}

impl Handler<Unsubscribe> for ClassActor {
    type Result = ResponseFuture<Result<()>>;

    fn handle(&mut self, Unsubscribe(ending): Unsubscribe, ctx: &mut Self::Context) -> Self::Result {
        let Some(live) = &self.live else { return Box::pin(std::future::ready(Ok(()))) };
        let (ended, work) = live.class.end(ending);
        Self::drive(work, ctx);
        Box::pin(async move { ended.await.map_err(Error::internal) })
    }
}

/// Something happened to an object of this class.
pub struct Happened {
    pub event: ObjectEvent,
    pub waiting: WaitingBytes,
}

impl Message for Happened {
    type Result = ();
}

impl Handler<Happened> for ClassActor {
    type Result = ();

    fn handle(&mut self, Happened { event, waiting }: Happened, ctx: &mut Self::Context) {
        if let Some(live) = &self.live {
            Self::drive(live.class.tell(event, waiting), ctx);
        }
    }
}

/// Events of the class found no room.
pub struct EventsLost;

impl Message for EventsLost {
    type Result = ();
}

impl Handler<EventsLost> for ClassActor {
    type Result = ();

    fn handle(&mut self, EventsLost: EventsLost, ctx: &mut Self::Context) {
        if let Some(live) = &self.live {
            Self::drive(live.class.lose(live.listening.clone()), ctx);
        }
    }
}

/// Ends an owner as a panic would.
#[cfg(test)]
pub struct End;

#[cfg(test)]
impl Message for End {
    type Result = ();
}

#[cfg(test)]
impl Handler<End> for ClassActor {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Self::Context) {
        ctx.terminate();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::freshness::Freshness;
    use crate::config::AppConfig;
    use crate::types::ClassSchema;

    fn publish(freshness: &Freshness, number: u64, generation: Option<u64>) -> Publish {
        let schema = || ClassSchema::with_defaults(ClassName::known("Game"));
        let config = AppConfig::for_tests(serde_json::json!({}));
        let snapshot =
            generation.map(|generation| Arc::new(ClassSnapshot::build(schema(), &config, generation)));
        Publish { read: freshness.stamp(number), snapshot }
    }

    fn shown(published: &Published) -> Option<u64> {
        published.with(|admission| admission.snapshot.generation)
    }

    #[actix_web::test]
    async fn the_latest_read_stands() {
        let (published, freshness) = (Arc::<Published>::default(), Freshness::new(None));
        let owner = ClassActor::new(ClassName::known("Game"), published.clone(), Box::new(|| false)).start();
        owner.send(publish(&freshness, 5, Some(1))).await.expect("published");
        owner.send(publish(&freshness, 4, None)).await.expect("published");
        assert_eq!(shown(&published), Some(1), "an older read");
        owner.send(publish(&freshness, 6, None)).await.expect("published");
        owner.send(publish(&freshness, 5, Some(1))).await.expect("published");
        assert_eq!(shown(&published), None, "the class is gone");
        owner.send(publish(&freshness, 7, Some(2))).await.expect("published");
        assert_eq!(shown(&published), Some(2), "and is made again");
    }

    #[actix_web::test]
    async fn an_owner_counts_and_says_so() {
        let published = Arc::<Published>::default();
        let owner = ClassActor::new(ClassName::known("Game"), published.clone(), Box::new(|| false)).start();
        let window = crate::actors::buckets::Window::from_millis(60_000.0);
        for hits in 1..=3 {
            assert!(hits > 1 || !published.is_counting());
            let hit = Hit { rule: 1, key: "ip:10.0.0.1".to_owned(), window };
            assert_eq!(owner.send(hit).await.expect("heard").expect("counted").hits, hits);
            assert!(published.is_counting());
        }
    }

    #[test]
    fn what_was_published_ends_with_its_owner() {
        let (published, freshness) = (Arc::<Published>::default(), Freshness::new(None));
        let owner = ClassActor::new(ClassName::known("Game"), published.clone(), Box::new(|| true));
        let Publish { read, snapshot } = publish(&freshness, 1, Some(1));
        owner.published.store(snapshot.map(|snapshot| Admission { snapshot, read }));
        assert_eq!(shown(&published), Some(1));
        drop(owner);
        assert_eq!(shown(&published), None);
    }
}
