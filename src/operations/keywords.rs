//! `requestKeywordDenylist`: a deep scan of whatever is about to be stored.

use serde_json::Value;

use crate::error::{Error, ErrorCode, Result};
use crate::operations::Ctx;
use crate::types::Object;

/// # Errors
/// 105 `Prohibited keyword in request data: ….`
pub fn check(ctx: &Ctx, data: &Object) -> Result<()> {
    for keyword in &ctx.config().request_keyword_denylist {
        let mut pending: Vec<(&str, &Value)> =
            data.iter().map(|(key, value)| (key.as_str(), value)).collect();
        // An explicit stack: nesting comes from the client.
        while let Some((key, value)) = pending.pop() {
            let hit = match value {
                Value::String(text) => keyword.refuses_text(key, text),
                Value::Array(elements) => {
                    pending.extend(elements.iter().map(|element| ("", element)));
                    keyword.refuses_scalar(key, None)
                }
                Value::Object(map) => {
                    pending.extend(map.iter().map(|(key, value)| (key.as_str(), value)));
                    keyword.refuses_scalar(key, None)
                }
                scalar => keyword.refuses_scalar(key, Some(scalar)),
            };
            if hit {
                return Err(Error::parse(
                    ErrorCode::INVALID_KEY_NAME,
                    format!("Prohibited keyword in request data: {}.", keyword.entry),
                ));
            }
        }
    }
    Ok(())
}
