//! What any program changes in the database, from a place on that outlives connections and this process. Only that
//! something was changed is told: who follows reads what it is now.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::StorageResult;

/// What was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An object of a class, by the class's name.
    Object { class: String, id: String },
    /// The members of a relation.
    Relation { field: String, class: String },
    /// Fields, permissions or indexes of a class, or whether there is one.
    Schema { class: String },
    /// A class lost its objects at once, or objects that cannot be named.
    Class { class: String },
    /// Files kept in the database.
    Files,
    /// [`ChangeFeed::mark`] was called with this text.
    Mark(String),
    /// Nothing that anybody follows.
    Other,
}

/// A change, and the place behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub place: String,
    pub change: Change,
}

#[async_trait]
pub trait ChangeFeed: Send + Sync {
    /// The place behind everything that was changed up to now.
    async fn place(&self) -> StorageResult<String>;

    /// What was changed behind the place, in order, without an end. `StaleSchema` when the database no longer knows
    /// what happened there: everything may have changed since.
    async fn follow(&self, place: &str) -> StorageResult<BoxStream<'static, StorageResult<Told>>>;

    /// Has the feed tell this text behind everything that was changed before.
    async fn mark(&self, text: &str) -> StorageResult<()>;
}
