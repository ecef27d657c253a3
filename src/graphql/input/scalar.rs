//! Scalars: what each takes, as a value of a variable and as a literal.

use serde_json::{Map, Value};

use super::shown::{inspect, js_text, kind_name, number_text};
use super::{Refused, Variables};
use crate::graphql::language::ast::{self, ValueKind};
use crate::graphql::language::print;
use crate::types::time::Millis;

/// The key of the object that stands for an uploaded file; its value is told to nobody.
pub const UPLOAD: &str = "__upload";

fn not_valid(shown: impl std::fmt::Display, ty: &str) -> Refused {
    Refused::Explained(format!("{shown} is not a valid {ty}"))
}

fn tagged(tag: &'static str, key: &'static str, value: impl Into<Value>) -> Value {
    let mut object = Map::new();
    object.insert("__type".to_owned(), tag.into());
    object.insert(key.to_owned(), value.into());
    Value::Object(object)
}

fn date(text: &str) -> Option<Value> {
    let mail = || chrono::DateTime::parse_from_rfc2822(text).ok().map(|at| Millis(at.timestamp_millis()));
    let at = Millis::parse(text).or_else(mail)?;
    Some(tagged("Date", "iso", at.to_iso()))
}

fn is_tagged(value: &Value, tag: &str) -> bool {
    value.get("__type").and_then(Value::as_str) == Some(tag)
}

/// A value of a variable.
///
/// # Errors
/// What the scalar says to a value that it does not take.
pub fn scalar_value(ty: &str, value: &Value) -> Result<Value, Refused> {
    let said = |text: String| Err(Refused::Said(text));
    match ty {
        "Int" => match value.as_f64().filter(|number| number.fract() == 0.0) {
            None => said(format!("Int cannot represent non-integer value: {}", inspect(value))),
            Some(number) if !(-2_147_483_648.0..=2_147_483_647.0).contains(&number) => {
                said(format!("Int cannot represent non 32-bit signed integer value: {}", js_text(value)))
            }
            Some(number) => Ok(Value::from(number as i64)),
        },
        "Float" if value.is_number() => Ok(value.clone()),
        "Float" => said(format!("Float cannot represent non numeric value: {}", inspect(value))),
        "String" if value.is_string() => Ok(value.clone()),
        "String" => said(format!("String cannot represent a non string value: {}", inspect(value))),
        "Boolean" if value.is_boolean() => Ok(value.clone()),
        "Boolean" => said(format!("Boolean cannot represent a non boolean value: {}", inspect(value))),
        "ID" => match value {
            Value::String(_) => Ok(value.clone()),
            Value::Number(number) if number.as_f64().is_some_and(|n| n.fract() == 0.0) => {
                Ok(number_text(number).into())
            }
            _ => said(format!("ID cannot represent value: {}", inspect(value))),
        },
        "Object" if value.is_object() || value.is_array() => Ok(value.clone()),
        "Object" => Err(not_valid(js_text(value), "Object")),
        "Date" => {
            let text = match value {
                Value::String(text) => Some(text),
                Value::Object(object) if is_tagged(value, "Date") => match object.get("iso") {
                    Some(Value::String(text)) if !text.is_empty() => Some(text),
                    Some(other) if !other.is_null() => return Err(not_valid(js_text(other), "Date")),
                    _ => None,
                },
                _ => None,
            };
            let text = text.ok_or_else(|| not_valid(js_text(value), "Date"))?;
            date(text).ok_or_else(|| not_valid(text, "Date"))
        }
        "Bytes" => match value {
            Value::String(text) => Ok(tagged("Bytes", "base64", text.as_str())),
            _ if is_tagged(value, "Bytes") && value.get("base64").is_some_and(Value::is_string) => {
                Ok(value.clone())
            }
            _ => Err(not_valid(js_text(value), "Bytes")),
        },
        "File" => file(value).ok_or_else(|| not_valid(js_text(value), "File")),
        "Upload" if value.get(UPLOAD).is_some() => Ok(value.clone()),
        "Upload" => said("Upload value invalid.".to_owned()),
        _ => Ok(value.clone()),
    }
}

fn file(value: &Value) -> Option<Value> {
    if let Value::String(name) = value {
        return Some(tagged("File", "name", name.as_str()));
    }
    let is_file = is_tagged(value, "File")
        && value.get("name").is_some_and(Value::is_string)
        && value.get("url").is_none_or(Value::is_string);
    is_file.then(|| value.clone())
}

/// A value written in the document. Variables inside of it are those of `variables`.
///
/// # Errors
/// What the scalar says to a value that it does not take.
pub fn scalar_literal(ty: &str, value: &ast::Value, variables: Option<&Variables>) -> Result<Value, Refused> {
    let said = |text: &str| Err(Refused::Said(format!("{text}{}", print::value(value))));
    match (ty, &value.kind) {
        ("Int", ValueKind::Int(text)) => match text.parse::<f64>() {
            Ok(number) if (-2_147_483_648.0..=2_147_483_647.0).contains(&number) => {
                Ok(Value::from(number as i64))
            }
            _ => Err(Refused::Said(format!("Int cannot represent non 32-bit signed integer value: {text}"))),
        },
        ("Int", _) => said("Int cannot represent non-integer value: "),
        ("Float", ValueKind::Int(text) | ValueKind::Float(text)) => number(text).ok_or(Refused::Undefined),
        ("Float", _) => said("Float cannot represent non numeric value: "),
        ("String", ValueKind::Text { text, .. }) => Ok(text.as_str().into()),
        ("String", _) => said("String cannot represent a non string value: "),
        ("Boolean", ValueKind::Boolean(value)) => Ok((*value).into()),
        ("Boolean", _) => said("Boolean cannot represent a non boolean value: "),
        ("ID", ValueKind::Text { text, .. } | ValueKind::Int(text)) => Ok(text.as_str().into()),
        ("ID", _) => said("ID cannot represent a non-string and non-integer value: "),
        ("Object", ValueKind::Object(fields)) => untyped_object(fields, variables),
        ("Date", ValueKind::Text { text, .. }) => date(text).ok_or_else(|| not_valid(text, "Date")),
        ("Date", ValueKind::Object(fields)) if literal_text(fields, "__type") == Some("Date") => {
            match fields.iter().find(|field| field.name.text == "iso").map(|field| &field.value) {
                Some(ast::Value { kind: ValueKind::Text { text, .. }, .. }) => {
                    date(text).ok_or_else(|| not_valid(text, "Date"))
                }
                Some(other) => Err(not_valid(kind_name(other), "Date")),
                None => Err(not_valid(kind_name(value), "Date")),
            }
        }
        ("Bytes", ValueKind::Text { text, .. }) => Ok(tagged("Bytes", "base64", text.as_str())),
        ("Bytes", ValueKind::Object(fields)) if literal_text(fields, "__type") == Some("Bytes") => {
            match literal_text(fields, "base64") {
                Some(text) => Ok(tagged("Bytes", "base64", text)),
                None => Err(not_valid(kind_name(value), "Bytes")),
            }
        }
        ("File", ValueKind::Text { text, .. }) => Ok(tagged("File", "name", text.as_str())),
        ("File", ValueKind::Object(fields)) => {
            let has = |name| fields.iter().any(|field| field.name.text == name);
            if !has("__type") || !has("name") {
                return Err(not_valid(kind_name(value), "File"));
            }
            let given = untyped_object(fields, variables)?;
            file(&given).ok_or_else(|| not_valid(js_text(&given), "File"))
        }
        ("Object" | "Date" | "Bytes" | "File", _) => Err(not_valid(kind_name(value), ty)),
        ("Upload", _) => Err(Refused::Said("Upload literal unsupported.".to_owned())),
        _ => untyped(value, variables),
    }
}

fn literal_text<'f>(fields: &'f [ast::ObjectField], name: &str) -> Option<&'f str> {
    match &fields.iter().find(|field| field.name.text == name)?.value.kind {
        ValueKind::Text { text, .. } => Some(text),
        _ => None,
    }
}

fn number(text: &str) -> Option<Value> {
    let parsed: Value = serde_json::from_str(text).ok()?;
    parsed.as_f64().filter(|number| number.is_finite()).map(|_| parsed)
}

/// A value of no particular type.
fn untyped(value: &ast::Value, variables: Option<&Variables>) -> Result<Value, Refused> {
    Ok(match &value.kind {
        ValueKind::Variable(name) => {
            return variables.and_then(|all| all.get(name)).cloned().ok_or(Refused::Undefined);
        }
        ValueKind::Int(text) | ValueKind::Float(text) => {
            number(text).ok_or_else(|| not_valid(text, "Float"))?
        }
        ValueKind::Text { text, .. } | ValueKind::Enum(text) => text.as_str().into(),
        ValueKind::Boolean(value) => (*value).into(),
        ValueKind::Null => Value::Null,
        ValueKind::List(items) => {
            let items = items.iter().map(|item| match untyped(item, variables) {
                Err(Refused::Undefined) => Ok(Value::Null),
                other => other,
            });
            items.collect::<Result<Vec<_>, _>>()?.into()
        }
        ValueKind::Object(fields) => untyped_object(fields, variables)?,
    })
}

fn untyped_object(fields: &[ast::ObjectField], variables: Option<&Variables>) -> Result<Value, Refused> {
    let mut object = Map::new();
    for field in fields {
        match untyped(&field.value, variables) {
            Ok(value) => drop(object.insert(field.name.text.clone(), value)),
            Err(Refused::Undefined) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(Value::Object(object))
}
