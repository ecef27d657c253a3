//! Option `push`, read once at start: the names are those of `@parse/push-adapter` and parse-server.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::error::{Error, ErrorCode, Result};
use crate::types::Object;

/// 115, with which parse-server refuses to start.
pub fn misconfigured(text: impl Into<Cow<'static, str>>) -> Error {
    Error::parse(ErrorCode::PUSH_MISCONFIGURED, text)
}

/// Keys of option `push` that are no push types.
const OTHERS: &[&str] = &["adapter", "queueOptions", "deliveryLog"];

/// What parse-server's queue may be told, and what the delivery log keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueOptions {
    pub batch_size: Option<usize>,
    /// This server accepts pushes and leaves them to others to send.
    pub disable_worker: bool,
    /// Days for which the result of each device is kept; `None`: not at all.
    pub log_days: Option<f64>,
}

impl QueueOptions {
    /// # Errors
    /// 115 for numbers that are none.
    pub fn read(push: &Object) -> Result<Self> {
        let queue = push.get("queueOptions").and_then(Value::as_object);
        let option = |name: &str| queue.and_then(|queue| queue.get(name)).filter(|value| !value.is_null());
        if option("messageQueueAdapter").is_some() {
            tracing::warn!(
                "push.queueOptions.messageQueueAdapter is left out: pushes are queued in the database, from where every server without disablePushWorker sends them."
            );
        }
        let batch_size = match option("batchSize") {
            None => None,
            Some(size) => match size.as_u64().filter(|size| (1..=10_000).contains(size)) {
                Some(size) => usize::try_from(size).ok(),
                None => {
                    return Err(misconfigured(
                        "push.queueOptions.batchSize must be a number from 1 to 10000.",
                    ));
                }
            },
        };
        let log_days = match push.get("deliveryLog") {
            None | Some(Value::Null | Value::Bool(false)) => None,
            Some(Value::Bool(true)) => Some(30.0),
            Some(Value::Object(log)) => match log.get("keep").and_then(Value::as_f64) {
                Some(days) if days > 0.0 && days <= 36_500.0 => Some(days),
                _ => return Err(misconfigured("push.deliveryLog.keep must be a number of days.")),
            },
            Some(_) => return Err(misconfigured("push.deliveryLog must be true, false or {keep: days}.")),
        };
        let disable_worker = option("disablePushWorker").is_some_and(crate::types::javascript::is_truthy);
        Ok(Self { batch_size, disable_worker, log_days })
    }
}

/// The push types of the option, with what is said of each.
///
/// # Errors
/// 115 for names that are neither push types nor options.
pub fn types(push: &Object) -> Result<Vec<(&'static str, &Value)>> {
    let mut types = Vec::new();
    for (name, options) in push.iter().filter(|(name, _)| !OTHERS.contains(&name.as_str())) {
        let Some(kind) = super::TYPES.iter().find(|kind| *kind == name) else {
            return Err(misconfigured(format!("Push to {name} is not supported")));
        };
        types.push((*kind, options));
    }
    Ok(types)
}

/// One object, or an array of them.
///
/// # Errors
/// 115 for anything else.
pub fn objects<'a>(options: &'a Value, wrong: &'static str) -> Result<Vec<&'a Object>> {
    match options {
        Value::Object(one) => Ok(vec![one]),
        Value::Array(all) => {
            all.iter().map(|one| one.as_object().ok_or_else(|| misconfigured(wrong))).collect()
        }
        _ => Err(misconfigured(wrong)),
    }
}

pub fn text<'a>(options: &'a Object, name: &str) -> Option<&'a str> {
    options.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A key or certificate: the path of a file, its text, or a Node.js Buffer as JSON has it.
///
/// # Errors
/// 115 when the file cannot be read; the message has the option's name, not its value.
pub fn material(value: &Value, name: &str) -> Result<Vec<u8>> {
    let unusable = || misconfigured(format!("push: {name} is neither a file that can be read nor a key"));
    match value {
        Value::String(text) if text.contains("-----BEGIN ") => Ok(text.replace("\\n", "\n").into_bytes()),
        Value::String(path) => match std::fs::read(path) {
            Ok(bytes) => Ok(bytes),
            Err(error) => STANDARD
                .decode(path.trim())
                .ok()
                .filter(|bytes| bytes.len() > 64)
                .ok_or_else(|| misconfigured(format!("push: {name} cannot be read: {}", error.kind()))),
        },
        Value::Object(buffer) => {
            let bytes = buffer.get("data").and_then(Value::as_array).ok_or_else(unusable)?;
            let byte = |byte: &Value| byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
            bytes.iter().map(byte).collect::<Option<_>>().ok_or_else(unusable)
        }
        _ => Err(unusable()),
    }
}

/// Base64 of URLs, padded or not.
pub fn base64url(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn unknown_types_and_queues_of_ones_own_are_refused() {
        let text = |value: Value| types(&object(value)).unwrap_err().public_message(false).to_owned();
        assert_eq!(text(json!({"winrt": {}})), "Push to winrt is not supported");
        assert_eq!(types(&object(json!({"ios": {}, "adapter": {}, "queueOptions": {}}))).unwrap().len(), 1);
        let queue = |value: Value| QueueOptions::read(&object(value));
        let own = queue(json!({"queueOptions": {"messageQueueAdapter": {}, "batchSize": 7}})).unwrap();
        assert_eq!(own.batch_size, Some(7));
        assert!(queue(json!({"queueOptions": {"batchSize": 0}})).is_err());
        assert!(queue(json!({"deliveryLog": "yes"})).is_err());
        let read =
            queue(json!({"queueOptions": {"batchSize": 7, "disablePushWorker": true}, "deliveryLog": true}));
        assert_eq!(
            read.unwrap(),
            QueueOptions { batch_size: Some(7), disable_worker: true, log_days: Some(30.0) }
        );
    }

    #[test]
    fn keys_are_texts_files_or_buffers() {
        let pem = "-----BEGIN PRIVATE KEY-----\\nAA\\n-----END PRIVATE KEY-----";
        assert!(material(&json!(pem), "key").unwrap().contains(&b'\n'));
        assert_eq!(material(&json!({"type": "Buffer", "data": [1, 2]}), "key").unwrap(), [1, 2]);
        let error = material(&json!("no-such-file.p8"), "token.key").unwrap_err();
        assert!(!error.public_message(false).contains("no-such-file"), "{error:?}");
    }
}
