//! From a session token to a principal: the statements, and what they mean. Used by the session actors and, for
//! tokens that have no actor yet, by [`super::principals`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::published::Number;
use super::role::Roles;
use crate::config::AppConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::classes::session;
use crate::operations::ports::ClassDirectory;
use crate::operations::{ClassSnapshot, Principal};
use crate::query::Filter;
use crate::storage::{Returning, StorageAdapter, StorageError, WriteFilter};
use crate::types::time::{self, Millis};
use crate::types::{ClassName, FieldName, Object, ObjectId, Update};

/// A principal and when it was read.
#[derive(Debug)]
pub struct Loaded {
    pub principal: Arc<Principal>,
    session_updated_at: Option<Millis>,
    at: Instant,
    /// Of the roles and of everything, taken before the first statement.
    role_generation: u64,
    epoch: u64,
}

impl Loaded {
    pub fn is_expired(&self) -> bool {
        self.principal.expires_at.is_some_and(|at| at < Millis::now())
    }
}

/// Why a token gives no principal.
#[derive(Clone, Debug)]
pub enum Failure {
    Unknown,
    Expired,
    /// A user id that reads like a role would be given that role's rights.
    RoleLikeId,
    Storage(Arc<str>),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error.to_string().into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Storage(error.to_string().into())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unknown => Self::invalid_session_token(),
            Failure::Expired => Self::parse(ErrorCode::INVALID_SESSION_TOKEN, "Session token is expired."),
            Failure::RoleLikeId => Self::parse(ErrorCode::INTERNAL_SERVER_ERROR, "Invalid object ID."),
            Failure::Storage(text) => Self::database(text.to_string()),
        }
    }
}

pub struct Lookup {
    storage: Arc<dyn StorageAdapter>,
    classes: Arc<dyn ClassDirectory>,
    config: Arc<AppConfig>,
    roles: Roles,
    /// Milliseconds for which a principal counts, and the generation of everything: both of the session directory.
    limit: Number,
    epoch: Number,
}

impl Lookup {
    pub fn new(
        storage: Arc<dyn StorageAdapter>,
        classes: Arc<dyn ClassDirectory>,
        config: Arc<AppConfig>,
        roles: Roles,
        (limit, epoch): (Number, Number),
    ) -> Self {
        Self { storage, classes, config, roles, limit, epoch }
    }

    pub fn config(&self) -> &AppConfig {
        &self.config
    }

    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    #[cfg(test)]
    pub fn limit_ms(&self) -> u64 {
        self.limit.get()
    }

    /// Whether what was read may be used without another look.
    pub fn counts(&self, loaded: &Loaded) -> bool {
        loaded.at.elapsed() < Duration::from_millis(self.limit.get())
            && loaded.role_generation == self.roles.generation()
            && loaded.epoch == self.epoch.get()
            && !loaded.is_expired()
    }

    /// Reads the session, its user and his roles.
    ///
    /// # Errors
    /// Why there is no principal.
    pub async fn read(&self, token: &str) -> Result<Loaded, Failure> {
        let at = Instant::now();
        let (role_generation, epoch) = (self.roles.generation(), self.epoch.get());
        if token.contains('\0') {
            return Err(Failure::Unknown);
        }
        let (row, mut user) = self.find(token).await?.ok_or(Failure::Unknown)?;
        let user_id = row.get("user").and_then(|user| user.get("objectId")).and_then(Value::as_str);
        let user_id = user_id.and_then(ObjectId::new).ok_or(Failure::Unknown)?;
        if user_id.starts_with("role:") {
            return Err(Failure::RoleLikeId);
        }
        crate::operations::classes::user::strip_secrets(&mut user);
        let roles = self.roles.of(user_id.as_str()).await?;
        let text = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
        let principal = Principal {
            acl_ids: Principal::acl_ids_of(user_id.as_str(), &roles),
            roles: roles.as_ref().clone(),
            session_token: token.to_owned(),
            session_id: text("objectId"),
            session_installation_id: text("installationId"),
            expires_at: row
                .get("expiresAt")
                .and_then(|at| at.get("iso"))
                .and_then(Value::as_str)
                .and_then(Millis::parse),
            limited_by: session::limit(&self.config, row.get("createdWith"))
                .map(|(providers, _)| providers.to_owned()),
            user,
            user_id,
        };
        let session_updated_at = text("updatedAt").as_deref().and_then(Millis::parse);
        Ok(Loaded { principal: Arc::new(principal), session_updated_at, at, role_generation, epoch })
    }

    async fn find(&self, token: &str) -> Result<Option<(Object, Object)>, Failure> {
        let (Some(sessions), Some(users)) = (self.class("_Session").await?, self.class("_User").await?)
        else {
            return Ok(None);
        };
        match self.storage.session_with_user(&sessions.schema, &users.schema, token).await {
            Ok(found) => Ok(found),
            // Another server took a field away: nobody must lose his session by that.
            Err(StorageError::StaleSchema(_)) => {
                let sessions = self.classes.reload(sessions.name()).await?;
                let users = self.classes.reload(users.name()).await?;
                let (Some(sessions), Some(users)) = (sessions, users) else { return Ok(None) };
                Ok(self.storage.session_with_user(&sessions.schema, &users.schema, token).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A parse-server beside us may have made the first session of all a moment ago: while the class is
    /// unknown storage is asked for it, which no other miss may put off.
    async fn class(&self, name: &'static str) -> Result<Option<Arc<ClassSnapshot>>, Failure> {
        let name = ClassName::known(name);
        Ok(match self.classes.admit(&name).await? {
            Some(class) => Some(class),
            None => self.classes.reload(&name).await?,
        })
    }

    /// Writes a new `expiresAt` when the row was last written half a session length ago; true when it did.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn extend(&self, loaded: &Loaded) -> Result<bool> {
        let length_ms = time::millis_of(self.config.users.session_length);
        let now = Millis::now();
        let due = loaded.session_updated_at.is_some_and(|at| at.0 <= now.0.saturating_sub(length_ms / 2));
        let due = due && loaded.principal.limited_by.is_none();
        let Some(id) = loaded.principal.session_id.as_deref().and_then(ObjectId::new).filter(|_| due) else {
            return Ok(false);
        };
        let Some(class) = self.classes.admit(&ClassName::known("_Session")).await? else { return Ok(false) };
        let expires_at =
            self.config.users.expire_inactive_sessions.then(|| Millis(now.0.saturating_add(length_ms)));
        let mut update = Update::default().set(FieldName::known("updatedAt"), now.to_iso().into());
        if let Some(at) = expires_at {
            let at = json!({ "__type": "Date", "iso": at.to_iso() });
            update = update.set(FieldName::known("expiresAt"), at);
        }
        let target = WriteFilter { filter: Filter::by_id(&id), writers: None };
        self.storage.update(&class.schema, &target, &update, Returning::default()).await?;
        Ok(true)
    }
}
