//! Who hears what: the live queries of one class ([`class`]), subscriptions found by what an object says,
//! checked with the permission code of a find, ordered and rendered. The class's owner in `actors` holds
//! this and calls it; knows neither actors nor sockets.

pub mod asking;
pub mod calls;
pub mod class;
pub mod decide;
pub mod event;
pub mod index;
pub mod lanes;
pub mod order;
pub mod outbox;
pub mod present;
pub mod render;
pub mod replay;
pub mod ring;
pub mod shared;
pub mod subscription;
pub mod subscriptions;
pub mod triggers;
