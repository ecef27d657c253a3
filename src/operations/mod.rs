//! What the server does, independent of the door a request came through: REST, batch, Cloud Code,
//! GraphQL and live queries all end here with a [`Ctx`].
//!
//! May call `cloud`, `storage`, `auth`, `files`, `mail` and `pubsub` through their traits. What it
//! needs from above (schemas, principals, event delivery) are the traits in [`services`], which the
//! actors implement. Knows no actix and no HTTP.

pub mod account;
pub mod admin;
pub mod analytics;
pub mod audit;
pub mod budget;
pub mod classes;
pub mod code_log;
pub mod context;
pub mod files;
pub mod functions;
pub mod jobs;
pub mod object;
pub mod seal;
pub mod services;
pub mod snapshot;

pub mod mail_module;
pub mod permissions;
pub mod purchase;
pub mod push;

pub use context::{Auth, Credentials, Ctx, PROGRAM, Principal, RequestInfo};
pub use services::Services;
pub use snapshot::ClassSnapshot;
