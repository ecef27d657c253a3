//! Cloud functions (parse-server's `FunctionsRouter`), and the code of an application's own GraphQL fields.

use bytes::Bytes;
use serde_json::{Value, json};

use super::code_log::Called;
use super::context::Ctx;
use crate::cloud::{AdapterArg, CallbackId, FunctionAnswer, FunctionCall, invalid_function};
use crate::config;
use crate::error::{Error, Result};
use crate::files::rules::check_file_urls;
use crate::types::Object;

/// # Errors
/// 130 for file addresses that are not allowed, 141 `Invalid function: "<name>"`, what the validator says and what the function throws.
pub async fn call(
    ctx: &Ctx,
    name: &str,
    params: Object,
    uploads: Vec<(String, Bytes)>,
) -> Result<FunctionAnswer> {
    // Those are the server's own, as `@beforePushSend`.
    if name.starts_with('@') {
        return Err(invalid_function(name));
    }
    check_file_urls(&params, &ctx.config().files.upload.allowed_file_url_domains)?;
    let called = Called::with(ctx, &params);
    let mut caller = ctx.caller();
    // Functions are told what the request names, triggers that it is the server's own.
    caller.installation_id.clone_from(&ctx.info.installation_id);
    let mut scope = ctx.scope();
    // What it saves is part of the batch's transaction, which could not take it back otherwise.
    if let Some(open) = &ctx.transaction {
        scope.transaction = Some(open.id);
    }
    let call = FunctionCall {
        name: name.to_owned(),
        params,
        uploads,
        caller,
        context: ctx.info.context.clone(),
        scope,
    };
    let outcome = ctx.services.cloud.run_function(call).await;
    called.ended(ctx, name, &outcome);
    outcome
}

/// A field of an application's own GraphQL schema that code makes.
pub struct Field<'f> {
    /// The type that has it.
    pub owner: &'f str,
    pub name: &'f str,
    /// The object whose field it is; null for root fields.
    pub source: &'f Value,
    pub arguments: &'f Object,
    /// Where a function made the schema out of the server's own: what that is told by, and its text.
    pub made_from: Option<(&'f str, &'f str)>,
}

/// What the code of a field comes to.
pub enum Coded {
    Value(Value),
    /// What the field has without that code.
    Own,
}

/// Calls a function that makes a GraphQL schema out of the server's own: what it adds to that and takes from it.
///
/// # Errors
/// What the function throws.
pub async fn make_schema(ctx: &Ctx, function: config::CallbackId, key: &str, text: &str) -> Result<Value> {
    let call = json!({ "schema": key, "text": text });
    call_back(ctx, function, vec![AdapterArg::Json(call)]).await
}

async fn call_back(ctx: &Ctx, function: config::CallbackId, args: Vec<AdapterArg>) -> Result<Value> {
    let function = u32::try_from(function.0).map_err(Error::internal)?;
    ctx.services.cloud.call_callback(CallbackId(function), args).await
}

/// Calls the code of such a field.
///
/// # Errors
/// What the code throws.
pub async fn resolve_field(ctx: &Ctx, function: config::CallbackId, field: &Field<'_>) -> Result<Coded> {
    let caller = ctx.caller();
    let mut call = json!({
        "type": field.owner,
        "field": field.name,
        "source": field.source,
        "args": field.arguments,
        "request": {
            "headers": &*caller.headers,
            "ip": caller.ip,
            "installationId": ctx.info.installation_id,
            "isMaster": caller.master,
            "isReadOnly": caller.is_read_only,
        },
    });
    let user = caller.user.map(|user| {
        let mut user = (*user).clone();
        if let Some(user) = user.as_object_mut() {
            user.insert("__type".to_owned(), "Object".into());
            user.insert("className".to_owned(), "_User".into());
        }
        AdapterArg::Decoded(user)
    });
    let user = user.unwrap_or(AdapterArg::Nothing);
    let Some((key, text)) = field.made_from else {
        return Ok(Coded::Value(call_back(ctx, function, vec![AdapterArg::Json(call), user]).await?));
    };
    let is = |answer: &Value, what: &str| answer.get(what) == Some(&Value::Bool(true));
    call["schema"] = key.into();
    let mut answer = call_back(ctx, function, vec![AdapterArg::Json(call.clone()), user.clone()]).await?;
    if is(&answer, "isUnknown") {
        // Another process of the application made the schema, or this one was started since.
        call["text"] = text.into();
        answer = call_back(ctx, function, vec![AdapterArg::Json(call), user]).await?;
    }
    if is(&answer, "isOwn") {
        return Ok(Coded::Own);
    }
    Ok(Coded::Value(answer.get_mut("value").map(Value::take).unwrap_or_default()))
}
