//! The refusal (111) of what does not fit its column, in parse-server's words; for every adapter.

use serde_json::Value;

use super::StorageError;
use crate::error::{Error, ErrorCode};
use crate::types::{ClassSchema, FieldType};

/// `got`: what came, as the text names it.
pub(super) fn mismatch_of(schema: &ClassSchema, column: &str, got: &str) -> StorageError {
    let expected = schema.field_type(column).map_or_else(|| "another type".to_owned(), FieldType::display);
    StorageError::Refused(Error::parse(
        ErrorCode::INCORRECT_TYPE,
        format!("schema mismatch for {}.{column}; expected {expected} but got {got}", schema.name),
    ))
}

pub(super) fn mismatch(schema: &ClassSchema, column: &str, value: &Value) -> StorageError {
    let pointer;
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "Boolean",
        Value::Number(_) => "Number",
        Value::String(_) => "String",
        Value::Array(_) => "Array",
        Value::Object(object) => match object.get("__type").and_then(Value::as_str) {
            Some("Pointer") => {
                let class = object.get("className").and_then(Value::as_str).unwrap_or_default();
                pointer = format!("Pointer<{class}>");
                &pointer
            }
            Some(tag) => tag,
            None => "Object",
        },
    };
    mismatch_of(schema, column, got)
}
