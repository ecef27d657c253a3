//! TypeScript for the npm package `parse`: types only, no code.

use std::fmt::Write;

use super::language::Words;
use super::{Class, HEAD, Model, quoted};
use crate::types::FieldType;

/// Words of the language, and what the file means by a name.
pub const TAKEN: &[&str] = &[
    "any",
    "asserts",
    "await",
    "bigint",
    "boolean",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "infer",
    "instanceof",
    "interface",
    "is",
    "keyof",
    "let",
    "never",
    "new",
    "null",
    "number",
    "object",
    "package",
    "private",
    "protected",
    "public",
    "readonly",
    "return",
    "static",
    "string",
    "super",
    "switch",
    "symbol",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "undefined",
    "unique",
    "unknown",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "Attributes",
    "CloudFunction",
    "Date",
    "InstanceType",
    "Parse",
    "ParseClasses",
    "ParseFile_",
    "ParseGeoPoint_",
    "ParseInstallation_",
    "ParseObject_",
    "ParsePolygon_",
    "ParseRelation_",
    "ParseRole_",
    "ParseSession_",
    "ParseUser_",
    "Record",
];
const IMPORTED: [&str; 8] =
    ["File", "GeoPoint", "Installation", "Polygon", "Relation", "Role", "Session", "User"];

const TYPES: Words = Words {
    string: "string",
    number: "number",
    boolean: "boolean",
    date: "Date",
    object: "Record<string, any>",
    array: "any[]",
    geo_point: "ParseGeoPoint_",
    polygon: "ParsePolygon_",
    file: "ParseFile_",
    bytes: "{ __type: 'Bytes'; base64: string }",
    acl: "any",
    pointer: "ParseObject_",
    relation: "ParseRelation_",
};

pub fn write(model: &Model) -> String {
    let mut body = String::new();
    for class in &model.classes {
        class_types(model, class, &mut body);
    }
    body.push_str("\n/** The type of each class, by its name. */\nexport interface ParseClasses {\n");
    for class in &model.classes {
        let _ = writeln!(body, "  {}: {};", class.name, class.type_name);
    }
    body.push_str("}\n\n/** Cloud functions of the server. */\nexport type CloudFunction =");
    if model.functions.is_empty() {
        body.push_str(" never");
    }
    for name in &model.functions {
        let _ = write!(body, "\n  | {}", quoted(name, false));
    }
    body.push_str(";\n");
    format!("// {HEAD}\n\n{}{body}", imports(&body))
}

/// Of what is used alone: compilers may be told to complain about the rest.
fn imports(body: &str) -> String {
    let uses = |name: &str| body.contains(&format!("Parse{name}_"));
    let mut names: Vec<String> = IMPORTED
        .iter()
        .filter(|name| uses(name))
        .map(|name| format!("  {name} as Parse{name}_,\n"))
        .collect();
    let mut out = String::new();
    if uses("Object") {
        names.insert(0, "  Attributes,\n".to_owned());
        out.push_str("import type Parse from 'parse';\n");
    }
    if !names.is_empty() {
        let _ = writeln!(out, "import type {{\n{}}} from 'parse';", names.concat());
    }
    if uses("Object") {
        out.push_str(
            "\n// Of what the package exports under the class's own name, only the value is generic.\n\
             type ParseObject_<T extends Attributes = Attributes> = InstanceType<typeof Parse.Object<T>>;\n",
        );
    }
    out
}

fn class_types(model: &Model, class: &Class, out: &mut String) {
    let Class { type_name, .. } = class;
    let _ = writeln!(out, "\nexport interface {type_name}Attributes {{");
    for field in &class.fields {
        // A relation is always there, and the SDK's `relation` wants it so.
        let is_there = field.required || matches!(field.ty, FieldType::Relation(_));
        let optional = if is_there { "" } else { "?" };
        let _ = writeln!(out, "  {}{optional}: {};", field.name, ty(model, class, &field.ty));
    }
    let base = class.base.sdk_class();
    let _ = writeln!(out, "}}\n\nexport type {type_name} = {base}_<{type_name}Attributes>;");
}

fn ty(model: &Model, class: &Class, ty: &FieldType) -> String {
    match ty {
        FieldType::Relation(target) => {
            let member = model.type_of(target).unwrap_or(TYPES.pointer);
            format!("ParseRelation_<{}, {member}>", class.type_name)
        }
        ty => TYPES.or_class(model, ty).to_owned(),
    }
}
