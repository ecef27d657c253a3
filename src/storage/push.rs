//! Pushes that were accepted, and what became of them: [`PushLedger`].
//!
//! A push is a row of its own beside its `_PushStatus` row, and items in the queue `push:<id>` of the
//! [`super::WorkQueue`], one for each batch of installations. What belongs together is written in one
//! transaction, through [`PushWriter`]: a push with its status, the next batch with the progress of the one
//! before, results with the end of the item and the counters of the status.
//!
//! Called by `operations::push`.

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Lease, NewWork, StorageResult};
use crate::types::time::Millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushState {
    /// Its items are taken when they are due.
    Active,
    /// A template: each time it is due, a push is made of it.
    Recurring,
    Paused,
    Ended,
    Cancelled,
}

impl PushState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Recurring => "recurring",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn read(text: &str) -> Option<Self> {
        let all = [Self::Active, Self::Recurring, Self::Paused, Self::Ended, Self::Cancelled];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

/// A push to be written down.
#[derive(Clone, Debug)]
pub struct NewPush {
    pub id: String,
    pub state: PushState,
    /// `None`: at once.
    pub due_at: Option<Millis>,
    pub deadline: Millis,
    pub body: Value,
    pub condition: Value,
    pub settings: Value,
    pub hash: String,
}

/// A push as it is stored.
#[derive(Clone, Debug)]
pub struct StoredPush {
    pub id: String,
    pub state: PushState,
    pub due_at: Millis,
    pub deadline: Millis,
    pub body: Value,
    pub condition: Value,
    pub settings: Value,
    pub created_at: Millis,
    pub reasons: Map<String, Value>,
    pub retried: i64,
    pub repeated: i64,
}

/// What became of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// In the order in which they were written; 0 for a new one.
    pub id: i64,
    pub installation: String,
    pub device_type: Option<String>,
    /// `accepted`, `rejected`, `retried`, `expired`.
    pub result: String,
    pub reason: Option<String>,
    /// When it was written.
    pub at: Option<Millis>,
}

/// What an item's end adds to its push.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// Items that go on with what is left.
    pub more: Vec<NewWork>,
    pub log: Vec<Delivery>,
    pub reasons: Vec<(String, i64)>,
    pub retried: i64,
    pub repeated: i64,
}

/// Different reasons that are counted for one push; the rest is counted as `other`.
const MOST_REASONS: usize = 64;

/// What was counted so far of each reason, with these.
pub fn count_reasons(mut all: Map<String, Value>, new: &[(String, i64)]) -> Map<String, Value> {
    for (reason, count) in new {
        let key = match all.contains_key(reason) || all.len() < MOST_REASONS {
            true => reason.as_str(),
            false => "other",
        };
        let before = all.get(key).and_then(Value::as_i64).unwrap_or(0);
        all.insert(key.to_owned(), (before + count).into());
    }
    all
}

/// Why devices were refused, one count for each that was told.
pub fn reasons_of(refused: &[Delivery]) -> Vec<(String, i64)> {
    refused.iter().filter_map(|entry| Some((entry.reason.clone()?, 1))).collect()
}

/// The queue of a push.
pub fn queue_of(push: &str) -> String {
    format!("push:{push}")
}

/// Writes within a transaction.
#[async_trait]
pub trait PushWriter: Send + Sync {
    async fn add_push(&self, app: &str, push: &NewPush, items: &[NewWork]) -> StorageResult<()>;

    /// Notes how far an item is and writes down those that come after it. `false`: the lease is lost.
    async fn extend_push(
        &self,
        app: &str,
        push: &str,
        lease: &Lease,
        progress: &Value,
        next: &[NewWork],
    ) -> StorageResult<bool>;

    /// Ends an item. `None`: the lease is lost; `Some(true)`: nothing of the push is open any more.
    async fn finish_push_item(
        &self,
        app: &str,
        push: &str,
        lease: &Lease,
        ending: &Ending,
    ) -> StorageResult<Option<bool>>;

    /// Ends an item that asked what became of messages; `false`: the lease is lost.
    async fn note_receipts(
        &self,
        app: &str,
        push: &str,
        lease: &Lease,
        refused: &[Delivery],
        keeps_log: bool,
    ) -> StorageResult<bool>;

    /// Changes the state if it is one of `from`. With `Cancelled`, what waits is dropped.
    async fn set_push_state(
        &self,
        app: &str,
        push: &str,
        from: &[PushState],
        to: PushState,
    ) -> StorageResult<bool>;

    /// The template that has been due the longest, if nobody else has it; its row stays locked.
    async fn take_recurring(&self, app: &str) -> StorageResult<Option<StoredPush>>;

    /// When a template is due next; `None`: never again.
    async fn set_due(&self, app: &str, push: &str, due_at: Option<Millis>) -> StorageResult<()>;
}

/// An adapter that keeps pushes.
#[async_trait]
pub trait PushLedger: Send + Sync {
    /// Active pushes of which something is due that nobody works on.
    async fn ready_pushes(&self, app: &str, most: usize) -> StorageResult<Vec<String>>;

    /// When something of a push, or a template, is due next.
    async fn next_push(&self, app: &str) -> StorageResult<Option<Millis>>;

    /// Whether a template is due.
    async fn has_recurring_due(&self, app: &str) -> StorageResult<bool>;

    async fn push(&self, app: &str, id: &str) -> StorageResult<Option<StoredPush>>;

    /// Which of these are not active.
    async fn halted_pushes(&self, app: &str, ids: &[String]) -> StorageResult<Vec<String>>;

    /// Notes that an installation opened its app by a push; `true`: for the first time.
    async fn note_opened(&self, app: &str, push: &str, installation: &str) -> StorageResult<bool>;

    /// The latest push with this hash.
    async fn push_of_hash(&self, app: &str, hash: &str) -> StorageResult<Option<String>>;

    /// How many installations opened their app by a push.
    async fn count_opened(&self, app: &str, push: &str) -> StorageResult<i64>;

    /// What was logged of a push after this one.
    async fn deliveries(&self, app: &str, push: &str, after: i64, most: i64) -> StorageResult<Vec<Delivery>>;

    /// Removes log entries of before this, and the items of pushes that are over.
    async fn forget_deliveries(&self, app: &str, before: Millis) -> StorageResult<usize>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_beyond_the_most_are_counted_together() {
        let many: Vec<(String, i64)> = (0..70).map(|n| (format!("r{n}"), 2)).collect();
        let counted = count_reasons(Map::new(), &many);
        assert_eq!(counted.len(), MOST_REASONS + 1);
        assert_eq!(counted["r0"], 2);
        assert_eq!(counted["other"], 12);
        let again = count_reasons(counted, &[("r0".to_owned(), 1), ("new".to_owned(), 1)]);
        assert_eq!((&again["r0"], &again["other"]), (&3.into(), &13.into()));
    }

    #[test]
    fn refusals_without_a_reason_are_not_counted() {
        let refused = |reason: Option<&str>| Delivery {
            id: 0,
            installation: "i".to_owned(),
            device_type: None,
            result: "rejected".to_owned(),
            reason: reason.map(str::to_owned),
            at: None,
        };
        assert_eq!(reasons_of(&[refused(Some("gone")), refused(None)]), [("gone".to_owned(), 1)]);
    }
}
