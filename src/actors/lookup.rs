//! From a session token to a principal: the statements, and what they mean. Used by the session
//! actors and, for tokens that have none yet, by [`super::principals`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::session::SessionCell;
use crate::config::AppConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::ports::ClassDirectory;
use crate::operations::{ClassSnapshot, Principal};
use crate::query::Filter;
use crate::storage::{Returning, StorageAdapter, StorageError, Target};
use crate::types::time::Millis;
use crate::types::{ClassName, FieldName, Object, ObjectId, Update};

/// Reads that lose against an invalidation are repeated this often; then the answer counts for its
/// own request only.
const RETRIES: usize = 3;

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

struct CachedRoles {
    roles: Arc<Vec<String>>,
    generation: u64,
    at: Instant,
}

pub struct Lookup {
    storage: Arc<dyn StorageAdapter>,
    classes: Arc<dyn ClassDirectory>,
    config: Arc<AppConfig>,
    ttl: Duration,
    role_generation: AtomicU64,
    /// Grows when anything may have changed unheard.
    epoch: AtomicU64,
    roles: Mutex<HashMap<String, CachedRoles>>,
}

impl Lookup {
    pub fn new(
        storage: Arc<dyn StorageAdapter>,
        classes: Arc<dyn ClassDirectory>,
        config: Arc<AppConfig>,
    ) -> Self {
        Self {
            ttl: Duration::from_millis(config.cache.ttl_ms),
            storage,
            classes,
            config,
            role_generation: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            roles: Mutex::default(),
        }
    }

    pub fn storage(&self) -> &Arc<dyn StorageAdapter> {
        &self.storage
    }

    pub fn config(&self) -> &AppConfig {
        &self.config
    }

    pub fn is_fresh(&self, loaded: &Loaded) -> bool {
        loaded.at.elapsed() < self.ttl
            && loaded.role_generation == self.role_generation.load(Ordering::Acquire)
            && loaded.epoch == self.epoch.load(Ordering::Acquire)
    }

    pub fn forget_roles(&self) {
        self.role_generation.fetch_add(1, Ordering::AcqRel);
        self.lock_roles().clear();
    }

    pub fn forget_everything(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.forget_roles();
    }

    fn lock_roles(&self) -> std::sync::MutexGuard<'_, HashMap<String, CachedRoles>> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the session and publishes it in its cell, unless it was invalidated meanwhile.
    ///
    /// # Errors
    /// Why there is no principal.
    pub async fn load_into(&self, cell: &SessionCell) -> Result<Arc<Principal>, Failure> {
        let mut tries = 0;
        loop {
            let generation = cell.generation();
            let loaded = Arc::new(self.load(&cell.token).await?);
            let principal = loaded.principal.clone();
            let expired = loaded.is_expired();
            tries += 1;
            if cell.publish(generation, loaded) || tries > RETRIES {
                return if expired { Err(Failure::Expired) } else { Ok(principal) };
            }
        }
    }

    async fn load(&self, token: &Arc<str>) -> Result<Loaded, Failure> {
        let at = Instant::now();
        let role_generation = self.role_generation.load(Ordering::Acquire);
        let epoch = self.epoch.load(Ordering::Acquire);
        if token.contains('\0') {
            return Err(Failure::Unknown);
        }
        let (session, mut user) = self.find(token).await?.ok_or(Failure::Unknown)?;
        let user_id = session.get("user").and_then(|user| user.get("objectId")).and_then(Value::as_str);
        let user_id = user_id.and_then(ObjectId::new).ok_or(Failure::Unknown)?;
        if user_id.starts_with("role:") {
            return Err(Failure::RoleLikeId);
        }
        crate::operations::classes::user::strip_secrets(&mut user);
        let roles = self.roles(user_id.as_str()).await?;
        let text = |key: &str| session.get(key).and_then(Value::as_str).map(str::to_owned);
        let principal = Principal {
            acl_ids: Principal::acl_ids_of(user_id.as_str(), &roles),
            roles: roles.as_ref().clone(),
            session_token: token.to_string(),
            session_id: text("objectId"),
            session_installation_id: text("installationId"),
            expires_at: session
                .get("expiresAt")
                .and_then(|at| at.get("iso"))
                .and_then(Value::as_str)
                .and_then(Millis::parse),
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

    /// Roles with their prefix, from the cache while they are fresh.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn roles(&self, user_id: &str) -> Result<Arc<Vec<String>>, Failure> {
        let generation = self.role_generation.load(Ordering::Acquire);
        if let Some(cached) = self.lock_roles().get(user_id)
            && cached.generation == generation
            && cached.at.elapsed() < self.ttl
        {
            return Ok(cached.roles.clone());
        }
        let at = Instant::now();
        let names = self.storage.roles_of_user(user_id).await?;
        let roles = Arc::new(names.into_iter().map(|name| format!("role:{name}")).collect::<Vec<_>>());
        let mut cache = self.lock_roles();
        if cache.len() >= self.config.cache.max_size {
            cache.retain(|_, cached| cached.at.elapsed() < self.ttl);
        }
        if cache.len() < self.config.cache.max_size {
            cache.insert(user_id.to_owned(), CachedRoles { roles: roles.clone(), generation, at });
        }
        Ok(roles)
    }

    /// Writes a new `expiresAt` when the row was last written half a session length ago.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn extend(&self, cell: &SessionCell, loaded: &Loaded) -> Result<()> {
        let length_ms =
            i64::try_from(self.config.users.session_length).unwrap_or(i64::MAX).saturating_mul(1000);
        let now = Millis::now();
        let due = loaded.session_updated_at.is_some_and(|at| at.0 <= now.0.saturating_sub(length_ms / 2));
        let Some(id) = loaded.principal.session_id.as_deref().and_then(ObjectId::new).filter(|_| due) else {
            return Ok(());
        };
        let Some(class) = self.classes.admit(&ClassName::known("_Session")).await? else { return Ok(()) };
        let expires_at =
            self.config.users.expire_inactive_sessions.then(|| Millis(now.0.saturating_add(length_ms)));
        let mut update = Update::default().set(FieldName::known("updatedAt"), now.to_iso().into());
        if let Some(at) = expires_at {
            let at = json!({ "__type": "Date", "iso": at.to_iso() });
            update = update.set(FieldName::known("expiresAt"), at);
        }
        let target = Target { filter: Filter::by_id(&id), writers: None };
        self.storage.update(&class.schema, &target, &update, Returning::default()).await?;
        cell.invalidate();
        Ok(())
    }
}
