//! A schema as text, its types in alphabetical order (graphql-js's `printSchema` of a sorted schema).

use std::fmt::Write;

use indexmap::IndexMap;

use super::Schema;
use super::types::{FieldDef, InputValue, Str, TypeDef, TypeKind};

const SCALARS: [&str; 5] = ["String", "Int", "Float", "Boolean", "ID"];

pub fn print(schema: &Schema) -> String {
    let mut types: Vec<&TypeDef> = schema.all();
    types.retain(|ty| !ty.name.starts_with("__") && !SCALARS.contains(&&*ty.name));
    types.sort_by(|a, b| a.name.cmp(&b.name));
    let printed: Vec<String> = types.into_iter().map(print_type).collect();
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

fn arguments(args: &IndexMap<Str, InputValue>) -> String {
    if args.is_empty() {
        return String::new();
    }
    let args: Vec<String> = args.iter().map(|(name, input)| input_value(name, input)).collect();
    format!("({})", args.join(", "))
}

fn input_value(name: &str, input: &InputValue) -> String {
    let mut text = format!("{name}: {}", input.ty);
    if let Some(default) = &input.default {
        let _ = write!(text, " = {}", crate::graphql::language::print::json(default));
    }
    text
}

fn fields(out: &mut String, own: &IndexMap<Str, FieldDef>) {
    out.push_str(" {\n");
    for (name, field) in own {
        described(out, field.description.as_ref(), "  ");
        let _ = writeln!(out, "  {name}{}: {}", arguments(&field.args), field.ty);
    }
    out.push('}');
}

fn print_type(ty: &TypeDef) -> String {
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
            fields(&mut out, own);
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
                let _ = writeln!(out, "  {}", input_value(name, input));
            }
            out.push('}');
        }
    }
    out
}
