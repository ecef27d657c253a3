//! Live queries as GraphQL subscriptions: the protocol `graphql-transport-ws` (that of the npm package `graphql-ws`)
//! on a socket of live queries. Each subscription is one of [`super::client`], with the same checks, limits and
//! rights; what its document means is asked of an [`Engine`], which `http` brings.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::speaker::{Said, Speaker};
use crate::live_query::ledger::{Account, MAX_UNREAD};
use crate::live_query::outlet::Letter;
use crate::live_query::parcel::{ConnectionId, Parcel};
use crate::live_query::protocol::{Refusal, Request, Subscribe};
use crate::operations::Ctx;
use crate::types::{ClassName, Object};

pub const PROTOCOL: &str = "graphql-transport-ws";

/// Close codes of the protocol.
const BAD_REQUEST: u16 = 4400;
const UNAUTHORIZED: u16 = 4401;
const FORBIDDEN: u16 = 4403;
const SUBSCRIBER_EXISTS: u16 = 4409;
const TOO_MANY_INITIALISATIONS: u16 = 4429;
/// Of live queries.
const SLOW_READER: u16 = 4008;

/// Longest id that a client may give a subscription.
const LONGEST_ID: usize = 256;

/// What a client may say of itself with `connection_init`: names of headers, and what live queries call them.
const KEYS: [(&str, &str); 8] = [
    ("x-parse-application-id", "applicationId"),
    ("x-parse-session-token", "sessionToken"),
    ("x-parse-master-key", "masterKey"),
    ("x-parse-javascript-key", "javascriptKey"),
    ("x-parse-client-key", "clientKey"),
    ("x-parse-windows-key", "windowsKey"),
    ("x-parse-rest-api-key", "restAPIKey"),
    ("x-parse-installation-id", "installationId"),
];

/// What understands documents.
pub trait Engine {
    /// Reads a subscription: `payload` has `query`, `variables`, `operationName` and `extensions`.
    ///
    /// # Errors
    /// The list of `errors`, as an answer over HTTP would have it.
    fn prepare(&self, ctx: Ctx, payload: Object) -> LocalBoxFuture<'_, Result<Prepared, Value>>;
}

/// What a document subscribes to.
pub struct Prepared {
    pub class: ClassName,
    /// In REST form.
    pub condition: Object,
    pub selection: Rc<dyn Selection>,
    /// Bytes that are kept for it.
    pub weight: usize,
}

/// What a document wants to see of an event.
pub trait Selection {
    /// The result for an event: `data`, `errors`.
    fn shown<'a>(&'a self, ctx: Ctx, event: &'static str, object: Value) -> LocalBoxFuture<'a, Value>;
}

/// A client that speaks it.
pub struct GraphQLClient {
    client: Client,
    /// By application id.
    engines: HashMap<String, Rc<dyn Engine>>,
    engine: Option<Rc<dyn Engine>>,
    /// The client's id of each subscription → the number that live queries know it by.
    numbers: HashMap<String, u64>,
    /// By that number, as JSON.
    active: HashMap<String, Active>,
    next: u64,
}

struct Active {
    id: String,
    selection: Rc<dyn Selection>,
}

fn close(code: u16, reason: impl Into<String>) -> Vec<Said> {
    vec![Said::Close(code, reason.into())]
}

fn frame(message: &Value) -> Said {
    Said::Frame(message.to_string())
}

fn refused(id: &str, refusal: &Refusal) -> Vec<Said> {
    let error = json!({ "message": refusal.message, "extensions": { "code": refusal.code } });
    vec![frame(&json!({ "id": id, "type": "error", "payload": [error] }))]
}

impl GraphQLClient {
    pub fn new(client: Client, engines: HashMap<String, Rc<dyn Engine>>) -> Self {
        Self { client, engines, engine: None, numbers: HashMap::new(), active: HashMap::new(), next: 1 }
    }

    async fn answer(&mut self, message: Map<String, Value>) -> Vec<Said> {
        match message.get("type").and_then(Value::as_str) {
            Some("connection_init") => self.init(message.get("payload")).await,
            Some("ping") => {
                let mut pong = Map::from_iter([("type".to_owned(), "pong".into())]);
                if let Some(payload) = message.get("payload") {
                    pong.insert("payload".to_owned(), payload.clone());
                }
                vec![frame(&Value::Object(pong))]
            }
            Some("pong") => Vec::new(),
            Some("subscribe") => self.subscribe(message).await,
            Some("complete") => {
                if let Some(id) = message.get("id").and_then(Value::as_str) {
                    self.complete(id).await;
                }
                Vec::new()
            }
            _ => close(BAD_REQUEST, "Invalid message received"),
        }
    }

    async fn init(&mut self, payload: Option<&Value>) -> Vec<Said> {
        if self.client.is_connected() {
            return close(TOO_MANY_INITIALISATIONS, "Too many initialisation requests");
        }
        let keys = keys(payload);
        let engine = keys.get("applicationId").and_then(Value::as_str).and_then(|id| self.engines.get(id));
        let Some(engine) = engine.cloned() else { return close(FORBIDDEN, "Forbidden") };
        if let Err(refusal) = self.client.perform(Request::Connect(keys)).await {
            return close(FORBIDDEN, short(&refusal.message));
        }
        self.engine = Some(engine);
        vec![frame(&json!({ "type": "connection_ack" }))]
    }

    async fn subscribe(&mut self, mut message: Map<String, Value>) -> Vec<Said> {
        let Some(engine) = self.engine.clone() else { return close(UNAUTHORIZED, "Unauthorized") };
        let (Some(Value::String(id)), Some(Value::Object(payload))) =
            (message.shift_remove("id"), message.shift_remove("payload"))
        else {
            return close(BAD_REQUEST, "Invalid message received");
        };
        if id.is_empty() || id.len() > LONGEST_ID || !payload.get("query").is_some_and(Value::is_string) {
            return close(BAD_REQUEST, "Invalid message received");
        }
        if self.numbers.contains_key(&id) {
            return close(SUBSCRIBER_EXISTS, short(&format!("Subscriber for {id} already exists")));
        }
        let ctx = match self.client.ctx().await {
            Ok(ctx) => ctx,
            Err(refusal) => return refused(&id, &refusal),
        };
        let prepared = match engine.prepare(ctx, payload).await {
            Ok(prepared) => prepared,
            Err(errors) => return vec![frame(&json!({ "id": id, "type": "error", "payload": errors }))],
        };
        let Prepared { class, condition, selection, weight } = prepared;
        let query = json!({ "className": class.as_str(), "where": condition });
        let request = Subscribe {
            request_id: self.next.into(),
            class: class.as_str().to_owned(),
            condition,
            keys: None,
            watch: None,
            session_token: None,
            resume_after: None,
            query: query.as_object().cloned().unwrap_or_default(),
            beside: weight + id.len(),
        };
        if let Err(refusal) = self.client.perform(Request::Subscribe(request)).await {
            return refused(&id, &refusal);
        }
        self.active.insert(self.next.to_string(), Active { id: id.clone(), selection });
        self.numbers.insert(id, self.next);
        self.next += 1;
        Vec::new()
    }

    async fn complete(&mut self, id: &str) {
        let Some(number) = self.numbers.remove(id) else { return };
        self.active.remove(&number.to_string());
        // What is not there any more is what was asked for.
        let _ = self.client.perform(Request::Unsubscribe { request_id: number.into() }).await;
    }

    async fn event(&self, parcel: &Parcel, request_id: &str) -> Option<Said> {
        let Active { id, selection } = self.active.get(request_id)?;
        let result = match parcel {
            Parcel::Event { event, object, .. } => {
                let object = serde_json::from_slice(object).ok()?;
                selection.shown(self.client.ctx().await.ok()?, event.name(), object).await
            }
            Parcel::Error { code, message } => {
                json!({ "errors": [{ "message": message, "extensions": { "code": code } }] })
            }
        };
        Some(frame(&json!({ "id": id, "type": "next", "payload": result })))
    }
}

/// A reason of a close frame has 123 bytes.
fn short(text: &str) -> String {
    let mut end = text.len().min(120);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Who the client says it is, in the words of live queries. Clients of HTTP have headers in an object of their own.
fn keys(payload: Option<&Value>) -> Map<String, Value> {
    let Some(Value::Object(payload)) = payload else { return Map::new() };
    let headers = payload.get("headers").and_then(Value::as_object).into_iter().flatten();
    let mut keys = Map::new();
    for (given, value) in payload.iter().chain(headers) {
        let given = given.to_ascii_lowercase();
        let known = KEYS.iter().find(|(header, name)| given == *header || given == name.to_ascii_lowercase());
        if let (Some((_, name)), Value::String(_)) = (known, value) {
            keys.insert((*name).to_owned(), value.clone());
        }
    }
    keys
}

impl Speaker for GraphQLClient {
    fn id(&self) -> ConnectionId {
        self.client.id
    }

    fn account(&self) -> &Arc<Account> {
        self.client.account()
    }

    fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    fn hear(&mut self, message: Option<String>) -> LocalBoxFuture<'_, Vec<Said>> {
        async move {
            let message = message.and_then(|text| crate::types::json::from_outside(text.as_bytes()).ok());
            match message {
                Some(Value::Object(message)) => self.answer(message).await,
                _ => close(BAD_REQUEST, "Invalid message received"),
            }
        }
        .boxed_local()
    }

    fn takes_time(&self) -> bool {
        true
    }

    fn event_frame(&self, _: &Parcel, _: &str) -> Option<String> {
        None
    }

    fn tell(&mut self, letters: Vec<Letter>) -> LocalBoxFuture<'_, Vec<Said>> {
        async move {
            let mut said = Vec::with_capacity(letters.len());
            let mut bytes = 0;
            for (parcel, request_id) in letters {
                let spoken = self.event(&parcel, &request_id).await;
                if let Some(Said::Frame(frame)) = &spoken {
                    self.client.count_frame();
                    bytes += frame.len();
                }
                said.extend(spoken);
                // A document may show much more than was told.
                if bytes > MAX_UNREAD {
                    said.extend(close(SLOW_READER, "The client does not read what it is sent"));
                    break;
                }
            }
            said
        }
        .boxed_local()
    }

    fn disconnected(&self) {
        self.client.disconnected();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_name_themselves_by_headers_or_as_live_queries_do() {
        let given = json!({ "X-Parse-Application-Id": "a", "sessionToken": "s", "masterKey": 1, "other": "x",
            "headers": { "x-parse-javascript-key": "j" } });
        let expected = json!({ "applicationId": "a", "sessionToken": "s", "javascriptKey": "j" });
        assert_eq!(Value::Object(keys(Some(&given))), expected);
        assert!(keys(None).is_empty());
        assert_eq!(short(&"ä".repeat(100)).len(), 120);
    }
}
