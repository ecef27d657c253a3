//! `ClassActor`: the owner of one class in use. The schema actor hands it the class's snapshot
//! ([`Publish`]); it alone publishes that to the replicas, by one store into [`Published`], whose `store`
//! nobody outside of this file can call.
//!
//! Nothing it owns survives it but what the database can give again: it stops when no replica reads what
//! it publishes any more, and whatever way it ends, what it published ends with it, so that the next
//! request starts another owner.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use arc_swap::ArcSwapOption;

use crate::actors::freshness::ReadStamp;
use crate::operations::ClassSnapshot;

/// How often an owner looks whether it is still of use.
pub const IDLE_CHECK: Duration = Duration::from_secs(60);

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
}

impl Published {
    pub fn admission(&self) -> Option<Arc<Admission>> {
        self.current.load_full()
    }

    /// Looks at what is published without taking a share of it.
    pub fn with<T>(&self, look: impl FnOnce(&Admission) -> T) -> Option<T> {
        self.current.load().as_deref().map(look)
    }

    fn store(&self, admission: Option<Admission>) {
        self.current.store(admission.map(Arc::new));
    }
}

pub struct ClassActor {
    published: Arc<Published>,
    /// The newest read that was handed over.
    read: u64,
    /// Takes the owner out of the directory unless somebody uses it; answers whether it did.
    release: Box<dyn Fn() -> bool>,
}

impl ClassActor {
    pub fn new(published: Arc<Published>, release: Box<dyn Fn() -> bool>) -> Self {
        Self { published, read: 0, release }
    }
}

impl Actor for ClassActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(IDLE_CHECK, |owner, ctx| {
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
/// is published, so that whoever changed a schema sees the change on every worker.
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
    use crate::types::{ClassName, ClassSchema};

    fn publish(freshness: &Freshness, number: u64, generation: Option<u64>) -> Publish {
        let schema = || ClassSchema::with_defaults(ClassName::known("Game"));
        let snapshot =
            generation.map(|generation| Arc::new(ClassSnapshot::build(schema(), None, generation)));
        Publish { read: freshness.stamp(number), snapshot }
    }

    fn shown(published: &Published) -> Option<u64> {
        published.admission().map(|admission| admission.snapshot.generation)
    }

    #[actix_web::test]
    async fn the_latest_read_stands() {
        let (published, freshness) = (Arc::<Published>::default(), Freshness::new(None));
        let owner = ClassActor::new(published.clone(), Box::new(|| false)).start();
        owner.send(publish(&freshness, 5, Some(1))).await.expect("published");
        owner.send(publish(&freshness, 4, None)).await.expect("published");
        assert_eq!(shown(&published), Some(1), "an older read");
        owner.send(publish(&freshness, 6, None)).await.expect("published");
        owner.send(publish(&freshness, 5, Some(1))).await.expect("published");
        assert_eq!(shown(&published), None, "the class is gone");
        owner.send(publish(&freshness, 7, Some(2))).await.expect("published");
        assert_eq!(shown(&published), Some(2), "and is made again");
    }

    #[test]
    fn what_was_published_ends_with_its_owner() {
        let (published, freshness) = (Arc::<Published>::default(), Freshness::new(None));
        let owner = ClassActor::new(published.clone(), Box::new(|| true));
        let Publish { read, snapshot } = publish(&freshness, 1, Some(1));
        owner.published.store(snapshot.map(|snapshot| Admission { snapshot, read }));
        assert_eq!(shown(&published), Some(1));
        drop(owner);
        assert_eq!(shown(&published), None);
    }
}
