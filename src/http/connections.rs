//! How many may be connected: in all and from one address (option `httpLimits`). Beyond the first limit there is
//! a lane for those who ask after the server's health; whoever is beyond that, or has too many connections from
//! one address, is told so and let go before a request is read.
//!
//! `server` calls [`Connections::admit`] for each connection, [`super::front`] asks [`is_crowded`].

use std::collections::HashMap;
use std::net::{IpAddr, Shutdown};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;

use crate::config::{HttpLimits, TrustProxy};
use crate::metrics::Page;

/// Connections beyond the limit that may ask after the server's health.
const HEALTH_LANE: u64 = 256;
/// Open files besides connections: databases, logs, files that are read.
const OTHER_FILES: u64 = 256;

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\n\
Retry-After: 1\r\nConnection: close\r\nContent-Length: 48\r\n\r\n\
{\"code\":100,\"error\":\"The server is overloaded.\"}";

/// Those that are open.
pub struct Connections {
    most: u64,
    most_per_address: u64,
    proxies: Vec<TrustProxy>,
    patience: Duration,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: u64,
    /// So far.
    refused: u64,
    by_address: HashMap<IpAddr, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Served,
    /// Only told of the server's health.
    Crowded,
    Refused,
}

/// One connection, for as long as it is open.
struct Guest {
    connections: Arc<Connections>,
    /// Counted under this address.
    address: Option<IpAddr>,
    place: Admission,
}

impl Connections {
    /// `proxies` may have any number of connections, and so may this machine.
    pub fn new(limits: &HttpLimits, proxies: Vec<TrustProxy>) -> Arc<Self> {
        let files = open_files().map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES).max(64));
        Arc::new(Self {
            most: limits.max_connections.unwrap_or(u64::MAX).min(files),
            most_per_address: limits.max_connections_per_address.unwrap_or(u64::MAX),
            proxies,
            patience: limits.patience,
            table: Mutex::default(),
        })
    }

    /// Called for each connection as it begins.
    pub fn admit(self: &Arc<Self>, stream: &TcpStream, data: &mut Extensions) {
        let Ok(peer) = stream.peer_addr() else { return };
        let socket = socket2::SockRef::from(stream);
        // A peer that acknowledges nothing, or has no room for what is to be sent, is not polled any more by
        // anything above the socket.
        #[cfg(target_os = "linux")]
        if let Err(error) = socket.set_tcp_user_timeout(Some(self.patience)) {
            tracing::debug!(%error, "a socket keeps the system's time limit");
        }
        let guest = self.enter(peer.ip().to_canonical());
        if guest.place == Admission::Refused {
            // Whether the client hears it or not, it is not waited for.
            let _ = socket.send(REFUSAL);
            let _ = socket.shutdown(Shutdown::Both);
        }
        data.insert(guest);
    }

    fn enter(self: &Arc<Self>, peer: IpAddr) -> Guest {
        let is_exempt = peer.is_loopback() || self.proxies.iter().any(|proxy| proxy.trusts_peer(peer));
        let address = (!is_exempt).then_some(peer);
        let mut table = self.table();
        table.open += 1;
        let from_there = address.map_or(0, |address| {
            let count = table.by_address.entry(address).or_default();
            *count += 1;
            *count
        });
        let place =
            if from_there > self.most_per_address || table.open > self.most.saturating_add(HEALTH_LANE) {
                table.refused += 1;
                Admission::Refused
            } else if table.open > self.most {
                Admission::Crowded
            } else {
                Admission::Served
            };
        Guest { connections: self.clone(), address, place }
    }

    /// Connections of clients.
    pub fn report(&self, page: &mut Page) {
        let (open, refused) = {
            let table = self.table();
            (table.open, table.refused)
        };
        page.gauge("parsimony_http_connections", "Connections of clients.", &[], open as f64);
        let help = "Connections that were refused because there were too many.";
        page.counter("parsimony_http_connections_refused_total", help, &[], refused);
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.open -= 1;
        if let Some(address) = self.address
            && let Some(count) = table.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                table.by_address.remove(&address);
            }
        }
    }
}

/// Whether the request's connection is one too many.
pub fn is_crowded(request: &HttpRequest) -> bool {
    request.conn_data::<Guest>().is_some_and(|guest| guest.place != Admission::Served)
}

/// How many files this process may have open, where the system tells.
fn open_files() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(most: u64, per_address: u64) -> Arc<Connections> {
        let limits = HttpLimits {
            max_connections: Some(most),
            max_connections_per_address: Some(per_address),
            ..HttpLimits::NONE
        };
        Connections::new(&limits, vec![TrustProxy::Hops(0)])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_has_its_share() {
        let all = connections(50, 2);
        let mut held = vec![all.enter(ip("203.0.113.7")), all.enter(ip("203.0.113.7"))];
        assert_eq!(held[1].place, Admission::Served);
        assert_eq!(all.enter(ip("203.0.113.7")).place, Admission::Refused);
        assert_eq!(all.enter(ip("203.0.113.8")).place, Admission::Served);
        held.pop();
        assert_eq!(all.enter(ip("203.0.113.7")).place, Admission::Served);
        // This machine, where a proxy may stand.
        let local: Vec<_> = (0..5).map(|_| all.enter(ip("127.0.0.1"))).collect();
        assert!(local.iter().all(|guest| guest.place == Admission::Served));
        drop((held, local));
        let table = all.table();
        assert!(table.open == 0 && table.by_address.is_empty());
    }

    #[test]
    fn health_has_a_lane() {
        let all = connections(3, 100);
        let served: Vec<_> = (0..3).map(|_| all.enter(ip("127.0.0.1"))).collect();
        assert!(served.iter().all(|guest| guest.place == Admission::Served));
        let crowded: Vec<_> = (0..HEALTH_LANE).map(|_| all.enter(ip("127.0.0.1"))).collect();
        assert!(crowded.iter().all(|guest| guest.place == Admission::Crowded));
        assert_eq!(all.enter(ip("127.0.0.1")).place, Admission::Refused);
        drop(served);
        drop(crowded);
        assert_eq!(all.enter(ip("127.0.0.1")).place, Admission::Served);
    }

    #[test]
    fn the_refusal_is_whole() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["code"], 100);
    }
}
