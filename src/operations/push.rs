//! Push notifications: no sender exists yet, so every request is refused the way parse-server refuses
//! one it has no sender for (`PushRouter`).

use super::context::Ctx;
use crate::error::{Error, ErrorCode};

/// 119 for the read-only master key, else 115.
pub fn refusal(ctx: &Ctx) -> Error {
    if ctx.auth.is_read_only() {
        return Error::forbidden("read-only masterKey isn't allowed to send push notifications.");
    }
    let text = match ctx.config().push.push {
        None => "Missing push configuration",
        Some(_) => "Push controller is not set",
    };
    Error::parse(ErrorCode::PUSH_MISCONFIGURED, text)
}
