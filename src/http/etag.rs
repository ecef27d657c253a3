//! Weak entity tags for answers to reads, and 304 for clients that have them already, as Express does.
//!
//! Called by [`super::front`]; files and pages with tags of their own keep those.

use actix_web::body::MessageBody;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::types::aside::{LONG, aside};

/// Bytes of the hash in a tag.
const HASH_LENGTH: usize = 20;

/// Tags a 200 to GET or HEAD by its body; makes a 304 of it when the client's tag is the same.
pub async fn tagged(http: &HttpRequest, response: HttpResponse) -> HttpResponse {
    let is_read = matches!(*http.method(), Method::GET | Method::HEAD);
    if !is_read || response.status() != StatusCode::OK || response.headers().contains_key(header::ETAG) {
        return response;
    }
    let (head, body) = response.into_parts();
    let bytes = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        // A stream has no tag.
        Err(body) => return head.set_body(body),
    };
    let hash = if bytes.len() > LONG {
        let bytes = bytes.clone();
        aside(move || blake3::hash(&bytes)).await.ok()
    } else {
        Some(blake3::hash(&bytes))
    };
    // Without a tag it is as good an answer.
    let Some(hash) = hash else { return head.set_body(bytes).map_into_boxed_body() };
    let text = STANDARD_NO_PAD.encode(&hash.as_bytes()[..HASH_LENGTH]);
    let tag = format!("W/\"{:x}-{text}\"", bytes.len());
    let known = is_known(http.headers(), &tag);
    let mut response = head.set_body(bytes).map_into_boxed_body();
    if known {
        response = response.set_body(()).map_into_boxed_body();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    if let Ok(value) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(known) = text(header::IF_NONE_MATCH) else { return false };
    if text(header::CACHE_CONTROL).is_some_and(|control| control.to_ascii_lowercase().contains("no-cache")) {
        return false;
    }
    known.trim() == "*" || known.split(',').any(|one| strong(one.trim()) == strong(tag))
}

fn strong(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}
