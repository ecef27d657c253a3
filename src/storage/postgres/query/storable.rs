//! What PostgreSQL can hold: its texts have no NUL character. The builders of conditions ask here before they
//! bind what a client sent.

use serde_json::Value;

use crate::query::Operand;

/// PostgreSQL texts hold no NUL character, so nothing stored equals a text that has one.
pub fn can_be_stored(operand: &Operand) -> bool {
    fn clean(value: &Value) -> bool {
        match value {
            Value::String(text) => !text.contains('\0'),
            Value::Array(list) => list.iter().all(clean),
            Value::Object(object) => object.iter().all(|(key, value)| !key.contains('\0') && clean(value)),
            _ => true,
        }
    }
    match operand {
        Operand::Text(text)
        | Operand::File(text)
        | Operand::Bytes(text)
        | Operand::Pointer { id: text, .. } => !text.contains('\0'),
        Operand::Object(value) => clean(value),
        Operand::Array(list) => list.iter().all(clean),
        _ => true,
    }
}

/// The id a pointer (or a bare id) names.
pub fn text_id(operand: &Operand) -> Option<String> {
    match operand {
        Operand::Pointer { id, .. } | Operand::Text(id) if can_be_stored(operand) => Some(id.clone()),
        _ => None,
    }
}

/// For prefixes and search terms: a NUL becomes the replacement character, which is as unlikely.
pub fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
