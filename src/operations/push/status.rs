//! The row in `_PushStatus`, which is what users and dashboards see of a push, and who is told of its changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::request::{Accepted, UNREADABLE};
use crate::cloud::{Payload, TriggerCall, TriggerKind};
use crate::error::{Error, Result};
use crate::operations::object::write::effects;
use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::operations::services::Services;
use crate::operations::{ClassSnapshot, code_log, gate};
use crate::query::{Constraint, Filter, Operand};
use crate::storage::{Changed, Returning, Session, WriteFilter};
use crate::types::path::FieldPath;
use crate::types::time::Millis;
use crate::types::update::Op;
use crate::types::{ClassName, ClassSchema, FieldName, Object, RowSet, Update};

pub const CLASS: &str = "_PushStatus";

async fn class(services: &Services) -> Result<Arc<ClassSnapshot>> {
    let snapshot = services.classes.admit(&ClassName::known(CLASS)).await?;
    snapshot.ok_or_else(|| Error::internal("_PushStatus does not exist"))
}

pub async fn schema(services: &Services) -> Result<Arc<ClassSchema>> {
    Ok(class(services).await?.schema.clone())
}

/// Both states of a row, where somebody is told of its changes.
///
/// # Errors
/// When storage fails.
pub async fn shown(services: &Services) -> Result<Returning> {
    let is_told = has_after_save(services) || services.events.publishes(&*class(services).await?);
    Ok(Returning { before: is_told, after: is_told, ..Returning::default() })
}

/// A row as it was and as it is.
#[derive(Clone, Debug)]
pub struct Change {
    /// `None`: it was made.
    before: Option<Object>,
    after: Object,
    stamp: u64,
}

impl Change {
    /// Of a row that was just made.
    pub fn made(row: &Object) -> Self {
        let mut after = row.clone();
        after.insert("ACL".to_owned(), json!({}));
        Self { before: None, after, stamp: 0 }
    }

    /// `None` where nothing was changed, or nobody is told of it.
    fn of(changed: &Changed) -> Option<Self> {
        let first = |rows: Option<&RowSet>| rows.and_then(|rows| rows.first()).map(|row| row.to_object());
        let after = first(changed.after.as_ref())?;
        Some(Self { before: first(changed.before.as_ref()), after, stamp: changed.stamp })
    }

    /// The last results of a push and its end, which are one write here, as two.
    fn into_steps(self) -> [Self; 2] {
        let mut between = self.after.clone();
        between.insert("status".to_owned(), "running".into());
        between.insert("count".to_owned(), 0.into());
        let end = Self { before: Some(between.clone()), after: self.after, stamp: self.stamp };
        [Self { before: self.before, after: between, stamp: self.stamp }, end]
    }
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
    let query = match accepted.condition.get(UNREADABLE) {
        Some(other) => other.to_string(),
        None => Value::Object(accepted.condition.clone()).to_string(),
    };
    put("query", query.into());
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
    returning: Returning,
) -> Result<Option<Change>> {
    let target = WriteFilter { filter: by_id(id), writers: None };
    let changed = session.update(schema, &target, &counts.update(), returning).await?;
    Ok(Change::of(&changed))
}

/// The push runs, unless it was held or cancelled meanwhile; so many batches are found to be there.
///
/// # Errors
/// When storage fails.
pub async fn begin(
    session: &dyn Session,
    schema: &Arc<ClassSchema>,
    id: &str,
    batches: i64,
    returning: Returning,
) -> Result<Option<Change>> {
    let counts = Counts { batches, ..Counts::default() };
    count(session, schema, id, &counts, Returning::default()).await?;
    let waits = ["pending", "scheduled"].map(|status| Operand::Text(status.to_owned())).to_vec();
    let waits = Filter::field(FieldName::known("status"), Constraint::In(waits));
    let target = WriteFilter { filter: by_id(id).and(waits), writers: None };
    let update = Update::default().set(FieldName::known("status"), "running".into());
    let changed = session.update(schema, &target, &update, returning).await?;
    Ok(Change::of(&changed))
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

fn has_after_save(services: &Services) -> bool {
    services.cloud.registrations().trigger(TriggerKind::AfterSave, CLASS).is_some()
}

/// Tells live queries, and afterSave of `_PushStatus`, the one trigger that this class may have.
pub async fn told(services: &Arc<Services>, change: Option<Change>) {
    let Some(change) = change else { return };
    emit(services, &change).await;
    call(services, &change).await;
}

/// The same of what a batch wrote. As parse-server has it, afterSave sees the last results of a push while it still
/// runs, and then that it is over.
pub async fn told_results(services: &Arc<Services>, change: Option<Change>, is_end: bool) {
    let Some(change) = change else { return };
    if !is_end {
        return told(services, Some(change)).await;
    }
    emit(services, &change).await;
    for step in change.into_steps() {
        call(services, &step).await;
    }
}

async fn emit(services: &Arc<Services>, change: &Change) {
    let Ok(class) = class(services).await else { return };
    if !services.events.publishes(&class) {
        return;
    }
    let ctx = gate::own_work(services);
    let object = |row: &Object| Arc::new(effects::full_object(&ctx, &class, row));
    ctx.emit(ObjectEvent {
        class: class.name().clone(),
        kind: ObjectEventKind::Saved,
        object: object(&change.after),
        original: change.before.as_ref().map(object),
        stamp: change.stamp,
        permissions: effects::permissions_of(&class),
    });
}

async fn call(services: &Arc<Services>, change: &Change) {
    if !has_after_save(services) {
        return;
    }
    let shown = |row: &Object| {
        let mut object = row.clone();
        object.retain(|key, _| !key.starts_with('_'));
        object.insert("className".to_owned(), CLASS.into());
        Payload::Value(Value::Object(object))
    };
    let ctx = gate::own_work(services);
    let mut call = TriggerCall::new(TriggerKind::AfterSave, CLASS);
    call.object_id = change.after.get("objectId").and_then(Value::as_str).map(str::to_owned);
    call.original = change.before.as_ref().map(shown);
    call.object = Some(shown(&change.after));
    call.caller = ctx.caller();
    call.scope = ctx.scope();
    if let Err(error) = code_log::run_trigger(&ctx, call).await {
        tracing::warn!(%error, "afterSave of _PushStatus caught an error");
    }
}
