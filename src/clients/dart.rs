//! Dart for `parse_server_sdk`.

use std::fmt::Write;

use super::{Base, Class, Field, HEAD, Model, identifier, pascal, quoted, unique};
use crate::types::FieldType;

/// Words that no member can be called, and members that every object has.
const RESERVED: &[&str] = &[
    "assert", "break", "case", "catch", "class", "const", "continue", "default", "do", "else", "enum",
    "extends", "false", "final", "finally", "for", "if", "in", "is", "new", "null", "rethrow", "return",
    "super", "switch", "this", "throw", "true", "try", "var", "void", "while", "with", "clone", "copy",
    "delete", "fetch", "get", "save", "set", "update", "unset",
];
const OF_USERS: &[&str] =
    &["username", "password", "emailAddress", "emailVerified", "authData", "sessionToken"];

pub fn write(model: &Model) -> String {
    let mut out = format!("// {HEAD}\n\nimport 'package:parse_server_sdk/parse_server_sdk.dart';\n");
    for class in &model.classes {
        class_of(model, class, &mut out);
    }
    out.push_str("\n/// Cloud functions of the server.\nabstract final class CloudFunctions {\n");
    let names = unique(model.functions.iter().map(|name| identifier(name)));
    for (name, function) in names.iter().zip(&model.functions) {
        let _ = writeln!(out, "  static const String {} = {};", escaped(name), quoted(function, true));
    }
    out.push_str("}\n");
    out
}

fn class_of(model: &Model, class: &Class, out: &mut String) {
    let (name, table) = (&class.type_name, quoted(&class.name, true));
    // Roles and sessions have no class of their own that can be extended.
    let inherited: &[&str] = if class.base == Base::User { OF_USERS } else { &[] };
    if class.base == Base::User {
        let _ = write!(
            out,
            "\nclass {name} extends ParseUser implements ParseCloneable {{\n  {name}(super.username, super.password, \
             super.emailAddress);\n\n  {name}.clone() : this(null, null, null);\n"
        );
    } else {
        let _ = write!(
            out,
            "\nclass {name} extends ParseObject implements ParseCloneable {{\n  {name}() : super(keyTableName);\n\n  \
             {name}.clone() : this();\n"
        );
    }
    let _ = writeln!(
        out,
        "\n  @override\n  {name} clone(Map<String, dynamic> map) => {name}.clone()..fromJson(map);\n\n  \
         static const String keyTableName = {table};"
    );
    let fields: Vec<&Field> =
        class.fields.iter().filter(|field| !inherited.contains(&field.name.as_str())).collect();
    let keys = unique(fields.iter().map(|field| format!("key{}", pascal(&field.name))));
    for (key, field) in keys.iter().zip(&fields) {
        let _ = writeln!(out, "  static const String {key} = {};", quoted(&field.name, true));
    }
    for (key, field) in keys.iter().zip(&fields) {
        member(model, key, field, out);
    }
    out.push_str("}\n");
}

fn member(model: &Model, key: &str, field: &Field, out: &mut String) {
    let name = escaped(&field.name);
    let object = |target| model.type_of(target).unwrap_or("ParseObject").to_owned();
    if let FieldType::Relation(target) = &field.ty {
        let target = object(target);
        let _ = writeln!(out, "\n  ParseRelation<{target}> get {name} => getRelation<{target}>({key});");
        return;
    }
    let ty = match &field.ty {
        FieldType::String => "String".to_owned(),
        FieldType::Number => "num".to_owned(),
        FieldType::Boolean => "bool".to_owned(),
        FieldType::Date => "DateTime".to_owned(),
        FieldType::Object => "Map<String, dynamic>".to_owned(),
        FieldType::Array => "List<dynamic>".to_owned(),
        FieldType::GeoPoint => "ParseGeoPoint".to_owned(),
        FieldType::File => "ParseFileBase".to_owned(),
        FieldType::Polygon | FieldType::Bytes | FieldType::Acl | FieldType::Relation(_) => {
            "dynamic".to_owned()
        }
        FieldType::Pointer(target) => object(target),
    };
    let nullable = if ty == "dynamic" { ty.clone() } else { format!("{ty}?") };
    let note = if field.required { "\n  /// Required." } else { "" };
    let _ = writeln!(
        out,
        "{note}\n  {nullable} get {name} => get<{ty}>({key});\n  set {name}({nullable} value) => set<{nullable}>({key}, \
         value);"
    );
}

fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) { format!("{name}_") } else { name.to_owned() }
}
