//! The queue of work, for tests: one process, so that time and locks are its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::MemoryAdapter;
use crate::storage::work::shares;
use crate::storage::{
    Claimed, Enqueue, Lease, Mark, NewWork, Retry, StorageResult, Wanted, WorkItem, WorkQueue, WorkState,
};
use crate::types::time::Millis;

#[derive(Clone, Debug)]
struct Kept {
    app: String,
    item: WorkItem,
    priority: i32,
    retry: Retry,
    holder: Option<Arc<str>>,
    lease_until: Option<Millis>,
    changed_at: Millis,
}

/// Shared by the adapter and its transactions.
#[derive(Debug, Default)]
pub struct Works {
    items: Mutex<Vec<Kept>>,
    last_id: std::sync::atomic::AtomicI64,
    turn: std::sync::atomic::AtomicUsize,
}

/// What a transaction has written down, until it commits.
#[derive(Debug, Default)]
pub struct Pending(Mutex<Vec<Kept>>);

fn from_now(length: Duration) -> Millis {
    Millis(Millis::now().0.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
}

impl Kept {
    fn has_key(&self, app: &str, queue: &str, key: &str) -> bool {
        self.app == app && self.item.queue == queue && self.item.key.as_deref() == Some(key)
    }

    fn is_of(&self, lease: &Lease) -> bool {
        self.item.id == lease.id
            && self.item.state == WorkState::Running
            && self.holder.as_ref() == Some(&lease.holder)
            && self.item.attempts == lease.attempt
    }

    fn is_left(&self) -> bool {
        self.item.state == WorkState::Running && self.lease_until.is_some_and(|until| until < Millis::now())
    }

    fn is_too_late(&self) -> bool {
        matches!(self.retry, Retry::Until { deadline, .. } if deadline < Millis::now())
    }

    fn set(&mut self, state: WorkState) {
        self.item.state = state;
        self.changed_at = Millis::now();
        if state != WorkState::Running {
            self.lease_until = None;
        }
    }

    fn claimed(&mut self, wanted: &Wanted<'_>) -> Claimed {
        self.set(WorkState::Running);
        self.holder = Some(wanted.holder.clone());
        self.lease_until = Some(from_now(wanted.lease));
        self.item.attempts += 1;
        let pause = match self.retry {
            Retry::Never => None,
            Retry::Until { pause, .. } => Some(pause),
        };
        let (holder, attempt) = (wanted.holder.clone(), self.item.attempts);
        Claimed { lease: Lease { id: self.item.id, holder, attempt, pause }, item: self.item.clone() }
    }
}

impl Works {
    fn items(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, app: &str, work: &NewWork) -> Kept {
        let begun = work.begun.as_ref();
        let item = WorkItem {
            id: self.last_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1,
            queue: work.queue.clone(),
            key: work.key.clone(),
            state: if begun.is_some() { WorkState::Running } else { WorkState::Waiting },
            run_at: work.run_at.unwrap_or_else(|| from_now(work.after.unwrap_or_default())),
            attempts: i32::from(begun.is_some()),
            payload: work.payload.clone(),
            progress: begun.map(|begun| begun.progress.clone()),
            outcome: None,
        };
        Kept {
            app: app.to_owned(),
            item,
            priority: work.priority,
            retry: work.retry,
            holder: begun.map(|begun| begun.holder.clone()),
            lease_until: begun.map(|begun| from_now(begun.lease)),
            changed_at: Millis::now(),
        }
    }

    /// What a transaction wrote down is there from now on.
    pub fn commit(&self, pending: &Pending) {
        self.items().append(&mut pending.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Runs `change` on the items of these queues; those it answers `true` for.
    fn change(&self, app: &str, queues: &[&str], mut change: impl FnMut(&mut Kept) -> bool) -> Vec<WorkItem> {
        let mut items = self.items();
        let of_queues = items.iter_mut().filter(|k| k.app == app && queues.contains(&k.item.queue.as_str()));
        of_queues.filter_map(|kept| change(kept).then(|| kept.item.clone())).collect()
    }

    fn held<T>(&self, lease: &Lease, work: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        self.items().iter_mut().find(|kept| kept.is_of(lease)).map(work)
    }
}

#[async_trait]
impl Enqueue for MemoryAdapter {
    async fn enqueue(&self, app: &str, work: &[NewWork]) -> StorageResult<Vec<Option<i64>>> {
        let mut items = self.work.items();
        let mut pending = self.pending.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids = Vec::with_capacity(work.len());
        for new in work {
            let is_there = |key: &String| {
                items.iter().chain(pending.iter()).any(|kept| kept.has_key(app, &new.queue, key))
            };
            if new.key.as_ref().is_some_and(is_there) {
                ids.push(None);
                continue;
            }
            let kept = self.work.kept(app, new);
            ids.push(Some(kept.item.id));
            if self.origin.is_some() { pending.push(kept) } else { items.push(kept) }
        }
        Ok(ids)
    }
}

#[async_trait]
impl WorkQueue for MemoryAdapter {
    async fn claim(&self, wanted: &Wanted<'_>) -> StorageResult<Vec<Claimed>> {
        self.work.change(wanted.app, wanted.queues, |kept| {
            let repeatable = kept.retry != Retry::Never || kept.item.progress.is_none();
            if kept.is_left() && repeatable && !kept.is_too_late() {
                kept.set(WorkState::Waiting);
            }
            false
        });
        let mut items = self.work.items();
        let mut claimed = Vec::new();
        let mut queues = wanted.queues.to_vec();
        while claimed.len() < wanted.most && !queues.is_empty() {
            let mut left = Vec::new();
            let turn = self.work.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            for (queue, share) in shares(&queues, wanted.most - claimed.len(), turn) {
                let of_key = |kept: &Kept| {
                    wanted
                        .keys
                        .is_none_or(|keys| kept.item.key.as_ref().is_some_and(|key| keys.contains(key)))
                };
                let mut due: Vec<&mut Kept> = items
                    .iter_mut()
                    .filter(|kept| kept.app == wanted.app && kept.item.queue == queue && of_key(kept))
                    .filter(|kept| kept.item.state == WorkState::Waiting && !kept.is_too_late())
                    .filter(|kept| kept.item.run_at <= Millis::now())
                    .collect();
                due.sort_by_key(|kept| (std::cmp::Reverse(kept.priority), kept.item.run_at, kept.item.id));
                if due.len() >= share {
                    left.push(queue);
                }
                claimed.extend(due.into_iter().take(share).map(|kept| kept.claimed(wanted)));
            }
            queues = left;
        }
        Ok(claimed)
    }

    async fn renew(&self, app: &str, holder: &str, ids: &[i64], lease: Duration) -> StorageResult<Vec<i64>> {
        let mut items = self.work.items();
        let own = items.iter_mut().filter(|kept| {
            let is_running = kept.item.state == WorkState::Running && ids.contains(&kept.item.id);
            kept.app == app && is_running && kept.holder.as_deref() == Some(holder)
        });
        let renewed = own.map(|kept| {
            kept.lease_until = Some(from_now(lease));
            kept.item.id
        });
        Ok(renewed.collect())
    }

    async fn begin(&self, lease: &Lease, progress: &Value, length: Duration) -> StorageResult<bool> {
        let begun = self.work.held(lease, |kept| {
            kept.item.progress = Some(progress.clone());
            kept.lease_until = Some(from_now(length));
            kept.changed_at = Millis::now();
        });
        Ok(begun.is_some())
    }

    async fn complete(&self, leases: &[Lease], result: Option<&Value>) -> StorageResult<usize> {
        let done = leases.iter().filter(|lease| {
            let done = self.work.held(lease, |kept| {
                kept.set(WorkState::Done);
                kept.item.outcome = result.cloned();
            });
            done.is_some()
        });
        Ok(done.count())
    }

    async fn fail(&self, lease: &Lease, reason: &Value) -> StorageResult<Option<Millis>> {
        let pause = lease.next_pause();
        let next = self.work.held(lease, |kept| {
            kept.item.outcome = Some(reason.clone());
            let next = pause
                .map(from_now)
                .filter(|next| !matches!(kept.retry, Retry::Until { deadline, .. } if deadline < *next));
            kept.set(if next.is_some() { WorkState::Waiting } else { WorkState::Failed });
            if let Some(next) = next {
                kept.item.run_at = next;
            }
            next
        });
        Ok(next.flatten())
    }

    async fn release(&self, lease: &Lease) -> StorageResult<bool> {
        let released = self.work.held(lease, |kept| {
            kept.set(WorkState::Waiting);
            kept.item.attempts -= 1;
        });
        Ok(released.is_some())
    }

    async fn cancel(&self, app: &str, queue: &str, keys: Option<&[String]>) -> StorageResult<usize> {
        let cancelled = self.work.change(app, &[queue], |kept| {
            let of_key = keys.is_none_or(|keys| kept.item.key.as_ref().is_some_and(|key| keys.contains(key)));
            let is_open = !kept.item.state.is_over() && of_key;
            if is_open {
                kept.set(WorkState::Cancelled);
            }
            is_open
        });
        Ok(cancelled.len())
    }

    async fn lost(&self, app: &str, queues: &[&str]) -> StorageResult<Vec<WorkItem>> {
        Ok(self.work.change(app, queues, |kept| {
            let begun = kept.retry == Retry::Never && kept.item.progress.is_some();
            let waits_too_long = kept.item.state == WorkState::Waiting && kept.is_too_late();
            let is_lost = kept.is_left() && (begun || kept.is_too_late()) || waits_too_long;
            if is_lost {
                kept.set(WorkState::Failed);
                kept.item.outcome = Some(json!({ "lost": true }));
            }
            is_lost
        }))
    }

    async fn item(&self, id: i64) -> StorageResult<Option<WorkItem>> {
        Ok(self.work.items().iter().find(|kept| kept.item.id == id).map(|kept| kept.item.clone()))
    }

    async fn next_due(&self, app: &str, queues: &[&str]) -> StorageResult<Option<Millis>> {
        let waiting = self.work.change(app, queues, |kept| kept.item.state == WorkState::Waiting);
        Ok(waiting.iter().map(|item| item.run_at).min())
    }

    async fn forget(&self, app: &str, queue: &str, age: Duration) -> StorageResult<usize> {
        let since = Millis(Millis::now().0 - i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let mut items = self.work.items();
        let before = items.len();
        items.retain(|kept| {
            kept.app != app
                || kept.item.queue != queue
                || !kept.item.state.is_over()
                || kept.changed_at >= since
        });
        Ok(before - items.len())
    }

    async fn marks(
        &self,
        app: &str,
        queue: &str,
        keys: &[(String, Millis)],
    ) -> StorageResult<HashMap<String, Mark>> {
        let mut items = self.work.items();
        let mut mark = |key: &str, since: Millis| {
            if let Some(kept) = items.iter().find(|kept| kept.has_key(app, queue, key)) {
                let open = match kept.item.state {
                    WorkState::Waiting => true,
                    WorkState::Running => kept.item.progress.is_none(),
                    _ => false,
                };
                return Mark { run_at: kept.item.run_at, is_open: open };
            }
            let new =
                NewWork { key: Some(key.to_owned()), run_at: Some(since), ..NewWork::new(queue, json!({})) };
            let mut kept = self.work.kept(app, &new);
            kept.set(WorkState::Done);
            items.push(kept);
            Mark { run_at: since, is_open: false }
        };
        let first = mark("", Millis::now()).run_at;
        Ok(keys.iter().map(|(key, since)| (key.clone(), mark(key, first.max(*since)))).collect())
    }

    async fn again(&self, app: &str, queue: &str, key: &str, run_at: Millis) -> StorageResult<bool> {
        let set = self.work.change(app, &[queue], |kept| {
            let may = kept.item.key.as_deref() == Some(key)
                && kept.item.state != WorkState::Running
                && kept.item.run_at < run_at;
            if may {
                kept.set(WorkState::Waiting);
                kept.item.run_at = run_at;
                kept.item.progress = None;
                kept.item.outcome = None;
            }
            may
        });
        Ok(!set.is_empty())
    }
}
