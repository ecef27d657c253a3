//! `LiveQueryConnection`: one WebSocket. The only file that names `actix-web-actors`, which its authors
//! have deprecated: everything about the protocol is in [`super::client`].

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, StreamHandler};
use actix_http::ws::{Codec, Item};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use futures_util::Stream;

use super::LiveQueryHub;
use super::client::Client;
use super::protocol::{self, Refusal, Request};
use super::socket;
use super::worker::{Batch, ConnectionId, Letters, LiveQueryWorker, Outlet};

/// A client that has this much waiting for it is not reading: it is dropped.
const MAX_UNREAD: usize = 4 * 1024 * 1024;
/// Frames are made for so many bytes at a time; what waits for its turn is shared with others.
const ROOM: usize = 32 * 1024;
/// A peer that took no bytes for so many heartbeats is gone.
const TAKES_BYTES_WITHIN: u32 = 3;
/// A ping goes out behind every so many bytes; its pong tells that they were read.
const MARK_EVERY: usize = 64 * 1024;
/// Largest message a client may send.
const MAX_FRAME: usize = 1024 * 1024;
/// Heartbeats after which a socket on which nobody has connected is closed.
const CONNECT_WITHIN: u32 = 6;
/// Close code for clients that do not read (private range).
const SLOW_READER: u16 = 4008;

/// Answers an upgrade request.
///
/// # Errors
/// 400 when the handshake is not one.
pub fn accept(
    request: &HttpRequest,
    stream: web::Payload,
    hub: Arc<LiveQueryHub>,
) -> Result<HttpResponse, actix_web::Error> {
    let heartbeat = Duration::from_millis(hub.config().live_query_server.websocket_timeout_ms.max(100));
    let mut response = ws::handshake(request)?;
    socket::give_up_after(request, heartbeat * TAKES_BYTES_WITHIN);
    let client = Client::new(hub, LiveQueryWorker::here(), resume_after(request.query_string()));
    let outlet = Outlet::new(MAX_UNREAD);
    let connection = LiveQueryConnection {
        id: client.id,
        client: Rc::new(RefCell::new(Some(client))),
        outlet: outlet.clone(),
        heartbeat,
        opened: Instant::now(),
        heard: Instant::now(),
        unread: 0,
        unmarked: 0,
        fragments: None,
    };
    let frames = ws::WebsocketContext::with_codec(connection, stream, Codec::new().max_size(MAX_FRAME));
    Ok(response.streaming(Paced { frames: Box::pin(frames), outlet }))
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
    client: Rc<RefCell<Option<Client>>>,
    outlet: Rc<Outlet>,
    heartbeat: Duration,
    opened: Instant,
    heard: Instant,
    /// Bytes sent and not known to be read.
    unread: usize,
    /// Of those, sent since the last mark.
    unmarked: usize,
    /// Of a text message that comes in several frames.
    fragments: Option<Vec<u8>>,
}

type Ctx = ws::WebsocketContext<LiveQueryConnection>;

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

    fn drop_slow(&self, ctx: &mut Ctx) {
        let reason = ws::CloseReason {
            code: ws::CloseCode::Other(SLOW_READER),
            description: Some("The client does not read what it is sent".to_owned()),
        };
        tracing::warn!(connection = self.id, unread_bytes = self.unread, "dropping a slow live query client");
        ctx.close(Some(reason));
        ctx.stop();
    }

    fn take(&mut self, request: Option<Result<Request, Refusal>>, ctx: &mut Ctx) {
        match request {
            Some(Ok(request)) => self.work(request, ctx),
            Some(Err(refusal)) => self.send(refusal.to_frame(), ctx),
            // Not JSON: dropped without an answer.
            None => {}
        }
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
            if fragments.len() + bytes.len() > MAX_FRAME {
                ctx.close(Some(ws::CloseCode::Size.into()));
                ctx.stop();
                return;
            }
            fragments.extend_from_slice(&bytes);
        }
        if is_last {
            let request = match self.fragments.take() {
                Some(text) => std::str::from_utf8(&text).ok().and_then(protocol::parse),
                None => Some(protocol::without_op()),
            };
            self.take(request, ctx);
        }
    }

    fn work(&mut self, request: Request, ctx: &mut Ctx) {
        let Some(mut client) = self.client.borrow_mut().take() else { return };
        let done = async move {
            let frame = client.answer(request).await;
            (client, frame)
        };
        // The next frame waits: requests of one client are answered in order.
        ctx.wait(actix::fut::wrap_future::<_, Self>(done).map(|(client, frame), connection, ctx| {
            connection.client.replace(Some(client));
            connection.send(frame, ctx);
        }));
    }
}

impl Actor for LiveQueryConnection {
    type Context = Ctx;

    fn started(&mut self, ctx: &mut Ctx) {
        LiveQueryWorker::register(self.id, self.outlet.clone());
        ctx.add_stream(Letters(self.outlet.clone()));
        ctx.run_interval(self.heartbeat, |connection, ctx| {
            if connection.heard.elapsed() > connection.heartbeat * 2 {
                ctx.stop();
                return;
            }
            let is_strange = connection.client.borrow().as_ref().is_some_and(|client| !client.is_connected());
            if is_strange && connection.opened.elapsed() > connection.heartbeat * CONNECT_WITHIN {
                ctx.close(Some(ws::CloseCode::Policy.into()));
                ctx.stop();
                return;
            }
            ctx.ping(b"");
        });
    }

    fn stopped(&mut self, _: &mut Ctx) {
        // Otherwise it ends with the request that is worked on.
        if let Some(client) = self.client.borrow_mut().take() {
            client.disconnected();
        }
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for LiveQueryConnection {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, ctx: &mut Ctx) {
        self.heard = Instant::now();
        match message {
            Ok(ws::Message::Text(text)) => self.take(protocol::parse(&text), ctx),
            Ok(ws::Message::Ping(payload)) => ctx.pong(&payload),
            Ok(ws::Message::Pong(payload)) => {
                let read: usize =
                    std::str::from_utf8(&payload).ok().and_then(|n| n.parse().ok()).unwrap_or_default();
                self.unread = self.unread.saturating_sub(read);
            }
            Ok(ws::Message::Close(reason)) => {
                ctx.close(reason);
                ctx.stop();
            }
            Ok(ws::Message::Binary(_)) => self.take(Some(protocol::without_op()), ctx),
            Ok(ws::Message::Continuation(part)) => self.join(part, ctx),
            Ok(ws::Message::Nop) => {}
            Err(error) => {
                tracing::debug!(%error, "a live query frame could not be read");
                ctx.stop();
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
        for (parcel, request_id) in letters {
            let client = self.client.borrow();
            let frame = client.as_ref().and_then(|client| client.event_frame(&parcel, &request_id));
            drop(client);
            if let Some(frame) = frame {
                self.send(frame, ctx);
            }
        }
    }
}
