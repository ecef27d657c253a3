//! Analytics events: to the application's `analyticsAdapter`, if it has one. parse-server's default takes and
//! forgets them; so does this, with a line in the log of those who look.

use serde_json::{Value, json};

use super::context::Ctx;
use crate::cloud::{AdapterArg, AdapterCall};
use crate::types::Object;

/// The option's name, under which the engine knows the adapter.
pub const ADAPTER: &str = "analyticsAdapter";
/// The event that has a method of its own.
pub const APP_OPENED: &str = "AppOpened";

/// What the client is answered: what the adapter answers that is an object. Never fails: clients are answered
/// whatever becomes of the event.
pub async fn track(ctx: &Ctx, event: &str, body: Object) -> Value {
    let dimensions = body.get("dimensions").and_then(Value::as_object).map_or(0, Object::len);
    tracing::debug!(event, dimensions, installation = ctx.info.installation_id, "analytics event {event}");
    let method = if event == APP_OPENED { "appOpened" } else { "trackEvent" };
    let registrations = ctx.services.cloud.registrations();
    if !registrations.adapter(ADAPTER).is_some_and(|adapter| adapter.methods.contains(method)) {
        return json!({});
    }
    let caller = ctx.caller();
    let request = json!({
        "params": { "eventName": event },
        "body": body,
        "headers": &*caller.headers,
        "ip": caller.ip,
        "info": { "appId": ctx.config().app_id, "installationId": ctx.info.installation_id },
        "auth": { "isMaster": caller.master, "isReadOnly": caller.is_read_only, "user": caller.user },
    });
    let mut args = vec![AdapterArg::Json(Value::Object(body)), AdapterArg::Json(request)];
    if method == "trackEvent" {
        args.insert(0, AdapterArg::Json(event.into()));
    }
    let call = AdapterCall { adapter: ADAPTER.to_owned(), method: method.to_owned(), args, deadline: None };
    match ctx.services.cloud.call_adapter(call).await {
        Ok(answer @ Value::Object(_)) => answer,
        Ok(_) => json!({}),
        Err(error) => {
            tracing::warn!(%error, event, "the analytics adapter failed");
            json!({})
        }
    }
}
