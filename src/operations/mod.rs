//! What the server does, independent of the door a request came through: REST, batch, Cloud Code,
//! GraphQL and live queries all end here with a [`Ctx`].
//!
//! May call `cloud`, `storage`, `auth`, `files`, `mail` and `pubsub` through their traits. What it
//! needs from above (schemas, principals, event delivery) are the traits in [`services`], which the
//! actors implement. Knows no actix and no HTTP.

pub mod account_mail;
pub mod analytics;
pub mod audit;
pub mod batch;
pub mod budget;
pub mod code_log;
pub mod context;
pub mod files;
pub mod functions;
pub mod global_config;
pub mod hooks;
pub mod idempotency;
pub mod installations;
pub mod jobs;
pub mod mails;
pub mod schedules;
pub mod script_log;
pub mod seal;
pub mod security_check;
pub mod services;
pub mod sessions;
pub mod snapshot;
pub mod transaction;

pub mod mail_module;
pub mod permissions;
pub mod purchase;
pub mod push;
pub mod read;
pub mod schema;
pub mod users;
pub mod write;

pub use context::{Auth, Credentials, Ctx, PROGRAM, Principal, RequestInfo};
pub use services::Services;
pub use snapshot::ClassSnapshot;
