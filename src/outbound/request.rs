//! One request to another server, and whose choice its URL was.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::Serialize;
use url::Url;

use super::OutboundError;

/// For a call as a whole, where its caller does not say.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of an answer, where its caller does not say.
const MOST: usize = 1024 * 1024;

/// Who chose the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator, in the configuration or with the master key.
    Server,
    /// A client, as with the endpoint of a push subscription: only the public internet is open, and only with TLS.
    Client,
}

/// A request. What is wrong with its parts is told when it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: Result<Url, OutboundError>,
    pub(super) headers: Result<HeaderMap, OutboundError>,
    pub(super) body: Bytes,
    pub(super) origin: Origin,
    pub(super) deadline: Duration,
    pub(super) most: usize,
    pub(super) redirects: u8,
}

impl Request {
    /// To a URL that the operator chose. Credentials in it become a header.
    pub fn new(method: Method, url: &str) -> Self {
        Self {
            method,
            url: parse(url),
            headers: Ok(HeaderMap::new()),
            body: Bytes::new(),
            origin: Origin::Server,
            deadline: DEADLINE,
            most: MOST,
            redirects: 0,
        }
    }

    pub fn get(url: &str) -> Self {
        Self::new(Method::GET, url)
    }

    pub fn post(url: &str) -> Self {
        Self::new(Method::POST, url)
    }

    /// A client chose the URL: see [`Origin::Client`].
    #[must_use]
    pub fn chosen_by_client(mut self) -> Self {
        self.origin = Origin::Client;
        self
    }

    /// Time for the call as a whole, the answer's body included.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// An answer with more bytes is refused.
    #[must_use]
    pub fn at_most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// Follows so many redirects; none without this.
    #[must_use]
    pub fn following(mut self, redirects: u8) -> Self {
        self.redirects = redirects;
        self
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if let Ok(headers) = &mut self.headers {
            headers.insert(name, value);
        }
        self
    }

    /// A header whose value is not known to be one.
    #[must_use]
    pub fn text_header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.header(name, value),
            Err(_) => {
                self.headers = Err(OutboundError::Header);
                self
            }
        }
    }

    /// All headers at once; earlier ones are gone.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = Ok(headers);
        self
    }

    /// `Authorization: Bearer …`, which no redirect to another host takes along.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.authorization("Bearer", token)
    }

    /// `Authorization` with another scheme.
    #[must_use]
    pub fn authorization(mut self, scheme: &str, token: &str) -> Self {
        match HeaderValue::from_str(&format!("{scheme} {token}")) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.header(AUTHORIZATION, value)
            }
            Err(_) => {
                self.headers = Err(OutboundError::Header);
                self
            }
        }
    }

    /// Adds to the query of the URL.
    #[must_use]
    pub fn query<K: AsRef<str>, V: AsRef<str>>(mut self, pairs: &[(K, V)]) -> Self {
        if let Ok(url) = &mut self.url
            && !pairs.is_empty()
        {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// # Errors
    /// When the value is no JSON.
    pub fn json(self, value: &impl Serialize) -> serde_json::Result<Self> {
        let body = serde_json::to_vec(value)?;
        Ok(self.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body))
    }
}

/// A URL that can be called, without its fragment.
pub(super) fn parse(text: &str) -> Result<Url, OutboundError> {
    let mut url = Url::parse(text).map_err(|_| OutboundError::Url)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(OutboundError::Url);
    }
    url.set_fragment(None);
    Ok(url)
}

/// The URL without the credentials in it, and these as a header. A client has none to give.
pub(super) fn without_credentials(
    mut url: Url,
    origin: Origin,
) -> Result<(Uri, Option<HeaderValue>), OutboundError> {
    use base64::Engine;
    let mut credentials = None;
    if !url.username().is_empty() || url.password().is_some() {
        if origin == Origin::Client {
            return Err(OutboundError::Url);
        }
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let both = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
        let both = base64::engine::general_purpose::STANDARD.encode(both);
        let mut value = HeaderValue::from_str(&format!("Basic {both}")).map_err(|_| OutboundError::Header)?;
        value.set_sensitive(true);
        credentials = Some(value);
        // They fail for URLs without a host alone.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    Ok((url.as_str().parse().map_err(|_| OutboundError::Url)?, credentials))
}
