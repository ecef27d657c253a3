//! `LiveQueryConnection`: one WebSocket. The only file that names `actix-web-actors`, which its authors
//! have deprecated: everything about the protocol is in [`super::client`].

use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, StreamHandler};
use actix_http::ws::{Codec, Item};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use futures_util::Stream;
use futures_util::future::LocalBoxFuture;

use super::client::{Client, Door};
use super::frames::{Checked, MAX_MESSAGE};
use super::speaker::{Said, Speaker};
use super::tcp;
use crate::actors::live_query::LiveQueryHub;
use crate::live_query::ledger::{MAX_UNREAD, Refused, Scope};
use crate::live_query::outlet::{self, Batch, Letters, Outlet};
use crate::live_query::parcel::ConnectionId;

/// Frames are made for so many bytes at a time; what waits for its turn is shared with others.
const ROOM: usize = 32 * 1024;
/// A peer that took no bytes for so many heartbeats is gone.
const TAKES_BYTES_WITHIN: u32 = 3;
/// A ping goes out behind every so many bytes; its pong tells that they were read.
const MARK_EVERY: usize = 64 * 1024;
/// Pings that are answered between two heartbeats: who sends more wants the server's work, not its answer.
const MAX_PINGS: u32 = 100;
/// Heartbeats after which a socket on which nobody has connected is closed.
const CONNECT_WITHIN: u32 = 6;
/// Close code for clients that do not read (private range).
const SLOW_READER: u16 = 4008;

/// Another language than that of live queries.
pub struct Dialect {
    /// As the handshake names it.
    pub protocol: &'static str,
    /// Who speaks it, for a client of live queries.
    pub speaker: Box<dyn FnOnce(Client) -> Box<dyn Speaker>>,
}

/// The stop of the server, for those who would hold it up: found among the data of a request's application.
#[derive(Clone)]
pub struct Stopping(Rc<dyn Fn() -> LocalBoxFuture<'static, ()>>);

impl Stopping {
    /// `stopping`: ends when the server is about to stop.
    pub fn new<F: Future<Output = ()> + 'static>(stopping: impl Fn() -> F + 'static) -> Self {
        Self(Rc::new(move || -> LocalBoxFuture<'static, ()> { Box::pin(stopping()) }))
    }
}

/// Answers an upgrade request. `hubs`: the applications whose it may be, never none; `several`: the process has
/// more than one, so the client must name its own. `dialect`: `None` for the protocol of live queries.
///
/// # Errors
/// 400 when the handshake is not one, 429 and 503 when too many sockets are open.
pub fn accept(
    request: &HttpRequest,
    stream: web::Payload,
    hubs: Vec<Arc<LiveQueryHub>>,
    several: bool,
    address: IpAddr,
    dialect: Option<Dialect>,
) -> Result<HttpResponse, actix_web::Error> {
    let Some(hub) = hubs.first().cloned() else { return Ok(HttpResponse::NotFound().finish()) };
    let heartbeat = Duration::from_millis(hub.config().live_query_server.websocket_timeout_ms.max(100));
    let mut response = match &dialect {
        Some(dialect) => ws::handshake_with_protocols(request, &[dialect.protocol])?,
        None => ws::handshake(request)?,
    };
    let choice = if several { hubs.into_boxed_slice() } else { Box::default() };
    let door = Door { hub, choice, address, resume: resume_after(request.query_string()) };
    let client = match Client::new(door, outlet::worker_here()) {
        Ok(client) => client,
        Err(refused) => {
            tcp::let_go(request);
            return Ok(too_many_sockets(refused));
        }
    };
    tcp::give_up_after(request, heartbeat * TAKES_BYTES_WITHIN);
    let outlet = Outlet::new(MAX_UNREAD, Some(client.account().clone()));
    let speaker = match dialect {
        Some(dialect) => (dialect.speaker)(client),
        None => Box::new(client),
    };
    let connection = LiveQueryConnection {
        id: speaker.id(),
        speaker: Rc::new(RefCell::new(Some(speaker))),
        outlet: outlet.clone(),
        heartbeat,
        opened: Instant::now(),
        heard: Instant::now(),
        unread: 0,
        unmarked: 0,
        pings: 0,
        fragments: None,
        stopping: request.app_data::<Stopping>().cloned(),
    };
    let codec = Codec::new().max_size(MAX_MESSAGE);
    let frames = ws::WebsocketContext::with_codec(connection, Checked::new(stream), codec);
    Ok(response.streaming(Paced { frames: Box::pin(frames), outlet }))
}

fn too_many_sockets(refused: Refused) -> HttpResponse {
    let status = match refused.scope {
        Scope::App => StatusCode::SERVICE_UNAVAILABLE,
        Scope::Socket | Scope::Caller => StatusCode::TOO_MANY_REQUESTS,
    };
    tracing::debug!(?refused, "a live query socket is refused");
    HttpResponse::build(status).json(serde_json::json!({ "error": "Too many sockets are open" }))
}

/// The body of the answer. It is polled when its connection can send, and the actor only then: that is when
/// there is room.
struct Paced<S> {
    frames: Pin<Box<S>>,
    outlet: Rc<Outlet>,
}

impl<S: Stream> Stream for Paced<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.outlet.make_room(ROOM);
        let polled = self.frames.as_mut().poll_next(cx);
        if polled.is_pending() && self.outlet.wants_room() {
            // What was taken came to nothing.
            cx.waker().wake_by_ref();
        }
        polled
    }
}

/// `resumeAfter` of the URL: a place where servers that do not know it take no offence.
fn resume_after(query: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == "resumeAfter").map(|(_, id)| id.into_owned())
}

pub struct LiveQueryConnection {
    id: ConnectionId,
    /// Out while a request is worked on; the actor waits for it then.
    speaker: Rc<RefCell<Option<Box<dyn Speaker>>>>,
    outlet: Rc<Outlet>,
    heartbeat: Duration,
    opened: Instant,
    heard: Instant,
    /// Bytes sent and not known to be read.
    unread: usize,
    /// Of those, sent since the last mark.
    unmarked: usize,
    /// Answered since the last heartbeat.
    pings: u32,
    /// Of a text message that comes in several frames.
    fragments: Option<Vec<u8>>,
    /// Until it is waited for.
    stopping: Option<Stopping>,
}

type Ctx = ws::WebsocketContext<LiveQueryConnection>;

/// Closes the socket with this code.
fn end(code: ws::CloseCode, ctx: &mut Ctx) {
    ctx.close(Some(code.into()));
    ctx.stop();
}

impl LiveQueryConnection {
    fn send(&mut self, frame: String, ctx: &mut Ctx) {
        self.unread += frame.len();
        self.unmarked += frame.len();
        if self.unread > MAX_UNREAD {
            self.drop_slow(ctx);
            return;
        }
        ctx.text(frame);
        if self.unmarked >= MARK_EVERY {
            ctx.ping(self.unmarked.to_string().as_bytes());
            self.unmarked = 0;
        }
    }

    fn pong(&mut self, payload: &[u8], ctx: &mut Ctx) {
        self.pings += 1;
        if self.pings > MAX_PINGS {
            end(ws::CloseCode::Policy, ctx);
            return;
        }
        ctx.pong(payload);
    }

    fn drop_slow(&self, ctx: &mut Ctx) {
        let reason = ws::CloseReason {
            code: ws::CloseCode::Other(SLOW_READER),
            description: Some("The client does not read what it is sent".to_owned()),
        };
        tracing::warn!(connection = self.id, unread_bytes = self.unread, "dropping a slow live query client");
        ctx.close(Some(reason));
        ctx.stop();
    }

    /// A message that comes in fragments.
    fn join(&mut self, part: Item, ctx: &mut Ctx) {
        let (bytes, is_last) = match part {
            Item::FirstText(bytes) => {
                self.fragments = Some(Vec::new());
                (bytes, false)
            }
            Item::FirstBinary(bytes) => {
                self.fragments = None;
                (bytes, false)
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        if let Some(fragments) = &mut self.fragments {
            if fragments.len() + bytes.len() > MAX_MESSAGE {
                end(ws::CloseCode::Size, ctx);
                return;
            }
            fragments.extend_from_slice(&bytes);
        }
        if is_last {
            match self.fragments.take().map(String::from_utf8) {
                Some(Ok(text)) => self.hear(Some(text), ctx),
                Some(Err(_)) => {}
                None => self.hear(None, ctx),
            }
        }
    }

    fn hear(&mut self, message: Option<String>, ctx: &mut Ctx) {
        let Some(mut speaker) = self.speaker.borrow_mut().take() else { return };
        let done = async move {
            let said = speaker.hear(message).await;
            (speaker, said)
        };
        Self::wait_for(done, ctx);
    }

    /// The next frame waits: requests of one client are answered in order.
    fn wait_for(done: impl Future<Output = (Box<dyn Speaker>, Vec<Said>)> + 'static, ctx: &mut Ctx) {
        ctx.wait(actix::fut::wrap_future::<_, Self>(done).map(|(speaker, said), connection, ctx| {
            connection.speaker.replace(Some(speaker));
            for one in said {
                match one {
                    Said::Frame(frame) => connection.send(frame, ctx),
                    Said::Close(code, reason) => {
                        ctx.close(Some(ws::CloseReason { code: code.into(), description: Some(reason) }));
                        ctx.stop();
                    }
                }
            }
        }));
    }
}

impl Actor for LiveQueryConnection {
    type Context = Ctx;

    fn started(&mut self, ctx: &mut Ctx) {
        outlet::register(self.id, self.outlet.clone());
        ctx.add_stream(Letters(self.outlet.clone()));
        if let Some(Stopping(stopping)) = self.stopping.take() {
            // Requests are given time to end; a socket has no end of its own, and its client is to look for another
            // server now.
            let stopped = actix::fut::wrap_future::<_, Self>(stopping());
            ctx.spawn(stopped.map(|(), _, ctx| end(ws::CloseCode::Away, ctx)));
        }
        ctx.run_interval(self.heartbeat, |connection, ctx| {
            if connection.heard.elapsed() > connection.heartbeat * 2 {
                ctx.stop();
                return;
            }
            let is_strange =
                connection.speaker.borrow().as_ref().is_some_and(|speaker| !speaker.is_connected());
            if is_strange && connection.opened.elapsed() > connection.heartbeat * CONNECT_WITHIN {
                end(ws::CloseCode::Policy, ctx);
                return;
            }
            connection.pings = 0;
            ctx.ping(b"");
        });
    }

    fn stopped(&mut self, _: &mut Ctx) {
        // Otherwise it ends with the request that is worked on.
        if let Some(speaker) = self.speaker.borrow_mut().take() {
            speaker.disconnected();
        }
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for LiveQueryConnection {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, ctx: &mut Ctx) {
        self.heard = Instant::now();
        match message {
            Ok(ws::Message::Text(text)) => self.hear(Some(text.to_string()), ctx),
            Ok(ws::Message::Ping(payload)) => self.pong(&payload, ctx),
            Ok(ws::Message::Pong(payload)) => {
                let read: usize =
                    std::str::from_utf8(&payload).ok().and_then(|n| n.parse().ok()).unwrap_or_default();
                self.unread = self.unread.saturating_sub(read);
            }
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(ws::Message::Binary(_)) => self.hear(None, ctx),
            Ok(ws::Message::Continuation(part)) => self.join(part, ctx),
            Ok(ws::Message::Nop) => {}
            Err(error) => {
                tracing::debug!(%error, "a live query frame could not be read");
                let code = match error {
                    ws::ProtocolError::Overflow => ws::CloseCode::Size,
                    _ => ws::CloseCode::Protocol,
                };
                end(code, ctx);
            }
        }
    }
}

impl StreamHandler<Batch> for LiveQueryConnection {
    fn handle(&mut self, batch: Batch, ctx: &mut Ctx) {
        let Batch::Letters(letters) = batch else {
            self.drop_slow(ctx);
            return;
        };
        if self.speaker.borrow().as_ref().is_some_and(|speaker| speaker.takes_time()) {
            let Some(mut speaker) = self.speaker.borrow_mut().take() else { return };
            let done = async move {
                let said = speaker.tell(letters).await;
                (speaker, said)
            };
            Self::wait_for(done, ctx);
            return;
        }
        for (parcel, request_id) in letters {
            let speaker = self.speaker.borrow();
            let frame = speaker.as_ref().and_then(|speaker| speaker.event_frame(&parcel, &request_id));
            drop(speaker);
            if let Some(frame) = frame {
                self.send(frame, ctx);
            }
        }
    }
}
