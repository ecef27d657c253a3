//! WebSockets of live-query clients: the connection below, the client's requests above it. Called by `http`,
//! which hands over upgrade requests.

pub mod client;
pub mod connection;
pub mod frames;
pub mod tcp;
