//! Transactions: the adapter on one session. The server ends one at the first statement that it refuses.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::MongoAdapter;
use crate::storage::mongo::error::{boxed, is_transient, is_unknown_commit};
use crate::storage::push::PushWriter;
use crate::storage::{Enqueue, Session, StorageError, StorageResult, Transaction};
use crate::types::{ClassName, ClassSchema, Field, FieldName};

/// How long a new transaction waits for such that were dropped.
const ENDING: Duration = Duration::from_secs(2);
/// Times that a commit is sent whose outcome nobody heard.
const COMMITS: u32 = 5;

/// Times that a transaction of ours is tried when others write the same: of many that change the members of one
/// object at once, the server ends all but one.
pub(super) const TRIES: u32 = 12;

pub(super) async fn pause(tries: u32) {
    let most = 10_u64 << tries.min(6);
    tokio::time::sleep(Duration::from_millis(rand::random_range(most / 2..=most))).await;
}

impl MongoAdapter {
    /// A transaction, or the error that this server has none.
    pub(super) async fn start(&self) -> StorageResult<Self> {
        if !self.core.has_transactions {
            let text = "This MongoDB server is no replica set, and so it has no transactions.";
            return Err(StorageError::Refused(crate::error::Error::parse(
                crate::error::ErrorCode::COMMAND_UNAVAILABLE,
                text,
            )));
        }
        // What was dropped a moment ago holds its documents until the server has heard of it.
        let _ = tokio::time::timeout(ENDING, self.core.ending.write()).await;
        let mut session = self.core.client.start_session().await?;
        session.start_transaction().await?;
        Ok(Self { core: self.core.clone(), open: Some(Mutex::new(session)), pubsub: None })
    }

    /// The same database, outside any transaction.
    pub(super) fn outside(&self) -> Self {
        Self { core: self.core.clone(), open: None, pubsub: None }
    }

    /// Commits a success, and ends the transaction otherwise.
    pub(super) async fn settle<T>(mut self, outcome: StorageResult<T>) -> StorageResult<T> {
        let Some(open) = self.open.take() else { return outcome };
        let mut session = open.into_inner();
        let value = match outcome {
            Ok(value) => value,
            Err(error) => {
                // The server forgets it in any case.
                if let Err(failed) = self.core.timed(session.abort_transaction()).await {
                    tracing::debug!(error = %failed, "a transaction could not be ended");
                }
                return Err(error);
            }
        };
        let mut tries = 0;
        loop {
            match self.core.timed(session.commit_transaction()).await {
                Ok(()) => return Ok(value),
                Err(error) if is_unknown_commit(&error) && tries < COMMITS => {
                    tries += 1;
                    pause(tries).await;
                }
                Err(error) if is_transient(&error) => return Err(StorageError::Conflict(Box::new(error))),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Dropped without an end, a transaction is rolled back.
impl Drop for MongoAdapter {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let (core, ending) = (self.core.clone(), self.core.ending.clone().try_read_owned());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let mut session = open.into_inner();
                if let Err(error) = core.timed(session.abort_transaction()).await {
                    tracing::debug!(%error, "a transaction could not be rolled back");
                }
                drop(ending);
            });
        }
    }
}

#[async_trait]
impl Transaction for MongoAdapter {
    async fn commit(self: Box<Self>) -> StorageResult<()> {
        self.settle(Ok(())).await
    }

    async fn rollback(self: Box<Self>) -> StorageResult<()> {
        match self.settle::<()>(Err(StorageError::Other(boxed("rolled back")))).await {
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// Classes are changed outside: a field that is there too early does no harm.
    async fn add_fields(
        &self,
        class: &ClassName,
        fields: &[(FieldName, Field)],
    ) -> StorageResult<ClassSchema> {
        self.make_fields(class, fields).await
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
