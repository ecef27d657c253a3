//! What OpenID providers sign: [`jwt`] judges a token, [`keys`] fetches and keeps the keys that it is signed with.

pub mod jwt;
pub mod keys;
