//! The calls the server makes into application code, and their answers.
//!
//! Plain data in Parse REST encoding, made by operations and the HTTP layer, consumed by the engines.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::registrations::TriggerKind;

/// What handlers of one operation hand on to each other: header `X-Parse-Cloud-Context`, `_context`, or
/// the SDK's `context` option to begin with.
pub type Context = Map<String, Value>;

/// Under this key an engine keeps what JSON cannot say of a context: types and identities of its own values.
pub const KEPT_KEY: &str = "__kept";

/// The context without what an engine keeps beside it: for everybody but that engine.
pub fn plain_context(mut context: Context) -> Context {
    context.shift_remove(KEPT_KEY);
    context
}

/// A transaction that SDK calls of the running handler may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(pub u64);

/// A function of the JavaScript configuration file; in option values it reads `{"__callback": id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallbackId(pub u32);

impl CallbackId {
    /// The id in an option value, if that value is a callback.
    pub fn from_option(value: &Value) -> Option<Self> {
        value.get("__callback")?.as_u64().and_then(|id| u32::try_from(id).ok()).map(Self)
    }
}

/// Who made the request that leads to a call: the `request` fields that do not depend on its kind.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    pub master: bool,
    pub is_read_only: bool,
    /// The complete user object with `sessionToken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<Value>>,
    /// Role names with their `role:` prefix. Needed only where the registration says `needs_roles`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Arc<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Lower-case header names.
    pub headers: Arc<Map<String, Value>>,
    /// What the engine kept of `requestContextMiddleware` for this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_context: Option<Arc<Value>>,
}

/// Where a call stands among others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    pub transaction: Option<TransactionId>,
    /// Cloud Code calls above this one: 0 for a client's request, else the `depth` of the
    /// [`super::InternalRequest`] that led here.
    pub depth: u16,
    /// How long the caller waits; `None` takes the engine's default for the kind of call.
    pub deadline: Option<Duration>,
}

/// JSON that may already be text, so that rows encoded from the database are not parsed again.
#[derive(Clone, Debug)]
pub enum Payload {
    Value(Value),
    Raw(Box<RawValue>),
}

impl Payload {
    /// # Errors
    /// When the text is not JSON.
    pub fn into_value(self) -> serde_json::Result<Value> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Raw(raw) => serde_json::from_str(raw.get()),
        }
    }
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Raw(raw) => raw.serialize(serializer),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct FunctionCall {
    pub name: String,
    /// Body merged with the URL query, not decoded.
    pub params: Map<String, Value>,
    /// Contents of uploaded files: `params[name]` is then `{filename, contentType}`, and the handler
    /// finds the bytes in its `data`.
    pub uploads: Vec<(String, Bytes)>,
    pub caller: Caller,
    pub context: Context,
    pub scope: Scope,
}

/// What a function answered.
#[derive(Debug, Default)]
pub struct FunctionAnswer {
    /// Encoded; `None` for undefined, which the client sees as `{}`.
    pub result: Option<Box<RawValue>>,
    /// Set by `response.status(n)` of a two-parameter handler.
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
}

/// A file as `Parse.File` triggers see it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct FilePayload {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Base64; `None` when the content stays with the server (streams, deletes, downloads).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    pub metadata: Map<String, Value>,
    pub tags: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    pub file_size: Option<u64>,
    /// The upload is a stream: handlers see `request.stream === true` and no data.
    pub stream: bool,
    pub force_download: bool,
    pub response_headers: Map<String, Value>,
}

/// The extra fields of live-query triggers (facts on LiveQuery, triggers).
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveQueryPayload {
    /// `connect`, `subscribe`, `create`, `ws_disconnect`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscriptions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_master_key: Option<bool>,
    /// Of the message that is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Value>,
    /// What handlers see of the client: `{id, sessionToken, installationId, hasMasterKey}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One trigger to run. Which fields count depends on the kind:
///
/// | kind | fields |
/// |-|-|
/// | beforeSave | `object_id`, `original` (updates), `data` |
/// | afterSave | the same and `response`, or `object` |
/// | beforeDelete, afterDelete, logins, logout, password reset | `object` |
/// | beforeFind | `query`, `count`, `is_get` |
/// | afterFind | `objects`, `query`, `is_get` |
/// | any on `@File` | `file` |
/// | any on `@Config` | `object` (params), `original` (params) |
/// | live query | `live`, and `query` or `object` and `original` |
#[derive(Clone, Debug)]
pub struct TriggerCall {
    pub kind: TriggerKind,
    pub class_name: String,
    pub object_id: Option<String>,
    /// The stored object before the write.
    pub original: Option<Payload>,
    /// What the client wants to write, ops included.
    pub data: Option<Payload>,
    /// What the write answered (`objectId`, `createdAt`, `updatedAt`, results of ops).
    pub response: Option<Payload>,
    /// A complete object.
    pub object: Option<Payload>,
    /// An array of complete objects.
    pub objects: Option<Payload>,
    /// `{where, limit, skip, order, keys, include, …}` in REST form.
    pub query: Option<Value>,
    pub count: bool,
    pub is_get: bool,
    pub file: Option<FilePayload>,
    pub live: Option<LiveQueryPayload>,
    /// Further fields of the request object: `isChallenge`, `createdWith`, `resendRequest`, …
    pub extra: Map<String, Value>,
    pub caller: Caller,
    pub context: Context,
    pub scope: Scope,
}

impl TriggerCall {
    /// A call with nothing but its address.
    pub fn new(kind: TriggerKind, class_name: impl Into<String>) -> Self {
        Self {
            kind,
            class_name: class_name.into(),
            object_id: None,
            original: None,
            data: None,
            response: None,
            object: None,
            objects: None,
            query: None,
            count: false,
            is_get: false,
            file: None,
            live: None,
            extra: Map::new(),
            caller: Caller::default(),
            context: Context::new(),
            scope: Scope::default(),
        }
    }
}

/// What a trigger leaves behind. Empty when none is registered.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerAnswer {
    /// beforeSave: the fields and ops to write, replacing `data` as a whole (`objectId` included when
    /// known). afterSave: the object after the handler, or the SDK object it returned. Live query: the object to
    /// send. `@Config`: the params.
    pub object: Option<Map<String, Value>>,
    /// beforeSave: an object in place of `data` that the code did not make of `data` step by step.
    /// afterSave: a plain object or an array that replaces the response as it is.
    pub replacement: Option<Value>,
    /// afterEvent: the previous object to send.
    pub original: Option<Map<String, Value>>,
    /// beforeFind, beforeSubscribe: the query after the handler, in the form of the call.
    pub query: Option<Map<String, Value>>,
    /// afterFind: the results. beforeFind: the objects that short-circuit the database; those with an
    /// `objectId` are re-read with the caller's rights. A JSON array, as text.
    pub objects: Option<Box<RawValue>>,
    /// afterFind: the handler left the objects as they were; `objects` is absent then.
    pub unchanged: bool,
    /// beforeFind: what the handler set on the request.
    pub read_preference: Option<String>,
    pub include_read_preference: Option<String>,
    pub subquery_read_preference: Option<String>,
    pub file: Option<FilePayload>,
    /// afterEvent: `Some(false)` drops the event.
    pub send_event: Option<bool>,
    /// afterEvent: the event's name after the handler.
    pub event: Option<String>,
    /// The context after the handler, for kinds that hand it on.
    pub context: Option<Context>,
}

impl TriggerAnswer {
    /// The objects as JSON trees.
    ///
    /// # Errors
    /// When they are no array.
    pub fn read_objects(&self) -> serde_json::Result<Option<Vec<Value>>> {
        self.objects.as_ref().map(|objects| serde_json::from_str(objects.get())).transpose()
    }

    /// The fields of a beforeSave answer that differ from what the client sent.
    pub fn fields_changed<'a>(&'a self, data: &'a Map<String, Value>) -> impl Iterator<Item = &'a str> {
        self.object
            .iter()
            .flatten()
            .filter(|(key, value)| data.get(*key) != Some(*value))
            .map(|(key, _)| key.as_str())
    }
}

#[derive(Clone, Debug, Default)]
pub struct JobCall {
    pub name: String,
    /// `objectId` of the `_JobStatus` row.
    pub job_id: String,
    pub params: Map<String, Value>,
    pub ip: Option<String>,
    pub headers: Arc<Map<String, Value>>,
    pub scope: Scope,
}

/// A method of an adapter module to call. What it throws comes back as it does from a function.
#[derive(Clone, Debug)]
pub struct AdapterCall {
    /// The option's name: `auth.acme`, `emailAdapter`.
    pub adapter: String,
    pub method: String,
    pub args: Vec<AdapterArg>,
    pub deadline: Option<Duration>,
}

/// A call of a file adapter of the application's own, with the content that flows while it runs.
#[derive(Debug)]
pub struct FileAdapterCall {
    /// The option's name: `filesAdapter`.
    pub adapter: String,
    /// A method of the host's `files.cjs`.
    pub method: &'static str,
    pub args: Value,
    pub flow: Flow,
}

/// Content on its way to or from a file adapter. A call with a flow has no deadline: who holds the other
/// end ends it by dropping that.
#[derive(Debug)]
pub enum Flow {
    None,
    /// Pieces for the adapter. `None` is the end; a channel that closes before is an upload broken off.
    Input(mpsc::Receiver<Option<Bytes>>),
    Output(mpsc::Sender<Flowed>),
}

/// What comes out of a file adapter: its head, then its content.
#[derive(Debug, PartialEq, Eq)]
pub enum Flowed {
    /// Size of the file; first byte and length of what follows.
    Head {
        size: u64,
        start: u64,
        length: u64,
    },
    Data(Bytes),
}

#[derive(Clone, Debug)]
pub enum AdapterArg {
    /// As it is.
    Json(Value),
    /// With dates, pointers and objects (`__type`) made SDK values.
    Decoded(Value),
    /// `undefined`.
    Nothing,
    /// The adapter's own options, functions in them included.
    Options,
    /// The request that a function in the form of an Express middleware gets, with response and `next`.
    Exchange(Value),
    /// A trigger-style request object.
    Request(Box<TriggerCall>),
}
