//! Sockets, the actors that own subscriptions, and the buses by which servers hear of each other's writes.
pub mod bus;
pub mod captures;
pub mod class;
pub mod client;
pub mod connection;
pub mod frames;
pub mod ledger;
pub(crate) mod outgoing;
pub(crate) mod parts;
pub mod redis_bus;
pub mod seat;
pub mod socket;
pub mod worker;
