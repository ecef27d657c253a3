//! Who hears what: the subscriptions of a class, found by what an object says, checked with the permission
//! code of a find, ordered and rendered. Knows no sockets.
pub mod asking;
pub mod calls;
pub mod decide;
pub mod event;
pub mod index;
pub mod lanes;
pub mod order;
pub mod render;
pub mod replay;
pub mod ring;
pub mod subscription;
pub mod subscriptions;
pub mod triggers;
pub mod waiting;
