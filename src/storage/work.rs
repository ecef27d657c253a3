//! Work that outlives the server that wrote it down. Any number of servers write items and claim them; one at
//! a time has an item, by a lease that it renews, and time is the database's.
//!
//! An item waits until `run_at`, is claimed (`running`), and ends as `done`, `failed` or `cancelled`. Who
//! claimed it may note what it has done so far ([`WorkQueue::begin`]); when it dies, its lease runs out, and
//! what becomes of the item is said by [`Retry`]: tried again by somebody else until a deadline, or, once it was
//! begun, lost, for what must not happen twice. The lost are told once ([`WorkQueue::lost`]).
//!
//! **Fairness**: a claim names several queues and gets a share of each; within a queue, higher `priority` first,
//! then the earlier `run_at`.
//!
//! **Items that come back**: a schedule has one item, by its key, whose `run_at` is the latest due time taken.
//! [`WorkQueue::marks`] reads it, [`WorkQueue::again`] sets it waiting for a later one.
//!
//! Who uses it:
//! * `operations::jobs`: a run of a job is an item of queue `job`, written in the transaction of its `_JobStatus`
//!   row; each job schedule is an item of queue `schedule`;
//! * push will write, in the transaction of the `_PushStatus` row, one item per batch of installations in a
//!   queue of the push's own (`push:<id>`), so that a push to millions and one to a single device share the
//!   senders; key: number of the batch, so that a batch written twice is one; `begin` notes the last
//!   installation that was sent to, from which whoever takes over goes on; `Retry::Until` the push's expiry;
//!   the result is the batch's counts; a push that is taken back cancels its queue;
//! * webhooks that are not waited for: one item per event, in a queue per URL, `Retry::Until` a day later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::StorageResult;
use crate::types::time::Millis;

/// What becomes of an item whose attempt failed, or whose holder died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// An attempt that began is never repeated.
    Never,
    /// Attempts until `deadline`, this long after the first one that failed, twice as long after the next, and
    /// so on, never quite regularly.
    Until { deadline: Millis, pause: Duration },
}

/// An item to be written down.
#[derive(Clone, Debug)]
pub struct NewWork {
    pub queue: String,
    /// A second item of this key in its queue is not written, whatever became of the first.
    pub key: Option<String>,
    pub payload: Value,
    pub priority: i32,
    /// Not before this moment that somebody named; `None`: at once.
    pub run_at: Option<Millis>,
    /// Instead: not before so much time has gone by on the storage's clock, which this server's need not agree with.
    pub after: Option<Duration>,
    pub retry: Retry,
    /// Begun already by whoever writes it down.
    pub begun: Option<Begun>,
}

impl NewWork {
    pub fn new(queue: impl Into<String>, payload: Value) -> Self {
        let queue = queue.into();
        Self {
            queue,
            key: None,
            payload,
            priority: 0,
            run_at: None,
            after: None,
            retry: Retry::Never,
            begun: None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Begun {
    pub holder: Arc<str>,
    pub lease: Duration,
    pub progress: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkState {
    Waiting,
    Running,
    Done,
    Failed,
    Cancelled,
}

impl WorkState {
    /// Those that are over, as they are kept.
    pub const OVER: [&'static str; 3] =
        [Self::Done.as_str(), Self::Failed.as_str(), Self::Cancelled.as_str()];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn read(text: &str) -> Option<Self> {
        let all = [Self::Waiting, Self::Running, Self::Done, Self::Failed, Self::Cancelled];
        all.into_iter().find(|state| state.as_str() == text)
    }

    /// Nothing more becomes of it by itself.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// An item as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkItem {
    pub id: i64,
    pub queue: String,
    pub key: Option<String>,
    pub state: WorkState,
    pub run_at: Millis,
    pub attempts: i32,
    pub payload: Value,
    /// What its holder noted, this one's or an earlier one's.
    pub progress: Option<Value>,
    /// Its result, or why it failed.
    pub outcome: Option<Value>,
}

/// The right to one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub id: i64,
    pub holder: Arc<str>,
    pub attempt: i32,
    /// After the first attempt; `None`: there is no other.
    pub pause: Option<Duration>,
}

impl Lease {
    /// Of an item that was begun by whoever wrote it down.
    pub fn of_begun(id: i64, begun: &Begun) -> Self {
        Self { id, holder: begun.holder.clone(), attempt: 1, pause: None }
    }

    /// How long until the next attempt.
    pub fn next_pause(&self) -> Option<Duration> {
        let doubled = self.pause?.saturating_mul(1_u32 << self.attempt.clamp(1, 20).saturating_sub(1));
        let whole = doubled.min(LONGEST_PAUSE).as_millis();
        let whole = u64::try_from(whole).unwrap_or(u64::MAX).max(1);
        // So that items that failed together do not come back together.
        Some(Duration::from_millis(rand::random_range(whole.div_ceil(2)..=whole)))
    }
}

/// Between two attempts.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// An item that is the caller's for now.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub lease: Lease,
    pub item: WorkItem,
}

/// What a claimer wants.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub app: &'a str,
    pub queues: &'a [&'a str],
    /// Items of these keys only.
    pub keys: Option<&'a [String]>,
    /// Unique for each start of a server.
    pub holder: &'a Arc<str>,
    pub lease: Duration,
    pub most: usize,
}

/// Where an item that comes back stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The latest due time taken.
    pub run_at: Millis,
    /// It was taken by nobody who is alive and has begun: it can be claimed.
    pub is_open: bool,
}

/// Writes items down: an adapter at once, a transaction with its commit.
#[async_trait]
pub trait Enqueue: Send + Sync {
    /// Ids in the order of `work`; `None` for one whose key is there already.
    async fn enqueue(&self, app: &str, work: &[NewWork]) -> StorageResult<Vec<Option<i64>>>;
}

/// An adapter that keeps such items.
#[async_trait]
pub trait WorkQueue: Enqueue {
    /// Takes what is due, a share of each queue.
    async fn claim(&self, wanted: &Wanted<'_>) -> StorageResult<Vec<Claimed>>;

    /// Prolongs these leases of a holder; the ids of what is still its own. What is missing was cancelled or
    /// taken over, and is to be stopped.
    async fn renew(&self, app: &str, holder: &str, ids: &[i64], lease: Duration) -> StorageResult<Vec<i64>>;

    /// Notes how far the holder is, and prolongs the lease. `false`: the lease is lost, and the work must not
    /// begin, or go on.
    async fn begin(&self, lease: &Lease, progress: &Value, length: Duration) -> StorageResult<bool>;

    /// These are done, with this result. The number of those that still were the holder's.
    async fn complete(&self, leases: &[Lease], result: Option<&Value>) -> StorageResult<usize>;

    /// The attempt failed; when the next one is, if there is one.
    async fn fail(&self, lease: &Lease, reason: &Value) -> StorageResult<Option<Millis>>;

    /// As if it had never been claimed: for a server that stops.
    async fn release(&self, lease: &Lease) -> StorageResult<bool>;

    /// Ends what waits or runs in a queue, those of these keys or all; how many there were.
    async fn cancel(&self, app: &str, queue: &str, keys: Option<&[String]>) -> StorageResult<usize>;

    /// Fails what had begun, must not be repeated, and whose holder is gone; each is told once.
    async fn lost(&self, app: &str, queues: &[&str]) -> StorageResult<Vec<WorkItem>>;

    async fn item(&self, id: i64) -> StorageResult<Option<WorkItem>>;

    /// When the next of what waits in these queues is due.
    async fn next_due(&self, app: &str, queues: &[&str]) -> StorageResult<Option<Millis>>;

    /// Removes what ended so long ago; how many there were.
    async fn forget(&self, app: &str, queue: &str, age: Duration) -> StorageResult<usize>;

    /// Where these items stand that come back. One that is seen for the first time counts as taken up to its
    /// time here, or up to the first call of this for the queue, whichever is later.
    async fn marks(
        &self,
        app: &str,
        queue: &str,
        keys: &[(String, Millis)],
    ) -> StorageResult<HashMap<String, Mark>>;

    /// Sets an item waiting for a later time than before, unless it runs. Of several servers that ask for the
    /// same time, one is answered `true`.
    async fn again(&self, app: &str, queue: &str, key: &str, run_at: Millis) -> StorageResult<bool>;
}

/// The share of each queue of what a claimer wants, in an order that differs from claim to claim: everybody
/// gets one before anybody gets two.
pub(crate) fn shares<'q>(queues: &[&'q str], most: usize, turn: usize) -> Vec<(&'q str, usize)> {
    let count = queues.len().max(1);
    let order = (0..queues.len()).filter_map(|index| queues.get((index + turn) % count).copied());
    order
        .enumerate()
        .map(|(place, queue)| (queue, most / count + usize::from(place < most % count)))
        .filter(|(_, share)| *share > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_the_rest_goes_round() {
        assert_eq!(shares(&["a", "b", "c"], 7, 0), [("a", 3), ("b", 2), ("c", 2)]);
        assert_eq!(shares(&["a", "b", "c"], 7, 1), [("b", 3), ("c", 2), ("a", 2)]);
        assert_eq!(shares(&["a", "b", "c"], 1, 2), [("c", 1)]);
        assert!(shares(&[], 5, 3).is_empty());
    }

    #[test]
    fn pauses_grow_to_a_bound_and_are_never_equal_for_long() {
        let lease =
            |attempt| Lease { id: 1, holder: "a".into(), attempt, pause: Some(Duration::from_millis(100)) };
        for (attempt, whole) in [(1, 100), (2, 200), (5, 1600), (60, 3_600_000)] {
            let pauses: Vec<_> = (0..50).filter_map(|_| lease(attempt).next_pause()).collect();
            let bounds = Duration::from_millis(whole / 2)..=Duration::from_millis(whole);
            assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{attempt}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
        assert_eq!(Lease { pause: None, ..lease(1) }.next_pause(), None);
    }
}
