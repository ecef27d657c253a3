//! Roughly what things take in memory: whatever is kept for clients is bounded in bytes.

use serde_json::Value;

use crate::operations::ports::ObjectEvent;
use crate::types::Object;

pub fn size_of_event(event: &ObjectEvent) -> usize {
    256 + size_of_object(&event.object) + event.original.as_deref().map_or(0, size_of_object)
}

pub fn size_of_object(object: &Object) -> usize {
    object.iter().map(|(key, value)| 32 + key.len() + size_of_json(value)).sum()
}

pub fn size_of_json(value: &Value) -> usize {
    32 + match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(size_of_json).sum(),
        Value::Object(object) => size_of_object(object),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
