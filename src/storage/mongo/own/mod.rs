//! What the server itself keeps: collections whose names begin with `_parsimony_`, which parse-server does not see.

mod push;
mod turn;
mod work;

use bson::doc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Core, MongoAdapter};
use crate::storage::StorageResult;
use crate::storage::mongo::feed::listen::{NOTICE_SECONDS, NOTICES};
use crate::types::time::Millis;

pub(super) const WORK: &str = "_parsimony_work";

/// How long the difference of the two clocks counts as known.
const CLOCK_SECONDS: u64 = 60;

impl MongoAdapter {
    /// Makes what is missing.
    pub(super) async fn prepare_own(&self) -> StorageResult<()> {
        let by_key = doc! {
            "key": { "app": 1, "queue": 1, "key": 1 }, "name": "by_key", "unique": true,
            "partialFilterExpression": { "key": { "$exists": true } },
        };
        let due =
            doc! { "key": { "app": 1, "queue": 1, "state": 1, "priority": -1, "run_at": 1 }, "name": "due" };
        let command = doc! { "createIndexes": self.core.full_name(WORK), "indexes": [by_key, due] };
        self.core.db.run_command(command).await?;
        let state = doc! { "key": { "app": 1, "state": 1, "due_at": 1 }, "name": "state" };
        let hash = doc! { "key": { "app": 1, "hash": 1, "created_at": -1 }, "name": "hash" };
        let command = doc! { "createIndexes": self.core.full_name(push::PUSH), "indexes": [state, hash] };
        self.core.db.run_command(command).await?;
        let of_push = doc! { "key": { "app": 1, "push": 1, "_id": 1 }, "name": "of_push" };
        let by_time = doc! { "key": { "app": 1, "at": 1 }, "name": "by_time" };
        let command =
            doc! { "createIndexes": self.core.full_name(push::DELIVERY), "indexes": [of_push, by_time] };
        self.core.db.run_command(command).await?;
        let old = doc! { "key": { "at": 1 }, "name": "old", "expireAfterSeconds": NOTICE_SECONDS };
        let command = doc! { "createIndexes": self.core.full_name(NOTICES), "indexes": [old] };
        self.core.db.run_command(command).await?;
        Ok(())
    }
}

impl Core {
    /// The database's clock, which all servers go by.
    async fn now(&self) -> StorageResult<Millis> {
        let age = self.started.elapsed().as_secs();
        let known = self.clock_read.load(Ordering::Relaxed);
        if known == 0 || age + 1 > known + CLOCK_SECONDS {
            let began = Instant::now();
            let hello = self.timed(self.db.run_command(doc! { "hello": 1 })).await?;
            let half = i64::try_from(began.elapsed().as_millis() / 2).unwrap_or_default();
            if let Ok(there) = hello.get_datetime("localTime") {
                let ahead = there.timestamp_millis() + half - Millis::now().0;
                self.clock_ahead.store(ahead, Ordering::Relaxed);
            }
            self.clock_read.store(age + 1, Ordering::Relaxed);
        }
        Ok(Millis(Millis::now().0 + self.clock_ahead.load(Ordering::Relaxed)))
    }
}
