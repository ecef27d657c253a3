//! Deleting one object: permissions, triggers, the statement, what follows.

use std::sync::Arc;

use super::triggers::{has, object_call};
use crate::cloud::{Scope, TriggerCall, TriggerKind};
use crate::error::{Error, ErrorCode, Result};
use crate::on_session;
use crate::operations::context::asks_for_transaction;
use crate::operations::object::read;
use crate::operations::object::transaction;
use crate::operations::permissions::clp::{self, Action, RowRestriction};
use crate::operations::permissions::query::own_sessions;
use crate::operations::permissions::special::{Verb, check_class_exists, enforce};
use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::operations::transactions::{Effect, Extent};
use crate::operations::{ClassSnapshot, Ctx, audit, code_log};
use crate::query::{Filter, FindSpec};
use crate::storage::{Changed, StorageError, Target};
use crate::types::{ClassName, Object, ObjectId, Operation};

/// `DELETE /classes/:C/:id`.
///
/// # Errors
/// 101 when there is nothing that the caller may delete, 119 for class permissions, 206 and 209 for
/// users and sessions, and whatever a trigger threw.
pub async fn delete(ctx: &Ctx, class: &ClassName, id: &str) -> Result<()> {
    if class.is_user() && !ctx.auth.is_unrestricted() && ctx.auth.principal.is_none() {
        return Err(Error::parse(ErrorCode::SESSION_MISSING, "Insufficient auth to delete user"));
    }
    enforce(ctx, class, Verb::Delete)?;
    let id = ObjectId::new(id).ok_or_else(Error::object_not_found)?;
    let result = delete_object(ctx, class, &id).await;
    result.map_err(|error| super::special::map_missing_object(ctx, class, error))
}

async fn delete_object(ctx: &Ctx, class: &ClassName, id: &ObjectId) -> Result<()> {
    let asks = |kind| asks_for_transaction(&ctx.services, kind, class);
    let (before, after) = (asks(TriggerKind::BeforeDelete), asks(TriggerKind::AfterDelete));
    if ctx.transaction.is_some() || !(before || after) {
        let call = delete_row(ctx, class, id).await?;
        return after_delete(ctx, class, call).await;
    }
    let call = transaction::within(ctx, Extent::Triggers, async |inside: &Ctx| {
        let call = Box::pin(delete_row(inside, class, id)).await?;
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
async fn delete_row(ctx: &Ctx, class: &ClassName, id: &ObjectId) -> Result<Option<TriggerCall>> {
    let Some(snapshot) = ctx.services.classes.admit(class).await? else {
        check_class_exists(ctx, class, None)?;
        return Err(Error::object_not_found());
    };
    let publishes = ctx.services.events.publishes(&snapshot);
    let before_trigger = has(ctx, TriggerKind::BeforeDelete, class);
    let after_trigger = has(ctx, TriggerKind::AfterDelete, class);
    let mut context = None;
    let mut object = None;
    if publishes || before_trigger || after_trigger || class.is_session() {
        let found = load_for_delete(ctx, &snapshot, id).await?;
        if class.is_session() {
            check_own_session(ctx, &found)?;
        }
        if before_trigger {
            let call = object_call(ctx, TriggerKind::BeforeDelete, class, id, found.clone());
            context = code_log::run_trigger(ctx, call).await?.context;
        }
        object = Some(found);
    }
    let changed = run_statement(ctx, &snapshot, id, publishes || class.is_session()).await?;
    follow_up(ctx, &snapshot, id, object.as_ref(), &changed).await;
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
    super::triggers::show_relations(class, &mut object);
    let may_get =
        clp::check(&ctx.auth, class, Operation::Get, Action::Read).is_ok() && ctx.auth.may_read(acl.as_ref());
    if may_get && read::triggers::has_find_trigger(ctx, class.name()) {
        // The look before a delete is a get like any other: its triggers may hide the object.
        let seen = Box::pin(read::triggers::get_with_triggers(ctx, class.name(), id)).await?;
        object = seen.ok_or_else(missing)?;
    }
    Ok(object)
}

fn check_own_session(ctx: &Ctx, session: &Object) -> Result<()> {
    if ctx.auth.is_unrestricted() {
        return Ok(());
    }
    let owner = session.get("user").and_then(|user| user.get("objectId")).and_then(|id| id.as_str());
    if owner.is_some() && owner == ctx.auth.user_id() {
        return Ok(());
    }
    Err(Error::denied(ErrorCode::INVALID_SESSION_TOKEN, "Invalid session token"))
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
    let target = Target { filter, writers: ctx.auth.acl_ids() };
    let changed = match on_session!(ctx, |session| session.delete(&class.schema, &target, want_row)) {
        // Another server took a field away, so nothing was deleted yet.
        Err(StorageError::StaleSchema(_)) if ctx.transaction.is_none() => {
            let renewed = ctx.services.classes.renew(class.name(), 1).await?;
            let class = renewed.ok_or_else(Error::object_not_found)?;
            on_session!(ctx, |session| session.delete(&class.schema, &target, want_row))?
        }
        outcome => outcome?,
    };
    // parse-server deletes a session that is already gone without complaint.
    if changed.count == 0 && !class.name().is_session() {
        return Err(Error::object_not_found());
    }
    Ok(changed)
}

async fn follow_up(
    ctx: &Ctx,
    class: &Arc<ClassSnapshot>,
    id: &ObjectId,
    object: Option<&Object>,
    changed: &Changed,
) {
    let name = class.name();
    if name.is_role() {
        audit::note(ctx, "role_deleted", id.as_str());
        ctx.after_commit(Effect::RolesChanged(ctx.auth.user_id().map(str::to_owned).into_iter().collect()))
            .await;
    }
    if name.is_user() {
        audit::note(ctx, "user_deleted", id.as_str());
        ctx.after_commit(Effect::UserChanged(id.as_str().to_owned())).await;
    }
    if name.is_session()
        && let Some(row) = changed.before.as_ref().and_then(|rows| rows.first())
        && let Some(token) = row.text("sessionToken")
    {
        audit::note(ctx, "session_revoked", row.text("user").unwrap_or(id.as_str()));
        ctx.after_commit(Effect::SessionGone(token.to_owned())).await;
    }
    if ctx.services.events.publishes(class) {
        let deleted = changed.before.as_ref().and_then(|rows| rows.first()).map(|row| row.to_object());
        let Some(deleted) = deleted.or_else(|| object.cloned()) else { return };
        ctx.emit(ObjectEvent {
            class: name.clone(),
            kind: ObjectEventKind::Deleted,
            object: Arc::new(super::effects::full_object(ctx, class, &deleted)),
            original: None,
            stamp: changed.stamp,
            permissions: super::effects::permissions_of(class),
        });
    }
}
