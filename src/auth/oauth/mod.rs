//! What OAuth providers have in common: authorization codes ([`code_flow`]), access tokens that are shown to whoever
//! made them ([`token_check`]), proofs that can be shown once ([`identified`]), the signed requests of OAuth 1.0a ([`oauth1`]). A provider of its own is in
//! [`super::providers`].

pub mod code_flow;
pub mod identified;
pub mod oauth1;
pub mod token_check;
