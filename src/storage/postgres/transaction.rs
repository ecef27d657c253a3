//! An open transaction: one pooled connection, taken out of its lane until commit or rollback.
//!
//! # Cancel safety
//! Statements run in a spawned task, so a caller that goes away cannot leave one half-read. Dropped
//! without an end, the transaction is rolled back before the connection is anybody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedSemaphorePermit};

use crate::query::{FindHints, FindSpec, Pipeline};
use crate::storage::postgres::connection::error::{boxed, is_stale_plan};
use crate::storage::postgres::connection::held;
use crate::storage::postgres::connection::pooled::Pooled;
use crate::storage::postgres::own::{push, work};
use crate::storage::postgres::query::{roles, within};
use crate::storage::postgres::schema::ddl;
use crate::storage::postgres::schema::ddl::Change;
use crate::storage::postgres::write::atomic;
use crate::storage::postgres::write::atomic::Beside;
use crate::storage::postgres::write::{delete, insert, relations, update};
use crate::storage::postgres::{Core, Executor, command};
use crate::storage::push::{Delivery, Ending, NewPush, PushState, PushWriter, StoredPush};
use crate::storage::statements::Shape;
use crate::storage::{
    AggregateOptions, Changed, Enqueue, Lease, NewWork, Related, RelationQuery, Returning, Session,
    StorageError, StorageResult, Transaction, WriteFilter,
};
use crate::types::path::FieldPath;
use crate::types::time::Millis;
use crate::types::update::RelationChange;
use crate::types::{ClassName, ClassSchema, Field, FieldName, Object, ObjectId, RowSet, Update};

pub struct PgTransaction {
    state: Arc<Mutex<State>>,
    guarded: Arc<AtomicBool>,
    core: Arc<Core>,
}

struct State {
    /// `None` once it ended.
    conn: Option<Pooled>,
    /// Statements are set off by a savepoint.
    guarded: Arc<AtomicBool>,
    /// The savepoint exists.
    marked: AtomicBool,
    /// A plan that the connection kept was refused: it is not used again.
    stale: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

impl Drop for State {
    /// Without an end, as when the request went away: rolled back before anybody else gets the connection.
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            held::recover(conn);
        }
    }
}

impl State {
    /// Moves the one savepoint to where the transaction is now, in one round trip.
    async fn mark(&self, conn: &Pooled) -> StorageResult<()> {
        if !self.guarded.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.marked.swap(true, Ordering::Relaxed) {
            command(conn, "RELEASE SAVEPOINT statement; SAVEPOINT statement").await
        } else {
            command(conn, "SAVEPOINT statement").await
        }
    }

    /// The whole transaction may be tried again after a stale plan, on another connection.
    fn seen<T>(&self, outcome: StorageResult<T>) -> StorageResult<T> {
        match outcome {
            Err(error) if is_stale_plan(&error) => {
                self.stale.store(true, Ordering::Relaxed);
                Err(StorageError::Conflict(boxed(error.to_string())))
            }
            outcome => outcome,
        }
    }

    async fn go_back(&self, conn: &Pooled) {
        if self.guarded.load(Ordering::Relaxed)
            && let Err(error) = command(conn, "ROLLBACK TO SAVEPOINT statement").await
        {
            tracing::warn!(%error, "a transaction cannot go on after a refused statement");
        }
    }
}

fn ended() -> StorageError {
    StorageError::Other(boxed("the transaction has ended"))
}

/// Runs `$work` with `$db` on the transaction's connection, in a task of its own.
macro_rules! within {
    ($self:ident, |$db:ident| $work:expr) => {{
        let (state, core) = ($self.state.clone(), $self.core.clone());
        crate::storage::postgres::spawned(async move {
            let state = state.lock().await;
            let conn = state.conn.as_ref().ok_or_else(ended)?;
            state.mark(conn).await?;
            let $db = Executor { in_transaction: true, ..core.executor(conn) };
            let outcome: StorageResult<_> = async { $work }.await;
            if outcome.is_err() {
                state.go_back(conn).await;
            }
            state.seen(outcome)
        })
        .await
    }};
}

impl PgTransaction {
    /// Opens the transaction on `conn`.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke.
    pub async fn begin(core: Arc<Core>, conn: Pooled, permit: OwnedSemaphorePermit) -> StorageResult<Self> {
        conn.set_dirty(true);
        let guarded = Arc::new(AtomicBool::new(false));
        let state = State {
            conn: Some(conn),
            guarded: guarded.clone(),
            marked: false.into(),
            stale: false.into(),
            _permit: permit,
        };
        command(state.conn.as_ref().ok_or_else(ended)?, &core.begin).await?;
        Ok(Self { state: Arc::new(Mutex::new(state)), guarded, core })
    }

    async fn end(&self, how: &'static str) -> StorageResult<()> {
        let state = self.state.clone();
        crate::storage::postgres::spawned(async move {
            let mut state = state.lock().await;
            let conn = state.conn.take().ok_or_else(ended)?;
            // COMMIT of a failed transaction answers ROLLBACK without an error; see `commit`.
            command(&conn, how).await?;
            conn.set_dirty(state.stale.load(Ordering::Relaxed));
            Ok(())
        })
        .await
    }
}

/// The join tables first: a statement that misses one would end the transaction.
async fn write_inside(
    db: &Executor<'_>,
    class: &ClassName,
    beside: &Beside,
    related: &Related,
) -> StorageResult<Option<Changed>> {
    for change in &related.changes {
        let join = ClassName::join(&change.field, class);
        if !crate::storage::postgres::table_exists(db.conn, &join).await? {
            ddl::run_inside(db.conn, &Change::JoinTable(&join)).await?;
        }
    }
    atomic::write(db, class, beside, related).await
}

#[async_trait]
impl Transaction for PgTransaction {
    async fn commit(self: Box<Self>) -> StorageResult<()> {
        // Asks first whether the transaction is still good: a statement that failed inside leaves it
        // aborted, and PostgreSQL would answer COMMIT with a silent rollback.
        let good = within!(self, |db| db.execute(crate::storage::postgres::sql::Sql::new("SELECT 1")).await);
        if let Err(error) = good {
            self.end("ROLLBACK").await?;
            return Err(error);
        }
        self.end("COMMIT").await
    }

    async fn rollback(self: Box<Self>) -> StorageResult<()> {
        self.end("ROLLBACK").await
    }

    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        let (class, fields) = (class.clone(), fields.to_vec());
        within!(self, |db| {
            let stored = ddl::run_inside(db.conn, &Change::AddFields(&class, &fields)).await?;
            stored.ok_or_else(ended)
        })
    }

    fn survive_refusals(&self) -> bool {
        self.guarded.store(true, Ordering::Relaxed);
        true
    }

    fn work(&self) -> Option<&dyn Enqueue> {
        Some(self)
    }

    fn push_writer(&self) -> Option<&dyn PushWriter> {
        Some(self)
    }

    fn as_session(&self) -> &dyn Session {
        self
    }
}

#[async_trait]
impl Enqueue for PgTransaction {
    async fn enqueue(&self, app: &str, items: &[NewWork]) -> StorageResult<Vec<Option<i64>>> {
        let (app, items) = (app.to_owned(), items.to_vec());
        within!(self, |db| work::enqueue(&db, &app, &items).await)
    }
}

#[async_trait]
impl PushWriter for PgTransaction {
    async fn add_push(&self, app: &str, new: &NewPush, items: &[NewWork]) -> StorageResult<()> {
        let (app, new, items) = (app.to_owned(), new.clone(), items.to_vec());
        within!(self, |db| push::add(&db, &app, &new, &items).await)
    }

    async fn extend_push(
        &self,
        app: &str,
        id: &str,
        lease: &Lease,
        progress: &Value,
        next: &[NewWork],
    ) -> StorageResult<bool> {
        let (app, id, lease) = (app.to_owned(), id.to_owned(), lease.clone());
        let (progress, next) = (progress.clone(), next.to_vec());
        within!(self, |db| push::extend(&db, (&app, &id), &lease, &progress, &next).await)
    }

    async fn finish_push_item(
        &self,
        app: &str,
        id: &str,
        lease: &Lease,
        ending: &Ending,
    ) -> StorageResult<Option<bool>> {
        let (app, id, lease, ending) = (app.to_owned(), id.to_owned(), lease.clone(), ending.clone());
        within!(self, |db| push::finish(&db, (&app, &id), &lease, &ending).await)
    }

    async fn note_receipts(
        &self,
        app: &str,
        id: &str,
        lease: &Lease,
        refused: &[Delivery],
        keeps_log: bool,
    ) -> StorageResult<bool> {
        let (app, id, lease, refused) = (app.to_owned(), id.to_owned(), lease.clone(), refused.to_vec());
        within!(self, |db| push::note_receipts(&db, (&app, &id), &lease, &refused, keeps_log).await)
    }

    async fn set_push_state(
        &self,
        app: &str,
        id: &str,
        from: &[PushState],
        to: PushState,
    ) -> StorageResult<bool> {
        let (app, id, from) = (app.to_owned(), id.to_owned(), from.to_vec());
        within!(self, |db| push::set_state(&db, (&app, &id), &from, to).await)
    }

    async fn take_recurring(&self, app: &str) -> StorageResult<Option<StoredPush>> {
        let app = app.to_owned();
        within!(self, |db| push::take_recurring(&db, &app).await)
    }

    async fn set_due(&self, app: &str, id: &str, due_at: Option<Millis>) -> StorageResult<()> {
        let (app, id) = (app.to_owned(), id.to_owned());
        within!(self, |db| push::set_due(&db, (&app, &id), due_at).await)
    }
}

#[async_trait]
impl Session for PgTransaction {
    async fn find(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<RowSet> {
        let work = async {
            let (class, spec) = (class.clone(), spec.clone());
            within!(self, |db| within::find(&db, &class, &spec).await)
        };
        self.core.statements.watch(Shape::Find, class.name.as_str(), work).await
    }

    async fn find_by_ids(
        &self,
        class: &Arc<ClassSchema>,
        ids: &[String],
        readers: Option<&Arc<[String]>>,
        columns: Option<&[FieldName]>,
        _hints: &FindHints,
    ) -> StorageResult<RowSet> {
        let work = async {
            let (class, ids, readers) = (class.clone(), ids.to_vec(), readers.cloned());
            let columns = columns.map(<[FieldName]>::to_vec);
            within!(self, |db| {
                within::find_by_ids(&db, &class, &ids, readers.as_ref(), columns.as_deref()).await
            })
        };
        self.core.statements.watch(Shape::FindByIds, class.name.as_str(), work).await
    }

    async fn count(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<u64> {
        let work = async {
            let (class, spec) = (class.clone(), spec.clone());
            within!(self, |db| within::count(&db, &class, &spec).await)
        };
        self.core.statements.watch(Shape::Count, class.name.as_str(), work).await
    }

    async fn distinct(
        &self,
        class: &Arc<ClassSchema>,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        let work = async {
            let (class, path, spec) = (class.clone(), path.clone(), spec.clone());
            within!(self, |db| within::distinct(&db, &class, &path, &spec).await)
        };
        self.core.statements.watch(Shape::Distinct, class.name.as_str(), work).await
    }

    async fn aggregate(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &Pipeline,
        options: &AggregateOptions,
    ) -> StorageResult<Vec<Object>> {
        let work = async {
            let (class, pipeline, options) = (class.clone(), pipeline.clone(), options.clone());
            within!(self, |db| within::aggregate(&db, &class, &pipeline, &options).await)
        };
        self.core.statements.watch(Shape::Aggregate, class.name.as_str(), work).await
    }

    async fn explain(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<Value> {
        let work = async {
            let (class, spec) = (class.clone(), spec.clone());
            within!(self, |db| within::explain(&db, &class, &spec).await)
        };
        self.core.statements.watch(Shape::Explain, class.name.as_str(), work).await
    }

    async fn create(&self, class: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()> {
        let work = async {
            let (class, rows) = (class.clone(), rows.to_vec());
            within!(self, |db| insert::run(&db, &class, &rows).await)
        };
        self.core.statements.watch(Shape::Insert, class.name.as_str(), work).await
    }

    async fn update(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
    ) -> StorageResult<Changed> {
        let work = async {
            let (class, target, update) = (class.clone(), target.clone(), update.clone());
            within!(self, |db| update::run(&db, &class, &target, &update, returning).await)
        };
        self.core.statements.watch(Shape::Update, class.name.as_str(), work).await
    }

    async fn delete(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        returning_before: bool,
    ) -> StorageResult<Changed> {
        let work = async {
            let (class, target) = (class.clone(), target.clone());
            within!(self, |db| delete::run(&db, &class, &target, returning_before).await)
        };
        self.core.statements.watch(Shape::Delete, class.name.as_str(), work).await
    }

    async fn change_relations(
        &self,
        class: &ClassName,
        owner: &ObjectId,
        changes: &[RelationChange],
    ) -> StorageResult<()> {
        let work = async {
            let (class, related) =
                (class.clone(), Related { owner: owner.clone(), changes: changes.to_vec() });
            within!(self, |db| write_inside(&db, &class, &Beside::Nothing, &related).await.map(drop))
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
            let (beside, related) = (Beside::Row(class.clone(), row.clone()), related.clone());
            let class = class.clone();
            within!(self, |db| write_inside(&db, &class.name, &beside, &related).await.map(drop))
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
            let beside = Beside::Update(class.clone(), target.clone(), update.clone(), returning);
            let (class, related) = (class.clone(), related.clone());
            within!(self, |db| write_inside(&db, &class.name, &beside, &related).await?.ok_or_else(ended))
        };
        self.core.statements.watch(Shape::Update, class.name.as_str(), work).await
    }

    async fn relation_ids(&self, query: &RelationQuery) -> StorageResult<Vec<String>> {
        let work = async {
            let query = query.clone();
            within!(self, |db| {
                // A failed statement would abort the whole transaction, so look first.
                if crate::storage::postgres::table_exists(
                    db.conn,
                    &ClassName::join(&query.field, &query.class),
                )
                .await?
                {
                    relations::read_ids(db.load(relations::ids_statement(&query)).await)
                } else {
                    Ok(Vec::new())
                }
            })
        };
        self.core.statements.watch(Shape::RelationIds, query.class.as_str(), work).await
    }

    async fn roles_of_user(&self, user_id: &str) -> StorageResult<Vec<String>> {
        let work = async {
            let Some(inherited) = roles::statement(user_id) else { return Ok(Vec::new()) };
            let direct = roles::direct_statement(user_id);
            within!(self, |db| {
                if !crate::storage::postgres::table_exists(db.conn, &ClassName::known("_Join:users:_Role"))
                    .await?
                {
                    return Ok(Vec::new());
                }
                let nested =
                    crate::storage::postgres::table_exists(db.conn, &ClassName::known("_Join:roles:_Role"))
                        .await?;
                roles::read(db.load(if nested { inherited } else { direct }).await)
            })
        };
        self.core.statements.watch(Shape::Roles, "_Role", work).await
    }
}
