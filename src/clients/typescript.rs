//! TypeScript for the npm package `parse`: types only, no code.

use std::fmt::Write;

use super::{Base, Class, HEAD, Model, quoted};
use crate::types::FieldType;

const IMPORTED: [&str; 9] =
    ["File", "GeoPoint", "Installation", "Object", "Polygon", "Relation", "Role", "Session", "User"];

pub fn write(model: &Model) -> String {
    let imports = IMPORTED.map(|name| format!("  {name} as Parse{name}_,\n")).concat();
    let mut out = format!("// {HEAD}\n\nimport type {{\n{imports}}} from 'parse';\n");
    for class in &model.classes {
        class_types(model, class, &mut out);
    }
    out.push_str("\n/** The type of each class, by its name. */\nexport interface ParseClasses {\n");
    for class in &model.classes {
        let _ = writeln!(out, "  {}: {};", class.name, class.type_name);
    }
    out.push_str("}\n\n/** Cloud functions of the server. */\nexport type CloudFunction =");
    if model.functions.is_empty() {
        out.push_str(" never");
    }
    for name in &model.functions {
        let _ = write!(out, "\n  | {}", quoted(name, false));
    }
    out.push_str(";\n");
    out
}

fn class_types(model: &Model, class: &Class, out: &mut String) {
    let Class { type_name, .. } = class;
    let _ = writeln!(out, "\nexport interface {type_name}Attributes {{");
    for field in &class.fields {
        let optional = if field.required { "" } else { "?" };
        let _ = writeln!(out, "  {}{optional}: {};", field.name, ty(model, class, &field.ty));
    }
    let base = match class.base {
        Base::Object => "Object",
        Base::User => "User",
        Base::Role => "Role",
        Base::Session => "Session",
        Base::Installation => "Installation",
    };
    let _ = writeln!(out, "}}\n\nexport type {type_name} = Parse{base}_<{type_name}Attributes>;");
}

fn ty(model: &Model, class: &Class, ty: &FieldType) -> String {
    let named = |target| model.type_of(target).unwrap_or("ParseObject_").to_owned();
    match ty {
        FieldType::String => "string".to_owned(),
        FieldType::Number => "number".to_owned(),
        FieldType::Boolean => "boolean".to_owned(),
        FieldType::Date => "Date".to_owned(),
        FieldType::Object => "Record<string, any>".to_owned(),
        FieldType::Array => "any[]".to_owned(),
        FieldType::GeoPoint => "ParseGeoPoint_".to_owned(),
        FieldType::Polygon => "ParsePolygon_".to_owned(),
        FieldType::File => "ParseFile_".to_owned(),
        FieldType::Bytes => "{ __type: 'Bytes'; base64: string }".to_owned(),
        FieldType::Acl => "any".to_owned(),
        FieldType::Pointer(target) => named(target),
        FieldType::Relation(target) => format!("ParseRelation_<{}, {}>", class.type_name, named(target)),
    }
}
