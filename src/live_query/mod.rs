//! Live queries: what clients say and are told ([`protocol`]), who hears what ([`matching`]), what is kept and
//! counted for them. The owner of a class (in `actors`) holds its live queries and tells of events; sockets
//! are in `sockets`. Names neither of them, and no actix.
//!
//! Writes hand what they did to the hub after commit. It sends the event to the class's owner, which finds
//! the subscriptions concerned through an index, decides with the same permission code as a find, serialises
//! each distinct form once and sends one message to each worker thread ([`parcel`]); there connections take
//! it from their [`outlet`]s.

pub mod event_log;
pub mod ledger;
pub mod listening;
pub mod matching;
pub mod outlet;
pub mod parcel;
pub mod protocol;
pub mod size;
pub mod waiting;
