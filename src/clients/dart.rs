//! Dart for `parse_server_sdk`.

use std::fmt::Write;
use std::iter::once;

use super::language::{Inherited, Words};
use super::{Base, Class, Field, HEAD, Model, identifier, pascal, quoted, unique};
use crate::types::FieldType;

/// Words that no class can be called, and what the file means by a name.
pub const TAKEN: &[&str] = &[
    "CloudFunctions",
    "DateTime",
    "Function",
    "List",
    "Map",
    "Never",
    "Null",
    "Object",
    "ParseCloneable",
    "ParseFileBase",
    "ParseGeoPoint",
    "ParseObject",
    "ParseRelation",
    "ParseUser",
    "String",
    "abstract",
    "as",
    "async",
    "await",
    "bool",
    "covariant",
    "deferred",
    "dynamic",
    "export",
    "extension",
    "external",
    "factory",
    "implements",
    "import",
    "interface",
    "late",
    "library",
    "mixin",
    "num",
    "operator",
    "part",
    "required",
    "static",
    "typedef",
    "yield",
];
/// Words that no member can be called, and members that every object has.
pub const RESERVED: &[&str] = &[
    "assert",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "default",
    "do",
    "else",
    "enum",
    "extends",
    "false",
    "final",
    "finally",
    "for",
    "if",
    "in",
    "is",
    "new",
    "null",
    "rethrow",
    "return",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "var",
    "void",
    "while",
    "with",
    "addRelation",
    "clearUnsavedChanges",
    "clone",
    "containsKey",
    "containsValue",
    "copy",
    "create",
    "delete",
    "deleteEventually",
    "distinct",
    "fetch",
    "fromJson",
    "fromPin",
    "get",
    "getACL",
    "getAll",
    "getObject",
    "getObjectData",
    "getRelation",
    "hashCode",
    "isDirty",
    "noSuchMethod",
    "parseClassName",
    "path",
    "pin",
    "query",
    "removeRelation",
    "runtimeType",
    "save",
    "saveEventually",
    "saveInStorage",
    "set",
    "setACL",
    "setAdd",
    "setAddAll",
    "setAddAllUnique",
    "setAddUnique",
    "setDecrement",
    "setIncrement",
    "setRemove",
    "setRemoveAll",
    "toJson",
    "toPointer",
    "toString",
    "unpin",
    "unset",
    "update",
];
/// The constant of the class's name.
const TABLE: &str = "keyTableName";
/// Roles and sessions have no class of their own that can be extended.
const INHERITED: Inherited = Inherited {
    user: &["username", "password", "emailAddress", "emailVerified", "authData", "sessionToken"],
    role: &[],
    session: &[],
    installation: &[],
};
const TYPES: Words = Words {
    string: "String",
    number: "num",
    boolean: "bool",
    date: "DateTime",
    object: "Map<String, dynamic>",
    array: "List<dynamic>",
    geo_point: "ParseGeoPoint",
    polygon: "dynamic",
    file: "ParseFileBase",
    bytes: "dynamic",
    acl: "dynamic",
    pointer: "ParseObject",
    relation: "dynamic",
};

pub fn write(model: &Model) -> String {
    let mut out = format!("// {HEAD}\n\nimport 'package:parse_server_sdk/parse_server_sdk.dart';\n");
    for class in &model.classes {
        class_of(model, class, &mut out);
    }
    out.push_str("\n/// Cloud functions of the server.\nabstract final class CloudFunctions {\n");
    for (name, function) in model.named_functions(identifier) {
        let _ = writeln!(out, "  static const String {} = {};", escaped(&name), quoted(function, true));
    }
    out.push_str("}\n");
    out
}

fn class_of(model: &Model, class: &Class, out: &mut String) {
    let (name, table) = (&class.type_name, quoted(&class.name, true));
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
    let fields = INHERITED.rest_of(class);
    let keys = fields.iter().map(|field| format!("key{}", pascal(&field.name)));
    let keys: Vec<String> = unique(once(TABLE.to_owned()).chain(keys)).into_iter().skip(1).collect();
    for (key, field) in keys.iter().zip(&fields) {
        let _ = writeln!(out, "  static const String {key} = {};", quoted(&field.name, true));
    }
    for (key, field) in keys.iter().zip(&fields) {
        // Nothing of a class may be called as a constant of it.
        let mut name = escaped(&field.name);
        if name == TABLE || keys.contains(&name) {
            name.push('_');
        }
        member(model, &name, key, field, out);
    }
    out.push_str("}\n");
}

fn member(model: &Model, name: &str, key: &str, field: &Field, out: &mut String) {
    if let FieldType::Relation(target) = &field.ty {
        let target = model.members_of(target);
        let _ = writeln!(out, "\n  ParseRelation<{target}> get {name} => getRelation<{target}>({key});");
        return;
    }
    let ty = TYPES.or_class(model, &field.ty);
    let nullable = if ty == "dynamic" { ty.to_owned() } else { format!("{ty}?") };
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
