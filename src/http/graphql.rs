//! The GraphQL API over HTTP: who asks, the three forms of a request (a JSON body, the parameters of a GET, a form
//! with files), and the answer. Everything behind is [`crate::graphql`].
//!
//! Called by [`super::front`] for paths that are an application's `graphQLPath`, which is not below its mount.

// The other variant is the answer that is sent next: it is made once for a request.
#![allow(clippy::result_large_err)]

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use serde_json::{Map, Value};
use tracing::Instrument;

use super::body;
use super::credentials::{Claims, header_text};
use super::exchange::Exchange;
use super::{middleware, respond};
use crate::error::{Error, Result};
use crate::graphql::{Answer, Request};
use crate::operations::budget::json_size;
use crate::types::Object;
use crate::types::app_scope::{self, carry};
use crate::types::aside::{LONG, aside};
use crate::types::json::from_outside;

mod form;
pub(super) mod playground;
pub(super) mod socket;

/// JSON bodies are limited like Express limits them, whatever `maxUploadSize` says.
const JSON_LIMIT: u64 = 100 * 1024;

/// Content types that a page of any site may send without asking.
const SIMPLE: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

const JSON: &str = "application/json; charset=utf-8";
const GRAPHQL_JSON: &str = "application/graphql-response+json; charset=utf-8";

/// # Errors
/// 403 for missing or refused keys, 209 for sessions, 413 and 400 for bodies.
pub(super) async fn serve(exchange: &Exchange<'_>, payload: web::Payload) -> Result<HttpResponse> {
    let headers = exchange.http.headers();
    let registry = &*exchange.front.registry;
    let mut claims = Claims::from_headers(headers, registry);
    let app = claims.app(registry)?;
    if !exchange.apps.iter().any(|known| Arc::ptr_eq(known, &app)) {
        return Err(Error::unauthorized());
    }
    let privileged = claims.privileged(&app.services, exchange.client_address(&app)).await?;
    claims.by_program = privileged.is_some() && claims.installation_id.is_none();
    claims.read_context(headers)?;
    let method = exchange.http.method().as_str().to_owned();
    let mut ctx = exchange.admit_beside(&app, claims, privileged, &method).await?;
    if let Some(function) = app.config().http.request_context_middleware {
        // Before anything of the body is read, as parse-server calls it here.
        let ran = Box::pin(middleware::run(exchange, &mut ctx, function, &method, &Object::new())).await?;
        if let Some(response) = ran {
            return Ok(response);
        }
    }
    let rate = ctx.info.rate;
    let number = app.services.state.presence.number();
    let is_json = match accepted(exchange) {
        Some(is_json) => is_json,
        None => {
            let text = "An 'accept' header was provided for this request which does not accept application/json; charset=utf-8 or application/graphql-response+json; charset=utf-8";
            return Ok(respond(Answer::bad_request(406, text), true).await);
        }
    };
    let payload = exchange.front.pace.incoming(payload);
    let max_upload = app.config().http.max_upload_size;
    let request = match read(exchange, payload, max_upload).await? {
        Ok(request) => request,
        Err(answer) => return Ok(respond(answer, is_json).await),
    };
    // Only now: whoever sends half a body takes no place from others.
    let permit = exchange.place()?;
    let endpoint = exchange.front.graphql.of(&app);
    let task = async move {
        let answer = endpoint.answer(ctx, request).await;
        drop(permit);
        answer
    };
    // Mutations go on although their client left; a panic is an error of this request alone.
    let task = app_scope::within(Some(number), task);
    let answer = actix_web::rt::spawn(carry(task.in_current_span())).await.map_err(Error::internal)??;
    let rate = answer.rate.or(rate);
    let mut response = respond(answer, is_json).await;
    respond::add_rate(&mut response, rate);
    Ok(response)
}

async fn respond(answer: Answer, is_json: bool) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(status);
    builder.content_type(if is_json { JSON } else { GRAPHQL_JSON });
    builder.insert_header((header::CACHE_CONTROL, "no-store"));
    for (name, value) in &answer.headers {
        respond::put(&mut builder, name, value);
    }
    let body = answer.body;
    let written =
        if json_size(&body, LONG) > LONG { aside(move || line(&body)).await } else { Ok(line(&body)) };
    match written {
        Ok(line) => builder.body(line),
        Err(error) => respond::error(&error, true),
    }
}

fn line(body: &Value) -> Vec<u8> {
    let mut line = serde_json::to_vec(body).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Whether the client takes JSON as JSON rather than as an answer of GraphQL; `None`: neither.
fn accepted(exchange: &Exchange<'_>) -> Option<bool> {
    let Some(accept) = header_text(exchange.http.headers(), header::ACCEPT) else { return Some(true) };
    let mut best: Option<(f32, u8, bool)> = None;
    for (order, part) in accept.split(',').enumerate() {
        let mut parameters = part.split(';').map(str::trim);
        let kind = parameters.next().unwrap_or_default().to_ascii_lowercase();
        let quality =
            parameters.find_map(|parameter| parameter.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        let is_json = match kind.as_str() {
            "application/json" | "application/*" | "*/*" => true,
            "application/graphql-response+json" => false,
            _ => continue,
        };
        let place = u8::try_from(255usize.saturating_sub(order)).unwrap_or(0);
        if quality > 0.0 && best.is_none_or(|(known, at, _)| (quality, place) > (known, at)) {
            best = Some((quality, place, is_json));
        }
    }
    best.map(|(.., is_json)| is_json)
}

type Read = std::result::Result<Request, Answer>;

fn bad(text: impl Into<String>) -> Read {
    Err(Answer::bad_request(400, text))
}

async fn read(exchange: &Exchange<'_>, payload: super::transfer::Incoming, max_upload: u64) -> Result<Read> {
    let headers = exchange.http.headers();
    let content_type = header_text(headers, header::CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_simple = essence.is_empty() || SIMPLE.contains(&essence.as_str());
    if is_simple && header_text(headers, "x-parse-application-id").is_none() {
        return Ok(bad(format!(
            "This operation has been blocked as a potential Cross-Site Request Forgery (CSRF). Please either specify a 'content-type' header (with a type that is not one of {}) or provide a non-empty value for one of the following headers: X-Parse-Application-Id\n",
            SIMPLE.join(", ")
        )));
    }
    match exchange.http.method().as_str() {
        "POST" if essence == "multipart/form-data" => {
            let bytes = body::collect(headers, payload, max_upload.saturating_add(form::FIELD_LIMIT)).await?;
            match form::parse(&content_type, bytes, max_upload).await {
                Ok((document, uploads)) => {
                    Ok(of_document(document).map(|request| Request { uploads, ..request }))
                }
                Err(answer) => Ok(Err(answer)),
            }
        }
        "POST" => {
            let bytes = body::collect(headers, payload, JSON_LIMIT).await?;
            if essence != "application/json" || bytes.is_empty() {
                return Ok(bad("POST body missing, invalid Content-Type, or JSON object has no keys."));
            }
            let text = String::from_utf8_lossy(&bytes);
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            Ok(of_document(body::parse_json(text, from_outside)?))
        }
        "GET" => Ok(of_url(exchange, &essence)),
        _ => {
            let mut answer = Answer::bad_request(405, "Apollo Server supports only GET/POST requests.");
            answer.headers.push(("allow", "GET, POST"));
            Ok(Err(answer))
        }
    }
}

/// A request from the JSON of a body.
fn of_document(document: Value) -> Read {
    let mut body = match document {
        Value::Object(body) if !body.is_empty() => body,
        Value::Array(_) => return bad("Operation batching disabled."),
        _ => return bad("POST body missing, invalid Content-Type, or JSON object has no keys."),
    };
    let query = match body.shift_remove("query") {
        Some(Value::String(query)) => Some(query),
        Some(other) if crate::types::javascript::is_truthy(&other) => {
            return bad("GraphQL queries must be strings.");
        }
        _ => None,
    };
    let mut object = |key: &str| match body.shift_remove(key) {
        Some(Value::Object(object)) => Ok(object),
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::String(_)) => Err(format!(
            "`{key}` in a POST body should be provided as an object, not a recursively JSON-encoded string."
        )),
        Some(_) => Err(format!("`{key}` in a POST body must be an object if provided.")),
    };
    let (variables, extensions) = match (object("variables"), object("extensions")) {
        (Ok(variables), Ok(extensions)) => (variables, extensions),
        (Err(text), _) | (_, Err(text)) => return bad(text),
    };
    let operation_name = match body.shift_remove("operationName") {
        Some(Value::String(name)) => Some(name),
        None | Some(Value::Null) => None,
        Some(_) => return bad("`operationName` in a POST body must be a string if provided."),
    };
    Ok(Request { query, operation_name, variables, extensions, ..Request::default() })
}

/// A request from the parameters of a URL.
fn of_url(exchange: &Exchange<'_>, content_type: &str) -> Read {
    if !content_type.is_empty() && content_type != "application/json" {
        let text = "GET requests may not have a content-type header other than application/json.";
        return Err(Answer::bad_request(415, text));
    }
    let mut given: HashMap<String, String> = HashMap::new();
    for pair in exchange.http.query_string().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text: &str| {
            let text = text.replace('+', " ");
            percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let name = decoded(name);
        let known = ["query", "operationName", "variables", "extensions"].contains(&name.as_str());
        if known && given.insert(name.clone(), decoded(value)).is_some() {
            return bad(format!("The '{name}' search parameter may only be specified once."));
        }
    }
    let mut object = |key: &str| match given.remove(key) {
        None => Ok(Map::new()),
        Some(text) => match crate::types::json::from_outside(text.as_bytes()) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(format!("The {key} search parameter should contain a JSON-encoded object.")),
            Err(_) => Err(format!("The {key} search parameter contains invalid JSON.")),
        },
    };
    let (variables, extensions) = match (object("variables"), object("extensions")) {
        (Ok(variables), Ok(extensions)) => (variables, extensions),
        (Err(text), _) | (_, Err(text)) => return bad(text),
    };
    let (query, operation_name) = (given.remove("query"), given.remove("operationName"));
    Ok(Request { query, operation_name, variables, extensions, is_get: true, ..Request::default() })
}
