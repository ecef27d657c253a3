//! What the server itself keeps in schema `parsimony`, of which parse-server knows nothing. The tables are
//! spoken to in Diesel's DSL (`schema`, run by `dsl`); statements are text only where the DSL cannot say
//! them, each with the reason.
//!
//! `files` is a [`crate::files::FileStore`], `live_log` a [`crate::storage::live_log::LiveLog`], `work` a
//! [`crate::storage::WorkQueue`], `push` a [`crate::storage::push::PushLedger`]; the adapter hands them out as capabilities.
pub(crate) mod dsl;
pub mod files;
pub(crate) mod live_log;
pub(crate) mod push;
pub(crate) mod schema;
pub(crate) mod work;
