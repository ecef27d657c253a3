//! From answers and errors to HTTP: the one place where status, headers and bodies are written.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

use super::door::Unrouted;
use crate::config::HttpConfig;
use crate::error::{Error, ErrorCode};
use crate::operations::ports::RateHeaders;
use crate::rest::request::RestResponse;

pub const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const ALLOWED_HEADERS: &str = "X-Parse-Master-Key, X-Parse-REST-API-Key, X-Parse-Javascript-Key, X-Parse-Application-Id, X-Parse-Client-Version, X-Parse-Session-Token, X-Requested-With, X-Parse-Revocable-Session, X-Parse-Request-Id, Content-Type, Pragma, Cache-Control";

static ANYBODY: HeaderValue = HeaderValue::from_static("*");
static METHODS: HeaderValue = HeaderValue::from_static("GET,PUT,POST,DELETE,OPTIONS");
static HEADERS: HeaderValue = HeaderValue::from_static(ALLOWED_HEADERS);
static EXPOSED: HeaderValue = HeaderValue::from_static("X-Parse-Job-Status-Id, X-Parse-Push-Status-Id");

/// # Panics
/// Never: a body that cannot be written becomes an error answer.
pub fn answer(response: RestResponse, sanitize: bool) -> HttpResponse {
    let RestResponse { status, body, location, headers } = response;
    let bytes = match body.into_bytes() {
        Ok(bytes) => bytes,
        Err(encoding) => return error(&encoding, sanitize),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(status);
    builder.content_type(JSON);
    if let Some(location) = location {
        put(&mut builder, "Location", &location);
    }
    let mut before: Option<String> = None;
    for (name, value) in headers {
        // Several of one name, as cookies are, follow each other.
        if before.as_ref() == Some(&name) {
            add(&mut builder, &name, &value);
        } else {
            put(&mut builder, &name, &value);
        }
        before = Some(name);
    }
    builder.body(bytes)
}

/// Sets a header whose text clients, stored data or the application's code had a part in. What cannot be a
/// header is left out: the work is done, and its answer must not fail for it.
pub fn put(builder: &mut HttpResponseBuilder, name: &str, value: impl AsRef<[u8]>) {
    match (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_ref())) {
        (Ok(name), Ok(value)) => drop(builder.insert_header((name, value))),
        _ => tracing::warn!(name, "a response header that cannot be one was left out"),
    }
}

/// As [`put`], beside those of the same name.
fn add(builder: &mut HttpResponseBuilder, name: &str, value: &str) {
    match (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        (Ok(name), Ok(value)) => drop(builder.append_header((name, value))),
        _ => tracing::warn!(name, "a response header that cannot be one was left out"),
    }
}

/// The body that parse-server's `handleParseErrors` writes. Logs the source, once.
pub fn error(error: &Error, sanitize: bool) -> HttpResponse {
    log(error);
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(status);
    builder.content_type(JSON);
    if let Error::RateLimited { limit, reset_epoch_s, retry_after_s, .. } = error {
        builder.insert_header(("X-RateLimit-Limit", limit.to_string()));
        builder.insert_header(("X-RateLimit-Remaining", "0"));
        builder.insert_header(("X-RateLimit-Reset", reset_epoch_s.to_string()));
        builder.insert_header(("Retry-After", retry_after_s.to_string()));
    }
    if error.status() == 408 {
        // The rest of the request may still come.
        builder.force_close();
    }
    if error.status() == 503 {
        builder.insert_header(("Retry-After", "1"));
    }
    builder.body(error.body(sanitize).to_string())
}

/// The head alone where a status has no body (RFC 9110 §15.3.5, §15.3.6, §15.4.5), whatever application code gave
/// it: actix would write one all the same, without a length, and it be taken for the next answer.
pub fn of_status(response: HttpResponse) -> HttpResponse {
    let status = response.status();
    let is_interim = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
    if !is_interim && !matches!(status.as_u16(), 204 | 205 | 304) {
        return response;
    }
    let mut response = response.set_body(()).map_into_boxed_body();
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// The answer to HEAD: its head alone. actix leaves the body out by itself, unless the next request of the same
/// connection has been read by then: the answer would be written by that one's method, and its body be taken for
/// the next answer.
pub fn without_body(response: HttpResponse) -> HttpResponse {
    let length = match response.body().size() {
        BodySize::None | BodySize::Sized(0) => return response,
        BodySize::Sized(length) => Some(length),
        BodySize::Stream => None,
    };
    let mut response = response.set_body(Nothing).map_into_boxed_body();
    response.head_mut().no_chunking(true);
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// A body that ends at once, and leaves the length that a header tells as it is.
struct Nothing;

impl MessageBody for Nothing {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}

/// What is left of a rate limit; a refusal has its own.
pub fn add_rate(response: &mut HttpResponse, rate: Option<RateHeaders>) {
    let Some(rate) = rate else { return };
    let values = [
        ("x-ratelimit-limit", rate.limit),
        ("x-ratelimit-remaining", rate.remaining),
        ("x-ratelimit-reset", rate.reset_epoch_s),
    ];
    for (name, value) in values {
        response.headers_mut().insert(HeaderName::from_static(name), value.into());
    }
}

fn log(error: &Error) {
    match error {
        Error::Internal(_) | Error::Database(_) => tracing::error!(%error, "Uncaught internal server error."),
        Error::Denied { .. } => tracing::error!(%error, "Sanitized error: {error}"),
        Error::Parse { code, .. } if *code == ErrorCode::USERNAME_TAKEN => {
            tracing::info!(%error, "Parse error: {error}");
        }
        _ => tracing::info!(%error, "Parse error: {error}"),
    }
}

/// Express' page for a route that does not exist.
pub fn cannot_route(method: &str, path: &str) -> HttpResponse {
    let path = path.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n<body>\n<pre>Cannot {method} {path}</pre>\n</body>\n</html>\n"
    );
    let mut response = HttpResponse::NotFound()
        .content_type(HTML)
        .insert_header(("Content-Security-Policy", "default-src 'none'"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(page);
    response.extensions_mut().insert(Unrouted);
    response
}

/// The CORS headers that every answer below the mount carries.
pub fn add_cors(response: &mut HttpResponse, config: &HttpConfig, origin: Option<&HeaderValue>) {
    let listed =
        origin.filter(|origin| config.allow_origin.iter().any(|known| known.as_bytes() == origin.as_bytes()));
    let allowed = match (listed, config.allow_origin.first()) {
        (Some(origin), _) => Some(origin.clone()),
        (None, Some(first)) => HeaderValue::from_str(first).ok(),
        (None, None) => Some(ANYBODY.clone()),
    };
    let headers = response.headers_mut();
    if config.allow_origin.len() > 1 {
        // The next header depends on who asks, so no cache may give one site's answer to another.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(allowed) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS.clone());
    let allow_headers = if config.allow_headers.is_empty() {
        Some(HEADERS.clone())
    } else {
        HeaderValue::from_str(&format!("{ALLOWED_HEADERS}, {}", config.allow_headers.join(", "))).ok()
    };
    if let Some(allow_headers) = allow_headers {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allow_headers);
    }
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED.clone());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever ends up in a header: the status stays, and no line is added.
        #[test]
        fn property_of_headers(name in ".{0,20}", value in any::<String>(), token in "[a-z-]{1,9}") {
            let body = serde_json::json!({});
            let mut response = RestResponse::value(body).with_status(201).with_location(Some(value.clone()));
            response.headers.push((name, value.clone()));
            response.headers.push((format!("x-{token}"), value));
            let answer = answer(response, true);
            prop_assert_eq!(answer.status(), StatusCode::CREATED);
            for (_, value) in answer.headers() {
                prop_assert!(value.as_bytes().iter().all(|c| *c >= 0x20 || *c == b'\t'));
            }
        }
    }
}
