//! What the schema actor is asked, and how it answers.

use std::sync::Arc;

use actix::fut::wrap_future;
use actix::prelude::ActorFutureExt;
use actix::{Addr, Handler, Message};

use super::{Answer, Done, Plan, SchemaActor};
use crate::actors::class::owner::{ClassActor, Publish};
use crate::actors::{ASK_DEADLINE, ddl};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::ClassSnapshot;
use crate::operations::ports::SchemaChange;
use crate::storage::StorageError;
use crate::types::{ClassName, ClassSchema, Field, FieldName};

/// Creates the class; 103 where there is one.
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
/// Reads one class from storage again; `None`: there is no such class.
pub struct Reload(pub ClassName);
/// Reads all classes from storage again.
pub struct ReloadAll;
/// All classes as they are known, without a look into storage.
pub struct Snapshots;
/// Hands the class to an owner that has just been started; answers whether there is such a class.
pub struct HandOver {
    pub class: ClassName,
    pub to: Addr<ClassActor>,
}

macro_rules! messages {
    ($($name:ident => $answer:ty),+ $(,)?) => {
        $(impl Message for $name { type Result = Result<$answer>; })+
    };
}
messages!(
    Create => Arc<ClassSnapshot>, AddFields => Arc<ClassSnapshot>, Change => Arc<ClassSnapshot>, Delete => (),
    Reload => Option<Arc<ClassSnapshot>>, ReloadAll => Vec<Arc<ClassSnapshot>>, HandOver => bool,
    Snapshots => Vec<Arc<ClassSnapshot>>,
);

fn there(found: Result<Option<Arc<ClassSnapshot>>>) -> Result<Arc<ClassSnapshot>> {
    found?.ok_or_else(|| Error::internal("the class was deleted meanwhile"))
}

fn taken(class: &ClassName) -> StorageError {
    let message = format!("Class {class} already exists.");
    StorageError::Refused(Error::parse(ErrorCode::INVALID_CLASS_NAME, message))
}

impl Handler<Snapshots> for SchemaActor {
    type Result = Result<Vec<Arc<ClassSnapshot>>>;

    fn handle(&mut self, _: Snapshots, _: &mut Self::Context) -> Self::Result {
        Ok(self.known.values().map(|known| known.snapshot.clone()).collect())
    }
}

impl Handler<Create> for SchemaActor {
    type Result = Answer<Arc<ClassSnapshot>>;

    fn handle(&mut self, Create(schema): Create, _: &mut Self::Context) -> Self::Result {
        let (storage, class) = (self.storage.clone(), schema.name.clone());
        let plan = move |actor: &Self| {
            // Somebody in the queue before us made it.
            let exists = actor.known.contains_key(&schema.name);
            Plan::Work(async move {
                if exists {
                    return Err(taken(&schema.name));
                }
                let stored = storage.create_class(&schema).await?;
                // Another server made it a moment ago, as another one.
                let is_ours =
                    schema.fields.iter().all(|(name, field)| stored.field_type(name) == Some(&field.ty));
                if is_ours { Ok(Done::Now(Some(stored))) } else { Err(taken(&schema.name)) }
            })
        };
        Box::pin(self.change(class, plan).map(|found, _, _| there(found)))
    }
}

impl Handler<AddFields> for SchemaActor {
    type Result = Answer<Arc<ClassSnapshot>>;

    fn handle(&mut self, AddFields { class, fields }: AddFields, _: &mut Self::Context) -> Self::Result {
        let (storage, name) = (self.storage.clone(), class.clone());
        let plan = move |actor: &Self| {
            let known = actor.known.get(&class).map(|known| &known.snapshot);
            if let Some(known) = known
                && fields.iter().all(|(name, _)| known.schema.fields.contains_key(name))
            {
                return Plan::Nothing(known.clone());
            }
            let exists = known.is_some();
            Plan::Work(async move {
                let added = ddl::add_fields(&*storage, &class, &fields, exists).await;
                added.map(|schema| Done::Now(Some(schema)))
            })
        };
        Box::pin(self.change(name, plan).map(|found, _, _| there(found)))
    }
}

impl Handler<Change> for SchemaActor {
    type Result = Answer<Arc<ClassSnapshot>>;

    fn handle(&mut self, Change { class, change }: Change, _: &mut Self::Context) -> Self::Result {
        let (storage, name) = (self.storage.clone(), class.clone());
        let work = async move { ddl::change(&*storage, &class, change).await.map(Done::Now) };
        Box::pin(self.change(name, |_| Plan::Work(work)).map(|found, _, _| there(found)))
    }
}

impl Handler<Delete> for SchemaActor {
    type Result = Answer<()>;

    fn handle(&mut self, Delete(class): Delete, _: &mut Self::Context) -> Self::Result {
        let (storage, name) = (self.storage.clone(), class.clone());
        let work = async move { ddl::delete(&*storage, class).await.map(|()| Done::Gone) };
        Box::pin(self.change(name, |_| Plan::Work(work)).map(|done, _, _| done.map(drop)))
    }
}

impl Handler<Reload> for SchemaActor {
    type Result = Answer<Option<Arc<ClassSnapshot>>>;

    fn handle(&mut self, Reload(class): Reload, _: &mut Self::Context) -> Self::Result {
        let (storage, number, name) = (self.storage.clone(), self.freshness.number(), class.clone());
        let read = wrap_future::<_, Self>(async move { storage.load_schema(&name).await });
        let published =
            read.map(move |found, actor, _| found.map(|schema| actor.publish(&class, number, schema)));
        Box::pin(published.then(|found, _, _| {
            wrap_future(async move {
                let (snapshot, handed_over) = found?;
                handed_over.published().await;
                Ok(snapshot)
            })
        }))
    }
}

impl Handler<ReloadAll> for SchemaActor {
    type Result = Answer<Vec<Arc<ClassSnapshot>>>;

    fn handle(&mut self, _: ReloadAll, _: &mut Self::Context) -> Self::Result {
        let (storage, number) = (self.storage.clone(), self.freshness.number());
        let read = wrap_future::<_, Self>(async move { storage.load_schemas().await });
        let published = read.map(move |found, actor, _| {
            found.map(|schemas| {
                let handed_over = actor.publish_all(number, schemas);
                let classes: Vec<_> = actor.known.values().map(|known| known.snapshot.clone()).collect();
                (classes, handed_over)
            })
        });
        Box::pin(published.then(|found, _, _| {
            wrap_future(async move {
                let (classes, handed_over) = found?;
                handed_over.published().await;
                Ok(classes)
            })
        }))
    }
}

impl Handler<HandOver> for SchemaActor {
    type Result = Answer<bool>;

    fn handle(&mut self, HandOver { class, to }: HandOver, _: &mut Self::Context) -> Self::Result {
        let sent = self
            .known
            .get(&class)
            .map(|known| to.send(Publish { read: known.read, snapshot: Some(known.snapshot.clone()) }));
        Box::pin(wrap_future(async move {
            match sent {
                Some(sent) => sent.timeout(ASK_DEADLINE).await.map(|()| true).map_err(Error::internal),
                None => Ok(false),
            }
        }))
    }
}
