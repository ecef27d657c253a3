//! Forward proxies: which URLs go through one, and how a tunnel through it is asked for.

use std::sync::Arc;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::OutboundError;

/// Longest answer to CONNECT.
const MAX_HEAD: usize = 8192;

/// Which proxy carries what.
#[derive(Clone, Debug)]
pub struct Proxies(Arc<Matcher>);

impl Proxies {
    /// As `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, with curl's meaning.
    pub fn from_env() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    /// As if the three variables had these values.
    pub fn new(http: &str, https: &str, no: &str) -> Self {
        let builder = Matcher::builder().http(http.to_owned()).https(https.to_owned()).no(no.to_owned());
        Self(Arc::new(builder.build()))
    }

    pub(super) fn of(&self, url: &Uri) -> Option<Intercept> {
        self.0.intercept(url)
    }
}

/// Asks the proxy at the other end for a connection to `authority`, `host:port`.
pub(super) async fn tunnel(
    proxy: &mut (impl AsyncRead + AsyncWrite + Unpin),
    authority: &str,
    credentials: Option<&HeaderValue>,
) -> Result<(), OutboundError> {
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(credentials) = credentials {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(credentials.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    proxy.write_all(&head).await.map_err(|_| OutboundError::Proxy)?;
    proxy.flush().await.map_err(|_| OutboundError::Proxy)?;
    let mut answer = Vec::new();
    // Byte by byte: what follows is no longer the proxy's.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_HEAD {
            return Err(OutboundError::Proxy);
        }
        answer.push(proxy.read_u8().await.map_err(|_| OutboundError::Proxy)?);
    }
    let is_open = answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.0 200");
    if is_open { Ok(()) } else { Err(OutboundError::Proxy) }
}
