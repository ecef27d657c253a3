//! The REST API over HTTP. [`front`] is the pipeline every request walks through, [`routes`] the table
//! it ends in, [`routers`] the handlers. What lies behind [`routes::dispatch`] knows no actix: items of
//! `/batch` and the calls of Cloud Code ([`internal`]) go the same way.
//!
//! Called by `server`; calls `operations`.

mod body;
pub mod connections;
mod credentials;
pub(crate) mod etag;
mod files;
mod front;
mod middleware;
mod multipart;
pub mod pages;
mod query_string;
mod respond;
mod transfer;

/// The parsers of what clients send, for tests that feed them with anything.
pub mod parsers {
    pub use super::body::parse_json;
    pub use super::multipart::parse as parse_multipart;
    pub use super::query_string::{parse_flat, parse_nested};
}

pub use crate::rest::routes::table;
pub use front::{Front, serve};
