//! `requestContextMiddleware`: a function of the JavaScript configuration that sees each request after its
//! session is known, in the form Express would call it.
//!
//! It may answer the request itself, refuse it, or change `req.config`, which the Cloud Code of this request
//! then finds as `request.config`. Called by [`super::front`]; the host's side is `middleware.cjs`.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::exchange::Exchange;
use super::respond;
use crate::cloud::{AdapterArg, CallbackId};
use crate::config;
use crate::error::{Error, Result};
use crate::operations::Ctx;
use crate::types::Object;

/// What the host answers: a response, or what it keeps for the request.
#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    response: Option<Response>,
    #[serde(default)]
    kept: Option<Value>,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    body: String,
}

/// The answer, if the function gave one; else the request goes on.
///
/// # Errors
/// What the function threw, or handed to `next`, as a `Parse.Error`; 141 when it does not end.
pub async fn run(
    exchange: &Exchange<'_>,
    ctx: &mut Ctx,
    function: config::CallbackId,
    method: &str,
    body: &Object,
) -> Result<Option<HttpResponse>> {
    let caller = ctx.caller();
    let request = json!({
        "method": method,
        "url": exchange.below,
        "originalUrl": exchange.http.uri().to_string(),
        "query": super::query_string::parse_nested(exchange.http.query_string()),
        "body": body,
        "ip": caller.ip,
        "headers": &*caller.headers,
        "installationId": ctx.info.installation_id,
        "isMaster": caller.master,
        "isReadOnly": caller.is_read_only,
        "user": caller.user,
    });
    let args = vec![AdapterArg::Exchange(request)];
    let function = u32::try_from(function.0).map_err(Error::internal)?;
    let outcome = ctx.services.cloud.call_callback(CallbackId(function), args).await?;
    let outcome: Outcome = serde_json::from_value(outcome).map_err(Error::internal)?;
    if let Some(Response { status, headers, body }) = outcome.response {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut builder = HttpResponse::build(status);
        builder.content_type(respond::JSON);
        for (name, value) in headers {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            respond::put(&mut builder, &name, &text);
        }
        return Ok(Some(builder.body(body)));
    }
    if let Some(kept) = outcome.kept {
        Arc::make_mut(&mut ctx.info).request_context = Some(Arc::new(kept));
    }
    Ok(None)
}
