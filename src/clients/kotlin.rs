//! Kotlin for Parse's Android SDK.

use std::fmt::Write;

use super::language::{Inherited, Words, back_quoted};
use super::{Class, Field, HEAD, Model, identifier, quoted};
use crate::types::FieldType;

/// What the file means by a name.
pub const TAKEN: &[&str] = &[
    "Any",
    "Boolean",
    "ByteArray",
    "CloudFunctions",
    "Date",
    "List",
    "Map",
    "Number",
    "ParseClassName",
    "ParseFile",
    "ParseGeoPoint",
    "ParseInstallation",
    "ParseObject",
    "ParsePolygon",
    "ParseRelation",
    "ParseRole",
    "ParseSession",
    "ParseUser",
    "String",
];
pub const RESERVED: &[&str] = &[
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
const INHERITED: Inherited = Inherited {
    user: &["username", "email", "password", "authData"],
    role: &["name", "users", "roles"],
    session: &["sessionToken"],
    installation: &["installationId", "deviceToken"],
};
const TYPES: Words = Words {
    string: "String",
    number: "Number",
    boolean: "Boolean",
    date: "Date",
    object: "Map<String, Any?>",
    array: "List<Any?>",
    geo_point: "ParseGeoPoint",
    polygon: "ParsePolygon",
    file: "ParseFile",
    bytes: "ByteArray",
    acl: "Any",
    pointer: "ParseObject",
    relation: "Any",
};
/// `getBoolean` of a missing key answers false.
const GETTERS: Words = Words {
    string: "getString",
    number: "getNumber",
    boolean: "get",
    date: "getDate",
    object: "getMap<Any?>",
    array: "getList<Any?>",
    geo_point: "getParseGeoPoint",
    polygon: "getParsePolygon",
    file: "getParseFile",
    bytes: "getBytes",
    acl: "get",
    pointer: "getParseObject",
    relation: "get",
};

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
    for (name, function) in model.named_functions(identifier) {
        let _ = writeln!(out, "    const val {} = {}", back_quoted(&name, RESERVED), quoted(function, true));
    }
    out.push_str("}\n");
    out
}

fn class_of(model: &Model, class: &Class, out: &mut String) {
    let base = class.base.sdk_class();
    let name = quoted(&class.name, true);
    let _ = writeln!(out, "\n@ParseClassName({name})\nclass {} : {base}() {{", class.type_name);
    let mut first = true;
    for field in INHERITED.rest_of(class) {
        if !std::mem::take(&mut first) {
            out.push('\n');
        }
        property(model, field, out);
    }
    out.push_str("}\n");
}

fn property(model: &Model, field: &Field, out: &mut String) {
    let (name, key) = (back_quoted(&field.name, RESERVED), quoted(&field.name, true));
    if let FieldType::Relation(target) = &field.ty {
        let target = model.members_of(target);
        let _ = writeln!(out, "    val {name}: ParseRelation<{target}>\n        get() = getRelation({key})");
        return;
    }
    let ty = TYPES.or_class(model, &field.ty);
    let mut read = format!("{}({key})", GETTERS.of(&field.ty));
    if matches!(field.ty, FieldType::Boolean | FieldType::Pointer(_)) {
        let _ = write!(read, " as? {ty}");
    }
    let note = if field.required { "    /** Required. */\n" } else { "" };
    let _ = writeln!(
        out,
        "{note}    var {name}: {ty}?\n        get() = {read}\n        set(value) = putOrRemove({key}, value)"
    );
}
