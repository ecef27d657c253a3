//! Kotlin for Parse's Android SDK.

use std::fmt::Write;

use super::{Base, Class, Field, HEAD, Model, identifier, quoted, unique};
use crate::types::FieldType;

const RESERVED: &[&str] = &[
    "as",
    "break",
    "class",
    "continue",
    "do",
    "else",
    "false",
    "for",
    "fun",
    "if",
    "in",
    "interface",
    "is",
    "null",
    "object",
    "package",
    "return",
    "super",
    "this",
    "throw",
    "true",
    "try",
    "typealias",
    "typeof",
    "val",
    "var",
    "when",
    "while",
];
/// Properties that the SDK's own classes have.
const OF_USERS: &[&str] = &["username", "email", "password", "authData"];
const OF_ROLES: &[&str] = &["name", "users", "roles"];
const OF_SESSIONS: &[&str] = &["sessionToken"];
const OF_INSTALLATIONS: &[&str] = &["installationId", "deviceToken"];

pub fn write(model: &Model) -> String {
    let mut out = format!(
        "// {HEAD}\n\nimport com.parse.ParseClassName\nimport com.parse.ParseFile\nimport com.parse.ParseGeoPoint\n\
         import com.parse.ParseInstallation\nimport com.parse.ParseObject\nimport com.parse.ParsePolygon\n\
         import com.parse.ParseRelation\nimport com.parse.ParseRole\nimport com.parse.ParseSession\n\
         import com.parse.ParseUser\nimport java.util.Date\n\n\
         private fun ParseObject.putOrRemove(key: String, value: Any?) =\n    \
         if (value == null) remove(key) else put(key, value)\n"
    );
    for class in &model.classes {
        class_of(model, class, &mut out);
    }
    out.push_str(
        "\n/** Registers all classes; before `Parse.initialize`. */\nfun registerParseClasses() {\n",
    );
    for class in &model.classes {
        let _ = writeln!(out, "    ParseObject.registerSubclass({}::class.java)", class.type_name);
    }
    out.push_str("}\n\n/** Cloud functions of the server. */\nobject CloudFunctions {\n");
    let names = unique(model.functions.iter().map(|name| identifier(name)));
    for (name, function) in names.iter().zip(&model.functions) {
        let _ = writeln!(out, "    const val {} = {}", escaped(name), quoted(function, true));
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
    let name = quoted(&class.name, true);
    let _ = writeln!(out, "\n@ParseClassName({name})\nclass {} : {base}() {{", class.type_name);
    let mut first = true;
    for field in class.fields.iter().filter(|field| !inherited.contains(&field.name.as_str())) {
        if !std::mem::take(&mut first) {
            out.push('\n');
        }
        property(model, field, out);
    }
    out.push_str("}\n");
}

fn property(model: &Model, field: &Field, out: &mut String) {
    let (name, key) = (escaped(&field.name), quoted(&field.name, true));
    let object = |target| model.type_of(target).unwrap_or("ParseObject").to_owned();
    if let FieldType::Relation(target) = &field.ty {
        let target = object(target);
        let _ = writeln!(out, "    val {name}: ParseRelation<{target}>\n        get() = getRelation({key})");
        return;
    }
    // `getNumber` and `getBoolean` of a missing key answer 0 and false.
    let (ty, read) = match &field.ty {
        FieldType::String => ("String".to_owned(), format!("getString({key})")),
        FieldType::Number => ("Number".to_owned(), format!("getNumber({key})")),
        FieldType::Boolean => ("Boolean".to_owned(), format!("get({key}) as? Boolean")),
        FieldType::Date => ("Date".to_owned(), format!("getDate({key})")),
        FieldType::Object => ("Map<String, Any?>".to_owned(), format!("getMap<Any?>({key})")),
        FieldType::Array => ("List<Any?>".to_owned(), format!("getList<Any?>({key})")),
        FieldType::GeoPoint => ("ParseGeoPoint".to_owned(), format!("getParseGeoPoint({key})")),
        FieldType::Polygon => ("ParsePolygon".to_owned(), format!("getParsePolygon({key})")),
        FieldType::File => ("ParseFile".to_owned(), format!("getParseFile({key})")),
        FieldType::Bytes => ("ByteArray".to_owned(), format!("getBytes({key})")),
        FieldType::Pointer(target) => {
            let target = object(target);
            let read = format!("getParseObject({key}) as? {target}");
            (target, read)
        }
        FieldType::Acl | FieldType::Relation(_) => ("Any".to_owned(), format!("get({key})")),
    };
    let note = if field.required { "    /** Required. */\n" } else { "" };
    let _ = writeln!(
        out,
        "{note}    var {name}: {ty}?\n        get() = {read}\n        set(value) = putOrRemove({key}, value)"
    );
}

fn escaped(name: &str) -> String {
    if RESERVED.contains(&name) { format!("`{name}`") } else { name.to_owned() }
}
