//! What servers on one database tell each other.
//!
//! [`PubSub`] carries short notices: a schema changed, a session ended. A storage that can carry them offers an
//! implementation of its own (`StorageAdapter::pubsub`); [`server`](crate::server) takes Redis or, for one server
//! alone, [`local::LocalPubSub`] where it does not. Notices may be lost, but never silently: whoever may have
//! missed some hears [`Notice::Lost`] and reads again what it keeps.
//!
//! [`events`] carries live-query events, over any `PubSub` or in parse-server's Redis layout.
//!
//! Names `config`, `types`, `tls` and `error` only; storage, actors, operations and live queries call it.

pub mod events;
pub mod local;
mod notice;
pub mod postgres;
pub mod redis;

use async_trait::async_trait;
use tokio::sync::broadcast;

pub use notice::Notice;

use crate::error::Result;

/// Notices a slow receiver may lag behind; then it sees `Lagged` and must assume anything.
const CAPACITY: usize = 8192;

/// A way for servers to tell each other.
#[async_trait]
pub trait PubSub: Send + Sync {
    /// A stream of what the others tell, already without what this one told; [`Notice::Lost`] when something may
    /// have been missed. Call it inside a runtime: the first receiver makes it listen.
    fn notices(&self) -> broadcast::Receiver<Notice>;

    /// Tells the others.
    ///
    /// # Errors
    /// When they cannot be told now.
    async fn notify(&self, notice: Notice) -> Result<()>;

    /// Stops listening.
    fn close(&self);
}
