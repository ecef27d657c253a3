//! From listeners to [`super::front`]: the worker threads, and the stream of each client, which escapes request
//! targets on their way in ([`super::targets`]) and spells headers on their way out ([`super::spelling`]).
//!
//! `HttpServer` of actix-web takes plain sockets alone; this is what it does for them, with our stream in between.
//! Called by `server`.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::{AppConfig, Extensions, Server};
use actix_web::rt::net::TcpStream;
use actix_web::{App as ActixApp, web};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::exchange::Front;
use super::spelling::Answers;
use super::targets::Targets;

/// How long a client may take to close its side once ours is closed.
const LEAVE: Duration = Duration::from_secs(1);

/// What the listeners have in common.
pub struct Listening {
    /// Worker threads.
    pub threads: usize,
    /// How long the head of a request may take.
    pub head: Duration,
    /// How long requests under way may take once the server stops.
    pub grace: Duration,
}

/// Serves on the listeners. `started` is called on each worker thread, `connected` for each connection.
///
/// # Errors
/// When a listener cannot be used.
pub fn run(
    listeners: Vec<TcpListener>,
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
    let stopping = builder.graceful_shutdown_signal();
    for listener in listeners {
        let address = listener.local_addr()?;
        addresses.push(address);
        let (front, started, connected) = (front.clone(), started.clone(), connected.clone());
        let (stopping, head) = (stopping.clone(), settings.head);
        builder = builder.listen(format!("clients-{address}"), listener, move || {
            started();
            let (connected, stopping) = (connected.clone(), stopping.clone());
            let app = ActixApp::new()
                .app_data(front.clone())
                .default_service(web::to(super::front::serve))
                .into_factory()
                .map_err(|error: actix_web::Error| error.error_response());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .client_request_timeout(head)
                .client_disconnect_timeout(LEAVE)
                .local_addr(address)
                .on_connect_ext(move |stream: &ClientStream, data| connected(&stream.socket, data))
                .finish(map_config(app, |()| AppConfig::default()));
            fn_service(|socket: TcpStream| async move {
                let peer = socket.peer_addr().ok();
                Ok::<_, DispatchError>((ClientStream::new(socket), Protocol::Http1, peer))
            })
            .and_then(http)
        })?;
    }
    Ok((builder.run(), addresses))
}

/// A client's socket.
struct ClientStream {
    socket: TcpStream,
    targets: Targets,
    answers: Answers,
    /// What was read, with escaped targets, and found no room yet.
    kept: Bytes,
}

impl ClientStream {
    fn new(socket: TcpStream) -> Self {
        Self { socket, targets: Targets::default(), answers: Answers::default(), kept: Bytes::new() }
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl AsyncRead for ClientStream {
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

impl AsyncWrite for ClientStream {
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
