//! Values and types as GraphQL text, as graphql-js prints them.

use std::fmt::Write;

use super::ast::{Type, Value, ValueKind};

pub fn value(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, false);
    out
}

/// The same with the fields of objects sorted: two values are the same when these texts are.
pub fn sorted(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, true);
    out
}

fn write_value(out: &mut String, value: &Value, sort: bool) {
    match &value.kind {
        ValueKind::Variable(name) => {
            out.push('$');
            out.push_str(name);
        }
        ValueKind::Int(text) | ValueKind::Float(text) | ValueKind::Enum(text) => out.push_str(text),
        ValueKind::Text { text, block: true } => {
            out.push_str("\"\"\"");
            out.push_str(&text.replace("\"\"\"", "\\\"\"\""));
            out.push_str("\"\"\"");
        }
        ValueKind::Text { text, block: false } => text_of(out, text),
        ValueKind::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        ValueKind::Null => out.push_str("null"),
        ValueKind::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(out, item, sort);
            }
            out.push(']');
        }
        ValueKind::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            if sort {
                fields.sort_by(|a, b| a.name.text.cmp(&b.name.text));
            }
            out.push('{');
            for (index, field) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(&field.name.text);
                out.push_str(": ");
                write_value(out, &field.value, sort);
            }
            out.push('}');
        }
    }
}

/// A text in quotes.
pub fn text_of(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c < ' ') || ('\u{7f}'..='\u{9f}').contains(&c) => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

pub fn type_of(ty: &Type) -> String {
    match ty {
        Type::Named(name) => name.text.clone(),
        Type::List(inner, _) => format!("[{}]", type_of(inner)),
        Type::NonNull(inner) => format!("{}!", type_of(inner)),
    }
}

/// A value of JSON as GraphQL text.
pub fn json(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => {
            let mut out = String::new();
            text_of(&mut out, text);
            out
        }
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}: {}", json(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
