//! WebSockets of live-query clients: the connection below, the client's requests above it. Called by `http`,
//! which hands over upgrade requests.

pub mod client;
pub mod connection;
pub mod frames;
#[cfg(feature = "graphql")]
pub mod graphql_ws;
pub mod speaker;
pub mod tcp;
