//! The public pages over HTTP: a request below `/<pagesEndpoint>` in, what [`crate::pages`] answers out.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::credentials::header_text;
use super::transfer::Incoming;
use super::{body, query_string, respond};
use crate::app::App;
use crate::error::{Error, Result};
use crate::operations::gate;
use crate::pages::{self, PageRequest, PageResponse};
use crate::types::Object;

/// Forms are small.
const MAX_FORM: u64 = 64 * 1024;

/// The path below the endpoint of the first application whose pages `below` belongs to.
pub fn path_of<'p>(apps: &[Arc<App>], below: &'p str) -> Option<&'p str> {
    apps.iter().find_map(|app| {
        let endpoint = app.config().pages.pages_endpoint.trim_matches('/');
        below.strip_prefix('/')?.strip_prefix(endpoint)?.strip_prefix('/')
    })
}

/// `admit` is asked once the form has come.
///
/// # Errors
/// 403 for an application nobody knows, and what scripts are told.
pub async fn serve(
    http: &HttpRequest,
    apps: &[Arc<App>],
    path: &str,
    ip: String,
    payload: Incoming,
    admit: impl FnOnce() -> Result<OwnedSemaphorePermit>,
) -> Result<HttpResponse> {
    let path = percent_encoding::percent_decode_str(path).decode_utf8().map_err(|_| Error::unauthorized())?;
    let is_post = http.method() == actix_web::http::Method::POST;
    if !is_post && http.method() != actix_web::http::Method::GET {
        return Ok(respond::cannot_route(http.method().as_str(), http.path()));
    }
    let request = PageRequest {
        is_post,
        path: path.into_owned(),
        query: query_string::parse_nested(http.query_string()),
        body: if is_post { form(http, payload).await? } else { Object::new() },
        is_xhr: header_text(http.headers(), "x-requested-with")
            .is_some_and(|with| with.eq_ignore_ascii_case("xmlhttprequest")),
        locale_header: header_text(http.headers(), "x-parse-page-param-locale"),
        headers: headers(http),
    };
    let _permit = admit()?;
    let named = pages::app_id_of(&request);
    let is_page = !is_post && request.path.contains('.');
    let app = match named.and_then(|id| apps.iter().find(|app| app.id == id)) {
        Some(app) => app,
        // Plain files need no application.
        None if is_page => apps.first().ok_or_else(Error::unauthorized)?,
        None => return Err(Error::unauthorized()),
    };
    let ctx = gate::stranger(&app.services, ip).await?;
    answer(http, pages::serve(&ctx, &request).await?)
}

/// For the handlers of the application's own pages.
fn headers(http: &HttpRequest) -> Object {
    let texts = http.headers().iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), Value::from(value)))
    });
    texts.collect()
}

/// A form, or JSON from scripts.
async fn form(http: &HttpRequest, payload: Incoming) -> Result<Object> {
    let bytes = body::collect(http.headers(), payload, MAX_FORM).await?;
    let text = String::from_utf8_lossy(&bytes);
    if http.content_type() == "application/json" {
        return Ok(crate::types::json::from_outside(text.as_bytes())
            .ok()
            .and_then(|value| value.as_object().cloned())
            .unwrap_or_default());
    }
    Ok(query_string::parse_flat(&text))
}

/// What a client that follows no redirects shows, as Express words it: HTML where that is asked for.
fn pointer_to(http: &HttpRequest, location: &str) -> (&'static str, String) {
    let accepted =
        http.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/html") {
        let location =
            location.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
        return ("text/html; charset=utf-8", format!("<p>Found. Redirecting to {location}</p>"));
    }
    ("text/plain; charset=utf-8", format!("Found. Redirecting to {location}"))
}

fn answer(http: &HttpRequest, response: PageResponse) -> Result<HttpResponse> {
    Ok(match response {
        PageResponse::Html { status, text, headers } => {
            let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
            let mut builder = HttpResponse::build(status);
            for (name, value) in headers {
                respond::put(&mut builder, name.as_ref(), value);
            }
            builder.content_type("text/html; charset=utf-8").body(text)
        }
        PageResponse::Redirect { location, headers } => {
            let mut builder = HttpResponse::SeeOther();
            for (name, value) in headers {
                respond::put(&mut builder, name.as_ref(), value);
            }
            let (kind, text) = pointer_to(http, &location);
            respond::put(&mut builder, header::LOCATION.as_str(), &location);
            builder.content_type(kind).body(text)
        }
        PageResponse::Json(value) => {
            HttpResponse::Ok().content_type("application/json; charset=utf-8").body(value.to_string())
        }
        PageResponse::File(path) => {
            let file = actix_files::NamedFile::open(path).map_err(Error::internal)?;
            file.into_response(http)
        }
    })
}
