//! Values as JavaScript shows them in graphql-js's messages.

use std::fmt::Write;

use serde_json::Value;

use crate::graphql::language::ast::{self, ValueKind};

/// As graphql-js's `inspect` shows it.
pub fn inspect(value: &Value) -> String {
    let mut out = String::new();
    write_inspected(&mut out, value, 0);
    out
}

fn write_inspected(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Array(_) if depth >= 2 => out.push_str("[Array]"),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().take(10).enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_inspected(out, item, depth + 1);
            }
            match items.len().saturating_sub(10) {
                0 => {}
                1 => out.push_str(", ... 1 more item"),
                more => {
                    let _ = write!(out, ", ... {more} more items");
                }
            }
            out.push(']');
        }
        Value::Object(object) if object.is_empty() => out.push_str("{}"),
        Value::Object(_) if depth >= 2 => out.push_str("[Object]"),
        Value::Object(object) => {
            out.push_str("{ ");
            for (index, (key, item)) in object.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(key);
                out.push_str(": ");
                write_inspected(out, item, depth + 1);
            }
            out.push_str(" }");
        }
        Value::Number(number) => out.push_str(&number_text(number)),
        other => out.push_str(&other.to_string()),
    }
}

/// Whole numbers without a fraction.
pub fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 && float.abs() < 1e21 => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

/// As `${value}` shows it.
pub fn js_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let shown = items.iter().map(|item| if item.is_null() { String::new() } else { js_text(item) });
            shown.collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
        Value::Number(number) => number_text(number),
        other => other.to_string(),
    }
}

/// The kind of a literal, as graphql-js calls it.
pub fn kind_name(value: &ast::Value) -> &'static str {
    match &value.kind {
        ValueKind::Variable(_) => "Variable",
        ValueKind::Int(_) => "IntValue",
        ValueKind::Float(_) => "FloatValue",
        ValueKind::Text { .. } => "StringValue",
        ValueKind::Boolean(_) => "BooleanValue",
        ValueKind::Null => "NullValue",
        ValueKind::Enum(_) => "EnumValue",
        ValueKind::List(_) => "ListValue",
        ValueKind::Object(_) => "ObjectValue",
    }
}
