//! Pushes that are due again and again: each time, a push is made of the template, by one server of many.

use serde_json::{Value, json};

use super::campaign::{self, Campaign};
use super::request::{Recurrence, later};
use super::{item, settled, status};
use crate::error::{Error, Result};
use crate::operations::services::Services;
use crate::storage::push::{NewPush, PushState, StoredPush};
use crate::types::time::Millis;
use crate::types::{Object, ObjectId};

/// In one go; the next pass takes the rest.
const MOST: usize = 50;
/// A time that passed less than this ago was not missed.
const PUNCTUAL_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// Makes pushes of the templates that are due.
///
/// # Errors
/// When storage fails.
pub async fn fire(services: &Services) -> Result<()> {
    for _ in 0..MOST {
        if !settled(async || fire_one(services).await).await? {
            return Ok(());
        }
    }
    Ok(())
}

async fn fire_one(services: &Services) -> Result<bool> {
    // Most passes find none: no transaction for those.
    let ledger = services.storage.push_ledger().ok_or_else(|| Error::internal("no pushes are kept"))?;
    let app = &services.config.app_id;
    if !ledger.has_recurring_due(app).await? {
        return Ok(false);
    }
    let schema = status::schema(services).await?;
    let transaction = services.storage.begin().await?;
    let writer = transaction.push_writer().ok_or_else(|| Error::internal("no pushes are kept"))?;
    let Some(template) = writer.take_recurring(app).await? else {
        transaction.rollback().await?;
        return Ok(false);
    };
    let Some(recurrence) = Recurrence::read(&template.settings) else {
        writer.set_due(app, &template.id, None).await?;
        transaction.commit().await?;
        return Ok(true);
    };
    let now = Millis::now();
    // What was missed while nobody ran counts once: the next time is one that is still to come.
    let next = recurrence.next(now.max(template.due_at));
    writer.set_due(app, &template.id, next).await?;
    if recurrence.makes_up || now.0 - template.due_at.0 <= PUNCTUAL_MS {
        let id = ObjectId::generate(services.config.schema.object_id_size).to_string();
        let (push, row) = of_template(&template, &id, now);
        transaction.create(&schema, &[row]).await?;
        writer.add_push(app, &push, &[item(&id, json!({ "after": "" }), None)]).await?;
        tracing::info!(push = id, template = template.id, "push {id} is sent, made of {}", template.id);
    }
    transaction.commit().await?;
    Ok(true)
}

fn of_template(template: &StoredPush, id: &str, now: Millis) -> (NewPush, Object) {
    let campaign = Campaign::of(template.clone());
    let mut settings = template.settings.clone();
    settings["cron"] = Value::Null;
    let interval = settings.get("interval").and_then(Value::as_f64);
    let expires_at = interval.map(|seconds| later(now, seconds));
    if let Some(at) = expires_at {
        settings["expiresAt"] = at.0.into();
    }
    let mut body = campaign.body;
    for key in ["cron", "time_zone", "missed"] {
        body.shift_remove(key);
    }
    let data = body.get("data").cloned().unwrap_or_else(|| json!({}));
    let hash = super::hash::of(data.get("alert"));
    let iso = now.to_iso();
    let mut row = Object::new();
    let mut put = |key: &str, value: Value| drop(row.insert(key.to_owned(), value));
    put("objectId", id.into());
    put("pushTime", template.due_at.to_iso().into());
    put("query", template.condition.to_string().into());
    put("payload", data.to_string().into());
    put("source", "schedule".into());
    put("title", template.id.clone().into());
    if let Some(at) = expires_at {
        put("expiry", at.0.into());
    }
    put("status", "pending".into());
    put("numSent", 0.into());
    put("pushHash", hash.clone().into());
    put("createdAt", iso.clone().into());
    put("updatedAt", iso.into());
    put("_rperm", json!([]));
    put("_wperm", json!([]));
    let push = NewPush {
        id: id.to_owned(),
        state: PushState::Active,
        due_at: None,
        deadline: expires_at.unwrap_or(Millis(now.0 + DAY_MS)),
        body: campaign::written(&body),
        condition: template.condition.clone(),
        settings,
        hash,
    };
    (push, row)
}
