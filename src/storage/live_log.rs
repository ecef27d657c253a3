//! Changes of objects written down by the database itself: those that other programs make in SQL, and
//! those of our servers where events are to outlive them. An adapter that has none answers `None`
//! to [`super::StorageAdapter::live_log`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::StorageResult;
use crate::types::{ClassName, ClassSchema, Object};

/// Channel of [`crate::pubsub::Notice::Other`] on which the database tells of changes in SQL; the payload is
/// `{"class": …, "id": …}`.
pub const SQL_CHANGES: &str = "live-sql";

/// Whose changes are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// What others than our servers write.
    Others,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    One(i64),
    /// Not before this instant (microseconds since 1970), oldest first, so many at most.
    Since {
        micros: i64,
        most: usize,
    },
}

/// One change; both states in REST encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Microseconds since 1970, on the database's clock.
    pub micros: i64,
    /// `None`: the object was created.
    pub before: Option<Object>,
    /// `None`: it was deleted.
    pub after: Option<Object>,
}

#[async_trait]
pub trait LiveLog: Send + Sync {
    /// Begins to write the class's changes down; `false` when it has no table yet.
    async fn capture(&self, class: &ClassName, capture: Capture) -> StorageResult<bool>;

    /// Ends that for every class and forgets what was written.
    async fn release(&self) -> StorageResult<()>;

    async fn entries(&self, class: &Arc<ClassSchema>, entries: Entries) -> StorageResult<Vec<LogEntry>>;

    /// Number of the newest entry.
    async fn newest(&self) -> StorageResult<i64>;

    /// Number and class of what others than our servers changed after this entry, in order, so many at most.
    async fn others_after(&self, id: i64, most: usize) -> StorageResult<Vec<(i64, String)>>;

    /// Whether everything since that instant has been written down and is still there.
    async fn covers(&self, class: &ClassName, micros: i64, retention: Duration) -> StorageResult<bool>;

    /// Removes entries older than this.
    async fn forget(&self, retention: Duration) -> StorageResult<()>;
}
