//! `SchemaActor`: one for each app, the only writer of class snapshots and the only one that runs
//! class DDL. Changes run one after another; a change is answered after its snapshot was published,
//! so whoever made it sees it on every worker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use actix::prelude::ActorFutureExt;
use actix::{Actor, AsyncContext, AtomicResponse, Context, Handler, Message};
use arc_swap::ArcSwap;

use super::class::ClassSlot;
use crate::error::Result;
use crate::operations::ClassSnapshot;
use crate::operations::services::SchemaChange;
use crate::storage::{Notice, StorageAdapter, StorageResult};
use crate::types::names::VOLATILE_CLASSES;
use crate::types::{ClassName, ClassSchema, Field, FieldName};

/// Class → where its snapshot is published. Replaced as a whole when a class appears or goes.
pub type Slots = ArcSwap<HashMap<ClassName, Arc<ClassSlot>>>;

/// Server option `protectedFields`: class → group → fields.
pub type ServerProtected = BTreeMap<String, BTreeMap<String, Vec<String>>>;

pub struct SchemaActor {
    storage: Arc<dyn StorageAdapter>,
    slots: Arc<Slots>,
    protected: Arc<ServerProtected>,
    generation: u64,
}

impl SchemaActor {
    pub fn new(
        storage: Arc<dyn StorageAdapter>,
        slots: Arc<Slots>,
        protected: Arc<ServerProtected>,
        schemas: Vec<ClassSchema>,
    ) -> Self {
        let mut actor = Self { storage, slots, protected, generation: 0 };
        actor.publish_all(schemas);
        actor
    }

    /// Replaces everything by what storage holds, volatile classes with their fixed schemas added.
    fn publish_all(&mut self, schemas: Vec<ClassSchema>) {
        let mut fresh: HashMap<ClassName, ClassSchema> =
            schemas.into_iter().map(|schema| (schema.name.clone(), schema)).collect();
        for name in VOLATILE_CLASSES {
            let name = ClassName::known(name);
            fresh.entry(name.clone()).or_insert_with(|| ClassSchema::with_defaults(name));
        }
        for (class, slot) in self.slots.load().iter() {
            if !fresh.contains_key(class) {
                slot.publish(None);
            }
        }
        let known = self.slots.load_full();
        let mut slots = HashMap::with_capacity(fresh.len());
        for (class, schema) in fresh {
            let slot = known.get(&class).cloned().unwrap_or_default();
            self.store(&slot, schema);
            slots.insert(class, slot);
        }
        self.slots.store(Arc::new(slots));
    }

    fn publish(&mut self, schema: ClassSchema) -> Arc<ClassSnapshot> {
        let class = schema.name.clone();
        if let Some(slot) = self.slots.load().get(&class) {
            return self.store(slot, schema);
        }
        let slot = Arc::new(ClassSlot::default());
        let snapshot = self.store(&slot, schema);
        let mut slots = HashMap::clone(&self.slots.load());
        slots.insert(class, slot);
        self.slots.store(Arc::new(slots));
        snapshot
    }

    fn store(&mut self, slot: &ClassSlot, mut schema: ClassSchema) -> Arc<ClassSnapshot> {
        schema.add_default_columns();
        if let Some(current) = slot.load().filter(|current| *current.schema == schema) {
            return current;
        }
        self.generation += 1;
        let server = self.protected.get(schema.name.as_str());
        let snapshot = Arc::new(ClassSnapshot::build(schema, server, self.generation));
        slot.publish(Some(snapshot.clone()));
        snapshot
    }

    fn withdraw(&mut self, class: &ClassName) {
        if class.is_volatile() {
            return;
        }
        let mut slots = HashMap::clone(&self.slots.load());
        if let Some(slot) = slots.remove(class) {
            slot.publish(None);
        }
        self.slots.store(Arc::new(slots));
    }
}

impl Actor for SchemaActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let mut notices = self.storage.notices();
        let addr = ctx.address().downgrade();
        actix::spawn(async move {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                let class = match notices.recv().await {
                    Ok(Notice::Schema { class }) => class,
                    Ok(Notice::Lost) | Err(RecvError::Lagged(_)) => None,
                    Ok(_) => continue,
                    Err(RecvError::Closed) => return,
                };
                let Some(addr) = addr.upgrade() else { return };
                if let Err(error) = super::ask(&addr, Refresh { class }).await {
                    tracing::warn!(%error, "could not refresh schemas after a notice");
                }
            }
        });
    }
}

/// Creates the class, or answers the one that exists.
pub struct Create(pub ClassSchema);
/// Adds what is missing.
pub struct AddFields {
    pub class: ClassName,
    pub fields: Vec<(FieldName, Field)>,
}
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

type Atomic<T> = AtomicResponse<SchemaActor, Result<T>>;

/// Runs a change in storage, tells other servers, publishes.
fn change_class(
    storage: Arc<dyn StorageAdapter>,
    work: impl Future<Output = StorageResult<ClassSchema>> + 'static,
) -> Atomic<Arc<ClassSnapshot>> {
    let work = async move {
        let schema = work.await?;
        tell_others(&*storage, Some(schema.name.clone())).await;
        Ok(schema)
    };
    AtomicResponse::new(Box::pin(actix::fut::wrap_future::<_, SchemaActor>(work).map(
        |schema: Result<ClassSchema>, actor: &mut SchemaActor, _| schema.map(|schema| actor.publish(schema)),
    )))
}

async fn tell_others(storage: &dyn StorageAdapter, class: Option<ClassName>) {
    if let Err(error) = storage.notify(Notice::Schema { class }).await {
        tracing::warn!(%error, "could not announce a schema change to other servers");
    }
}

impl Handler<Create> for SchemaActor {
    type Result = Atomic<Arc<ClassSnapshot>>;

    fn handle(&mut self, Create(schema): Create, _: &mut Self::Context) -> Self::Result {
        let storage = self.storage.clone();
        change_class(self.storage.clone(), async move { storage.create_class(&schema).await })
    }
}

impl Handler<AddFields> for SchemaActor {
    type Result = Atomic<Arc<ClassSnapshot>>;

    fn handle(&mut self, AddFields { class, fields }: AddFields, _: &mut Self::Context) -> Self::Result {
        let storage = self.storage.clone();
        let known = self.slots.load().get(&class).and_then(|slot| slot.load());
        if let Some(known) = &known
            && fields.iter().all(|(name, _)| known.schema.fields.contains_key(name))
        {
            // Somebody in the queue before us added them.
            let known = known.clone();
            return AtomicResponse::new(Box::pin(actix::fut::wrap_future::<_, Self>(
                async move { Ok(known) },
            )));
        }
        let exists = known.is_some();
        change_class(self.storage.clone(), async move {
            if exists {
                match storage.add_fields(&class, &fields).await {
                    Err(crate::storage::StorageError::StaleSchema(_)) => {}
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
            storage.add_fields(&class, &fields).await
        })
    }
}

impl Handler<Change> for SchemaActor {
    type Result = Atomic<Arc<ClassSnapshot>>;

    fn handle(&mut self, Change { class, change }: Change, _: &mut Self::Context) -> Self::Result {
        let storage = self.storage.clone();
        change_class(self.storage.clone(), async move { apply_change(&*storage, &class, change).await })
    }
}

async fn apply_change(
    storage: &dyn StorageAdapter,
    class: &ClassName,
    change: SchemaChange,
) -> StorageResult<ClassSchema> {
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
    if let Some(after) = &change.indexes_after {
        latest = Some(storage.set_indexes(class, &change.create_indexes, &change.drop_indexes, after).await?);
    }
    match latest {
        Some(schema) => Ok(schema),
        None => {
            Ok(storage.load_schema(class).await?.unwrap_or_else(|| ClassSchema::with_defaults(class.clone())))
        }
    }
}

impl Handler<Delete> for SchemaActor {
    type Result = Atomic<()>;

    fn handle(&mut self, Delete(class): Delete, _: &mut Self::Context) -> Self::Result {
        let storage = self.storage.clone();
        let work = async move {
            let schema = match storage.load_schema(&class).await? {
                Some(schema) => schema,
                None => ClassSchema::with_defaults(class.clone()),
            };
            storage.delete_class(&schema).await?;
            tell_others(&*storage, Some(class.clone())).await;
            Ok(class)
        };
        AtomicResponse::new(Box::pin(actix::fut::wrap_future::<_, SchemaActor>(work).map(
            |class: Result<ClassName>, actor: &mut SchemaActor, _| {
                actor.withdraw(&class?);
                Ok(())
            },
        )))
    }
}

impl Handler<Refresh> for SchemaActor {
    type Result = Atomic<()>;

    fn handle(&mut self, Refresh { class }: Refresh, _: &mut Self::Context) -> Self::Result {
        let storage = self.storage.clone();
        enum Fresh {
            All(Vec<ClassSchema>),
            One(ClassName, Option<Box<ClassSchema>>),
        }
        let work = async move {
            Ok(match class {
                Some(class) => {
                    let schema = storage.load_schema(&class).await?;
                    Fresh::One(class, schema.map(Box::new))
                }
                None => Fresh::All(storage.load_schemas().await?),
            })
        };
        AtomicResponse::new(Box::pin(actix::fut::wrap_future::<_, SchemaActor>(work).map(
            |fresh: Result<Fresh>, actor: &mut SchemaActor, _| {
                match fresh? {
                    Fresh::All(schemas) => actor.publish_all(schemas),
                    Fresh::One(_, Some(schema)) => {
                        actor.publish(*schema);
                    }
                    Fresh::One(class, None) => actor.withdraw(&class),
                }
                Ok(())
            },
        )))
    }
}
