//! The one way out: whatever leaves this server over HTTP is a [`Request`] that [`Outbound`] sends.
//!
//! It trusts what [`crate::tls`] trusts, goes through the proxies that the environment names, reuses connections
//! (HTTP/2 where the other side speaks it), and has a deadline and a bound for every answer. Redirects are followed
//! only when asked for. Where a client chose the URL, the [`guard`] looks at every address after it was resolved,
//! and the connection goes to exactly that address, through a proxy too.
//!
//! One for each app, made by `server` and handed on as `Arc<Outbound>`: to Cloud Code's webhooks, to the file stores,
//! and to operations through their ports. The only room that may name an HTTP client. Names `config`, `tls` and
//! `error`.

mod answer;
mod dial;
mod error;
pub mod guard;
pub mod local;
mod multiplexed;
mod proxy;
mod request;
mod resolver;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use answer::{Answer, Arriving, Opened};
use dial::Dialer;
pub use error::OutboundError;
use guard::Guard;
pub use multiplexed::Multiplexed;
pub use proxy::Proxies;
pub use request::{Origin, Request};
use request::{parse, without_credentials};
pub use resolver::{Resolver, SystemResolver};

use crate::config::IpRules;
use crate::error::{BoxError, Result};
use crate::tls::TrustStore;

/// To find, reach and greet the other side.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer that is not read as a whole: large ones may take their time.
const PAUSE: Duration = Duration::from_secs(30);
/// Connections without work are kept for so long, and so many of them for each host.
const IDLE: Duration = Duration::from_secs(60);
const MOST_IDLE: usize = 16;
/// An HTTP/2 connection that died in silence is noticed.
const PING: Duration = Duration::from_secs(30);
const AGENT: &str = concat!("Parsimony/", env!("CARGO_PKG_VERSION"));

type Content = UnsyncBoxBody<Bytes, BoxError>;
type Connections = Client<HttpsConnector<Dialer>, Content>;

/// What an [`Outbound`] is made of; by default what the machine has.
#[derive(Clone)]
pub struct Settings {
    pub trust: TrustStore,
    pub resolver: Arc<dyn Resolver>,
    pub proxies: Proxies,
    /// Networks that URLs of clients may lead to besides the public internet.
    pub opened: IpRules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trust: TrustStore::system().clone(),
            resolver: Arc::new(SystemResolver),
            proxies: Proxies::from_env(),
            opened: IpRules::default(),
        }
    }
}

/// Sends requests. Cheap to share.
pub struct Outbound {
    /// For URLs of the operator.
    free: Connections,
    /// For URLs of clients. Never shared with the others: a connection that stands was looked at.
    guarded: Connections,
    proxies: Proxies,
    trust: TrustStore,
    resolver: Arc<dyn Resolver>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbound")
    }
}

impl Outbound {
    /// Opens no connection.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(settings: Settings) -> Result<Arc<Self>> {
        let Settings { trust, resolver, proxies, opened } = settings;
        let tls = trust.client_config()?;
        let connections = |guard: Option<Guard>| -> Connections {
            let dialer =
                Dialer::new(resolver.clone(), proxies.clone(), guard, Arc::new(tls.clone()), CONNECT);
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls.clone())
                .https_or_http()
                .enable_all_versions()
                .wrap_connector(dialer);
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(MOST_IDLE)
                .http2_keep_alive_interval(PING)
                .build(connector)
        };
        let (free, guarded) = (connections(None), connections(Some(Guard::new(opened))));
        Ok(Arc::new(Self { free, guarded, proxies, trust, resolver }))
    }

    /// One as a process has it by default, for tests of what is built on it.
    ///
    /// # Panics
    /// When TLS cannot be set up.
    #[doc(hidden)]
    #[allow(clippy::unwrap_used)]
    pub fn for_tests() -> Arc<Self> {
        crate::tls::install_provider();
        Self::new(Settings::default()).unwrap()
    }

    /// Sends the request and reads the answer, whatever its status is.
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn send(&self, request: Request) -> Result<Answer, OutboundError> {
        let (deadline, most) = (request.deadline, request.most);
        let whole = async { self.follow(request).await?.read(most).await };
        tokio::time::timeout(deadline, whole).await.map_err(|_| OutboundError::Deadline)?
    }

    /// Sends the request. The deadline holds up to the head of the answer; its body may take longer, as long as
    /// something comes.
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn open(&self, request: Request) -> Result<Opened, OutboundError> {
        let deadline = request.deadline;
        tokio::time::timeout(deadline, self.follow(request)).await.map_err(|_| OutboundError::Deadline)?
    }

    /// Sends the request of a library, to a URL that the operator chose, within the limits of [`Self::open`].
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn forward<B>(
        &self,
        request: http::Request<B>,
        deadline: Duration,
    ) -> Result<Opened, OutboundError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let request = http::Request::from_parts(parts, body.map_err(Into::into).boxed_unsync());
        let sent = self.exchange(request, Origin::Server);
        tokio::time::timeout(deadline, sent).await.map_err(|_| OutboundError::Deadline)?
    }

    async fn follow(&self, request: Request) -> Result<Opened, OutboundError> {
        let Request { mut method, url, headers, mut body, origin, redirects, .. } = request;
        let (mut url, mut headers) = (url?, headers?);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let mut left = redirects;
        loop {
            let (address, credentials) = without_credentials(url.clone(), origin)?;
            let mut next = http::Request::new(Full::new(body.clone()).map_err(BoxError::from).boxed_unsync());
            *next.method_mut() = method.clone();
            *next.uri_mut() = address;
            *next.headers_mut() = headers.clone();
            if let Some(credentials) = credentials {
                next.headers_mut().entry(AUTHORIZATION).or_insert(credentials);
            }
            let answer = self.exchange(next, origin).await?;
            let Some(target) = redirect(&answer).filter(|_| redirects > 0) else { return Ok(answer) };
            left = left.checked_sub(1).ok_or(OutboundError::Redirect)?;
            let target = url.join(target).map_err(|_| OutboundError::Url)?;
            let target = parse(target.as_str())?;
            if url.scheme() == "https" && target.scheme() == "http" {
                return Err(OutboundError::Redirect);
            }
            if (target.host(), target.port_or_known_default()) != (url.host(), url.port_or_known_default()) {
                forget_secrets(&mut headers);
            }
            let becomes_get = match answer.status {
                StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method == Method::POST,
                StatusCode::SEE_OTHER => method != Method::HEAD,
                _ => false,
            };
            if becomes_get {
                method = Method::GET;
                body = Bytes::new();
                headers.remove(http::header::CONTENT_TYPE);
            }
            url = target;
        }
    }

    async fn exchange(
        &self,
        mut request: http::Request<Content>,
        origin: Origin,
    ) -> Result<Opened, OutboundError> {
        request.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let connections = match origin {
            Origin::Server => &self.free,
            Origin::Client => &self.guarded,
        };
        // A tunnel is asked for with these; a request that the proxy reads itself carries them.
        if origin == Origin::Server
            && request.uri().scheme_str() == Some("http")
            && let Some(proxy) = self.proxies.of(request.uri())
            && let Some(credentials) = proxy.basic_auth()
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let answer = connections.request(request).await.map_err(|error| OutboundError::of(&error))?;
        let (head, body) = answer.into_parts();
        Ok(Opened { status: head.status, headers: head.headers, body: Arriving::new(body, PAUSE) })
    }
}

/// Where a redirect leads to.
fn redirect(answer: &Opened) -> Option<&str> {
    match answer.status.as_u16() {
        301 | 302 | 303 | 307 | 308 => answer.headers.get(LOCATION)?.to_str().ok(),
        _ => None,
    }
}

/// Another host is not told what the first one was.
fn forget_secrets(headers: &mut HeaderMap) {
    let secret: Vec<_> = headers
        .iter()
        .filter(|(name, value)| {
            value.is_sensitive() || [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name)
        })
        .map(|(name, _)| name.clone())
        .collect();
    for name in secret {
        headers.remove(name);
    }
}
