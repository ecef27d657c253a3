//! What the server does, independent of the door a request came through: REST, batch, Cloud Code,
//! GraphQL and live queries all end here with a [`Ctx`].
//!
//! May call `cloud`, `storage`, `auth`, `files`, `mail` and `pubsub` through their traits. What it
//! needs from above (schemas, principals, event delivery) are the traits in [`ports`], which the
//! actors implement. Knows no actix and no HTTP.
//!
//! From below to above: [`caller`], [`snapshot`], [`seal`], [`budget`] know nothing of each other's users;
//! [`ports`], [`transactions`], [`services`] and [`context`] make up what a request carries; [`audit`],
//! [`code_log`], `effects`, [`permissions`] and [`keywords`] look at it; [`object`], and what is built on it, work.

pub mod account;
pub mod admin;
pub mod analytics;
mod asked_options;
pub mod audit;
pub mod budget;
pub mod caller;
pub mod classes;
pub mod code_log;
pub mod context;
mod effects;
pub mod figures;
pub mod files;
pub mod functions;
pub mod gate;
mod held;
pub mod jobs;
pub mod keywords;
pub mod object;
pub mod ports;
pub mod seal;
pub mod services;
pub mod snapshot;
pub mod transactions;

pub mod mail_module;
pub mod permissions;
pub mod purchase;
pub mod push;
mod push_signals;

pub use caller::{Auth, Credentials, Principal};
pub use context::{Ctx, PROGRAM, RequestInfo};
pub use services::Services;
pub use snapshot::ClassSnapshot;
