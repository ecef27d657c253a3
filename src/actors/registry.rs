//! `ClassRegistry`: the handle through which operations reach class and schema actors. One for each
//! app, shared by all workers; implements [`ClassDirectory`].

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix::{Actor, Addr};
use async_trait::async_trait;

use super::class::directory::Directory;
use super::class::replica::{Admit, Admitted, ClassReplica};
use super::freshness::{Freshness, ReadStamp, tell};
use super::schema::{
    AddFields, Change, Create, Delete, HandOver, Names, Reload, ReloadAll, SchemaActor, Snapshots,
};
use super::{ASK_DEADLINE, ask, mail};
use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::operations::ClassSnapshot;
use crate::operations::ports::{ClassDirectory, IndexChange, SchemaChange};
use crate::pubsub::PubSub;
use crate::storage::{IndexMap, IndexWishes, StorageAdapter};
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, Field, FieldName};

/// A class nobody knows is looked up in storage at most this often (all classes in one statement):
/// a parse-server beside us may have created it without telling.
const MISS_REFRESH_MS: i64 = 1000;

pub struct ClassRegistry {
    /// Tells this app's replicas from another's on the same thread.
    number: u64,
    owners: Arc<Directory>,
    names: Arc<Names>,
    freshness: Arc<Freshness>,
    storage: Arc<dyn StorageAdapter>,
    /// Whom this server tells what it changed, where storage does not.
    others: Option<Arc<dyn PubSub>>,
    schema: Addr<SchemaActor>,
    last_miss_refresh: AtomicI64,
    /// All classes as they were listed last.
    listed: Mutex<Listed>,
}

#[derive(Default)]
struct Listed {
    /// The last read of all classes.
    read: ReadStamp,
    version: Option<u64>,
    classes: Arc<Vec<Arc<ClassSnapshot>>>,
}

impl ClassRegistry {
    /// Loads every schema and starts the schema actor on the current arbiter. Schemas are read again
    /// after `databaseOptions.schemaCacheTtl`, whether or not somebody tells of a change.
    ///
    /// # Errors
    /// When storage cannot be read.
    pub async fn start(
        storage: Arc<dyn StorageAdapter>,
        pubsub: Arc<dyn PubSub>,
        config: Arc<AppConfig>,
    ) -> Result<Arc<Self>> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let ttl = config.database.options.schema_cache_ttl_ms.map(Duration::from_millis);
        let (owners, freshness) = (Directory::new(), Arc::new(Freshness::new(ttl)));
        let read = (freshness.number(), storage.load_schemas().await?);
        let stamp = freshness.stamp(read.0);
        let others = storage.pubsub().is_none().then(|| pubsub.clone());
        let actor = SchemaActor::new(
            storage.clone(),
            pubsub,
            others.clone(),
            owners.clone(),
            freshness.clone(),
            config,
            read,
        );
        let wishes = storage.index_wishes();
        let registry = Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            owners,
            names: actor.names(),
            freshness,
            storage,
            others,
            schema: actor.start(),
            last_miss_refresh: AtomicI64::new(Millis::now().0),
            listed: Mutex::new(Listed { read: stamp, ..Listed::default() }),
        });
        if let Some(wishes) = wishes {
            actix::spawn(build_wished(Arc::downgrade(&registry), wishes));
        }
        Ok(registry)
    }

    /// The owners' addresses, for live queries and rate limits.
    pub fn owners(&self) -> Arc<Directory> {
        self.owners.clone()
    }

    /// From this thread's replica; `None` where it knows nothing, or there is none.
    async fn ask_replica(&self, class: &ClassName) -> Result<Option<Arc<ClassSnapshot>>> {
        let mut is_renewed = false;
        while let Some(replica) = ClassReplica::here(self.number, class) {
            let letter = mail::letter(&replica);
            let answer = replica.send(Admit { is_renewed }).await;
            drop(letter);
            match answer {
                Ok(Admitted::Class(snapshot)) => return Ok(Some(snapshot)),
                Ok(Admitted::Stale) => self.renew(class).await?,
                // It may just have stopped for idleness.
                Ok(Admitted::Unknown) | Err(_) => break,
            }
            is_renewed = true;
        }
        Ok(None)
    }

    /// Reads a class again whose snapshot may be wrong. Requests that come meanwhile share the read, if it
    /// began after they came.
    async fn renew(&self, class: &ClassName) -> Result<()> {
        let Some(in_use) = self.owners.get(class) else { return Ok(()) };
        let read = || in_use.published.with(|admission| admission.read).unwrap_or_default();
        let needed = self.freshness.needed(class, read());
        let renewal = async {
            let _turn = in_use.renewal.lock().await;
            if read().number > needed {
                return Ok(());
            }
            ask(&self.schema, Reload(class.clone())).await.map(drop)
        };
        let overdue = |_| Err(Error::internal("the permissions of a class could not be read in time"));
        tokio::time::timeout(ASK_DEADLINE, renewal).await.unwrap_or_else(overdue)
    }

    /// The first request on this thread for a class that exists, or the first of all: starts what is missing.
    async fn open(&self, class: &ClassName) -> Result<Option<Arc<ClassSnapshot>>> {
        if !self.names.contains(class) {
            return Ok(None);
        }
        let in_use = self.owners.open(class);
        ClassReplica::start_here(self.number, class, in_use.published.clone(), self.freshness.clone());
        if in_use.published.with(|_| ()).is_none() {
            let to = in_use.owner.clone();
            if !ask(&self.schema, HandOver { class: class.clone(), to }).await? {
                return Ok(None);
            }
        }
        self.ask_replica(class).await
    }

    async fn admit_known(&self, class: &ClassName) -> Result<Option<Arc<ClassSnapshot>>> {
        match self.ask_replica(class).await? {
            Some(snapshot) => Ok(Some(snapshot)),
            None => self.open(class).await,
        }
    }
}

#[async_trait(?Send)]
impl ClassDirectory for ClassRegistry {
    async fn admit(&self, class: &ClassName) -> Result<Option<Arc<ClassSnapshot>>> {
        if let Some(snapshot) = self.admit_known(class).await? {
            return Ok(Some(snapshot));
        }
        let now = Millis::now().0;
        let last = self.last_miss_refresh.load(Ordering::Relaxed);
        let due = now - last >= MISS_REFRESH_MS
            && self
                .last_miss_refresh
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !due {
            return Ok(None);
        }
        ask(&self.schema, ReloadAll).await?;
        self.admit_known(class).await
    }

    async fn evolve(&self, class: &ClassName, fields: &[(FieldName, Field)]) -> Result<Arc<ClassSnapshot>> {
        ask(&self.schema, AddFields { class: class.clone(), fields: fields.to_vec() }).await
    }

    async fn known(&self) -> Result<(u64, Arc<Vec<Arc<ClassSnapshot>>>)> {
        let listed = || self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let read = listed().read;
        if !self.freshness.covers_everything(read) {
            let number = self.freshness.number();
            ask(&self.schema, ReloadAll).await?;
            listed().read = self.freshness.stamp(number);
        }
        let version = self.names.version();
        {
            let listed = listed();
            if listed.version == Some(version) {
                return Ok((version, listed.classes.clone()));
            }
        }
        let mut classes = ask(&self.schema, Snapshots).await?;
        classes.sort_by(|a, b| a.name().cmp(b.name()));
        let classes = Arc::new(classes);
        let mut listed = listed();
        listed.version = Some(version);
        listed.classes = classes.clone();
        Ok((version, classes))
    }

    async fn list(&self) -> Result<Vec<Arc<ClassSnapshot>>> {
        let mut classes = ask(&self.schema, ReloadAll).await?;
        classes.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(classes)
    }

    async fn reload(&self, class: &ClassName) -> Result<Option<Arc<ClassSnapshot>>> {
        ask(&self.schema, Reload(class.clone())).await
    }

    async fn create(&self, schema: ClassSchema) -> Result<Arc<ClassSnapshot>> {
        ask(&self.schema, Create(schema)).await
    }

    async fn change(&self, class: &ClassName, mut change: SchemaChange) -> Result<Arc<ClassSnapshot>> {
        let indexes = change.indexes.take();
        if let Some(IndexChange { create, drop }) = indexes {
            if !change.is_empty() {
                ask(&self.schema, Change { class: class.clone(), change }).await?;
            }
            return self.change_indexes(class.clone(), create, drop).await;
        }
        ask(&self.schema, Change { class: class.clone(), change }).await
    }

    async fn delete(&self, class: &ClassName) -> Result<()> {
        ask(&self.schema, Delete(class.clone())).await
    }

    async fn refresh(&self, class: &ClassName) -> Result<()> {
        self.freshness.mark(class);
        let outcome = self.reload(class).await;
        if outcome.is_err() {
            self.freshness.changed(Some(class));
        }
        outcome.map(drop)
    }

    fn report(&self, page: &mut crate::metrics::Page) {
        let help = "Classes in use, each with an owner of its own.";
        page.count("parsimony_classes_in_use", help, &[], self.owners.count());
    }
}

impl ClassRegistry {
    /// A build takes as long as the table is large, and waits for every transaction that wrote to it:
    /// only the caller waits for that, and the build goes on when the caller goes away.
    async fn change_indexes(
        &self,
        class: ClassName,
        create: IndexMap,
        drop: Vec<String>,
    ) -> Result<Arc<ClassSnapshot>> {
        let (storage, schema, freshness) =
            (self.storage.clone(), self.schema.clone(), self.freshness.clone());
        let others = self.others.clone();
        let work = actix::spawn(async move {
            let outcome = storage.set_indexes(&class, &create, &drop).await;
            freshness.mark(&class);
            tell(others.as_ref(), &class);
            let read = ask(&schema, Reload(class.clone())).await;
            if read.is_err() {
                freshness.changed(Some(&class));
            }
            outcome.map_err(Error::from).and(read)
        });
        let read =
            work.await.map_err(|error| Error::internal(format!("an index build failed: {error}")))??;
        read.ok_or_else(|| Error::internal("the class was deleted meanwhile"))
    }
}

/// Builds what reads of the database found missing, one after another, as long as the registry is used.
async fn build_wished(registry: Weak<ClassRegistry>, mut wishes: Box<dyn IndexWishes>) {
    while let Some((class, indexes)) = wishes.next().await {
        let Some(registry) = registry.upgrade() else { return };
        let names = indexes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!(class = %class, "building {names} on {class}, which queries would use");
        let began = Instant::now();
        match registry.change_indexes(class.clone(), indexes, Vec::new()).await {
            Ok(_) => {
                let seconds = began.elapsed().as_secs_f32();
                tracing::info!(class = %class, "built {names} on {class} in {seconds:.1} s");
            }
            Err(error) => {
                tracing::warn!(class = %class, %error, "{names} on {class} cannot be built: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::Arbiter;
    use tokio::sync::oneshot;

    use super::*;
    use crate::actors::class::owner::End;
    use crate::error::ErrorCode;
    use crate::storage::memory::MemoryAdapter;
    use crate::types::FieldType;

    fn number() -> Field {
        Field::of(FieldType::Number)
    }

    fn game() -> ClassName {
        ClassName::known("Game")
    }

    async fn registry() -> (Arc<MemoryAdapter>, Arc<ClassRegistry>) {
        let storage = MemoryAdapter::new();
        let config = Arc::new(AppConfig::for_tests(serde_json::json!({})));
        let pubsub = Arc::new(crate::pubsub::local::LocalPubSub::default());
        let registry = ClassRegistry::start(storage.clone(), pubsub, config).await.expect("started");
        (storage, registry)
    }

    /// The generation that a request on this other worker is admitted with.
    async fn generation_on(worker: &Arbiter, registry: &Arc<ClassRegistry>) -> Option<u64> {
        let (registry, (reply, told)) = (registry.clone(), oneshot::channel());
        worker.spawn_fn(move || {
            actix::spawn(async move {
                let admitted = registry.admit(&game()).await.expect("admitted");
                let _ = reply.send(admitted.map(|class| class.generation));
            });
        });
        told.await.expect("told")
    }

    #[actix_web::test]
    async fn a_change_that_was_answered_is_seen_on_every_worker() {
        let (_, registry) = registry().await;
        let workers = [Arbiter::new(), Arbiter::new()];
        registry.create(ClassSchema::with_defaults(game())).await.expect("created");
        for round in 0..20 {
            let field = (FieldName::parse(&format!("f{round}")).expect("name"), number());
            let changed = registry.evolve(&game(), &[field]).await.expect("changed");
            for worker in &workers {
                assert_eq!(generation_on(worker, &registry).await, Some(changed.generation), "{round}");
            }
        }
        assert_eq!(registry.owners.open(&game()).owner, registry.owners.open(&game()).owner);
    }

    #[actix_web::test]
    async fn a_class_that_was_deleted_and_made_again_is_another_one_everywhere() {
        let (_, registry) = registry().await;
        let workers = [Arbiter::new(), Arbiter::new()];
        for _ in 0..5 {
            let made = registry.create(ClassSchema::with_defaults(game())).await.expect("created");
            for worker in &workers {
                assert_eq!(generation_on(worker, &registry).await, Some(made.generation));
            }
            registry.delete(&game()).await.expect("deleted");
            for worker in &workers {
                assert_eq!(generation_on(worker, &registry).await, None);
            }
        }
    }

    #[actix_web::test]
    async fn of_two_who_make_a_class_one_does() {
        let (_, registry) = registry().await;
        let make = || registry.create(ClassSchema::with_defaults(game()));
        let (one, other) = futures_util::future::join(make(), make()).await;
        assert_ne!(one.is_ok(), other.is_ok());
        assert!(one.and(other).err().is_some_and(|error| error.is(ErrorCode::INVALID_CLASS_NAME)));
    }

    #[actix_web::test]
    async fn several_apps_share_a_worker_and_nothing_else() {
        let ((_, one), (_, other)) = (registry().await, registry().await);
        one.create(ClassSchema::with_defaults(game())).await.expect("created");
        assert!(one.admit(&game()).await.expect("admitted").is_some());
        assert!(other.admit(&game()).await.expect("admitted").is_none());
    }

    #[actix_web::test]
    async fn a_marked_class_is_read_again_before_it_admits() {
        let (storage, registry) = registry().await;
        registry.create(ClassSchema::with_defaults(game())).await.expect("created");
        registry.admit(&game()).await.expect("admitted").expect("a class");
        // Another server adds a field, and tells.
        let name = FieldName::known("score");
        storage.add_fields(&game(), &[(name.clone(), number())]).await.expect("added");
        registry.freshness.mark(&game());
        let class = registry.admit(&game()).await.expect("admitted").expect("a class");
        assert!(class.schema.fields.contains_key(&name));
    }

    #[actix_web::test]
    async fn requests_start_another_owner_when_one_has_ended() {
        let (_, registry) = registry().await;
        registry.create(ClassSchema::with_defaults(game())).await.expect("created");
        registry.admit(&game()).await.expect("admitted").expect("a class");
        let ended = registry.owners.open(&game());
        ended.owner.send(End).await.expect("heard");
        while ended.owner.connected() {
            tokio::task::yield_now().await;
        }
        let class = registry.admit(&game()).await.expect("admitted");
        assert!(class.is_some() && !Arc::ptr_eq(&registry.owners.open(&game()), &ended));
    }
}
