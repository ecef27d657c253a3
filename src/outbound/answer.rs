//! What another server answered.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{Stream, unfold};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, Sleep};

use super::OutboundError;

/// An answer that was read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// # Errors
    /// When the body is not JSON of this form.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.body)
    }
}

/// An answer whose body is still on its way.
#[derive(Debug)]
pub struct Opened {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Arriving,
}

impl Opened {
    /// # Errors
    /// `TooLarge` beyond `most` bytes: announced, or come.
    pub async fn read(mut self, most: usize) -> Result<Answer, OutboundError> {
        let too_large = || OutboundError::TooLarge(most);
        let announced = self.body.size_hint().lower();
        if announced > most as u64 {
            return Err(too_large());
        }
        let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or_default());
        while let Some(frame) = self.body.frame().await {
            // Trailers are nobody's business here.
            let Ok(data) = frame?.into_data() else { continue };
            if body.len() + data.len() > most {
                return Err(too_large());
            }
            body.extend_from_slice(&data);
        }
        Ok(Answer { status: self.status, headers: self.headers, body: body.freeze() })
    }

    /// The body, piece by piece.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, OutboundError>> + Send + 'static {
        unfold(self.body, |mut body| async move {
            loop {
                match body.frame().await? {
                    Ok(frame) => match frame.into_data() {
                        Ok(data) => return Some((Ok(data), body)),
                        Err(_) => continue,
                    },
                    Err(error) => return Some((Err(error), body)),
                }
            }
        })
    }
}

/// A body that breaks off when nothing comes for a while.
#[derive(Debug)]
pub struct Arriving {
    body: Incoming,
    pause: Duration,
    late: Pin<Box<Sleep>>,
    waits: bool,
}

impl Arriving {
    pub(super) fn new(body: Incoming, pause: Duration) -> Self {
        Self { body, pause, late: Box::pin(tokio::time::sleep(pause)), waits: false }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waits = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| OutboundError::of(&error))));
        }
        if !this.waits {
            this.waits = true;
            this.late.as_mut().reset(Instant::now() + this.pause);
        }
        this.late.as_mut().poll(cx).map(|()| Some(Err(OutboundError::Deadline)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
