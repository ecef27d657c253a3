//! `Parse.Cloud.beforePushSend` and `afterPushSend`: code of the application around a push. Both are functions
//! under names that no client can call (see `operations::functions`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::status;
use crate::cloud::FunctionCall;
use crate::error::{Error, Result};
use crate::operations::context::Ctx;
use crate::operations::gate;
use crate::operations::services::Services;
use crate::query::FindSpec;
use crate::types::Object;

const BEFORE: &str = "@beforePushSend";
const AFTER: &str = "@afterPushSend";

/// Shows a push to the application before it is accepted. What the code returns, an object, takes the place of the
/// request's body; what it throws refuses the push.
///
/// # Errors
/// What the code throws.
pub async fn before(ctx: &Ctx, body: Object) -> Result<Object> {
    if ctx.services.cloud.registrations().function(BEFORE).is_none() {
        return Ok(body);
    }
    let answer = ctx.services.cloud.run_function(call(ctx, BEFORE, body.clone())).await?;
    let Some(result) = answer.result else { return Ok(body) };
    match crate::types::json::from_outside(result.get().as_bytes()).map_err(Error::internal)? {
        Value::Object(body) => Ok(body),
        Value::Null => Ok(body),
        _ => Err(Error::invalid_json("beforePushSend must return an object, or nothing")),
    }
}

/// Tells the application that a push is over.
pub async fn after(services: &Arc<Services>, id: &str) {
    if services.cloud.registrations().function(AFTER).is_some()
        && let Err(error) = tell(services, id).await
    {
        tracing::warn!(%error, "afterPushSend caught an error");
    }
}

async fn tell(services: &Arc<Services>, id: &str) -> Result<()> {
    let schema = status::schema(services).await?;
    let found =
        services.storage.as_session().find(&schema, &FindSpec::new(status::by_id(id)).limit(1)).await?;
    let Some(row) = found.first() else { return Ok(()) };
    let mut shown = row.to_object();
    shown.retain(|key, _| !key.starts_with('_'));
    let params = Object::from_iter([("pushStatus".to_owned(), json!(shown))]);
    services.cloud.run_function(call(&gate::own_work(services), AFTER, params)).await.map(drop)
}

fn call(ctx: &Ctx, name: &str, params: Object) -> FunctionCall {
    FunctionCall {
        name: name.to_owned(),
        params,
        uploads: Vec::new(),
        caller: ctx.caller(),
        context: ctx.info.context.clone(),
        scope: ctx.scope(),
    }
}
