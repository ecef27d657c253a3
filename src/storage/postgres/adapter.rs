//! The storage traits on [`PostgresAdapter`]: which lane each call takes. Writes run in tasks of their
//! own, so that a request that goes away cannot cut one half-way.

use std::pin::pin;
pub(crate) use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::pubsub::{Notice, PubSub};
use crate::query::{FindHints, FindSpec, Pipeline};
use crate::storage::postgres::connection::error::{is_connection_lost, is_missing_table, is_stale_plan};
use crate::storage::postgres::connection::listen;
use crate::storage::postgres::connection::pooled::PgConn;
use crate::storage::postgres::connection::writers::Writer;
use crate::storage::postgres::query::{length, roles};
use crate::storage::postgres::schema::ddl;
use crate::storage::postgres::schema::ddl::Change;
use crate::storage::postgres::schema::{builds, concurrently, indexes, init, preview, table as schema_table};
use crate::storage::postgres::transaction::PgTransaction;
use crate::storage::postgres::write::atomic::Beside;
use crate::storage::postgres::write::{delete, insert, relations, update};
use crate::storage::postgres::{Core, Executor, PostgresAdapter, spawned, stored};
use crate::storage::preview::{Planned, Statement};
use crate::storage::push::PushLedger;
use crate::storage::statements::Shape;
use crate::storage::{
    AggregateOptions, Changed, FileStoreProvider, IndexMap, IndexWishes, Related, RelationQuery, Returning,
    See, Session, StartupIndexes, StorageAdapter, StorageError, StorageResult, Transaction, WorkQueue,
    WriteFilter,
};
use crate::types::path::FieldPath;
use crate::types::update::RelationChange;
use crate::types::{ClassName, ClassSchema, Field, FieldName, Layout, Object, ObjectId, RowSet, Update};

/// Tries of a write whose plan went stale while the schema was being changed.
const TRIES: u32 = 4;

/// Runs `$work`, one autocommitted statement, with an executor `$db`, on a connection that other writes
/// may share. What was sent happens whether or not the caller stays, so no task is needed.
macro_rules! write_one {
    ($self:ident, |$db:ident| $work:expr) => {{
        let core = &*$self.core;
        let mut tries = 1;
        loop {
            let mut writer = $self.writer().await?;
            let outcome = {
                let $db = Executor { fresh: tries > 1, ..core.executor(&writer) };
                $work
            };
            writer.answered();
            let stale = outcome.as_ref().is_err_and(is_stale_plan);
            if stale || outcome.as_ref().is_err_and(is_connection_lost) {
                // With stale plans, what it prepared is the problem: the connection goes with it.
                writer.retire();
            }
            if !stale || tries >= TRIES {
                break outcome;
            }
            tries += 1;
        }
    }};
}

/// Runs `$work` with an executor `$db` on a pooled connection, in a task of its own. Never repeated
/// once it may have happened; a plan that went stale is refused before anything is done.
macro_rules! write {
    ($self:ident, |$db:ident| $work:expr) => {{
        let core = $self.core.clone();
        spawned(async move {
            let mut tries = 1;
            loop {
                let conn = core.lanes.get().await?;
                let outcome = {
                    let $db = Executor { fresh: tries > 1, ..core.executor(&conn) };
                    $work
                };
                let stale = outcome.as_ref().is_err_and(is_stale_plan);
                if stale {
                    // What it prepared is the problem: the connection goes with it.
                    conn.set_dirty(true);
                }
                if !stale || tries >= TRIES {
                    break outcome;
                }
                tries += 1;
            }
        })
        .await
    }};
}

impl PostgresAdapter {
    async fn writer(&self) -> StorageResult<Writer> {
        let lanes = &self.core.lanes;
        match self.independent {
            Some(_) => lanes.writer().await,
            None => Ok(Writer::alone(lanes.get().await?)),
        }
    }
}

impl Core {
    pub(super) fn executor<'a>(&'a self, conn: &'a PgConn) -> Executor<'a> {
        Executor {
            conn,
            shapes: &self.shapes,
            templates: &self.templates,
            prepared_statements: self.prepared_statements,
            in_transaction: false,
            fresh: false,
            begin: &self.begin,
        }
    }

    /// Whether the statement touches one object, so that it is whole or not at all without a task.
    fn is_one_object(&self, target: &WriteFilter) -> bool {
        self.prepared_statements && length::is_by_id(&target.filter)
    }

    pub(super) async fn change_schema(&self, change: Change<'_>) -> StorageResult<Option<ClassSchema>> {
        let notice = Notice::Schema { class: Some(change.class().clone()) };
        let notice = listen::statement(&self.pubsub.notifications(&notice));
        let notice = notice.filter(|_| change.is_of_schema());
        let work = ddl::run(&self.control, &change, notice.as_ref());
        self.statements.watch(Shape::Schema, "_SCHEMA", work).await
    }
}

/// What an update or delete of a class without a table comes to.
fn nothing_changed(class: &ClassSchema, returning: Returning) -> Changed {
    let empty = |wanted: bool| wanted.then(|| RowSet::new(Arc::new(Layout::of(class))));
    Changed { count: 0, before: empty(returning.before), after: empty(returning.after), stamp: 0 }
}

#[async_trait]
impl Session for PostgresAdapter {
    async fn find(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<RowSet> {
        let work = pin!(async { self.core.find(class, spec).await });
        self.core.statements.watch(Shape::Find, class.name.as_str(), work).await
    }

    async fn find_by_ids(
        &self,
        class: &Arc<ClassSchema>,
        ids: &[String],
        readers: Option<&Arc<[String]>>,
        columns: Option<&[FieldName]>,
        hints: &FindHints,
    ) -> StorageResult<RowSet> {
        let work = pin!(async { self.core.find_by_ids(class, ids, readers, columns, hints).await });
        self.core.statements.watch(Shape::FindByIds, class.name.as_str(), work).await
    }

    async fn count(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<u64> {
        let work = pin!(async { self.core.count(class, spec).await });
        self.core.statements.watch(Shape::Count, class.name.as_str(), work).await
    }

    async fn distinct(
        &self,
        class: &Arc<ClassSchema>,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        let work = async { self.core.distinct(class, path, spec).await };
        self.core.statements.watch(Shape::Distinct, class.name.as_str(), work).await
    }

    async fn aggregate(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &Pipeline,
        options: &AggregateOptions,
    ) -> StorageResult<Vec<Object>> {
        let work = async { self.core.aggregate(class, pipeline, options).await };
        self.core.statements.watch(Shape::Aggregate, class.name.as_str(), work).await
    }

    async fn explain(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<Value> {
        let work = async { self.core.explain(class, spec).await };
        self.core.statements.watch(Shape::Explain, class.name.as_str(), work).await
    }

    async fn create(&self, class: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()> {
        let work = pin!(async {
            if self.core.prepared_statements
                && let [_] = rows
            {
                return write_one!(self, |db| insert::run(&db, class, rows).await);
            }
            let mut statements = insert::statements(class, rows)?;
            write!(self, |db| insert::many(&db, &mut statements).await)
        });
        self.core.statements.watch(Shape::Insert, class.name.as_str(), work).await
    }

    async fn update(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
    ) -> StorageResult<Changed> {
        let work = pin!(async {
            let outcome = if self.core.is_one_object(target) {
                write_one!(self, |db| update::run(&db, class, target, update, returning).await)
            } else {
                let (schema, target, update) = (class.clone(), target.clone(), update.clone());
                write!(self, |db| update::run(&db, &schema, &target, &update, returning).await)
            };
            match outcome {
                Err(error) if is_missing_table(&error) => Ok(nothing_changed(class, returning)),
                outcome => outcome,
            }
        });
        self.core.statements.watch(Shape::Update, class.name.as_str(), work).await
    }

    async fn delete(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        returning_before: bool,
    ) -> StorageResult<Changed> {
        let work = pin!(async {
            let outcome = if self.core.is_one_object(target) {
                write_one!(self, |db| delete::run(&db, class, target, returning_before).await)
            } else {
                let (schema, target) = (class.clone(), target.clone());
                write!(self, |db| delete::run(&db, &schema, &target, returning_before).await)
            };
            match outcome {
                Err(error) if is_missing_table(&error) => {
                    Ok(nothing_changed(class, Returning { before: returning_before, ..Returning::default() }))
                }
                outcome => outcome,
            }
        });
        self.core.statements.watch(Shape::Delete, class.name.as_str(), work).await
    }

    async fn change_relations(
        &self,
        class: &ClassName,
        owner: &ObjectId,
        changes: &[RelationChange],
    ) -> StorageResult<()> {
        let work = async {
            let (core, class) = (self.core.clone(), class.clone());
            let related = Related { owner: owner.clone(), changes: changes.to_vec() };
            spawned(async move { core.write_related(&class, &Beside::Nothing, &related).await.map(drop) })
                .await
        };
        self.core.statements.watch(Shape::Relations, class.as_str(), work).await
    }

    async fn create_related(
        &self,
        class: &Arc<ClassSchema>,
        row: &Object,
        related: &Related,
    ) -> StorageResult<()> {
        let work = async {
            let (core, related) = (self.core.clone(), related.clone());
            let (class, beside) = (class.name.clone(), Beside::Row(class.clone(), row.clone()));
            spawned(async move { core.write_related(&class, &beside, &related).await.map(drop) }).await
        };
        self.core.statements.watch(Shape::Insert, class.name.as_str(), work).await
    }

    async fn update_related(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
        related: &Related,
    ) -> StorageResult<Changed> {
        let work = async {
            let (core, related, schema) = (self.core.clone(), related.clone(), class.clone());
            let beside = Beside::Update(class.clone(), target.clone(), update.clone(), returning);
            let outcome =
                spawned(async move { core.write_related(&schema.name, &beside, &related).await }).await;
            match outcome {
                Err(error) if is_missing_table(&error) => Ok(nothing_changed(class, returning)),
                outcome => Ok(outcome?.unwrap_or_else(|| nothing_changed(class, returning))),
            }
        };
        self.core.statements.watch(Shape::Update, class.name.as_str(), work).await
    }

    async fn relation_ids(&self, query: &RelationQuery) -> StorageResult<Vec<String>> {
        let work = async {
            let ids = self.core.load(relations::ids_statement(query), false).await;
            relations::read_ids(ids)
        };
        self.core.statements.watch(Shape::RelationIds, query.class.as_str(), work).await
    }

    async fn roles_of_user(&self, user_id: &str) -> StorageResult<Vec<String>> {
        let work = async {
            let Some(sql) = roles::statement(user_id) else { return Ok(Vec::new()) };
            match self.core.load(sql, true).await {
                Err(error) if is_missing_table(&error) => {
                    roles::read(self.core.load(roles::direct_statement(user_id), true).await)
                }
                rows => roles::read(rows),
            }
        };
        self.core.statements.watch(Shape::Roles, "_Role", work).await
    }
}

#[async_trait]
impl StorageAdapter for PostgresAdapter {
    async fn initialize(&self) -> StorageResult<()> {
        let core = self.core.clone();
        spawned(async move { init::run(&core.control).await }).await
    }

    async fn ensure_small_indexes(
        &self,
        options: &StartupIndexes,
        providers: &[String],
    ) -> StorageResult<()> {
        let (core, options, providers) = (self.core.clone(), *options, providers.to_vec());
        spawned(async move { indexes::ensure_small(&core.control, &options, &providers).await }).await
    }

    async fn ensure_indexes(&self, options: &StartupIndexes, providers: &[String]) -> StorageResult<()> {
        let (core, options, providers) = (self.core.clone(), *options, providers.to_vec());
        spawned(async move { indexes::ensure(core.control.connector(), &options, &providers).await }).await
    }

    async fn load_schemas(&self) -> StorageResult<Vec<ClassSchema>> {
        let rows = self.core.load(schema_table::select_all(), false).await.map_err(not_of_a_class)?;
        Ok(schema_table::read_all(&rows))
    }

    async fn load_schema(&self, class: &ClassName) -> StorageResult<Option<ClassSchema>> {
        let rows = self.core.load(schema_table::select_one(class), true).await.map_err(not_of_a_class)?;
        Ok(schema_table::read_all(&rows).pop())
    }

    async fn create_class(&self, schema: &ClassSchema) -> StorageResult<ClassSchema> {
        let (core, schema) = (self.core.clone(), schema.clone());
        spawned(async move {
            let answer = core.change_schema(Change::Create(&schema)).await?;
            stored(answer, &schema.name)
        })
        .await
    }

    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        let (core, class, fields) = (self.core.clone(), class.clone(), fields.to_vec());
        spawned(async move { stored(core.change_schema(Change::AddFields(&class, &fields)).await?, &class) })
            .await
    }

    async fn set_field_options(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        let (core, class, fields) = (self.core.clone(), class.clone(), fields.to_vec());
        spawned(async move {
            stored(core.change_schema(Change::SetFieldOptions(&class, &fields)).await?, &class)
        })
        .await
    }

    async fn delete_fields(&self, class: &ClassName, fields: &[FieldName]) -> StorageResult<ClassSchema> {
        let (core, class, fields) = (self.core.clone(), class.clone(), fields.to_vec());
        spawned(
            async move { stored(core.change_schema(Change::DeleteFields(&class, &fields)).await?, &class) },
        )
        .await
    }

    async fn set_permissions(
        &self,
        class: &ClassName,
        clp: &Map<String, Value>,
    ) -> StorageResult<ClassSchema> {
        let (core, class, clp) = (self.core.clone(), class.clone(), clp.clone());
        spawned(
            async move { stored(core.change_schema(Change::SetPermissions(&class, &clp)).await?, &class) },
        )
        .await
    }

    async fn set_indexes(
        &self,
        class: &ClassName,
        create: &IndexMap,
        drop: &[String],
    ) -> StorageResult<ClassSchema> {
        let (core, class) = (self.core.clone(), class.clone());
        let (create, drop) = (create.clone(), drop.to_vec());
        spawned(async move {
            let _turn = core.builds.turn(&class).await;
            builds::change(core.control.connector(), &class, &create, &drop).await?;
            stored(core.change_schema(Change::NoteIndexes(&class, &create, &drop)).await?, &class)
        })
        .await
    }

    async fn migration_turn(&self) -> StorageResult<Option<Box<dyn std::any::Any + Send>>> {
        let core = self.core.clone();
        spawned(async move {
            let held = concurrently::turn(core.control.connector(), concurrently::MIGRATION_LOCK).await?;
            Ok(Some(Box::new(held) as _))
        })
        .await
    }

    fn preview(&self, planned: Planned<'_>) -> Vec<Statement> {
        preview::statements(planned)
    }

    fn index_wishes(&self) -> Option<Box<dyn IndexWishes>> {
        self.core.wishes.as_ref()?.take(&self.core.control)
    }

    async fn delete_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        let (core, schema) = (self.core.clone(), schema.clone());
        spawned(async move { core.change_schema(Change::Delete(&schema)).await.map(|_| ()) }).await
    }

    async fn purge_class(&self, schema: &ClassSchema) -> StorageResult<()> {
        let (core, schema) = (self.core.clone(), schema.clone());
        spawned(async move { core.change_schema(Change::Purge(&schema)).await.map(|_| ()) }).await
    }

    async fn begin(&self) -> StorageResult<Box<dyn Transaction>> {
        let (conn, permit) = self.core.lanes.get_for_transaction().await?;
        Ok(Box::new(PgTransaction::begin(self.core.clone(), conn, permit).await?))
    }

    async fn session_with_user(
        &self,
        sessions: &Arc<ClassSchema>,
        users: &Arc<ClassSchema>,
        token: &str,
    ) -> StorageResult<Option<(Object, Object)>> {
        let work = self.core.session_with_user(sessions, users, token);
        self.core.statements.watch(Shape::Session, "_Session", work).await
    }

    fn report(&self, page: &mut crate::metrics::Page) {
        self.core.report(page);
    }

    fn pubsub(&self) -> Option<Arc<dyn PubSub>> {
        Some(self.core.pubsub.clone())
    }

    async fn visit_texts(&self, see: See<'_>) -> StorageResult<()> {
        self.core.visit_texts(see).await
    }

    fn register_thread(&self) {
        self.core.lanes.register_thread();
        for replica in &self.core.replicas {
            replica.lanes.register_thread();
        }
    }

    fn file_stores(&self) -> Option<&dyn FileStoreProvider> {
        Some(self)
    }

    fn work_queue(&self) -> Option<&dyn WorkQueue> {
        Some(self)
    }

    fn push_ledger(&self) -> Option<&dyn PushLedger> {
        Some(self)
    }

    fn live_log(&self) -> Option<&dyn crate::storage::live_log::LiveLog> {
        Some(self)
    }

    fn as_session(&self) -> &dyn Session {
        self
    }

    fn independent(&self) -> &dyn Session {
        self.independent.as_deref().unwrap_or(self)
    }

    async fn ping(&self) -> StorageResult<()> {
        self.core.load(super::Sql::new("SELECT 1"), true).await.map(|_| ())
    }

    async fn import(&self, class: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()> {
        let copied = self.core.copier.copy(self.core.control.connector(), class, rows);
        let copied = self.core.statements.watch(Shape::Insert, class.name.as_str(), copied).await?;
        // The same as a statement says what was wrong.
        if copied { Ok(()) } else { self.create(class, rows).await }
    }

    async fn close(&self) {
        self.core.pubsub.close();
        self.core.lanes.close().await;
        for replica in &self.core.replicas {
            replica.lanes.close().await;
        }
        self.core.control.close().await;
    }
}

/// `_SCHEMA` is no class: when it does not answer, that is the server's fault and not the request's.
fn not_of_a_class(error: StorageError) -> StorageError {
    match error {
        StorageError::StaleSchema(source) => StorageError::Other(source),
        other => other,
    }
}
