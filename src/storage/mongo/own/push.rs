//! [`PushLedger`] and [`PushWriter`] on collections `_parsimony_push…`. Whoever writes to a push inside a transaction
//! collides with others who do at the same moment: the transaction ends as a conflict, and is begun again by its owner.

use async_trait::async_trait;
use bson::{DateTime, Document, doc};
use futures_util::TryStreamExt;
use mongodb::options::{FindOneAndUpdateOptions, ReturnDocument};
use serde_json::{Map, Value};

use super::WORK;
use super::work::{date, held, new_id};
use crate::storage::mongo::error::boxed;
use crate::storage::mongo::layout::plain::plain;
use crate::storage::mongo::{MongoAdapter, run};
use crate::storage::push::{
    Delivery, Ending, NewPush, PushLedger, PushState, PushWriter, StoredPush, count_reasons, queue_of,
    reasons_of,
};
use crate::storage::{Enqueue, Lease, NewWork, StorageError, StorageResult, WorkState};
use crate::types::time::Millis;

pub(super) const PUSH: &str = "_parsimony_push";
pub(super) const DELIVERY: &str = "_parsimony_push_delivery";
const OPENED: &str = "_parsimony_push_open";

const ACTIVE: &str = PushState::Active.as_str();
const RECURRING: &str = PushState::Recurring.as_str();
const WAITING: &str = WorkState::Waiting.as_str();
const RUNNING: &str = WorkState::Running.as_str();

fn key(app: &str, id: &str) -> Document {
    doc! { "_id": { "app": app, "id": id } }
}

/// JSON is kept as its text: keys of any kind, in their order.
fn json(row: &Document, key: &str) -> Value {
    row.get_str(key).ok().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn instant(row: &Document, key: &str) -> Option<Millis> {
    row.get_datetime(key).ok().map(|at| Millis(at.timestamp_millis()))
}

fn whole(row: &Document, key: &str) -> i64 {
    let as_i32 = || row.get_i32(key).ok().map(i64::from);
    row.get_i64(key).ok().or_else(as_i32).unwrap_or_default()
}

fn id_of(row: &Document) -> String {
    let id = row.get_document("_id").ok().and_then(|id| id.get_str("id").ok());
    id.unwrap_or_default().to_owned()
}

fn known_reasons(row: &Document) -> Map<String, Value> {
    match json(row, "reasons") {
        Value::Object(reasons) => reasons,
        _ => Map::new(),
    }
}

/// The reasons of a push with these, as they are kept.
fn counted(row: &Document, new: &[(String, i64)]) -> String {
    Value::Object(count_reasons(known_reasons(row), new)).to_string()
}

fn stored(row: &Document) -> StorageResult<StoredPush> {
    let broken = || StorageError::Other(boxed("a push cannot be read"));
    Ok(StoredPush {
        id: id_of(row),
        state: row.get_str("state").ok().and_then(PushState::read).ok_or_else(broken)?,
        due_at: instant(row, "due_at").ok_or_else(broken)?,
        deadline: instant(row, "deadline").ok_or_else(broken)?,
        body: json(row, "body"),
        condition: json(row, "condition"),
        settings: json(row, "settings"),
        created_at: instant(row, "created_at").ok_or_else(broken)?,
        reasons: known_reasons(row),
        retried: whole(row, "retried"),
        repeated: whole(row, "repeated"),
    })
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Items that somebody may take now.
fn due(now: Millis) -> Document {
    let waiting = doc! { "state": WAITING, "run_at": { "$lte": date(now) } };
    let left = doc! { "state": RUNNING, "lease_until": { "$lt": date(now) } };
    doc! { "$or": [waiting, left] }
}

impl MongoAdapter {
    /// One push, changed, as it is then.
    async fn change_push(&self, filter: Document, change: Document) -> StorageResult<Option<Document>> {
        let options = FindOneAndUpdateOptions::builder().return_document(ReturnDocument::After).build();
        let pushes = self.documents(PUSH);
        let action = pushes.find_one_and_update(filter.clone(), change.clone()).with_options(options.clone());
        Ok(run!(self, action)?)
    }

    /// Changes the item that the lease is of; `false`: the lease is lost.
    async fn change_held(&self, lease: &Lease, change: Document) -> StorageResult<bool> {
        let work = self.documents(WORK);
        let done = run!(self, work.update_one(held(lease), change.clone()))?;
        Ok(done.matched_count == 1)
    }

    async fn end_held(&self, lease: &Lease, now: Millis) -> StorageResult<bool> {
        let done = doc! {
            "$set": { "state": WorkState::Done.as_str(), "changed_at": date(now) }, "$unset": { "lease_until": "" },
        };
        self.change_held(lease, done).await
    }

    /// What waits of a push that was cancelled.
    async fn drop_waiting(&self, app: &str, id: &str, now: Millis) -> StorageResult<()> {
        let waiting = doc! { "app": app, "queue": queue_of(id), "state": WAITING };
        let dropped = doc! { "$set": { "state": WorkState::Cancelled.as_str(), "changed_at": date(now) } };
        let work = self.documents(WORK);
        run!(self, work.update_many(waiting.clone(), dropped.clone()))?;
        Ok(())
    }

    async fn log_deliveries(
        &self,
        app: &str,
        id: &str,
        entries: &[Delivery],
        now: Millis,
    ) -> StorageResult<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let row = |entry: &Delivery| {
            doc! {
                "_id": new_id(now), "app": app, "push": id, "installation": entry.installation.as_str(),
                "device_type": entry.device_type.as_deref(), "result": entry.result.as_str(),
                "reason": entry.reason.as_deref(), "at": date(now),
            }
        };
        let rows: Vec<Document> = entries.iter().map(row).collect();
        let log = self.documents(DELIVERY);
        run!(self, log.insert_many(rows.clone()))?;
        Ok(())
    }

    async fn pushes(&self, filter: Document, sort: Document, most: i64) -> StorageResult<Vec<Document>> {
        let pushes = self.documents(PUSH);
        let found = self.core.timed(pushes.find(filter).sort(sort).limit(most)).await?;
        Ok(self.core.timed(found.try_collect()).await?)
    }
}

#[async_trait]
impl PushWriter for MongoAdapter {
    async fn add_push(&self, app: &str, new: &NewPush, items: &[NewWork]) -> StorageResult<()> {
        let now = self.core.now().await?;
        let mut row = key(app, &new.id);
        row.extend(doc! {
            "app": app, "state": new.state.as_str(), "due_at": date(new.due_at.unwrap_or(now)),
            "deadline": date(new.deadline), "body": new.body.to_string(), "condition": new.condition.to_string(),
            "settings": new.settings.to_string(), "hash": new.hash.as_str(), "open": count(items.len()),
            "created_at": date(now), "changed_at": date(now), "reasons": "{}", "retried": 0_i64, "repeated": 0_i64,
        });
        let pushes = self.documents(PUSH);
        run!(self, pushes.insert_one(row.clone()))?;
        self.enqueue(app, items).await?;
        Ok(())
    }

    async fn extend_push(
        &self,
        app: &str,
        id: &str,
        lease: &Lease,
        progress: &Value,
        next: &[NewWork],
    ) -> StorageResult<bool> {
        let now = self.core.now().await?;
        let noted = doc! { "$set": { "progress": plain(progress), "changed_at": date(now) } };
        if !self.change_held(lease, noted).await? {
            return Ok(false);
        }
        let written = self.enqueue(app, next).await?.into_iter().flatten().count();
        if written > 0 {
            let opening = doc! { "$inc": { "open": count(written) }, "$set": { "changed_at": date(now) } };
            let row = self.change_push(key(app, id), opening).await?;
            let state = row.as_ref().and_then(|row| row.get_str("state").ok());
            if state == Some(PushState::Cancelled.as_str()) {
                self.drop_waiting(app, id, now).await?;
            }
        }
        Ok(true)
    }

    async fn finish_push_item(
        &self,
        app: &str,
        id: &str,
        lease: &Lease,
        ending: &Ending,
    ) -> StorageResult<Option<bool>> {
        let now = self.core.now().await?;
        if !self.end_held(lease, now).await? {
            return Ok(None);
        }
        let written = self.enqueue(app, &ending.more).await?.into_iter().flatten().count();
        self.log_deliveries(app, id, &ending.log, now).await?;
        let closing = doc! {
            "$inc": { "open": count(written) - 1, "retried": ending.retried, "repeated": ending.repeated },
            "$set": { "changed_at": date(now) },
        };
        // From here on the row is this transaction's: nobody else counts meanwhile.
        let Some(row) = self.change_push(key(app, id), closing).await? else { return Ok(Some(false)) };
        let is_cancelled = row.get_str("state").is_ok_and(|state| state == PushState::Cancelled.as_str());
        if is_cancelled && written > 0 {
            self.drop_waiting(app, id, now).await?;
        }
        let is_over = whole(&row, "open") <= 0 && !is_cancelled;
        let mut set = Document::new();
        if !ending.reasons.is_empty() {
            set.insert("reasons", counted(&row, &ending.reasons));
        }
        if is_over {
            set.insert("state", PushState::Ended.as_str());
        }
        if !set.is_empty() {
            self.change_push(key(app, id), doc! { "$set": set }).await?;
        }
        Ok(Some(is_over))
    }

    async fn note_receipts(
        &self,
        app: &str,
        id: &str,
        lease: &Lease,
        refused: &[Delivery],
        keeps_log: bool,
    ) -> StorageResult<bool> {
        let now = self.core.now().await?;
        if !self.end_held(lease, now).await? {
            return Ok(false);
        }
        if refused.is_empty() {
            return Ok(true);
        }
        if keeps_log {
            self.log_deliveries(app, id, refused, now).await?;
        }
        let touching = doc! { "$set": { "changed_at": date(now) } };
        if let Some(row) = self.change_push(key(app, id), touching).await? {
            let counting = doc! { "$set": { "reasons": counted(&row, &reasons_of(refused)) } };
            self.change_push(key(app, id), counting).await?;
        }
        Ok(true)
    }

    async fn set_push_state(
        &self,
        app: &str,
        id: &str,
        from: &[PushState],
        to: PushState,
    ) -> StorageResult<bool> {
        let now = self.core.now().await?;
        let from: Vec<&str> = from.iter().map(|state| state.as_str()).collect();
        let mut expected = key(app, id);
        expected.insert("state", doc! { "$in": from });
        let changing = doc! { "$set": { "state": to.as_str(), "changed_at": date(now) } };
        if self.change_push(expected, changing).await?.is_none() {
            return Ok(false);
        }
        if to == PushState::Cancelled {
            self.drop_waiting(app, id, now).await?;
        }
        Ok(true)
    }

    async fn take_recurring(&self, app: &str) -> StorageResult<Option<StoredPush>> {
        let now = self.core.now().await?;
        let options = FindOneAndUpdateOptions::builder()
            .return_document(ReturnDocument::After)
            .sort(doc! { "due_at": 1 })
            .build();
        let wanted = doc! { "app": app, "state": RECURRING, "due_at": { "$lte": date(now) } };
        // A write, so that whoever is second collides.
        let taking = doc! { "$set": { "changed_at": date(now), "taken": new_id(now) } };
        let pushes = self.documents(PUSH);
        let action = pushes.find_one_and_update(wanted.clone(), taking.clone()).with_options(options.clone());
        run!(self, action)?.as_ref().map(stored).transpose()
    }

    async fn set_due(&self, app: &str, id: &str, due_at: Option<Millis>) -> StorageResult<()> {
        let set = match due_at {
            Some(at) => doc! { "due_at": date(at) },
            None => doc! { "state": PushState::Ended.as_str() },
        };
        self.change_push(key(app, id), doc! { "$set": set }).await.map(drop)
    }
}

#[async_trait]
impl PushLedger for MongoAdapter {
    async fn ready_pushes(&self, app: &str, most: usize) -> StorageResult<Vec<String>> {
        let now = self.core.now().await?;
        let active = doc! { "app": app, "state": ACTIVE, "due_at": { "$lte": date(now) } };
        let mut ready = Vec::new();
        for row in self.pushes(active, doc! { "due_at": 1 }, 0).await? {
            if ready.len() >= most {
                break;
            }
            let id = id_of(&row);
            let mut open = doc! { "app": app, "queue": queue_of(&id) };
            open.extend(due(now));
            if self.core.timed(self.documents(WORK).find_one(open)).await?.is_some() {
                ready.push(id);
            }
        }
        Ok(ready)
    }

    async fn next_push(&self, app: &str) -> StorageResult<Option<Millis>> {
        let now = self.core.now().await?;
        let later = doc! {
            "app": app, "state": { "$in": [ACTIVE, RECURRING] }, "due_at": { "$gt": date(now) },
        };
        let later = self.pushes(later, doc! { "due_at": 1 }, 1).await?;
        let active = doc! { "app": app, "state": ACTIVE, "due_at": { "$lte": date(now) } };
        let active = self.pushes(active, doc! { "due_at": 1 }, 0).await?;
        let queues: Vec<String> = active.iter().map(|row| queue_of(&id_of(row))).collect();
        let waiting = doc! { "app": app, "queue": { "$in": queues }, "state": WAITING };
        let work = self.documents(WORK);
        let waiting = self.core.timed(work.find_one(waiting).sort(doc! { "run_at": 1 })).await?;
        let times = later.first().and_then(|row| instant(row, "due_at")).into_iter();
        Ok(times.chain(waiting.and_then(|row| instant(&row, "run_at"))).min())
    }

    async fn has_recurring_due(&self, app: &str) -> StorageResult<bool> {
        let now = self.core.now().await?;
        let due = doc! { "app": app, "state": RECURRING, "due_at": { "$lte": date(now) } };
        Ok(self.core.timed(self.documents(PUSH).find_one(due)).await?.is_some())
    }

    async fn push(&self, app: &str, id: &str) -> StorageResult<Option<StoredPush>> {
        let row = self.core.timed(self.documents(PUSH).find_one(key(app, id))).await?;
        row.as_ref().map(stored).transpose()
    }

    async fn halted_pushes(&self, app: &str, ids: &[String]) -> StorageResult<Vec<String>> {
        let keys: Vec<Document> = ids.iter().map(|id| doc! { "app": app, "id": id.as_str() }).collect();
        let halted = doc! { "_id": { "$in": keys }, "state": { "$ne": ACTIVE } };
        Ok(self.pushes(halted, doc! { "_id": 1 }, 0).await?.iter().map(id_of).collect())
    }

    async fn note_opened(&self, app: &str, id: &str, installation: &str) -> StorageResult<bool> {
        let row =
            doc! { "_id": { "app": app, "push": id, "installation": installation }, "at": DateTime::now() };
        match self.core.timed(self.documents(OPENED).insert_one(row)).await {
            Ok(_) => Ok(true),
            Err(error) => match StorageError::from(error) {
                StorageError::Duplicate { .. } => Ok(false),
                other => Err(other),
            },
        }
    }

    async fn push_of_hash(&self, app: &str, hash: &str) -> StorageResult<Option<String>> {
        let same = doc! { "app": app, "hash": hash, "state": { "$ne": RECURRING } };
        Ok(self.pushes(same, doc! { "created_at": -1 }, 1).await?.first().map(id_of))
    }

    async fn count_opened(&self, app: &str, id: &str) -> StorageResult<i64> {
        let of_push = doc! { "_id.app": app, "_id.push": id };
        let count = self.core.timed(self.documents(OPENED).count_documents(of_push)).await?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    async fn deliveries(&self, app: &str, id: &str, after: i64, most: i64) -> StorageResult<Vec<Delivery>> {
        let wanted = doc! { "app": app, "push": id, "_id": { "$gt": after } };
        let log = self.documents(DELIVERY);
        let found = self.core.timed(log.find(wanted).sort(doc! { "_id": 1 }).limit(most.max(1))).await?;
        let rows: Vec<Document> = self.core.timed(found.try_collect()).await?;
        let text = |row: &Document, key: &str| row.get_str(key).ok().map(str::to_owned);
        let entry = |row: &Document| Delivery {
            id: whole(row, "_id"),
            installation: text(row, "installation").unwrap_or_default(),
            device_type: text(row, "device_type"),
            result: text(row, "result").unwrap_or_default(),
            reason: text(row, "reason"),
            at: instant(row, "at"),
        };
        Ok(rows.iter().map(entry).collect())
    }

    async fn forget_deliveries(&self, app: &str, before: Millis) -> StorageResult<usize> {
        let old = doc! { "app": app, "at": { "$lt": date(before) } };
        let over = doc! {
            "app": app, "queue": { "$regex": "^push" },
            "state": { "$in": WorkState::OVER.to_vec() },
        };
        let old = self.core.timed(self.documents(DELIVERY).delete_many(old)).await?;
        let over = self.core.timed(self.documents(WORK).delete_many(over)).await?;
        Ok(usize::try_from(old.deleted_count + over.deleted_count).unwrap_or(usize::MAX))
    }
}
