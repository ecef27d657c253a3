//! Requests to a process of this server's own, over its Unix socket: one connection for each.

use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyDataStream, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::error::BoxError;

/// What is left of an answer.
pub type LocalBody = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// Sends a request whose target is a path, and answers as soon as the head of the answer is there.
///
/// # Errors
/// When nobody listens there, or the connection breaks.
///
/// # Cancel safety
/// Dropping the future, or the body, ends the connection.
pub async fn send(socket: &Path, request: Request<Full<Bytes>>) -> Result<Response<LocalBody>, BoxError> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends when the answer was read, or nobody wants it any more.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a process of our own broke");
        }
    });
    let answer = sender.send_request(request).await?;
    Ok(answer.map(|body| -> LocalBody {
        let pieces = BodyDataStream::new(body);
        // The sender is held as long as the answer is read.
        Box::pin(pieces.map(move |piece| {
            let _held = &sender;
            piece.map_err(BoxError::from)
        }))
    }))
}
