//! Analytics events. Without an adapter that wants them, parse-server's default takes and forgets them;
//! so does this, with a line in the log of those who look.

use super::context::Ctx;
use crate::types::Object;

/// Never fails: clients are answered whatever becomes of the event.
pub fn track(ctx: &Ctx, event: &str, body: &Object) {
    let dimensions = body.get("dimensions").and_then(serde_json::Value::as_object).map_or(0, Object::len);
    tracing::debug!(event, dimensions, installation = ctx.info.installation_id, "analytics event {event}");
}
