//! [`WorkQueue`] on collection `_parsimony_work`. Each step is one command that says what it expects, so that it does
//! nothing where somebody else was first.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bson::{Bson, DateTime, Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{FindOneAndUpdateOptions, ReturnDocument};
use serde_json::{Value, json};

use super::WORK;
use crate::storage::mongo::error::boxed;
use crate::storage::mongo::layout::plain::{bson_value, plain};
use crate::storage::mongo::{MongoAdapter, run};
use crate::storage::work::shares;
use crate::storage::{
    Claimed, Enqueue, Lease, Mark, NewWork, Retry, StorageError, StorageResult, Wanted, WorkItem, WorkQueue,
    WorkState,
};
use crate::types::time::Millis;

const WAITING: &str = WorkState::Waiting.as_str();
const RUNNING: &str = WorkState::Running.as_str();
const DONE: &str = WorkState::Done.as_str();
const FAILED: &str = WorkState::Failed.as_str();
/// The key that notes when a queue's marks were first asked for.
const FIRST: &str = "";

pub(super) fn date(at: Millis) -> DateTime {
    DateTime::from_millis(at.0)
}

fn after(now: Millis, length: Duration) -> Millis {
    Millis(now.0.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX >> 8)))
}

/// The last id that this process gave out.
static LAST_ID: AtomicI64 = AtomicI64::new(0);

/// Ids in the order in which they are given out, by this process at least; no two alike.
pub(super) fn new_id(now: Millis) -> i64 {
    let fresh = (now.0 << 20) | i64::from(rand::random_range(0..1_u32 << 20));
    let last = LAST_ID.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(fresh.max(last + 1)));
    last.map_or(fresh, |last| fresh.max(last + 1))
}

fn read(document: &Document) -> StorageResult<WorkItem> {
    let broken = || StorageError::Other(boxed("an item of work cannot be read"));
    let json = |key: &str| document.get(key).filter(|v| **v != Bson::Null).cloned().map(bson_value);
    Ok(WorkItem {
        id: document.get_i64("_id").map_err(|_| broken())?,
        queue: document.get_str("queue").map_err(|_| broken())?.to_owned(),
        key: document.get_str("key").ok().map(str::to_owned),
        state: document.get_str("state").ok().and_then(WorkState::read).ok_or_else(broken)?,
        run_at: Millis(document.get_datetime("run_at").map_err(|_| broken())?.timestamp_millis()),
        attempts: document.get_i32("attempts").unwrap_or_default(),
        payload: json("payload").unwrap_or_default(),
        progress: json("progress"),
        outcome: json("outcome"),
    })
}

fn claimed(document: &Document, holder: &Arc<str>) -> StorageResult<Claimed> {
    let item = read(document)?;
    let pause = document.get_i64("backoff_ms").ok().map(|ms| Duration::from_millis(ms.unsigned_abs()));
    let lease = Lease { id: item.id, holder: holder.clone(), attempt: item.attempts, pause };
    Ok(Claimed { lease, item })
}

/// The item while the lease holds.
pub(super) fn held(lease: &Lease) -> Document {
    doc! { "_id": lease.id, "holder": &*lease.holder, "attempts": lease.attempt, "state": RUNNING }
}

fn not_too_late(now: Millis) -> Document {
    doc! { "$or": [{ "deadline": null }, { "deadline": { "$gt": date(now) } }] }
}

fn stored(app: &str, item: &NewWork, now: Millis) -> Document {
    let begun = item.begun.as_ref();
    let mut row = doc! {
        "_id": new_id(now), "app": app, "queue": item.queue.as_str(),
        "state": if begun.is_some() { RUNNING } else { WAITING }, "priority": item.priority,
        "run_at": date(item.run_at.unwrap_or_else(|| after(now, item.after.unwrap_or_default()))), "attempts": i32::from(begun.is_some()),
        "payload": plain(&item.payload), "changed_at": date(now),
    };
    if let Some(key) = &item.key {
        row.insert("key", key.as_str());
    }
    if let Retry::Until { deadline, pause } = item.retry {
        row.insert("deadline", date(deadline));
        row.insert("backoff_ms", i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
    }
    if let Some(begun) = begun {
        row.insert("holder", &*begun.holder);
        row.insert("lease_until", date(after(now, begun.lease)));
        row.insert("progress", plain(&begun.progress));
    }
    row
}

/// Whose share is served first, from claim to claim.
static TURN: AtomicUsize = AtomicUsize::new(0);

impl MongoAdapter {
    /// Keys of a queue that are there already.
    async fn known_keys(&self, app: &str, items: &[NewWork]) -> StorageResult<Vec<(String, String)>> {
        let mut known = Vec::new();
        for item in items {
            let Some(key) = &item.key else { continue };
            let filter = doc! { "app": app, "queue": item.queue.as_str(), "key": key.as_str() };
            if run!(self, self.documents(WORK).find_one(filter.clone()))?.is_some() {
                known.push((item.queue.clone(), key.clone()));
            }
        }
        Ok(known)
    }

    async fn change(&self, filter: Document, change: Document) -> StorageResult<u64> {
        let done = self.core.timed(self.documents(WORK).update_many(filter, change)).await?;
        Ok(done.matched_count)
    }

    async fn take_one(&self, filter: Document, change: Document) -> StorageResult<Option<Document>> {
        let options = FindOneAndUpdateOptions::builder()
            .return_document(ReturnDocument::After)
            .sort(doc! { "priority": -1, "run_at": 1, "_id": 1 })
            .build();
        let work = self.documents(WORK);
        let taking = work.find_one_and_update(filter, change).with_options(options);
        Ok(self.core.timed(taking).await?)
    }

    async fn all(&self, filter: Document) -> StorageResult<Vec<Document>> {
        let work = self.documents(WORK);
        self.core
            .within(async {
                let mut cursor = work.find(filter).await?;
                let mut found = Vec::new();
                while cursor.advance().await? {
                    found.push(cursor.deserialize_current()?);
                }
                Ok(found)
            })
            .await
    }
}

#[async_trait]
impl Enqueue for MongoAdapter {
    async fn enqueue(&self, app: &str, items: &[NewWork]) -> StorageResult<Vec<Option<i64>>> {
        let now = self.core.now().await?;
        let mut rows: Vec<Option<Document>> = items.iter().map(|item| Some(stored(app, item, now))).collect();
        if self.open.is_some() {
            // Inside a transaction a refusal would end it.
            let mut known = self.known_keys(app, items).await?;
            for (item, row) in items.iter().zip(&mut rows) {
                let Some(key) = &item.key else { continue };
                let named = (item.queue.clone(), key.clone());
                if known.contains(&named) {
                    *row = None;
                } else {
                    known.push(named);
                }
            }
        }
        let written: Vec<&Document> = rows.iter().flatten().collect();
        if written.is_empty() {
            return Ok(vec![None; items.len()]);
        }
        let work = self.documents(WORK);
        let mut refused: Vec<i64> = Vec::new();
        if let Err(error) = run!(self, work.insert_many(written.iter().copied()).ordered(false)) {
            match (error.kind.as_ref(), &self.open) {
                (ErrorKind::InsertMany(errors), None) if errors.write_concern_error.is_none() => {
                    for failed in errors.write_errors.iter().flatten() {
                        if failed.code != 11000 {
                            return Err(error.into());
                        }
                        refused.extend(written.get(failed.index).and_then(|row| row.get_i64("_id").ok()));
                    }
                }
                (_, Some(_)) => {
                    return Err(match StorageError::from(error) {
                        StorageError::Duplicate { .. } => {
                            StorageError::Conflict(boxed("somebody wrote the key"))
                        }
                        other => other,
                    });
                }
                _ => return Err(error.into()),
            }
        }
        let id = |row: &Option<Document>| row.as_ref().and_then(|row| row.get_i64("_id").ok());
        Ok(rows.iter().map(|row| id(row).filter(|id| !refused.contains(id))).collect())
    }
}

#[async_trait]
impl WorkQueue for MongoAdapter {
    async fn claim(&self, wanted: &Wanted<'_>) -> StorageResult<Vec<Claimed>> {
        let now = self.core.now().await?;
        // What a holder that died may not have begun, or what may be repeated, waits again.
        let left = doc! {
            "app": wanted.app, "queue": { "$in": wanted.queues }, "state": RUNNING,
            "lease_until": { "$lt": date(now) },
            "$and": [not_too_late(now), { "$or": [{ "backoff_ms": { "$ne": null } }, { "progress": null }] }],
        };
        self.change(left, doc! { "$set": { "state": WAITING, "changed_at": date(now) } }).await?;
        let mut items = Vec::new();
        let mut queues = wanted.queues.to_vec();
        // What one queue has no use for goes to the others.
        while items.len() < wanted.most && !queues.is_empty() {
            let mut more = Vec::new();
            let turn = TURN.fetch_add(1, Ordering::Relaxed);
            for (queue, share) in shares(&queues, wanted.most - items.len(), turn) {
                let mut taken = 0;
                while taken < share {
                    let mut due = doc! {
                        "app": wanted.app, "queue": queue, "state": WAITING, "run_at": { "$lte": date(now) },
                    };
                    due.extend(not_too_late(now));
                    if let Some(keys) = wanted.keys {
                        due.insert("key", doc! { "$in": keys });
                    }
                    let taking = doc! {
                        "$set": {
                            "state": RUNNING, "holder": &**wanted.holder, "changed_at": date(now),
                            "lease_until": date(after(now, wanted.lease)),
                        },
                        "$inc": { "attempts": 1 },
                    };
                    let Some(row) = self.take_one(due, taking).await? else { break };
                    items.push(claimed(&row, wanted.holder)?);
                    taken += 1;
                }
                if taken == share {
                    more.push(queue);
                }
            }
            queues = more;
        }
        Ok(items)
    }

    async fn renew(&self, app: &str, holder: &str, ids: &[i64], lease: Duration) -> StorageResult<Vec<i64>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.core.now().await?;
        let own = doc! { "_id": { "$in": ids.to_vec() }, "app": app, "holder": holder, "state": RUNNING };
        self.change(own.clone(), doc! { "$set": { "lease_until": date(after(now, lease)) } }).await?;
        let rows = self.all(own).await?;
        Ok(rows.iter().filter_map(|row| row.get_i64("_id").ok()).collect())
    }

    async fn begin(&self, lease: &Lease, progress: &Value, length: Duration) -> StorageResult<bool> {
        let now = self.core.now().await?;
        let begun = doc! { "$set": {
            "progress": plain(progress), "lease_until": date(after(now, length)), "changed_at": date(now),
        } };
        Ok(self.change(held(lease), begun).await? == 1)
    }

    async fn complete(&self, leases: &[Lease], result: Option<&Value>) -> StorageResult<usize> {
        let now = self.core.now().await?;
        let done = doc! {
            "$set": { "state": DONE, "outcome": result.map_or(Bson::Null, plain), "changed_at": date(now) },
            "$unset": { "lease_until": "" },
        };
        let mut count = 0;
        for leases in leases.chunks(1000) {
            let any: Vec<Document> = leases.iter().map(held).collect();
            count += self.change(doc! { "$or": any }, done.clone()).await?;
        }
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    async fn fail(&self, lease: &Lease, reason: &Value) -> StorageResult<Option<Millis>> {
        let now = self.core.now().await?;
        let failing = |state: &str, at: Option<Millis>| {
            let mut set = doc! { "state": state, "outcome": plain(reason), "changed_at": date(now) };
            if let Some(at) = at {
                set.insert("run_at", date(at));
            }
            doc! { "$set": set, "$unset": { "lease_until": "" } }
        };
        if let Some(pause) = lease.next_pause() {
            let next = after(now, pause);
            let mut in_time = held(lease);
            in_time.extend(doc! { "$or": [{ "deadline": null }, { "deadline": { "$gte": date(next) } }] });
            if self.change(in_time, failing(WAITING, Some(next))).await? == 1 {
                return Ok(Some(next));
            }
        }
        self.change(held(lease), failing(FAILED, None)).await?;
        Ok(None)
    }

    async fn release(&self, lease: &Lease) -> StorageResult<bool> {
        let now = self.core.now().await?;
        let released = doc! {
            "$set": { "state": WAITING, "changed_at": date(now) },
            "$inc": { "attempts": -1 }, "$unset": { "lease_until": "" },
        };
        Ok(self.change(held(lease), released).await? == 1)
    }

    async fn cancel(&self, app: &str, queue: &str, keys: Option<&[String]>) -> StorageResult<usize> {
        let now = self.core.now().await?;
        let mut open = doc! { "app": app, "queue": queue, "state": { "$in": [WAITING, RUNNING] } };
        if let Some(keys) = keys {
            open.insert("key", doc! { "$in": keys });
        }
        let cancelled = doc! {
            "$set": { "state": WorkState::Cancelled.as_str(), "changed_at": date(now) },
            "$unset": { "lease_until": "" },
        };
        Ok(usize::try_from(self.change(open, cancelled).await?).unwrap_or(usize::MAX))
    }

    async fn lost(&self, app: &str, queues: &[&str]) -> StorageResult<Vec<WorkItem>> {
        let now = self.core.now().await?;
        let too_late = || doc! { "deadline": { "$lt": date(now) } };
        let begun = doc! { "backoff_ms": null, "progress": { "$ne": null } };
        let left = doc! { "state": RUNNING, "lease_until": { "$lt": date(now) }, "$or": [begun, too_late()] };
        let mut expired = too_late();
        expired.insert("state", WAITING);
        let gone = doc! { "app": app, "queue": { "$in": queues }, "$or": [left, expired] };
        let lost = doc! {
            "$set": { "state": FAILED, "outcome": plain(&json!({ "lost": true })), "changed_at": date(now) },
            "$unset": { "lease_until": "" },
        };
        let mut items = Vec::new();
        // One at a time, so that each is told once.
        while let Some(row) = self.take_one(gone.clone(), lost.clone()).await? {
            items.push(read(&row)?);
        }
        Ok(items)
    }

    async fn item(&self, id: i64) -> StorageResult<Option<WorkItem>> {
        let work = self.documents(WORK);
        let row = self.core.timed(work.find_one(doc! { "_id": id })).await?;
        row.as_ref().map(read).transpose()
    }

    async fn next_due(&self, app: &str, queues: &[&str]) -> StorageResult<Option<Millis>> {
        let waiting = doc! { "app": app, "queue": { "$in": queues }, "state": WAITING };
        let work = self.documents(WORK);
        let first = work.find_one(waiting).sort(doc! { "run_at": 1 });
        let row = self.core.timed(first).await?;
        Ok(row.and_then(|row| row.get_datetime("run_at").ok().map(|at| Millis(at.timestamp_millis()))))
    }

    async fn forget(&self, app: &str, queue: &str, age: Duration) -> StorageResult<usize> {
        let now = self.core.now().await?;
        let before = Millis(now.0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX >> 8)));
        let old = doc! {
            "app": app, "queue": queue, "state": { "$in": WorkState::OVER.to_vec() }, "changed_at": { "$lt": date(before) },
        };
        let done = self.core.timed(self.documents(WORK).delete_many(old)).await?;
        Ok(usize::try_from(done.deleted_count).unwrap_or(usize::MAX))
    }

    async fn marks(
        &self,
        app: &str,
        queue: &str,
        keys: &[(String, Millis)],
    ) -> StorageResult<HashMap<String, Mark>> {
        let names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).chain([FIRST]).collect();
        // At most: the marks, the queue's first one, that one again, those of new keys, the marks again.
        loop {
            let rows = self.all(doc! { "app": app, "queue": queue, "key": { "$in": &names } }).await?;
            let mut marks: HashMap<String, Mark> = HashMap::new();
            for row in &rows {
                let item = read(row)?;
                let is_open = match item.state {
                    WorkState::Waiting => true,
                    WorkState::Running => item.progress.is_none(),
                    _ => false,
                };
                marks.insert(item.key.unwrap_or_default(), Mark { run_at: item.run_at, is_open });
            }
            let now = self.core.now().await?;
            let standing = |key: &str, at: Millis| {
                let item = NewWork { key: Some(key.to_owned()), ..NewWork::new(queue, json!({})) };
                let mut row = stored(app, &item, now);
                row.insert("state", DONE);
                row.insert("run_at", date(at));
                row
            };
            let new: Vec<Document> = match marks.remove(FIRST) {
                None => vec![standing(FIRST, now)],
                Some(first) => {
                    let missing = keys.iter().filter(|(key, _)| !marks.contains_key(key));
                    missing.map(|(key, since)| standing(key, (*since).max(first.run_at))).collect()
                }
            };
            if new.is_empty() {
                return Ok(marks);
            }
            for row in new {
                match self.core.timed(self.documents(WORK).insert_one(row)).await.map_err(StorageError::from)
                {
                    Ok(_) | Err(StorageError::Duplicate { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    async fn again(&self, app: &str, queue: &str, key: &str, run_at: Millis) -> StorageResult<bool> {
        let now = self.core.now().await?;
        let standing = doc! {
            "app": app, "queue": queue, "key": key, "state": { "$ne": RUNNING }, "run_at": { "$lt": date(run_at) },
        };
        let waiting = doc! {
            "$set": { "state": WAITING, "run_at": date(run_at), "changed_at": date(now) },
            "$unset": { "progress": "", "outcome": "" },
        };
        Ok(self.change(standing, waiting).await? == 1)
    }
}
