//! What the log tells of Cloud Code: parse-server's lines for functions and triggers, at the levels of
//! `logLevels`. Passwords are masked, long values cut.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::context::Ctx;
use crate::cloud::{
    CONFIG_CLASS, FILE_CLASS, FunctionAnswer, Payload, TriggerAnswer, TriggerCall, TriggerKind, mask,
};
use crate::config::LogLevel;
use crate::error::{Error, Result};
use crate::types::Object;

/// Longest part of a value that is written, in characters.
const LOGGED: usize = 1000;
/// Bytes that hold so many, whatever they are.
const LOGGED_BYTES: usize = 4 * LOGGED + 1;

/// Writes an event at one of parse-server's levels. A macro, as tracing wants its levels constant.
macro_rules! event {
    ($level:expr, $($event:tt)+) => {
        match $level {
            LogLevel::Silent => {}
            LogLevel::Error => tracing::error!($($event)+),
            LogLevel::Warn => tracing::warn!($($event)+),
            LogLevel::Info => tracing::info!($($event)+),
            LogLevel::Debug => tracing::debug!($($event)+),
            LogLevel::Verbose | LogLevel::Silly => tracing::trace!($($event)+),
        }
    };
}

fn is_wanted(level: LogLevel) -> bool {
    use tracing::Level;
    match level {
        LogLevel::Silent => false,
        LogLevel::Error => tracing::enabled!(Level::ERROR),
        LogLevel::Warn => tracing::enabled!(Level::WARN),
        LogLevel::Info => tracing::enabled!(Level::INFO),
        LogLevel::Debug => tracing::enabled!(Level::DEBUG),
        LogLevel::Verbose | LogLevel::Silly => tracing::enabled!(Level::TRACE),
    }
}

/// A function's parameters, to be told with its outcome.
pub struct Called(Option<String>);

impl Called {
    pub fn with(ctx: &Ctx, params: &Object) -> Self {
        let levels = ctx.config().logging.levels;
        let wanted = is_wanted(levels.cloud_function_success) || is_wanted(levels.cloud_function_error);
        Self(wanted.then(|| shown(params)))
    }

    pub fn ended(self, ctx: &Ctx, name: &str, outcome: &Result<FunctionAnswer>) {
        let Some(input) = self.0 else { return };
        let levels = ctx.config().logging.levels;
        let user = ctx.auth.user_id();
        let by = user.unwrap_or("undefined");
        match outcome {
            Ok(answer) => {
                let result = answer.result.as_ref().map_or("undefined".into(), |result| shown_raw(result));
                event!(
                    levels.cloud_function_success,
                    functionName = name,
                    user,
                    "Ran cloud function {name} for user {by} with:\n  Input: {input}\n  Result: {result}"
                );
            }
            Err(error) => event!(
                levels.cloud_function_error,
                functionName = name,
                user,
                "Failed running cloud function {name} for user {by} with:\n  Input: {input}\n  Error: {}",
                shown_error(error)
            ),
        }
    }
}

/// Runs a trigger and tells of it.
///
/// # Errors
/// What the trigger throws.
pub async fn run_trigger(ctx: &Ctx, call: TriggerCall) -> Result<TriggerAnswer> {
    let levels = ctx.config().logging.levels;
    let success = if is_after(call.kind) { levels.trigger_after } else { levels.trigger_before_success };
    let Some(input) =
        input_of(&call).filter(|_| is_wanted(success) || is_wanted(levels.trigger_before_error))
    else {
        return ctx.services.cloud.run_trigger(call).await;
    };
    let kind = call.kind;
    let is_special = call.file.is_some() || call.class_name == CONFIG_CLASS;
    let class = match call.class_name.as_str() {
        FILE_CLASS => "Parse.File".to_owned(),
        CONFIG_CLASS => "Parse.Config".to_owned(),
        name => name.to_owned(),
    };
    let user = call.caller.user.as_ref().and_then(|user| user.get("objectId")?.as_str().map(str::to_owned));
    let by = user.as_deref().unwrap_or("undefined");
    let original = match &call.original {
        Some(Payload::Value(Value::Object(original))) if kind == TriggerKind::BeforeSave => {
            Some(original.clone())
        }
        _ => None,
    };
    let outcome = ctx.services.cloud.run_trigger(call).await;
    let name = kind.as_str();
    let tell = |level: LogLevel, input: &str, result: Option<&str>| {
        let (before, result) = if result.is_some() { ("\n  Result: ", result) } else { ("", result) };
        let result = result.unwrap_or_default();
        event!(
            level,
            className = class,
            triggerType = name,
            user,
            "{name} triggered for {class} for user {by}:\n  Input: {input}{before}{result}"
        );
    };
    match &outcome {
        Ok(answer) => match kind {
            TriggerKind::BeforeSave => {
                let replacement = answer.replacement.as_ref().and_then(Value::as_object);
                let (input, result) = match replacement.or(answer.object.as_ref()) {
                    Some(object) => {
                        let after = Overlay { under: original.as_ref(), over: object };
                        (shown(&after), shown(&Answered { object }))
                    }
                    None => (input, "undefined".to_owned()),
                };
                tell(success, &input, Some(&result));
            }
            TriggerKind::AfterSave => {
                let input = answer.object.as_ref().map_or(input, shown);
                let result = answer.replacement.as_ref().map_or("undefined".to_owned(), shown);
                if !is_special {
                    tell(success, &input, None);
                }
                tell(success, &input, Some(&result));
            }
            _ if is_special => tell(success, &input, Some("undefined")),
            TriggerKind::AfterFind => {
                tell(levels.trigger_before_success, "\"AfterFind Input (Pre-Transform)\"", Some(&input));
                let output = answer.objects.as_ref().map_or(input, |objects| shown_as_text(objects));
                tell(success, &output, None);
            }
            TriggerKind::AfterDelete | TriggerKind::AfterLogin => {
                tell(success, &input, None);
                tell(success, &input, Some("{}"));
            }
            _ => tell(success, &input, Some("{}")),
        },
        Err(error) => event!(
            levels.trigger_before_error,
            className = class,
            triggerType = name,
            user,
            "{name} failed for {class} for user {by}:\n  Input: {input}\n  Error: {}",
            shown_error(error)
        ),
    }
    outcome
}

fn is_after(kind: TriggerKind) -> bool {
    kind.as_str().starts_with("after")
}

/// What the call is about; `None` for kinds that leave no line.
fn input_of(call: &TriggerCall) -> Option<String> {
    if let Some(file) = &call.file {
        return Some(shown(&json!({"__type": "File", "name": file.name, "fileSize": file.file_size})));
    }
    if call.class_name == CONFIG_CLASS {
        return Some(shown(&json!({"attributes": call.object})));
    }
    match (call.kind, &call.object, &call.data) {
        (TriggerKind::AfterFind, ..) => match &call.objects {
            Some(Payload::Raw(objects)) => Some(shown_as_text(objects)),
            other => other.as_ref().map(shown),
        },
        (TriggerKind::BeforeFind, ..) => None,
        (_, Some(object), _) => Some(shown(object)),
        (_, None, Some(Payload::Value(Value::Object(data)))) => {
            let under = match &call.original {
                Some(Payload::Value(Value::Object(original))) => Some(original),
                _ => None,
            };
            Some(shown(&Overlay { under, over: data }))
        }
        _ => None,
    }
}

/// What a beforeSave came to.
#[derive(Serialize)]
struct Answered<'a> {
    object: &'a Object,
}

/// One object with the keys of another on top.
struct Overlay<'a> {
    under: Option<&'a Object>,
    over: &'a Object,
}

impl Serialize for Overlay<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.under.into_iter().flatten() {
            if !self.over.contains_key(key) {
                map.serialize_entry(key, value)?;
            }
        }
        for (key, value) in self.over {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Takes the beginning, then refuses.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() > LOGGED_BYTES {
            return Err(io::ErrorKind::WriteZero.into());
        }
        // A text comes in one piece, however long it is.
        let room = (LOGGED_BYTES + 1).saturating_sub(self.0.len());
        self.0.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shown(value: &impl Serialize) -> String {
    let mut beginning = Beginning(Vec::with_capacity(256));
    // It ends early where the rest would be cut anyway.
    let _ = serde_json::to_writer(&mut beginning, value);
    cut(&mask(&String::from_utf8_lossy(&beginning.0))).into_owned()
}

fn shown_raw(json: &RawValue) -> Cow<'_, str> {
    match mask(head(json.get())) {
        Cow::Borrowed(text) => cut(text),
        Cow::Owned(text) => cut(&text).into_owned().into(),
    }
}

/// JSON as a JSON string.
fn shown_as_text(json: &RawValue) -> String {
    shown(&mask(head(json.get())))
}

fn shown_error(error: &Error) -> String {
    let code = error.code().map(|code| code.0);
    json!({"message": error.public_message(false), "code": code}).to_string()
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(LOGGED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LOGGED) {
        None => text.into(),
        Some((end, _)) => format!("{}... (truncated)", &text[..end]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut() {
        let text = shown(&json!({"a": "ä".repeat(5000)}));
        assert!(text.ends_with("ä... (truncated)"), "{text}");
        assert_eq!(text.chars().count(), LOGGED + "... (truncated)".len());
        let mut beginning = Beginning(Vec::new());
        beginning.write_all("𝄞".repeat(1_000_000).as_bytes()).unwrap();
        assert_eq!(beginning.0.len(), LOGGED_BYTES + 1);
        assert!(shown(&"𝄞".repeat(5000)).ends_with("𝄞... (truncated)"));
    }

    #[test]
    fn changes_lie_on_top() {
        let (under, over) = (json!({"a": 1, "b": 2}), json!({"b": 3}));
        let overlay = Overlay { under: under.as_object(), over: over.as_object().unwrap() };
        assert_eq!(shown(&overlay), r#"{"a":1,"b":3}"#);
    }
}
