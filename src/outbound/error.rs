//! What can go wrong on the way out. No variant holds a URL, a header or a body: the texts may be logged.

use std::error::Error as StdError;
use std::io;

use rustls::AlertDescription;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    #[error("the URL is not valid")]
    Url,
    #[error("a header is not valid")]
    Header,
    /// Where a client chose the URL.
    #[error("the scheme or the port is not allowed")]
    Port,
    /// Where a client chose the URL.
    #[error("the address is not allowed")]
    Address,
    #[error("the host name cannot be resolved")]
    Resolve,
    #[error("no connection could be made: {0}")]
    Connect(io::ErrorKind),
    /// The certificate is not trusted, or is another host's, or the two sides have no protocol in common.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// Where HTTP/2 has to be spoken.
    #[error("the other side does not speak HTTP/2")]
    Protocol,
    #[error("the proxy did not connect")]
    Proxy,
    #[error("there was no answer in time")]
    Deadline,
    /// More than so many bytes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("the answer leads to too many other addresses, or to one without encryption")]
    Redirect,
    /// It did not, and will not: the same request may be sent again.
    #[error("the other side did not look at the request")]
    Refused,
    #[error("the connection ended before the answer did, or what came is not HTTP")]
    Broken,
}

impl OutboundError {
    /// What a chain of sources comes to: ours, rustls' or the system's own words for it.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut at = Some(error);
        let mut is_unsent = false;
        while let Some(error) = at {
            if let Some(known) = known(error) {
                return known;
            }
            // Who waited for the connection that another request opened is not told why there is none.
            let client = error.downcast_ref::<hyper_util::client::legacy::Error>();
            is_unsent |= client.is_some_and(hyper_util::client::legacy::Error::is_connect);
            at = error.source();
        }
        if is_unsent { Self::Connect(io::ErrorKind::NotConnected) } else { Self::Broken }
    }
}

fn known(error: &(dyn StdError + 'static)) -> Option<OutboundError> {
    if let Some(own) = error.downcast_ref::<OutboundError>() {
        return Some(own.clone());
    }
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(match tls {
            rustls::Error::NoApplicationProtocol
            | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                OutboundError::Protocol
            }
            other => OutboundError::Tls(other.to_string()),
        });
    }
    // RFC 9113, 6.8: the streams that an ended connection did not come to. Only those fail with its last frame.
    if let Some(stream) = error.downcast_ref::<h2::Error>()
        && stream.is_remote()
        && (stream.is_go_away() || stream.reason() == Some(h2::Reason::REFUSED_STREAM))
    {
        return Some(OutboundError::Refused);
    }
    // What is inside an `io::Error` is no source of it.
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    known(inner)
}
