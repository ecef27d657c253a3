//! What the operations need from the layers above, as traits that these implement: schemas, principals, rate
//! limits, delivery of events. And the messages that travel through them.
//!
//! What they need from below (storage, Cloud Code, mail, authentication, files) has its traits in the rooms of
//! those names. Knows callers and class snapshots, and nothing of requests.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::caller::Principal;
use super::snapshot::ClassSnapshot;
use crate::error::Result;
pub use crate::pubsub::events::{ObjectEvent, ObjectEventKind};
use crate::storage::IndexMap;
use crate::types::{ClassName, ClassSchema, Field, FieldName};

/// The schema as the actors keep it: answers from memory, changes through the one owner.
#[async_trait(?Send)]
pub trait ClassDirectory: Send + Sync {
    /// The class, `None` when it does not exist. One message to the class's actor on this worker.
    async fn admit(&self, class: &ClassName) -> Result<Option<Arc<ClassSnapshot>>>;

    /// Makes sure the class exists with these fields (types as inferred from a write) and answers
    /// what is there afterwards. Fields that exist already are not changed: the caller compares types.
    async fn evolve(&self, class: &ClassName, fields: &[(FieldName, Field)]) -> Result<Arc<ClassSnapshot>>;

    /// All classes as requests see them now, and a number that grows with every change of one: with the same number
    /// nothing changed.
    async fn known(&self) -> Result<(u64, Arc<Vec<Arc<ClassSnapshot>>>)>;

    /// All classes, read afresh from storage.
    async fn list(&self) -> Result<Vec<Arc<ClassSnapshot>>>;

    /// One class, read afresh from storage.
    async fn reload(&self, class: &ClassName) -> Result<Option<Arc<ClassSnapshot>>>;

    /// [`ClassDirectory::reload`] after the class proved to be another one than expected, for the so-manieth
    /// time. Other classes may have changed with it: after the first time, there is a pause in which their
    /// notices arrive.
    async fn renew(&self, class: &ClassName, times: u32) -> Result<Option<Arc<ClassSnapshot>>> {
        if times > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(20 * u64::from(times))).await;
        }
        self.reload(class).await
    }

    /// # Errors
    /// 103 where there is such a class already: of several who make one at once one does.
    async fn create(&self, schema: ClassSchema) -> Result<Arc<ClassSnapshot>>;

    async fn change(&self, class: &ClassName, change: SchemaChange) -> Result<Arc<ClassSnapshot>>;

    async fn delete(&self, class: &ClassName) -> Result<()>;

    /// Another connection (a transaction) changed the class: read it again and publish.
    async fn refresh(&self, class: &ClassName) -> Result<()>;

    /// Tells the page of metrics of classes in use.
    fn report(&self, _page: &mut crate::metrics::Page) {}
}

/// One schema API change; applied in this order.
#[derive(Debug, Default)]
pub struct SchemaChange {
    pub delete_fields: Vec<FieldName>,
    pub add_fields: Vec<(FieldName, Field)>,
    pub set_options: Vec<(FieldName, Field)>,
    pub permissions: Option<Map<String, Value>>,
    /// After all others, and without holding up anybody.
    pub indexes: Option<IndexChange>,
}

#[derive(Debug, Default)]
pub struct IndexChange {
    pub create: IndexMap,
    pub drop: Vec<String>,
}

impl SchemaChange {
    pub fn is_empty(&self) -> bool {
        self.delete_fields.is_empty()
            && self.add_fields.is_empty()
            && self.set_options.is_empty()
            && self.permissions.is_none()
            && self.indexes.is_none()
    }
}

/// Sessions and roles as the session actors keep them.
#[async_trait(?Send)]
pub trait PrincipalDirectory: Send + Sync {
    /// # Errors
    /// 209 `Invalid session token`, 209 `Session token is expired.`
    async fn authenticate(&self, token: &str) -> Result<Arc<Principal>>;

    /// For sockets, which hear of an event once and cannot ask again: a token that was refused a moment ago may
    /// belong to a session now, so a remembered refusal does not count.
    ///
    /// # Errors
    /// As `authenticate`.
    async fn authenticate_for_event(&self, token: &str) -> Result<Arc<Principal>>;

    /// Roles of a user, `role:` prefixed, transitive, cached.
    async fn roles_of(&self, user_id: &str) -> Result<Vec<String>>;

    /// A session row was removed or changed.
    async fn forget_session(&self, token: &str);

    /// The user's row changed, or all the user's sessions did.
    async fn forget_user(&self, user_id: &str);

    /// Some role was written: every cached principal is re-read.
    async fn roles_changed(&self);

    /// Tells the page of metrics of look-ups.
    fn report(&self, _page: &mut crate::metrics::Page) {}
}

/// One operation, as rate limits look at it.
#[derive(Clone, Copy, Debug)]
pub struct Limited<'a> {
    pub method: &'a str,
    /// Below the mount, without the query.
    pub path: &'a str,
    pub ip: &'a str,
    /// Came from this machine itself, not through a proxy on it.
    pub is_internal: bool,
    /// As sent: whether it is anybody's is found out where a rule wants to know.
    pub session_token: Option<&'a str>,
    pub is_master: bool,
    /// Came inside a `POST /batch`.
    pub is_batch_item: bool,
}

/// What is left of a limit: `X-RateLimit-Limit`, `-Remaining`, `-Reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateHeaders {
    pub limit: u64,
    pub remaining: u64,
    /// Seconds since 1970.
    pub reset_epoch_s: u64,
}

/// Counts operations and refuses those that are too many.
#[async_trait(?Send)]
pub trait RateLimits: Send + Sync {
    /// `None` when no rule speaks of the operation.
    ///
    /// # Errors
    /// [`crate::error::Error::RateLimited`]
    async fn admit(&self, request: &Limited<'_>) -> Result<Option<RateHeaders>>;
}

/// Takes events after commit; delivery is nobody's request's business.
pub trait EventSink: Send + Sync {
    /// Whether anybody wants to hear of this class now: otherwise no before/after rows need to be read.
    fn publishes(&self, class: &ClassSnapshot) -> bool;
    fn emit(&self, event: ObjectEvent);
    /// Roles were written by, or gained or lost, these users: for servers that are told in no other way.
    fn roles_changed(&self, _user_ids: &[String]) {}
}

/// For servers without live queries, and tests.
pub struct NoEvents;

impl EventSink for NoEvents {
    fn publishes(&self, _: &ClassSnapshot) -> bool {
        false
    }
    fn emit(&self, _: ObjectEvent) {}
}
