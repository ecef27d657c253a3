//! What application code asks of the server: SDK requests, mail, options, job messages, log lines.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::host::Host;
use super::pipes::Pipes;
use super::protocol::{LogLine, RequestFrame, WireError};
use crate::cloud::{Flowed, InternalRequest, Method, Payload, ServerApi, mask};
use crate::error::{Error, ErrorCode, Result};
use crate::types::app_scope::carry;
use crate::types::json::with_whole_characters;

/// What answers the requests of a host.
pub struct Served {
    pub api: Arc<dyn ServerApi>,
    pub pipes: Arc<Pipes>,
}

/// Answers one request in a task of its own, so that requests of one host do not wait for each other.
pub fn serve(served: Served, host: Arc<Host>, sanitize: bool, id: u32, payload: Bytes) {
    tokio::spawn(carry(async move {
        let answer = match AssertUnwindSafe(answer(&served, &payload)).catch_unwind().await {
            Ok(answer) => answer,
            Err(_) => Err(Error::internal("a request of Cloud Code panicked")),
        };
        match answer {
            Ok(body) => host.reply(id, &body),
            Err(error) => host.reply_error(id, &describe(&error, sanitize)),
        }
    }));
}

/// The answer of a REST request; its body is the text that a client would have got.
#[derive(Serialize)]
struct RestAnswer {
    status: u16,
    body: Payload,
    headers: Map<String, Value>,
}

fn text(answer: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(answer).map_err(Error::internal)
}

/// JSON text.
async fn answer(served: &Served, payload: &[u8]) -> Result<Vec<u8>> {
    let api = served.api.as_ref();
    match serde_json::from_slice(&with_whole_characters(payload)).map_err(Error::internal)? {
        RequestFrame::Rest {
            method,
            path,
            data,
            use_master_key,
            session_token,
            installation_id,
            context,
            transaction,
            depth,
        } => {
            let Some(method) = Method::from_name(&method) else {
                return Err(Error::parse(ErrorCode::INVALID_JSON, format!("cannot route {method} {path}")));
            };
            let response = api
                .request(InternalRequest {
                    method,
                    path,
                    data,
                    use_master_key,
                    session_token,
                    installation_id,
                    context,
                    transaction,
                    depth,
                })
                .await?;
            let headers: Map<String, Value> =
                response.headers.into_iter().map(|(name, value)| (name, value.into())).collect();
            text(&RestAnswer { status: response.status, body: response.body, headers })
        }
        RequestFrame::Mail { data } => {
            let result = api.send_email(data).await?;
            text(&json!({"configured": result.is_some(), "result": result}))
        }
        RequestFrame::Config { data } => api.set_config(data).await.and_then(|()| text(&Value::Null)),
        RequestFrame::Pull { pipe } => text(&served.pipes.pull(pipe).await?),
        RequestFrame::Head { pipe, size, start, length } => {
            text(&served.pipes.push(pipe, Flowed::Head { size, start, length }).await?)
        }
        RequestFrame::Push { pipe, data } => {
            let data = BASE64.decode(data).map_err(Error::internal)?;
            text(&served.pipes.push(pipe, Flowed::Data(data.into())).await?)
        }
        RequestFrame::JobMessage { job_id, message } => {
            api.job_message(job_id, message).await.and_then(|()| text(&Value::Null))
        }
    }
}

/// The error as the SDK throws it: what a client would have got.
fn describe(error: &Error, sanitize: bool) -> WireError {
    if matches!(error, Error::Internal(_) | Error::Database(_)) {
        tracing::error!(%error, "a request of Cloud Code failed");
    }
    let thrown = match error {
        Error::Thrown { value, .. } => Some(value.as_ref().clone()),
        _ => None,
    };
    let message = error.public_message(sanitize).to_owned();
    WireError { code: error.code().map(|code| code.0), message, thrown }
}

/// A line of `request.log`.
pub fn log(payload: &[u8]) {
    let Ok(LogLine { level, message, meta }) = serde_json::from_slice(&with_whole_characters(payload)) else {
        return;
    };
    let message = mask(&message);
    let meta = meta.map(|meta| meta.to_string());
    let meta = meta.as_deref().map(mask);
    let meta = meta.as_deref();
    match level.as_str() {
        "error" => tracing::error!(target: "parsimony::cloud::log", meta, "{message}"),
        "warn" => tracing::warn!(target: "parsimony::cloud::log", meta, "{message}"),
        "verbose" | "debug" => tracing::debug!(target: "parsimony::cloud::log", meta, "{message}"),
        "silly" => tracing::trace!(target: "parsimony::cloud::log", meta, "{message}"),
        _ => tracing::info!(target: "parsimony::cloud::log", meta, "{message}"),
    }
}
