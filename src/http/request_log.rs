//! `REQUEST for …` and `RESPONSE from …`: the two lines that parse-server writes of each request at level `verbose`,
//! for the log, its files and `GET /scriptlog`. Nothing is made of them unless that level is written.
//!
//! Keys, tokens, cookies and passwords are masked, long bodies cut. Called by [`super::front`].

use std::borrow::Cow;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::credentials::header_text;
use super::door;
use crate::cloud::mask;
use crate::rest::request::{RestBody, RestResponse};
use crate::types::Object;

/// Longest JSON that is written, in bytes.
const LOGGED: usize = 16 * 1024;
const STARS: &str = "********";

/// What both lines say of a request.
pub struct Watched {
    method: String,
    url: String,
}

/// Tells of the request, where anybody listens.
pub fn begin(http: &HttpRequest, method: &str, body: &Object) -> Option<Watched> {
    if !tracing::enabled!(tracing::Level::TRACE) {
        return None;
    }
    let url =
        masked_url(&http.uri().path_and_query().map_or_else(|| http.path().to_owned(), ToString::to_string));
    let mut body = body.clone();
    if asks_for_name(&url) {
        // Who types a password into the wrong field does not want to read it here.
        for name in ["username", "email"] {
            if let Some(value) = body.get_mut(name) {
                *value = STARS.into();
            }
        }
    }
    let body = masked(&Value::Object(body));
    let meta = json!({ "method": method, "url": url, "headers": headers(http.headers()), "body": body });
    let meta = meta.to_string();
    tracing::trace!(meta = meta.as_str(), "REQUEST for [{method}] {url}: {}", pretty(&body));
    Some(Watched { method: method.to_owned(), url })
}

impl Watched {
    pub fn end(self, response: &RestResponse) {
        let Self { method, url } = self;
        let mut result = Map::new();
        if response.status != 200 {
            result.insert("status".to_owned(), response.status.into());
        }
        let body = match &response.body {
            RestBody::Value(value) => masked(value),
            RestBody::Json(text) if text.len() <= LOGGED => {
                serde_json::from_slice(text).map_or(Value::Null, |value| masked(&value))
            }
            RestBody::Json(text) => format!("{} bytes", text.len()).into(),
        };
        result.insert("response".to_owned(), body);
        if let Some(location) = &response.location {
            result.insert("location".to_owned(), location.as_str().into());
        }
        let result = Value::Object(result);
        let meta = json!({ "result": result }).to_string();
        tracing::trace!(meta = meta.as_str(), "RESPONSE from [{method}] {url}: {}", pretty(&result));
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn masked(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() > LOGGED {
        return format!("{} bytes", text.len()).into();
    }
    match mask(&text) {
        Cow::Borrowed(_) => value.clone(),
        Cow::Owned(masked) => serde_json::from_str(&masked).unwrap_or_else(|_| STARS.into()),
    }
}

fn headers(headers: &HeaderMap) -> Object {
    let shown = |name: &str| {
        let value = header_text(headers, name)?;
        let is_secret =
            matches!(name, "authorization" | "cookie" | "proxy-authorization" | "x-parse-session-token")
                || name.starts_with("x-parse-") && name.ends_with("-key");
        Some((name.to_owned(), if is_secret { STARS.into() } else { value.into() }))
    };
    headers.keys().filter(|name| !door::is_own(name)).filter_map(|name| shown(name.as_str())).collect()
}

/// The path as it was asked for, without passwords and tokens in its parameters.
fn masked_url(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else { return url.to_owned() };
    let hides_names = asks_for_name(path);
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key @ ("username" | "email"), _)) if hides_names => format!("{key}={STARS}").into(),
        _ => masked_pair(pair),
    });
    let pairs: Vec<Cow<'_, str>> = pairs.collect();
    format!("{path}?{}", pairs.join("&"))
}

/// Whether the request's parameters are a name and a password.
fn asks_for_name(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default().trim_end_matches('/').to_ascii_lowercase();
    path.ends_with("/login") || path.ends_with("/verifypassword")
}

fn masked_pair(pair: &str) -> Cow<'_, str> {
    let Some((key, value)) = pair.split_once('=') else { return pair.into() };
    let name = key.to_ascii_lowercase();
    if name.ends_with("password") || name.ends_with("token") || name.ends_with("key") {
        return format!("{key}={STARS}").into();
    }
    let text = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
    match mask(&text) {
        Cow::Borrowed(_) => pair.into(),
        Cow::Owned(masked) => format!("{key}={masked}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_masked() {
        assert_eq!(
            masked_url("/parse/login?username=a&password=b"),
            "/parse/login?username=********&password=********"
        );
        assert_eq!(
            masked_url("/parse/classes/A?where=%7B%22a%22%3A1%7D"),
            "/parse/classes/A?where=%7B%22a%22%3A1%7D"
        );
        assert_eq!(
            masked_url("/p?where=%7B%22sessionToken%22%3A%22r%3A1%22%7D&x"),
            "/p?where={\"sessionToken\":\"********\"}&x"
        );
    }
}
