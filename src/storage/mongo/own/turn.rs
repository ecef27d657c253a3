//! The turn of the one server that applies defined schemas: a document of collection `_parsimony_turns` that says whose
//! it is and until when, by the database's clock. Its holder prolongs it; that of a server that died runs out.

use std::time::Duration;

use bson::{DateTime, Document, doc};
use mongodb::Collection;
use tokio::task::JoinHandle;

use crate::storage::mongo::MongoAdapter;
use crate::storage::{StorageError, StorageResult};
use crate::types::ObjectId;

const TURNS: &str = "_parsimony_turns";
const MIGRATION: &str = "migration";
const LEASE: Duration = Duration::from_secs(30);
const RENEWAL: Duration = Duration::from_secs(10);
/// Between two looks whether the turn is free.
const PAUSE: Duration = Duration::from_millis(100);

/// The turn, until dropped.
pub struct Turn {
    turns: Collection<Document>,
    holder: String,
    renewing: JoinHandle<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.renewing.abort();
        let (turns, holder) = (self.turns.clone(), self.holder.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // What cannot be removed runs out.
            runtime.spawn(async move { turns.delete_one(doc! { "_id": MIGRATION, "holder": holder }).await });
        }
    }
}

fn later(now: i64) -> DateTime {
    DateTime::from_millis(now.saturating_add(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX)))
}

impl MongoAdapter {
    pub(in crate::storage::mongo) async fn take_migration_turn(&self) -> StorageResult<Turn> {
        let turns = self.documents(TURNS);
        let holder = ObjectId::generate(20).to_string();
        loop {
            let now = self.core.now().await?.0;
            let free = doc! { "_id": MIGRATION, "until": { "$lt": DateTime::from_millis(now) } };
            let mine = doc! { "$set": { "holder": &holder, "until": later(now) } };
            // One that is taken does not fit, and cannot be inserted either.
            match self.core.timed(turns.update_one(free, mine).upsert(true)).await.map_err(StorageError::from)
            {
                Ok(_) => break,
                Err(StorageError::Duplicate { .. }) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        let (core, renewed, of) = (self.core.clone(), turns.clone(), holder.clone());
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                let Ok(now) = core.now().await else { continue };
                let longer = doc! { "$set": { "until": later(now.0) } };
                if let Err(error) = renewed.update_one(doc! { "_id": MIGRATION, "holder": &of }, longer).await
                {
                    tracing::warn!(%error, "the turn of migrations could not be prolonged: {error}");
                }
            }
        });
        Ok(Turn { turns, holder, renewing })
    }
}
