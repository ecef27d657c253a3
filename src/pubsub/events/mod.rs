//! Live-query events on their way to other servers.
//!
//! [`over_notices`] sends them as notices of a [`PubSub`](super::PubSub), to servers that said they want the class;
//! [`redis`] in parse-server's channels and layout, for a bus shared with parse-server. [`start`] chooses. The live
//! queries of this server are the bus's [`Audience`]. Futures here stay on the thread that started them.

mod outgoing;
pub mod over_notices;
mod parts;
pub mod redis;

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::PubSub;
use crate::config::AppConfig;
use crate::error::Result;
use crate::types::{ClassName, Object, ObjectId};

/// What a write did to one object.
#[derive(Clone, Debug)]
pub struct ObjectEvent {
    pub class: ClassName,
    pub kind: ObjectEventKind,
    /// REST JSON with `className`, `objectId`, ACL and every field, unmasked.
    pub object: Arc<Object>,
    pub original: Option<Arc<Object>>,
    /// Order of writes to one object, across nodes.
    pub stamp: u64,
    /// The class's stored permissions, for buses whose listeners cannot look them up.
    pub permissions: Option<Arc<Map<String, Value>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectEventKind {
    Saved,
    Deleted,
}

/// Carries events to the other servers, and theirs to this one's [`Audience`].
#[async_trait(?Send)]
pub trait EventBus: Send + Sync {
    /// Whether another server may want events of this class.
    fn is_wanted(&self, class: &ClassName) -> bool;
    /// Queues the event for the other servers.
    fn publish(&self, event: &ObjectEvent);
    /// Somebody here listens to the class: answers once the servers that are known to be there publish
    /// it, or did not say so in time.
    async fn listen_to(&self, class: &ClassName);
    /// Roles were written by, or the membership changed of, these users.
    fn roles_changed(&self, user_ids: &[String]);
}

/// The live queries of this server, as a bus needs them.
#[async_trait(?Send)]
pub trait Audience: Send + Sync {
    /// Classes somebody here listens to.
    fn live_classes(&self) -> Vec<ClassName>;
    fn has_subscribers(&self, class: &ClassName) -> bool;
    /// Hands over an event of another server.
    fn deliver(&self, event: ObjectEvent);
    /// Events of other servers may have been missed.
    fn may_have_missed(&self);
    /// Another kind of server, which sends no notices, changed roles.
    async fn roles_changed(&self);
    /// The stored state of an object that was told of by its id alone, as in [`ObjectEvent::object`].
    async fn read(&self, class: &ClassName, id: &ObjectId) -> Option<Object>;
    /// Where clients find a stored file.
    fn file_url(&self, name: &str) -> String;
}

/// The bus that the options ask for; `None` when live queries are not configured. Call it on an actix arbiter.
///
/// # Errors
/// When a configured bus cannot be set up at all.
pub fn start(
    audience: &Weak<dyn Audience>,
    config: &AppConfig,
    pubsub: &Arc<dyn PubSub>,
) -> Result<Option<Arc<dyn EventBus>>> {
    if config.live_query.class_names.is_none() {
        return Ok(None);
    }
    if config.live_query.redis_url.is_some() || config.live_query_server.redis_url.is_some() {
        let bus = redis::RedisBus::start(audience, config)?;
        return Ok(Some(bus));
    }
    Ok(Some(over_notices::NoticeBus::start(audience, pubsub.clone())))
}
