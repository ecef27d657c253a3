//! Deleting one object: permissions, triggers, the statement, what follows.

use std::sync::Arc;

use super::class_rules::{ClassRules, Rules};
use super::effects;
use super::triggers::{has, object_call, show_relations};
use crate::cloud::{Scope, TriggerCall, TriggerKind};
use crate::error::{Error, ErrorCode, Result};
use crate::on_session;
use crate::operations::context::asks_for_transaction;
use crate::operations::object::read;
use crate::operations::object::transaction;
use crate::operations::permissions::clp::{self, Action, RowRestriction};
use crate::operations::permissions::query::own_sessions;
use crate::operations::permissions::special::{Verb, check_class_exists, enforce};
use crate::operations::transactions::{Effect, Extent};
use crate::operations::{ClassSnapshot, Ctx, code_log, files};
use crate::query::{Filter, FindSpec};
use crate::storage::{Changed, StorageError, WriteFilter};
use crate::types::{ClassName, Object, ObjectId, Operation};

/// `DELETE /classes/:C/:id`.
///
/// # Errors
/// 101 when there is nothing that the caller may delete, 119 for class permissions, 206 and 209 for
/// users and sessions, and whatever a trigger threw.
pub async fn delete(ctx: &Ctx, class: &ClassName, id: &str, rules: Rules) -> Result<()> {
    let rules = rules.as_deref();
    if let Some(rules) = rules {
        rules.check_delete(ctx)?;
    }
    enforce(ctx, class, Verb::Delete)?;
    let id = ObjectId::new(id).ok_or_else(Error::object_not_found)?;
    let result = delete_object(ctx, class, &id, rules).await;
    result.map_err(|error| match rules.filter(|_| error.is(ErrorCode::OBJECT_NOT_FOUND)) {
        Some(rules) => rules.map_missing(ctx, error),
        None => error,
    })
}

async fn delete_object(
    ctx: &Ctx,
    class: &ClassName,
    id: &ObjectId,
    rules: Option<&dyn ClassRules>,
) -> Result<()> {
    let asks = |kind| asks_for_transaction(&ctx.services, kind, class);
    let (before, after) = (asks(TriggerKind::BeforeDelete), asks(TriggerKind::AfterDelete));
    if ctx.transaction.is_some() || !(before || after) {
        let call = delete_row(ctx, class, id, rules).await?;
        return after_delete(ctx, class, call).await;
    }
    let call = transaction::within(ctx, Extent::Triggers, async |inside: &Ctx| {
        let call = Box::pin(delete_row(inside, class, id, rules)).await?;
        if after {
            after_delete(inside, class, call).await?;
            return Ok(None);
        }
        Ok(call)
    })
    .await?;
    after_delete(ctx, class, call).await
}

/// Everything up to afterDelete; the call for that, when there is one.
async fn delete_row(
    ctx: &Ctx,
    class: &ClassName,
    id: &ObjectId,
    rules: Option<&dyn ClassRules>,
) -> Result<Option<TriggerCall>> {
    let Some(snapshot) = ctx.services.classes.admit(class).await? else {
        check_class_exists(ctx, class, None)?;
        return Err(Error::object_not_found());
    };
    let publishes = ctx.services.events.publishes(&snapshot);
    let before_trigger = has(ctx, TriggerKind::BeforeDelete, class);
    let after_trigger = has(ctx, TriggerKind::AfterDelete, class);
    let sees_deleted = rules.is_some_and(|rules| rules.sees_deleted());
    let mut context = None;
    let mut object = None;
    if publishes || before_trigger || after_trigger || sees_deleted {
        let mut found = load_for_delete(ctx, &snapshot, id).await?;
        if let Some(rules) = rules {
            rules.check_deleted(ctx, &found)?;
        }
        if before_trigger || after_trigger {
            files::put_addresses(ctx, &mut found).await?;
        }
        if before_trigger {
            let call = object_call(ctx, TriggerKind::BeforeDelete, class, id, found.clone());
            context = code_log::run_trigger(ctx, call).await?.context;
        }
        object = Some(found);
    }
    let changed = run_statement(ctx, &snapshot, id, publishes || sees_deleted).await?;
    if changed.count == 0 && !rules.is_some_and(|rules| rules.forgives_missing()) {
        return Err(Error::object_not_found());
    }
    let row = changed.before.as_ref().and_then(|rows| rows.first());
    if let Some(rules) = rules {
        rules.after_delete(ctx, id, row).await;
    }
    if ctx.services.events.publishes(&snapshot)
        && let Some(deleted) = row.map(|row| row.to_object()).or_else(|| object.clone())
    {
        effects::emit_deleted(ctx, &snapshot, &deleted, changed.stamp);
    }
    let Some(object) = object.filter(|_| after_trigger) else { return Ok(None) };
    let mut call = object_call(ctx, TriggerKind::AfterDelete, class, id, object);
    if let Some(context) = context {
        call.context = context;
    }
    Ok(Some(call))
}

/// Inside a transaction that spans the delete, a trigger that did not ask for it waits for the commit.
async fn after_delete(ctx: &Ctx, class: &ClassName, call: Option<TriggerCall>) -> Result<()> {
    let Some(mut call) = call else { return Ok(()) };
    call.scope = ctx.trigger_scope(TriggerKind::AfterDelete, class);
    let spanning = ctx.transaction.as_ref().filter(|open| open.is_spanning());
    if let Some(open) = spanning
        && !asks_for_transaction(&ctx.services, TriggerKind::AfterDelete, class)
    {
        call.scope = Scope { depth: ctx.depth, ..Scope::default() };
        open.defer(Effect::Trigger(Box::new(call)));
        return Ok(());
    }
    code_log::run_trigger(ctx, call).await.map(|_| ())
}

/// Reads the object for the triggers of a caller who may delete it.
async fn load_for_delete(ctx: &Ctx, class: &ClassSnapshot, id: &ObjectId) -> Result<Object> {
    let missing = || Error::parse(ErrorCode::OBJECT_NOT_FOUND, "Object not found for delete.");
    clp::check(&ctx.auth, class, Operation::Delete, Action::Update)?;
    let mut filter = Filter::by_id(id);
    match clp::pointer_restriction(&ctx.auth, class, Operation::Delete)? {
        RowRestriction::All => {}
        RowRestriction::None => return Err(missing()),
        RowRestriction::Rows(rows) => filter = filter.and(rows),
    }
    let spec = FindSpec::new(own_sessions(ctx, class.name(), filter)?).limit(1);
    let rows = on_session!(ctx, |session| session.find(&class.schema, &spec))?;
    let row = rows.first().ok_or_else(missing)?;
    let acl = row.acl();
    if !ctx.auth.may_write(acl.as_ref()) {
        return Err(missing());
    }
    let mut object = row.to_object();
    object.retain(|key, _| !key.starts_with('_'));
    show_relations(class, &mut object);
    let may_get =
        clp::check(&ctx.auth, class, Operation::Get, Action::Read).is_ok() && ctx.auth.may_read(acl.as_ref());
    if may_get && read::triggers::has_find_trigger(ctx, class.name()) {
        // The look before a delete is a get like any other: its triggers may hide the object.
        let seen = Box::pin(read::triggers::get_with_triggers(ctx, class.name(), id)).await?;
        object = seen.ok_or_else(missing)?;
    }
    Ok(object)
}

async fn run_statement(
    ctx: &Ctx,
    class: &Arc<ClassSnapshot>,
    id: &ObjectId,
    want_row: bool,
) -> Result<Changed> {
    clp::check(&ctx.auth, class, Operation::Delete, Action::Update)?;
    let mut filter = Filter::by_id(id);
    match clp::pointer_restriction(&ctx.auth, class, Operation::Delete)? {
        RowRestriction::All => {}
        RowRestriction::None => return Err(Error::object_not_found()),
        RowRestriction::Rows(rows) => filter = filter.and(rows),
    }
    let target = WriteFilter { filter, writers: ctx.auth.acl_ids() };
    match on_session!(ctx, |session| session.delete(&class.schema, &target, want_row)) {
        // Another server took a field away, so nothing was deleted yet.
        Err(StorageError::StaleSchema(_)) if ctx.transaction.is_none() => {
            let renewed = ctx.services.classes.renew(class.name(), 1).await?;
            let class = renewed.ok_or_else(Error::object_not_found)?;
            Ok(on_session!(ctx, |session| session.delete(&class.schema, &target, want_row))?)
        }
        outcome => Ok(outcome?),
    }
}
