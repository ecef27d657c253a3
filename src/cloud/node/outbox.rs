//! The writing half of a host's socket.
//!
//! Frames are written by whichever thread has one, at once where the socket takes it, so that a call
//! costs no hop to another task. What the socket does not take waits in a buffer that one task drains.

use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Notify;

use super::protocol::{FrameKind, header};

#[derive(Debug)]
pub struct Outbox {
    half: OwnedWriteHalf,
    // A std mutex: never held across an await.
    buffer: Mutex<BytesMut>,
    filled: Notify,
}

impl Outbox {
    pub fn new(half: OwnedWriteHalf) -> Self {
        Self { half, buffer: Mutex::default(), filled: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes the socket did not take yet.
    pub fn backlog(&self) -> usize {
        self.lock().len()
    }

    /// Sends a frame, now or later. A broken socket is noticed by whoever reads from it.
    pub fn push(&self, kind: FrameKind, id: u32, payload: &[u8]) {
        let header = header(kind, id, payload.len());
        let mut buffer = self.lock();
        let written = if buffer.is_empty() {
            self.half.try_write_vectored(&[IoSlice::new(&header), IoSlice::new(payload)]).unwrap_or(0)
        } else {
            0
        };
        if written < header.len() + payload.len() {
            buffer.extend_from_slice(&header[written.min(header.len())..]);
            buffer.extend_from_slice(&payload[written.saturating_sub(header.len())..]);
            self.filled.notify_one();
        }
    }

    /// Drains the buffer for as long as the socket lives.
    pub async fn drain(&self) -> io::Result<()> {
        loop {
            self.filled.notified().await;
            while self.backlog() > 0 {
                self.half.writable().await?;
                let mut buffer = self.lock();
                match self.half.try_write(&buffer) {
                    Ok(written) => buffer.advance(written),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}
