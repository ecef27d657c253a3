//! HTTP/2 to servers that many requests at a time are for: one connection for each, spoken to in nothing else.
//! The requests beyond what the other side takes at a time wait on it.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT, USER_AGENT};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::dial::Dialer;
use super::{
    AGENT, Answer, Arriving, CONNECT, Connections, IDLE, Opened, Outbound, OutboundError, PAUSE, PING,
    Request, request,
};
use crate::error::{BoxError, Result};
use crate::tls::Identity;

/// Sends requests to URLs of the operator over HTTP/2 alone, which the other side has to speak.
pub struct Multiplexed {
    connections: Connections,
}

impl std::fmt::Debug for Multiplexed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Multiplexed")
    }
}

impl Outbound {
    /// Connections of their own, with the trust and the proxies of this one. `identity`: the certificate that
    /// they show. Opens no connection.
    ///
    /// # Errors
    /// When TLS cannot be set up with the identity.
    pub fn multiplexed(&self, identity: Option<&Identity>) -> Result<Multiplexed> {
        let tls = match identity {
            Some(identity) => self.trust.client_config_as(identity)?,
            None => self.trust.client_config()?,
        };
        // A proxy is not shown who we are to the servers behind it.
        let to_proxies = Arc::new(self.trust.client_config()?);
        let dialer = Dialer::new(self.resolver.clone(), self.proxies.clone(), None, to_proxies, CONNECT);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http2()
            .wrap_connector(dialer);
        let connections = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_only(true)
            .http2_keep_alive_interval(PING)
            .build(connector);
        Ok(Multiplexed { connections })
    }
}

impl Multiplexed {
    /// Sends the request and reads the answer, whatever its status is. Follows no redirect.
    ///
    /// # Errors
    /// See [`OutboundError`].
    pub async fn send(&self, request: Request) -> Result<Answer, OutboundError> {
        let Request { method, url, headers, body, origin, deadline, most, .. } = request;
        let (address, _) = request::without_credentials(url?, origin)?;
        let mut sent = http::Request::new(Full::<Bytes>::new(body).map_err(BoxError::from).boxed_unsync());
        *sent.method_mut() = method;
        *sent.uri_mut() = address;
        *sent.headers_mut() = headers?;
        sent.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        sent.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let whole = async {
            let answer = self.connections.request(sent).await.map_err(|error| OutboundError::of(&error))?;
            let (head, body) = answer.into_parts();
            Opened { status: head.status, headers: head.headers, body: Arriving::new(body, PAUSE) }
                .read(most)
                .await
        };
        tokio::time::timeout(deadline, whole).await.map_err(|_| OutboundError::Deadline)?
    }
}
