//! REST JSON with `__op` operators, value by value: which type it has, what a create stores for it and what an
//! update does with it. [`super::statement`] makes a statement of them.

use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode, Result};
use crate::types::javascript::is_truthy;
use crate::types::limits::{self, MAX_DOTTED_CHANGES, MAX_DOTTED_PARTS, MAX_FIELDS, MAX_OPERANDS};
use crate::types::member::{member, member_of};
use crate::types::{ClassName, FieldType, Object, Op};

/// The type a value asks its column to have; `None` says nothing (null, `Delete`).
///
/// # Errors
/// 111 `This is not a valid <Type>`, 108 for an operator nobody knows.
pub fn infer_type(value: &Value) -> Result<Option<FieldType>> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(_) => FieldType::Boolean,
        Value::Number(_) => FieldType::Number,
        Value::String(_) => FieldType::String,
        Value::Array(_) => FieldType::Array,
        Value::Object(object) => return infer_object_type(object),
    }))
}

fn infer_object_type(object: &Object) -> Result<Option<FieldType>> {
    let present = |key: &str| object.get(key).is_some_and(is_truthy);
    let class = || member(object, "className").and_then(Value::as_str).and_then(ClassName::valid);
    if let Some(tag) = member(object, "__type").filter(|tag| is_truthy(tag)) {
        let ty = match tag.as_str() {
            Some("Pointer") => class().map(FieldType::Pointer),
            Some("Relation") => class().map(FieldType::Relation),
            Some("File") => present("name").then_some(FieldType::File),
            Some("Date") => present("iso").then_some(FieldType::Date),
            Some("GeoPoint") => ["latitude", "longitude"]
                .iter()
                .all(|key| member(object, key).is_some_and(Value::is_number))
                .then_some(FieldType::GeoPoint),
            Some("Bytes") => {
                member(object, "base64").is_some_and(Value::is_string).then_some(FieldType::Bytes)
            }
            Some("Polygon") => {
                member(object, "coordinates").is_some_and(Value::is_array).then_some(FieldType::Polygon)
            }
            // An object that a query included: stored as a pointer to it.
            Some("Object") => class().map(FieldType::Pointer),
            _ => None,
        };
        let shown = tag.as_str().map_or_else(|| tag.to_string(), str::to_owned);
        return ty
            .map(Some)
            .ok_or_else(|| Error::parse(ErrorCode::INCORRECT_TYPE, format!("This is not a valid {shown}")));
    }
    let Some(op) = member(object, "__op").filter(|op| is_truthy(op)) else {
        return Ok(Some(FieldType::Object));
    };
    Ok(match op.as_str() {
        Some("Increment") => Some(FieldType::Number),
        Some("Delete") => None,
        Some("Add" | "AddUnique" | "Remove") => Some(FieldType::Array),
        Some("SetOnInsert") => return member(object, "amount").map_or(Ok(None), infer_type),
        Some("AddRelation" | "RemoveRelation") => {
            let target =
                member(object, "objects").and_then(|objects| objects.get(0)).and_then(|o| o.get("className"));
            target.and_then(Value::as_str).and_then(ClassName::valid).map(FieldType::Relation)
        }
        Some("Batch") => {
            return member(object, "ops").and_then(|ops| ops.get(0)).map_or(Ok(None), infer_type);
        }
        _ => return Err(unknown_operator(op)),
    })
}

pub(super) fn unknown_operator(op: &Value) -> Error {
    let shown = op.as_str().map_or_else(|| op.to_string(), str::to_owned);
    Error::parse(ErrorCode::COMMAND_UNAVAILABLE, format!("The {shown} operator is not supported yet."))
}

/// A new object's fields without `SetOnInsert`, which only repeats what a create does anyway: rules about
/// single fields then see the value that is stored.
pub fn without_conditions(mut data: Object) -> Object {
    for value in data.values_mut().filter(|value| is_set_on_insert(value)) {
        *value = value.get("amount").cloned().unwrap_or_default();
    }
    data
}

pub fn is_set_on_insert(value: &Value) -> bool {
    operator(value) == Some("SetOnInsert")
}

pub(super) fn operator(value: &Value) -> Option<&str> {
    member_of(value, "__op")?.as_str()
}

/// Whether the answer tells the operator's result.
pub fn is_computed(value: &Value) -> bool {
    matches!(operator(value), Some("Increment" | "Add" | "AddUnique" | "Remove" | "SetOnInsert"))
}

pub fn is_delete(value: &Value) -> bool {
    operator(value) == Some("Delete")
}

/// Counts what a write brings, before any of it is looked at.
///
/// # Errors
/// 107 for more keys than a class can have fields, more dotted keys than [`MAX_DOTTED_CHANGES`] or parts of them than
/// [`MAX_DOTTED_PARTS`], or more operands than [`MAX_OPERANDS`]; 105 for a key of too many parts.
pub fn check_size(data: &Object) -> Result<()> {
    let dotted = data.keys().filter(|key| key.contains('.')).count();
    if data.len() - dotted > MAX_FIELDS {
        return Err(Error::invalid_json(format!("An object must not have more than {MAX_FIELDS} fields")));
    }
    // Each provider of a user is a change of its own as well.
    let providers = data.get("authData").and_then(Value::as_object).map_or(0, Map::len);
    if dotted + providers > MAX_DOTTED_CHANGES {
        return Err(Error::invalid_json(format!(
            "A write must not have more than {MAX_DOTTED_CHANGES} dotted keys"
        )));
    }
    data.keys().try_for_each(|key| limits::check_path(key))?;
    let parts: usize = data.keys().filter(|key| key.contains('.')).map(|key| limits::depth_of(key)).sum();
    if parts > MAX_DOTTED_PARTS {
        return Err(Error::invalid_json(format!(
            "The dotted keys of a write must not have more than {MAX_DOTTED_PARTS} parts together"
        )));
    }
    let operands: usize = data.values().map(operands_of).sum();
    if operands > MAX_OPERANDS {
        return Err(Error::invalid_json(format!(
            "The operators of a write must not name more than {MAX_OPERANDS} objects"
        )));
    }
    Ok(())
}

/// Objects that an operator names; those of its parts for a `Batch`.
fn operands_of(value: &Value) -> usize {
    let count = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    match operator(value) {
        None => 0,
        Some("Batch") => {
            let parts = value.get("ops").and_then(Value::as_array).into_iter().flatten();
            parts.map(|part| 1 + count(part, "objects")).sum()
        }
        Some(_) => count(value, "objects"),
    }
}

pub(super) fn objects<'v>(value: &'v Value, message: &'static str) -> Result<&'v Vec<Value>> {
    value.get("objects").and_then(Value::as_array).ok_or_else(|| Error::invalid_json(message))
}

/// The value a create stores for a field with an operator; `None` stores nothing.
///
/// # Errors
/// 107, 108 for operators that are malformed or unknown.
pub fn created_value(value: &Value) -> Result<Option<Value>> {
    const MESSAGE: &str = "objects to add must be an array";
    Ok(match operator(value) {
        None => (!value.is_null()).then(|| value.clone()),
        Some("Increment") => {
            let amount = value.get("amount").filter(|amount| amount.is_number());
            Some(amount.ok_or_else(|| Error::invalid_json(MESSAGE))?.clone())
        }
        Some("SetOnInsert") => value.get("amount").filter(|amount| !amount.is_null()).cloned(),
        Some("Add" | "AddUnique") => Some(Value::Array(objects(value, MESSAGE)?.clone())),
        Some("Remove") => {
            objects(value, MESSAGE)?;
            Some(Value::Array(Vec::new()))
        }
        Some("Delete") => None,
        Some(other) => return Err(unknown_operator(&other.into())),
    })
}

/// What an update does with a value; `None` does nothing.
///
/// # Errors
/// 107, 108 for operators that are malformed or unknown.
pub fn update_op(value: &Value) -> Result<Option<Op>> {
    Ok(Some(match operator(value) {
        None if value.is_null() => Op::Unset,
        None => Op::Set(value.clone()),
        Some("Increment") => {
            let amount = value.get("amount").and_then(Value::as_f64);
            Op::Increment(amount.ok_or_else(|| Error::invalid_json("incrementing must provide a number"))?)
        }
        Some("SetOnInsert") => return Ok(None),
        Some("Add") => Op::Add(objects(value, "objects to add must be an array")?.clone()),
        Some("AddUnique") => Op::AddUnique(objects(value, "objects to add must be an array")?.clone()),
        Some("Remove") => Op::Remove(objects(value, "objects to remove must be an array")?.clone()),
        Some("Delete") => Op::Unset,
        Some(other) => return Err(unknown_operator(&other.into())),
    }))
}

pub(in crate::operations) fn nested_key() -> Error {
    Error::parse(ErrorCode::INVALID_NESTED_KEY, "Nested keys should not contain the '$' or '.' characters")
}

/// # Errors
/// 121 when a key below the top level contains `$` or `.`.
pub fn check_nested_keys(value: &Value) -> Result<()> {
    let outer = value.as_object();
    let mut pending = smallvec::SmallVec::<[&Value; 16]>::new();
    pending.push(value);
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(elements) => pending.extend(elements),
            Value::Object(object) => {
                // Only the value itself is an operator; what lies in it is stored as it is.
                let is_operator = outer.is_some_and(|outer| std::ptr::eq(object, outer))
                    && member(object, "__op").is_some();
                if object.keys().any(|key| key.contains(['$', '.'])) && !is_operator {
                    return Err(nested_key());
                }
                pending.extend(object.values());
            }
            _ => {}
        }
    }
    Ok(())
}
