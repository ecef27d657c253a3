//! `requestKeywordDenylist`: a deep scan of whatever is about to be stored.

use serde_json::Value;

use crate::error::{Error, ErrorCode, Result};
use crate::operations::Ctx;
use crate::types::Object;

/// # Errors
/// 105 `Prohibited keyword in request data: ….`
pub fn check(ctx: &Ctx, data: &Object) -> Result<()> {
    for keyword in &ctx.config().request_keyword_denylist {
        // Elements of lists have no key, and there may be very many of them.
        let looks_at_elements = keyword.looks_below("");
        let mut pending: Vec<(&str, &Value)> =
            data.iter().map(|(key, value)| (key.as_str(), value)).collect();
        // An explicit stack: nesting comes from the client.
        while let Some((key, value)) = pending.pop() {
            match value {
                Value::Array(elements) => {
                    let goes_on = |element: &&Value| {
                        looks_at_elements || matches!(element, Value::Array(_) | Value::Object(_))
                    };
                    pending.extend(elements.iter().filter(goes_on).map(|element| ("", element)));
                }
                Value::Object(map) => {
                    pending.extend(map.iter().map(|(key, value)| (key.as_str(), value)));
                }
                _ => {}
            }
            if key.is_empty() && !looks_at_elements {
                continue;
            }
            let hit = match value {
                Value::String(text) => keyword.refuses_text(key, text),
                Value::Array(_) | Value::Object(_) => keyword.refuses_scalar(key, None),
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
