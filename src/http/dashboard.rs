//! Requests for Parse Dashboard: who may see it at all, and the way to its process and back.
//!
//! Its pages hold the master key, so they go to browsers on this machine, or over TLS, and to nobody else. No CORS
//! header is on what it answers: no other site may read it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use http_body_util::Full;

use super::body;
use super::credentials::{header_list, header_text};
use super::exchange::Front;
use super::respond;
use crate::dashboard::Dashboard;
use crate::error::{Error, Result};
use crate::outbound::local;

/// Bytes of a request's body: a log-in, a question to the agent.
const MAX_BODY: u64 = 1024 * 1024;
/// How long a request waits for a process that is being started.
const START: Duration = Duration::from_secs(20);
/// Until the head of its answer.
const ANSWER: Duration = Duration::from_secs(120);

/// Headers of a connection, which are this server's own business, and those that the process believes.
const OWN_HEADERS: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
    "host",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-dashboard-origin",
    "x-dashboard-here",
    "accept-encoding",
];

/// How a browser reaches this server.
struct Reached {
    /// `http://localhost:1337`.
    origin: String,
    is_secure: bool,
    /// From this machine, by a name of this machine, through no proxy that says so.
    is_here: bool,
}

/// Whether the path is the dashboard's.
pub(super) fn owns(dashboard: &Dashboard, path: &str) -> bool {
    let rest = path.strip_prefix(dashboard.mount());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) async fn serve(
    http: &HttpRequest,
    payload: web::Payload,
    front: &Front,
    dashboard: &Dashboard,
) -> HttpResponse {
    let Some(reached) = reached(http, front, dashboard) else {
        return refusal("This address cannot be understood.", "The request names no host.");
    };
    if !reached.is_here && !reached.is_secure {
        return refusal(
            "Parse Dashboard is not shown here",
            "Its pages hold the master key, and this connection is not encrypted. Open it on the machine of the \
             server, as http://localhost, or through a proxy with TLS that sends X-Forwarded-Proto, with option \
             trustProxy set.",
        );
    }
    match pass_on(http, payload, front, dashboard, &reached).await {
        Ok(response) => front.pace.outgoing(response),
        Err(error) => respond::error(&error, true),
    }
}

fn reached(http: &HttpRequest, front: &Front, dashboard: &Dashboard) -> Option<Reached> {
    let peer = http.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
    let headers = http.headers();
    let trusted = dashboard.config().trust_proxy
        || front.registry.iter().any(|app| app.config().http.trust_proxy.trusts_peer(peer));
    let forwarded = |name: header::HeaderName| {
        let list = header_list(headers, name).filter(|_| trusted)?;
        list.split(',').next().map(|first| first.trim().to_owned()).filter(|first| !first.is_empty())
    };
    let host = forwarded(header::X_FORWARDED_HOST).or_else(|| header_text(headers, header::HOST))?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if host.is_empty() || host.len() > 255 || !host.chars().all(fits) {
        return None;
    }
    let is_secure =
        forwarded(header::X_FORWARDED_PROTO).is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    let through_proxy =
        ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-real-ip", "via"]
            .iter()
            .any(|name| headers.contains_key(*name));
    let is_here = peer.is_loopback() && !through_proxy && is_own_name(&host);
    let scheme = if is_secure { "https" } else { "http" };
    Some(Reached { origin: format!("{scheme}://{host}"), is_secure, is_here })
}

/// Whether a host is this machine by its name: another name may lead here too (DNS rebinding), but the page that
/// asked is not ours then.
fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a path is that of the form that logs in, in every spelling that the process takes for it.
fn logs_in(path: &str) -> bool {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().to_ascii_lowercase();
    path.trim_end_matches('/').ends_with("/login")
}

/// # Errors
/// 503 while there is no process, 413 for a body that is too long, 429 for too many attempts to log in.
async fn pass_on(
    http: &HttpRequest,
    payload: web::Payload,
    front: &Front,
    dashboard: &Dashboard,
    reached: &Reached,
) -> Result<HttpResponse> {
    if http.method() == Method::POST && logs_in(http.path()) {
        front.dashboard_attempts.admit()?;
    }
    let incoming = front.pace.incoming(payload);
    let body = body::collect(http.headers(), incoming, MAX_BODY).await?;
    // Only now: whoever sends half a body takes no place from others.
    let _place = front.dashboard_places.try_acquire().map_err(|_| Error::overloaded())?;
    if !dashboard.ready(START).await {
        return Err(Error::overloaded());
    }
    let target = http.uri().path_and_query().map_or(http.path(), |target| target.as_str());
    let mut request = http::Request::builder().method(http.method().as_str()).uri(target);
    for (name, value) in http.headers() {
        if !OWN_HEADERS.contains(&name.as_str()) {
            request = request.header(name.as_str(), value.as_bytes());
        }
    }
    let host = reached.origin.split_once("://").map_or("localhost", |(_, host)| host);
    request = request
        .header("host", host)
        .header("x-forwarded-proto", if reached.is_secure { "https" } else { "http" })
        .header("x-dashboard-origin", &reached.origin)
        .header("x-dashboard-here", if reached.is_here { "1" } else { "0" });
    let request = request.body(Full::new(body)).map_err(|_| Error::http(400, "Bad request"))?;
    let sent = tokio::time::timeout(ANSWER, local::send(&dashboard.socket(), request)).await;
    let answer = match sent {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::warn!(%error, "Parse Dashboard did not answer");
            return Err(Error::overloaded());
        }
        Err(_) => return Err(Error::overloaded()),
    };
    let (head, pieces) = answer.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut builder = HttpResponse::build(status);
    let mut length = None;
    for (name, value) in &head.headers {
        match name.as_str() {
            "content-length" => length = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()),
            "set-cookie" if reached.is_secure => {
                let cookie = [value.as_bytes(), b"; Secure"].concat();
                append(&mut builder, name.as_str(), &cookie);
            }
            name if OWN_HEADERS.contains(&name) => {}
            name => append(&mut builder, name, value.as_bytes()),
        }
    }
    // A link that signs in must not go on to others, and nobody frames the pages.
    builder.insert_header((header::REFERRER_POLICY, "same-origin"));
    builder.insert_header((header::X_FRAME_OPTIONS, "SAMEORIGIN"));
    builder.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if !head.headers.contains_key("cache-control") {
        builder.insert_header((header::CACHE_CONTROL, "no-store"));
    }
    let pieces =
        pieces.map(|piece| piece.map_err(|error| actix_web::error::ErrorBadGateway(error.to_string())));
    if http.method() == Method::HEAD || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT) {
        return Ok(builder.finish());
    }
    Ok(match length {
        Some(length) => builder.no_chunking(length).streaming(pieces),
        None => builder.streaming(pieces),
    })
}

fn append(builder: &mut actix_web::HttpResponseBuilder, name: &str, value: &[u8]) {
    let name = header::HeaderName::try_from(name);
    if let (Ok(name), Ok(value)) = (name, header::HeaderValue::from_bytes(value)) {
        builder.append_header((name, value));
    }
}

fn refusal(title: &str, text: &str) -> HttpResponse {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body>\n\
         <h1>{title}</h1>\n<p>{text}</p>\n</body>\n</html>\n"
    );
    HttpResponse::Forbidden()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_log_in_is_counted() {
        for path in ["/dashboard/login", "/dashboard/LogIn", "/dashboard/login/", "/dashboard/%6cogin"] {
            assert!(logs_in(path), "{path}");
        }
        assert!(!logs_in("/dashboard/apps"));
    }

    #[test]
    fn names_of_this_machine() {
        for own in ["localhost", "LOCALHOST:1337", "127.0.0.1:80", "127.1.2.3", "[::1]:1337", "[::1]"] {
            assert!(is_own_name(own), "{own}");
        }
        for other in ["example.com", "localhost.example.com", "127.0.0.1.nip.io", "10.0.0.1", "[::2]", ""] {
            assert!(!is_own_name(other), "{other}");
        }
    }
}
