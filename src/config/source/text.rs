//! Text to values, by the type of the option.

use serde_json::Value;

use crate::config::error::ConfigError;
use crate::config::table::{Kind, OptionDef};
use crate::config::value::CallbackId;

/// A value that was given as text, in the environment or on the command line.
///
/// Numbers are whole (a fraction is cut off); booleans are true for `true` and `1`; lists are separated
/// by commas or written as JSON.
///
/// # Errors
/// `Key <k> has invalid value <v>` for numbers and JSON that are none.
pub fn parse(option: &OptionDef, path: &str, text: &str) -> Result<Value, ConfigError> {
    let invalid = || invalid(path, text);
    Ok(match option.kind {
        Kind::Text => Value::from(text),
        Kind::Number => number(text).ok_or_else(invalid)?,
        Kind::NumberOrBool => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => number(text).ok_or_else(invalid)?,
        },
        Kind::NumberOrText => Value::from(text),
        Kind::Bool => Value::Bool(matches!(text, "true" | "1")),
        Kind::List => list(text).ok_or_else(invalid)?,
        Kind::Object => serde_json::from_str(text).map_err(|_| invalid())?,
        Kind::Module => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
    })
}

/// A value from a file. Texts are parsed like those of the environment; everything that has the wrong
/// type is left for the check that knows the right error text.
///
/// # Errors
/// As for [`parse`].
pub(super) fn coerce(option: &OptionDef, value: Value) -> Result<Value, ConfigError> {
    if value.is_null() || CallbackId::from_json(&value).is_some() {
        return Ok(value);
    }
    Ok(match (option.kind, value) {
        (Kind::Number, Value::Number(value)) => match value.as_f64() {
            Some(float) if float.fract() != 0.0 => Value::from(float.trunc() as i64),
            _ => Value::Number(value),
        },
        (Kind::Number, Value::String(text)) => parse(option, option.name, &text)?,
        (Kind::Number, other) => return Err(invalid(option.name, &other.to_string())),
        (Kind::Bool, Value::String(text)) => match text.as_str() {
            "true" | "1" => Value::Bool(true),
            "false" | "0" | "" => Value::Bool(false),
            _ => Value::String(text),
        },
        (Kind::Bool, Value::Number(number)) => match number.as_i64() {
            Some(1) => Value::Bool(true),
            Some(0) => Value::Bool(false),
            _ => Value::Number(number),
        },
        (Kind::List | Kind::Object | Kind::NumberOrBool, Value::String(text)) => {
            parse(option, option.name, &text)?
        }
        (_, value) => value,
    })
}

fn invalid(path: &str, text: &str) -> ConfigError {
    let shown = if crate::config::error::is_secret(path) { "<redacted>" } else { text };
    ConfigError::new(path, format!("Key {path} has invalid value {shown}"), Some(&Value::from(text)))
}

fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Value::from(whole));
    }
    let float = text.parse::<f64>().ok()?;
    // 2^53: beyond it the number would not be the one that was written.
    (float.abs() < 9_007_199_254_740_992.0).then(|| Value::from(float.trunc() as i64))
}

fn list(text: &str) -> Option<Value> {
    let text = text.trim();
    if text.starts_with('[') || text.starts_with('{') {
        return serde_json::from_str(text).ok();
    }
    Some(text.split(',').map(|item| Value::from(item.trim())).collect())
}
