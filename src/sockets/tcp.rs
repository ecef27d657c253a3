//! The TCP socket below a WebSocket. A connection whose peer takes no bytes is not polled at all, so
//! nothing above the socket could end it: the kernel is told to.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;

/// A second handle to the socket, until the connection's first request tells whether it is needed.
struct ClientSocket(Cell<Option<OwnedFd>>);

/// Called for each connection as it begins.
pub fn note(stream: &TcpStream, data: &mut Extensions) {
    if let Ok(handle) = stream.as_fd().try_clone_to_owned() {
        data.insert(ClientSocket(Cell::new(Some(handle))));
    }
}

fn take(request: &HttpRequest) -> Option<OwnedFd> {
    request.conn_data::<ClientSocket>()?.0.take()
}

/// The connection serves plain requests: their bodies may be read as slowly as the client likes.
pub fn let_go(request: &HttpRequest) {
    drop(take(request));
}

/// From now on the connection is broken when its peer acknowledged nothing, or had no room for what is to
/// be sent, for so long.
pub fn give_up_after(request: &HttpRequest, patience: Duration) {
    let Some(socket) = take(request) else { return };
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(&socket).set_tcp_user_timeout(Some(patience)) {
        tracing::debug!(%error, "a socket keeps the system's time limit");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, patience);
}
