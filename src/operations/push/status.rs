//! The row in `_PushStatus`, which is what users and dashboards see of a push.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::request::Accepted;
use crate::cloud::{Payload, TriggerCall, TriggerKind};
use crate::error::{Error, Result};
use crate::operations::services::Services;
use crate::operations::{code_log, gate};
use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::storage::{Returning, Session, WriteFilter};
use crate::types::path::FieldPath;
use crate::types::time::Millis;
use crate::types::update::Op;
use crate::types::{ClassName, ClassSchema, FieldName, Object, Update};

pub const CLASS: &str = "_PushStatus";

pub async fn schema(services: &Services) -> Result<Arc<ClassSchema>> {
    let snapshot = services.classes.admit(&ClassName::known(CLASS)).await?;
    snapshot.map(|class| class.schema.clone()).ok_or_else(|| Error::internal("_PushStatus does not exist"))
}

/// The row of a push that was just accepted, or of one that can never be sent.
///
/// # Errors
/// None that happens.
pub fn row(id: &str, accepted: &Accepted, refused: Option<&Error>) -> Result<Object> {
    let now = Millis::now().to_iso();
    let is_scheduled = accepted.push_time.is_some() || accepted.cron.is_some();
    let status = match (refused, is_scheduled) {
        (Some(_), _) => "failed",
        (None, true) => "scheduled",
        (None, false) => "pending",
    };
    let push_time = match (&accepted.push_time, accepted.due_at) {
        (Some(text), _) => text.clone(),
        (None, Some(at)) => at.to_iso(),
        (None, None) => now.clone(),
    };
    let mut row = Object::new();
    let mut put = |key: &str, value: Value| drop(row.insert(key.to_owned(), value));
    put("objectId", id.into());
    put("pushTime", push_time.into());
    put("query", Value::Object(accepted.condition.clone()).to_string().into());
    put("payload", Value::Object(accepted.data.clone()).to_string().into());
    put("source", "rest".into());
    if let Some(at) = accepted.expires_at {
        put("expiry", at.0.into());
    }
    if let Some(seconds) = accepted.expiration_interval {
        put("expiration_interval", json!(seconds));
    }
    put("status", status.into());
    put("numSent", 0.into());
    put("pushHash", accepted.hash.clone().into());
    if let Some(error) = refused {
        let code = error.code().map(|code| code.0);
        put("errorMessage", json!({ "code": code, "message": error.public_message(false) }));
    }
    put("createdAt", now.clone().into());
    put("updatedAt", now.into());
    // For nobody but the master key.
    put("_rperm", json!([]));
    put("_wperm", json!([]));
    Ok(row)
}

/// Changes to the counters of a status.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub sent: u64,
    pub failed: u64,
    pub repeated: i64,
    pub sent_per_type: BTreeMap<String, u64>,
    pub failed_per_type: BTreeMap<String, u64>,
    /// Of the wave, where there are any.
    pub offset: Option<String>,
    /// Batches that ended (negative) or were found to be there.
    pub batches: i64,
    pub status: Option<&'static str>,
}

impl Counts {
    pub fn add(&mut self, kind: Option<&str>, is_sent: bool) {
        let (count, per_type) = match is_sent {
            true => (&mut self.sent, &mut self.sent_per_type),
            false => (&mut self.failed, &mut self.failed_per_type),
        };
        *count += 1;
        if let Some(kind) = kind {
            *per_type.entry(kind.to_owned()).or_default() += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.sent == 0 && self.failed == 0 && self.repeated == 0 && self.batches == 0 && self.status.is_none()
    }

    fn update(&self) -> Update {
        let mut update = Update::default().set(FieldName::known("updatedAt"), Millis::now().to_iso().into());
        let mut increment = |column: &'static str, key: Option<&str>, by: f64| {
            let path = FieldPath {
                root: FieldName::known(column),
                rest: key.map(str::to_owned).into_iter().collect(),
            };
            if by != 0.0 {
                update.ops.push((path, Op::Increment(by)));
            }
        };
        increment("numSent", None, self.sent as f64);
        increment("numFailed", None, self.failed as f64);
        increment("maybeRepeated", None, self.repeated as f64);
        for (kind, count) in &self.sent_per_type {
            increment("sentPerType", Some(kind), *count as f64);
        }
        for (kind, count) in &self.failed_per_type {
            increment("failedPerType", Some(kind), *count as f64);
        }
        if let Some(offset) = &self.offset {
            increment("sentPerUTCOffset", Some(offset), self.sent as f64);
            increment("failedPerUTCOffset", Some(offset), self.failed as f64);
        }
        let is_over = matches!(self.status, Some("succeeded" | "failed" | "cancelled"));
        if !is_over {
            increment("count", None, self.batches as f64);
        }
        if let Some(status) = self.status {
            update = update.set(FieldName::known("status"), status.into());
            if is_over {
                update.ops.push((FieldName::known("count").into(), Op::Unset));
            }
        }
        update
    }
}

/// # Errors
/// When storage fails.
pub async fn count(
    session: &dyn Session,
    schema: &Arc<ClassSchema>,
    id: &str,
    counts: &Counts,
) -> Result<()> {
    let target = WriteFilter { filter: by_id(id), writers: None };
    session.update(schema, &target, &counts.update(), Returning::default()).await?;
    Ok(())
}

/// The push runs, unless it was held or cancelled meanwhile; so many batches are found to be there.
///
/// # Errors
/// When storage fails.
pub async fn begin(session: &dyn Session, schema: &Arc<ClassSchema>, id: &str, batches: i64) -> Result<()> {
    count(session, schema, id, &Counts { batches, ..Counts::default() }).await?;
    let waits = ["pending", "scheduled"].map(|status| Operand::Text(status.to_owned())).to_vec();
    let waits = Filter::field(FieldName::known("status"), Constraint::In(waits));
    let target = WriteFilter { filter: by_id(id).and(waits), writers: None };
    let update = Update::default().set(FieldName::known("status"), "running".into());
    session.update(schema, &target, &update, Returning::default()).await?;
    Ok(())
}

/// So many batches are found to be there, unless the push is over already.
///
/// # Errors
/// When storage fails.
pub async fn add_batches(
    session: &dyn Session,
    schema: &Arc<ClassSchema>,
    id: &str,
    batches: i64,
) -> Result<()> {
    let open = ["running", "paused"].map(|status| Operand::Text(status.to_owned())).to_vec();
    let open = Filter::field(FieldName::known("status"), Constraint::In(open));
    let target = WriteFilter { filter: by_id(id).and(open), writers: None };
    let counts = Counts { batches, ..Counts::default() };
    session.update(schema, &target, &counts.update(), Returning::default()).await?;
    Ok(())
}

pub fn by_id(id: &str) -> Filter {
    Filter::eq("objectId", Operand::Text(id.to_owned()))
}

/// Runs afterSave of `_PushStatus`, the one trigger that this class may have.
pub async fn told(services: &Arc<Services>, id: &str) {
    if services.cloud.registrations().trigger(TriggerKind::AfterSave, CLASS).is_none() {
        return;
    }
    if let Err(error) = tell(services, id).await {
        tracing::warn!(%error, "afterSave of _PushStatus caught an error");
    }
}

async fn tell(services: &Arc<Services>, id: &str) -> Result<()> {
    let schema = schema(services).await?;
    let found = services.storage.as_session().find(&schema, &FindSpec::new(by_id(id)).limit(1)).await?;
    let Some(row) = found.first() else { return Ok(()) };
    let mut object = row.to_object();
    object.retain(|key, _| !key.starts_with('_'));
    object.insert("className".to_owned(), CLASS.into());
    let ctx = gate::own_work(services);
    let mut call = TriggerCall::new(TriggerKind::AfterSave, CLASS);
    call.object_id = Some(id.to_owned());
    call.object = Some(Payload::Value(Value::Object(object)));
    call.caller = ctx.caller();
    call.scope = ctx.scope();
    code_log::run_trigger(&ctx, call).await.map(drop)
}
