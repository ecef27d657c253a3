//! What readers see of `authData` where adapters of the application have a say (`afterFind`).

use serde_json::json;

use crate::cloud::{AdapterArg, AdapterCall, AdapterInfo};
use crate::error::Result;
use crate::operations::Ctx;
use crate::types::Object;
use crate::types::javascript::is_truthy;

fn shows_by_code(info: &AdapterInfo) -> bool {
    info.methods.contains("afterFind")
}

/// Whether an adapter of the application decides what readers see of its data.
pub fn any_shows_by_code(ctx: &Ctx) -> bool {
    let registrations = ctx.services.cloud.registrations();
    registrations.adapters().iter().any(|(name, info)| name.starts_with("auth.") && shows_by_code(info))
}

/// Lets the application's adapters replace what readers see (`afterFind`).
///
/// # Errors
/// What an adapter throws.
pub async fn show_by_code(ctx: &Ctx, providers: &mut Object) -> Result<()> {
    let registrations = ctx.services.cloud.registrations();
    for (name, data) in providers {
        let adapter = format!("auth.{name}");
        if !registrations.adapter(&adapter).is_some_and(shows_by_code) {
            continue;
        }
        let caller = ctx.caller();
        let request = json!({ "ip": ctx.info.ip, "user": caller.user, "master": caller.master });
        let args = vec![AdapterArg::Json(data.clone()), AdapterArg::Options, AdapterArg::Json(request)];
        let call = AdapterCall { adapter, method: "afterFind".to_owned(), args, deadline: None };
        let shown = ctx.services.cloud.call_adapter(call).await?;
        if is_truthy(&shown) {
            *data = shown;
        }
    }
    Ok(())
}
