//! [`WorkQueue`] on table `parsimony.work`. Each step is one statement that says what it expects, so that it
//! does nothing where somebody else was first; claims pass over rows that others are claiming (SKIP LOCKED).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::data_types::PgInterval;
use diesel::dsl::{array, case_when, min, now};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use serde_json::{Value, json};

use crate::storage::postgres::connection::error::boxed;
use crate::storage::postgres::own::dsl::{or, time_from_now};
use crate::storage::postgres::own::schema::parsimony::work;
use crate::storage::postgres::{Executor, PostgresAdapter};
use crate::storage::work::shares;
use crate::storage::{
    Claimed, Enqueue, Lease, Mark, NewWork, Retry, StorageError, StorageResult, Wanted, WorkItem, WorkQueue,
    WorkState,
};
use crate::types::time::Millis;

/// Items of one INSERT: each value is a bind, of which a statement has 65,535 at most.
const INSERTED_AT_ONCE: usize = 1000;
const WAITING: &str = WorkState::Waiting.as_str();
const RUNNING: &str = WorkState::Running.as_str();
const FAILED: &str = WorkState::Failed.as_str();
const OVER: [&str; 3] = [WorkState::Done.as_str(), WorkState::Failed.as_str(), WorkState::Cancelled.as_str()];
/// The key that notes when a queue's marks were first asked for.
const FIRST: &str = "";

/// Runs `$work` with an executor `$db` on a pooled connection.
macro_rules! on_pool {
    ($self:ident, |$db:ident| $work:expr) => {{
        let conn = $self.core.lanes.get().await?;
        let $db = $self.core.executor(&conn);
        $work.await
    }};
}

/// The item while the lease holds.
macro_rules! held {
    ($lease:expr) => {
        work::table.filter(
            work::id
                .eq($lease.id)
                .and(work::holder.eq(&*$lease.holder))
                .and(work::attempts.eq($lease.attempt))
                .and(work::state.eq(RUNNING)),
        )
    };
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = work)]
struct Row {
    id: i64,
    queue: String,
    key: Option<String>,
    state: String,
    priority: i32,
    run_at: DateTime<Utc>,
    attempts: i32,
    backoff_ms: Option<i64>,
    payload: Value,
    progress: Option<Value>,
    outcome: Option<Value>,
}

impl Row {
    fn item(self) -> StorageResult<WorkItem> {
        let unknown = || StorageError::Other(boxed(format!("unknown state {} of work", self.state)));
        Ok(WorkItem {
            id: self.id,
            state: WorkState::read(&self.state).ok_or_else(unknown)?,
            queue: self.queue,
            key: self.key,
            run_at: Millis(self.run_at.timestamp_millis()),
            attempts: self.attempts,
            payload: self.payload,
            progress: self.progress,
            outcome: self.outcome,
        })
    }

    fn claimed(self, holder: &Arc<str>) -> StorageResult<Claimed> {
        let pause = self.backoff_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
        let lease = Lease { id: self.id, holder: holder.clone(), attempt: self.attempts, pause };
        Ok(Claimed { lease, item: self.item()? })
    }
}

pub(super) fn instant(at: Millis) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn interval(length: Duration) -> PgInterval {
    PgInterval::from_microseconds(i64::try_from(length.as_micros()).unwrap_or(i64::MAX))
}

/// Of a length in Rust, as a bind.
fn bigint(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// Writes items down on the executor's connection, within its transaction if it has one.
///
/// # Errors
/// Database errors.
pub async fn enqueue(db: &Executor<'_>, app: &str, items: &[NewWork]) -> StorageResult<Vec<Option<i64>>> {
    let mut ids = Vec::with_capacity(items.len());
    for items in items.chunks(INSERTED_AT_ONCE) {
        let row = |item: &NewWork| {
            let (deadline, pause) = match item.retry {
                Retry::Never => (None, None),
                Retry::Until { deadline, pause } => (Some(instant(deadline)), Some(bigint(pause))),
            };
            let begun = item.begun.as_ref();
            (
                work::app.eq(app.to_owned()),
                work::queue.eq(item.queue.clone()),
                work::key.eq(item.key.clone()),
                work::state.eq(if begun.is_some() { RUNNING } else { WAITING }),
                work::priority.eq(item.priority),
                work::run_at.eq(or(
                    item.run_at.map(instant),
                    time_from_now(interval(item.after.unwrap_or_default())),
                )),
                work::deadline.eq(deadline),
                work::attempts.eq(i32::from(begun.is_some())),
                work::backoff_ms.eq(pause),
                (
                    work::holder.eq(begun.map(|begun| begun.holder.to_string())),
                    begun.map(|begun| work::lease_until.eq(time_from_now(interval(begun.lease)).nullable())),
                    work::payload.eq(item.payload.clone()),
                    work::progress.eq(begun.map(|begun| begun.progress.clone())),
                ),
            )
        };
        let writing = diesel::insert_into(work::table)
            .values(items.iter().map(row).collect::<Vec<_>>())
            .on_conflict_do_nothing()
            .returning((work::id, work::queue, work::key));
        let rows: Vec<(i64, String, Option<String>)> = db.rows(writing).await?;
        // In the order of the items, but for those that were left out.
        let mut rows = rows.into_iter().peekable();
        for item in items {
            let made = rows.next_if(|(_, queue, key)| *queue == item.queue && *key == item.key);
            ids.push(made.map(|(id, ..)| id));
        }
    }
    Ok(ids)
}

/// The item is done; `false`: the lease is lost. For what belongs to a transaction.
///
/// # Errors
/// Database errors.
pub(super) async fn complete_within(db: &Executor<'_>, lease: &Lease) -> StorageResult<bool> {
    let done = diesel::update(held!(lease)).set((
        work::state.eq(WorkState::Done.as_str()),
        work::lease_until.eq(None::<DateTime<Utc>>),
        work::changed_at.eq(now),
    ));
    Ok(db.run(done).await? == 1)
}

/// Notes how far the holder is; `false`: the lease is lost. For what belongs to a transaction.
///
/// # Errors
/// Database errors.
pub(super) async fn note_within(db: &Executor<'_>, lease: &Lease, progress: &Value) -> StorageResult<bool> {
    let noting = diesel::update(held!(lease)).set((work::progress.eq(progress), work::changed_at.eq(now)));
    Ok(db.run(noting).await? == 1)
}

#[async_trait]
impl Enqueue for PostgresAdapter {
    async fn enqueue(&self, app: &str, items: &[NewWork]) -> StorageResult<Vec<Option<i64>>> {
        on_pool!(self, |db| enqueue(&db, app, items))
    }
}

/// Takes up to `most` items of one queue.
async fn take(db: &Executor<'_>, wanted: &Wanted<'_>, queue: &str, most: usize) -> StorageResult<Vec<Row>> {
    let of_keys = wanted.keys.unwrap_or_default();
    let due = diesel::alias!(work as due);
    let (deadline, key) = (due.field(work::deadline), due.field(work::key));
    let found = due
        .filter(due.field(work::app).eq(wanted.app).and(due.field(work::queue).eq(queue)))
        .filter(due.field(work::state).eq(WAITING))
        // What was to be done at once is due whatever the clock says meanwhile.
        .filter(due.field(work::run_at).le(now).or(due.field(work::run_at).le(due.field(work::changed_at))))
        .filter(deadline.is_null().or(deadline.gt(now)))
        .filter(wanted.keys.is_none().into_sql::<Bool>().or(key.eq_any(of_keys)))
        .order((due.field(work::priority).desc(), due.field(work::run_at), due.field(work::id)))
        .limit(i64::try_from(most).unwrap_or(i64::MAX))
        .select(due.field(work::id))
        .for_update()
        .skip_locked();
    // As an array the selection is made once, whatever plan the update gets.
    let taking = diesel::update(work::table.filter(work::id.eq_any(array(found))))
        .set((
            work::state.eq(RUNNING),
            work::holder.eq(&**wanted.holder),
            work::lease_until.eq(time_from_now(interval(wanted.lease)).nullable()),
            work::attempts.eq(work::attempts + 1),
            work::changed_at.eq(now),
        ))
        .returning(Row::as_returning());
    let mut rows: Vec<Row> = db.rows(taking).await?;
    rows.sort_by_key(|row| (std::cmp::Reverse(row.priority), row.run_at, row.id));
    Ok(rows)
}

/// Sets waiting again what a holder that died may not have begun, or what may be repeated.
async fn take_back(db: &Executor<'_>, wanted: &Wanted<'_>) -> StorageResult<()> {
    let left = work::table
        .filter(work::app.eq(wanted.app).and(work::queue.eq_any(wanted.queues)).and(work::state.eq(RUNNING)))
        .filter(work::lease_until.lt(now).and(work::deadline.is_null().or(work::deadline.gt(now))))
        .filter(work::backoff_ms.is_not_null().or(work::progress.is_null()));
    let taking = diesel::update(left).set((work::state.eq(WAITING), work::changed_at.eq(now)));
    db.run(taking).await.map(drop)
}

/// Whose share is served first, from claim to claim.
static TURN: AtomicUsize = AtomicUsize::new(0);

#[async_trait]
impl WorkQueue for PostgresAdapter {
    async fn claim(&self, wanted: &Wanted<'_>) -> StorageResult<Vec<Claimed>> {
        let conn = self.core.lanes.get().await?;
        let db = self.core.executor(&conn);
        take_back(&db, wanted).await?;
        let mut rows = Vec::new();
        let mut queues = wanted.queues.to_vec();
        // What one queue has no use for goes to the others.
        while rows.len() < wanted.most && !queues.is_empty() {
            let mut left = Vec::new();
            let turn = TURN.fetch_add(1, Ordering::Relaxed);
            for (queue, share) in shares(&queues, wanted.most - rows.len(), turn) {
                let taken = take(&db, wanted, queue, share).await?;
                if taken.len() == share {
                    left.push(queue);
                }
                rows.extend(taken);
            }
            queues = left;
        }
        rows.into_iter().map(|row| row.claimed(wanted.holder)).collect()
    }

    async fn renew(&self, app: &str, holder: &str, ids: &[i64], lease: Duration) -> StorageResult<Vec<i64>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let own =
            work::table.filter(work::app.eq(app).and(work::state.eq(RUNNING)).and(work::holder.eq(holder)));
        let own = own.filter(work::id.eq_any(ids));
        let renewing = diesel::update(own)
            .set(work::lease_until.eq(time_from_now(interval(lease)).nullable()))
            .returning(work::id);
        on_pool!(self, |db| db.rows(renewing))
    }

    async fn begin(&self, lease: &Lease, progress: &Value, length: Duration) -> StorageResult<bool> {
        let beginning = diesel::update(held!(lease)).set((
            work::progress.eq(progress),
            work::lease_until.eq(time_from_now(interval(length)).nullable()),
            work::changed_at.eq(now),
        ));
        Ok(on_pool!(self, |db| db.run(beginning))? == 1)
    }

    async fn complete(&self, leases: &[Lease], result: Option<&Value>) -> StorageResult<usize> {
        let Some(first) = leases.first() else { return Ok(0) };
        let done = (
            work::state.eq(WorkState::Done.as_str()),
            work::outcome.eq(result),
            work::lease_until.eq(None::<DateTime<Utc>>),
            work::changed_at.eq(now),
        );
        let alike = leases.iter().all(|l| l.holder == first.holder && l.attempt == first.attempt);
        if alike {
            let ids: Vec<i64> = leases.iter().map(|lease| lease.id).collect();
            let own = work::table.filter(
                work::id
                    .eq_any(ids)
                    .and(work::holder.eq(&*first.holder))
                    .and(work::attempts.eq(first.attempt))
                    .and(work::state.eq(RUNNING)),
            );
            return on_pool!(self, |db| db.run(diesel::update(own).set(done)));
        }
        let mut count = 0;
        for lease in leases {
            count += on_pool!(self, |db| db.run(diesel::update(held!(lease)).set(done)))?;
        }
        Ok(count)
    }

    async fn fail(&self, lease: &Lease, reason: &Value) -> StorageResult<Option<Millis>> {
        let Some(pause) = lease.next_pause() else {
            let over = diesel::update(held!(lease)).set((
                work::state.eq(FAILED),
                work::outcome.eq(reason),
                work::lease_until.eq(None::<DateTime<Utc>>),
                work::changed_at.eq(now),
            ));
            return on_pool!(self, |db| db.run(over)).map(|_| None);
        };
        let next = || time_from_now(interval(pause));
        let too_late = || work::deadline.lt(next().nullable());
        let failing = diesel::update(held!(lease))
            .set((
                work::state
                    .eq(case_when(too_late(), FAILED.into_sql::<Text>())
                        .otherwise(WAITING.into_sql::<Text>())),
                work::run_at.eq(next()),
                work::outcome.eq(reason),
                work::lease_until.eq(None::<DateTime<Utc>>),
                work::changed_at.eq(now),
            ))
            .returning((work::state, work::run_at));
        let row: Option<(String, DateTime<Utc>)> = on_pool!(self, |db| db.row(failing))?;
        Ok(row.filter(|(state, _)| state == WAITING).map(|(_, at)| Millis(at.timestamp_millis())))
    }

    async fn release(&self, lease: &Lease) -> StorageResult<bool> {
        let releasing = diesel::update(held!(lease)).set((
            work::state.eq(WAITING),
            work::attempts.eq(work::attempts - 1),
            work::lease_until.eq(None::<DateTime<Utc>>),
            work::changed_at.eq(now),
        ));
        Ok(on_pool!(self, |db| db.run(releasing))? == 1)
    }

    async fn cancel(&self, app: &str, queue: &str, keys: Option<&[String]>) -> StorageResult<usize> {
        let open = work::table
            .filter(work::app.eq(app).and(work::queue.eq(queue)))
            .filter(work::state.eq(WAITING).or(work::state.eq(RUNNING)))
            .filter(keys.is_none().into_sql::<Bool>().or(work::key.eq_any(keys.unwrap_or_default())));
        let cancelling = diesel::update(open).set((
            work::state.eq(WorkState::Cancelled.as_str()),
            work::lease_until.eq(None::<DateTime<Utc>>),
            work::changed_at.eq(now),
        ));
        on_pool!(self, |db| db.run(cancelling))
    }

    async fn lost(&self, app: &str, queues: &[&str]) -> StorageResult<Vec<WorkItem>> {
        let begun = work::backoff_ms.is_null().and(work::progress.is_not_null());
        let left = work::state.eq(RUNNING).and(work::lease_until.lt(now));
        let too_late = || work::deadline.lt(now);
        let gone = work::table
            .filter(work::app.eq(app).and(work::queue.eq_any(queues)))
            .filter(left.and(begun.or(too_late())).or(work::state.eq(WAITING).and(too_late())));
        let losing = diesel::update(gone)
            .set((
                work::state.eq(FAILED),
                work::outcome.eq(json!({ "lost": true })),
                work::lease_until.eq(None::<DateTime<Utc>>),
                work::changed_at.eq(now),
            ))
            .returning(Row::as_returning());
        let rows: Vec<Row> = on_pool!(self, |db| db.rows(losing))?;
        rows.into_iter().map(Row::item).collect()
    }

    async fn item(&self, id: i64) -> StorageResult<Option<WorkItem>> {
        let reading = work::table.find(id).select(Row::as_select());
        let row: Option<Row> = on_pool!(self, |db| db.row(reading))?;
        row.map(Row::item).transpose()
    }

    async fn next_due(&self, app: &str, queues: &[&str]) -> StorageResult<Option<Millis>> {
        let next = work::table
            .filter(work::app.eq(app).and(work::queue.eq_any(queues)).and(work::state.eq(WAITING)))
            .select(min(work::run_at));
        let at: Option<Option<DateTime<Utc>>> = on_pool!(self, |db| db.row(next))?;
        Ok(at.flatten().map(|at| Millis(at.timestamp_millis())))
    }

    async fn forget(&self, app: &str, queue: &str, age: Duration) -> StorageResult<usize> {
        let ago = PgInterval::from_microseconds(interval(age).microseconds.saturating_neg());
        let old = work::table
            .filter(work::app.eq(app).and(work::queue.eq(queue)).and(work::state.eq_any(OVER)))
            .filter(work::changed_at.lt(time_from_now(ago)));
        on_pool!(self, |db| db.run(diesel::delete(old)))
    }

    async fn marks(
        &self,
        app: &str,
        queue: &str,
        keys: &[(String, Millis)],
    ) -> StorageResult<HashMap<String, Mark>> {
        let names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).chain([FIRST]).collect();
        let read = || {
            let open = work::state.eq(WAITING).or(work::state.eq(RUNNING).and(work::progress.is_null()));
            work::table
                .filter(work::app.eq(app).and(work::queue.eq(queue)).and(work::key.eq_any(&names)))
                .select((work::key.assume_not_null(), work::run_at, open))
        };
        let standing = |key: &str, run_at: Option<Millis>| {
            (
                work::app.eq(app.to_owned()),
                work::queue.eq(queue.to_owned()),
                work::key.eq(key.to_owned()),
                work::state.eq(WorkState::Done.as_str()),
                run_at.map(|at| work::run_at.eq(instant(at))),
                work::payload.eq(json!({})),
            )
        };
        let conn = self.core.lanes.get().await?;
        let db = self.core.executor(&conn);
        // At most: the marks, the queue's first one, that one again, those of new keys, the marks again.
        loop {
            let rows: Vec<(String, DateTime<Utc>, bool)> = db.rows(read()).await?;
            let mut marks: HashMap<String, Mark> = rows
                .into_iter()
                .map(|(key, at, is_open)| (key, Mark { run_at: Millis(at.timestamp_millis()), is_open }))
                .collect();
            let first = marks.remove(FIRST);
            let missing = |(key, _): &&(String, Millis)| !marks.contains_key(key);
            let rows: Vec<_> = match first {
                None => vec![standing(FIRST, None)],
                Some(first) => {
                    let new = keys.iter().filter(missing);
                    new.map(|(key, since)| standing(key, Some((*since).max(first.run_at)))).collect()
                }
            };
            if rows.is_empty() {
                return Ok(marks);
            }
            db.run(diesel::insert_into(work::table).values(rows).on_conflict_do_nothing()).await?;
        }
    }

    async fn again(&self, app: &str, queue: &str, key: &str, run_at: Millis) -> StorageResult<bool> {
        let standing = work::table
            .filter(work::app.eq(app).and(work::queue.eq(queue)).and(work::key.eq(key)))
            .filter(work::state.ne(RUNNING).and(work::run_at.lt(instant(run_at))));
        let setting = diesel::update(standing).set((
            work::state.eq(WAITING),
            work::run_at.eq(instant(run_at)),
            work::progress.eq(None::<Value>),
            work::outcome.eq(None::<Value>),
            work::changed_at.eq(now),
        ));
        Ok(on_pool!(self, |db| db.run(setting))? == 1)
    }
}
