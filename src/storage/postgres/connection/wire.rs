//! The stream below a connection. It hands on what the database sends as it is, but for errors: their texts get the SQLSTATE in
//! front (`42P01 relation …`), because diesel keeps the text of an error and drops its code, and
//! texts come in the server's language. Read by [`super::error`]. A database that says nothing to those who wait for it is given
//! up ([`super::silence`]).

use std::future::{Future, Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

use super::silence::Silence;

/// Type byte and length.
const HEADER: usize = 5;
const ERROR: u8 = b'E';
/// `ReadyForQuery`: a question is answered.
const READY: u8 = b'Z';
/// An error answer of more bytes is handed on as it is.
const LONGEST_ERROR: usize = 1 << 20;
const CHUNK: usize = 8 * 1024;
/// What is read in one go.
const TURN_BYTES: usize = 512 * 1024;

/// Finds where messages begin.
#[derive(Default)]
struct Frames {
    /// Bytes of the message under way that are still to come.
    body_left: usize,
    /// Answers that ended and were not asked for yet.
    answers: u32,
}

impl Frames {
    /// How many bytes may be handed on as they are: up to an error, or to a header that is not whole.
    fn plain(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let skip = self.body_left.min(bytes.len() - at);
            self.body_left -= skip;
            at += skip;
            match header(bytes.get(at..).unwrap_or_default()) {
                Some((kind, length)) if kind != ERROR || length > LONGEST_ERROR => {
                    self.answers += u32::from(kind == READY);
                    self.body_left = length;
                }
                _ => return at,
            }
        }
    }
}

/// Type and whole length of the message that begins here.
fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, a, b, c, d, ..] = *bytes else { return None };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    Some((kind, length.saturating_add(1).max(HEADER)))
}

/// The error with its code in front of its text; as it is where something is missing.
fn mark(error: &[u8]) -> Vec<u8> {
    let fields = error.get(HEADER..).unwrap_or_default();
    let field = |kind: u8| {
        let mut fields = fields.split(|byte| *byte == 0);
        fields.find_map(|field| field.strip_prefix(&[kind]))
    };
    let Some(code) = field(b'C').filter(|code| code.len() == 5) else { return error.to_vec() };
    let mut marked = Vec::with_capacity(error.len() + 6);
    marked.extend_from_slice(&[ERROR, 0, 0, 0, 0]);
    for field in fields.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
        if let [b'M', text @ ..] = field {
            marked.push(b'M');
            marked.extend_from_slice(code);
            marked.push(b' ');
            marked.extend_from_slice(text);
        } else {
            marked.extend_from_slice(field);
        }
        marked.push(0);
    }
    marked.push(0);
    let length = u32::try_from(marked.len() - 1).unwrap_or(u32::MAX);
    marked[1..HEADER].copy_from_slice(&length.to_be_bytes());
    marked
}

/// A stream whose errors carry their SQLSTATE.
pub struct Marked<S> {
    inner: S,
    frames: Frames,
    /// Arrived, and not yet to be understood: part of a header, part of an error, or what follows it.
    held: Vec<u8>,
    /// To be handed on before anything else.
    out: Vec<u8>,
    given: usize,
    /// Bytes that were read since others of the thread had their turn.
    turn: usize,
    silence: Option<Silence>,
}

impl<S> Marked<S> {
    /// `statement`: what one may take; `None`: a database that says nothing is waited for.
    pub fn new(inner: S, statement: Option<Duration>) -> Self {
        let silence = statement.map(Silence::after);
        Self {
            inner,
            frames: Frames::default(),
            held: Vec::new(),
            out: Vec::new(),
            given: 0,
            turn: 0,
            silence,
        }
    }

    /// # Errors
    /// Whoever waits has waited too long.
    fn listen(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let is_too_long = self.silence.as_mut().is_some_and(|silence| silence.is_too_long(cx));
        if is_too_long { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// Moves what is understood from `held` to `out`.
    fn sort(&mut self) {
        let mut at = 0;
        loop {
            let rest = self.held.get(at..).unwrap_or_default();
            let plain = self.frames.plain(rest);
            self.out.extend_from_slice(rest.get(..plain).unwrap_or_default());
            at += plain;
            let rest = self.held.get(at..).unwrap_or_default();
            let Some(error) = header(rest).and_then(|(_, length)| rest.get(..length)) else { break };
            self.out.extend_from_slice(&mark(error));
            at += error.len();
        }
        self.held.drain(..at);
    }

    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let ready = self.out.get(self.given..).unwrap_or_default();
        let count = ready.len().min(buf.remaining());
        buf.put_slice(ready.get(..count).unwrap_or_default());
        self.given += count;
        if self.given >= self.out.len() {
            self.out.clear();
            self.given = 0;
        }
    }
}

impl<S: AsyncRead + Unpin> Marked<S> {
    /// The usual case: straight into the reader's buffer. `true` when there is something in it, or the
    /// stream has ended.
    fn poll_plain(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let plain = self.frames.plain(fresh);
        if plain == fresh.len() {
            return Poll::Ready(Ok(true));
        }
        self.held.extend_from_slice(fresh.get(plain..).unwrap_or_default());
        buf.set_filled(before + plain);
        Poll::Ready(Ok(plain > 0))
    }

    /// While something is held: `false` at the end of the stream.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut chunk = [0; CHUNK];
        let mut more = ReadBuf::new(&mut chunk);
        match Pin::new(&mut self.inner).poll_read(cx, &mut more) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        self.held.extend_from_slice(more.filled());
        Poll::Ready(Ok(!more.filled().is_empty()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Marked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.turn > TURN_BYTES {
            // A result that comes as fast as it is read would keep the thread to itself.
            this.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let done = this.poll_some(cx, buf);
        let count = buf.filled().len().saturating_sub(before);
        this.turn += count;
        if count > 0
            && let Some(silence) = &mut this.silence
        {
            silence.read(std::mem::take(&mut this.frames.answers));
        }
        if done.is_pending() {
            this.listen(cx)?;
        }
        done
    }
}

impl<S: AsyncRead + Unpin> Marked<S> {
    fn poll_some(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if !self.held.is_empty() {
                self.sort();
            }
            if !self.out.is_empty() {
                self.give(buf);
                return Poll::Ready(Ok(()));
            }
            let done = if self.held.is_empty() {
                self.poll_plain(cx, buf)
            } else {
                self.poll_held(cx).map_ok(|more| !more)
            };
            match done {
                Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Marked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.written(cx, &done, [buf])?;
        done
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.written(cx, &done, bufs.iter().map(|buf| &**buf))?;
        done
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Who drives the connection reads first and writes then: it must be woken if nothing ever comes.
        this.listen(cx)?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl<S> Marked<S> {
    /// # Errors
    /// As [`Marked::listen`].
    fn written<'b>(
        &mut self,
        cx: &mut Context<'_>,
        done: &Poll<io::Result<usize>>,
        bufs: impl IntoIterator<Item = &'b [u8]>,
    ) -> io::Result<()> {
        let Some(silence) = &mut self.silence else { return Ok(()) };
        match done {
            Poll::Ready(Ok(count)) => {
                let mut left = *count;
                for buf in bufs {
                    let sent = buf.get(..left).unwrap_or(buf);
                    silence.wrote(sent);
                    left -= sent.len();
                }
                Ok(())
            }
            Poll::Ready(Err(_)) => Ok(()),
            Poll::Pending => {
                silence.is_blocked();
                self.listen(cx)
            }
        }
    }
}

/// A stream that may tell what its encryption is bound to.
pub trait Binds {
    fn binding(&self) -> ChannelBinding;
}

impl<S: AsyncRead + AsyncWrite + Binds + Unpin> TlsStream for Marked<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.binding()
    }
}

/// An encrypted stream.
pub struct Encrypted<S>(S);

impl<S: TlsStream> Binds for Encrypted<S> {
    fn binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

/// A stream without encryption, in the place of an encrypted one: the driver offers no other way to
/// see the bytes of its own sockets. Goes with `SslNegotiation::Direct`, under which nothing is said before.
pub struct Open<S>(S);

impl<S> Binds for Open<S> {
    fn binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

macro_rules! forward_stream {
    ($name:ident) => {
        impl<S: AsyncRead + Unpin> AsyncRead for $name<S> {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
            }
        }

        impl<S: AsyncWrite + Unpin> AsyncWrite for $name<S> {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.0.is_write_vectored()
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().0).poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
            }
        }
    };
}

forward_stream!(Encrypted);
forward_stream!(Open);

/// Connects without encryption; and what a statement may take there, see [`Marked::new`].
#[derive(Clone, Copy)]
pub struct OpenConnect(pub Option<Duration>);

impl<S: AsyncRead + AsyncWrite + Unpin> MakeTlsConnect<S> for OpenConnect {
    type Stream = Marked<Open<S>>;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _: &str) -> io::Result<Self> {
        Ok(*self)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<S> for OpenConnect {
    type Stream = Marked<Open<S>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Marked<Open<S>>>>;

    fn connect(self, stream: S) -> Self::Future {
        ready(Ok(Marked::new(Open(stream), self.0)))
    }
}

/// Connects through another one, which encrypts; and what a statement may take there.
#[derive(Clone)]
pub struct EncryptedConnect<T>(pub T, pub Option<Duration>);

impl<S, T: MakeTlsConnect<S>> MakeTlsConnect<S> for EncryptedConnect<T>
where
    <T::TlsConnect as TlsConnect<S>>::Future: Send + 'static,
{
    type Stream = Marked<Encrypted<T::Stream>>;
    type TlsConnect = EncryptedConnect<T::TlsConnect>;
    type Error = T::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, T::Error> {
        let statement = self.1;
        self.0.make_tls_connect(domain).map(|connect| EncryptedConnect(connect, statement))
    }
}

impl<S, T: TlsConnect<S>> TlsConnect<S> for EncryptedConnect<T>
where
    T::Future: Send + 'static,
{
    type Stream = Marked<Encrypted<T::Stream>>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let (connecting, statement) = (self.0.connect(stream), self.1);
        Box::pin(async move { Ok(Marked::new(Encrypted(connecting.await?), statement)) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind];
        frame.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        frame.extend_from_slice(body);
        frame
    }

    fn error(code: &str, text: &str) -> Vec<u8> {
        frame(ERROR, format!("SERROR\0C{code}\0M{text}\0\0").as_bytes())
    }

    /// Gives its pieces one by one, and is not ready in between.
    struct Pieces(Vec<Vec<u8>>, bool);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1 = !self.1;
            if self.1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(piece) = self.0.first_mut() {
                let count = piece.len().min(buf.remaining());
                buf.put_slice(&piece[..count]);
                piece.drain(..count);
                if piece.is_empty() {
                    self.0.remove(0);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn only_errors_change_however_the_stream_is_cut(
            kinds in prop::collection::vec(0..3_u8, 1..8),
            cuts in prop::collection::vec(1..40_usize, 1..60),
            room in 1..64_usize,
        ) {
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            for kind in kinds {
                let (before, after) = match kind {
                    0 => (error("42P01", "Relation »x« existiert nicht"), error("42P01", "42P01 Relation »x« existiert nicht")),
                    1 => (frame(b'D', b"E\0\0\0\0some bytes"), frame(b'D', b"E\0\0\0\0some bytes")),
                    _ => (frame(b'Z', b"I"), frame(b'Z', b"I")),
                };
                sent.extend(before);
                expected.extend(after);
            }
            let mut pieces = Vec::new();
            for cut in cuts.iter().cycle() {
                if sent.is_empty() {
                    break;
                }
                pieces.push(sent.drain(..(*cut).min(sent.len())).collect());
            }
            let mut stream = Marked::new(Pieces(pieces, false), None);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let got = runtime.block_on(async {
                let (mut got, mut buf) = (Vec::new(), vec![0; room]);
                loop {
                    match stream.read(&mut buf).await.unwrap() {
                        0 => return got,
                        count => got.extend_from_slice(&buf[..count]),
                    }
                }
            });
            prop_assert_eq!(got, expected);
        }
    }
}
