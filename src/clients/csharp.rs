//! C# for Parse's .NET SDK.

use std::fmt::Write;

use super::language::{Inherited, Words};
use super::{Class, Field, HEAD, Model, identifier, pascal, quoted, unique};
use crate::types::FieldType;

/// Words of the language, and what the file means by a name.
pub const TAKEN: &[&str] = &[
    "abstract",
    "as",
    "async",
    "await",
    "base",
    "bool",
    "break",
    "byte",
    "case",
    "catch",
    "char",
    "checked",
    "class",
    "const",
    "continue",
    "decimal",
    "default",
    "delegate",
    "do",
    "double",
    "dynamic",
    "else",
    "enum",
    "event",
    "explicit",
    "extern",
    "false",
    "file",
    "finally",
    "fixed",
    "float",
    "for",
    "foreach",
    "goto",
    "if",
    "implicit",
    "in",
    "int",
    "interface",
    "internal",
    "is",
    "lock",
    "long",
    "nameof",
    "namespace",
    "new",
    "nint",
    "null",
    "object",
    "operator",
    "out",
    "override",
    "params",
    "partial",
    "private",
    "protected",
    "public",
    "readonly",
    "record",
    "ref",
    "required",
    "return",
    "sbyte",
    "scoped",
    "sealed",
    "short",
    "sizeof",
    "stackalloc",
    "static",
    "string",
    "struct",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "uint",
    "ulong",
    "unchecked",
    "unsafe",
    "ushort",
    "using",
    "var",
    "virtual",
    "void",
    "volatile",
    "where",
    "while",
    "yield",
    "CloudFunctions",
    "DateTime",
    "IDictionary",
    "IList",
    "Parse",
    "ParseClassName",
    "ParseClassNameAttribute",
    "ParseClasses",
    "ParseFieldName",
    "ParseFieldNameAttribute",
    "ParseFile",
    "ParseGeoPoint",
    "ParseInstallation",
    "ParseObject",
    "ParseRelation",
    "ParseRole",
    "ParseSession",
    "ParseUser",
    "System",
];
/// Properties that every object has.
const OF_OBJECTS: &[&str] =
    &["Acl", "ClassName", "CreatedAt", "IsDirty", "IsNew", "Keys", "ObjectId", "UpdatedAt"];
const INHERITED: Inherited = Inherited {
    user: &["username", "password", "email", "authData", "sessionToken"],
    role: &["name", "users", "roles"],
    session: &["sessionToken"],
    installation: &[
        "installationId",
        "deviceType",
        "appName",
        "appVersion",
        "appIdentifier",
        "timeZone",
        "localeIdentifier",
        "parseVersion",
        "channels",
        "deviceToken",
    ],
};
const TYPES: Words = Words {
    string: "string",
    number: "double",
    boolean: "bool",
    date: "DateTime",
    object: "IDictionary<string, object>",
    array: "IList<object>",
    geo_point: "ParseGeoPoint",
    polygon: "object",
    file: "ParseFile",
    bytes: "byte[]",
    acl: "object",
    pointer: "ParseObject",
    relation: "object",
};

pub fn write(model: &Model) -> String {
    let mut out = format!(
        "// {HEAD}\n\n#nullable enable\n\nusing System;\nusing System.Collections.Generic;\nusing Parse;\n\n\
         namespace ParseClasses;\n"
    );
    for class in &model.classes {
        class_of(model, class, &mut out);
    }
    out.push_str(
        "\n/// <summary>Cloud functions of the server.</summary>\npublic static class CloudFunctions\n{\n",
    );
    for (name, function) in model.named_functions(|name| pascal(&identifier(name))) {
        let _ = writeln!(out, "    public const string {name} = {};", quoted(function, false));
    }
    out.push_str("}\n");
    out
}

fn class_of(model: &Model, class: &Class, out: &mut String) {
    let base = class.base.sdk_class();
    let table = quoted(&class.name, false);
    let _ = writeln!(out, "\n[ParseClassName({table})]\npublic class {} : {base}\n{{", class.type_name);
    let fields = INHERITED.rest_of(class);
    let names = unique(fields.iter().map(|field| property_name(class, &field.name)));
    let mut first = true;
    for (name, field) in names.iter().zip(&fields) {
        if !std::mem::take(&mut first) {
            out.push('\n');
        }
        property(model, name, field, out);
    }
    out.push_str("}\n");
}

/// No property may have the name of its class, or of a member that every object has.
fn property_name(class: &Class, field: &str) -> String {
    let name = pascal(field);
    if name == class.type_name || OF_OBJECTS.contains(&name.as_str()) { format!("{name}Field") } else { name }
}

fn property(model: &Model, name: &str, field: &Field, out: &mut String) {
    let key = quoted(&field.name, false);
    let required = if field.required { "    /// <summary>Required.</summary>\n" } else { "" };
    let _ = writeln!(out, "{required}    [ParseFieldName({key})]");
    if let FieldType::Relation(target) = &field.ty {
        let target = model.members_of(target);
        let _ = writeln!(
            out,
            "    public ParseRelation<{target}> {name} => GetRelationProperty<{target}>(nameof({name}));"
        );
        return;
    }
    let ty = TYPES.or_class(model, &field.ty);
    let _ = writeln!(
        out,
        "    public {ty}? {name}\n    {{\n        get => GetProperty<{ty}?>(null, nameof({name}));\n        \
         set => SetProperty(value, nameof({name}));\n    }}"
    );
}
