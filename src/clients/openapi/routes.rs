//! Paths: of classes, of cloud functions, of the table of routes, of files.

use serde_json::{Map, Value, json};

use super::{Route, content, object, reference, schema, text};
use crate::clients::{Base, Class, identifier, pascal};
use crate::types::percent::encode_reserved;

type Paths = Map<String, Value>;

/// Parameters of reads: name, type, meaning.
const READ: &[(&str, &str, &str)] = &[
    ("keys", "string", "Fields to answer, with commas between them."),
    ("excludeKeys", "string", "Fields not to answer."),
    ("include", "string", "Pointers whose objects are answered with it."),
];
const FIND: &[(&str, &str, &str)] = &[
    ("where", "string", "Constraints, as JSON."),
    ("order", "string", "Fields to sort by, with commas between them; a minus turns one round."),
    ("limit", "integer", "How many objects at most."),
    ("skip", "integer", "How many objects to leave out."),
    ("count", "integer", "1: tell how many objects there are, too."),
];

pub fn parameters() -> Value {
    let mut all = Map::new();
    for (name, ty, meaning) in READ.iter().chain(FIND) {
        all.insert((*name).to_owned(), parameter("query", name, ty, meaning));
    }
    all.insert("objectId".to_owned(), parameter("path", "objectId", "string", "The object's id."));
    Value::Object(all)
}

fn parameter(place: &str, name: &str, ty: &str, meaning: &str) -> Value {
    let mut parameter =
        json!({ "name": name, "in": place, "schema": { "type": ty }, "description": meaning });
    if place == "path" {
        parameter["required"] = true.into();
    }
    parameter
}

pub fn responses() -> Value {
    let error =
        |description: &str| json!({ "description": description, "content": content(&schema("ParseError")) });
    json!({
        "BadRequest": error("Refused: `code` says why."),
        "Forbidden": error("A key is wrong or missing."),
        "NotFound": error("There is no such object, or the caller may not see it."),
        "TooMany": error("Too many requests."),
        "Failed": error("The server failed."),
    })
}

/// What an operation answers: the good one, and what may go wrong.
fn answers(status: &str, description: &str, schema: &Value) -> Value {
    json!({
        status: { "description": description, "content": content(schema) },
        "400": reference("responses", "BadRequest"),
        "403": reference("responses", "Forbidden"),
        "404": reference("responses", "NotFound"),
        "429": reference("responses", "TooMany"),
        "500": reference("responses", "Failed"),
    })
}

fn body(schema: &Value) -> Value {
    json!({ "required": true, "content": content(schema) })
}

fn master() -> Value {
    json!([{ "applicationId": [], "masterKey": [] }])
}

pub fn of_class(class: &Class, paths: &mut Paths) {
    // Users and their like are at home at a path of their own.
    let home = match class.base {
        Base::User => "/users".to_owned(),
        Base::Role => "/roles".to_owned(),
        Base::Session => "/sessions".to_owned(),
        Base::Installation => "/installations".to_owned(),
        Base::Object => format!("/classes/{}", class.name),
    };
    let name = &class.type_name;
    let references = |list: &[(&str, &str, &str)]| -> Vec<Value> {
        list.iter().map(|(name, _, _)| reference("parameters", name)).collect()
    };
    let found = object(
        json!({ "results": { "type": "array", "items": schema(name) }, "count": { "type": "integer" } }),
        &["results"],
    );
    let mut of_all = references(FIND);
    of_all.extend(references(READ));
    let tags = json!([name]);
    let created = match class.base {
        // A sign-up answers a session.
        Base::User => {
            json!({ "allOf": [schema("ParseCreated"), object(json!({ "sessionToken": text() }), &[])] })
        }
        _ => schema("ParseCreated"),
    };
    paths.insert(
        home.clone(),
        json!({
            "get": { "operationId": format!("find{name}"), "tags": tags, "summary": "Find objects.",
                "parameters": of_all, "responses": answers("200", "The objects.", &found) },
            "post": { "operationId": format!("create{name}"), "tags": tags, "summary": "Create an object.",
                "requestBody": body(&schema(&format!("{name}Input"))),
                "responses": answers("201", "Created.", &created) },
        }),
    );
    paths.insert(
        format!("{home}/{{objectId}}"),
        json!({
            "parameters": [reference("parameters", "objectId")],
            "get": { "operationId": format!("get{name}"), "tags": tags, "summary": "Read an object.",
                "parameters": references(READ), "responses": answers("200", "The object.", &schema(name)) },
            "put": { "operationId": format!("update{name}"), "tags": tags, "summary": "Change an object.",
                "requestBody": body(&schema(&format!("{name}Update"))),
                "responses": answers("200", "Changed.", &schema("ParseUpdated")) },
            "delete": { "operationId": format!("delete{name}"), "tags": tags, "summary": "Delete an object.",
                "responses": answers("200", "Deleted.", &json!({ "type": "object" })) },
        }),
    );
}

pub fn of_function(function: &str, paths: &mut Paths) {
    let path = format!("/functions/{}", encode_reserved(function));
    let answer = object(json!({ "result": {} }), &[]);
    paths.insert(
        path,
        json!({ "post": {
            // Two names may look alike without their signs: the length tells those apart that differ in it.
            "operationId": unused(paths, &format!("call{}", pascal(&identifier(function)))),
            "tags": ["Cloud Code"],
            "summary": format!("Call {function}."),
            "requestBody": { "content": content(&json!({ "type": "object" })) },
            "responses": answers("200", "What the function answered.", &answer),
        } }),
    );
}

/// The id, with underscores behind it until no operation has it.
fn unused(paths: &Paths, id: &str) -> String {
    let is_taken = |id: &str| {
        let operations = paths.values().filter_map(Value::as_object).flat_map(|path| path.values());
        operations.filter_map(|operation| operation.get("operationId")).any(|taken| taken == id)
    };
    let mut id = id.to_owned();
    while is_taken(&id) {
        id.push('_');
    }
    id
}

/// Routes of the table that have no path of a class.
pub fn of_table(route: &Route, paths: &mut Paths) {
    let is_of_class = route.pattern.starts_with("/classes/")
        || ["/users", "/roles", "/sessions", "/installations"]
            .iter()
            .any(|home| route.pattern == *home || route.pattern == format!("{home}/:objectId"));
    if is_of_class {
        return;
    }
    let mut parameters = Vec::new();
    let parts: Vec<String> = route
        .pattern
        .split('/')
        .map(|part| match part.strip_prefix(':') {
            Some(name) => {
                parameters.push(parameter("path", name, "string", "A part of the path."));
                format!("{{{name}}}")
            }
            None => part.to_owned(),
        })
        .collect();
    let path = parts.join("/");
    let words: String = parts.iter().map(|part| pascal(&identifier(part.trim_matches(['{', '}'])))).collect();
    let id = unused(paths, &format!("{}{words}", route.method.to_lowercase()));
    let tag = parts.get(1).cloned().unwrap_or_default();
    let mut operation = json!({
        "operationId": id,
        "tags": [tag],
        "responses": answers("200", "Done.", &answer_of(route)),
    });
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if matches!(route.method, "POST" | "PUT") {
        operation["requestBody"] = body(&body_of(route));
    }
    if route.master {
        operation["security"] = master();
    }
    let place = paths.entry(path).or_insert_with(|| json!({}));
    place[route.method.to_lowercase()] = operation;
}

fn body_of(route: &Route) -> Value {
    let texts = |names: &[&str], required: &[&str]| {
        let properties: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), text())).collect();
        object(properties, required)
    };
    match (route.method, route.pattern) {
        ("POST", "/login" | "/verifyPassword") => texts(&["username", "email", "password"], &["password"]),
        ("POST", "/requestPasswordReset" | "/verificationEmailRequest") => texts(&["email"], &[]),
        ("POST", "/loginAs") => texts(&["userId"], &["userId"]),
        ("POST", "/batch") => {
            let request = json!({
                "method": { "type": "string", "enum": ["GET", "POST", "PUT", "DELETE"] },
                "path": text(),
                "body": { "type": "object" },
            });
            let requests = json!({ "type": "array", "items": object(request, &["method", "path"]) });
            object(json!({ "requests": requests, "transaction": { "type": "boolean" } }), &["requests"])
        }
        _ => json!({ "type": "object" }),
    }
}

fn answer_of(route: &Route) -> Value {
    match (route.method, route.pattern) {
        ("POST", "/batch") => json!({ "type": "array", "items": { "type": "object" } }),
        ("GET", "/hooks/functions" | "/hooks/triggers" | "/cloud_code/jobs") => {
            json!({ "type": "array", "items": { "type": "object" } })
        }
        _ => json!({}),
    }
}

/// Files, and the server's health, which are no routes of the table.
pub fn of_files(paths: &mut Paths) {
    let name = parameter("path", "filename", "string", "The file's name.");
    let bytes = json!({ "type": "string", "contentMediaType": "application/octet-stream" });
    let saved =
        object(json!({ "name": text(), "url": { "type": "string", "format": "uri" } }), &["name", "url"]);
    paths.insert(
        "/files/{filename}".to_owned(),
        json!({
            "parameters": [name],
            "post": { "operationId": unused(paths, "saveFile"), "tags": ["files"], "summary": "Store a file.",
                "requestBody": { "required": true, "content": { "*/*": { "schema": bytes } } },
                "responses": answers("201", "Stored.", &saved) },
            "delete": { "operationId": unused(paths, "deleteFile"), "tags": ["files"], "summary": "Remove a file.",
                "security": master(), "responses": answers("200", "Removed.", &json!({})) },
        }),
    );
    let health = object(json!({ "status": text() }), &[]);
    paths.insert(
        "/health".to_owned(),
        json!({ "get": { "operationId": unused(paths, "health"), "tags": ["server"], "summary": "Whether the server is well.",
            "security": [], "responses": answers("200", "It is.", &health) } }),
    );
}
