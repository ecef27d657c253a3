//! beforeSave: what it is shown, and what it makes of a draft.

use serde_json::{Value, json};

use super::stages::{Draft, Original};
use super::triggers::show_relations;
use super::writable::writable;
use super::{contents, round_trip};
use crate::cloud::{TriggerCall, TriggerKind};
use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::permissions::Protection;
use crate::operations::permissions::clp::{self, Action};
use crate::operations::{ClassSnapshot, Ctx, code_log, files};
use crate::query::{Filter, FindSpec};
use crate::types::Operation;
use crate::types::javascript::is_same;

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
    let mut object = row.to_object();
    show_relations(class, &mut object);
    if !ctx.config().users.protected_fields_trigger_exempt {
        Protection::of(ctx, class, Some(&id)).strip(&draft.class, &mut object);
    }
    object.retain(|key, _| !key.starts_with('_'));
    files::put_addresses(ctx, &mut object).await?;
    draft.original = Some(Original { object, is_hidden: !ctx.auth.may_read(acl.as_ref()) });
    Ok(())
}

/// Runs beforeSave and takes over what it made of the data.
///
/// # Errors
/// Whatever the trigger threw; 101 or 119 when the caller may not write at all.
pub async fn run(ctx: &Ctx, draft: &mut Draft, class: Option<&ClassSnapshot>) -> Result<()> {
    contents::check(ctx, &draft.data)?;
    check_may_save(ctx, draft, class).await?;
    let mut call = TriggerCall::new(TriggerKind::BeforeSave, draft.class.as_str());
    call.object_id = draft.object_id().map(str::to_owned);
    call.original = draft.original().cloned().map(|original| Value::Object(original).into());
    call.data = Some(Value::Object(draft.data.clone()).into());
    call.caller = ctx.caller();
    call.context.clone_from(&ctx.info.context);
    call.scope = ctx.trigger_scope(TriggerKind::BeforeSave, &draft.class);
    let answer = code_log::run_trigger(ctx, call).await?;
    draft.context = answer.context;
    let (mut data, is_of_draft) = match (answer.replacement, answer.object) {
        (Some(Value::Object(data)), _) => (data, false),
        (_, Some(data)) => (data, true),
        _ => return Ok(()),
    };
    if !draft.is_create() {
        data.shift_remove("objectId");
    }
    let data = round_trip::changes(draft.original(), &draft.data, data, !is_of_draft);
    for (key, value) in &data {
        if !draft.data.get(key).is_some_and(|sent| is_same(sent, value)) {
            draft.news.changed.insert(key.clone());
        }
    }
    // A field the trigger took back: the client is told what stays stored; of a new object that is
    // nothing, and of an update only what was there.
    let is_taken_back = |key: &str| is_of_draft && !data.contains_key(key) && key != "objectId";
    for key in draft.data.keys().filter(|key| is_taken_back(key)) {
        let stays = match &draft.original {
            Some(original) if original.is_hidden => None,
            Some(original) => original.object.get(key).cloned(),
            None => Some(json!({"__op": "Delete"})),
        };
        if let Some(stays) = stays.filter(|_| !key.contains('.')) {
            draft.news.taken_back.insert(key.clone(), stays);
        }
    }
    draft.data = data;
    Ok(())
}

/// Permissions are checked before application code runs.
async fn check_may_save(ctx: &Ctx, draft: &Draft, class: Option<&ClassSnapshot>) -> Result<()> {
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
