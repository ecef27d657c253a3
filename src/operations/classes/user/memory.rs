//! What a user's write remembers between its steps.

use serde_json::Value;

use super::auth_data;
use crate::operations::classes::session as sessions;
use crate::types::Object;

#[derive(Debug, Default)]
pub struct Memory {
    /// Providers of the login, when `authData` belongs to a user that exists.
    pub auth_provider: Option<String>,
    pub auth_data_response: Option<Object>,
    pub clears_sessions: bool,
    /// Whoever changes the own password goes on with a session of its own.
    pub renews_session: bool,
    /// The sign-up is not answered with a session: the address must be verified first.
    pub is_rejected: bool,
    /// A mail with the token in the draft's internal columns is due.
    pub sends_verification: bool,
    /// The draft's condition guards a secret that can be used once.
    pub is_locked: bool,
}

impl Memory {
    /// `createdWith` of the session that a write of this data leads to.
    pub fn created_with(&self, is_create: bool, data: &Object) -> Option<Value> {
        let given = data.get("authData").and_then(Value::as_object).and_then(auth_data::names);
        match (&self.auth_provider, is_create) {
            (Some(provider), _) => Some(sessions::created_with("login", provider)),
            (None, true) => Some(sessions::created_with("signup", given.as_deref().unwrap_or("password"))),
            (None, false) => None,
        }
    }
}
