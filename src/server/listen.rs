//! The sockets that the server listens on, taken before anything is started.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use tokio::net::TcpSocket;

use super::StartError;
use crate::config::AppConfig;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// The port of the first listener, which is the API's.
pub fn port(listeners: &[TcpListener]) -> u16 {
    let first = listeners.first().and_then(|listener| listener.local_addr().ok());
    first.map_or(0, |address| address.port())
}

/// Listens for all applications, on each address once.
///
/// # Errors
/// When an address is taken, or is none.
pub fn all(configs: &[AppConfig]) -> Result<Vec<TcpListener>, StartError> {
    once(configs.iter().flat_map(|config| {
        // Live queries may have a port of their own beside the API's.
        let sockets = config.live_query_server.port.filter(|_| config.live_query_server.enabled);
        let ports = [Some(config.http.port), sockets].into_iter().flatten();
        ports.map(|port| (config.http.host.as_str(), port))
    }))
}

/// Listens on each of these hosts and ports once.
///
/// # Errors
/// When one is taken, or is none.
pub fn once<'h>(binds: impl Iterator<Item = (&'h str, u16)>) -> Result<Vec<TcpListener>, StartError> {
    let mut listening = Vec::new();
    let mut listeners = Vec::new();
    for (host, port) in binds {
        if !listening.contains(&(host, port)) {
            listening.push((host, port));
            listeners.extend(listen(host, port)?);
        }
    }
    Ok(listeners)
}

/// Listens on every address of the host that can be had.
fn listen(host: &str, port: u16) -> Result<Vec<TcpListener>, StartError> {
    let addresses = (host, port).to_socket_addrs().map_err(|error| bind_error(port, &error))?;
    let mut listeners = Vec::new();
    let mut refused = None;
    for address in addresses {
        match bind(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) if listeners.is_empty() => Err(bind_error(port, &error)),
        _ => Ok(listeners),
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart finds its port although old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

fn bind_error(port: u16, error: &std::io::Error) -> StartError {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        let message = format!("Unable to listen on port {port}. The port is already in use.");
        return StartError { message, port_in_use: true };
    }
    StartError::new(format!("Unable to listen on port {port}: {error}. Choose another host or port."))
}
