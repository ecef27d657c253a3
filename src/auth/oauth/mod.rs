//! What OAuth providers have in common: authorization codes ([`code_flow`]), access tokens that are shown to whoever
//! made them ([`token_check`]), the signed requests of OAuth 1.0a ([`oauth1`]). A provider of its own is in
//! [`super::providers`].

pub mod code_flow;
pub mod oauth1;
pub mod token_check;
