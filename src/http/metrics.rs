//! The page of metrics over HTTP (option `metrics`): on the API's port, or on one of its own. For the master key,
//! the page's own key, or addresses that the option names; to everybody else it says 403.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::credentials::{Claims, header_text};
use super::exchange::{Front, client_address};
use super::respond;
use crate::actors::mail;
use crate::app::App;
use crate::config::MetricsConfig;
use crate::error::{Error, Result};
use crate::metrics::page::CONTENT_TYPE;
use crate::metrics::{Page, process};
use crate::operations::Credentials;

/// What takes a database may take so long; without an answer there is no sample.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pushes that are counted at most.
const MOST_PUSHES: usize = 1000;

/// The application whose options describe a page at this path on the API's port.
pub(super) fn at<'a>(front: &'a Front, path: &str) -> Option<(&'a Arc<App>, &'a MetricsConfig)> {
    front.registry.iter().find_map(|app| {
        let metrics = app.config().metrics.as_ref()?;
        (metrics.port.is_none() && metrics.path == path).then_some((app, metrics))
    })
}

/// The catch-all handler of a port of its own.
pub async fn serve_alone(http: HttpRequest, front: web::Data<Front>) -> HttpResponse {
    let found = front.registry.iter().find_map(|app| {
        let metrics = app.config().metrics.as_ref()?;
        (metrics.port.is_some() && metrics.path == http.path()).then_some((app, metrics))
    });
    match found {
        Some((app, metrics)) => serve(&http, &front, app, metrics).await,
        None => respond::cannot_route(http.method().as_str(), http.path()),
    }
}

pub(super) async fn serve(
    http: &HttpRequest,
    front: &Front,
    app: &Arc<App>,
    metrics: &MetricsConfig,
) -> HttpResponse {
    if http.method() != Method::GET && http.method() != Method::HEAD {
        return respond::cannot_route(http.method().as_str(), http.path());
    }
    match is_allowed(http, front, app, metrics).await {
        Ok(true) => {}
        Ok(false) => return respond::error(&Error::unauthorized(), true),
        Err(error) => return respond::error(&error, true),
    }
    let text = page(front).await.render();
    HttpResponse::Ok()
        .content_type(CONTENT_TYPE)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}

/// # Errors
/// As with every request that shows a key.
async fn is_allowed(
    http: &HttpRequest,
    front: &Front,
    app: &Arc<App>,
    metrics: &MetricsConfig,
) -> Result<bool> {
    let address = client_address(http, app);
    if metrics.allowed_networks.contains(address) {
        return Ok(true);
    }
    let authorization = header_text(http.headers(), header::AUTHORIZATION).unwrap_or_default();
    if let (Some(key), Some(shown)) = (&metrics.key, authorization.strip_prefix("Bearer "))
        && key.matches(shown.trim())
    {
        return Ok(true);
    }
    let claims = Claims::from_headers(http.headers(), &front.registry);
    // Of the application that the request names, or the one that has the page.
    let app = claims.app_id.as_deref().and_then(|id| front.registry.get(id)).unwrap_or(app);
    let credentials = claims.privileged(&app.services, client_address(http, app)).await?;
    Ok(matches!(credentials, Some(Credentials::Master)))
}

/// Everything there is to say.
async fn page(front: &Front) -> Page {
    let mut page = Page::default();
    page.gauge("parsimony_info", "The version of the server.", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    process::report(&mut page);
    mail::report(&mut page);
    front.report(&mut page);
    for app in front.registry.iter() {
        page.of_app(&app.id);
        let services = &app.services;
        let state = app.state().as_str();
        page.gauge("parsimony_app_up", "Whether the application is served.", &[], f64::from(state == "ok"));
        services.storage.report(&mut page);
        services.cloud.report(&mut page);
        services.principals.report(&mut page);
        services.classes.report(&mut page);
        if let Some(hub) = &app.live_queries {
            hub.report(&mut page);
        }
        services.state.figures.report(&mut page, services.files.store().kind());
        let jobs = services.state.jobs.count();
        page.count("parsimony_jobs_running", "Background jobs under way in this server.", &[], jobs);
        if let Some(ledger) = services.storage.push_ledger().filter(|_| services.push.is_some()) {
            let asked = tokio::time::timeout(PATIENCE, ledger.ready_pushes(&app.id, MOST_PUSHES)).await;
            if let Ok(Ok(due)) = asked {
                let help =
                    "Pushes of which something is due that no server works on; at most 1000 are counted.";
                page.count("parsimony_push_queue", help, &[], due.len());
            }
        }
    }
    page.of_process();
    if let Some(more) = &front.more_figures {
        more(&mut page);
    }
    page
}
