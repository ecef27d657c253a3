//! The REST API without its transport: the table of [`routes`], the handlers behind it ([`routers`]), and
//! [`internal`], by which Cloud Code's SDK calls reach them. HTTP, `/batch` and Cloud Code all go this way.
//!
//! Called by `http` and `server`; calls `operations`. Knows no actix.
pub mod internal;
pub(crate) mod request;
pub(crate) mod route;
pub(crate) mod routers;
pub(crate) mod routes;
