//! C# for Parse's .NET SDK.

use std::fmt::Write;

use super::{Base, Class, Field, HEAD, Model, identifier, pascal, quoted, unique};
use crate::types::FieldType;

/// Properties that the SDK's own classes have.
const OF_OBJECTS: &[&str] =
    &["Acl", "ClassName", "CreatedAt", "IsDirty", "IsNew", "Keys", "ObjectId", "UpdatedAt"];
const OF_USERS: &[&str] = &["username", "password", "email", "authData", "sessionToken"];
const OF_ROLES: &[&str] = &["name", "users", "roles"];
const OF_SESSIONS: &[&str] = &["sessionToken"];
const OF_INSTALLATIONS: &[&str] = &[
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
];

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
    let names = unique(model.functions.iter().map(|name| pascal(&identifier(name))));
    for (name, function) in names.iter().zip(&model.functions) {
        let _ = writeln!(out, "    public const string {name} = {};", quoted(function, false));
    }
    out.push_str("}\n");
    out
}

fn class_of(model: &Model, class: &Class, out: &mut String) {
    let (base, inherited): (&str, &[&str]) = match class.base {
        Base::Object => ("ParseObject", &[]),
        Base::User => ("ParseUser", OF_USERS),
        Base::Role => ("ParseRole", OF_ROLES),
        Base::Session => ("ParseSession", OF_SESSIONS),
        Base::Installation => ("ParseInstallation", OF_INSTALLATIONS),
    };
    let table = quoted(&class.name, false);
    let _ = writeln!(out, "\n[ParseClassName({table})]\npublic class {} : {base}\n{{", class.type_name);
    let fields: Vec<&Field> =
        class.fields.iter().filter(|field| !inherited.contains(&field.name.as_str())).collect();
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
    let object = |target| model.type_of(target).unwrap_or("ParseObject").to_owned();
    let key = quoted(&field.name, false);
    let required = if field.required { "    /// <summary>Required.</summary>\n" } else { "" };
    let _ = writeln!(out, "{required}    [ParseFieldName({key})]");
    if let FieldType::Relation(target) = &field.ty {
        let target = object(target);
        let _ = writeln!(
            out,
            "    public ParseRelation<{target}> {name} => GetRelationProperty<{target}>(nameof({name}));"
        );
        return;
    }
    let ty = match &field.ty {
        FieldType::String => "string".to_owned(),
        FieldType::Number => "double".to_owned(),
        FieldType::Boolean => "bool".to_owned(),
        FieldType::Date => "DateTime".to_owned(),
        FieldType::Object => "IDictionary<string, object>".to_owned(),
        FieldType::Array => "IList<object>".to_owned(),
        FieldType::GeoPoint => "ParseGeoPoint".to_owned(),
        FieldType::File => "ParseFile".to_owned(),
        FieldType::Bytes => "byte[]".to_owned(),
        FieldType::Polygon | FieldType::Acl | FieldType::Relation(_) => "object".to_owned(),
        FieldType::Pointer(target) => object(target),
    };
    let _ = writeln!(
        out,
        "    public {ty}? {name}\n    {{\n        get => GetProperty<{ty}?>(null, nameof({name}));\n        \
         set => SetProperty(value, nameof({name}));\n    }}"
    );
}
