//! Pausing, going on, cancelling, and the report of a push.

use serde_json::{Value, json};

use super::{settled, status, tell};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::context::Ctx;
use crate::query::FindSpec;
use crate::storage::push::PushState;
use crate::types::Object;
use crate::types::time::Millis;

/// Log entries of one answer.
const MOST_ENTRIES: i64 = 1000;

/// `PUT /push_status/:objectId` with `status`: `paused`, `running` (or `scheduled`) or `cancelled`.
///
/// # Errors
/// 101 when there is no such push, 107 and 142 for what cannot be.
pub async fn change(ctx: &Ctx, id: &str, body: &Object) -> Result<Value> {
    ctx.require_write_master("update")?;
    let asked = body.get("status").and_then(Value::as_str).unwrap_or_default();
    let services = &ctx.services;
    let ledger = services.storage.push_ledger().ok_or_else(Error::object_not_found)?;
    let app = &services.config.app_id;
    let push = ledger.push(app, id).await?.ok_or_else(Error::object_not_found)?;
    let is_template = push.settings.get("cron").is_some_and(|cron| !cron.is_null());
    let going = if is_template { PushState::Recurring } else { PushState::Active };
    let (from, to): (&[PushState], PushState) = match asked {
        "paused" => (&[PushState::Active, PushState::Recurring, PushState::Paused], PushState::Paused),
        "running" | "scheduled" | "resumed" => {
            (&[PushState::Active, PushState::Recurring, PushState::Paused], going)
        }
        "cancelled" | "canceled" => (
            &[PushState::Active, PushState::Recurring, PushState::Paused, PushState::Cancelled],
            PushState::Cancelled,
        ),
        _ => return Err(Error::invalid_json("status must be \"paused\", \"running\" or \"cancelled\"")),
    };
    let shown = match to {
        PushState::Paused => "paused",
        PushState::Cancelled => "cancelled",
        _ if is_template || push.due_at > Millis::now() => "scheduled",
        _ => "running",
    };
    let (schema, returning) = (status::schema(services).await?, status::shown(services).await?);
    let changed = settled(async || {
        let transaction = services.storage.begin().await?;
        let writer = transaction.push_writer().ok_or_else(Error::object_not_found)?;
        if !writer.set_push_state(app, id, from, to).await? {
            transaction.rollback().await?;
            let text = "The push is over and cannot be changed any more.";
            return Err(Error::parse(ErrorCode::VALIDATION_ERROR, text));
        }
        let counts = status::Counts { status: Some(shown), ..status::Counts::default() };
        let change = status::count(transaction.as_session(), &schema, id, &counts, returning).await?;
        transaction.commit().await?;
        Ok(change)
    });
    let change = changed.await?;
    if matches!(to, PushState::Paused | PushState::Cancelled) {
        services.state.pushes.halt(id);
    }
    tell(services).await;
    status::told(services, change).await;
    Ok(json!({ "updatedAt": Millis::now().to_iso(), "status": shown }))
}

/// `GET /push_status/:objectId/report`: counts, reasons, opens, and the log from `after` on, where it is kept.
///
/// # Errors
/// 101 when there is no such push.
pub async fn report(ctx: &Ctx, id: &str, after: i64, most: i64) -> Result<Value> {
    ctx.require_master()?;
    let services = &ctx.services;
    let schema = status::schema(services).await?;
    let found =
        services.storage.as_session().find(&schema, &FindSpec::new(status::by_id(id)).limit(1)).await?;
    let row = found.first().ok_or_else(Error::object_not_found)?.to_object();
    let ledger = services.storage.push_ledger().ok_or_else(Error::object_not_found)?;
    let app = &services.config.app_id;
    let push = ledger.push(app, id).await?;
    let shown = |key: &str| row.get(key).cloned().unwrap_or(Value::Null);
    let number = |key: &str| row.get(key).and_then(Value::as_f64).unwrap_or(0.0) as i64;
    let mut report = json!({
        "objectId": id,
        "status": shown("status"),
        "pushTime": shown("pushTime"),
        "sent": number("numSent"),
        "failed": number("numFailed"),
        "retried": push.as_ref().map_or(0, |push| push.retried),
        "maybeRepeated": number("maybeRepeated"),
        "opened": number("opened"),
        "sentPerType": row.get("sentPerType").cloned().unwrap_or_else(|| json!({})),
        "failedPerType": row.get("failedPerType").cloned().unwrap_or_else(|| json!({})),
        "sentPerUTCOffset": row.get("sentPerUTCOffset").cloned().unwrap_or_else(|| json!({})),
        "failedPerUTCOffset": row.get("failedPerUTCOffset").cloned().unwrap_or_else(|| json!({})),
        "reasons": push.map(|push| push.reasons).unwrap_or_default(),
    });
    if services.state.pushes.log_days().is_some() {
        let entries = ledger.deliveries(app, id, after, most.clamp(1, MOST_ENTRIES)).await?;
        let of = |entry: &crate::storage::push::Delivery| {
            let mut shown = json!({
                "id": entry.id,
                "installation": entry.installation,
                "result": entry.result,
                "at": entry.at.map(Millis::to_iso),
            });
            if let Some(kind) = &entry.device_type {
                shown["deviceType"] = kind.as_str().into();
            }
            if let Some(reason) = &entry.reason {
                shown["reason"] = reason.as_str().into();
            }
            shown
        };
        report["deliveries"] = entries.iter().map(of).collect();
    }
    Ok(report)
}
