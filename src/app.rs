//! [`App`]: everything that belongs to one application id. [`AppRegistry`] finds it by that id.
//!
//! `server` builds both, the HTTP front resolves them for each request. Nothing here is global, so
//! several applications live in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;

use crate::actors::live_query::LiveQueryHub;
use crate::cloud::{self, CloudState};
use crate::config::{AppConfig, CallbackId, OptionValue};
use crate::error::{Error, Result};
use crate::operations::Services;

/// Where an application is in its life, by the names of the health route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AppState {
    Initialized,
    Starting,
    Ok,
    Error,
}

impl AppState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initialized => "initialized",
            Self::Starting => "starting",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

pub struct App {
    pub id: String,
    pub services: Arc<Services>,
    /// Where live-query clients connect, when this server takes them.
    pub live_queries: Option<Arc<LiveQueryHub>>,
    state: AtomicU8,
    /// Answer of a `masterKey` function and when it was asked.
    master_key: Mutex<Option<(String, Instant)>>,
}

impl App {
    pub fn new(services: Arc<Services>, live_queries: Option<Arc<LiveQueryHub>>) -> Arc<Self> {
        Arc::new(Self {
            id: services.config.app_id.clone(),
            services,
            live_queries,
            state: AtomicU8::new(AppState::Initialized as u8),
            master_key: Mutex::new(None),
        })
    }

    pub fn config(&self) -> &Arc<AppConfig> {
        &self.services.config
    }

    pub fn set_state(&self, state: AppState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Started, and Cloud Code loaded: requests before that are refused.
    pub fn state(&self) -> AppState {
        let own = match self.state.load(Ordering::Acquire) {
            0 => AppState::Initialized,
            1 => AppState::Starting,
            2 => AppState::Ok,
            _ => AppState::Error,
        };
        match (own, self.services.cloud.state()) {
            (AppState::Ok, CloudState::Starting) => AppState::Starting,
            (AppState::Ok, CloudState::Failed(_)) => AppState::Error,
            _ => own,
        }
    }

    /// Whether `key` is the master key; a `masterKey` function is asked at most every `masterKeyTtl`.
    ///
    /// # Errors
    /// When the function of the configuration fails.
    pub async fn is_master_key(&self, key: &str) -> Result<bool> {
        let keys = &self.config().keys;
        let id = match &keys.master_key {
            OptionValue::Value(secret) => return Ok(secret.matches(key)),
            OptionValue::Callback(id) => *id,
        };
        let mut cached = self.master_key.lock().await;
        let ttl = keys.master_key_ttl_s.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let fresh = cached.as_ref().filter(|(_, asked)| ttl.is_none_or(|ttl| asked.elapsed() < ttl));
        if let Some((master, _)) = fresh {
            return Ok(crate::config::Secret::new(master.as_str()).matches(key));
        }
        let Value::String(master) = self.call(id).await? else { return Ok(false) };
        let matches = crate::config::Secret::new(master.as_str()).matches(key);
        *cached = Some((master, Instant::now()));
        Ok(matches)
    }

    /// `publicServerURL`, without a slash at its end.
    ///
    /// # Errors
    /// When the function of the configuration fails.
    pub async fn public_server_url(&self) -> Result<Option<String>> {
        let url = match &self.config().http.public_server_url {
            None => return Ok(None),
            Some(OptionValue::Value(url)) => Some(url.clone()),
            Some(OptionValue::Callback(id)) => match self.call(*id).await? {
                Value::String(url) => Some(url),
                _ => None,
            },
        };
        Ok(url.map(|url| url.trim_end_matches('/').to_owned()))
    }

    async fn call(&self, id: CallbackId) -> Result<Value> {
        let id = u32::try_from(id.0).map_err(Error::internal)?;
        self.services.cloud.call_callback(cloud::CallbackId(id), Vec::new()).await
    }
}

/// The applications of this process.
#[derive(Default)]
pub struct AppRegistry {
    /// By mount path, the longest first.
    mounts: Vec<(String, Vec<Arc<App>>)>,
}

impl AppRegistry {
    pub fn new(apps: Vec<Arc<App>>) -> Arc<Self> {
        let mut mounts: Vec<(String, Vec<Arc<App>>)> = Vec::new();
        for app in apps {
            let path = &app.config().http.mount_path;
            match mounts.iter_mut().find(|(mount, _)| mount.eq_ignore_ascii_case(path)) {
                Some((_, apps)) => apps.push(app),
                None => mounts.push((path.clone(), vec![app])),
            }
        }
        mounts.sort_by_key(|(mount, _)| std::cmp::Reverse(mount.len()));
        Arc::new(Self { mounts })
    }

    pub fn get(&self, id: &str) -> Option<&Arc<App>> {
        self.iter().find(|app| app.id == id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<App>> {
        self.mounts.iter().flat_map(|(_, apps)| apps)
    }

    /// The applications served under the mount that `path` begins with, never none, and what follows
    /// the mount. The longest mount wins; letters count in any case, as in Express.
    pub fn mounted_at<'p>(&self, path: &'p str) -> Option<(&[Arc<App>], &'p str)> {
        self.mounts.iter().find_map(|(mount, apps)| {
            let (head, rest) = path.split_at_checked(mount.len())?;
            let whole_segment = rest.is_empty() || rest.starts_with('/') || mount.is_empty();
            (head.eq_ignore_ascii_case(mount) && whole_segment).then_some((apps.as_slice(), rest))
        })
    }
}
