//! Schemas of values, and of the objects of each class: as they are read, created and changed.

use serde_json::{Map, Value, json};

use super::schema;
use crate::clients::{Base, Class, Field, Model};
use crate::types::FieldType;

type Schemas = Map<String, Value>;

/// Names begin with `Parse`, so that they meet no class.
pub fn common() -> Schemas {
    let typed = |name: &str, more: Value| {
        let mut properties = json!({ "__type": { "const": name } });
        let mut required = vec![Value::from("__type")];
        if let (Value::Object(all), Value::Object(more)) = (&mut properties, more) {
            required.extend(more.keys().cloned().map(Value::from));
            all.extend(more);
        }
        json!({ "type": "object", "properties": properties, "required": required })
    };
    let latitude = json!({ "type": "number", "minimum": -90, "maximum": 90 });
    let longitude = json!({ "type": "number", "minimum": -180, "maximum": 180 });
    let text = json!({ "type": "string" });
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
        "ParseError": {
            "type": "object",
            "properties": { "code": { "type": "integer" }, "error": {} },
            "required": ["error"],
        },
        "ParseDate": typed("Date", json!({ "iso": { "type": "string", "format": "date-time" } })),
        "ParseGeoPoint": typed("GeoPoint", json!({ "latitude": latitude, "longitude": longitude })),
        "ParsePolygon": typed("Polygon", json!({ "coordinates": {
            "type": "array",
            "items": { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 },
            "minItems": 3,
        } })),
        "ParseBytes": typed("Bytes", json!({ "base64": { "type": "string", "contentEncoding": "base64" } })),
        "ParseFile": {
            "type": "object",
            "properties": { "__type": { "const": "File" }, "name": text, "url": text },
            "required": ["__type", "name"],
        },
        "ParsePointer": typed("Pointer", json!({ "className": text, "objectId": text })),
        "ParseRelation": typed("Relation", json!({ "className": text })),
        "ParseACL": {
            "type": "object",
            "description": "Rights by user id, role:<name>, or * for everybody.",
            "additionalProperties": {
                "type": "object",
                "properties": { "read": { "type": "boolean" }, "write": { "type": "boolean" } },
            },
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
        "ParseCreated": {
            "type": "object",
            "properties": { "objectId": text, "createdAt": { "type": "string", "format": "date-time" } },
            "required": ["objectId", "createdAt"],
        },
        "ParseUpdated": {
            "type": "object",
            "properties": { "updatedAt": { "type": "string", "format": "date-time" } },
            "required": ["updatedAt"],
        },
    }) else {
        return Map::new();
    };
    all
}

/// `X` is what is read, `XInput` what is created, `XUpdate` what is changed.
pub fn of_class(model: &Model, class: &Class, schemas: &mut Schemas) {
    let mut read = json!({
        "objectId": { "type": "string" },
        "createdAt": { "type": "string", "format": "date-time" },
        "updatedAt": { "type": "string", "format": "date-time" },
        "ACL": schema("ParseACL"),
    });
    let acl = json!({ "ACL": schema("ParseACL") });
    let (mut created, mut changed) = (acl.clone(), acl);
    let mut required = Vec::new();
    for field in &class.fields {
        let name = field.name.as_str();
        let value = value(field);
        if !is_secret(class, name) {
            read[name] = shown(model, field);
        }
        if field.required {
            required.push(Value::from(name));
        }
        let operation = json!({ "anyOf": [value, schema("ParseOperation")] });
        created[name] = if matches!(field.ty, FieldType::Relation(_)) { operation.clone() } else { value };
        changed[name] = operation;
    }
    if class.base == Base::User {
        read["sessionToken"] = json!({ "type": "string" });
        required.extend(["username", "password"].map(Value::from));
    }
    let name = &class.type_name;
    let object = |properties: Value, required: Vec<Value>| {
        let mut schema = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            schema["required"] = Value::Array(required);
        }
        schema
    };
    let ids = ["objectId", "createdAt", "updatedAt"].map(Value::from).to_vec();
    schemas.insert(name.clone(), object(read, ids));
    schemas.insert(format!("{name}Input"), object(created, required));
    schemas.insert(format!("{name}Update"), object(changed, Vec::new()));
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
        FieldType::String => json!({ "type": "string" }),
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
    json!({ "allOf": [schema(kind), { "type": "object", "properties": { "className": { "const": class } } }] })
}
