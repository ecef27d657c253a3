//! Users: sign-up, login, passwords, `authData`, and the rules of `_User` rows.
//!
//! The write pipeline calls [`hooks`] for `_User`; the routers of `/login`, `/users/me` and friends
//! call the functions re-exported here.

pub mod auth_data;
pub mod hooks;
pub(crate) mod load;
pub(crate) mod providers;

pub use crate::operations::account::challenge::challenge;
pub use crate::operations::account::login::{log_in, log_in_as, verify_password};
pub use crate::operations::account::me::{log_out, me, session_of_caller, upgrade_session};
pub use load::{all_columns, strip_secrets, with_rights_of};
pub(in crate::operations) use load::{find, mark_as_user};
pub use providers::{any_shows_by_code, show_by_code};
