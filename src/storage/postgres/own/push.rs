//! [`PushLedger`] and [`PushWriter`] on the tables of migration `push`. Whoever writes to a push locks its item
//! first, then its row, then the row of its status: one order for all, so that they cannot deadlock, and the
//! last to end sees that it is the last.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::dsl::{exists, min, now};
use diesel::prelude::*;
use serde_json::{Map, Value};

use super::work::{self as items, instant};
use crate::storage::postgres::connection::error::boxed;
use crate::storage::postgres::own::schema::parsimony::{push, push_delivery, push_open, work};
use crate::storage::postgres::{Executor, PostgresAdapter};
use crate::storage::push::{Delivery, Ending, NewPush, PushLedger, PushState, StoredPush, queue_of};
use crate::storage::{Lease, NewWork, StorageError, StorageResult, WorkState};
use crate::types::time::Millis;

/// Different reasons that are counted for one push; the rest is counted as `other`.
const MOST_REASONS: usize = 64;
/// Rows of one INSERT.
const INSERTED_AT_ONCE: usize = 1000;

/// Runs `$work` with an executor `$db` on a pooled connection.
macro_rules! on_pool {
    ($self:ident, |$db:ident| $work:expr) => {{
        let conn = $self.core.lanes.get().await?;
        let $db = $self.core.executor(&conn);
        $work.await
    }};
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = push)]
struct Row {
    id: String,
    state: String,
    due_at: DateTime<Utc>,
    deadline: DateTime<Utc>,
    body: Value,
    condition: Value,
    settings: Value,
    created_at: DateTime<Utc>,
    reasons: Value,
    retried: i64,
    repeated: i64,
}

fn millis(at: DateTime<Utc>) -> Millis {
    Millis(at.timestamp_millis())
}

impl Row {
    fn stored(self) -> StorageResult<StoredPush> {
        let unknown = || StorageError::Other(boxed(format!("unknown state {} of a push", self.state)));
        Ok(StoredPush {
            state: PushState::read(&self.state).ok_or_else(unknown)?,
            id: self.id,
            due_at: millis(self.due_at),
            deadline: millis(self.deadline),
            body: self.body,
            condition: self.condition,
            settings: self.settings,
            created_at: millis(self.created_at),
            reasons: match self.reasons {
                Value::Object(reasons) => reasons,
                _ => Map::new(),
            },
            retried: self.retried,
            repeated: self.repeated,
        })
    }
}

/// The row of one push.
macro_rules! of {
    ($app:expr, $id:expr) => {
        push::table.filter(push::app.eq($app).and(push::id.eq($id)))
    };
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// # Errors
/// Database errors.
pub async fn add(db: &Executor<'_>, app: &str, new: &NewPush, work: &[NewWork]) -> StorageResult<()> {
    let row = (
        push::app.eq(app),
        push::id.eq(&new.id),
        push::state.eq(new.state.as_str()),
        new.due_at.map(|at| push::due_at.eq(instant(at))),
        push::deadline.eq(instant(new.deadline)),
        push::body.eq(&new.body),
        push::condition.eq(&new.condition),
        push::settings.eq(&new.settings),
        push::hash.eq(&new.hash),
        push::open.eq(count(work.len())),
    );
    db.run(diesel::insert_into(push::table).values(row)).await?;
    items::enqueue(db, app, work).await?;
    Ok(())
}

/// # Errors
/// Database errors.
pub async fn extend(
    db: &Executor<'_>,
    (app, id): (&str, &str),
    lease: &Lease,
    progress: &Value,
    next: &[NewWork],
) -> StorageResult<bool> {
    if !items::note_within(db, lease, progress).await? {
        return Ok(false);
    }
    let written = items::enqueue(db, app, next).await?.into_iter().flatten().count();
    if written > 0 {
        let opening = diesel::update(of!(app, id))
            .set((push::open.eq(push::open + count(written)), push::changed_at.eq(now)))
            .returning(push::state);
        let state: Option<String> = db.row(opening).await?;
        if state.as_deref() == Some(PushState::Cancelled.as_str()) {
            drop_waiting(db, app, id).await?;
        }
    }
    Ok(true)
}

/// # Errors
/// Database errors.
pub async fn finish(
    db: &Executor<'_>,
    (app, id): (&str, &str),
    lease: &Lease,
    ending: &Ending,
) -> StorageResult<Option<bool>> {
    if !items::complete_within(db, lease).await? {
        return Ok(None);
    }
    let written = items::enqueue(db, app, &ending.more).await?.into_iter().flatten().count();
    log(db, (app, id), &ending.log).await?;
    let closing = diesel::update(of!(app, id))
        .set((
            push::open.eq(push::open + (count(written) - 1)),
            push::retried.eq(push::retried + ending.retried),
            push::repeated.eq(push::repeated + ending.repeated),
            push::changed_at.eq(now),
        ))
        .returning((push::open, push::state, push::reasons));
    let row: Option<(i32, String, Value)> = db.row(closing).await?;
    let Some((open, state, reasons)) = row else { return Ok(Some(false)) };
    // The row is locked: nobody else counts meanwhile.
    if !ending.reasons.is_empty() {
        let counted =
            diesel::update(of!(app, id)).set(push::reasons.eq(add_reasons(reasons, &ending.reasons)));
        db.run(counted).await?;
    }
    let is_cancelled = state == PushState::Cancelled.as_str();
    if is_cancelled && written > 0 {
        drop_waiting(db, app, id).await?;
    }
    let is_over = open <= 0 && !is_cancelled;
    if is_over {
        let ended = diesel::update(of!(app, id)).set(push::state.eq(PushState::Ended.as_str()));
        db.run(ended).await?;
    }
    Ok(Some(is_over))
}

fn add_reasons(known: Value, new: &[(String, i64)]) -> Value {
    let mut all = match known {
        Value::Object(known) => known,
        _ => Map::new(),
    };
    for (reason, count) in new {
        let key = match all.contains_key(reason) || all.len() < MOST_REASONS {
            true => reason.as_str(),
            false => "other",
        };
        let before = all.get(key).and_then(Value::as_i64).unwrap_or(0);
        all.insert(key.to_owned(), (before + count).into());
    }
    Value::Object(all)
}

/// # Errors
/// Database errors.
pub async fn note_receipts(
    db: &Executor<'_>,
    (app, id): (&str, &str),
    lease: &Lease,
    refused: &[Delivery],
    keeps_log: bool,
) -> StorageResult<bool> {
    if !items::complete_within(db, lease).await? {
        return Ok(false);
    }
    if refused.is_empty() {
        return Ok(true);
    }
    if keeps_log {
        log(db, (app, id), refused).await?;
    }
    let locking = of!(app, id).select(push::reasons).for_update();
    let known: Option<Value> = db.row(locking).await?;
    if let Some(known) = known {
        let new: Vec<_> = refused.iter().filter_map(|entry| Some((entry.reason.clone()?, 1))).collect();
        db.run(diesel::update(of!(app, id)).set(push::reasons.eq(add_reasons(known, &new)))).await?;
    }
    Ok(true)
}

async fn log(db: &Executor<'_>, (app, id): (&str, &str), entries: &[Delivery]) -> StorageResult<()> {
    for entries in entries.chunks(INSERTED_AT_ONCE) {
        let row = |entry: &Delivery| {
            (
                push_delivery::app.eq(app.to_owned()),
                push_delivery::push.eq(id.to_owned()),
                push_delivery::installation.eq(entry.installation.clone()),
                push_delivery::device_type.eq(entry.device_type.clone()),
                push_delivery::result.eq(entry.result.clone()),
                push_delivery::reason.eq(entry.reason.clone()),
            )
        };
        let rows: Vec<_> = entries.iter().map(row).collect();
        db.run(diesel::insert_into(push_delivery::table).values(rows)).await?;
    }
    Ok(())
}

/// What waits of a push that was cancelled.
async fn drop_waiting(db: &Executor<'_>, app: &str, id: &str) -> StorageResult<()> {
    let waiting = work::table
        .filter(work::app.eq(app).and(work::queue.eq(queue_of(id))))
        .filter(work::state.eq(WorkState::Waiting.as_str()));
    let dropping = diesel::update(waiting)
        .set((work::state.eq(WorkState::Cancelled.as_str()), work::changed_at.eq(now)));
    db.run(dropping).await.map(drop)
}

/// # Errors
/// Database errors.
pub async fn set_state(
    db: &Executor<'_>,
    (app, id): (&str, &str),
    from: &[PushState],
    to: PushState,
) -> StorageResult<bool> {
    let from: Vec<&str> = from.iter().map(|state| state.as_str()).collect();
    let changing = diesel::update(of!(app, id).filter(push::state.eq_any(from)))
        .set((push::state.eq(to.as_str()), push::changed_at.eq(now)));
    if db.run(changing).await? == 0 {
        return Ok(false);
    }
    if to == PushState::Cancelled {
        drop_waiting(db, app, id).await?;
    }
    Ok(true)
}

/// # Errors
/// Database errors.
pub async fn take_recurring(db: &Executor<'_>, app: &str) -> StorageResult<Option<StoredPush>> {
    let taking = push::table
        .filter(push::app.eq(app).and(push::state.eq(PushState::Recurring.as_str())))
        .filter(push::due_at.le(now))
        .order(push::due_at)
        .limit(1)
        .select(Row::as_select())
        .for_update()
        .skip_locked();
    let row: Option<Row> = db.row(taking).await?;
    row.map(Row::stored).transpose()
}

/// # Errors
/// Database errors.
pub async fn set_due(
    db: &Executor<'_>,
    (app, id): (&str, &str),
    due_at: Option<Millis>,
) -> StorageResult<()> {
    match due_at {
        Some(at) => db.run(diesel::update(of!(app, id)).set(push::due_at.eq(instant(at)))).await,
        None => db.run(diesel::update(of!(app, id)).set(push::state.eq(PushState::Ended.as_str()))).await,
    }
    .map(drop)
}

#[async_trait]
impl PushLedger for PostgresAdapter {
    async fn ready_pushes(&self, app: &str, most: usize) -> StorageResult<Vec<String>> {
        let queue = diesel::dsl::sql::<diesel::sql_types::Text>("'push:' || push.id");
        let waiting = work::state
            .eq(WorkState::Waiting.as_str())
            .and(work::run_at.le(now).or(work::run_at.le(work::changed_at)));
        let left = work::state.eq(WorkState::Running.as_str()).and(work::lease_until.lt(now));
        let open =
            work::table.filter(work::app.eq(push::app).and(work::queue.eq(queue))).filter(waiting.or(left));
        let ready = push::table
            .filter(push::app.eq(app).and(push::state.eq(PushState::Active.as_str())))
            // What was to be sent at once is due whatever the clock says meanwhile.
            .filter(push::due_at.le(now).or(push::due_at.le(push::created_at)))
            .filter(exists(open))
            .order(push::due_at)
            .limit(i64::try_from(most).unwrap_or(i64::MAX))
            .select(push::id);
        on_pool!(self, |db| db.rows(ready))
    }

    async fn next_push(&self, app: &str) -> StorageResult<Option<Millis>> {
        let queue = diesel::dsl::sql::<diesel::sql_types::Text>("'push:' || push.id");
        let later = push::table
            .filter(push::app.eq(app).and(push::due_at.gt(now)).and(push::due_at.gt(push::created_at)))
            .filter(push::state.eq_any([PushState::Active.as_str(), PushState::Recurring.as_str()]))
            .select(min(push::due_at));
        let waiting = push::table
            .inner_join(work::table.on(work::app.eq(push::app).and(work::queue.eq(queue))))
            .filter(push::app.eq(app).and(push::state.eq(PushState::Active.as_str())))
            .filter(push::due_at.le(now).or(push::due_at.le(push::created_at)))
            .filter(work::state.eq(WorkState::Waiting.as_str()))
            .select(min(work::run_at));
        let conn = self.core.lanes.get().await?;
        let db = self.core.executor(&conn);
        let later: Option<Option<DateTime<Utc>>> = db.row(later).await?;
        let waiting: Option<Option<DateTime<Utc>>> = db.row(waiting).await?;
        Ok(later.flatten().into_iter().chain(waiting.flatten()).min().map(millis))
    }

    async fn has_recurring_due(&self, app: &str) -> StorageResult<bool> {
        let due = push::table
            .filter(push::app.eq(app).and(push::state.eq(PushState::Recurring.as_str())))
            .filter(push::due_at.le(now))
            .limit(1)
            .select(push::id);
        let found: Option<String> = on_pool!(self, |db| db.row(due))?;
        Ok(found.is_some())
    }

    async fn push(&self, app: &str, id: &str) -> StorageResult<Option<StoredPush>> {
        let reading = of!(app, id).select(Row::as_select());
        let row: Option<Row> = on_pool!(self, |db| db.row(reading))?;
        row.map(Row::stored).transpose()
    }

    async fn halted_pushes(&self, app: &str, ids: &[String]) -> StorageResult<Vec<String>> {
        let halted = push::table
            .filter(push::app.eq(app).and(push::id.eq_any(ids)))
            .filter(push::state.ne(PushState::Active.as_str()))
            .select(push::id);
        on_pool!(self, |db| db.rows(halted))
    }

    async fn note_opened(&self, app: &str, id: &str, installation: &str) -> StorageResult<bool> {
        let noting = diesel::insert_into(push_open::table)
            .values((
                push_open::app.eq(app),
                push_open::push.eq(id),
                push_open::installation.eq(installation),
            ))
            .on_conflict_do_nothing();
        Ok(on_pool!(self, |db| db.run(noting))? == 1)
    }

    async fn push_of_hash(&self, app: &str, hash: &str) -> StorageResult<Option<String>> {
        let latest = push::table
            .filter(push::app.eq(app).and(push::hash.eq(hash)))
            .filter(push::state.ne(PushState::Recurring.as_str()))
            .order(push::created_at.desc())
            .limit(1)
            .select(push::id);
        on_pool!(self, |db| db.row(latest))
    }

    async fn count_opened(&self, app: &str, id: &str) -> StorageResult<i64> {
        let counting = push_open::table.filter(push_open::app.eq(app).and(push_open::push.eq(id))).count();
        Ok(on_pool!(self, |db| db.row(counting))?.unwrap_or(0))
    }

    async fn deliveries(&self, app: &str, id: &str, after: i64, most: i64) -> StorageResult<Vec<Delivery>> {
        let reading = push_delivery::table
            .filter(push_delivery::app.eq(app).and(push_delivery::push.eq(id)))
            .filter(push_delivery::id.gt(after))
            .order(push_delivery::id)
            .limit(most)
            .select((
                push_delivery::id,
                push_delivery::installation,
                push_delivery::device_type,
                push_delivery::result,
                push_delivery::reason,
                push_delivery::at,
            ));
        type Entry = (i64, String, Option<String>, String, Option<String>, DateTime<Utc>);
        let rows: Vec<Entry> = on_pool!(self, |db| db.rows(reading))?;
        Ok(rows
            .into_iter()
            .map(|(id, installation, device_type, result, reason, at)| Delivery {
                id,
                installation,
                device_type,
                result,
                reason,
                at: Some(millis(at)),
            })
            .collect())
    }

    async fn forget_deliveries(&self, app: &str, before: Millis) -> StorageResult<usize> {
        let old = push_delivery::table
            .filter(push_delivery::app.eq(app).and(push_delivery::at.lt(instant(before))));
        let over =
            work::table.filter(work::app.eq(app).and(work::queue.like("push%"))).filter(work::state.eq_any(
                [WorkState::Done.as_str(), WorkState::Failed.as_str(), WorkState::Cancelled.as_str()],
            ));
        let conn = self.core.lanes.get().await?;
        let db = self.core.executor(&conn);
        Ok(db.run(diesel::delete(old)).await? + db.run(diesel::delete(over)).await?)
    }
}
