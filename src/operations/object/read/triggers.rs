//! beforeFind and afterFind around a read (parse-server `rest.runFindTriggers`).

use serde_json::{Value, json};

use super::found::{Found, Results};
use super::{Mode, auth_shown, find_plainly};
use crate::cloud::{Payload, TriggerAnswer, TriggerCall, TriggerKind};
use crate::error::{Error, Result};
use crate::operations::{Ctx, code_log};
use crate::types::{ClassName, Object, ObjectId};

/// Whether reads of this class run application code.
pub fn needed(ctx: &Ctx, class: &ClassName) -> bool {
    let registrations = ctx.services.cloud.registrations();
    registrations.has_trigger(TriggerKind::BeforeFind, class)
        || registrations.has_trigger(TriggerKind::AfterFind, class)
        || (class.is_user() && auth_shown::any_shows_by_code(ctx))
}

/// Whether finds of this class have triggers.
pub fn has_find_trigger(ctx: &Ctx, class: &ClassName) -> bool {
    let triggers = ctx.services.cloud.registrations().triggers_of(class);
    triggers.contains(TriggerKind::BeforeFind) || triggers.contains(TriggerKind::AfterFind)
}

/// One object as its triggers show it to the caller, if they do.
///
/// # Errors
/// As a get, and what the triggers threw.
pub async fn get_with_triggers(ctx: &Ctx, class: &ClassName, id: &ObjectId) -> Result<Option<Object>> {
    let answer = find_with_triggers(ctx, class, Object::new(), Mode::Get(id)).await?;
    Ok(answer.into_values(ctx)?.into_iter().next().and_then(|found| match found {
        Value::Object(mut object) => {
            object.shift_remove("className");
            Some(object)
        }
        _ => None,
    }))
}

/// What adapters of the application make of the `authData` of users.
async fn show_auth_data(ctx: &Ctx, answer: Found) -> Result<Found> {
    if matches!(answer.results, Results::Plan(_)) || !auth_shown::any_shows_by_code(ctx) {
        return Ok(answer);
    }
    let told = answer.told();
    let mut objects = answer.into_values(ctx)?;
    for providers in objects.iter_mut().filter_map(|user| user.get_mut("authData")?.as_object_mut()) {
        auth_shown::show_by_code(ctx, providers).await?;
    }
    Ok(told.with_results(Results::Values(objects)))
}

pub(super) async fn find_with_triggers(
    ctx: &Ctx,
    class: &ClassName,
    params: Object,
    mode: Mode<'_>,
) -> Result<Found> {
    if params.contains_key("explain") {
        super::plan::check_explain(ctx)?;
    }
    let registrations = ctx.services.cloud.registrations();
    let mut query = query_json(params, mode);
    // As the routes of parse-server fill it in: triggers see the limit, and counting as a flag.
    let count = query.shift_remove("count");
    let is_count = count.as_ref().is_some_and(crate::types::javascript::is_truthy);
    if !is_count && !mode.is_get() {
        query.entry("limit").or_insert_with(|| ctx.config().query.default_limit.into());
    }
    let mut context = ctx.info.context.clone();
    let mut short_circuit = None;
    if registrations.has_trigger(TriggerKind::BeforeFind, class) {
        let answer = before_find(ctx, class, &query, is_count, mode.is_get(), &mut context).await?;
        if let Some(changed) = answer.query.clone() {
            query = changed;
        }
        set_read_preferences(&mut query, &answer);
        short_circuit = answer.read_objects().map_err(Error::internal)?;
    }
    let answer = match short_circuit {
        Some(objects) => reread(ctx, class, objects, &query, mode).await?,
        None => run_changed(ctx, class, &query, count, mode).await?,
    };
    // The rows of a redirected find went through the triggers of their own class.
    if answer.redirected_to.as_ref().is_some_and(|target| target != class) {
        return Ok(answer);
    }
    let answer = if class.is_user() { show_auth_data(ctx, answer).await? } else { answer };
    if !registrations.has_trigger(TriggerKind::AfterFind, class) || matches!(answer.results, Results::Plan(_))
    {
        return Ok(answer);
    }
    // Encoded once; where the handler leaves them alone, these are the answer's bytes too.
    // The rows are not needed while the handler runs.
    let told = answer.told();
    let objects = answer.into_named_json(class, ctx.budget()).await?;
    let answer = told;
    let mut call = TriggerCall::new(TriggerKind::AfterFind, class.as_str());
    call.objects = Some(Payload::Raw(objects.clone()));
    call.query = Some(Value::Object(query));
    call.is_get = mode.is_get();
    call.caller = ctx.caller();
    call.context = context;
    call.scope = ctx.scope();
    // Held until the code has answered; what it answers is charged with the rest.
    let held = objects.get().len();
    ctx.budget().charge_bytes(held)?;
    let ran = code_log::run_trigger(ctx, call).await;
    ctx.budget().refund_bytes(held);
    let changed = ran?.objects;
    Ok(answer.with_results(Results::Raw(changed.unwrap_or(objects))))
}

/// Asks the class's beforeFind; what it left in its context counts from then on.
pub(super) async fn before_find(
    ctx: &Ctx,
    class: &ClassName,
    query: &Object,
    is_count: bool,
    is_get: bool,
    context: &mut Object,
) -> Result<TriggerAnswer> {
    let mut call = TriggerCall::new(TriggerKind::BeforeFind, class.as_str());
    call.query = Some(Value::Object(query.clone()));
    call.count = is_count;
    call.is_get = is_get;
    call.caller = ctx.caller();
    call.context.clone_from(context);
    call.scope = ctx.scope();
    let answer = code_log::run_trigger(ctx, call).await?;
    if let Some(changed) = answer.context.clone() {
        *context = changed;
    }
    Ok(answer)
}

/// The parameters as one object with `where` decoded, a `get` as the query it is.
fn query_json(mut query: Object, mode: Mode<'_>) -> Object {
    let decoded = match query.get("where") {
        Some(Value::String(text)) => crate::types::json::from_outside(text.as_bytes()).ok(),
        _ => None,
    };
    if let Some(decoded) = decoded {
        query.insert("where".to_owned(), decoded);
    }
    if let Mode::Get(id) = mode {
        query.insert("where".to_owned(), json!({ "objectId": id.as_str() }));
    }
    query.entry("where").or_insert_with(|| json!({}));
    query
}

fn set_read_preferences(query: &mut Object, answer: &TriggerAnswer) {
    for (key, value) in [
        ("readPreference", &answer.read_preference),
        ("includeReadPreference", &answer.include_read_preference),
        ("subqueryReadPreference", &answer.subquery_read_preference),
    ] {
        if let Some(value) = value {
            query.insert(key.to_owned(), value.as_str().into());
        }
    }
}

/// Runs what the trigger made of the query; it is authorized like any other.
async fn run_changed(
    ctx: &Ctx,
    class: &ClassName,
    query: &Object,
    count: Option<Value>,
    mode: Mode<'_>,
) -> Result<Found> {
    let mut query = query.clone();
    query.shift_remove("className");
    if let Some(count) = count {
        query.insert("count".to_owned(), count);
    }
    match mode {
        Mode::Find | Mode::Redirected => Box::pin(find_plainly(ctx, class, query, mode)).await,
        Mode::Get(id) => {
            let still_that_object = query.get("where") == Some(&json!({ "objectId": id.as_str() }));
            if still_that_object {
                let skips = query.get("skip").and_then(Value::as_f64).is_some_and(|skip| skip >= 1.0);
                query
                    .retain(|key, _| !matches!(key.as_str(), "where" | "limit" | "skip" | "order" | "count"));
                let found = Box::pin(find_plainly(ctx, class, query, mode)).await?;
                // There is one row at most to be skipped.
                return Ok(if skips { found.told() } else { found });
            }
            Box::pin(find_plainly(ctx, class, query, Mode::Find)).await
        }
    }
}

/// Objects a trigger returned instead of a query: saved ones are read again with the caller's rights,
/// unsaved ones pass.
async fn reread(
    ctx: &Ctx,
    class: &ClassName,
    objects: Vec<Value>,
    query: &Object,
    mode: Mode<'_>,
) -> Result<Found> {
    let id_of = |object: &Value| object.get("objectId").and_then(Value::as_str).map(str::to_owned);
    let ids: Vec<String> = objects.iter().filter_map(id_of).collect();
    if ctx.auth.is_unrestricted() || ids.is_empty() {
        return Ok(Found::new(Results::Values(objects), None));
    }
    let mut again = Object::new();
    let condition = match (mode.is_get(), ids.first()) {
        (true, Some(id)) => json!({ "objectId": id }),
        _ => json!({ "objectId": { "$in": ids } }),
    };
    again.insert("where".to_owned(), condition);
    for key in ["keys", "excludeKeys", "include", "includeAll", "order", "limit", "skip"] {
        if let Some(value) = query.get(key) {
            again.insert(key.to_owned(), value.clone());
        }
    }
    Box::pin(find_plainly(ctx, class, again, Mode::Redirected)).await
}
