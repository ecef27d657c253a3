//! Cloud functions (parse-server's `FunctionsRouter`).

use bytes::Bytes;
use serde_json::Value;

use super::context::Ctx;
use crate::cloud::{FunctionAnswer, FunctionCall};
use crate::config::LogLevel;
use crate::error::Result;
use crate::files::rules::check_file_urls;
use crate::types::Object;

/// Longest part of a value that is written to the log.
const LOGGED: usize = 1000;

/// # Errors
/// 130 for file addresses that are not allowed, 141 `Invalid function: "<name>"`, what the validator says and what the function throws.
pub async fn call(
    ctx: &Ctx,
    name: &str,
    params: Object,
    uploads: Vec<(String, Bytes)>,
) -> Result<FunctionAnswer> {
    check_file_urls(&params, &ctx.config().files.upload.allowed_file_url_domains)?;
    let levels = ctx.config().logging.levels;
    let silent =
        levels.cloud_function_success == LogLevel::Silent && levels.cloud_function_error == LogLevel::Silent;
    let input = if silent { String::new() } else { shown(&Value::Object(params.clone())) };
    let call = FunctionCall {
        name: name.to_owned(),
        params,
        uploads,
        caller: ctx.caller(),
        context: ctx.info.context.clone(),
        scope: ctx.scope(),
    };
    let outcome = ctx.services.cloud.run_function(call).await;
    let user = ctx.auth.user_id().unwrap_or("undefined");
    match &outcome {
        Ok(answer) => {
            let result = answer.result.as_ref().map_or("undefined", |result| result.get());
            let result = cut(result);
            log_at(
                levels.cloud_function_success,
                format_args!(
                    "Ran cloud function {name} for user {user} with:\n  Input: {input}\n  Result: {result}"
                ),
            );
        }
        Err(error) => log_at(
            levels.cloud_function_error,
            format_args!(
                "Failed running cloud function {name} for user {user} with:\n  Input: {input}\n  Error: {error}"
            ),
        ),
    }
    outcome
}

/// Writes a line at one of parse-server's levels.
pub fn log_at(level: LogLevel, line: std::fmt::Arguments<'_>) {
    match level {
        LogLevel::Silent => {}
        LogLevel::Error => tracing::error!("{line}"),
        LogLevel::Warn => tracing::warn!("{line}"),
        LogLevel::Info => tracing::info!("{line}"),
        LogLevel::Debug => tracing::debug!("{line}"),
        LogLevel::Verbose | LogLevel::Silly => tracing::trace!("{line}"),
    }
}

/// JSON without passwords, cut.
fn shown(value: &Value) -> String {
    let mut value = value.clone();
    mask(&mut value);
    cut(&value.to_string()).into_owned()
}

fn mask(value: &mut Value) {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(object) => {
                for (key, value) in object.iter_mut() {
                    if key.eq_ignore_ascii_case("password") && value.is_string() {
                        *value = Value::String("********".into());
                    } else {
                        pending.push(value);
                    }
                }
            }
            Value::Array(list) => pending.extend(list),
            _ => {}
        }
    }
}

fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(LOGGED) {
        None => text.into(),
        Some((end, _)) => format!("{}... (truncated)", &text[..end]).into(),
    }
}
