//! afterSave: what it is shown, and what the client is told of what it did.

use serde_json::Value;

use super::class_rules::ClassRules;
use super::stages::{Saved, Stored};
use super::triggers::{has_after_save, show_relations};
use super::{answer, withhold};
use crate::cloud::{Payload, Scope, TriggerCall, TriggerKind};
use crate::error::Result;
use crate::operations::context::asks_for_transaction;
use crate::operations::transactions::Effect;
use crate::operations::{Ctx, code_log};
use crate::types::Object;

/// Runs afterSave; what it throws is logged, what it changes on the object is told to the client.
///
/// Inside a transaction that spans the write, a trigger that asked for it belongs to the write; any
/// other waits for the commit.
///
/// # Errors
/// What a trigger threw that is part of the transaction.
pub async fn run(
    ctx: &Ctx,
    stored: &Stored,
    saved: &mut Saved,
    rules: Option<&dyn ClassRules>,
) -> Result<()> {
    for (key, value) in &stored.news.taken_back {
        saved.body.insert(key.clone(), value.clone());
    }
    withhold::unreadable(ctx, stored, &mut saved.body);
    if has_after_save(ctx, stored.class.name()) {
        return Box::pin(call(ctx, stored, saved, rules)).await;
    }
    Ok(())
}

async fn call(ctx: &Ctx, stored: &Stored, saved: &mut Saved, rules: Option<&dyn ClassRules>) -> Result<()> {
    let class = stored.class.name();
    let mut call = TriggerCall::new(TriggerKind::AfterSave, class.as_str());
    call.object_id = stored.object_id().map(str::to_owned);
    let original = stored.original.as_ref().map(|original| original.object.clone());
    call.original = original.map(|original| Value::Object(original).into());
    let mut object = object_for_trigger(stored, saved);
    show_relations(&stored.class, &mut object);
    call.object = Some(Payload::Value(Value::Object(object)));
    let mut data = stored.data.clone();
    stored.times.put_into(&mut data);
    call.data = Some(Value::Object(data).into());
    let mut response = saved.body.clone();
    answer::tell_results(stored, &mut response);
    call.response = Some(Value::Object(response).into());
    call.caller = ctx.caller();
    call.context.clone_from(stored.context.as_ref().unwrap_or(&ctx.info.context));
    let spanning = ctx.transaction.as_ref().filter(|open| open.is_spanning());
    let asks = spanning.is_some() && asks_for_transaction(&ctx.services, TriggerKind::AfterSave, class);
    if let Some(open) = spanning.filter(|_| !asks) {
        call.scope = Scope { depth: ctx.depth, ..Scope::default() };
        open.defer(Effect::Trigger(Box::new(call)));
        return Ok(());
    }
    call.scope = ctx.trigger_scope(TriggerKind::AfterSave, class);
    let answered = match code_log::run_trigger(ctx, call).await {
        Err(error) if asks => return Err(error),
        Err(error) => {
            tracing::warn!(%error, %class, "afterSave caught an error");
            return Ok(());
        }
        Ok(answered) => answered,
    };
    match (answered.replacement, answered.object) {
        (Some(Value::Object(object)), _) => saved.body = object,
        (Some(other), _) => saved.replacement = Some(other),
        (None, Some(object)) => {
            saved.body = answer::of_object(stored, rules, object);
            withhold::unreadable(ctx, stored, &mut saved.body);
        }
        (None, None) => {}
    }
    Ok(())
}

fn object_for_trigger(stored: &Stored, saved: &Saved) -> Object {
    let mut object = stored.outcome.after.as_deref().cloned().unwrap_or_default();
    object.retain(|key, _| !key.starts_with('_'));
    if let Some(id) = stored.object_id() {
        object.insert("objectId".to_owned(), id.into());
    }
    for key in ["createdAt", "updatedAt"] {
        if let Some(at) = saved.body.get(key) {
            object.insert(key.to_owned(), at.clone());
        }
    }
    object
}
