//! `requestKeywordDenylist`: a deep scan of whatever is about to be stored.

use serde_json::Value;

use crate::config::DeniedKeyword;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::Ctx;
use crate::types::Object;

/// # Errors
/// 105 `Prohibited keyword in request data: ….`, for the first keyword of the list that is there.
pub fn check(ctx: &Ctx, data: &Object) -> Result<()> {
    let keywords = &ctx.config().request_keyword_denylist;
    if !holds_any(keywords, data) {
        return Ok(());
    }
    match keywords.iter().find(|keyword| holds_any(std::slice::from_ref(*keyword), data)) {
        None => Ok(()),
        Some(keyword) => Err(Error::parse(
            ErrorCode::INVALID_KEY_NAME,
            format!("Prohibited keyword in request data: {}.", keyword.entry),
        )),
    }
}

fn holds_any(keywords: &[DeniedKeyword], data: &Object) -> bool {
    // Elements of lists have no key, and there may be very many of them.
    let looks_at_elements = keywords.iter().any(|keyword| keyword.looks_below(""));
    let mut pending: Vec<(&str, &Value)> = Vec::with_capacity(2 * data.len());
    pending.extend(data.iter().map(|(key, value)| (key.as_str(), value)));
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
        let hits = |keyword: &DeniedKeyword| match value {
            _ if key.is_empty() && !keyword.looks_below("") => false,
            Value::String(text) => keyword.refuses_text(key, text),
            Value::Array(_) | Value::Object(_) => keyword.refuses_scalar(key, None),
            scalar => keyword.refuses_scalar(key, Some(scalar)),
        };
        if keywords.iter().any(hits) {
            return true;
        }
    }
    false
}
