//! Bodies on their way in and out, at a rate that a slow mobile link makes and a client that dawdles does not
//! (option `httpLimits`). Only time spent waiting for the client counts, never the server's own.
//!
//! Called by [`super::front`], [`super::body`] and the file routes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Payload;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};

use super::respond;
use crate::config::HttpLimits;
use crate::error::{Error, Result};
use crate::metrics::{Counter, Page};
use crate::operations::budget::Pool;

/// Bytes of each body that need no room in the shared memory.
pub const FREE: usize = 64 * 1024;
/// Answers up to here are handed over at once; longer ones in pieces of this size.
const PIECE: usize = 64 * 1024;

/// What bodies of this server have to keep to.
#[derive(Clone, Debug)]
pub struct Pace {
    patience: Duration,
    /// Bytes that have to pass within `patience`.
    least: u64,
    memory: Arc<Memory>,
    /// For answers that are on their way.
    answers: Arc<Pool>,
    traffic: Arc<Traffic>,
}

/// Bytes of bodies so far.
#[derive(Debug, Default)]
struct Traffic {
    received: Counter,
    sent: Counter,
}

impl Pace {
    pub fn new(limits: &HttpLimits) -> Self {
        let milliseconds = u64::try_from(limits.patience.as_millis()).unwrap_or(u64::MAX);
        let least = limits.minimum_rate.saturating_mul(milliseconds) / 1000;
        let memory = Memory { limit: limits.body_memory, used: AtomicU64::new(0) };
        Self {
            patience: limits.patience,
            least: least.max(1),
            memory: Arc::new(memory),
            answers: Pool::new(limits.answer_memory),
            traffic: Arc::default(),
        }
    }

    /// Bytes that passed.
    pub fn report(&self, page: &mut Page) {
        let (name, help) = ("parsimony_http_body_bytes_total", "Bytes of bodies, by direction.");
        page.counter(name, help, &[("direction", "in")], self.traffic.received.get());
        page.counter(name, help, &[("direction", "out")], self.traffic.sent.get());
    }

    pub fn incoming(&self, payload: Payload) -> Incoming {
        Incoming { payload, gauge: Gauge::new(self), room: Room::new(self), traffic: self.traffic.clone() }
    }

    /// The response, its body in pieces where that is long or a stream.
    pub fn outgoing(&self, response: HttpResponse) -> HttpResponse {
        match response.body().size() {
            BodySize::None => response,
            BodySize::Sized(size @ ..=0xffff) => {
                self.traffic.sent.add(size);
                response
            }
            size => {
                let (head, body) = response.into_parts();
                let (source, held) = match body.try_into_bytes() {
                    // It stays in memory until the client has read it.
                    Ok(bytes) if !self.answers.take(bytes.len()) => {
                        drop(bytes);
                        return respond::error(&Error::overloaded(), true);
                    }
                    Ok(bytes) => (Source::Text(bytes.clone()), bytes.len()),
                    Err(body) => (Source::Stream(body), 0),
                };
                let held = Held { answers: self.answers.clone(), bytes: held };
                let gauge = Gauge::new(self);
                let traffic = self.traffic.clone();
                let body = Outgoing { source, size, gauge, handed_over: None, traffic, _held: held };
                head.set_body(BoxBody::new(body))
            }
        }
    }
}

/// What a transfer made while the other side was waited for.
#[derive(Debug)]
struct Gauge {
    patience: Duration,
    least: u64,
    waited: Duration,
    passed: u64,
}

impl Gauge {
    fn new(pace: &Pace) -> Self {
        Self { patience: pace.patience, least: pace.least, waited: Duration::ZERO, passed: 0 }
    }

    /// Until it is looked at again.
    fn rest(&self) -> Duration {
        self.patience.saturating_sub(self.waited)
    }

    /// False when too little passed in all the time.
    fn waited(&mut self, time: Duration) -> bool {
        self.waited += time;
        if self.waited < self.patience {
            return true;
        }
        let is_enough = self.passed >= self.least;
        (self.waited, self.passed) = (Duration::ZERO, 0);
        is_enough
    }
}

/// Room for the bodies that wait for their rest.
#[derive(Debug)]
struct Memory {
    limit: u64,
    used: AtomicU64,
}

/// The body of a request as it comes in.
pub struct Incoming {
    payload: Payload,
    gauge: Gauge,
    room: Room,
    traffic: Arc<Traffic>,
}

impl Incoming {
    /// The next piece.
    ///
    /// # Errors
    /// 408 when the client dawdles, 400 when it breaks off.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            // Most bodies are there already, and take no clock.
            let piece = match self.payload.next().now_or_never() {
                Some(piece) => piece,
                None => {
                    let begun = Instant::now();
                    let piece = tokio::time::timeout(self.gauge.rest(), self.payload.next()).await;
                    if !self.gauge.waited(begun.elapsed()) {
                        return Some(Err(Error::http(408, "The request did not arrive in time.")));
                    }
                    match piece {
                        Ok(piece) => piece,
                        Err(_) => continue,
                    }
                }
            };
            return Some(match piece? {
                Ok(bytes) => {
                    self.gauge.passed += bytes.len() as u64;
                    self.traffic.received.add(bytes.len() as u64);
                    Ok(bytes)
                }
                Err(_) => Err(Error::http(400, "request aborted")),
            });
        }
    }

    /// Makes sure that there is room for so many bytes of this body.
    ///
    /// # Errors
    /// 503 when other bodies have taken it.
    pub fn hold(&mut self, bytes: usize) -> Result<()> {
        self.room.hold(bytes)
    }

    /// What the body has of the memory, when all of it has come.
    pub fn into_room(self) -> Room {
        self.room
    }
}

/// What one body has of the memory, until it is dropped.
pub struct Room {
    memory: Arc<Memory>,
    held: u64,
}

impl Room {
    fn new(pace: &Pace) -> Self {
        Self { memory: pace.memory.clone(), held: 0 }
    }

    fn hold(&mut self, bytes: usize) -> Result<()> {
        let wanted = bytes.saturating_sub(FREE) as u64;
        let more = wanted.saturating_sub(self.held);
        if more == 0 {
            return Ok(());
        }
        let used = self.memory.used.fetch_add(more, Ordering::Relaxed) + more;
        self.held += more;
        if used > self.memory.limit { Err(Error::overloaded()) } else { Ok(()) }
    }

    /// Makes sure that there is room for what the body becomes when it is read. The largest has its turn while half
    /// of the memory is free.
    ///
    /// # Errors
    /// 503 when other bodies have taken it.
    pub fn hold_more(&mut self, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let more = bytes as u64;
        let before = self.memory.used.fetch_add(more, Ordering::Relaxed);
        self.held += more;
        let is_there = before <= self.memory.limit / 2 || before.saturating_add(more) <= self.memory.limit;
        if is_there { Ok(()) } else { Err(Error::overloaded()) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

enum Source {
    Text(Bytes),
    Stream(BoxBody),
}

/// The body of an answer. It is asked for its next piece when the client has taken most of the last one; one
/// that takes nothing at all is left to the socket's own limit.
struct Outgoing {
    source: Source,
    size: BodySize,
    gauge: Gauge,
    /// When the last piece was given away.
    handed_over: Option<Instant>,
    traffic: Arc<Traffic>,
    _held: Held,
}

/// What an answer has of the memory.
struct Held {
    answers: Arc<Pool>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.answers.give_back(self.bytes);
    }
}

impl MessageBody for Outgoing {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        if let Some(then) = this.handed_over.take()
            && !this.gauge.waited(then.elapsed())
        {
            return Poll::Ready(Some(Err("the client reads too slowly".into())));
        }
        let piece = match &mut this.source {
            Source::Text(rest) if rest.is_empty() => None,
            Source::Text(rest) => Some(Ok(rest.split_to(rest.len().min(PIECE)))),
            Source::Stream(body) => match body.as_pin_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => piece,
            },
        };
        if let Some(Ok(bytes)) = &piece {
            this.gauge.passed += bytes.len() as u64;
            this.traffic.sent.add(bytes.len() as u64);
            this.handed_over = Some(Instant::now());
        }
        Poll::Ready(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(&HttpLimits {
            minimum_rate: 100,
            patience: Duration::from_secs(10),
            body_memory: 1000,
            ..HttpLimits::NONE
        })
    }

    #[test]
    fn a_slow_transfer_goes_on_and_a_trickle_does_not() {
        let mut gauge = Gauge::new(&pace());
        // However long it takes, as long as it makes 100 bytes a second.
        for _ in 0..1000 {
            gauge.passed += 101;
            assert!(gauge.waited(Duration::from_secs(1)));
        }
        // What it made before does not help.
        gauge.passed += 1_000_000;
        assert!(gauge.waited(gauge.rest()));
        gauge.passed += 999;
        assert!(gauge.waited(Duration::from_secs(9)));
        assert!(!gauge.waited(Duration::from_secs(1)));
    }

    #[test]
    fn room_is_given_back() {
        let pace = pace();
        let (mut first, mut second) = (Room::new(&pace), Room::new(&pace));
        first.hold(FREE).unwrap();
        first.hold(FREE + 800).unwrap();
        second.hold(FREE + 100).unwrap();
        assert_eq!(second.hold(FREE + 300).expect_err("full").status(), 503);
        drop(second);
        first.hold(FREE + 1000).unwrap();
        assert_eq!(first.hold_more(1).expect_err("full").status(), 503);
        drop(first);
        let (mut first, mut second) = (Room::new(&pace), Room::new(&pace));
        first.hold_more(2000).unwrap();
        assert_eq!(second.hold_more(1).expect_err("full").status(), 503);
        drop((first, second));
        assert_eq!(pace.memory.used.load(Ordering::Relaxed), 0);
    }

    #[actix_web::test]
    async fn pieces_are_the_whole() {
        let text: Bytes = (0..300_000_u32).map(|n| n as u8).collect::<Vec<u8>>().into();
        let response = pace().outgoing(HttpResponse::Ok().body(text.clone()));
        assert_eq!(response.body().size(), BodySize::Sized(300_000));
        let whole = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        assert_eq!(whole, text);
    }
}
