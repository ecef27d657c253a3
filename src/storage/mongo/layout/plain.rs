//! JSON and BSON as one another's like, without the meaning that values of objects have.

use bson::{Bson, Document, doc};
use serde_json::{Map, Value};

use super::{rest_json, value};

/// JSON as it is, without the meaning that values of objects have.
pub fn plain(json: &Value) -> Bson {
    match json {
        Value::Null => Bson::Null,
        Value::Bool(b) => Bson::Boolean(*b),
        Value::Number(n) => value::number(n.as_f64().unwrap_or_default()),
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(list) => Bson::Array(list.iter().map(plain).collect()),
        Value::Object(object) => Bson::Document(plain_document(object)),
    }
}

pub fn plain_document(object: &Map<String, Value>) -> Document {
    object.iter().map(|(key, value)| (key.replace('\0', ""), plain(value))).collect()
}

pub fn bson_value(value: Bson) -> Value {
    let wrapped = bson::RawDocumentBuf::try_from(&doc! { "v": value });
    let value = wrapped.ok().and_then(|raw| raw.get("v").ok().flatten().map(rest_json::to_value));
    value.unwrap_or_default()
}

pub fn document_value(document: &Document) -> Value {
    let raw = bson::RawDocumentBuf::try_from(document);
    raw.map_or(Value::Null, |raw| Value::Object(rest_json::object(&raw)))
}
