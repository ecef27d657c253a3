//! Frames of the LiveQuery protocol: what clients may say, checked with the texts of parse-server's
//! validator, and what the server answers.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::types::limits::{MAX_NAMES, MAX_RESUME_BYTES};

/// A checked client message.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Connect(Map<String, Value>),
    Subscribe(Subscribe),
    /// Replaces a subscription; answered by `subscribed` too.
    Update(Subscribe),
    Unsubscribe {
        request_id: Value,
    },
    /// SDK 8: the subscription's query, answered with its current results.
    Query {
        request_id: Value,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// As sent, so that the echo has the client's number format.
    pub request_id: Value,
    pub class: String,
    pub condition: Map<String, Value>,
    pub keys: Option<Vec<String>>,
    pub watch: Option<Vec<String>>,
    pub session_token: Option<String>,
    /// Our own addition: the last event the client saw, empty for none.
    pub resume_after: Option<String>,
    /// What `beforeSubscribe` handlers see.
    pub query: Map<String, Value>,
    /// Bytes that the caller keeps for this subscription besides.
    pub beside: usize,
}

/// An error frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub code: i32,
    pub message: String,
    pub reconnect: bool,
    pub request_id: Value,
}

impl Refusal {
    pub fn new(code: i32, message: impl Into<String>, reconnect: bool) -> Self {
        Self { code, message: message.into(), reconnect, request_id: Value::Null }
    }

    #[must_use]
    pub fn for_request(mut self, request_id: &Value) -> Self {
        self.request_id = request_id.clone();
        self
    }

    pub fn to_frame(&self) -> String {
        json!({
            "op": "error",
            "error": self.message,
            "code": self.code,
            "reconnect": self.reconnect,
            "requestId": self.request_id,
        })
        .to_string()
    }
}

type Checked<T> = Result<T, Refusal>;

fn invalid<T>(message: impl Into<String>) -> Checked<T> {
    Err(Refusal::new(1, message, true))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type<T>(value: &Value, expected: &str) -> Checked<T> {
    invalid(format!("Invalid type: {} (expected {expected})", type_name(value)))
}

/// What a message's key may hold. `Op` was looked at before.
#[derive(Clone, Copy)]
enum Kind {
    Op,
    Number,
    Text,
    Object,
    Texts,
    Query,
    /// The id of an event.
    Resume,
}

/// An object as the validator walks through it: required keys first, then each key as it was sent.
fn check_object(object: &Map<String, Value>, required: &[&str], known: &[(&str, Kind)]) -> Checked<()> {
    if let Some(key) = required.iter().find(|key| !object.contains_key(**key)) {
        return invalid(format!("Missing required property: {key}"));
    }
    for (key, value) in object {
        match known.iter().find(|(name, _)| name == key) {
            Some((_, kind)) => check_value(value, *kind)?,
            None => return invalid("Additional properties not allowed"),
        }
    }
    Ok(())
}

fn check_value(value: &Value, kind: Kind) -> Checked<()> {
    match (kind, value) {
        (Kind::Resume, Value::String(id)) if id.len() > MAX_RESUME_BYTES => {
            invalid(format!("String is too long ({} chars), maximum {MAX_RESUME_BYTES}", id.len()))
        }
        (Kind::Op, _)
        | (Kind::Resume, Value::String(_))
        | (Kind::Number, Value::Number(_))
        | (Kind::Text, Value::String(_))
        | (Kind::Object, Value::Object(_)) => Ok(()),
        (Kind::Texts, Value::Array(elements)) => check_texts(elements),
        (Kind::Query, Value::Object(query)) => {
            const KNOWN: [(&str, Kind); 4] = [
                ("className", Kind::Text),
                ("where", Kind::Object),
                ("keys", Kind::Texts),
                ("watch", Kind::Texts),
            ];
            check_object(query, &["where", "className"], &KNOWN)
        }
        (Kind::Number, _) => wrong_type(value, "number"),
        (Kind::Text | Kind::Resume, _) => wrong_type(value, "string"),
        (Kind::Object | Kind::Query, _) => wrong_type(value, "object"),
        (Kind::Texts, _) => wrong_type(value, "array"),
    }
}

fn check_texts(elements: &[Value]) -> Checked<()> {
    if elements.is_empty() {
        return invalid("Array is too short (0), minimum 1");
    }
    if elements.len() > MAX_NAMES {
        return invalid(format!("Array is too long ({}), maximum {MAX_NAMES}", elements.len()));
    }
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        if let Some(first) = seen.insert(element.to_string(), index) {
            return invalid(format!("Array items are not unique (indices {first} and {index})"));
        }
    }
    elements.iter().try_for_each(|element| check_value(element, Kind::Text))
}

/// Reads one text frame. `None`: not JSON, which is dropped without an answer.
pub fn parse(frame: &str) -> Option<Checked<Request>> {
    if frame.is_empty() {
        return Some(without_op());
    }
    let message: Value = crate::types::json::from_outside(frame.as_bytes()).ok()?;
    Some(check(message))
}

/// What parse-server answers to frames in which it sees no JSON text at all: empty and binary ones.
pub fn without_op() -> Checked<Request> {
    invalid("Missing required property: op")
}

fn check(message: Value) -> Checked<Request> {
    let Value::Object(object) = message else { return wrong_type(&message, "object") };
    let op = match object.get("op") {
        None => return without_op(),
        Some(Value::String(op)) => op.clone(),
        Some(other) => return wrong_type(other, "string"),
    };
    match op.as_str() {
        "connect" => connect(object),
        "subscribe" => subscribe(&object).map(Request::Subscribe),
        "update" => subscribe(&object).map(Request::Update),
        "unsubscribe" | "query" => {
            check_object(&object, &["op", "requestId"], &[("op", Kind::Op), ("requestId", Kind::Number)])?;
            let request_id = object["requestId"].clone();
            Ok(if op == "query" {
                Request::Query { request_id }
            } else {
                Request::Unsubscribe { request_id }
            })
        }
        other => invalid(format!("No enum match for: {}", Value::from(other))),
    }
}

fn connect(object: Map<String, Value>) -> Checked<Request> {
    const KNOWN: [(&str, Kind); 10] = [
        ("op", Kind::Op),
        ("applicationId", Kind::Text),
        ("javascriptKey", Kind::Text),
        ("masterKey", Kind::Text),
        ("clientKey", Kind::Text),
        ("windowsKey", Kind::Text),
        ("restAPIKey", Kind::Text),
        ("sessionToken", Kind::Text),
        ("installationId", Kind::Text),
        // Our own addition, which other servers refuse: the last event a client saw.
        ("resumeAfter", Kind::Resume),
    ];
    check_object(&object, &["op", "applicationId"], &KNOWN)?;
    Ok(Request::Connect(object))
}

fn subscribe(object: &Map<String, Value>) -> Checked<Subscribe> {
    const KNOWN: [(&str, Kind); 5] = [
        ("op", Kind::Op),
        ("requestId", Kind::Number),
        ("query", Kind::Query),
        ("sessionToken", Kind::Text),
        // Our own addition too.
        ("resumeAfter", Kind::Resume),
    ];
    check_object(object, &["op", "requestId", "query"], &KNOWN)?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let Some(Value::Object(query)) = object.get("query") else { return wrong_type(&Value::Null, "object") };
    let texts = |key: &str| -> Option<Vec<String>> {
        Some(query.get(key)?.as_array()?.iter().filter_map(|element| text(Some(element))).collect())
    };
    Ok(Subscribe {
        request_id: object["requestId"].clone(),
        class: text(query.get("className")).unwrap_or_default(),
        condition: query.get("where").and_then(Value::as_object).cloned().unwrap_or_default(),
        keys: texts("keys"),
        watch: texts("watch"),
        session_token: text(object.get("sessionToken")),
        resume_after: text(object.get("resumeAfter")),
        query: query.clone(),
        beside: 0,
    })
}

/// What happened, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    Create,
    Enter,
    Update,
    Leave,
    Delete,
}

impl Event {
    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::Create, Self::Enter, Self::Update, Self::Leave, Self::Delete];
        all.into_iter().find(|event| event.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Enter => "enter",
            Self::Update => "update",
            Self::Leave => "leave",
            Self::Delete => "delete",
        }
    }
}

/// What a client that wants event ids is told with its subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Where the order of events stands, sealed.
    pub id: String,
    /// Whether what it missed follows; else it has to ask for it with a find. `None`: it missed nothing.
    pub complete: Option<bool>,
}

/// The client that a frame is for: `clientId` and, when known, `installationId`.
#[derive(Clone, Debug)]
pub struct Addressee {
    pub client_id: String,
    pub installation_id: Option<String>,
}

impl Addressee {
    /// `connected`, `subscribed`, `unsubscribed`.
    pub fn answer(&self, op: &str, request_id: Option<&Value>) -> String {
        let mut out = self.head(op, request_id.map(Value::to_string).as_deref());
        out.push('}');
        out
    }

    /// `subscribed`; for clients that want event ids, with where the order of events stands.
    pub fn subscribed(&self, request_id: &Value, resumed: Option<&Resumed>) -> String {
        let mut out = self.head("subscribed", Some(&request_id.to_string()));
        if let Some(Resumed { id, complete }) = resumed {
            out.push_str(&format!(",\"eventId\":\"{id}\""));
            if let Some(complete) = complete {
                out.push_str(if *complete { ",\"resumed\":true" } else { ",\"resumed\":false" });
            }
        }
        out.push('}');
        out
    }

    /// An event around objects that are already JSON, as the request's id is.
    pub fn event(
        &self,
        op: &str,
        request_id: &str,
        object: &[u8],
        original: Option<&[u8]>,
        event_id: Option<&str>,
    ) -> String {
        let size = object.len() + original.map_or(0, <[u8]>::len);
        let mut out = self.head_with(op, Some(request_id), 192 + size);
        if let Some(id) = event_id {
            out.push_str(",\"eventId\":\"");
            out.push_str(id);
            out.push('"');
        }
        let mut part = |key: &str, json: &[u8]| {
            out.push_str(key);
            out.push_str(&String::from_utf8_lossy(json));
        };
        part(",\"object\":", object);
        if let Some(original) = original {
            part(",\"original\":", original);
        }
        out.push('}');
        out
    }

    fn head(&self, op: &str, request_id: Option<&str>) -> String {
        self.head_with(op, request_id, 192)
    }

    fn head_with(&self, op: &str, request_id: Option<&str>, capacity: usize) -> String {
        let mut out = String::with_capacity(capacity);
        for part in ["{\"op\":\"", op, "\",\"clientId\":\"", &self.client_id, "\""] {
            out.push_str(part);
        }
        if let Some(installation) = &self.installation_id {
            out.push_str(",\"installationId\":");
            out.push_str(&Value::from(installation.as_str()).to_string());
        }
        if let Some(request_id) = request_id {
            out.push_str(",\"requestId\":");
            out.push_str(request_id);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(frame: &str) -> (i32, String) {
        match parse(frame) {
            Some(Err(refusal)) => (refusal.code, refusal.message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refuses_with_the_validators_texts() {
        assert_eq!(refusal("{}"), (1, "Missing required property: op".into()));
        assert_eq!(refusal(r#"{"op":"nope"}"#), (1, "No enum match for: \"nope\"".into()));
        assert_eq!(refusal(r#"{"op":"connect"}"#), (1, "Missing required property: applicationId".into()));
        assert_eq!(
            refusal(r#"{"op":"connect","applicationId":"a","x":1}"#),
            (1, "Additional properties not allowed".into())
        );
        assert_eq!(
            refusal(r#"{"op":"connect","applicationId":1}"#),
            (1, "Invalid type: number (expected string)".into())
        );
        assert_eq!(
            refusal(r#"{"op":"subscribe","requestId":1,"query":{"className":"A"}}"#),
            (1, "Missing required property: where".into())
        );
        assert_eq!(
            refusal(r#"{"op":"subscribe","requestId":1,"query":{"className":"A","where":{},"keys":[]}}"#),
            (1, "Array is too short (0), minimum 1".into())
        );
        // In the order in which the keys were sent, unless a required one is missing.
        assert_eq!(
            refusal(r#"{"op":"subscribe","x":1,"requestId":"1","query":1}"#),
            (1, "Additional properties not allowed".into())
        );
        assert_eq!(
            refusal(r#"{"op":"subscribe","requestId":1,"query":{"className":"A","where":{},"watch":[1,1]}}"#),
            (1, "Array items are not unique (indices 0 and 1)".into())
        );
        assert_eq!(refusal("[]"), (1, "Invalid type: array (expected object)".into()));
        assert_eq!(refusal(""), (1, "Missing required property: op".into()));
        assert_eq!(parse("not json"), None);
    }

    #[test]
    fn events_carry_what_is_known() {
        let to = Addressee { client_id: "c".into(), installation_id: Some("i\"".into()) };
        let frame = to.event("update", "7", br#"{"a":1}"#, Some(br#"{"a":0}"#), None);
        let frame: Value = serde_json::from_str(&frame).expect("a frame is JSON");
        assert_eq!(
            frame,
            json!({"op":"update","clientId":"c","installationId":"i\"","requestId":7,"object":{"a":1},"original":{"a":0}})
        );
    }
}
