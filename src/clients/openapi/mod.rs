//! The OpenAPI 3.1 description of the REST API of one application: every route, a path for each class and each
//! cloud function.

mod routes;
mod schemas;

use serde_json::{Map, Value, json};

use super::Model;

/// A route of the REST API, as its table has it.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub method: &'static str,
    /// `:name` is one part of the path.
    pub pattern: &'static str,
    pub master: bool,
}

/// What the description is of.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub title: &'a str,
    pub version: &'a str,
    /// Where the API is, as clients reach it.
    pub server: &'a str,
    /// Clients give one of the client keys, too.
    pub client_keys: bool,
}

pub fn document(model: &Model, routes: impl Iterator<Item = Route>, about: &About<'_>) -> Value {
    let mut components = schemas::common();
    let taken: Vec<&str> = components.keys().map(String::as_str).collect();
    let model = &model.beside(&taken, &schemas::WRITTEN);
    let mut paths = Map::new();
    for class in &model.classes {
        routes::of_class(class, &mut paths);
    }
    for function in &model.functions {
        routes::of_function(function, &mut paths);
    }
    for route in routes {
        routes::of_table(&route, &mut paths);
    }
    routes::of_files(&mut paths);
    for class in &model.classes {
        schemas::of_class(model, class, &mut components);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "version": about.version,
            "description": "The REST API of a Parse server.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": about.server }],
        "security": security(about.client_keys),
        "paths": paths,
        "components": {
            "schemas": components,
            "parameters": routes::parameters(),
            "responses": routes::responses(),
            "securitySchemes": schemes(),
        },
    })
}

/// What a request of a client carries: with a session or without, or the master key.
fn security(client_keys: bool) -> Value {
    if !client_keys {
        return json!([
            { "applicationId": [] },
            { "applicationId": [], "sessionToken": [] },
            { "applicationId": [], "masterKey": [] },
        ]);
    }
    json!([
        { "applicationId": [], "restApiKey": [] },
        { "applicationId": [], "restApiKey": [], "sessionToken": [] },
        { "applicationId": [], "masterKey": [] },
    ])
}

fn schemes() -> Value {
    let header = |name: &str, description: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": description });
    json!({
        "applicationId": header("X-Parse-Application-Id", "The application."),
        "restApiKey": header("X-Parse-REST-API-Key", "The key of REST clients."),
        "sessionToken": header("X-Parse-Session-Token", "The session of a user, as a log-in answers it."),
        "masterKey": header("X-Parse-Master-Key", "The key that may do everything; not for clients."),
    })
}

/// An object with these properties, of which some must be there.
fn object(properties: impl Into<Value>, required: &[&str]) -> Value {
    let mut schema = json!({ "type": "object", "properties": properties.into() });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// A body of JSON.
fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn date_time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn schema(name: &str) -> Value {
    reference("schemas", name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::tests::model;
    use crate::types::{ClassName, ClassSchema};

    #[test]
    fn every_reference_leads_somewhere_and_ids_are_unique() {
        let routes = [
            Route { method: "GET", pattern: "/schemas/:className", master: true },
            Route { method: "GET", pattern: "/classes/:className", master: false },
            Route { method: "POST", pattern: "/login", master: false },
        ];
        let about = About { title: "t", version: "1", server: "http://x/parse", client_keys: false };
        let document = document(&model(), routes.into_iter(), &about);
        let mut ids = Vec::new();
        let mut pending = vec![&document];
        while let Some(value) = pending.pop() {
            match value {
                Value::Array(list) => pending.extend(list),
                Value::Object(object) => {
                    if let Some(Value::String(to)) = object.get("$ref") {
                        let pointer = to.trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{to}");
                    }
                    if let Some(Value::String(id)) = object.get("operationId") {
                        ids.push(id.clone());
                    }
                    pending.extend(object.values());
                }
                _ => {}
            }
        }
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert!(document["paths"]["/classes/Game/{objectId}"]["put"].is_object());
        assert!(document["paths"]["/functions/pay.now"]["post"].is_object());
        assert!(document["paths"]["/schemas/{className}"]["get"]["security"].is_array());
        assert!(document["paths"].get("/classes/{className}").is_none());
    }

    #[test]
    fn classes_have_schemas_and_operations_of_their_own_whatever_they_are_called() {
        let names = ["File", "Game", "GameInput", "GameUpdate", "ParseDate"];
        let classes = names.map(|name| ClassSchema::with_defaults(ClassName::known(name)));
        let about = About { title: "t", version: "1", server: "http://x/parse", client_keys: false };
        let document = document(&Model::new(&classes, &[]), std::iter::empty(), &about);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in
            ["Game", "GameInput", "GameUpdate", "GameInputClass", "GameUpdateClassInput", "ParseDateClass"]
        {
            assert!(schemas.contains_key(name), "{name}");
        }
        assert!(schemas["GameInput"]["properties"].get("objectId").is_none());
        assert_eq!(schemas["ParseDate"]["properties"]["__type"]["const"], "Date");
        let found = "/paths/~1classes~1GameInput/get/responses/200/content/application~1json/schema/properties/results";
        assert_eq!(document.pointer(found).unwrap()["items"]["$ref"], "#/components/schemas/GameInputClass");
        assert_eq!(document["paths"]["/classes/File/{objectId}"]["delete"]["operationId"], "deleteFile");
        assert_eq!(document["paths"]["/files/{filename}"]["delete"]["operationId"], "deleteFile_");
    }
}
