//! Schemas of values, and of the objects of each class: as they are read, created and changed.

use serde_json::{Map, Value, json};

use super::{date_time, object, schema, text};
use crate::clients::{Base, Class, Field, Model};
use crate::types::FieldType;

type Schemas = Map<String, Value>;

/// Classes that are called like one of them have schemas of other names.
pub fn common() -> Schemas {
    let typed = |name: &str, more: Value| {
        let mut properties = Map::from_iter([("__type".to_owned(), json!({ "const": name }))]);
        if let Value::Object(more) = more {
            properties.extend(more);
        }
        let required: Vec<String> = properties.keys().cloned().collect();
        let required: Vec<&str> = required.iter().map(String::as_str).collect();
        object(properties, &required)
    };
    let latitude = json!({ "type": "number", "minimum": -90, "maximum": 90 });
    let longitude = json!({ "type": "number", "minimum": -180, "maximum": 180 });
    let operations = json!([
        "Add",
        "AddRelation",
        "AddUnique",
        "Batch",
        "Decrement",
        "Delete",
        "Increment",
        "Remove",
        "RemoveRelation",
        "SetOnInsert"
    ]);
    let Value::Object(all) = json!({
        "ParseError": object(json!({ "code": { "type": "integer" }, "error": {} }), &["error"]),
        "ParseDate": typed("Date", json!({ "iso": date_time() })),
        "ParseGeoPoint": typed("GeoPoint", json!({ "latitude": latitude, "longitude": longitude })),
        "ParsePolygon": typed("Polygon", json!({ "coordinates": {
            "type": "array",
            "items": { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 },
            "minItems": 3,
        } })),
        "ParseBytes": typed("Bytes", json!({ "base64": { "type": "string", "contentEncoding": "base64" } })),
        "ParseFile": object(
            json!({ "__type": { "const": "File" }, "name": text(), "url": text() }),
            &["__type", "name"],
        ),
        "ParsePointer": typed("Pointer", json!({ "className": text(), "objectId": text() })),
        "ParseRelation": typed("Relation", json!({ "className": text() })),
        "ParseACL": {
            "type": "object",
            "description": "Rights by user id, role:<name>, or * for everybody.",
            "additionalProperties":
                object(json!({ "read": { "type": "boolean" }, "write": { "type": "boolean" } }), &[]),
        },
        "ParseOperation": {
            "type": "object",
            "description": "A change of a value that the database makes.",
            "properties": {
                "__op": { "type": "string", "enum": operations },
                "amount": { "type": "number" },
                "objects": { "type": "array", "items": {} },
            },
            "required": ["__op"],
        },
        "ParseCreated": object(
            json!({ "objectId": text(), "createdAt": date_time() }),
            &["objectId", "createdAt"],
        ),
        "ParseUpdated": object(json!({ "updatedAt": date_time() }), &["updatedAt"]),
    }) else {
        return Map::new();
    };
    all
}

/// What is behind a class's name in those of the schemas of what is created and changed.
pub const WRITTEN: [&str; 2] = ["Input", "Update"];

/// `X` is what is read, `XInput` what is created, `XUpdate` what is changed.
pub fn of_class(model: &Model, class: &Class, schemas: &mut Schemas) {
    let mut read = json!({
        "objectId": text(),
        "createdAt": date_time(),
        "updatedAt": date_time(),
        "ACL": schema("ParseACL"),
    });
    let acl = json!({ "ACL": schema("ParseACL") });
    let (mut created, mut changed) = (acl.clone(), acl);
    let mut required: Vec<&str> = Vec::new();
    for field in &class.fields {
        let name = field.name.as_str();
        let value = value(field);
        if !is_secret(class, name) {
            read[name] = shown(model, field);
        }
        if field.required {
            required.push(name);
        }
        let operation = json!({ "anyOf": [value, schema("ParseOperation")] });
        created[name] = if matches!(field.ty, FieldType::Relation(_)) { operation.clone() } else { value };
        changed[name] = operation;
    }
    if class.base == Base::User {
        read["sessionToken"] = text();
        required.extend(["username", "password"]);
    }
    let name = &class.type_name;
    schemas.insert(name.clone(), object(read, &["objectId", "createdAt", "updatedAt"]));
    schemas.insert(format!("{name}Input"), object(created, &required));
    schemas.insert(format!("{name}Update"), object(changed, &[]));
}

fn is_secret(class: &Class, field: &str) -> bool {
    class.base == Base::User && field == "password"
}

/// As it comes back: a pointer may be the object it leads to, where that was included.
fn shown(model: &Model, field: &Field) -> Value {
    let FieldType::Pointer(target) = &field.ty else { return value(field) };
    match model.type_of(target) {
        None => value(field),
        Some(name) => json!({ "anyOf": [value(field), schema(name)] }),
    }
}

fn value(field: &Field) -> Value {
    match &field.ty {
        FieldType::String => text(),
        FieldType::Number => json!({ "type": "number" }),
        FieldType::Boolean => json!({ "type": "boolean" }),
        FieldType::Date => schema("ParseDate"),
        FieldType::Object => json!({ "type": "object", "additionalProperties": true }),
        FieldType::Array => json!({ "type": "array", "items": {} }),
        FieldType::GeoPoint => schema("ParseGeoPoint"),
        FieldType::Polygon => schema("ParsePolygon"),
        FieldType::File => schema("ParseFile"),
        FieldType::Bytes => schema("ParseBytes"),
        FieldType::Acl => schema("ParseACL"),
        FieldType::Pointer(target) => leads_to("ParsePointer", target.as_str()),
        FieldType::Relation(target) => leads_to("ParseRelation", target.as_str()),
    }
}

fn leads_to(kind: &str, class: &str) -> Value {
    json!({ "allOf": [schema(kind), object(json!({ "className": { "const": class } }), &[])] })
}
