//! The bytes of a WebSocket before they are decoded: the decoder waits for the whole of a frame, however
//! long its header says it is. Here each header is looked at as it comes, and a client that breaks the
//! protocol, or says that more will follow than is read, is answered at once.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;

/// Largest message a client may send, in one frame or in several.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// Frames one message may come in.
const MAX_FRAGMENTS: usize = 1024;
/// RFC 6455 §5.5.
const MAX_CONTROL: u64 = 125;

const PROTOCOL: u16 = 1002;
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;

/// Follows the frames of one direction.
#[derive(Default)]
struct Frames {
    /// Bytes of the present frame that are still to come, its masking key among them.
    rest: usize,
    /// Of the message that is under way.
    length: usize,
    fragments: usize,
}

/// One header, as far as it has come.
enum Header {
    Incomplete,
    /// How many of its bytes were looked at, and what follows them.
    Good {
        size: usize,
        rest: usize,
    },
    /// The code with which the socket is closed.
    Bad(u16),
}

impl Frames {
    fn header(&mut self, bytes: &[u8]) -> Header {
        let [first, second, more @ ..] = bytes else { return Header::Incomplete };
        let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
        let mask = if second & 0x80 != 0 { 4 } else { 0 };
        let short = u64::from(second & 0x7f);
        if opcode >= 8 {
            return if short > MAX_CONTROL || !is_last {
                Header::Bad(PROTOCOL)
            } else {
                Header::Good { size: 2, rest: mask + usize::from(second & 0x7f) }
            };
        }
        let (size, length) = match short {
            126 => match more {
                [a, b, ..] => (4, u64::from(u16::from_be_bytes([*a, *b]))),
                _ => return Header::Incomplete,
            },
            127 => match more {
                [a, b, c, d, e, f, g, h, ..] => (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
                _ => return Header::Incomplete,
            },
            short => (2, short),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if opcode != 0 {
            (self.length, self.fragments) = (0, 0);
        }
        self.length = self.length.saturating_add(length);
        self.fragments += 1;
        if self.length > MAX_MESSAGE {
            return Header::Bad(TOO_BIG);
        }
        if self.fragments > MAX_FRAGMENTS {
            return Header::Bad(POLICY);
        }
        Header::Good { size, rest: mask + length }
    }

    /// How many of these bytes the decoder may have, and the code where it may have no more.
    fn follow(&mut self, bytes: &[u8]) -> (usize, Option<u16>) {
        let mut at = 0;
        while let Some(left) = bytes.get(at..).filter(|left| !left.is_empty()) {
            if self.rest > 0 {
                let now = self.rest.min(left.len());
                self.rest -= now;
                at += now;
                continue;
            }
            match self.header(left) {
                Header::Incomplete => break,
                Header::Bad(code) => return (at, Some(code)),
                Header::Good { size, rest } => {
                    at += size;
                    self.rest = rest;
                }
            }
        }
        (at, None)
    }
}

/// What a client would send to close the socket with this code: the decoder reads it as its last frame.
fn closing(code: u16) -> [u8; 8] {
    let [high, low] = code.to_be_bytes();
    [0x88, 0x82, 0, 0, 0, 0, high, low]
}

/// The payload of a WebSocket, as far as it keeps to the rules.
pub struct Checked<S> {
    payload: S,
    frames: Frames,
    /// The beginning of a header whose rest is to come.
    begun: Bytes,
    ended: bool,
}

impl<S> Checked<S> {
    pub fn new(payload: S) -> Self {
        Self { payload, frames: Frames::default(), begun: Bytes::new(), ended: false }
    }

    fn take(&mut self, chunk: Bytes) -> Bytes {
        let bytes = if self.begun.is_empty() {
            chunk
        } else {
            let mut both = BytesMut::with_capacity(self.begun.len() + chunk.len());
            both.extend_from_slice(&self.begun);
            both.extend_from_slice(&chunk);
            both.freeze()
        };
        let (good, refused) = self.frames.follow(&bytes);
        let Some(code) = refused else {
            self.begun = bytes.slice(good..);
            return bytes.slice(..good);
        };
        self.ended = true;
        self.begun = Bytes::new();
        let mut last = BytesMut::from(&bytes[..good]);
        last.extend_from_slice(&closing(code));
        last.freeze()
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for Checked<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.payload)
            .poll_next(cx)
            .map(|next| next.map(|chunk| chunk.map(|chunk| self.take(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..=125 => bytes.push(0x80 | length as u8),
            126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    /// All that is let through when the bytes come in chunks of this size.
    fn through(bytes: &[u8], chunk: usize) -> Vec<u8> {
        let mut checked = Checked::new(());
        let mut passed = Vec::new();
        for chunk in bytes.chunks(chunk) {
            if !checked.ended {
                passed.extend(checked.take(Bytes::copy_from_slice(chunk)));
            }
        }
        passed
    }

    #[test]
    fn what_breaks_the_rules_is_closed_by_its_header() {
        let first = [frame(0x81, 3), vec![9; 3]].concat();
        let begun: Vec<u8> = [frame(0x01, 0)].concat();
        for (bad, code) in [
            (frame(0x89, 126), PROTOCOL),
            (frame(0x8a, 70_000), PROTOCOL),
            (frame(0x88, 1 << 40), PROTOCOL),
            // A control frame in parts.
            (frame(0x09, 1), PROTOCOL),
            (frame(0x81, MAX_MESSAGE + 1), TOO_BIG),
            (frame(0x82, usize::MAX), TOO_BIG),
            ([begun.clone(), frame(0x00, MAX_MESSAGE + 1)].concat(), TOO_BIG),
            ([begun, frame(0x00, 0).repeat(MAX_FRAGMENTS)].concat(), POLICY),
        ] {
            for chunk in [1, 2, 3, 7, 1000] {
                let passed = through(&[first.clone(), bad.clone()].concat(), chunk);
                assert!(passed.starts_with(&first) && passed.ends_with(&closing(code)), "{code} {chunk}");
            }
        }
    }

    proptest! {
        /// What keeps to the rules comes through as it is, however it is cut.
        #[test]
        fn good_frames_come_through(
            frames in prop::collection::vec((0usize..4, 0usize..300), 0..30), chunk in 1usize..400
        ) {
            let mut bytes = Vec::new();
            for (kind, length) in frames {
                let first = [0x81, 0x82, 0x89, 0x8a][kind];
                let length = if kind > 1 { length % 126 } else { length };
                bytes.extend(frame(first, length));
                bytes.extend(std::iter::repeat_n(7, length));
            }
            prop_assert_eq!(through(&bytes, chunk), bytes);
        }
    }
}
