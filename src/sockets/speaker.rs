//! What is said on a socket, above its frames: the protocol of live queries ([`super::client`]), or that of GraphQL
//! subscriptions ([`super::graphql_ws`]).

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use crate::live_query::ledger::Account;
use crate::live_query::outlet::Letter;
use crate::live_query::parcel::{ConnectionId, Parcel};

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Frame(String),
    /// The last word: a close code and why.
    Close(u16, String),
}

/// One peer's side of a conversation. Whoever holds it goes when the connection does.
pub trait Speaker {
    fn id(&self) -> ConnectionId;

    fn account(&self) -> &Arc<Account>;

    /// Whether the client has said who it is.
    fn is_connected(&self) -> bool;

    /// Answers a message; `None` is one without text.
    fn hear(&mut self, message: Option<String>) -> LocalBoxFuture<'_, Vec<Said>>;

    /// Whether events are put into words by [`Self::tell`]; else each is a frame at once.
    fn takes_time(&self) -> bool {
        false
    }

    /// The frame for an event; `None` before the client is connected.
    fn event_frame(&self, parcel: &Parcel, request_id: &str) -> Option<String>;

    /// What is said of events, in their order.
    fn tell(&mut self, letters: Vec<Letter>) -> LocalBoxFuture<'_, Vec<Said>> {
        let frames = letters.iter().filter_map(|(parcel, request_id)| self.event_frame(parcel, request_id));
        let said = frames.map(Said::Frame).collect();
        Box::pin(std::future::ready(said))
    }

    /// The connection came to its end.
    fn disconnected(&self);
}
