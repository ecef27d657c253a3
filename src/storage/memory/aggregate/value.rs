//! Values in REST encoding, read as numbers, texts and truths.

use serde_json::{Value, json};

use crate::query::Operand;
use crate::types::Object;
use crate::types::number::number_json;
use crate::types::path::FieldPath;

/// The value at a path; null where there is none, and inside of typed values.
pub(super) fn at(row: &Object, path: &FieldPath) -> Value {
    let Some(root) = row.get(path.root.as_str()) else { return Value::Null };
    let is_typed = root.get("__type").is_some_and(|tag| tag != "Bytes");
    if path.is_dotted() && is_typed {
        return Value::Null;
    }
    inside(root, &path.rest)
}

pub(super) fn inside(root: &Value, rest: &[String]) -> Value {
    let found = rest.iter().try_fold(root, |value, key| match value {
        Value::Array(elements) => key.parse::<usize>().ok().and_then(|place| elements.get(place)),
        other => other.get(key),
    });
    found.cloned().unwrap_or(Value::Null)
}

pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        _ => true,
    }
}

pub(super) fn number_of(value: &Value) -> Option<f64> {
    value.as_f64()
}

/// A text; pointers and files are known by theirs.
pub(super) fn text_of(value: &Value) -> Option<String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    match value.get("__type").and_then(Value::as_str) {
        Some("Pointer") => text(value.get("objectId")),
        Some("File") => text(value.get("name")),
        Some(_) => None,
        None => text(Some(value)),
    }
}

/// Numbers, booleans and dates as texts too.
pub(super) fn shown_of(value: &Value) -> Option<String> {
    match value {
        Value::Number(n) => Some(number_json(n.as_f64()?).to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ if value.get("__type").is_some_and(|tag| tag == "Date") => {
            value.get("iso").and_then(Value::as_str).map(str::to_owned)
        }
        other => text_of(other),
    }
}

/// A date as a value.
pub(super) fn date_value(at: crate::types::time::Millis) -> Value {
    Operand::Date(at).to_json()
}

pub(super) fn object(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
    pairs.into_iter().fold(json!({}), |mut all, (name, value)| {
        if let Some(all) = all.as_object_mut() {
            all.insert(name, value);
        }
        all
    })
}
