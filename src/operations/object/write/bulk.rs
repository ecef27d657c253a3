//! Many objects at once: creates of one class in one insert, and update or delete by query for the
//! master key (beyond parse-server, see docs/beyond.md).

use std::sync::Arc;

use serde_json::Value;

use super::stages::{Draft, Outcome, Saved, Stored, Times};
use super::validate::Agreed;
use super::{answer, effects, hide_protected, statement, store, triggers, validate};
use crate::cloud::TriggerKind;
use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::object::read::parse_context;
use crate::operations::permissions::Protection;
use crate::operations::permissions::query::authorize_filter;
use crate::operations::permissions::special::{Verb, check_class_exists, enforce};
use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::{Filter, parse_where};
use crate::storage::{Changed, Returning, WriteFilter};
use crate::types::{ClassName, Object, RowSet};

/// Whether creates of this class may share one statement: nothing runs before or after each of them.
pub fn can_create_together(ctx: &Ctx, class: &ClassName) -> bool {
    !class.is_system()
        && !triggers::has(ctx, TriggerKind::BeforeSave, class)
        && !triggers::has(ctx, TriggerKind::AfterSave, class)
}

/// Creates all of them, in order, with one answer each. One statement when all are well-formed; if it
/// is refused each one is tried by itself, so that the answers are those of single creates.
pub async fn create_many(ctx: &Ctx, class: &ClassName, bodies: Vec<Object>) -> Vec<Result<Saved>> {
    let mut bodies = bodies;
    if bodies.len() > 1 && can_create_together(ctx, class) {
        let mut together = Together::of(class, bodies);
        match together.create(ctx, class).await {
            Ok(true) => return together.saved(ctx),
            Ok(false) => {}
            // Inside a transaction the first refusal has ended it: no second try.
            Err(error) if ctx.transaction.is_some() => return vec![Err(error)],
            Err(error) => tracing::debug!(%error, %class, "creating one by one"),
        }
        bodies = together.into_bodies();
    }
    let mut answers = Vec::with_capacity(bodies.len());
    for body in bodies {
        answers.push(super::create(ctx, class, body, None).await);
    }
    answers
}

/// Objects that one statement creates.
struct Together {
    drafts: Vec<Draft>,
    /// Bodies that cannot be made out again of what becomes of their drafts.
    sent: Vec<Option<Object>>,
    /// What the class said, for as many as were asked about.
    agreed: Vec<(Agreed, Times)>,
    outcomes: Vec<Outcome>,
}

impl Together {
    fn of(class: &ClassName, bodies: Vec<Object>) -> Self {
        let sent = bodies.iter().map(|body| (!only_grows(body)).then(|| body.clone())).collect();
        let drafts = bodies.into_iter().map(|body| Draft::create(class.clone(), body)).collect();
        Self { drafts, sent, agreed: Vec::new(), outcomes: Vec::new() }
    }

    /// `false` when the objects cannot share a statement (relations among their fields). Nothing is created then,
    /// nor after an error.
    async fn create(&mut self, ctx: &Ctx, class: &ClassName) -> Result<bool> {
        enforce(ctx, class, Verb::Create)?;
        let mut snapshot = ctx.services.classes.admit(class).await?;
        check_class_exists(ctx, class, snapshot.as_deref())?;
        for draft in &mut self.drafts {
            super::check_client_ids(ctx, &draft.data)?;
            let agreed = validate::agree(ctx, draft, snapshot, None).await?;
            let times = validate::fill_in(ctx, draft, &agreed)?;
            snapshot = Some(agreed.class.clone());
            self.agreed.push((agreed, times));
        }
        let Some(snapshot) = snapshot else { return Ok(false) };
        let mut rows = Vec::with_capacity(self.drafts.len());
        let mut loans = Vec::with_capacity(self.drafts.len());
        let mut outcome = Ok(true);
        for (draft, (agreed, times)) in self.drafts.iter_mut().zip(&self.agreed) {
            match statement::insert(draft, &agreed.class.schema, times, true) {
                Ok(insert) if insert.relations.is_empty() => {
                    rows.push(insert.row);
                    loans.push(insert.loan);
                }
                Ok(_) => outcome = Ok(false),
                Err(error) => outcome = Err(error),
            }
            if !matches!(outcome, Ok(true)) {
                break;
            }
        }
        if matches!(outcome, Ok(true)) {
            let created = on_session!(ctx, |session| session.create(&snapshot.schema, &rows));
            outcome = created.map(|()| true).map_err(Error::from);
        }
        let is_created = matches!(outcome, Ok(true));
        let lenders = self.drafts.iter_mut().zip(&self.agreed);
        for ((row, loan), (draft, (agreed, _))) in rows.into_iter().zip(loans).zip(lenders) {
            if is_created {
                self.outcomes.push(store::inserted(ctx, row, loan, &agreed.class, draft));
            } else {
                loan.end(row, &mut draft.data);
            }
        }
        outcome
    }

    /// The answers, when all were created.
    fn saved(self, ctx: &Ctx) -> Vec<Result<Saved>> {
        let each = self.drafts.into_iter().zip(self.agreed).zip(self.outcomes);
        each.map(|((draft, (agreed, times)), outcome)| {
            let stored = Stored::new(validate::checked(draft, agreed, times), outcome);
            let mut answer = answer::build(&stored, None);
            effects::emit(ctx, &stored);
            hide_protected(ctx, &stored, &mut answer.body);
            Ok(answer)
        })
        .collect()
    }

    /// The bodies as they were sent.
    fn into_bodies(self) -> Vec<Object> {
        let each = self.sent.into_iter().zip(self.drafts);
        each.map(|(sent, draft)| {
            sent.unwrap_or_else(|| {
                let Draft { mut data, news, .. } = draft;
                data.shift_remove("objectId");
                data.retain(|key, _| !news.changed.contains(key));
                data
            })
        })
        .collect()
    }
}

/// Whether a new object's draft only ever has fields added to the body: an id, defaults, permissions. Values that say
/// "nothing" may be replaced.
fn only_grows(body: &Object) -> bool {
    !body.contains_key("objectId")
        && body.iter().all(|(key, value)| match value {
            Value::Object(object) => !object.contains_key("__op"),
            Value::Null => false,
            _ => key != "ACL",
        })
}

/// Applies one body to every object the filter matches; answers how many.
///
/// # Errors
/// 403 without the master key; 119 for classes with triggers or rules of their own.
pub async fn update_many(ctx: &Ctx, class: &ClassName, condition: &Value, body: Object) -> Result<u64> {
    ctx.require_write_master("update")?;
    let Some(snapshot) = admit_bulk(ctx, class, [TriggerKind::BeforeSave, TriggerKind::AfterSave]).await?
    else {
        return Ok(0);
    };
    let placeholder = crate::types::ObjectId::new("-").ok_or_else(Error::object_not_found)?;
    let draft = Draft::update(class.clone(), placeholder, body);
    let agreed = validate::agree(ctx, &draft, Some(snapshot), None).await?;
    let checked = validate::complete(ctx, draft, agreed)?;
    let change = statement::change(&checked, None)?;
    if !change.relations.is_empty() {
        return Err(Error::forbidden("Relations cannot be changed by query."));
    }
    let snapshot = checked.class;
    let publishes = ctx.services.events.publishes(&snapshot);
    let filter = matching(ctx, &snapshot, condition).await?;
    let target = WriteFilter { filter, writers: None };
    let returning = Returning { before: publishes, after: publishes, written_only: false };
    let changed =
        on_session!(ctx, |session| session.update(&snapshot.schema, &target, &change.update, returning))?;
    emit_all(ctx, &snapshot, &changed, ObjectEventKind::Saved);
    Ok(changed.count)
}

/// Deletes every object the filter matches; answers how many.
///
/// # Errors
/// As [`update_many`].
pub async fn delete_many(ctx: &Ctx, class: &ClassName, condition: &Value) -> Result<u64> {
    ctx.require_write_master("delete")?;
    let Some(snapshot) =
        admit_bulk(ctx, class, [TriggerKind::BeforeDelete, TriggerKind::AfterDelete]).await?
    else {
        return Ok(0);
    };
    let publishes = ctx.services.events.publishes(&snapshot);
    let filter = matching(ctx, &snapshot, condition).await?;
    let target = WriteFilter { filter, writers: None };
    let changed = on_session!(ctx, |session| session.delete(&snapshot.schema, &target, publishes))?;
    emit_all(ctx, &snapshot, &changed, ObjectEventKind::Deleted);
    Ok(changed.count)
}

/// The condition parsed and its sub-queries resolved.
async fn matching(ctx: &Ctx, class: &ClassSnapshot, condition: &Value) -> Result<Filter> {
    let mut filter = parse_where(condition, &parse_context(ctx, Some(class)))?;
    authorize_filter(ctx, class, &Protection::default(), &mut filter).await?;
    Ok(filter)
}

/// Triggers see single objects, and system classes have rules for each object: both are refused
/// rather than silently skipped.
async fn admit_bulk(
    ctx: &Ctx,
    class: &ClassName,
    triggers: [TriggerKind; 2],
) -> Result<Option<Arc<ClassSnapshot>>> {
    if class.is_system() {
        return Err(Error::forbidden(format!("{class} cannot be changed by query.")));
    }
    if triggers.into_iter().any(|kind| triggers::has(ctx, kind, class)) {
        return Err(Error::forbidden(format!("{class} has triggers and cannot be changed by query.")));
    }
    ctx.services.classes.admit(class).await
}

fn emit_all(ctx: &Ctx, class: &Arc<ClassSnapshot>, changed: &Changed, kind: ObjectEventKind) {
    let objects = |rows: Option<&RowSet>| -> Vec<Arc<Object>> {
        rows.into_iter()
            .flat_map(RowSet::iter)
            .map(|row| Arc::new(effects::full_object(ctx, class, &row.to_object())))
            .collect()
    };
    let before = objects(changed.before.as_ref());
    let permissions = effects::permissions_of(class);
    match kind {
        ObjectEventKind::Saved => {
            for (index, object) in objects(changed.after.as_ref()).into_iter().enumerate() {
                let original = before.get(index).cloned();
                ctx.emit(ObjectEvent {
                    class: class.name().clone(),
                    kind,
                    object,
                    original,
                    stamp: changed.stamp,
                    permissions: permissions.clone(),
                });
            }
        }
        ObjectEventKind::Deleted => {
            for object in before {
                let class = class.name().clone();
                ctx.emit(ObjectEvent {
                    class,
                    kind,
                    object,
                    original: None,
                    stamp: changed.stamp,
                    permissions: permissions.clone(),
                });
            }
        }
    }
}
