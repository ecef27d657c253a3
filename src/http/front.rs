//! The pipeline of a request, in parse-server's order: CORS, keys, health, body, method override,
//! credentials, state, allowed routes, session, route, error mapper.
//!
//! One catch-all service; everything behind [`crate::rest::routes`] knows no actix.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::http::{ConnectionType, Method as HttpMethod, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::body::{self, Body};
use super::credentials::{Claims, header_text};
use super::exchange::{Exchange, Front, client_address};
use super::figures::{Door, Seen};
use super::to_the_end::ToTheEnd;
use super::transfer::Room;
use crate::app::{App, AppState};
use crate::error::{Error, Result};
use crate::http::{
    connections, dashboard, door, etag as validator, files, metrics, middleware, multipart, pages,
    query_string, request_log, respond, start,
};
use crate::operations::{Credentials, Ctx, gate};
use crate::rest::request::{RestRequest, RestResponse, method_of};
use crate::rest::route::Route;
use crate::rest::routes::ROUTES;
use crate::sockets::{connection, tcp};
use crate::types::Object;
use crate::types::app_scope::{self, carry};

/// The catch-all handler.
pub async fn serve(http: HttpRequest, payload: web::Payload, front: web::Data<Front>) -> HttpResponse {
    let (begun, seen) = (Instant::now(), Seen::default());
    let response = answer(&http, payload, &front, &seen).await;
    front.figures.answered(&seen, response.status(), begun.elapsed());
    let response = respond::of_status(response);
    if http.method() == HttpMethod::HEAD { respond::without_body(response) } else { response }
}

async fn answer(http: &HttpRequest, payload: web::Payload, front: &Front, seen: &Seen) -> HttpResponse {
    if connections::is_crowded(http) && !http.path().trim_end_matches('/').ends_with("/health") {
        return turned_away();
    }
    if is_upgrade(http) {
        seen.door(Door::Socket);
        return upgrade(http, payload, front);
    }
    tcp::let_go(http);
    if let Some((app, options)) = metrics::at(front, http.path()) {
        seen.door(Door::Metrics);
        return Box::pin(metrics::serve(http, front, app, options)).await;
    }
    if let Some(dashboard) = front.dashboard.as_deref().filter(|known| dashboard::owns(known, http.path())) {
        seen.door(Door::Dashboard);
        return Box::pin(dashboard::serve(http, payload, front, dashboard)).await;
    }
    if let Some(app) = start::at(front, http.path()) {
        seen.door(Door::Start);
        return start::serve(http, front, app);
    }
    #[cfg(feature = "graphql")]
    if let Some(apps) = front.registry.graphql_at(http.path()) {
        seen.door(Door::GraphQl);
        return serve_graphql(http, payload, front, &apps, seen).await;
    }
    #[cfg(feature = "graphql")]
    if let Some(app) = front.registry.playground_at(http.path())
        && http.method() == HttpMethod::GET
    {
        return super::graphql::playground::page(app.config());
    }
    let Some((apps, below)) = front.registry.mounted_at(http.path()) else {
        return respond::cannot_route(http.method().as_str(), http.path());
    };
    let Some(first) = apps.first() else {
        return respond::cannot_route(http.method().as_str(), http.path());
    };
    let config = first.config().clone();
    let mut response = if http.method() == HttpMethod::OPTIONS {
        seen.door(Door::Preflight);
        HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("OK")
    } else {
        let below = if below.starts_with("//") { &below[1..] } else { below };
        let id = front.requests.fetch_add(1, Ordering::Relaxed);
        let exchange = Exchange { http, front, apps, below, id, seen };
        // Made for each request only where somebody wants to see everything: it costs as much as a
        // tenth of a read. What goes wrong is logged in one made for it.
        let span = tracing::debug_span!("request", id, method = %http.method(), path = below);
        let app = exchange.named();
        // Boxed: each of those around it would move the whole of it.
        let running = Box::pin(exchange.run(payload));
        match contained(app_scope::within(app, running).instrument(span)).await {
            Ok(response) => validator::tagged(http, response).await,
            Err(error) => app_scope::within_now(app, || {
                span_of(http, below, id).in_scope(|| respond::error(&error, config.http.sanitize_errors))
            }),
        }
    };
    respond::add_cors(&mut response, &config.http, http.headers().get(header::ORIGIN));
    // As Node writes them: hand-written clients look for `X-Parse-Job-Status-Id` letter by letter.
    response.head_mut().set_camel_case_headers(true);
    door::hand_back(http, &mut response);
    front.pace.outgoing(response)
}

/// The GraphQL API, which has a path of its own beside the mount.
#[cfg(feature = "graphql")]
async fn serve_graphql(
    http: &HttpRequest,
    payload: web::Payload,
    front: &Front,
    apps: &[Arc<App>],
    seen: &Seen,
) -> HttpResponse {
    let Some(first) = apps.first() else {
        return respond::cannot_route(http.method().as_str(), http.path());
    };
    let config = first.config().clone();
    let below = http.path();
    let mut response = if http.method() == HttpMethod::OPTIONS {
        HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("OK")
    } else {
        let id = front.requests.fetch_add(1, Ordering::Relaxed);
        let exchange = Exchange { http, front, apps, below, id, seen };
        let app = exchange.named();
        let serving = super::graphql::serve(&exchange, payload);
        match contained(app_scope::within(app, Box::pin(serving))).await {
            Ok(response) => response,
            Err(error) => app_scope::within_now(app, || {
                span_of(http, below, id).in_scope(|| respond::error(&error, config.http.sanitize_errors))
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
    #[cfg(feature = "graphql")]
    if let Some((apps, dialect)) = super::graphql::socket::dialect(http, front) {
        return accept(http, payload, apps.iter().collect(), several, Some(dialect));
    }
    let mounted = registry.mounted_at(http.path()).map(|(apps, _)| apps).filter(|_| several);
    let apps: Vec<&Arc<App>> =
        mounted.map_or_else(|| registry.iter().collect(), |apps| apps.iter().collect());
    accept(http, payload, apps, several, None)
}

/// A socket of those of the applications that serve live queries.
fn accept(
    http: &HttpRequest,
    payload: web::Payload,
    apps: Vec<&Arc<App>>,
    several: bool,
    dialect: Option<connection::Dialect>,
) -> HttpResponse {
    let serving = apps.into_iter().filter(|app| app.config().live_query_server.enabled);
    let serving: Vec<&Arc<App>> = serving.filter(|app| app.live_queries.is_some()).collect();
    let Some(first) = serving.first() else {
        return respond::cannot_route(http.method().as_str(), http.path());
    };
    let address = client_address(http, first);
    let hubs = serving.iter().filter_map(|app| app.live_queries.clone()).collect();
    connection::accept(http, payload, hubs, several, address, dialect)
        .unwrap_or_else(HttpResponse::from_error)
}

/// What a request has of what all share, until it is done.
struct Held {
    _place: OwnedSemaphorePermit,
    _room: Option<Room>,
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
            privileged = claims.privileged(&app.services, self.client_address(app)).await?;
            claims.by_program = privileged.is_some() && named.is_some() && claims.installation_id.is_none();
        }
        let first = self.below.get(1..).and_then(|path| path.split('/').next()).unwrap_or_default();
        if first.eq_ignore_ascii_case("health") {
            self.seen.door(Door::Health);
            return self.health(early, privileged);
        }
        if let Some(app) = self.described().filter(|_| claims.app_id.is_none()) {
            return Box::pin(self.describe(app)).await;
        }
        if early.is_some_and(|app| app.config().live_query_server.only) {
            return Ok(respond::cannot_route(self.http.method().as_str(), self.http.path()));
        }
        if let Some(path) = pages::path_of(self.apps, self.below) {
            self.seen.door(Door::Pages);
            let ip = self.apps.first().map(|app| self.client_address(app).to_string()).unwrap_or_default();
            // What is rare is boxed: this future is moved as a whole for each request.
            let payload = self.front.pace.incoming(payload);
            let served = pages::serve(self.http, self.apps, path, ip, payload, || self.place());
            return Box::pin(served).await;
        }
        if let Some(route) = files::route(self.http.method(), self.below) {
            self.seen.door(Door::Files);
            let payload = self.front.pace.incoming(payload);
            return Box::pin(files::serve(self, route?, claims, privileged, payload)).await;
        }
        let limit = self.apps.iter().map(|app| app.config().http.max_upload_size).max().unwrap_or(0);
        let payload = self.front.pace.incoming(payload);
        let (body, room) = body::read(headers, payload, limit).await?;
        let (mut body, raw) = match body {
            Body::Object(object) => (object, None),
            Body::Multipart { content_type, bytes } => (Object::new(), Some((content_type, bytes))),
        };
        // Only now: whoever sends half a body takes no place from others.
        let held = Held { _place: self.place()?, _room: Some(room) };
        let method = self.overridden_method(&mut body);
        claims.read_context(headers)?;
        claims.complete_from_body(&mut body, registry).await?;
        let app = claims.app(registry)?;
        // A key of the application under this mount is none of another one that the body names.
        let privileged = privileged.filter(|_| early.is_some_and(|early| Arc::ptr_eq(early, &app)));
        let path = self.path();
        let mut ctx = self.admit(&app, claims, privileged, &method, false).await?;
        if let Some(function) = app.config().http.request_context_middleware {
            let ran = Box::pin(middleware::run(self, &mut ctx, function, &method, &body)).await?;
            if let Some(response) = ran {
                return Ok(response);
            }
        }
        let rate = ctx.info.rate;
        let sanitize = app.config().http.sanitize_errors;
        let number = app.services.state.presence.number();
        let answered = app_scope::within(Some(number), self.route(ctx, &method, path, body, raw, held)).await;
        let mut response = answered.unwrap_or_else(|error| {
            span_of(self.http, self.below, self.id).in_scope(|| respond::error(&error, sanitize))
        });
        respond::add_rate(&mut response, rate);
        Ok(response)
    }

    /// Finds the route and runs it.
    async fn route(
        &self,
        ctx: Ctx,
        method: &str,
        path: &str,
        body: Object,
        mut raw: Option<(String, bytes::Bytes)>,
        held: Held,
    ) -> Result<HttpResponse> {
        let Some(found) = method_of(method).and_then(|method| ROUTES.find(ctx.config(), method, path)) else {
            return Ok(respond::cannot_route(method, self.http.path()));
        };
        let (route, params) = found?;
        self.seen.route(route);
        let mut request = RestRequest {
            query: query_string::parse_nested(self.http.query_string()),
            body,
            params,
            ..RestRequest::default()
        };
        if let Some((content_type, bytes)) = raw.take().filter(|_| route.takes_multipart) {
            (request.body, request.uploads) = multipart::parse(&content_type, bytes).await?;
        }
        let watched = request_log::begin(self.http, method, &request.body);
        if route.idempotent {
            crate::operations::classes::idempotency::ensure(&ctx, path).await?;
        }
        let sanitize = ctx.config().http.sanitize_errors;
        let response = self.guarded(route, ctx, request, held).await?;
        if let Some(watched) = watched {
            watched.end(&response);
        }
        Ok(respond::answer(response, sanitize))
    }

    /// Runs the route. A panic fails this request alone; a write goes on although its client left.
    async fn guarded(
        &self,
        route: &'static Route,
        ctx: Ctx,
        request: RestRequest,
        held: Held,
    ) -> Result<RestResponse> {
        let run = contained(ROUTES.dispatch(route, ctx, request));
        if route.method == crate::cloud::Method::Get {
            run.await
        } else {
            let write = async move {
                let outcome = run.await;
                drop(held);
                outcome
            };
            ToTheEnd::new(carry(write.in_current_span())).await
        }
    }

    /// The application whose description anybody may read, without a key that names it.
    fn described(&self) -> Option<&Arc<App>> {
        let [app] = self.apps else { return None };
        let asked = self.http.method() == HttpMethod::GET && self.below.eq_ignore_ascii_case("/openapi.json");
        (asked && app.config().http.open_api_is_public && app.state() == AppState::Ok).then_some(app)
    }

    async fn describe(&self, app: &Arc<App>) -> Result<HttpResponse> {
        gate::check_allowed(app.config(), None, "GET", self.below)?;
        let held = Held { _place: self.place()?, _room: None };
        let ctx = gate::stranger(&app.services, self.client_address(app).to_string()).await?;
        let rate = gate::count_operation(&ctx, "GET", self.below).await?;
        let mut response = self.route(ctx, "GET", self.below, Object::new(), None, held).await?;
        respond::add_rate(&mut response, rate);
        Ok(response)
    }

    fn health(&self, app: Option<&Arc<App>>, privileged: Option<Credentials>) -> Result<HttpResponse> {
        if let Some(app) = app {
            gate::check_allowed(app.config(), privileged, self.http.method().as_str(), self.below)?;
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
