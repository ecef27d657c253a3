//! `_User`: the rules of its rows, their passwords, their `authData` and the mails about them.
//!
//! [`UserRules`] are the rules of a write; the rest is what these and [`crate::operations::account`] rest on.

pub mod auth_data;
mod fields;
mod follow_up;
pub(crate) mod load;
mod log_in;
pub(in crate::operations) mod login_trigger;
pub(in crate::operations) mod mail;
mod memory;
pub mod password;
pub(in crate::operations) mod policy;
pub(in crate::operations) mod providers;
mod rules;
pub(in crate::operations) mod verification;

pub(in crate::operations) use load::mark_as_user;
pub use load::strip_secrets;
pub use rules::UserRules;
