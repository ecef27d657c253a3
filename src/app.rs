//! [`App`]: everything that belongs to one application id. [`AppRegistry`] finds it by that id.
//!
//! `server` builds both, the HTTP front resolves them for each request. Nothing here is global, so
//! several applications live in one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::actors::live_query::LiveQueryHub;
use crate::cloud::CloudState;
use crate::config::AppConfig;
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
}

impl App {
    pub fn new(services: Arc<Services>, live_queries: Option<Arc<LiveQueryHub>>) -> Arc<Self> {
        Arc::new(Self {
            id: services.config.app_id.clone(),
            services,
            live_queries,
            state: AtomicU8::new(AppState::Initialized as u8),
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

    /// The applications whose GraphQL API has this path; `None` when there is none.
    pub fn graphql_at(&self, path: &str) -> Option<Vec<Arc<App>>> {
        let fits = |app: &&Arc<App>| {
            let graphql = &app.config().graphql;
            let rest = path.split_at_checked(graphql.path.len());
            graphql.mount
                && rest.is_some_and(|(head, rest)| {
                    head.eq_ignore_ascii_case(&graphql.path) && (rest.is_empty() || rest.starts_with('/'))
                })
        };
        let apps: Vec<Arc<App>> = self.iter().filter(fits).cloned().collect();
        (!apps.is_empty()).then_some(apps)
    }

    /// The application whose GraphQL page is at this path.
    pub fn playground_at(&self, path: &str) -> Option<&Arc<App>> {
        let fits = |app: &&Arc<App>| {
            let graphql = &app.config().graphql;
            graphql.mount_playground
                && path
                    .trim_end_matches('/')
                    .eq_ignore_ascii_case(graphql.playground_path.trim_end_matches('/'))
        };
        self.iter().find(fits)
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
