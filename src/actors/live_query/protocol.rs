//! Frames of the LiveQuery protocol: what clients may say, checked with the texts of parse-server's
//! validator, and what the server answers.

use serde_json::{Map, Value, json};

use super::class::Resumed;

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

fn require(object: &Map<String, Value>, keys: &[&str]) -> Checked<()> {
    match keys.iter().find(|key| !object.contains_key(**key)) {
        Some(key) => invalid(format!("Missing required property: {key}")),
        None => Ok(()),
    }
}

fn only(object: &Map<String, Value>, keys: &[&str]) -> Checked<()> {
    if object.keys().all(|key| keys.contains(&key.as_str())) {
        return Ok(());
    }
    invalid("Additional properties not allowed")
}

fn text(object: &Map<String, Value>, key: &str) -> Checked<Option<String>> {
    match object.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => wrong_type(other, "string"),
    }
}

fn number(object: &Map<String, Value>, key: &str) -> Checked<Value> {
    match object.get(key) {
        Some(value @ Value::Number(_)) => Ok(value.clone()),
        Some(other) => wrong_type(other, "number"),
        None => invalid(format!("Missing required property: {key}")),
    }
}

fn unique_texts(object: &Map<String, Value>, key: &str) -> Checked<Option<Vec<String>>> {
    let Some(value) = object.get(key) else { return Ok(None) };
    let Value::Array(elements) = value else { return wrong_type(value, "array") };
    if elements.is_empty() {
        return invalid("Array is too short (0), minimum 1");
    }
    let mut texts: Vec<String> = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let Value::String(text) = element else { return wrong_type(element, "string") };
        if let Some(first) = texts.iter().position(|known| known == text) {
            return invalid(format!("Array items are not unique (indices {first} and {index})"));
        }
        texts.push(text.clone());
    }
    Ok(Some(texts))
}

/// Reads one text frame. `None`: not JSON, which is dropped without an answer.
pub fn parse(frame: &str) -> Option<Checked<Request>> {
    let message: Value = serde_json::from_str(frame).ok()?;
    Some(check(&message))
}

fn check(message: &Value) -> Checked<Request> {
    let Value::Object(object) = message else { return wrong_type(message, "object") };
    require(object, &["op"])?;
    let Some(Value::String(op)) = object.get("op") else {
        return wrong_type(&object["op"], "string");
    };
    match op.as_str() {
        "connect" => connect(object),
        "subscribe" => subscribe(object).map(Request::Subscribe),
        "update" => subscribe(object).map(Request::Update),
        "unsubscribe" | "query" => {
            only(object, &["op", "requestId"])?;
            let request_id = number(object, "requestId")?;
            Ok(if op == "query" {
                Request::Query { request_id }
            } else {
                Request::Unsubscribe { request_id }
            })
        }
        other => invalid(format!("No enum match for: \"{other}\"")),
    }
}

fn connect(object: &Map<String, Value>) -> Checked<Request> {
    const TEXTS: [&str; 9] = [
        "applicationId",
        "javascriptKey",
        "masterKey",
        "clientKey",
        "windowsKey",
        "restAPIKey",
        "sessionToken",
        "installationId",
        // Our own addition, which other servers refuse: the last event a client saw.
        "resumeAfter",
    ];
    for key in TEXTS {
        text(object, key)?;
    }
    require(object, &["applicationId"])?;
    if object.keys().any(|key| key != "op" && !TEXTS.contains(&key.as_str())) {
        return invalid("Additional properties not allowed");
    }
    Ok(Request::Connect(object.clone()))
}

fn subscribe(object: &Map<String, Value>) -> Checked<Subscribe> {
    require(object, &["requestId", "query"])?;
    // `resumeAfter` is our own addition, which other servers refuse.
    only(object, &["op", "requestId", "query", "sessionToken", "resumeAfter"])?;
    let request_id = number(object, "requestId")?;
    let Some(Value::Object(query)) = object.get("query") else {
        return wrong_type(&object["query"], "object");
    };
    require(query, &["where", "className"])?;
    only(query, &["className", "where", "keys", "watch"])?;
    let class = text(query, "className")?.unwrap_or_default();
    let condition = match query.get("where") {
        Some(Value::Object(condition)) => condition.clone(),
        other => return wrong_type(other.unwrap_or(&Value::Null), "object"),
    };
    Ok(Subscribe {
        request_id,
        class,
        condition,
        keys: unique_texts(query, "keys")?,
        watch: unique_texts(query, "watch")?,
        session_token: text(object, "sessionToken")?,
        resume_after: text(object, "resumeAfter")?,
        query: query.clone(),
    })
}

/// Who a frame is for: `clientId` and, when known, `installationId`.
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
