//! Actors own what changes while the server runs: schemas and class snapshots here; sessions, rate
//! limits, live queries and queues in files of their own. State in actors, work outside them.
//!
//! Rules (docs/ARCHITECTURE.md): no blocking, no send cycles, everything rebuildable from the
//! database, started only for names that are proven to exist, asked through [`ask`] with a deadline.

mod buckets;
pub mod class;
mod ddl;
mod directory;
mod flight;
mod freshness;
pub mod jobs;
pub mod live_query;
mod lookup;
pub mod mail;
pub mod principals;
mod published;
pub mod push_queue;
pub mod rate_limit;
mod redis_counter;
pub mod registry;
pub mod role;
pub mod schema;
pub mod session;

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Addr, Handler, MailboxError, Message};
use mail::Mailed;

use crate::error::{Error, Result};

/// Longest wait for an actor's answer; schema changes wait for locks, everything else is immediate.
pub const ASK_DEADLINE: Duration = Duration::from_secs(30);

/// Sends and waits.
///
/// # Errors
/// The handler's own error; `Internal` when the actor is gone or does not answer in time.
pub async fn ask<A, M, T>(addr: &Addr<A>, message: M) -> Result<T>
where
    A: Mailed + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message<Result = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let _letter = mail::letter(addr);
    match addr.send(message).timeout(ASK_DEADLINE).await {
        Ok(answer) => answer,
        Err(MailboxError::Closed) => Err(Error::internal("an actor has stopped")),
        Err(MailboxError::Timeout) => Err(Error::internal("an actor did not answer in time")),
    }
}
