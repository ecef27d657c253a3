//! What an operation may look at: who asks, what came with the request, the services of the application.
//! Built once by the gate, passed by reference.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::caller::{Auth, Credentials};
use super::ports::RateHeaders;
use super::services::Services;
use super::transactions::OpenTransaction;
use crate::cloud::{Caller, Scope, TriggerKind};
use crate::error::{Error, ErrorCode, Result};
use crate::files::FileUrls;
use crate::types::room::{Lent, Room};

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
    pub rate: Option<RateHeaders>,
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
    /// For the gate alone.
    pub(super) fn new(services: Arc<Services>, auth: Auth, mut info: RequestInfo) -> Self {
        info.budget = Budget::of(&services.config.request_complexity, &services.state.answers, &auth);
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
    /// The request's caller as Cloud Code sees it.
    pub fn caller(&self) -> Caller {
        let user = self.auth.principal.as_ref().map(|principal| {
            let mut user = principal.user.clone();
            self.put_addresses(&mut user);
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

    /// Addresses of a user's files, where they can be told without asking.
    fn put_addresses(&self, user: &mut Map<String, Value>) {
        let files = &self.services.files;
        if files.asks() {
            return;
        }
        for value in user.values_mut() {
            let Value::Object(file) = value else { continue };
            let is_file = file.get("__type").is_some_and(|kind| kind == "File");
            let Some(name) = file.get("name").and_then(Value::as_str).filter(|_| is_file) else { continue };
            let url = files.url(&self.info.base_url, name);
            file.insert("url".to_owned(), url.into());
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
                    if $ctx.depth == 0 { storage.as_session() } else { storage.independent() };
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
