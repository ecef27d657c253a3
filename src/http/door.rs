//! The private door: a Unix socket in a folder that only one account can enter, by which the process that embeds
//! this server hands on the requests that came to it.
//!
//! Who the client is stands in a header of every request there (`X-Parsimony-Client: <address> <scheme> <mount>`);
//! on any other connection that header means nothing. Paths are below our own mount, whatever the process has
//! mounted the server at. A request that no route takes goes back to it with a header of ours, for the routes that
//! may come behind. The other side is `packaging/npm/lib/proxy.js`. Used by [`super::exchange`] and [`super::front`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::dev::Extensions;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

static CLIENT: HeaderName = HeaderName::from_static("x-parsimony-client");
static UNROUTED: HeaderName = HeaderName::from_static("x-parsimony-unrouted");

/// Connections that came in here.
struct Private;

/// In the extensions of an answer: no route took the request.
pub struct Unrouted;

/// Called for each connection as it begins.
pub fn enter(data: &mut Extensions) {
    data.insert(Private);
}

/// What the embedding process says of the client.
pub struct Client<'a> {
    pub address: IpAddr,
    pub scheme: &'a str,
    pub mount: &'a str,
}

/// The client of a request that came in here.
pub fn client(request: &HttpRequest) -> Option<Client<'_>> {
    request.conn_data::<Private>()?;
    let mut words = request.headers().get(&CLIENT)?.to_str().unwrap_or_default().split(' ');
    let address = address_of(words.next().unwrap_or_default());
    Some(Client { address, scheme: words.next().unwrap_or("http"), mount: words.next().unwrap_or_default() })
}

/// An address, with a port or the zone of a link behind it or without. One that cannot be understood is nobody's,
/// and above all not this machine's.
fn address_of(text: &str) -> IpAddr {
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    let bare = text.split('%').next().unwrap_or_default();
    bare.parse().or_else(|_| with_port()).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The peer of the connection on which the request left its client.
pub fn peer(request: &HttpRequest) -> IpAddr {
    match request.peer_addr() {
        Some(peer) => peer.ip(),
        None => client(request).map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |client| client.address),
    }
}

/// Whether a header is one between the two processes, and nobody else's.
pub fn is_own(name: &HeaderName) -> bool {
    *name == CLIENT
}

/// Tells the embedding process that no route took the request.
pub fn hand_back(request: &HttpRequest, response: &mut HttpResponse) {
    let unrouted = response.extensions().get::<Unrouted>().is_some();
    if unrouted && request.conn_data::<Private>().is_some() {
        response.headers_mut().insert(UNROUTED.clone(), HeaderValue::from_static("1"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_not_this_machine() {
        for (text, expected) in [
            ("1.2.3.4", "1.2.3.4"),
            ("1.2.3.4:5678", "1.2.3.4"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("unknown", "0.0.0.0"),
            ("", "0.0.0.0"),
        ] {
            assert_eq!(address_of(text), expected.parse::<IpAddr>().unwrap(), "{text}");
        }
    }
}
