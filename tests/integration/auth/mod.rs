//! Login providers against a faked outside: what is asked of them, what gets in, and what does not.

mod access_tokens;
mod code_flows;
mod directory;
mod flows;
mod game_center;
mod openid;
mod outside;
mod signed_tokens;
mod tokens;
