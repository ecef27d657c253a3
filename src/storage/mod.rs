//! What the operations need of a database, in the terms of [`crate::types`]. Implemented by
//! `postgres`, `mongo` and, for tests, by `memory`; one conformance suite runs on all of them.
//!
//! [`Session`]: reads and writes on objects; [`Transaction`]: the same, open; [`StorageAdapter`]: the whole database,
//! with what else it may be able to do as capabilities: files, a bus, [`WorkQueue`], [`push`], [`live_log`],
//! [`changes`].
//!
//! Layering: adapters decide nothing about rights. Filters, readers and sub-queries arrive resolved.

mod adapter;
pub mod changes;
mod error;
pub mod live_log;
pub mod memory;
mod mismatch;
#[cfg(feature = "mongo")]
pub mod mongo;
pub mod postgres;
pub mod preview;
pub mod push;
mod session;
pub mod statements;
mod work;

pub use adapter::{FileStoreProvider, IndexMap, IndexWishes, See, StartupIndexes, StorageAdapter};
pub use error::{StorageError, StorageResult, is_conflict, is_stale_schema};
pub use session::{
    AggregateOptions, Changed, Related, RelationQuery, RelationSide, Returning, Session, Transaction,
    WriteFilter,
};
pub use work::{
    Begun, Claimed, Enqueue, Lease, Mark, NewWork, Retry, Wanted, WorkItem, WorkQueue, WorkState,
};

use crate::types::FieldType;

/// Whether a column of this type exists in storage at all.
pub fn is_stored(ty: &FieldType) -> bool {
    !matches!(ty, FieldType::Relation(_) | FieldType::Acl)
}
