//! Who asks: the key that was shown, the logged-in user, and what rows' permission lists are compared with.
//!
//! Made by the gate, passed along in [`super::Ctx`]. Names nothing but types.

use std::sync::Arc;

use crate::types::{Acl, Object, ObjectId};

/// Which key the caller showed. Only [`super::gate`] decides.
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
    /// The login providers that the session began with, where one of them wants to be asked again
    /// (`revalidateAfter`): then nothing prolongs it.
    pub limited_by: Option<String>,
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

    /// A logged-in user.
    pub fn of(principal: Arc<Principal>) -> Self {
        Self { credentials: Credentials::Client, principal: Some(principal) }
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
