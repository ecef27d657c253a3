//! Rows of a pipeline as the API answers them.

use bson::raw::{RawBsonRef, RawDocument};
use serde_json::{Value, json};

use super::Scope;
use crate::storage::AggregateOptions;
use crate::storage::mongo::layout::names::{AUTH_DATA, field_of_key};
use crate::storage::mongo::layout::rest_json;
use crate::types::{FieldType, Object};

/// Columns of documents that are nobody's fields.
fn is_hidden(scope: &Scope, key: &str) -> bool {
    let known = |key: &&str| field_of_key(&scope.schema, key) == *key;
    scope.is_class && key.starts_with('_') && key != "_id" && (key.starts_with(AUTH_DATA) || known(&key))
}

pub(super) fn object(row: &RawDocument, scope: &Scope, options: &AggregateOptions) -> Object {
    let mut object = Object::new();
    for element in row.iter_elements().map_while(Result::ok) {
        let (key, Ok(value)) = (element.key().as_str(), element.value()) else { continue };
        let provider = key.strip_prefix(AUTH_DATA).filter(|_| scope.is_class);
        if let Some(provider) = provider.filter(|_| !options.raw_field_names && value != RawBsonRef::Null) {
            // One field of users, kept in a column for each provider.
            let providers = object.entry("authData").or_insert_with(|| json!({}));
            if let Value::Object(providers) = providers {
                let value = rest_json::to_value(value);
                let value = if options.raw_values { untyped(value, true) } else { value };
                providers.insert(provider.to_owned(), value);
            }
            continue;
        }
        if is_hidden(scope, key) {
            continue;
        }
        let field = field_of_key(&scope.schema, key);
        let value = match scope.nested.get(field) {
            Some(inner) => nested(value, inner, options),
            None if options.raw_values || options.raw_field_names => raw(value, field, scope, options),
            None => typed(value, key, field, scope),
        };
        // As parse-server has it: raw values stand under the document's own keys, but for the id.
        let is_own = options.raw_field_names || (options.raw_values && key != "_id");
        object.insert(if is_own { key } else { field }.to_owned(), value);
    }
    object
}

fn nested(value: RawBsonRef<'_>, scope: &Scope, options: &AggregateOptions) -> Value {
    match value {
        RawBsonRef::Document(row) => Value::Object(object(row, scope, options)),
        RawBsonRef::Array(rows) => rest_json::values(rows).map(|row| nested(row, scope, options)).collect(),
        other => rest_json::to_value(other),
    }
}

/// A value as it is stored.
fn raw(value: RawBsonRef<'_>, field: &str, scope: &Scope, options: &AggregateOptions) -> Value {
    match value {
        RawBsonRef::String(text)
            if field == "objectId" && scope.has_pointer_id && !options.raw_field_names =>
        {
            text.split_once('$').map_or(text, |(_, id)| id).into()
        }
        value => untyped(rest_json::to_value(value), options.raw_values),
    }
}

fn typed(value: RawBsonRef<'_>, key: &str, field: &str, scope: &Scope) -> Value {
    match (scope.schema.field_type(field), value) {
        (Some(FieldType::Pointer(_)), RawBsonRef::String(text)) if key.starts_with("_p_") => {
            match text.split_once('$') {
                Some((class, id)) => json!({ "__type": "Pointer", "className": class, "objectId": id }),
                None => Value::Null,
            }
        }
        (Some(FieldType::File), RawBsonRef::String(name)) => json!({ "__type": "File", "name": name }),
        (Some(FieldType::GeoPoint), RawBsonRef::Array(pair)) => {
            let at: Vec<Value> = rest_json::values(pair).map(rest_json::to_value).collect();
            match at.as_slice() {
                [longitude, latitude] => {
                    json!({ "__type": "GeoPoint", "latitude": latitude, "longitude": longitude })
                }
                _ => Value::Array(at),
            }
        }
        (_, RawBsonRef::String(text)) if field == "objectId" && scope.has_pointer_id => {
            text.split_once('$').map_or(text, |(_, id)| id).into()
        }
        (_, RawBsonRef::DateTime(at)) if matches!(field, "createdAt" | "updatedAt") => {
            crate::types::time::Millis(at.timestamp_millis()).to_iso().into()
        }
        (_, value) => rest_json::to_value(value),
    }
}

/// Dates as extended JSON, or as the texts that plain JSON has for them.
fn untyped(value: Value, extended: bool) -> Value {
    match value {
        Value::Object(object) if object.get("__type").is_some_and(|tag| tag == "Date") => {
            let iso = object.get("iso").and_then(Value::as_str).unwrap_or_default();
            if !extended {
                return iso.into();
            }
            // Extended JSON leaves milliseconds out where there are none.
            match iso.strip_suffix(".000Z") {
                Some(seconds) => json!({ "$date": format!("{seconds}Z") }),
                None => json!({ "$date": iso }),
            }
        }
        Value::Object(object) => {
            Value::Object(object.into_iter().map(|(key, value)| (key, untyped(value, extended))).collect())
        }
        Value::Array(list) => list.into_iter().map(|value| untyped(value, extended)).collect(),
        other => other,
    }
}
