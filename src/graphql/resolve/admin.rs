//! Classes and their fields, and parameters of the configuration: for the master key.

use serde_json::{Map, Value, json};

use super::super::errors::Failure;
use super::super::execute::Asked;
use super::{Resolved, Server, internal, text};
use crate::error::{Error, ErrorCode};
use crate::operations::admin::{config, schema};
use crate::types::Object;

/// Fields to be added, by the type that they get.
const ADDED: [(&str, &str); 12] = [
    ("addStrings", "String"),
    ("addNumbers", "Number"),
    ("addBooleans", "Boolean"),
    ("addArrays", "Array"),
    ("addObjects", "Object"),
    ("addDates", "Date"),
    ("addFiles", "File"),
    ("addGeoPoint", "GeoPoint"),
    ("addPolygons", "Polygon"),
    ("addBytes", "Bytes"),
    ("addPointers", "Pointer"),
    ("addRelations", "Relation"),
];

/// A class as GraphQL shows it.
fn shown(class: &Value) -> Value {
    let fields = class.get("fields").and_then(Value::as_object).into_iter().flatten();
    let fields: Vec<Value> = fields
        .map(|(name, field)| {
            json!({ "name": name, "type": field.get("type"), "targetClassName": field.get("targetClass") })
        })
        .collect();
    json!({ "name": class.get("className"), "schemaFields": fields })
}

/// Fields as the schema API takes them. `existing`: those of the class to be changed.
fn fields_of(given: Option<&Value>, existing: Option<&Object>) -> Result<Object, Failure> {
    let mut fields = Object::new();
    let Some(Value::Object(given)) = given else { return Ok(fields) };
    let list = |key: &str| -> Vec<&Value> {
        match given.get(key) {
            Some(Value::Array(list)) => list.iter().collect(),
            Some(single @ Value::Object(_)) => vec![single],
            _ => Vec::new(),
        }
    };
    let name_of = |field: &Value| field.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let removed: Vec<String> = list("remove").into_iter().map(name_of).collect();
    for (key, ty) in ADDED {
        for field in list(key) {
            let name = name_of(field);
            if removed.contains(&name) {
                continue;
            }
            if fields.contains_key(&name) || existing.is_some_and(|existing| existing.contains_key(&name)) {
                let text = format!("Duplicated field name: {name}");
                return Err(Failure::Coded(Error::parse(ErrorCode::INVALID_KEY_NAME, text)));
            }
            let definition = match ty {
                "Pointer" | "Relation" => json!({ "type": ty, "targetClass": field.get("targetClassName") }),
                ty => json!({ "type": ty }),
            };
            fields.insert(name, definition);
        }
    }
    if let Some(existing) = existing {
        for name in removed.into_iter().filter(|name| existing.contains_key(name)) {
            fields.insert(name, json!({ "__op": "Delete" }));
        }
    }
    Ok(fields)
}

impl<'e> Server<'e> {
    fn require_master(&self) -> Result<(), Failure> {
        if self.ctx.borrow().auth.is_master() {
            return Ok(());
        }
        Err(Failure::Coded(Error::forbidden("unauthorized: master key is required")))
    }

    fn require_writer(&self, verb: &str) -> Result<(), Failure> {
        self.require_master()?;
        if self.ctx.borrow().auth.is_read_only() {
            let text = format!("read-only masterKey isn't allowed to {verb} a schema.");
            return Err(Failure::Coded(Error::forbidden(text)));
        }
        Ok(())
    }

    pub(super) async fn class_named(&self, asked: &Asked<'e>) -> Resolved {
        self.require_master()?;
        let name = text(&asked.arguments, "name").unwrap_or_default();
        Ok(shown(&schema::get(&self.ctx(), name).await?))
    }

    pub(super) async fn classes(&self) -> Resolved {
        self.require_master()?;
        let all = schema::list(&self.ctx()).await?;
        let all = all.get("results").and_then(Value::as_array).into_iter().flatten();
        Ok(all.map(shown).collect())
    }

    pub(super) async fn create_class(&self, input: Map<String, Value>) -> Resolved {
        self.require_writer("create")?;
        let name = text(&input, "name").unwrap_or_default();
        let fields = fields_of(input.get("schemaFields"), None)?;
        let body = Object::from_iter([("fields".to_owned(), Value::Object(fields))]);
        let created = schema::create(&self.ctx(), Some(name), "/schemas", &body).await?;
        Ok(json!({ "class": shown(&created) }))
    }

    pub(super) async fn update_class(&self, input: Map<String, Value>) -> Resolved {
        self.require_writer("update")?;
        let name = text(&input, "name").unwrap_or_default();
        let ctx = self.ctx();
        let existing = schema::get(&ctx, name).await?;
        let known = existing.get("fields").and_then(Value::as_object).ok_or_else(internal)?;
        let fields = fields_of(input.get("schemaFields"), Some(known))?;
        let body = Object::from_iter([("fields".to_owned(), Value::Object(fields))]);
        let updated = schema::update(&ctx, name, &body).await?;
        Ok(json!({ "class": shown(&updated) }))
    }

    pub(super) async fn delete_class(&self, input: Map<String, Value>) -> Resolved {
        self.require_writer("delete")?;
        let name = text(&input, "name").unwrap_or_default();
        let ctx = self.ctx();
        let existing = schema::get(&ctx, name).await?;
        schema::delete(&ctx, name).await?;
        Ok(json!({ "class": shown(&existing) }))
    }

    pub(super) async fn cloud_config(&self, asked: &Asked<'e>) -> Resolved {
        if !self.ctx.borrow().auth.is_master() {
            let error = Error::forbidden("Master Key is required to access GlobalConfig.");
            return Err(Failure::Coded(error));
        }
        let name = text(&asked.arguments, "paramName").unwrap_or_default();
        let stored = config::get(&self.ctx()).await?;
        let value = stored.get("params").and_then(|params| params.get(name));
        let only = stored.get("masterKeyOnly").and_then(|only| only.get(name)).filter(|_| value.is_some());
        Ok(json!({ "value": value, "isMasterKeyOnly": only }))
    }

    pub(super) async fn update_cloud_config(&self, input: Map<String, Value>) -> Resolved {
        let ctx = self.ctx();
        if !ctx.auth.is_master() {
            let error = Error::forbidden("Master Key is required to update GlobalConfig.");
            return Err(Failure::Coded(error));
        }
        let name = text(&input, "paramName").unwrap_or_default();
        let value = input.get("value").cloned().unwrap_or_default();
        let only = input.get("isMasterKeyOnly") == Some(&Value::Bool(true));
        let body = json!({ "params": { name: value }, "masterKeyOnly": { name: only } });
        let Value::Object(body) = body else { return Err(internal()) };
        config::put(&ctx, body).await?;
        Ok(json!({ "cloudConfig": { "value": value, "isMasterKeyOnly": only } }))
    }
}
