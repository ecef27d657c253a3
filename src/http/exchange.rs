//! One request on its way: whose mount it came to, its place among the requests that are worked on, and its way
//! through the [`gate`]. Used by every kind of route: [`super::front`], [`super::files`], [`super::middleware`].

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use actix_web::HttpRequest;
use actix_web::http::header;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::attempts::Attempts;
use super::credentials::{Claims, header_list, header_text};
use super::door;
use super::figures::{Figures, Seen};
use super::transfer::Pace;
use crate::app::{App, AppRegistry, AppState};
use crate::config::HttpLimits;
use crate::dashboard::Dashboard;
use crate::error::{Error, ErrorCode, Result};
use crate::metrics::Page;
use crate::operations::gate::{self, Visit};
use crate::operations::{Credentials, Ctx};
use crate::types::app_scope::AppNumber;

static REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-parse-request-id");

/// Tells the page of metrics something.
pub type MoreFigures = Box<dyn Fn(&mut Page) + Send + Sync>;

/// Requests to Parse Dashboard at a time.
const DASHBOARD_PLACES: usize = 64;
/// More than there can be connections.
const MOST_TRANSFERS: u32 = 1 << 24;

/// What all workers share.
pub struct Front {
    pub registry: Arc<AppRegistry>,
    /// Requests that have come whole; beyond this many at a time they are refused at once (503).
    pub(super) admission: Arc<Semaphore>,
    pub(super) capacity: u32,
    /// Uploads under way: counted, so that a stop waits for them.
    pub(super) transfers: Arc<Semaphore>,
    pub(super) pace: Pace,
    pub(super) requests: AtomicU64,
    pub(super) figures: Figures,
    /// Parse Dashboard, and its places.
    pub(super) dashboard: Option<Arc<Dashboard>>,
    pub(super) dashboard_places: Semaphore,
    pub(super) dashboard_attempts: Attempts,
    /// What others of the process tell the page of metrics.
    pub(super) more_figures: Option<MoreFigures>,
    #[cfg(feature = "graphql")]
    pub(super) graphql: super::endpoints::Endpoints,
}

impl Front {
    pub fn new(registry: Arc<AppRegistry>, capacity: u32, limits: &HttpLimits) -> Self {
        let admission = Arc::new(Semaphore::new(capacity as usize));
        let transfers = Arc::new(Semaphore::new(MOST_TRANSFERS as usize));
        let pace = Pace::new(limits);
        Self {
            registry,
            admission,
            capacity,
            transfers,
            pace,
            requests: AtomicU64::new(0),
            figures: Figures::default(),
            dashboard: None,
            dashboard_places: Semaphore::new(DASHBOARD_PLACES),
            dashboard_attempts: Attempts::default(),
            more_figures: None,
            #[cfg(feature = "graphql")]
            graphql: super::endpoints::Endpoints::default(),
        }
    }

    /// Puts Parse Dashboard beside the API.
    pub fn set_dashboard(&mut self, dashboard: Option<Arc<Dashboard>>) {
        self.dashboard = dashboard;
    }

    /// Lets somebody whom nobody here knows tell the page of metrics something.
    pub fn set_figures(&mut self, tell: MoreFigures) {
        self.more_figures = Some(tell);
    }

    /// Requests, bodies and places.
    pub(super) fn report(&self, page: &mut Page) {
        self.figures.report(page);
        let taken = (self.capacity as usize).saturating_sub(self.admission.available_permits());
        let help = "Requests that are worked on; those without a body to be read, or whose body has come.";
        page.count("parsimony_http_requests_in_flight", help, &[], taken);
        page.gauge("parsimony_http_requests_max", "The most of them there may be.", &[], self.capacity);
        let uploads = (MOST_TRANSFERS as usize).saturating_sub(self.transfers.available_permits());
        page.count("parsimony_http_uploads_in_flight", "Files that are on their way in.", &[], uploads);
        self.pace.report(page);
        if let Some(dashboard) = &self.dashboard {
            dashboard.report(page);
        }
    }

    /// A place for an upload.
    pub(super) fn transfer(&self) -> Result<OwnedSemaphorePermit> {
        self.transfers.clone().try_acquire_owned().map_err(|_| Error::overloaded())
    }

    /// Waits until no request is under way; new ones are refused from now on.
    pub async fn drained(&self) {
        for (places, count) in [(&self.transfers, MOST_TRANSFERS), (&self.admission, self.capacity)] {
            if let Ok(permits) = places.acquire_many(count).await {
                permits.forget();
            }
        }
    }
}

pub(super) fn client_address(http: &HttpRequest, app: &App) -> IpAddr {
    let peer = door::peer(http);
    let trust = &app.config().http.trust_proxy;
    // Of a peer that is not trusted the header says nothing.
    let trusted = trust.trusts_peer(peer);
    let forwarded = trusted.then(|| header_list(http.headers(), header::X_FORWARDED_FOR)).flatten();
    trust.client_address(peer, forwarded.as_deref())
}

pub(super) struct Exchange<'a> {
    pub(super) http: &'a HttpRequest,
    pub(super) front: &'a Front,
    /// Those under this mount; never empty.
    pub(super) apps: &'a [Arc<App>],
    /// The path below the mount, still percent-encoded.
    pub(super) below: &'a str,
    /// Tells requests apart in the log.
    pub(super) id: u64,
    /// Where it turned out to go.
    pub(super) seen: &'a Seen,
}

impl Exchange<'_> {
    /// A place among the requests that are worked on.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit> {
        self.front.admission.clone().try_acquire_owned().map_err(|_| Error::overloaded())
    }

    /// Whose log tells of what happens before the application is surely known: that of the one alone under the
    /// mount, or of the one that the headers name.
    pub(super) fn named(&self) -> Option<AppNumber> {
        let app = match self.apps {
            [only] => Some(only),
            _ => {
                let name = self.http.headers().get("x-parse-application-id")?.to_str().ok()?;
                self.front.registry.get(name)
            }
        };
        app.map(|app| app.services.state.presence.number())
    }

    /// The path, without the query.
    pub(super) fn path(&self) -> &str {
        self.below.split('?').next().unwrap_or(self.below)
    }

    pub(super) fn client_address(&self, app: &App) -> IpAddr {
        client_address(self.http, app)
    }

    /// Through the gate. `opens_file`: a file is read.
    ///
    /// # Errors
    /// 1 while the application does not serve yet, and those of [`gate::admit`].
    pub(super) async fn admit(
        &self,
        app: &Arc<App>,
        claims: Claims,
        privileged: Option<Credentials>,
        method: &str,
        opens_file: bool,
    ) -> Result<Ctx> {
        self.visit(app, claims, privileged, (method, opens_file, false)).await
    }

    /// The same at a door that is none of the REST API's routes.
    ///
    /// # Errors
    /// As [`Exchange::admit`].
    #[cfg(feature = "graphql")]
    pub(super) async fn admit_beside(
        &self,
        app: &Arc<App>,
        claims: Claims,
        privileged: Option<Credentials>,
        method: &str,
    ) -> Result<Ctx> {
        self.visit(app, claims, privileged, (method, false, true)).await
    }

    async fn visit(
        &self,
        app: &Arc<App>,
        claims: Claims,
        privileged: Option<Credentials>,
        (method, opens_file, beside): (&str, bool, bool),
    ) -> Result<Ctx> {
        if app.state() != AppState::Ok {
            let text = format!("Invalid server state: {}", app.state().as_str());
            return Err(Error::parse(ErrorCode::INTERNAL_SERVER_ERROR, text));
        }
        let visit = Visit {
            ip: self.client_address(app),
            method,
            path: self.path(),
            request_id: header_text(self.http.headers(), &REQUEST_ID),
            opens_file,
            beside,
        };
        let headers = || self.headers_for_cloud_code(app);
        gate::admit(&app.services, claims, privileged, visit, headers, || self.mount_url(app)).await
    }

    /// All request headers; nothing when there is nobody to look at them.
    fn headers_for_cloud_code(&self, app: &App) -> Map<String, Value> {
        let registered = app.services.cloud.registrations();
        let nobody = registered.function_names().next().is_none()
            && registered.triggers().next().is_none()
            && registered.job_names().next().is_none();
        if nobody {
            return Map::new();
        }
        let headers = self.http.headers();
        let text = |name: &header::HeaderName| header_text(headers, name.as_str()).unwrap_or_default();
        let others = headers.keys().filter(|name| !door::is_own(name));
        others.map(|name| (name.as_str().to_owned(), Value::String(text(name)))).collect()
    }

    /// The mount as the request saw it.
    fn mount_url(&self, app: &App) -> String {
        let http = &app.config().http;
        let peer = door::peer(self.http);
        let client = door::client(self.http);
        let headers = self.http.headers();
        let trusted = http.trust_proxy.trusts_peer(peer);
        let forwarded = |name: header::HeaderName| {
            let list = trusted.then(|| header_list(headers, name)).flatten()?;
            list.split(',').next().map(|first| first.trim().to_owned()).filter(|first| !first.is_empty())
        };
        let scheme = forwarded(header::X_FORWARDED_PROTO)
            .unwrap_or_else(|| client.as_ref().map_or("http", |client| client.scheme).to_owned());
        let host = forwarded(header::X_FORWARDED_HOST).or_else(|| header_text(headers, header::HOST));
        let host = host.or_else(|| self.http.uri().host().map(str::to_owned)).unwrap_or_default();
        let mount = client.as_ref().map_or(http.mount_path.as_str(), |client| client.mount);
        format!("{scheme}://{host}{mount}")
    }
}
