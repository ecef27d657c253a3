//! Providers that take an access token and ask whose it is, without knowing for which app it was made: meetup,
//! phantauth, janraincapture. What they have in common.

use http::HeaderValue;
use http::header::AUTHORIZATION;
use serde_json::Value;

use crate::auth::env::text;
use crate::auth::not_found;
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::Request;

/// 1, for a mode that the operator did not allow.
pub fn not_allowed(text: &'static str) -> Error {
    Error::parse(ErrorCode::INTERNAL_SERVER_ERROR, text)
}

/// `Authorization: bearer …`, spelled as these services document it.
///
/// # Errors
/// `foreign` when the token is none.
pub fn with_token(request: Request, token: Option<&Value>, foreign: &'static str) -> Result<Request> {
    let token = text(token).ok_or_else(|| not_found(foreign))?;
    let mut value = HeaderValue::from_str(&format!("bearer {token}")).map_err(|_| not_found(foreign))?;
    value.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, value))
}

/// # Errors
/// `foreign` unless both are the same id.
pub fn same_id(theirs: Option<&Value>, claimed: Option<&Value>, foreign: &'static str) -> Result<()> {
    match (text(theirs), text(claimed)) {
        (Some(theirs), Some(claimed)) if theirs == claimed => Ok(()),
        _ => Err(not_found(foreign)),
    }
}
