//! beforeLogin and afterLogin.

use serde_json::Value;

use super::load;
use crate::cloud::{TriggerCall, TriggerKind};
use crate::error::Result;
use crate::operations::object::write::triggers::has;
use crate::operations::{Ctx, code_log, files};
use crate::types::Object;

/// # Errors
/// What the trigger throws, or the application's file adapter.
pub async fn run(ctx: &Ctx, kind: TriggerKind, user: &Object) -> Result<()> {
    if !has(ctx, kind, &load::class()) {
        return Ok(());
    }
    let mut call = TriggerCall::new(kind, "_User");
    call.object_id = Some(load::object_id(user).to_owned());
    let mut user = user.clone();
    files::put_addresses(ctx, &mut user).await?;
    call.object = Some(Value::Object(user.clone()).into());
    call.caller = ctx.caller();
    if kind == TriggerKind::AfterLogin {
        call.caller.user = Some(std::sync::Arc::new(Value::Object(user)));
    }
    call.context.clone_from(&ctx.info.context);
    call.scope = ctx.scope();
    code_log::run_trigger(ctx, call).await?;
    Ok(())
}

/// beforeLogin for somebody who proved himself by `authData`.
///
/// # Errors
/// What the trigger throws.
pub async fn before_login(ctx: &Ctx, user: &Object) -> Result<()> {
    let mut user = user.clone();
    load::strip_secrets(&mut user);
    run(ctx, TriggerKind::BeforeLogin, &user).await
}
