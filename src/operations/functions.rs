//! Cloud functions (parse-server's `FunctionsRouter`).

use bytes::Bytes;

use super::code_log::Called;
use super::context::Ctx;
use crate::cloud::{FunctionAnswer, FunctionCall, invalid_function};
use crate::error::Result;
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
