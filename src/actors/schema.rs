//! `SchemaActor`: one for each app, the only writer of class snapshots and the only one that runs
//! class DDL. Changes of one class run one after another, those of different classes side by side, so
//! that a table whose locks are taken holds up nobody else; indexes are built outside of it altogether
//! ([`super::registry`]). A change is answered after its snapshot was published, so whoever made it sees
//! it on every worker. What is published was always read after the change, under a number taken before
//! the read ([`super::freshness`]): a read that was overtaken by a later one is dropped.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Instant;

use actix::prelude::ActorFutureExt;
use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseActFuture};
use arc_swap::ArcSwap;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::ASK_DEADLINE;
use super::class::ClassSlot;
use super::freshness::{Freshness, listen, renew};
use crate::error::{Error, Result};
use crate::operations::ClassSnapshot;
use crate::operations::ports::SchemaChange;
use crate::storage::{StorageAdapter, StorageError, StorageResult};
use crate::types::names::VOLATILE_CLASSES;
use crate::types::{ClassName, ClassSchema, Field, FieldName};

/// Class → where its snapshot is published. Replaced as a whole when a class appears or goes.
pub type Slots = ArcSwap<HashMap<ClassName, Arc<ClassSlot>>>;

/// Server option `protectedFields`: class → group → fields.
pub type ServerProtected = BTreeMap<String, BTreeMap<String, Vec<String>>>;

pub struct SchemaActor {
    storage: Arc<dyn StorageAdapter>,
    slots: Arc<Slots>,
    freshness: Arc<Freshness>,
    protected: Arc<ServerProtected>,
    generation: u64,
    /// Classes that are gone, with the number of the read that found so: older reads still show them.
    gone: HashMap<ClassName, u64>,
    /// Whose turn it is to change a class.
    turns: HashMap<ClassName, Weak<Mutex<()>>>,
}

/// Gone classes and turns that are remembered before those without use are let go.
const REMEMBERED: usize = 1000;

impl SchemaActor {
    /// `schemas` were read under this number.
    pub fn new(
        storage: Arc<dyn StorageAdapter>,
        slots: Arc<Slots>,
        freshness: Arc<Freshness>,
        protected: Arc<ServerProtected>,
        (number, schemas): (u64, Vec<ClassSchema>),
    ) -> Self {
        let (gone, turns) = Default::default();
        let mut actor = Self { storage, slots, freshness, protected, generation: 0, gone, turns };
        actor.publish_all(number, schemas);
        actor
    }

    /// Replaces everything by what storage held, volatile classes with their fixed schemas added.
    fn publish_all(&mut self, number: u64, schemas: Vec<ClassSchema>) {
        let mut fresh: HashMap<ClassName, ClassSchema> =
            schemas.into_iter().map(|schema| (schema.name.clone(), schema)).collect();
        for name in VOLATILE_CLASSES {
            let name = ClassName::known(name);
            fresh.entry(name.clone()).or_insert_with(|| ClassSchema::with_defaults(name));
        }
        let known = self.slots.load_full();
        for (class, slot) in known.iter() {
            if !fresh.contains_key(class) && slot.read() < number {
                self.withdraw(class, number);
            }
        }
        let mut slots = HashMap::clone(&self.slots.load());
        for (class, schema) in fresh {
            if self.gone.get(&class).is_some_and(|gone| *gone > number) {
                continue;
            }
            let slot = slots.entry(class).or_default().clone();
            self.store(&slot, number, schema);
        }
        self.slots.store(Arc::new(slots));
    }

    /// What a read of one class found.
    fn publish(
        &mut self,
        class: &ClassName,
        number: u64,
        schema: Option<ClassSchema>,
    ) -> Option<Arc<ClassSnapshot>> {
        let schema = match schema {
            None if class.is_volatile() => ClassSchema::with_defaults(class.clone()),
            None => {
                self.withdraw(class, number);
                return None;
            }
            Some(schema) => schema,
        };
        if self.gone.get(class).is_some_and(|gone| *gone > number) {
            return None;
        }
        if let Some(slot) = self.slots.load().get(class) {
            return self.store(slot, number, schema);
        }
        let slot = Arc::new(ClassSlot::default());
        let snapshot = self.store(&slot, number, schema);
        let mut slots = HashMap::clone(&self.slots.load());
        slots.insert(class.clone(), slot);
        self.slots.store(Arc::new(slots));
        snapshot
    }

    /// Shows the schema in the slot, unless a later read is shown there already.
    fn store(
        &mut self,
        slot: &ClassSlot,
        number: u64,
        mut schema: ClassSchema,
    ) -> Option<Arc<ClassSnapshot>> {
        let shown = slot.load();
        if slot.read() > number {
            return shown;
        }
        schema.add_default_columns();
        let snapshot = match shown.filter(|shown| *shown.schema == schema) {
            Some(same) => same,
            None => {
                let snapshot = self.snapshot(schema);
                slot.publish(Some(snapshot.clone()));
                snapshot
            }
        };
        self.freshness.was_read(slot, number);
        Some(snapshot)
    }

    fn snapshot(&mut self, schema: ClassSchema) -> Arc<ClassSnapshot> {
        self.generation += 1;
        let server = self.protected.get(schema.name.as_str());
        Arc::new(ClassSnapshot::build(schema, server, self.generation))
    }

    fn withdraw(&mut self, class: &ClassName, number: u64) {
        if class.is_volatile() || self.slots.load().get(class).is_some_and(|slot| slot.read() > number) {
            return;
        }
        let mut slots = HashMap::clone(&self.slots.load());
        if let Some(slot) = slots.remove(class) {
            slot.publish(None);
            if self.gone.len() >= REMEMBERED {
                self.gone.clear();
            }
            self.gone.insert(class.clone(), number);
        }
        self.slots.store(Arc::new(slots));
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
            // Whoever asked has given up by now.
            if asked.elapsed() >= ASK_DEADLINE {
                return Err(Error::internal("the class was being changed for too long"));
            }
            Ok(turn)
        }
    }

    /// Runs a change of one class in storage (which tells other servers) and publishes what is there
    /// afterwards, also when it failed: what was done before it did is not known. `None`: the class is
    /// gone.
    fn change(
        &mut self,
        class: ClassName,
        work: impl Future<Output = StorageResult<Done>> + 'static,
    ) -> Answer<Option<Arc<ClassSnapshot>>> {
        let turn = self.turn(&class);
        let (storage, freshness) = (self.storage.clone(), self.freshness.clone());
        let work = async move {
            let turn = turn.await?;
            let outcome = work.await;
            if let Ok(Done::Before(snapshot)) = outcome {
                return Ok(Changed::Nothing(snapshot));
            }
            freshness.mark(&class);
            let number = freshness.number();
            let found = storage.load_schema(&class).await;
            Ok(Changed::Class { _turn: turn, class, number, outcome, found })
        };
        Box::pin(actix::fut::wrap_future::<_, Self>(work).map(|changed: Result<_>, actor: &mut Self, _| {
            let (class, number, outcome, found) = match changed? {
                Changed::Nothing(snapshot) => return Ok(Some(snapshot)),
                Changed::Class { _turn, class, number, outcome, found } => (class, number, outcome, found),
            };
            match found {
                Ok(found) => {
                    let snapshot = actor.publish(&class, number, found);
                    outcome?;
                    Ok(snapshot)
                }
                Err(error) => {
                    tracing::warn!(%error, class = %class, "class {class} could not be read after a change");
                    actor.freshness.changed(Some(&class));
                    match outcome? {
                        Done::Now(Some(schema)) => Ok(Some(actor.snapshot(schema))),
                        Done::Now(None) => Err(error.into()),
                        Done::Gone => Ok(None),
                        Done::Before(snapshot) => Ok(Some(snapshot)),
                    }
                }
            }
        }))
    }
}

type Answer<T> = ResponseActFuture<SchemaActor, Result<T>>;

/// What a change came to. Changes are rare: the size of the variants costs nothing.
#[allow(clippy::large_enum_variant)]
enum Done {
    /// Somebody in the queue before us did it.
    Before(Arc<ClassSnapshot>),
    /// With the class as storage answered it, if anything was to be done.
    Now(Option<ClassSchema>),
    Gone,
}

#[allow(clippy::large_enum_variant)]
enum Changed {
    Nothing(Arc<ClassSnapshot>),
    Class {
        /// Held until the class was published.
        _turn: OwnedMutexGuard<()>,
        class: ClassName,
        number: u64,
        outcome: StorageResult<Done>,
        found: StorageResult<Option<ClassSchema>>,
    },
}

fn there(found: Result<Option<Arc<ClassSnapshot>>>) -> Result<Arc<ClassSnapshot>> {
    found?.ok_or_else(|| Error::internal("the class was deleted meanwhile"))
}

impl Actor for SchemaActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        actix::spawn(listen(self.storage.notices(), self.freshness.clone()));
        actix::spawn(renew(self.freshness.clone(), ctx.address().downgrade()));
    }
}

/// Creates the class, or answers the one that exists.
pub struct Create(pub ClassSchema);
/// Adds what is missing.
pub struct AddFields {
    pub class: ClassName,
    pub fields: Vec<(FieldName, Field)>,
}
/// All but the indexes.
pub struct Change {
    pub class: ClassName,
    pub change: SchemaChange,
}
pub struct Delete(pub ClassName);
/// Reads one class, or all, from storage again.
pub struct Refresh {
    pub class: Option<ClassName>,
}

macro_rules! messages {
    ($($name:ident => $answer:ty),+ $(,)?) => {
        $(impl Message for $name { type Result = Result<$answer>; })+
    };
}
messages!(
    Create => Arc<ClassSnapshot>, AddFields => Arc<ClassSnapshot>, Change => Arc<ClassSnapshot>, Delete => (),
    Refresh => (),
);

impl Handler<Create> for SchemaActor {
    type Result = Answer<Arc<ClassSnapshot>>;

    fn handle(&mut self, Create(schema): Create, _: &mut Self::Context) -> Self::Result {
        let (storage, class) = (self.storage.clone(), schema.name.clone());
        let work = async move { storage.create_class(&schema).await.map(|schema| Done::Now(Some(schema))) };
        Box::pin(self.change(class, work).map(|found, _, _| there(found)))
    }
}

impl Handler<AddFields> for SchemaActor {
    type Result = Answer<Arc<ClassSnapshot>>;

    fn handle(&mut self, AddFields { class, fields }: AddFields, _: &mut Self::Context) -> Self::Result {
        let (storage, slots) = (self.storage.clone(), self.slots.clone());
        let name = class.clone();
        let work = async move {
            let known = slots.load().get(&class).and_then(|slot| slot.load());
            if let Some(known) = &known
                && fields.iter().all(|(name, _)| known.schema.fields.contains_key(name))
            {
                return Ok(Done::Before(known.clone()));
            }
            add_fields(&*storage, &class, &fields, known.is_some())
                .await
                .map(|schema| Done::Now(Some(schema)))
        };
        Box::pin(self.change(name, work).map(|found, _, _| there(found)))
    }
}

async fn add_fields(
    storage: &dyn StorageAdapter,
    class: &ClassName,
    fields: &[(FieldName, Field)],
    exists: bool,
) -> StorageResult<ClassSchema> {
    if exists {
        match storage.add_fields(class, fields).await {
            Err(StorageError::StaleSchema(_)) => {}
            answer => return answer,
        }
    }
    let mut schema = ClassSchema::with_defaults(class.clone());
    schema.fields.extend(fields.iter().cloned());
    let stored = storage.create_class(&schema).await?;
    if fields.iter().all(|(name, _)| stored.fields.contains_key(name)) {
        return Ok(stored);
    }
    // Another server created the class a moment ago, without our fields.
    storage.add_fields(class, fields).await
}

impl Handler<Change> for SchemaActor {
    type Result = Answer<Arc<ClassSnapshot>>;

    fn handle(&mut self, Change { class, change }: Change, _: &mut Self::Context) -> Self::Result {
        let (storage, name) = (self.storage.clone(), class.clone());
        let work = async move { apply_change(&*storage, &class, change).await.map(Done::Now) };
        Box::pin(self.change(name, work).map(|found, _, _| there(found)))
    }
}

async fn apply_change(
    storage: &dyn StorageAdapter,
    class: &ClassName,
    change: SchemaChange,
) -> StorageResult<Option<ClassSchema>> {
    let mut latest = None;
    if !change.delete_fields.is_empty() {
        latest = Some(storage.delete_fields(class, &change.delete_fields).await?);
    }
    if !change.add_fields.is_empty() {
        latest = Some(storage.add_fields(class, &change.add_fields).await?);
    }
    if !change.set_options.is_empty() {
        latest = Some(storage.set_field_options(class, &change.set_options).await?);
    }
    if let Some(permissions) = &change.permissions {
        latest = Some(storage.set_permissions(class, permissions).await?);
    }
    Ok(latest)
}

impl Handler<Delete> for SchemaActor {
    type Result = Answer<()>;

    fn handle(&mut self, Delete(class): Delete, _: &mut Self::Context) -> Self::Result {
        let (storage, name) = (self.storage.clone(), class.clone());
        let work = async move {
            let schema = match storage.load_schema(&class).await? {
                Some(schema) => schema,
                None => ClassSchema::with_defaults(class),
            };
            storage.delete_class(&schema).await?;
            Ok(Done::Gone)
        };
        Box::pin(self.change(name, work).map(|done, _, _| done.map(drop)))
    }
}

/// What a read found.
#[allow(clippy::large_enum_variant)]
enum Fresh {
    All(Vec<ClassSchema>),
    One(ClassName, Option<ClassSchema>),
}

impl Handler<Refresh> for SchemaActor {
    type Result = Answer<()>;

    fn handle(&mut self, Refresh { class }: Refresh, _: &mut Self::Context) -> Self::Result {
        let (storage, number) = (self.storage.clone(), self.freshness.number());
        let work = async move {
            Ok(match class {
                Some(class) => {
                    let schema = storage.load_schema(&class).await?;
                    Fresh::One(class, schema)
                }
                None => Fresh::All(storage.load_schemas().await?),
            })
        };
        Box::pin(actix::fut::wrap_future::<_, Self>(work).map(
            move |fresh: Result<_>, actor: &mut Self, _| {
                match fresh? {
                    Fresh::All(schemas) => actor.publish_all(number, schemas),
                    Fresh::One(class, schema) => {
                        actor.publish(&class, number, schema);
                    }
                }
                Ok(())
            },
        ))
    }
}
