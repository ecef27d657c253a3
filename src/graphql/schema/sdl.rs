//! A schema as text, its types in alphabetical order (graphql-js's `printSchema` of a sorted schema).

use std::fmt::Write;

use indexmap::IndexMap;
use serde_json::Value;

use super::Schema;
use super::types::{FieldDef, InputValue, Str, TypeDef, TypeKind, TypeRef};
use crate::graphql::language;

const SCALARS: [&str; 5] = ["String", "Int", "Float", "Boolean", "ID"];

pub fn print(schema: &Schema) -> String {
    let mut types: Vec<&TypeDef> = schema.all();
    types.retain(|ty| !ty.name.starts_with("__") && !SCALARS.contains(&&*ty.name));
    types.sort_by(|a, b| a.name.cmp(&b.name));
    let printed: Vec<String> = types.into_iter().map(|ty| print_type(schema, ty)).collect();
    printed.join("\n\n") + "\n"
}

fn described(out: &mut String, description: Option<&Str>, indent: &str) {
    if let Some(text) = description.filter(|text| !text.is_empty()) {
        let text = text.replace("\"\"\"", "\\\"\"\"");
        if text.len() <= 70 && !text.contains('\n') && !text.ends_with('"') {
            let _ = writeln!(out, "{indent}\"\"\"{text}\"\"\"");
        } else {
            let _ = writeln!(out, "{indent}\"\"\"\n{indent}{text}\n{indent}\"\"\"");
        }
    }
}

/// A default as documents have it: the values of an enum are names, not texts.
pub fn default_text(schema: &Schema, ty: &TypeRef, value: &Value) -> String {
    match (ty, value) {
        (TypeRef::List(inner), Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| default_text(schema, inner, item)).collect();
            format!("[{}]", items.join(", "))
        }
        (TypeRef::List(inner), single) if !single.is_null() => {
            format!("[{}]", default_text(schema, inner, single))
        }
        (TypeRef::NonNull(inner) | TypeRef::List(inner), value) => default_text(schema, inner, value),
        (TypeRef::Named(name), value) => match (schema.get(name).map(|ty| &ty.kind), value) {
            (Some(TypeKind::Enum(_)), Value::String(name)) => name.clone(),
            (Some(TypeKind::Input(inputs)), Value::Object(given)) => {
                let fields = given.iter().map(|(name, value)| {
                    let shown = match inputs.get(name.as_str()) {
                        Some(input) => default_text(schema, &input.ty, value),
                        None => language::print::json(value),
                    };
                    format!("{name}: {shown}")
                });
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            _ => language::print::json(value),
        },
    }
}

fn arguments(schema: &Schema, args: &IndexMap<Str, InputValue>) -> String {
    if args.is_empty() {
        return String::new();
    }
    let args: Vec<String> = args.iter().map(|(name, input)| input_value(schema, name, input)).collect();
    format!("({})", args.join(", "))
}

fn input_value(schema: &Schema, name: &str, input: &InputValue) -> String {
    let mut text = format!("{name}: {}", input.ty);
    if let Some(value) = &input.default {
        let _ = write!(text, " = {}", default_text(schema, &input.ty, value));
    }
    text
}

fn fields(out: &mut String, schema: &Schema, own: &IndexMap<Str, FieldDef>) {
    out.push_str(" {\n");
    for (name, field) in own {
        described(out, field.description.as_ref(), "  ");
        let _ = writeln!(out, "  {name}{}: {}", arguments(schema, &field.args), field.ty);
    }
    out.push('}');
}

fn print_type(schema: &Schema, ty: &TypeDef) -> String {
    let mut out = String::new();
    described(&mut out, ty.description.as_ref(), "");
    let name = &ty.name;
    match &ty.kind {
        TypeKind::Scalar => drop(write!(out, "scalar {name}")),
        TypeKind::Object { interfaces, fields: own } | TypeKind::Interface { interfaces, fields: own } => {
            let keyword = if ty.is_object() { "type" } else { "interface" };
            let _ = write!(out, "{keyword} {name}");
            if !interfaces.is_empty() {
                let names: Vec<&str> = interfaces.iter().map(|name| &**name).collect();
                let _ = write!(out, " implements {}", names.join(" & "));
            }
            fields(&mut out, schema, own);
        }
        TypeKind::Union(members) => {
            let names: Vec<&str> = members.iter().map(|name| &**name).collect();
            let _ = write!(out, "union {name} = {}", names.join(" | "));
        }
        TypeKind::Enum(values) => {
            let _ = writeln!(out, "enum {name} {{");
            for (value, known) in values {
                described(&mut out, known.description.as_ref(), "  ");
                let _ = writeln!(out, "  {value}");
            }
            out.push('}');
        }
        TypeKind::Input(inputs) => {
            let _ = writeln!(out, "input {name} {{");
            for (name, input) in inputs {
                described(&mut out, input.description.as_ref(), "  ");
                let _ = writeln!(out, "  {}", input_value(schema, name, input));
            }
            out.push('}');
        }
    }
    out
}
