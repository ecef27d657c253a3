//! Webhooks: functions and triggers that live behind a URL.
//!
//! The hooks API stores them; [`super::hub::CloudHub`] calls them through here. The form of requests and
//! answers is that of parse-server's `HooksController`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use self::proofs::Proofs;
use super::merge::{merged, pending};
use super::{
    Caller, FILE_CLASS, FunctionAnswer, FunctionCall, FunctionInfo, Payload, Registrations, Scope,
    TriggerAnswer, TriggerCall, TriggerInfo, TriggerKind,
};
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::{Outbound, OutboundError, Request};
use crate::types::aside::{LONG, aside};
use crate::types::json::from_outside;

/// How long a webhook may take where the call has no deadline of its own.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
const KEY_HEADER: HeaderName = HeaderName::from_static("x-parse-webhook-key");

/// A row of `_Hooks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub target: HookTarget,
    pub url: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HookTarget {
    Function(String),
    Trigger { kind: TriggerKind, class: String },
}

impl Hook {
    /// Reads `{functionName, url}` or `{className, triggerName, url}`; `None` for anything else.
    pub fn from_row(row: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let target = match (text("functionName"), text("className"), text("triggerName")) {
            (Some(name), _, _) => HookTarget::Function(name.to_owned()),
            (None, Some(class), Some(kind)) => {
                HookTarget::Trigger { kind: TriggerKind::from_name(kind)?, class: class.to_owned() }
            }
            _ => return None,
        };
        Some(Self { target, url: text("url")?.to_owned() })
    }
}

/// The hooks at one moment.
#[derive(Debug, Default)]
pub struct HookTable {
    urls: HashMap<HookTarget, String>,
    pub registrations: Registrations,
}

impl HookTable {
    pub fn new(hooks: Vec<Hook>) -> Self {
        let mut table = Self::default();
        for hook in hooks {
            match &hook.target {
                HookTarget::Function(name) => {
                    table.registrations.add_function(name, FunctionInfo::default());
                }
                HookTarget::Trigger { kind, class } => {
                    table.registrations.add_trigger(*kind, class, TriggerInfo::default());
                }
            }
            table.urls.insert(hook.target, hook.url);
        }
        table
    }

    pub fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }

    pub fn url(&self, target: &HookTarget) -> Option<&str> {
        self.urls.get(target).map(String::as_str)
    }
}

/// Calls webhooks.
#[derive(Clone, Debug)]
pub struct WebhookClient {
    outbound: Arc<Outbound>,
    key: Option<HeaderValue>,
}

impl WebhookClient {
    /// A client that follows no redirects, since the key would go along.
    ///
    /// # Errors
    /// When the key is no header value.
    pub fn new(outbound: Arc<Outbound>, webhook_key: Option<&str>) -> Result<Self> {
        let key = webhook_key.map(HeaderValue::from_str).transpose().map_err(Error::internal)?;
        let key = key.map(|mut key| {
            key.set_sensitive(true);
            key
        });
        Ok(Self { outbound, key })
    }

    /// # Errors
    /// 141 with what the hook answered as its error, or with what went wrong on the way.
    pub async fn run_function(&self, url: &str, call: FunctionCall) -> Result<FunctionAnswer> {
        let mut body = caller_fields(&call.caller);
        body.insert("functionName".into(), call.name.into());
        body.insert("params".into(), call.params.into());
        body.insert("context".into(), super::plain_context(call.context).into());
        Proofs::keep_back(&mut body, false);
        let success = self.call(url, &body, call.scope).await?;
        let result = success.map(|value| serde_json::value::to_raw_value(&value)).transpose();
        let result: Option<Box<RawValue>> = result.map_err(Error::internal)?;
        Ok(FunctionAnswer { result, ..FunctionAnswer::default() })
    }

    /// # Errors
    /// As [`Self::run_function`].
    pub async fn run_trigger(&self, url: &str, call: TriggerCall) -> Result<TriggerAnswer> {
        let (kind, scope) = (call.kind, call.scope);
        let code = refusal_code(kind, &call.class_name);
        let is_user = call.class_name == "_User";
        let mut body = trigger_body(call).map_err(Error::internal)?;
        let proofs = Proofs::keep_back(&mut body, is_user);
        let mut success = self.call(url, &body, scope).await.map_err(|error| match error {
            Error::Parse { message, .. } => Error::parse(code, message),
            Error::Thrown { value, .. } => Error::thrown(Some(code), *value),
            other => other,
        })?;
        success.iter_mut().for_each(|answer| proofs.put_back(answer));
        Ok(trigger_answer(kind, success))
    }

    async fn call(&self, url: &str, body: &Map<String, Value>, scope: Scope) -> Result<Option<Value>> {
        let mut request = Request::post(url)
            .within(scope.deadline.unwrap_or(TIMEOUT))
            .at_most(MAX_ANSWER)
            .json(body)
            .map_err(Error::internal)?;
        match &self.key {
            Some(key) => request = request.header(KEY_HEADER, key.clone()),
            None => tracing::warn!("Making outgoing webhook request without webhookKey being set!"),
        }
        let answer = self.outbound.send(request).await.map_err(|error| unreachable_hook(&error))?;
        let status = answer.status;
        if status.is_client_error() || status.is_server_error() {
            return Err(script_failed(format!("The webhook answered with status {}.", status.as_u16())));
        }
        let text = answer.body;
        if text.is_empty() {
            return Ok(None);
        }
        let read =
            if text.len() > LONG { aside(move || from_outside(&text)).await? } else { from_outside(&text) };
        let Ok(Value::Object(mut answer)) = read else {
            return Err(script_failed("Malformed response".to_owned()));
        };
        match answer.remove("error") {
            Some(error) if !is_empty(&error) => {
                Err(Error::thrown(Some(ErrorCode::SCRIPT_FAILED), thrown(error)))
            }
            _ => Ok(answer.remove("success")),
        }
    }
}

/// The client learns that the hook failed, not where it is.
fn unreachable_hook(error: &OutboundError) -> Error {
    tracing::error!(%error, "a webhook could not be called");
    let text = match error {
        OutboundError::Deadline => "The webhook did not answer in time.",
        OutboundError::TooLarge(_) => "The webhook answered with too much data.",
        _ => "The webhook could not be reached.",
    };
    script_failed(text.to_owned())
}

fn script_failed(text: String) -> Error {
    Error::parse(ErrorCode::SCRIPT_FAILED, text)
}

/// What JavaScript takes for false: such an error is none.
fn is_empty(error: &Value) -> bool {
    match error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

/// The message of an error object that has one, else what the hook gave as it is.
fn thrown(mut error: Value) -> Value {
    match error.get_mut("message") {
        Some(message) if !is_empty(message) => message.take(),
        _ => error,
    }
}

/// The code of an error by which a hook refuses: triggers of files have those of files.
fn refusal_code(kind: TriggerKind, class: &str) -> ErrorCode {
    match kind {
        TriggerKind::BeforeSave | TriggerKind::AfterSave if class == FILE_CLASS => ErrorCode::FILE_SAVE_ERROR,
        TriggerKind::BeforeDelete | TriggerKind::AfterDelete if class == FILE_CLASS => {
            ErrorCode::FILE_DELETE_ERROR
        }
        _ => ErrorCode::SCRIPT_FAILED,
    }
}

fn caller_fields(caller: &Caller) -> Map<String, Value> {
    let Value::Object(mut fields) = json!({
        "master": caller.master,
        "isReadOnly": caller.is_read_only,
        "headers": caller.headers.as_ref(),
    }) else {
        return Map::new();
    };
    if let Some(user) = &caller.user {
        fields.insert("user".into(), user.as_ref().clone());
    }
    if let Some(id) = &caller.installation_id {
        fields.insert("installationId".into(), id.clone().into());
    }
    if let Some(ip) = &caller.ip {
        fields.insert("ip".into(), ip.clone().into());
    }
    fields
}

fn object_of(payload: Option<Payload>) -> serde_json::Result<Option<Map<String, Value>>> {
    match payload.map(Payload::into_value).transpose()? {
        Some(Value::Object(object)) => Ok(Some(object)),
        _ => Ok(None),
    }
}

fn trigger_body(call: TriggerCall) -> serde_json::Result<Map<String, Value>> {
    let mut body = caller_fields(&call.caller);
    body.insert("triggerName".into(), call.kind.as_str().into());
    let named = |mut object: Map<String, Value>| {
        object.insert("className".into(), call.class_name.clone().into());
        Value::Object(object)
    };
    let original = object_of(call.original)?;
    let mut object = object_of(call.object)?;
    if let Some(data) = object_of(call.data)? {
        let shown = if call.kind == TriggerKind::BeforeSave { pending } else { merged };
        let mut whole = shown(original.as_ref(), &data);
        // Of a field that was changed in part, others may have changed other parts meanwhile.
        let in_parts = data.keys().filter_map(|key| key.split_once('.').map(|(field, _)| field));
        for field in in_parts.filter(|_| call.kind == TriggerKind::AfterSave) {
            if let Some(stored) = object.as_ref().and_then(|object| object.get(field)) {
                whole.insert(field.to_owned(), stored.clone());
            }
        }
        for (key, value) in object_of(call.response)?.unwrap_or_default() {
            // What was taken away is not there; the client alone is told so.
            if value.get("__op").is_some_and(|op| op == "Delete") {
                whole.shift_remove(&key);
            } else {
                whole.insert(key, value);
            }
        }
        object = Some(whole);
    }
    if let Some(mut object) = object {
        if let Some(id) = call.object_id {
            object.entry("objectId").or_insert(id.into());
        }
        body.insert("object".into(), named(object));
    }
    if let Some(original) = original {
        body.insert("original".into(), named(original));
    }
    if let Some(query) = call.query {
        body.insert("query".into(), query);
    }
    if let Some(objects) = call.objects {
        body.insert("objects".into(), objects.into_value()?);
    }
    match call.kind {
        TriggerKind::BeforeFind => {
            body.insert("count".into(), call.count.into());
            body.insert("isGet".into(), call.is_get.into());
        }
        TriggerKind::AfterFind => {
            body.insert("isGet".into(), call.is_get.into());
        }
        _ => {}
    }
    if let Some(file) = call.file {
        body.insert("fileSize".into(), file.file_size.into());
        body.insert("file".into(), serde_json::to_value(file)?);
    }
    if let Some(live) = call.live
        && let Value::Object(live) = serde_json::to_value(live)?
    {
        body.extend(live);
    }
    body.extend(call.extra);
    body.insert("context".into(), super::plain_context(call.context).into());
    Ok(body)
}

fn trigger_answer(kind: TriggerKind, success: Option<Value>) -> TriggerAnswer {
    let mut answer = TriggerAnswer::default();
    match (kind, success) {
        (TriggerKind::BeforeSave, Some(Value::Object(mut object))) => {
            for key in ["createdAt", "updatedAt", "className"] {
                object.shift_remove(key);
            }
            answer.replacement = Some(Value::Object(object));
        }
        (TriggerKind::AfterSave, result @ Some(Value::Object(_) | Value::Array(_))) => {
            answer.replacement = result;
        }
        (TriggerKind::AfterFind, Some(objects @ Value::Array(_))) => {
            answer.objects = serde_json::value::to_raw_value(&objects).ok();
        }
        _ => {}
    }
    answer
}

mod proofs;

#[cfg(test)]
pub(super) mod loopback;
#[cfg(test)]
mod tests;
