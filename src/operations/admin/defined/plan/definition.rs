//! A field and an index as definitions have them: in the form of the schema API, and held against what there is.

use serde_json::{Map, Value, json};

use crate::types::Field;
use crate::types::javascript::{is_same, is_truthy};
use crate::types::time::Millis;

const TYPES: [&str; 12] = [
    "String", "Number", "Boolean", "Bytes", "Date", "File", "GeoPoint", "Polygon", "Array", "Object",
    "Pointer", "Relation",
];

/// Whether both are the same to the schema API.
pub fn same_field(a: &Field, b: &Field) -> bool {
    let defaults = match (&a.default_value, &b.default_value) {
        (Some(a), Some(b)) => is_same(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    a.ty == b.ty && (a.required, a.optional) == (b.required, b.optional) && defaults
}

/// The order of columns belongs to an index.
pub fn same_index(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((a, x), (b, y))| a == b && is_same(x, y))
        }
        _ => is_same(a, b),
    }
}

/// A field in the form of the schema API, as the SDK's `addField` makes it.
///
/// # Errors
/// What the SDK says to a field that is none.
pub fn field(name: &str, definition: &Value) -> Result<Value, String> {
    if name.is_empty() {
        return Err("Error: field name may not be null.".to_owned());
    }
    let ty = match definition.get("type") {
        None => "String",
        Some(ty) if !is_truthy(ty) => "String",
        Some(Value::String(ty)) => ty.as_str(),
        Some(other) => return Err(format!("Error: {other} is not a valid type.")),
    };
    if !TYPES.contains(&ty) {
        return Err(format!("Error: {ty} is not a valid type."));
    }
    let mut field = Map::from_iter([("type".to_owned(), Value::from(ty))]);
    if matches!(ty, "Pointer" | "Relation") {
        let target = definition.get("targetClass").filter(|target| is_truthy(target));
        let target = target.ok_or_else(|| format!("Error: You need to set the targetClass of the {ty}."))?;
        field.insert("targetClass".to_owned(), target.clone());
    }
    if ty == "Relation" {
        return Ok(Value::Object(field));
    }
    if let Some(required @ Value::Bool(_)) = definition.get("required") {
        field.insert("required".to_owned(), required.clone());
    }
    if let Some(default) = definition.get("defaultValue") {
        field.insert("defaultValue".to_owned(), default_of(ty, default));
    }
    Ok(Value::Object(field))
}

/// Dates may be given as their texts or numbers, bytes as their text.
fn default_of(ty: &str, given: &Value) -> Value {
    match (ty, given) {
        ("Date", Value::String(text)) if !text.is_empty() => {
            let iso = Millis::parse(text).map_or_else(|| text.clone(), Millis::to_iso);
            json!({ "__type": "Date", "iso": iso })
        }
        ("Date", Value::Number(number)) if number.as_i64().is_some_and(|number| number != 0) => {
            json!({ "__type": "Date", "iso": Millis(number.as_i64().unwrap_or_default()).to_iso() })
        }
        ("Bytes", Value::String(text)) if !text.is_empty() => json!({ "__type": "Bytes", "base64": text }),
        _ => given.clone(),
    }
}

/// # Errors
/// What the SDK says to an index that is none.
pub fn index(name: &str, columns: &Value) -> Result<Value, String> {
    if name.is_empty() {
        return Err("Error: index name may not be null.".to_owned());
    }
    if !is_truthy(columns) {
        return Err("Error: index may not be null.".to_owned());
    }
    Ok(columns.clone())
}
