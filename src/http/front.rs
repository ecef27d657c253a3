//! The pipeline of a request, in parse-server's order: CORS, keys, health, body, method override,
//! credentials, state, allowed routes, session, route, error mapper.
//!
//! One catch-all service; everything behind [`crate::rest::routes`] knows no actix.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::{ConnectionType, Method as HttpMethod, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::FutureExt;
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use super::body::{self, Body};
use super::credentials::{Claims, header_list, header_text, unknown_session_error};
use super::transfer::Pace;
use crate::app::{App, AppRegistry, AppState};
use crate::config::HttpLimits;
use crate::error::{Error, ErrorCode, Result};
use crate::http::{
    connections, etag as validator, files, middleware, multipart, pages, query_string, respond,
};
use crate::operations::budget::Budget;
use crate::operations::ports::{Limited, RateHeaders};
use crate::operations::{Auth, Credentials, Ctx, RequestInfo};
use crate::rest::request::{RestRequest, RestResponse, method_of};
use crate::rest::routes;
use crate::sockets::{connection, tcp};
use crate::types::Object;
use crate::types::app_scope::{self, AppNumber};

static REQUEST_ID: header::HeaderName = header::HeaderName::from_static("x-parse-request-id");

/// More than there can be connections.
const MOST_TRANSFERS: u32 = 1 << 24;

/// What all workers share.
pub struct Front {
    pub registry: Arc<AppRegistry>,
    /// Requests that have come whole; beyond this many at a time they are refused at once (503).
    admission: Arc<Semaphore>,
    capacity: u32,
    /// Uploads under way: counted, so that a stop waits for them.
    transfers: Arc<Semaphore>,
    pace: Pace,
    requests: AtomicU64,
}

impl Front {
    pub fn new(registry: Arc<AppRegistry>, capacity: u32, limits: &HttpLimits) -> Self {
        let admission = Arc::new(Semaphore::new(capacity as usize));
        let transfers = Arc::new(Semaphore::new(MOST_TRANSFERS as usize));
        let pace = Pace::new(limits);
        Self { registry, admission, capacity, transfers, pace, requests: AtomicU64::new(0) }
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

/// The catch-all handler.
pub async fn serve(http: HttpRequest, payload: web::Payload, front: web::Data<Front>) -> HttpResponse {
    if connections::is_crowded(&http) && !http.path().trim_end_matches('/').ends_with("/health") {
        return turned_away();
    }
    if is_upgrade(&http) {
        return upgrade(&http, payload, &front);
    }
    tcp::let_go(&http);
    let Some((apps, below)) = front.registry.mounted_at(http.path()) else {
        return respond::cannot_route(http.method().as_str(), http.path());
    };
    let Some(first) = apps.first() else {
        return respond::cannot_route(http.method().as_str(), http.path());
    };
    let config = first.config().clone();
    let mut response = if http.method() == HttpMethod::OPTIONS {
        HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("OK")
    } else {
        let below = if below.starts_with("//") { &below[1..] } else { below };
        let id = front.requests.fetch_add(1, Ordering::Relaxed);
        let exchange = Exchange { http: &http, front: &front, apps, below, id };
        // Made for each request only where somebody wants to see everything: it costs as much as a
        // tenth of a read. What goes wrong is logged in one made for it.
        let span = tracing::debug_span!("request", id, method = %http.method(), path = below);
        let app = exchange.named();
        match contained(app_scope::within(app, exchange.run(payload)).instrument(span)).await {
            Ok(response) => validator::tagged(&http, response),
            Err(error) => app_scope::within_now(app, || {
                span_of(&http, below, id).in_scope(|| respond::error(&error, config.http.sanitize_errors))
            }),
        }
    };
    respond::add_cors(&mut response, &config.http, http.headers().get(header::ORIGIN));
    front.pace.outgoing(response)
}

/// Of a connection that is one too many.
fn turned_away() -> HttpResponse {
    let mut response = respond::error(&Error::overloaded(), true);
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}

/// Whoever's code it is in: a panic is an error of this request alone.
async fn contained<T>(run: impl Future<Output = Result<T>>) -> Result<T> {
    let outcome = AssertUnwindSafe(run).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(Error::internal("a request panicked")))
}

fn span_of(http: &HttpRequest, path: &str, id: u64) -> tracing::Span {
    tracing::info_span!("request", id, method = %http.method(), path)
}

fn is_upgrade(http: &HttpRequest) -> bool {
    header_text(http.headers(), header::UPGRADE).is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
}

/// Live queries take sockets on any path. With several applications a path that is mounted says whose they
/// are, as far as it goes; the client's first message says the rest.
fn upgrade(http: &HttpRequest, payload: web::Payload, front: &Front) -> HttpResponse {
    let registry = &front.registry;
    let several = registry.iter().nth(1).is_some();
    let mounted = registry.mounted_at(http.path()).map(|(apps, _)| apps).filter(|_| several);
    let apps: Vec<&Arc<App>> =
        mounted.map_or_else(|| registry.iter().collect(), |apps| apps.iter().collect());
    let serving = apps.into_iter().filter(|app| app.config().live_query_server.enabled);
    let serving: Vec<&Arc<App>> = serving.filter(|app| app.live_queries.is_some()).collect();
    let Some(first) = serving.first() else {
        return respond::cannot_route(http.method().as_str(), http.path());
    };
    let address = client_address(http, first);
    let hubs = serving.iter().filter_map(|app| app.live_queries.clone()).collect();
    connection::accept(http, payload, hubs, several, address).unwrap_or_else(HttpResponse::from_error)
}

fn client_address(http: &HttpRequest, app: &App) -> IpAddr {
    let peer = http.peer_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip());
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
    id: u64,
}

impl Exchange<'_> {
    async fn run(&self, payload: web::Payload) -> Result<HttpResponse> {
        let headers = self.http.headers();
        let registry = &*self.front.registry;
        let mut claims = Claims::from_headers(headers, registry);
        // With one application under the mount its keys count before anything names it.
        let named = claims.app_id.as_deref().and_then(|id| registry.get(id));
        let early = named.or_else(|| self.apps.first().filter(|_| self.apps.len() == 1));
        let mut privileged = None;
        if let Some(app) = early {
            privileged = claims.privileged(app, self.client_address(app)).await?;
            claims.by_program = privileged.is_some() && named.is_some() && claims.installation_id.is_none();
        }
        let first = self.below.get(1..).and_then(|path| path.split('/').next()).unwrap_or_default();
        if first.eq_ignore_ascii_case("health") {
            return self.health(early, privileged);
        }
        if early.is_some_and(|app| app.config().live_query_server.only) {
            return Ok(respond::cannot_route(self.http.method().as_str(), self.http.path()));
        }
        if let Some(path) = pages::target(self.apps, self.below) {
            let ip = self.apps.first().map(|app| self.client_address(app).to_string()).unwrap_or_default();
            // What is rare is boxed: this future is moved as a whole for each request.
            let payload = self.front.pace.incoming(payload);
            let served = pages::serve(self.http, self.apps, path, ip, payload, || self.place());
            return Box::pin(served).await;
        }
        if let Some(target) = files::target(self.http.method(), self.below) {
            let payload = self.front.pace.incoming(payload);
            return Box::pin(files::serve(self, target?, claims, privileged, payload)).await;
        }
        let limit = self.apps.iter().map(|app| app.config().http.max_upload_size).max().unwrap_or(0);
        let payload = self.front.pace.incoming(payload);
        let (mut body, raw) = match body::read(headers, payload, limit).await? {
            Body::Object(object) => (object, None),
            Body::Multipart { content_type, bytes } => (Object::new(), Some((content_type, bytes))),
        };
        // Only now: whoever sends half a body takes no place from others.
        let permit = self.place()?;
        let method = self.overridden_method(&mut body);
        claims.read_context(headers)?;
        claims.complete_from_body(&mut body, registry).await?;
        let app = claims.app(registry)?;
        if app.state() != AppState::Ok {
            let text = format!("Invalid server state: {}", app.state().as_str());
            return Err(Error::parse(ErrorCode::INTERNAL_SERVER_ERROR, text));
        }
        let ip = self.client_address(&app);
        if privileged.is_none() {
            privileged = claims.privileged(&app, ip).await?;
        }
        let path = self.below.split('?').next().unwrap_or(self.below);
        if privileged.is_none() {
            claims.check_client_key(&app)?;
            if routes::is_exactly(path, "/login") {
                claims.session_token = None;
            }
        }
        routes::check_allowed(app.config(), privileged, &method, path)?;
        let mut ctx = self.context(&app, claims, privileged, ip, &method, path).await?;
        if let Some(function) = app.config().http.request_context_middleware {
            let ran = Box::pin(middleware::run(self, &mut ctx, function, &method, &body)).await?;
            if let Some(response) = ran {
                return Ok(response);
            }
        }
        let rate = ctx.info.rate;
        let sanitize = app.config().http.sanitize_errors;
        let number = app.services.state.presence.number();
        let answered =
            app_scope::within(Some(number), self.route(ctx, &method, path, body, raw, permit)).await;
        let mut response = answered.unwrap_or_else(|error| {
            span_of(self.http, self.below, self.id).in_scope(|| respond::error(&error, sanitize))
        });
        respond::add_rate(&mut response, rate);
        Ok(response)
    }

    /// A place among the requests that are worked on.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit> {
        self.front.admission.clone().try_acquire_owned().map_err(|_| Error::overloaded())
    }

    /// Whose log tells of what happens before the application is surely known: that of the one alone under the
    /// mount, or of the one that the headers name.
    fn named(&self) -> Option<AppNumber> {
        let app = match self.apps {
            [only] => Some(only),
            _ => {
                let name = self.http.headers().get("x-parse-application-id")?.to_str().ok()?;
                self.front.registry.get(name)
            }
        };
        app.map(|app| app.services.state.presence.number())
    }

    /// Finds the route and runs it.
    async fn route(
        &self,
        ctx: Ctx,
        method: &str,
        path: &str,
        body: Object,
        mut raw: Option<(String, bytes::Bytes)>,
        permit: OwnedSemaphorePermit,
    ) -> Result<HttpResponse> {
        let Some(found) = method_of(method).and_then(|method| routes::find(ctx.config(), method, path))
        else {
            return Ok(respond::cannot_route(method, self.http.path()));
        };
        let (route, params) = found?;
        let mut request = RestRequest {
            query: query_string::parse_nested(self.http.query_string()),
            body,
            params,
            ..RestRequest::default()
        };
        if let Some((content_type, bytes)) = raw.take().filter(|_| route.takes_multipart) {
            (request.body, request.uploads) = multipart::parse(&content_type, bytes).await?;
        }
        if route.idempotent {
            crate::operations::object::idempotency::ensure(&ctx, path).await?;
        }
        let sanitize = ctx.config().http.sanitize_errors;
        let response = self.guarded(route, ctx, request, permit).await?;
        Ok(respond::answer(response, sanitize))
    }

    /// Runs the route. A panic fails this request alone; a write goes on although its client left.
    async fn guarded(
        &self,
        route: &'static routes::Route,
        ctx: Ctx,
        request: RestRequest,
        permit: OwnedSemaphorePermit,
    ) -> Result<RestResponse> {
        let run = contained(routes::dispatch(route, ctx, request));
        if route.method == crate::cloud::Method::Get {
            run.await
        } else {
            let task = async move {
                let outcome = run.await;
                drop(permit);
                outcome
            };
            actix_web::rt::spawn(app_scope::carry(task.in_current_span())).await.map_err(Error::internal)?
        }
    }

    pub(super) fn client_address(&self, app: &App) -> IpAddr {
        client_address(self.http, app)
    }

    fn health(&self, app: Option<&Arc<App>>, privileged: Option<Credentials>) -> Result<HttpResponse> {
        if let Some(app) = app {
            routes::check_allowed(app.config(), privileged, self.http.method().as_str(), self.below)?;
        }
        // Of several applications, the one that is furthest from serving.
        let rank = |state: &AppState| match state {
            AppState::Ok => 0,
            AppState::Starting => 1,
            AppState::Initialized => 2,
            AppState::Error => 3,
        };
        let state = self.apps.iter().map(|app| app.state()).max_by_key(rank).unwrap_or(AppState::Error);
        let mut response = RestResponse::value(json!({ "status": state.as_str() }));
        if state != AppState::Ok {
            response = response.with_status(503);
        }
        if state == AppState::Starting {
            response = response.with_header("Retry-After", "1");
        }
        Ok(respond::answer(response, true))
    }

    /// `_method` of a POST, in capitals; the key never stays in the body.
    fn overridden_method(&self, body: &mut Object) -> String {
        let method = self.http.method().as_str();
        if method != "POST" {
            return method.to_owned();
        }
        match body.shift_remove("_method") {
            Some(Value::String(name)) if !name.is_empty() => name.to_uppercase(),
            _ => method.to_owned(),
        }
    }

    pub(super) async fn context(
        &self,
        app: &Arc<App>,
        claims: Claims,
        privileged: Option<Credentials>,
        ip: IpAddr,
        method: &str,
        path: &str,
    ) -> Result<Ctx> {
        let services = app.services.clone();
        let ip = ip.to_string();
        // The pictures of a page are not counted; parse-server does not either.
        let rate = match files::is_download(method, path) {
            true => None,
            false => self.admit(app, &claims, privileged, &ip, method, path).await?,
        };
        let auth = match (privileged, claims.session_token.as_deref()) {
            (Some(credentials), _) => Auth { credentials, principal: None },
            (None, None) => Auth::anonymous(),
            (None, Some(_)) if method == "GET" && routes::is_exactly(path, "/sessions/me") => {
                Auth::anonymous()
            }
            // Tokens from before revocable sessions are for this route's own look-up.
            (None, Some(token))
                if !token.starts_with("r:") && routes::is_exactly(path, "/upgradeToRevocableSession") =>
            {
                Auth::anonymous()
            }
            (None, Some(token)) => {
                let principal =
                    services.principals.authenticate(token).await.map_err(unknown_session_error)?;
                Auth { credentials: Credentials::Client, principal: Some(principal) }
            }
        };
        let info = RequestInfo {
            is_internal: claims.is_internal(&ip),
            ip,
            installation_id: claims.installation_id,
            by_program: claims.by_program,
            headers: self.headers_for_cloud_code(app),
            context: claims.context,
            base_url: self.base_url(app).await?,
            session_token: claims.session_token,
            request_id: header_text(self.http.headers(), &REQUEST_ID),
            rate,
            request_context: None,
            budget: Budget::default(),
        };
        let ctx = Ctx::new(services, auth, info);
        crate::operations::keywords::check(&ctx, &ctx.info.context)?;
        Ok(ctx)
    }

    /// Rate limits count a request before its session is looked at.
    async fn admit(
        &self,
        app: &App,
        claims: &Claims,
        privileged: Option<Credentials>,
        ip: &str,
        method: &str,
        path: &str,
    ) -> Result<Option<RateHeaders>> {
        let is_master = matches!(privileged, Some(Credentials::Master | Credentials::ReadOnlyMaster));
        let limited = Limited {
            method,
            path,
            ip,
            is_internal: claims.is_internal(ip),
            session_token: claims.session_token.as_deref().filter(|_| privileged.is_none()),
            is_master,
            is_batch_item: false,
        };
        app.services.rate_limits.admit(&limited).await
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
        headers.keys().map(|name| (name.as_str().to_owned(), Value::String(text(name)))).collect()
    }

    /// publicServerURL, else the mount as the request saw it.
    async fn base_url(&self, app: &App) -> Result<String> {
        if let Some(url) = app.public_server_url().await? {
            return Ok(url);
        }
        let http = &app.config().http;
        let peer = self.http.peer_addr().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.ip());
        let headers = self.http.headers();
        let trusted = http.trust_proxy.trusts_peer(peer);
        let forwarded = |name: header::HeaderName| {
            let list = trusted.then(|| header_list(headers, name)).flatten()?;
            list.split(',').next().map(|first| first.trim().to_owned()).filter(|first| !first.is_empty())
        };
        let scheme = forwarded(header::X_FORWARDED_PROTO).unwrap_or_else(|| "http".to_owned());
        let host = forwarded(header::X_FORWARDED_HOST).or_else(|| header_text(headers, header::HOST));
        let host = host.or_else(|| self.http.uri().host().map(str::to_owned)).unwrap_or_default();
        Ok(format!("{scheme}://{host}{}", http.mount_path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_panic_is_an_error_of_its_request() {
        // Beside it on the same thread.
        let other = actix_web::rt::spawn(async { 7 });
        let failed = contained(async { if true { panic!("a dependency's expect") } else { Ok(()) } }).await;
        assert_eq!(failed.map_err(|error| error.status()), Err(500));
        assert_eq!(other.await.unwrap(), 7);
    }
}
