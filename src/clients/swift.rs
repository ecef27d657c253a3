//! Swift for Parse-Swift, whose objects are structures of optional properties.

use std::fmt::Write;

use super::{Base, Class, Field, HEAD, Model, identifier, quoted, unique};
use crate::types::FieldType;

/// Words that no property can be called without quotes.
const RESERVED: &[&str] = &[
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

pub fn write(model: &Model) -> String {
    let mut out = format!("// {HEAD}\n\nimport Foundation\nimport ParseSwift\n");
    for class in &model.classes {
        structure(model, class, &mut out);
    }
    let names = unique(model.functions.iter().map(|name| identifier(name)));
    out.push_str("\n/// Cloud functions of the server.\nenum CloudFunction: String {\n");
    for (name, function) in names.iter().zip(&model.functions) {
        let _ = writeln!(out, "    case {} = {}", escaped(name), quoted(function, false));
    }
    if names.is_empty() {
        // Swift has no enumeration of texts without a case.
        out.truncate(out.rfind("\n/// Cloud").unwrap_or(out.len()));
        return out;
    }
    out.push_str("}\n");
    out
}

fn structure(model: &Model, class: &Class, out: &mut String) {
    let protocol = match class.base {
        Base::Object => "ParseObject",
        Base::User => "ParseUser",
        Base::Role => "ParseRole",
        Base::Session => "ParseSession",
        Base::Installation => "ParseInstallation",
    };
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
        let _ = writeln!(out, "    var {}: {ty}?{note}", escaped(&field.name));
    }
    for field in relations {
        let key = quoted(&field.name, false);
        let name = escaped(&field.name);
        let this = &class.type_name;
        let _ = writeln!(out, "\n    var {name}: ParseRelation<{this}>? {{ try? self.relation({key}) }}");
    }
    out.push_str("}\n");
}

fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) { format!("`{name}`") } else { name.to_owned() }
}

fn ty(model: &Model, class: &Class, field: &Field) -> String {
    if class.base == Base::User && field.name == "authData" {
        return "[String: [String: String]?]".to_owned();
    }
    match &field.ty {
        FieldType::String => "String",
        FieldType::Number => "Double",
        FieldType::Boolean => "Bool",
        FieldType::Date => "Date",
        FieldType::Object => "[String: AnyCodable]",
        FieldType::Array => "[AnyCodable]",
        FieldType::GeoPoint => "ParseGeoPoint",
        FieldType::Polygon => "ParsePolygon",
        FieldType::File => "ParseFile",
        FieldType::Bytes => "ParseBytes",
        FieldType::Acl => "ParseACL",
        FieldType::Relation(_) => "ParseRelation",
        // A structure cannot hold itself.
        FieldType::Pointer(target) => {
            return model.type_of(target).map_or("AnyCodable".to_owned(), |name| format!("Pointer<{name}>"));
        }
    }
    .to_owned()
}
