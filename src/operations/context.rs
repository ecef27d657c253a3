//! Who asks, and what came with the request. Built once by the front door, passed by reference.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::services::{ObjectEvent, Services};
use crate::cloud::{Caller, Scope, TriggerKind};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::object::transaction::{Effect, OpenTransaction};
use crate::storage::{Notice, Session};
use crate::types::room::{Lent, Room};
use crate::types::{Acl, Object, ObjectId};

/// Which key the caller showed. Only the credentials middleware (and Cloud Code's own calls) decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    Client,
    Master,
    /// Reads like master, writes nothing.
    ReadOnlyMaster,
    /// Sees and writes internal fields; is not master.
    Maintenance,
}

/// A logged-in user: shared by all requests with the same session.
#[derive(Debug)]
pub struct Principal {
    pub user_id: ObjectId,
    /// The `_User` row in REST encoding without password, as loaded with master rights.
    pub user: Object,
    /// `role:<name>`, transitive.
    pub roles: Vec<String>,
    /// `*`, the user id, the roles: what `_rperm`/`_wperm` are compared with.
    pub acl_ids: Arc<[String]>,
    pub session_token: String,
    /// The `_Session` row's objectId and installation, when known.
    pub session_id: Option<String>,
    pub session_installation_id: Option<String>,
    /// Milliseconds; `None` never expires.
    pub expires_at: Option<crate::types::time::Millis>,
}

impl Principal {
    /// Acl ids of a user with these roles (`role:` prefix included).
    pub fn acl_ids_of(user_id: &str, roles: &[String]) -> Arc<[String]> {
        let own = ["*".to_owned(), user_id.to_owned()];
        own.into_iter().chain(roles.iter().cloned()).collect()
    }
}

#[derive(Clone, Debug)]
pub struct Auth {
    pub credentials: Credentials,
    pub principal: Option<Arc<Principal>>,
}

impl Auth {
    pub fn anonymous() -> Self {
        Self { credentials: Credentials::Client, principal: None }
    }

    pub fn master() -> Self {
        Self { credentials: Credentials::Master, principal: None }
    }

    /// Master or read-only master: no ACL, CLP or protected fields on reads.
    pub fn is_master(&self) -> bool {
        matches!(self.credentials, Credentials::Master | Credentials::ReadOnlyMaster)
    }

    pub fn is_read_only(&self) -> bool {
        self.credentials == Credentials::ReadOnlyMaster
    }

    pub fn is_maintenance(&self) -> bool {
        self.credentials == Credentials::Maintenance
    }

    /// Neither ACL nor CLP nor protected fields apply.
    pub fn is_unrestricted(&self) -> bool {
        self.is_master() || self.is_maintenance()
    }

    pub fn user_id(&self) -> Option<&str> {
        self.principal.as_ref().map(|p| p.user_id.as_str())
    }

    /// What rows' permission lists are compared with; `None` when they are not looked at.
    pub fn acl_ids(&self) -> Option<Arc<[String]>> {
        if self.is_unrestricted() {
            return None;
        }
        Some(match &self.principal {
            Some(principal) => principal.acl_ids.clone(),
            None => public_ids(),
        })
    }

    /// Whether an object with this ACL may be read by the caller.
    pub fn may_read(&self, acl: Option<&Acl>) -> bool {
        self.allowed(acl.map(|acl| acl.read.as_slice()))
    }

    pub fn may_write(&self, acl: Option<&Acl>) -> bool {
        self.allowed(acl.map(|acl| acl.write.as_slice()))
    }

    fn allowed(&self, list: Option<&[String]>) -> bool {
        let (Some(list), Some(ids)) = (list, self.acl_ids()) else { return true };
        list.iter().any(|entry| ids.contains(entry))
    }
}

fn public_ids() -> Arc<[String]> {
    static PUBLIC: std::sync::OnceLock<Arc<[String]>> = std::sync::OnceLock::new();
    PUBLIC.get_or_init(|| Arc::from(["*".to_owned()])).clone()
}

/// The installation of calls that programs make.
pub const PROGRAM: &str = "cloud";

/// What came along with a request.
#[derive(Clone, Debug, Default)]
pub struct RequestInfo {
    /// Client address after `trustProxy`, without port.
    pub ip: String,
    /// Came from this machine itself, not through a proxy on it.
    pub is_internal: bool,
    pub installation_id: Option<String>,
    /// A call of Cloud Code, or a key in a header, and no installation: parse-server shows `cloud` to
    /// triggers and gives sign-ups no session.
    pub by_program: bool,
    /// Request headers as Cloud Code sees them: lower-case names.
    pub headers: Map<String, Value>,
    /// Cloud context (`X-Parse-Cloud-Context`, `_context`): always an object.
    pub context: Map<String, Value>,
    /// Base of `Location` headers and links: publicServerURL, else the mount the request saw.
    pub base_url: String,
    /// The session token as sent, valid or not.
    pub session_token: Option<String>,
    pub request_id: Option<String>,
    /// What is left of the rate limit that the request fell under.
    pub rate: Option<super::services::RateHeaders>,
    /// What `requestContextMiddleware` left for Cloud Code.
    pub request_context: Option<Arc<Value>>,
    /// What the answer may still grow by; [`Ctx::new`] fills it in.
    pub budget: Budget,
}

impl RequestInfo {
    /// The installation that the caller acts as; a program's is [`PROGRAM`].
    pub fn acting_installation(&self) -> Option<&str> {
        if self.by_program { Some(PROGRAM) } else { self.installation_id.as_deref() }
    }
}

impl Room for RequestInfo {
    fn take(&self, bytes: usize) -> bool {
        self.budget.take_memory(bytes)
    }

    fn give_back(&self, bytes: usize) {
        self.budget.give_memory_back(bytes);
    }
}

/// Everything an operation may look at.
#[derive(Clone)]
pub struct Ctx {
    pub services: Arc<Services>,
    pub auth: Auth,
    pub info: Arc<RequestInfo>,
    /// Set inside a transactional batch, and around a write whose triggers ask for a transaction.
    pub transaction: Option<Arc<OpenTransaction>>,
    /// How many Cloud Code calls are above this one; a limit ends endless recursion.
    pub depth: u16,
}

impl Ctx {
    pub fn new(services: Arc<Services>, auth: Auth, mut info: RequestInfo) -> Self {
        info.budget = Budget::of(&services, &auth);
        Self { services, auth, info: Arc::new(info), transaction: None, depth: 0 }
    }

    /// The same request with full rights, for the server's own reads and writes.
    #[must_use]
    pub fn as_master(&self) -> Self {
        let auth = Auth { credentials: Credentials::Master, principal: self.auth.principal.clone() };
        Self { auth, ..self.clone() }
    }

    #[must_use]
    pub fn with_auth(&self, auth: Auth) -> Self {
        Self { auth, ..self.clone() }
    }

    /// What this request's answer may still grow by.
    pub fn budget(&self) -> &Budget {
        &self.info.budget
    }

    /// Memory for the rows that this request reads.
    pub fn room(&self) -> Lent {
        Lent::of(self.info.clone())
    }

    pub fn config(&self) -> &crate::config::AppConfig {
        &self.services.config
    }

    /// # Errors
    /// 403 unless the caller is master (a read-only master passes: reads).
    pub fn require_master(&self) -> Result<()> {
        if self.auth.is_master() { Ok(()) } else { Err(Error::master_key_required()) }
    }

    /// # Errors
    /// 403 unless the caller is master, 119 for the read-only master.
    pub fn require_write_master(&self, operation: &str) -> Result<()> {
        self.require_master()?;
        if self.auth.is_read_only() {
            return Err(Error::denied(
                ErrorCode::OPERATION_FORBIDDEN,
                format!("read-only masterKey isn't allowed to perform the {operation} operation."),
            ));
        }
        Ok(())
    }
}

impl Ctx {
    /// Runs the effect now, or after the commit when a transaction is open.
    pub async fn after_commit(&self, effect: Effect) {
        match &self.transaction {
            Some(open) => open.defer(effect),
            None => self.run_effect(effect).await,
        }
    }

    /// Events need no waiting.
    pub fn emit(&self, event: ObjectEvent) {
        match &self.transaction {
            Some(open) => open.defer(Effect::Event(Box::new(event))),
            None => self.services.events.emit(event),
        }
    }

    pub async fn run_effect(&self, effect: Effect) {
        let principals = &self.services.principals;
        match effect {
            Effect::Event(event) => self.services.events.emit(*event),
            Effect::RolesChanged(users) => {
                principals.roles_changed().await;
                self.services.events.roles_changed(&users);
            }
            Effect::UserChanged(user) => principals.forget_user(&user).await,
            Effect::SessionGone(token) => principals.forget_session(&token).await,
            Effect::ClassChanged(class) => {
                if let Err(error) = self.services.classes.refresh(&class).await {
                    tracing::warn!(%error, %class, "could not read class {class} again after a transaction");
                }
                let notice = Notice::Schema { class: Some(class) };
                if let Err(error) = self.services.storage.notify(notice).await {
                    tracing::warn!(%error, "could not tell other servers of a schema change");
                }
            }
            Effect::Trigger(mut call) => {
                // The transaction does not wait any more.
                call.scope.deadline = None;
                let (kind, class) = (call.kind, call.class_name.clone());
                if let Err(error) = super::code_log::run_trigger(self, *call).await {
                    tracing::warn!(%error, "{} of {class} caught an error", kind.as_str());
                }
            }
        }
    }

    /// The request's caller as Cloud Code sees it.
    pub fn caller(&self) -> Caller {
        let user = self.auth.principal.as_ref().map(|principal| {
            let mut user = principal.user.clone();
            user.insert("sessionToken".to_owned(), principal.session_token.as_str().into());
            Arc::new(Value::Object(user))
        });
        Caller {
            master: self.auth.is_master(),
            is_read_only: self.auth.is_read_only(),
            user,
            roles: self.auth.principal.as_ref().map(|principal| Arc::new(principal.roles.clone())),
            installation_id: self.info.acting_installation().map(str::to_owned),
            ip: Some(self.info.ip.clone()),
            headers: Arc::new(self.info.headers.clone()),
            request_context: self.info.request_context.clone(),
        }
    }

    /// Where Cloud Code calls made for this request stand.
    pub fn scope(&self) -> Scope {
        let joined = self.transaction.as_ref().filter(|open| open.is_joined_at(self.depth));
        Scope { transaction: joined.map(|open| open.id), depth: self.depth, deadline: self.code_deadline() }
    }

    /// Inside a transaction code has less time than elsewhere.
    fn code_deadline(&self) -> Option<Duration> {
        let open = self.transaction.as_ref()?;
        let most = Duration::from_millis(self.config().cloud.transaction_timeout_ms?);
        let default = self.config().cloud.timeout_ms.map_or(Duration::MAX, Duration::from_millis);
        Some(open.patience(most).min(default))
    }

    /// The same for a trigger of a write, which may ask for the transaction itself.
    pub fn trigger_scope(&self, kind: TriggerKind, class: &str) -> Scope {
        let mut scope = self.scope();
        if scope.transaction.is_none()
            && let Some(open) = &self.transaction
            && asks_for_transaction(&self.services, kind, class)
        {
            scope.transaction = Some(open.id);
        }
        scope
    }
}

/// Whether the trigger was registered with `{ transaction: true }`.
pub fn asks_for_transaction(services: &Services, kind: TriggerKind, class: &str) -> bool {
    let registrations = services.cloud.registrations();
    registrations.triggers_of(class).asks_for_transaction()
        && registrations.trigger(kind, class).is_some_and(|trigger| trigger.transaction)
}

/// Runs one storage call on the batch's transaction, or straight on the adapter.
///
/// ```ignore
/// let rows = on_session!(ctx, |session| session.find(&schema, &spec))?;
/// ```
#[macro_export]
macro_rules! on_session {
    ($ctx:expr, |$session:ident| $call:expr) => {
        match &$ctx.transaction {
            None => {
                // Below a trigger, a transaction may be waiting for this.
                let storage = &$ctx.services.storage;
                let $session: &dyn $crate::storage::Session =
                    if $ctx.depth == 0 { storage.as_session() } else { storage.unshared() };
                $call.await
            }
            Some(open) => {
                let guard = open.lock().await;
                match guard.as_ref() {
                    Some(transaction) => {
                        let $session: &dyn $crate::storage::Session = transaction.as_session();
                        $call.await
                    }
                    None => Err($crate::storage::StorageError::Other("the transaction has ended".into())),
                }
            }
        }
    };
}

/// For code that needs the plain adapter as a session.
pub fn session_of(services: &Services) -> &dyn Session {
    services.storage.as_session()
}
