//! Opens connections: finds the addresses, has them looked at, and goes through the proxy where there is one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::guard::Guard;
use super::proxy::{Proxies, tunnel};
use super::{OutboundError, Resolver};

/// The next address is tried when this one has not answered for so long.
const STAGGER: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub(super) struct Dialer(Arc<Inner>);

struct Inner {
    resolver: Arc<dyn Resolver>,
    proxies: Proxies,
    /// Where clients choose the URLs.
    guard: Option<Guard>,
    /// For proxies that are spoken to in TLS.
    tls: Arc<ClientConfig>,
    /// To resolve and connect, and for the proxy to do so.
    patience: Duration,
}

impl Dialer {
    pub(super) fn new(
        resolver: Arc<dyn Resolver>,
        proxies: Proxies,
        guard: Option<Guard>,
        tls: Arc<ClientConfig>,
        patience: Duration,
    ) -> Self {
        Self(Arc::new(Inner { resolver, proxies, guard, tls, patience }))
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Wire>;
    type Error = OutboundError;
    type Future = BoxFuture<'static, Result<Self::Response, OutboundError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutboundError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move {
            let dialled = tokio::time::timeout(inner.patience, inner.dial(&url)).await;
            dialled.map_err(|_| OutboundError::Deadline)?.map(TokioIo::new)
        })
    }
}

impl Inner {
    async fn dial(&self, url: &Uri) -> Result<Wire, OutboundError> {
        let (host, port, encrypted) = target(url)?;
        let proxy = self.proxies.of(url);
        // A proxy resolves names itself, unless they have to be looked at: then it is told the address.
        let addresses = match (&self.guard, &proxy) {
            (None, Some(_)) => Vec::new(),
            _ => self.resolve(host).await?,
        };
        if let Some(guard) = &self.guard {
            guard.check(&addresses, port, encrypted)?;
        }
        let Some(proxy) = proxy else {
            return Ok(Wire { io: Io::Plain(connect(&addresses, port).await?), is_proxy: false });
        };
        let mut io = self.reach(&proxy).await?;
        if self.guard.is_none() && !encrypted {
            return Ok(Wire { io, is_proxy: true });
        }
        let authority = match addresses.first() {
            Some(address) => SocketAddr::new(*address, port).to_string(),
            None => format!("{}:{port}", url.host().unwrap_or_default()),
        };
        tunnel(&mut io, &authority, proxy.basic_auth()).await?;
        Ok(Wire { io, is_proxy: false })
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, OutboundError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        match self.resolver.resolve(host.to_owned()).await {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses),
            _ => Err(OutboundError::Resolve),
        }
    }

    /// The connection to the proxy, which is the operator's choice and not looked at.
    async fn reach(&self, proxy: &Intercept) -> Result<Io, OutboundError> {
        let (host, port, encrypted) = target(proxy.uri()).map_err(|_| OutboundError::Proxy)?;
        let addresses = self.resolve(host).await.map_err(|_| OutboundError::Proxy)?;
        let stream = connect(&addresses, port).await.map_err(|_| OutboundError::Proxy)?;
        if !encrypted {
            return Ok(Io::Plain(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| OutboundError::Proxy)?;
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await;
        Ok(Io::Encrypted(Box::new(stream.map_err(|error| OutboundError::of(&error))?)))
    }
}

/// Host (without the brackets of IPv6), port, and whether TLS follows.
fn target(url: &Uri) -> Result<(&str, u16, bool), OutboundError> {
    let encrypted = match url.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(OutboundError::Url),
    };
    let host = url.host().filter(|host| !host.is_empty()).ok_or(OutboundError::Url)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((host, url.port_u16().unwrap_or(if encrypted { 443 } else { 80 }), encrypted))
}

/// The first of the addresses that answers; each next one joins in when those before dawdle or failed.
async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, OutboundError> {
    let mut rest = addresses.iter();
    let mut under_way = FuturesUnordered::new();
    let mut failure = OutboundError::Resolve;
    loop {
        let more = match rest.next() {
            Some(address) => {
                under_way.push(TcpStream::connect(SocketAddr::new(*address, port)));
                true
            }
            None if under_way.is_empty() => return Err(failure),
            None => false,
        };
        tokio::select! {
            Some(tried) = under_way.next() => match tried {
                Ok(stream) => {
                    // Requests are written whole.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => failure = OutboundError::Connect(error.kind()),
            },
            () = tokio::time::sleep(STAGGER), if more => {}
        }
    }
}

/// An open connection: to the host, or to a proxy that is told the whole URL.
pub(super) struct Wire {
    io: Io,
    is_proxy: bool,
}

enum Io {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_proxy)
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Encrypted(stream) => Pin::new(stream.as_mut()).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Encrypted(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
