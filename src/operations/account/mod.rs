//! Accounts: logging in and out, passwords and their policy, lock-out, and the mails about them.
pub(crate) mod challenge;
pub(crate) mod lockout;
pub(crate) mod login;
pub mod mail;
pub(crate) mod me;
pub mod password;
pub(crate) mod policy;
pub mod send_email;
pub(crate) mod verification;
