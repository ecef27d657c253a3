//! The REST API over HTTP. [`front`] is the pipeline every request walks through, [`routes`] the table
//! it ends in, [`routers`] the handlers. What lies behind [`routes::dispatch`] knows no actix: items of
//! `/batch` and the calls of Cloud Code ([`internal`]) go the same way.
//!
//! Called by `server`; calls `operations`.

mod body;
mod credentials;
mod files;
mod front;
pub mod internal;
mod middleware;
mod multipart;
pub mod pages;
mod query_string;
mod request;
mod respond;
mod routers;
mod routes;
mod validator;

pub use front::{Front, serve};
pub use routes::table;
