//! `SchemaActor`: one for each app, the schema controller: it knows every schema, is the only one that runs
//! class DDL, and hands the owners of classes in use their snapshots by message. Changes of one class run one
//! after another, those of different classes side by side, so that a table whose locks are taken holds up
//! nobody else; indexes are built outside of it altogether ([`super::registry`]). A change is answered after
//! the class's owner published it, and so is seen on every worker from then on. What is handed over was always
//! read after the change, under a number taken before the read ([`super::freshness`]): a read that was
//! overtaken by a later one is dropped.

mod messages;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use actix::dev::Request;
use actix::fut::{ready, wrap_future};
use actix::prelude::ActorFutureExt;
use actix::{Actor, AsyncContext, Context, ResponseActFuture};
use arc_swap::ArcSwap;
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use self::messages::{AddFields, Change, Create, Delete, HandOver, Reload, ReloadAll, Snapshots};

use super::class::directory::Directory;
use super::class::owner::{ClassActor, Publish};
use super::freshness::{Freshness, ReadStamp, listen, renew, tell};
use super::mail::{self, Mail, Mailed};
use super::{ASK_DEADLINE, ask};
use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::operations::ClassSnapshot;
use crate::pubsub::PubSub;
use crate::storage::{StorageAdapter, StorageResult};
use crate::types::names::VOLATILE_CLASSES;
use crate::types::{ClassName, ClassSchema};

/// The names of the classes there are, as the schema actor publishes them: nobody asks it for a class that
/// does not exist. Replaced as a whole when a class appears or goes.
#[derive(Default)]
pub struct Names(ArcSwap<HashSet<ClassName>>, AtomicU64);

impl Names {
    pub fn contains(&self, class: &ClassName) -> bool {
        self.0.load().contains(class)
    }

    /// Grows with every class that appears, changes or goes.
    pub fn version(&self) -> u64 {
        self.1.load(Ordering::Acquire)
    }
}

/// One class as it was last read.
struct Known {
    snapshot: Arc<ClassSnapshot>,
    read: ReadStamp,
}

pub struct SchemaActor {
    storage: Arc<dyn StorageAdapter>,
    pubsub: Arc<dyn PubSub>,
    /// Whom this server tells what it changed, where storage does not.
    others: Option<Arc<dyn PubSub>>,
    freshness: Arc<Freshness>,
    config: Arc<AppConfig>,
    generation: u64,
    known: HashMap<ClassName, Known>,
    names: Arc<Names>,
    /// Whom a class is handed over to.
    owners: Arc<Directory>,
    /// Classes that are gone, with the number of the read that found so: older reads still show them.
    gone: HashMap<ClassName, u64>,
    /// Whose turn it is to change a class.
    turns: HashMap<ClassName, Weak<Mutex<()>>>,
}

/// Gone classes and turns that are remembered before those without use are let go.
const REMEMBERED: usize = 1000;

/// A class, the number of the read, and what its owner was sent, if it has one.
type Sent = (ClassName, u64, Option<Request<ClassActor, Publish>>);

/// Classes on their way to their owners.
struct HandedOver {
    freshness: Arc<Freshness>,
    classes: Vec<Sent>,
}

impl HandedOver {
    /// Once every owner has published what it was given.
    async fn published(self) {
        for (class, number, sent) in self.classes {
            // An owner that has ended publishes nothing any more.
            if let Some(Err(actix::MailboxError::Timeout)) =
                futures_util::future::OptionFuture::from(sent.map(|sent| sent.timeout(ASK_DEADLINE))).await
            {
                tracing::error!(class = %class, "the owner of a class did not publish it in time");
                self.freshness.changed(Some(&class));
                continue;
            }
            self.freshness.was_read(&class, number);
        }
    }
}

impl SchemaActor {
    /// `schemas` were read under this number.
    pub fn new(
        storage: Arc<dyn StorageAdapter>,
        pubsub: Arc<dyn PubSub>,
        others: Option<Arc<dyn PubSub>>,
        owners: Arc<Directory>,
        freshness: Arc<Freshness>,
        config: Arc<AppConfig>,
        (number, schemas): (u64, Vec<ClassSchema>),
    ) -> Self {
        let (known, names, gone, turns) = Default::default();
        let mut actor = Self {
            storage,
            pubsub,
            others,
            owners,
            freshness,
            config,
            generation: 0,
            known,
            names,
            gone,
            turns,
        };
        // Nobody uses a class yet.
        drop(actor.publish_all(number, schemas));
        actor
    }

    pub fn names(&self) -> Arc<Names> {
        self.names.clone()
    }

    fn publish_names(&self) {
        self.names.0.store(Arc::new(self.known.keys().cloned().collect()));
    }

    /// Replaces everything by what storage held, volatile classes with their fixed schemas added.
    fn publish_all(&mut self, number: u64, schemas: Vec<ClassSchema>) -> HandedOver {
        let mut fresh: HashMap<ClassName, ClassSchema> =
            schemas.into_iter().map(|schema| (schema.name.clone(), schema)).collect();
        for name in VOLATILE_CLASSES {
            let name = ClassName::known(name);
            fresh.entry(name.clone()).or_insert_with(|| ClassSchema::with_defaults(name));
        }
        let gone: Vec<ClassName> =
            self.known.keys().filter(|class| !fresh.contains_key(*class)).cloned().collect();
        let mut classes = Vec::new();
        for class in gone {
            let sent = self.withdraw(&class, number);
            classes.push((class, number, sent));
        }
        for (class, schema) in fresh {
            let (_, sent) = self.store(&class, number, schema);
            classes.push((class, number, sent));
        }
        self.publish_names();
        HandedOver { freshness: self.freshness.clone(), classes }
    }

    /// What a read of one class found.
    fn publish(
        &mut self,
        class: &ClassName,
        number: u64,
        schema: Option<ClassSchema>,
    ) -> (Option<Arc<ClassSnapshot>>, HandedOver) {
        let schema = match schema {
            None if class.is_volatile() => Some(ClassSchema::with_defaults(class.clone())),
            other => other,
        };
        let was_known = self.known.contains_key(class);
        let (snapshot, sent) = match schema {
            Some(schema) => self.store(class, number, schema),
            None => (None, self.withdraw(class, number)),
        };
        if was_known != self.known.contains_key(class) {
            self.publish_names();
        }
        let classes = vec![(class.clone(), number, sent)];
        (snapshot, HandedOver { freshness: self.freshness.clone(), classes })
    }

    /// Takes the schema for the class's present one, unless a later read said otherwise.
    fn store(
        &mut self,
        class: &ClassName,
        number: u64,
        mut schema: ClassSchema,
    ) -> (Option<Arc<ClassSnapshot>>, Option<Request<ClassActor, Publish>>) {
        if self.gone.get(class).is_some_and(|gone| *gone > number) {
            return (None, None);
        }
        let known = self.known.get(class);
        if let Some(known) = known.filter(|known| known.read.number > number) {
            let snapshot = known.snapshot.clone();
            // The caller of this read sees what the later one found.
            return (Some(snapshot), self.hand_over(class));
        }
        schema.add_default_columns();
        let same = known.filter(|known| *known.snapshot.schema == schema).map(|known| known.snapshot.clone());
        let snapshot = same.unwrap_or_else(|| self.snapshot(schema));
        let read = self.freshness.stamp(number);
        self.known.insert(class.clone(), Known { snapshot: snapshot.clone(), read });
        (Some(snapshot), self.hand_over(class))
    }

    /// Tells the class's owner, if the class is in use.
    fn hand_over(&self, class: &ClassName) -> Option<Request<ClassActor, Publish>> {
        let known = self.known.get(class)?;
        let message = Publish { read: known.read, snapshot: Some(known.snapshot.clone()) };
        Some(self.owners.get(class)?.owner.send(message))
    }

    fn snapshot(&mut self, schema: ClassSchema) -> Arc<ClassSnapshot> {
        self.generation += 1;
        self.names.1.fetch_add(1, Ordering::AcqRel);
        Arc::new(ClassSnapshot::build(schema, &self.config, self.generation))
    }

    fn withdraw(&mut self, class: &ClassName, number: u64) -> Option<Request<ClassActor, Publish>> {
        if class.is_volatile() || self.known.get(class).is_some_and(|known| known.read.number > number) {
            return None;
        }
        self.known.remove(class)?;
        self.names.1.fetch_add(1, Ordering::AcqRel);
        if self.gone.len() >= REMEMBERED {
            self.gone.clear();
        }
        self.gone.insert(class.clone(), number);
        let message = Publish { read: self.freshness.stamp(number), snapshot: None };
        Some(self.owners.get(class)?.owner.send(message))
    }

    /// Waits for the changes of the class that were asked for before.
    fn turn(&mut self, class: &ClassName) -> impl Future<Output = Result<OwnedMutexGuard<()>>> + use<> {
        if self.turns.len() >= REMEMBERED {
            self.turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = self.turns.get(class).and_then(Weak::upgrade).unwrap_or_default();
        self.turns.insert(class.clone(), Arc::downgrade(&turn));
        let asked = Instant::now();
        async move {
            let turn = turn.lock_owned().await;
            // The caller has given up by now.
            if asked.elapsed() >= ASK_DEADLINE {
                return Err(Error::internal("the class was being changed for too long"));
            }
            Ok(turn)
        }
    }

    /// Changes one class in storage (which tells other servers) and publishes what is there afterwards, also
    /// when it failed: what was done before it did is not known. `plan` is made when the class's turn has
    /// come. `None`: the class is gone.
    fn change<W>(
        &mut self,
        class: ClassName,
        plan: impl FnOnce(&Self) -> Plan<W> + 'static,
    ) -> Answer<Option<Arc<ClassSnapshot>>>
    where
        W: Future<Output = StorageResult<Done>> + 'static,
    {
        let turn = wrap_future::<_, Self>(self.turn(&class));
        Box::pin(turn.then(move |turn, actor, _| -> Answer<Option<Arc<ClassSnapshot>>> {
            let turn = match turn {
                Ok(turn) => turn,
                Err(error) => return Box::pin(ready(Err(error))),
            };
            match plan(actor) {
                Plan::Nothing(snapshot) => Box::pin(ready(Ok(Some(snapshot)))),
                Plan::Work(work) => actor.carry_out(turn, class, work),
            }
        }))
    }

    fn carry_out(
        &self,
        turn: OwnedMutexGuard<()>,
        class: ClassName,
        work: impl Future<Output = StorageResult<Done>> + 'static,
    ) -> Answer<Option<Arc<ClassSnapshot>>> {
        let (storage, freshness, name) = (self.storage.clone(), self.freshness.clone(), class.clone());
        let others = self.others.clone();
        let work = async move {
            let outcome = work.await;
            freshness.mark(&name);
            tell(others.as_ref(), &name);
            let number = freshness.number();
            (number, outcome, storage.load_schema(&name).await)
        };
        let published = wrap_future::<_, Self>(work).map(move |(number, outcome, found), actor, _| {
            let error = match found {
                Ok(found) => {
                    let (snapshot, handed_over) = actor.publish(&class, number, found);
                    return (outcome.map(|_| snapshot).map_err(Error::from), Some(handed_over));
                }
                Err(error) => error,
            };
            tracing::warn!(%error, class = %class, "class {class} could not be read after a change");
            actor.freshness.changed(Some(&class));
            let answer = match outcome {
                Ok(Done::Now(Some(schema))) => Ok(Some(actor.snapshot(schema))),
                Ok(Done::Now(None)) => Err(error.into()),
                Ok(Done::Gone) => Ok(None),
                Err(failure) => Err(failure.into()),
            };
            (answer, None)
        });
        // The turn ends when the class is published.
        Box::pin(published.then(move |(answer, handed_over), _, _| {
            wrap_future(async move {
                if let Some(handed_over) = handed_over {
                    handed_over.published().await;
                }
                drop(turn);
                answer
            })
        }))
    }
}

type Answer<T> = ResponseActFuture<SchemaActor, Result<T>>;

/// What is to be done for a change.
enum Plan<W> {
    /// Somebody in the queue before us did it.
    Nothing(Arc<ClassSnapshot>),
    Work(W),
}

/// What a change came to. Changes are rare: the size of the variants costs nothing.
#[allow(clippy::large_enum_variant)]
enum Done {
    /// With the class as storage answered it, if anything was to be done.
    Now(Option<ClassSchema>),
    Gone,
}

impl Mailed for SchemaActor {
    fn mail() -> &'static Mail {
        &mail::SCHEMA
    }
}

impl Actor for SchemaActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        actix::spawn(listen(self.pubsub.notices(), self.freshness.clone()));
        let this = ctx.address().downgrade();
        let read = move |class| {
            let actor = this.upgrade();
            async move {
                Some(match class {
                    Some(class) => ask(&actor?, Reload(class)).await.map(drop),
                    None => ask(&actor?, ReloadAll).await.map(drop),
                })
            }
        };
        actix::spawn(renew(self.freshness.clone(), read));
    }
}
