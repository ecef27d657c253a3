//! Requests and answers of the REST API without the transport. HTTP, `/batch` items and the calls that
//! Cloud Code makes through its SDK all become a [`RestRequest`] and get a [`RestResponse`] back.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::cloud::{Method, Payload};
use crate::error::{Error, Result};
use crate::types::Object;

/// One request, below the mount path, with credentials already taken out.
#[derive(Clone, Debug, Default)]
pub struct RestRequest {
    /// Parameters of the URL, nested where it had brackets; texts are not parsed yet.
    pub query: Object,
    /// The JSON body; of an array, its elements by index.
    pub body: Object,
    /// Files of a `multipart/form-data` body, by field.
    pub uploads: Vec<(String, Bytes)>,
    /// Named parts of the path, percent-decoded.
    pub params: PathParams,
}

pub type PathParams = SmallVec<[(&'static str, String); 2]>;

impl RestRequest {
    /// Part of the path; empty when the route has no such part.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// What read routes go by: the body overlaid with the URL's parameters, whose values are parsed as
    /// JSON where that is possible (parse-server's `JSONFromQuery`).
    pub fn read_params(&mut self) -> Object {
        let mut all = std::mem::take(&mut self.body);
        for (key, value) in std::mem::take(&mut self.query) {
            all.insert(key, parsed(value));
        }
        all
    }

    /// Body overlaid with the URL's parameters as they stand.
    pub fn merged(&mut self) -> Object {
        let mut all = std::mem::take(&mut self.body);
        all.extend(std::mem::take(&mut self.query));
        all
    }
}

fn parsed(value: Value) -> Value {
    match value {
        Value::String(text) => match crate::types::json::from_outside(text.as_bytes()) {
            Ok(value) => value,
            Err(_) => Value::String(text),
        },
        other => other,
    }
}

/// What a route answers.
#[derive(Clone, Debug)]
pub struct RestResponse {
    pub status: u16,
    pub body: RestBody,
    pub location: Option<String>,
    pub headers: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub enum RestBody {
    /// JSON text, sent as it is.
    Json(Bytes),
    Value(Value),
}

impl RestResponse {
    pub fn value(value: impl Into<Value>) -> Self {
        Self { status: 200, body: RestBody::Value(value.into()), location: None, headers: Vec::new() }
    }

    /// JSON text.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self { status: 200, body: RestBody::Json(text.into()), location: None, headers: Vec::new() }
    }

    /// `{}`
    pub fn empty() -> Self {
        Self::json(Bytes::from_static(b"{}"))
    }

    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    #[must_use]
    pub fn with_location(self, location: Option<String>) -> Self {
        Self { location, ..self }
    }

    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl RestBody {
    /// # Errors
    /// 500 when a value cannot be written as JSON.
    pub fn into_bytes(self) -> Result<Bytes> {
        match self {
            Self::Json(bytes) => Ok(bytes),
            Self::Value(value) => serde_json::to_vec(&value).map(Bytes::from).map_err(Error::internal),
        }
    }

    /// For Cloud Code, which gets text as it is.
    ///
    /// # Errors
    /// 500 when the bytes are not JSON.
    pub fn into_payload(self) -> Result<Payload> {
        Ok(match self {
            Self::Value(value) => Payload::Value(value),
            Self::Json(bytes) => {
                let text = String::from_utf8(bytes.into()).map_err(Error::internal)?;
                Payload::Raw(RawValue::from_string(text).map_err(Error::internal)?)
            }
        })
    }
}

/// What routes match on; methods outside the four lead nowhere.
pub fn method_of(name: &str) -> Option<Method> {
    // Express answers HEAD by the GET route without its body.
    Method::from_name(if name == "HEAD" { "GET" } else { name })
}
