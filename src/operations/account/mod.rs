//! Accounts as clients use them: logging in and out, lock-out, links for forgotten passwords and new addresses.
//!
//! Called by the routes of `/login`, `/users/me` and friends and by the pages. What users *are* is
//! [`crate::operations::classes::user`]'s, which this rests on.
pub mod challenge;
mod lockout;
pub mod login;
pub mod mail;
pub mod me;
pub mod send_email;
