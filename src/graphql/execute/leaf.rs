//! Values at the ends of an answer: scalars as they leave, and properties that are made of others.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::input::{inspect, number_text};
use super::super::schema::types::{Resolver, TypeDef, TypeKind};
use crate::types::ClassName;

/// The value of a field that is made of its object alone.
pub fn of_object(resolver: &Resolver, source: &Value, name: &str) -> Value {
    let property = source.get(name);
    match resolver {
        Resolver::Property => property.cloned().unwrap_or_default(),
        Resolver::GlobalId(class) => global_id(class, source),
        Resolver::Acl => match property {
            Some(acl) if acl.is_object() => acl.clone(),
            _ => json!({ "*": { "read": true, "write": true } }),
        },
        Resolver::AclUsers => acl_users(source),
        Resolver::AclRoles => acl_roles(source),
        Resolver::AclPublic => acl_public(source),
        Resolver::Polygon => polygon(property),
        Resolver::Array => array(property),
        Resolver::Mock(value) => value.clone(),
        _ => Value::Null,
    }
}

/// # Errors
/// The text for a value that the type does not have.
pub fn serialize(ty: &TypeDef, value: &Value) -> Result<Value, String> {
    if let TypeKind::Enum(values) = &ty.kind {
        let known = value.as_str().and_then(|given| {
            values.iter().find(|(name, known)| known.value.as_deref().unwrap_or(name) == given)
        });
        return match known {
            Some((name, _)) => Ok(name.as_ref().into()),
            None => Err(format!("Enum \"{}\" cannot represent value: {}", ty.name, inspect(value))),
        };
    }
    let tagged = |tag: &str, key: &str| {
        (value.get("__type").and_then(Value::as_str) == Some(tag)).then(|| value.get(key)).flatten()
    };
    let invalid = || Err(format!("{} is not a valid {}", shown(value), ty.name));
    match &*ty.name {
        "String" => match value {
            Value::String(_) => Ok(value.clone()),
            Value::Bool(value) => Ok(if *value { "true" } else { "false" }.into()),
            Value::Number(number) => Ok(number_text(number).into()),
            _ => Err(format!("String cannot represent value: {}", inspect(value))),
        },
        "ID" => match value {
            Value::String(_) => Ok(value.clone()),
            Value::Number(number) if is_whole(value) => Ok(number_text(number).into()),
            _ => Err(format!("ID cannot represent value: {}", inspect(value))),
        },
        "Int" => match numeric(value) {
            Some(number) if number.fract() == 0.0 => {
                if (-2_147_483_648.0..=2_147_483_647.0).contains(&number) {
                    Ok(Value::from(number as i64))
                } else {
                    Err(format!("Int cannot represent non 32-bit signed integer value: {}", inspect(value)))
                }
            }
            _ => Err(format!("Int cannot represent non-integer value: {}", inspect(value))),
        },
        "Float" => match (value, numeric(value)) {
            (Value::Number(_), _) => Ok(value.clone()),
            (_, Some(number)) => Ok(crate::types::number::number_json(number)),
            (_, None) => Err(format!("Float cannot represent non numeric value: {}", inspect(value))),
        },
        "Boolean" => match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::Number(number) => Ok((number.as_f64() != Some(0.0)).into()),
            _ => Err(format!("Boolean cannot represent a non boolean value: {}", inspect(value))),
        },
        "Object" if value.is_object() || value.is_array() => Ok(value.clone()),
        "Date" => match (value, tagged("Date", "iso")) {
            (Value::String(_), _) => Ok(value.clone()),
            (_, Some(iso @ Value::String(_))) => Ok(iso.clone()),
            _ => invalid(),
        },
        "Bytes" => match (value, tagged("Bytes", "base64")) {
            (Value::String(_), _) => Ok(value.clone()),
            (_, Some(text @ Value::String(_))) => Ok(text.clone()),
            _ => invalid(),
        },
        "File" => match (value, tagged("File", "name")) {
            (Value::String(_), _) => Ok(value.clone()),
            (_, Some(name @ Value::String(_))) => Ok(name.clone()),
            _ => invalid(),
        },
        "Object" => invalid(),
        _ => Ok(value.clone()),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => "[object Object]".to_owned(),
        Value::Number(number) => number_text(number),
        other => other.to_string(),
    }
}

fn is_whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn numeric(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

pub fn to_global_id(class: &str, id: &str) -> String {
    STANDARD.encode(format!("{class}:{id}"))
}

/// Class and id of a global id; both empty where it is none.
pub fn from_global_id(global: &str) -> (String, String) {
    use base64::alphabet;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LOOSE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let decoded = LOOSE.decode(global).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((class, id)) => (class.to_owned(), id.to_owned()),
        None => (String::new(), decoded.unwrap_or_default()),
    }
}

/// The id of an object of this class that a client gave as such or as a global id.
pub fn object_id(class: &str, given: &str) -> String {
    match from_global_id(given) {
        (found, id) if found == class => id,
        _ => given.to_owned(),
    }
}

pub fn global_id(class: &ClassName, source: &Value) -> Value {
    let id = source.get("objectId").and_then(Value::as_str).unwrap_or_default();
    to_global_id(class, id).into()
}

fn rights(acl: &Value, wanted: impl Fn(&str) -> bool) -> Vec<(&str, bool, bool)> {
    let may = |rights: &Value, what: &str| rights.get(what).is_some_and(crate::types::javascript::is_truthy);
    let entries = acl.as_object().into_iter().flatten().filter(|(who, _)| wanted(who));
    entries.map(|(who, rights)| (who.as_str(), may(rights, "read"), may(rights, "write"))).collect()
}

fn some(list: Vec<Value>) -> Value {
    if list.is_empty() { Value::Null } else { Value::Array(list) }
}

pub fn acl_users(acl: &Value) -> Value {
    let users = rights(acl, |who| who != "*" && !who.starts_with("role:")).into_iter();
    some(
        users
            .map(|(who, read, write)| {
                json!({ "userId": to_global_id("_User", who), "read": read, "write": write })
            })
            .collect(),
    )
}

pub fn acl_roles(acl: &Value) -> Value {
    let roles = rights(acl, |who| who.starts_with("role:")).into_iter();
    some(
        roles
            .map(|(who, read, write)| {
                json!({ "roleName": who.replacen("role:", "", 1), "read": read, "write": write })
            })
            .collect(),
    )
}

pub fn acl_public(acl: &Value) -> Value {
    match rights(acl, |who| who == "*").first() {
        Some((_, read, write)) => json!({ "read": read, "write": write }),
        None => Value::Null,
    }
}

pub fn polygon(value: Option<&Value>) -> Value {
    let Some(Value::Array(corners)) = value.and_then(|value| value.get("coordinates")) else {
        return Value::Null;
    };
    let corner = |corner: &Value| json!({ "latitude": corner.get(0), "longitude": corner.get(1) });
    corners.iter().map(corner).collect()
}

pub fn array(value: Option<&Value>) -> Value {
    let Some(Value::Array(elements)) = value else { return Value::Null };
    let has = |element: &Value, key: &str| element.get(key).is_some_and(crate::types::javascript::is_truthy);
    let element = |element: &Value| {
        let is_object = element.get("__type").and_then(Value::as_str) == Some("Object")
            && has(element, "className")
            && has(element, "objectId");
        if is_object {
            return element.clone();
        }
        let mut wrapped = Map::new();
        wrapped.insert("value".to_owned(), element.clone());
        Value::Object(wrapped)
    };
    elements.iter().map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_ids() {
        assert_eq!(to_global_id("_User", "abc"), "X1VzZXI6YWJj");
        assert_eq!(from_global_id("X1VzZXI6YWJj"), ("_User".to_owned(), "abc".to_owned()));
        assert_eq!(object_id("_User", "X1VzZXI6YWJj"), "abc");
        assert_eq!(object_id("Game", "X1VzZXI6YWJj"), "X1VzZXI6YWJj");
        assert_eq!(object_id("Game", "abcdefghij"), "abcdefghij");
    }
}
