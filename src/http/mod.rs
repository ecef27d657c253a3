//! Transport: [`front`] is the pipeline every request walks through, [`exchange`] one request on its way,
//! [`files`] and [`pages`] the routes with bodies that are not JSON. REST requests end in the table of
//! `crate::rest::routes`, which knows no actix.
//!
//! Called by `server`; calls `rest`, `pages`, `live_query` and `operations`.

mod attempts;
mod body;
pub mod connections;
mod credentials;
mod dashboard;
mod door;
#[cfg(feature = "graphql")]
mod endpoints;
pub(crate) mod etag;
mod exchange;
mod figures;
mod files;
mod front;
#[cfg(feature = "graphql")]
mod graphql;
pub mod listen;
pub mod metrics;
mod middleware;
mod multipart;
pub mod pages;
mod query_string;
mod request_log;
mod respond;
mod spelling;
mod start;
mod targets;
mod to_the_end;
mod transfer;
pub mod waiting;

/// The parsers of what clients send, for tests that feed them with anything.
pub mod parsers {
    pub use super::body::object_of as parse_json;
    pub use super::multipart::parse as parse_multipart;
    pub use super::query_string::{parse_flat, parse_nested};
}

pub use crate::rest::routes::table;
pub use exchange::Front;
