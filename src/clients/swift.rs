//! Swift for Parse-Swift, whose objects are structures of optional properties.

use std::fmt::Write;

use super::language::{Words, back_quoted};
use super::{Base, Class, Field, HEAD, Model, identifier, quoted};
use crate::types::FieldType;

/// What the file means by a name.
pub const TAKEN: &[&str] = &[
    "Any",
    "AnyCodable",
    "Bool",
    "CloudFunction",
    "Data",
    "Date",
    "Double",
    "Foundation",
    "ParseACL",
    "ParseBytes",
    "ParseFile",
    "ParseGeoPoint",
    "ParseInstallation",
    "ParseObject",
    "ParsePolygon",
    "ParseRelation",
    "ParseRole",
    "ParseSession",
    "ParseSwift",
    "ParseUser",
    "Pointer",
    "Protocol",
    "Self",
    "String",
    "Type",
];
/// Words that no property can be called without quotes.
pub const RESERVED: &[&str] = &[
    "as",
    "associatedtype",
    "break",
    "case",
    "catch",
    "class",
    "continue",
    "default",
    "defer",
    "deinit",
    "do",
    "else",
    "enum",
    "extension",
    "fallthrough",
    "false",
    "fileprivate",
    "for",
    "func",
    "guard",
    "if",
    "import",
    "in",
    "init",
    "inout",
    "internal",
    "is",
    "let",
    "nil",
    "operator",
    "precedencegroup",
    "private",
    "protocol",
    "public",
    "repeat",
    "rethrows",
    "return",
    "self",
    "static",
    "struct",
    "subscript",
    "super",
    "switch",
    "throw",
    "throws",
    "true",
    "try",
    "typealias",
    "var",
    "where",
    "while",
];

const TYPES: Words = Words {
    string: "String",
    number: "Double",
    boolean: "Bool",
    date: "Date",
    object: "[String: AnyCodable]",
    array: "[AnyCodable]",
    geo_point: "ParseGeoPoint",
    polygon: "ParsePolygon",
    file: "ParseFile",
    bytes: "ParseBytes",
    acl: "ParseACL",
    pointer: "AnyCodable",
    relation: "ParseRelation",
};

pub fn write(model: &Model) -> String {
    let mut out = format!("// {HEAD}\n\nimport Foundation\nimport ParseSwift\n");
    for class in &model.classes {
        structure(model, class, &mut out);
    }
    let functions = model.named_functions(identifier);
    out.push_str("\n/// Cloud functions of the server.\nenum CloudFunction: String {\n");
    for (name, function) in &functions {
        let _ = writeln!(out, "    case {} = {}", back_quoted(name, RESERVED), quoted(function, false));
    }
    if functions.is_empty() {
        // Swift has no enumeration of texts without a case.
        out.truncate(out.rfind("\n/// Cloud").unwrap_or(out.len()));
        return out;
    }
    out.push_str("}\n");
    out
}

fn structure(model: &Model, class: &Class, out: &mut String) {
    let protocol = class.base.sdk_class();
    let _ = writeln!(out, "\nstruct {}: {protocol} {{", class.type_name);
    if class.base == Base::Object && class.type_name != class.name {
        let _ = writeln!(out, "    static var className: String {{ {} }}\n", quoted(&class.name, false));
    }
    if matches!(class.base, Base::Role | Base::Session) {
        let user = model.type_of(&crate::types::ClassName::known("_User")).unwrap_or("User");
        let alias = if class.base == Base::Role { "RoleUser" } else { "SessionUser" };
        let _ = writeln!(out, "    typealias {alias} = {user}\n");
    }
    for property in ["objectId: String?", "createdAt: Date?", "updatedAt: Date?", "ACL: ParseACL?"] {
        let _ = writeln!(out, "    var {property}");
    }
    out.push_str("    var originalData: Data?\n");
    // Relations have no property: they are asked for by their key.
    let (relations, fields): (Vec<&Field>, Vec<&Field>) =
        class.fields.iter().partition(|field| matches!(field.ty, FieldType::Relation(_)));
    if !fields.is_empty() {
        out.push('\n');
    }
    for field in fields {
        let ty = ty(model, class, field);
        let note = if field.required { " // required" } else { "" };
        let _ = writeln!(out, "    var {}: {ty}?{note}", back_quoted(&field.name, RESERVED));
    }
    for field in relations {
        let key = quoted(&field.name, false);
        let name = back_quoted(&field.name, RESERVED);
        let this = &class.type_name;
        let _ = writeln!(out, "\n    var {name}: ParseRelation<{this}>? {{ try? self.relation({key}) }}");
    }
    out.push_str("}\n");
}

fn ty(model: &Model, class: &Class, field: &Field) -> String {
    if class.base == Base::User && field.name == "authData" {
        return "[String: [String: String]?]".to_owned();
    }
    match &field.ty {
        // A structure cannot hold itself.
        FieldType::Pointer(target) => {
            model.type_of(target).map_or(TYPES.pointer.to_owned(), |name| format!("Pointer<{name}>"))
        }
        ty => TYPES.of(ty).to_owned(),
    }
}
