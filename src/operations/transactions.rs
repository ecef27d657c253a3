//! The transactions that are open now: the one of a batch, and the one that spans a write and what its
//! triggers save. Begun and ended by [`super::object::transaction`].
//!
//! Everything inside runs on the transaction's one connection. Cloud Code names it by its id, so that
//! the SDK calls of a trigger that asked for it join in; what must be heard outside waits for the commit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use super::ports::ObjectEvent;
use crate::cloud::{TransactionId, TriggerCall};
use crate::error::{Error, ErrorCode, Result};
use crate::storage::Transaction;
use crate::types::ClassName;

/// What must be heard of a write once it is committed.
#[derive(Clone, Debug)]
pub enum Effect {
    Event(Box<ObjectEvent>),
    /// Written by, or gained or lost, these users.
    RolesChanged(Vec<String>),
    UserChanged(String),
    SessionGone(String),
    /// Fields were added to the class on the transaction's own connection.
    ClassChanged(ClassName),
    /// afterSave or afterDelete of something that was written inside a spanning transaction.
    Trigger(Box<TriggerCall>),
}

/// One transaction. What is inside runs statement after statement.
pub struct OpenTransaction {
    pub id: TransactionId,
    extent: Extent,
    /// How deep in Cloud Code it was opened.
    depth: u16,
    /// `None` once it ended.
    inner: Mutex<Option<Box<dyn Transaction>>>,
    closed: AtomicBool,
    /// Cloud Code takes part, which may go on after an error.
    guarded: AtomicBool,
    effects: StdMutex<Vec<Effect>>,
    opened: Instant,
    known: Arc<Transactions>,
}

/// The transactions that are open now, by the id that Cloud Code knows.
#[derive(Default)]
pub struct Transactions {
    next: AtomicU64,
    open: StdMutex<HashMap<u64, Weak<OpenTransaction>>>,
}

impl Transactions {
    pub(super) fn enter(
        self: &Arc<Self>,
        inner: Box<dyn Transaction>,
        extent: Extent,
        depth: u16,
    ) -> Arc<OpenTransaction> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let open = Arc::new(OpenTransaction {
            id: TransactionId(id),
            extent,
            depth,
            inner: Mutex::new(Some(inner)),
            closed: AtomicBool::new(false),
            guarded: AtomicBool::new(extent == Extent::Triggers),
            effects: StdMutex::default(),
            opened: Instant::now(),
            known: self.clone(),
        });
        self.table().insert(id, Arc::downgrade(&open));
        open
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Weak<OpenTransaction>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The transaction a call of Cloud Code belongs to.
    ///
    /// # Errors
    /// 141 when it has ended: the code did not wait for its own call.
    pub fn join(&self, id: TransactionId) -> Result<Arc<OpenTransaction>> {
        let open = self.table().get(&id.0).and_then(Weak::upgrade);
        let open = open.filter(|open| !open.closed.load(Ordering::Acquire)).ok_or_else(|| {
            let text = "The transaction of this trigger has ended. Triggers with a transaction have to await what they save.";
            Error::parse(ErrorCode::SCRIPT_FAILED, text)
        })?;
        open.guarded.store(true, Ordering::Relaxed);
        Ok(open)
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        self.known.table().remove(&self.id.0);
    }
}

impl OpenTransaction {
    /// Waits for the connection; held for one statement.
    pub async fn lock(&self) -> MutexGuard<'_, Option<Box<dyn Transaction>>> {
        let inner = self.inner.lock().await;
        if let Some(transaction) = inner.as_ref().filter(|_| self.guarded.load(Ordering::Relaxed)) {
            transaction.survive_refusals();
        }
        inner
    }

    /// How long Cloud Code may take from now on: others wait for this connection and for the rows that it
    /// has locked. `most` is for the transaction as a whole.
    pub fn patience(&self, most: Duration) -> Duration {
        most.saturating_sub(self.opened.elapsed()).max(Duration::from_millis(1))
    }

    /// Whether it spans a write, rather than being a batch's.
    pub fn is_spanning(&self) -> bool {
        self.extent == Extent::Triggers
    }

    /// Whether every Cloud Code call at this depth joins: all that happens below a trigger that asked
    /// for it. What such a trigger causes outside would wait for the locks of this transaction.
    pub fn is_joined_at(&self, depth: u16) -> bool {
        depth > self.depth
    }

    pub fn defer(&self, effect: Effect) {
        self.effects.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
    }

    pub(super) fn take_effects(&self) -> Vec<Effect> {
        std::mem::take(&mut self.effects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing joins from now on; what is under way finishes its statement first.
    pub(super) async fn close(&self) -> Result<Box<dyn Transaction>> {
        self.closed.store(true, Ordering::Release);
        self.inner.lock().await.take().ok_or_else(|| Error::internal("the transaction was lost"))
    }
}

/// Which kind of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A batch's: triggers join only if they ask for it.
    Batch,
    /// A write's with its triggers, and with all that those cause.
    Triggers,
}
