//! The attached host: a Node.js process that has started this server, and whose application is its Cloud Code.
//!
//! Whoever embeds the server (the npm package `parsimony-server`) starts it as a child and keeps one end of a
//! socket whose other end is the child's standard input. Over it goes the protocol of every host
//! (`protocol`), with three frames more: the options come first (`Attach`), the server says when it serves
//! (`Listening`), and the process may ask it to go (`Leave`). There is one such host, it is never started or
//! ended from here, and the server does not outlive it: the end of the socket ends the server.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::protocol::Hello;

/// Options are a few kilobytes; who announces more speaks something else.
const MAX_OPTIONS: usize = 64 * 1024 * 1024;
/// Kind of the first frame; `host/wire.cjs` knows the same number.
const ATTACH: u8 = 43;

/// What the process says first.
#[derive(Deserialize)]
struct Attach {
    version: String,
    options: Map<String, Value>,
    socket: PathBuf,
}

/// The process at the other end.
#[derive(Debug)]
pub struct Parent {
    // A std mutex: never held across an await. Empty once the host is attached.
    stream: Mutex<Option<StdStream>>,
    version: String,
    socket: PathBuf,
    over: watch::Sender<bool>,
}

impl Parent {
    /// Reads what the process says first: the options, with functions as `{"__callback": n}`. Blocks until then.
    ///
    /// # Errors
    /// When `input` is no socket, ends, or says something else.
    pub fn greet(input: OwnedFd) -> io::Result<(Self, Map<String, Value>)> {
        let mut stream = StdStream::from(input);
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, d, kind, ..] = head;
        let length = (u32::from_le_bytes([a, b, c, d]) as usize).wrapping_sub(5);
        if kind != ATTACH || length > MAX_OPTIONS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the first frame is none of options"));
        }
        let mut text = vec![0; length];
        stream.read_exact(&mut text)?;
        let attach: Attach = serde_json::from_slice(&text)?;
        let parent = Self {
            stream: Mutex::new(Some(stream)),
            version: attach.version,
            socket: attach.socket,
            over: watch::Sender::new(false),
        };
        Ok((parent, attach.options))
    }

    /// The Unix socket to serve on. It is in a folder that only this account can enter.
    pub fn socket(&self) -> &PathBuf {
        &self.socket
    }

    /// Waits until the process is gone, or asks the server to go.
    pub async fn over(&self) {
        // The sender is here.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Removes the socket and its folder, which a process that was killed leaves behind.
    pub fn clean_up(&self) {
        let _ = std::fs::remove_file(&self.socket);
        if let Some(folder) = self.socket.parent() {
            // Should there be anything else in it, it stays.
            let _ = std::fs::remove_dir(folder);
        }
    }

    pub(super) fn end(&self) {
        self.over.send_replace(true);
    }

    pub(super) fn hello(&self) -> Hello {
        Hello { version: self.version.clone() }
    }

    /// The connection, once.
    pub(super) fn take(&self) -> io::Result<UnixStream> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = stream.ok_or_else(|| io::Error::other("the host is attached already"))?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len() + 5).unwrap();
        [&length.to_le_bytes()[..], &[kind, 0, 0, 0, 0], text.as_bytes()].concat()
    }

    fn greet(bytes: &[u8]) -> io::Result<(Parent, Map<String, Value>)> {
        let (mut ours, theirs) = StdStream::pair().unwrap();
        ours.write_all(bytes).unwrap();
        drop(ours);
        Parent::greet(theirs.into())
    }

    #[test]
    fn options_come_first() {
        let text = r#"{"version":"v22.1.0","options":{"appId":"a"},"socket":"/run/x/http"}"#;
        let (parent, options) = greet(&frame(ATTACH, text)).unwrap();
        assert_eq!(options["appId"], "a");
        assert_eq!((parent.hello().major(), parent.socket().to_str()), (22, Some("/run/x/http")));
    }

    #[test]
    fn anything_else_is_refused() {
        for bytes in
            [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &frame(32, "{}"), &frame(ATTACH, "{}"), &frame(ATTACH, "x")]
        {
            assert!(greet(bytes).is_err(), "{bytes:?}");
        }
        assert!(greet(&[0, 0, 0, 0, ATTACH, 0, 0, 0, 0]).is_err());
    }
}
