//! What the master key administers: schemas, hooks, configuration, logs, the security check.
pub mod config;
pub mod defined;
pub mod graphql_config;
pub mod hooks;
pub mod logs;
pub mod schema;
pub mod security_check;
mod single_row;
