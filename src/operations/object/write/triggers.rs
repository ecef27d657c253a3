//! beforeSave and afterSave around a write. A class without triggers costs a look-up.

use std::sync::Arc;

use serde_json::{Value, json};

use super::draft::{Draft, Saved};
use super::store::{Outcome, writable};
use super::{Written, respond, round_trip, withhold};
use crate::cloud::{Payload, Scope, TriggerCall, TriggerKind};
use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::context::asks_for_transaction;
use crate::operations::permissions::Protection;
use crate::operations::permissions::clp::{self, Action};
use crate::operations::transactions::Effect;
use crate::operations::{ClassSnapshot, Ctx, code_log};
use crate::query::{Filter, FindSpec};
use crate::types::{ClassName, FieldType, Object, ObjectId, Operation};

pub fn has(ctx: &Ctx, kind: TriggerKind, class: &ClassName) -> bool {
    ctx.services.cloud.registrations().has_trigger(kind, class)
}

/// Whether the write has to open a transaction for its triggers: one of them asks for it, and there is
/// none yet.
pub fn opens_transaction(ctx: &Ctx, class: &ClassName) -> bool {
    ctx.transaction.is_none() && {
        let registrations = ctx.services.cloud.registrations();
        registrations.triggers_of(class).asks_for_transaction()
            && [TriggerKind::BeforeSave, TriggerKind::AfterSave]
                .into_iter()
                .any(|kind| asks_for_transaction(&ctx.services, kind, class))
    }
}

pub fn has_after_save(ctx: &Ctx, class: &ClassName) -> bool {
    has(ctx, TriggerKind::AfterSave, class)
}

/// Whether a trigger will want to see the object that an update is about to change.
pub fn want_original(ctx: &Ctx, draft: &Draft) -> bool {
    draft.id.is_some()
        && (has(ctx, TriggerKind::BeforeSave, &draft.class) || has_after_save(ctx, &draft.class))
}

/// Reads the object an update is about to change, as triggers see it.
///
/// # Errors
/// 119 when the class may not be updated at all.
pub async fn load_original(ctx: &Ctx, draft: &mut Draft, class: Option<&ClassSnapshot>) -> Result<()> {
    let (Some(id), Some(class)) = (draft.id.clone(), class) else { return Ok(()) };
    clp::check(&ctx.auth, class, Operation::Update, Action::Update)?;
    // By the right to write: who may only read it changes nothing, and who may only write it does.
    let spec = FindSpec::new(Filter::by_id(&id)).limit(1);
    let rows = on_session!(ctx, |session| session.find(&class.schema, &spec))?;
    let Some(row) = rows.first() else { return Ok(()) };
    let acl = row.acl();
    if !ctx.auth.may_write(acl.as_ref()) {
        return Ok(());
    }
    draft.hides_original = !ctx.auth.may_read(acl.as_ref());
    let mut object = row.to_object();
    show_relations(class, &mut object);
    if !ctx.config().users.protected_fields_trigger_exempt {
        Protection::of(ctx, class, Some(&id)).strip(&draft.class, &mut object);
    }
    object.retain(|key, _| !key.starts_with('_'));
    draft.original = Some(object);
    Ok(())
}

/// Relations have no column, but triggers see them as every reader does.
pub fn show_relations(class: &ClassSnapshot, object: &mut Object) {
    for (name, field) in &class.schema.fields {
        if let FieldType::Relation(target) = &field.ty {
            object.insert(
                name.as_str().to_owned(),
                json!({"__type": "Relation", "className": target.as_str()}),
            );
        }
    }
}

/// Runs beforeSave and takes over what it made of the data.
///
/// # Errors
/// Whatever the trigger threw; 101 or 119 when the caller may not write at all.
pub async fn before_save(ctx: &Ctx, draft: &mut Draft, class: Option<&Arc<ClassSnapshot>>) -> Result<()> {
    super::rules::check(ctx, &draft.data)?;
    check_may_save(ctx, draft, class).await?;
    let mut call = TriggerCall::new(TriggerKind::BeforeSave, draft.class.as_str());
    call.object_id = draft.object_id().map(str::to_owned);
    call.original = draft.original.clone().map(|original| Value::Object(original).into());
    call.data = Some(Value::Object(draft.data.clone()).into());
    call.caller = ctx.caller();
    call.context.clone_from(&draft.context);
    call.scope = ctx.trigger_scope(TriggerKind::BeforeSave, &draft.class);
    let answer = code_log::run_trigger(ctx, call).await?;
    if let Some(context) = answer.context {
        draft.context = context;
    }
    let (mut data, is_of_draft) = match (answer.replacement, answer.object) {
        (Some(Value::Object(data)), _) => (data, false),
        (_, Some(data)) => (data, true),
        _ => return Ok(()),
    };
    if !draft.is_create() {
        data.shift_remove("objectId");
    }
    let data = round_trip::changes(draft.original.as_ref(), &draft.data, data, !is_of_draft);
    for (key, value) in &data {
        if !draft.data.get(key).is_some_and(|sent| respond::same(sent, value)) {
            draft.changed_by_server.insert(key.clone());
        }
    }
    // A field the trigger took back: the client is told what stays stored; of a new object that is
    // nothing, and of an update only what was there.
    let is_taken_back = |key: &str| is_of_draft && !data.contains_key(key) && key != "objectId";
    for key in draft.data.keys().filter(|key| is_taken_back(key)) {
        let stays = match &draft.original {
            Some(_) if draft.hides_original => None,
            Some(original) => original.get(key).cloned(),
            None => Some(json!({"__op": "Delete"})),
        };
        if let Some(stays) = stays.filter(|_| !key.contains('.')) {
            draft.extra_response.insert(key.clone(), stays);
        }
    }
    draft.data = data;
    Ok(())
}

/// Permissions are checked before application code runs.
async fn check_may_save(ctx: &Ctx, draft: &Draft, class: Option<&Arc<ClassSnapshot>>) -> Result<()> {
    let Some(class) = class else {
        return if draft.is_create() { Ok(()) } else { Err(Error::object_not_found()) };
    };
    let Some(id) = &draft.id else {
        return clp::check(&ctx.auth, class, Operation::Create, Action::Create);
    };
    clp::check(&ctx.auth, class, Operation::Update, Action::Update)?;
    let spec = FindSpec::new(writable(ctx, class, id, false)?).limit(1);
    let rows = on_session!(ctx, |session| session.find(&class.schema, &spec))?;
    match rows.first() {
        Some(row) if ctx.auth.may_write(row.acl().as_ref()) => Ok(()),
        _ => Err(Error::object_not_found()),
    }
}

/// Runs afterSave; what it throws is logged, what it changes on the object is told to the client.
///
/// Inside a transaction that spans the write, a trigger that asked for it belongs to the write; any
/// other waits for the commit.
///
/// # Errors
/// What a trigger threw that is part of the transaction.
pub(super) async fn after_save(ctx: &Ctx, written: &mut Written) -> Result<()> {
    for (key, value) in &written.draft.extra_response {
        written.saved.body.insert(key.clone(), value.clone());
    }
    let Written { draft, snapshot, outcome, saved, .. } = &mut *written;
    withhold::unreadable(ctx, snapshot, draft, outcome, &mut saved.body);
    if has_after_save(ctx, &written.draft.class) {
        return Box::pin(run_after_save(ctx, written)).await;
    }
    Ok(())
}

async fn run_after_save(ctx: &Ctx, written: &mut Written) -> Result<()> {
    let Written { draft, saved, outcome, snapshot, .. } = written;
    let mut call = TriggerCall::new(TriggerKind::AfterSave, draft.class.as_str());
    call.object_id = draft.object_id().map(str::to_owned);
    call.original = draft.original.clone().map(|original| Value::Object(original).into());
    let mut object = object_for_trigger(draft, saved, outcome);
    show_relations(snapshot, &mut object);
    call.object = Some(Payload::Value(Value::Object(object)));
    call.data = Some(Value::Object(draft.data.clone()).into());
    let mut response = saved.body.clone();
    respond::tell_results(draft, outcome, &mut response);
    call.response = Some(Value::Object(response).into());
    call.caller = ctx.caller();
    call.context.clone_from(&draft.context);
    let spanning = ctx.transaction.as_ref().filter(|open| open.is_spanning());
    let asks =
        spanning.is_some() && asks_for_transaction(&ctx.services, TriggerKind::AfterSave, &draft.class);
    if let Some(open) = spanning.filter(|_| !asks) {
        call.scope = Scope { depth: ctx.depth, ..Scope::default() };
        open.defer(Effect::Trigger(Box::new(call)));
        return Ok(());
    }
    call.scope = ctx.trigger_scope(TriggerKind::AfterSave, &draft.class);
    let answer = match code_log::run_trigger(ctx, call).await {
        Err(error) if asks => return Err(error),
        Err(error) => {
            tracing::warn!(%error, class = %draft.class, "afterSave caught an error");
            return Ok(());
        }
        Ok(answer) => answer,
    };
    match (answer.replacement, answer.object) {
        (Some(Value::Object(object)), _) => saved.body = object,
        (Some(other), _) => saved.replacement = Some(other),
        (None, Some(object)) => {
            saved.body = respond::of_object(draft, outcome, object);
            withhold::unreadable(ctx, snapshot, draft, outcome, &mut saved.body);
        }
        (None, None) => {}
    }
    Ok(())
}

fn object_for_trigger(draft: &Draft, saved: &Saved, outcome: &Outcome) -> Object {
    let mut object = outcome.after.as_deref().cloned().unwrap_or_default();
    object.retain(|key, _| !key.starts_with('_'));
    if let Some(id) = draft.object_id() {
        object.insert("objectId".to_owned(), id.into());
    }
    for key in ["createdAt", "updatedAt"] {
        if let Some(at) = saved.body.get(key) {
            object.insert(key.to_owned(), at.clone());
        }
    }
    object
}

/// The id of a `get`-like call, for triggers on deletes.
pub fn object_call(
    ctx: &Ctx,
    kind: TriggerKind,
    class: &ClassName,
    id: &ObjectId,
    object: Object,
) -> TriggerCall {
    let mut call = TriggerCall::new(kind, class.as_str());
    call.object_id = Some(id.as_str().to_owned());
    call.object = Some(Value::Object(object).into());
    call.caller = ctx.caller();
    call.context.clone_from(&ctx.info.context);
    call.scope = ctx.trigger_scope(kind, class);
    call
}
