//! From listeners to [`super::front`]: the worker threads, and the stream of each client, which escapes request
//! targets on their way in ([`super::targets`]) and spells headers on their way out ([`super::spelling`]).
//!
//! `HttpServer` of actix-web takes plain sockets alone; this is what it does for them, with our stream in between.
//! Called by `server`.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Extensions, Server};
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::{App as ActixApp, web};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::door;
use super::exchange::Front;
use super::spelling::Answers;
use super::targets::Targets;
use crate::sockets::connection::Stopping;

/// How long a client may take to close its side once ours is closed, and to end a body that was answered before its
/// end: who still sends when the socket closes reads no answer. As long as NGINX waits.
const LEAVE: Duration = Duration::from_secs(5);

/// How long a connection waits for its next request: longer than load balancers keep theirs open (60 s in most), so
/// that it is they who close, and none sends a request into a connection that is just being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What the listeners have in common.
pub struct Listening {
    /// Worker threads.
    pub threads: usize,
    /// How long the head of a request may take.
    pub head: Duration,
    /// How long requests under way may take once the server stops.
    pub grace: Duration,
}

/// Serves on the listeners, and on a private one ([`super::door`]). `started` is called on each worker thread, `connected` for each connection.
///
/// # Errors
/// When a listener cannot be used.
pub fn run(
    (listeners, private): (Vec<TcpListener>, Option<UnixListener>),
    settings: &Listening,
    front: &web::Data<Front>,
    started: impl Fn() + Clone + Send + 'static,
    connected: impl Fn(&TcpStream, &mut Extensions) + Clone + Send + 'static,
) -> io::Result<(Server, Vec<SocketAddr>)> {
    let mut addresses = Vec::new();
    let mut builder = Server::build()
        .workers(settings.threads)
        // More than `Connections` lets in, which tells those beyond instead of letting them wait.
        .max_concurrent_connections(usize::MAX >> 4)
        .disable_signals()
        .shutdown_timeout(settings.grace.as_secs());
    let signal = builder.graceful_shutdown_signal();
    let stopping = move || {
        let signal = signal.clone();
        async move { signal.notified().await }
    };
    for listener in listeners {
        let address = listener.local_addr()?;
        addresses.push(address);
        let (front, started, connected) = (front.clone(), started.clone(), connected.clone());
        let (stopping, head) = (stopping.clone(), settings.head);
        builder = builder.listen(format!("clients-{address}"), listener, move || {
            started();
            let peer = |socket: &TcpStream| socket.peer_addr().ok();
            serving(front.clone(), head, stopping.clone(), Some(address), peer, connected.clone())
        })?;
    }
    if let Some(listener) = private {
        let (front, started, stopping, head) =
            (front.clone(), started.clone(), stopping.clone(), settings.head);
        builder = builder.listen_uds("embedding", listener, move || {
            started();
            let connected = |_: &UnixStream, data: &mut Extensions| door::enter(data);
            serving(front.clone(), head, stopping.clone(), None, |_: &UnixStream| None, connected)
        })?;
    }
    Ok((builder.run(), addresses))
}

/// What one worker thread does with the connections of one listener.
fn serving<S, F: Future<Output = ()> + 'static>(
    front: web::Data<Front>,
    head: Duration,
    stopping: impl Fn() -> F + 'static,
    address: Option<SocketAddr>,
    peer: impl Fn(&S) -> Option<SocketAddr> + Clone + 'static,
    connected: impl Fn(&S, &mut Extensions) + 'static,
) -> impl ServiceFactory<S, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    S: AsyncRead + AsyncWrite + Unpin + fmt::Debug + 'static,
{
    let stopping = Rc::new(stopping);
    let told = stopping.clone();
    let app = ActixApp::new()
        .app_data(front)
        .app_data(Stopping::new(move || told()))
        .default_service(web::to(super::front::serve))
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    let mut http = HttpService::build()
        .graceful_shutdown_signal(move || stopping())
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(head)
        .client_disconnect_timeout(LEAVE);
    if let Some(address) = address {
        http = http.local_addr(address);
    }
    let http = http
        .on_connect_ext(move |stream: &ClientStream<S>, data| connected(&stream.socket, data))
        .finish(map_config(app, |()| AppConfig::default()));
    fn_service(move |socket: S| {
        let peer = peer(&socket);
        async move { Ok::<_, DispatchError>((ClientStream::new(socket), Protocol::Http1, peer)) }
    })
    .and_then(http)
}

/// A client's socket.
struct ClientStream<S> {
    socket: S,
    targets: Targets,
    answers: Answers,
    /// What was read, with escaped targets, and found no room yet.
    kept: Bytes,
}

impl<S> ClientStream<S> {
    fn new(socket: S) -> Self {
        Self { socket, targets: Targets::default(), answers: Answers::default(), kept: Bytes::new() }
    }
}

impl<S: fmt::Debug> fmt::Debug for ClientStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.kept.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            match this.targets.escaped(fresh) {
                None => return Poll::Ready(Ok(())),
                Some(escaped) => {
                    buf.set_filled(before);
                    this.kept = escaped.into();
                }
            }
        }
        let length = this.kept.len().min(buf.remaining());
        buf.put_slice(this.kept.get(..length).unwrap_or_default());
        this.kept.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { socket, targets, answers, .. } = self.get_mut();
        let (count, respelled) = answers.offer(bytes, &mut targets.unanswered);
        let rest = bytes.get(respelled.len()..count).unwrap_or_default();
        let socket = Pin::new(socket);
        let written = if respelled.is_empty() {
            socket.poll_write(cx, rest)
        } else {
            socket.poll_write_vectored(cx, &[io::IoSlice::new(respelled), io::IoSlice::new(rest)])
        };
        let written = ready!(written)?;
        answers.passed(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
