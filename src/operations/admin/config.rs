//! `Parse.Config`: the one row of `_GlobalConfig` (parse-server's `GlobalConfigRouter`).

use serde_json::{Value, json};

use crate::cloud::{CONFIG_CLASS, Payload, TriggerCall, TriggerKind};
use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::admin::single_row::{ID, change_or_create, row, schema};
use crate::operations::code_log;
use crate::operations::context::Ctx;
use crate::operations::object::write::contents;
use crate::operations::object::write::ops::{created_value, nested_key, update_op};
use crate::query::FindSpec;
use crate::types::limits::MAX_DOTTED_CHANGES;
use crate::types::path::FieldPath;
use crate::types::update::Op;
use crate::types::{FieldName, Object, Update};

const CLASS: &str = "_GlobalConfig";

/// `{"params": {…}, "masterKeyOnly": {…}}`; only `params` when nothing is stored. Parameters that are
/// for the master key are left out for everybody else.
///
/// # Errors
/// When storage fails.
pub async fn get(ctx: &Ctx) -> Result<Value> {
    let Some((mut params, mut master_only)) = load(ctx).await? else { return Ok(json!({ "params": {} })) };
    if !ctx.auth.is_master() {
        params.retain(|name, _| master_only.get(name) != Some(&Value::Bool(true)));
        master_only.retain(|_, only| only != &Value::Bool(true));
    }
    Ok(json!({ "params": params, "masterKeyOnly": master_only }))
}

/// Merges `params`; `{"__op": "Delete"}` removes one. Runs the `Parse.Config` triggers.
///
/// # Errors
/// 403, 119 for the read-only master key, 107 without parameters, 121 for keys with `$` or `.`, and what the triggers throw: of the afterSave
/// too, although the parameters are stored by then.
pub async fn put(ctx: &Ctx, mut body: Object) -> Result<Value> {
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden("read-only masterKey isn't allowed to update the config."));
    }
    let sent = object(body.shift_remove("params"));
    if sent.is_empty() {
        return Err(Error::invalid_json("params must be an object with at least one parameter"));
    }
    if sent.keys().any(|name| name.contains('\0')) {
        return Err(Error::invalid_json("strings must not contain null characters"));
    }
    contents::check(ctx, &sent)?;
    let flags = object(body.shift_remove("masterKeyOnly"));
    let registered = ctx.services.cloud.registrations();
    let triggers = registered.triggers_of(CONFIG_CLASS);
    let stored = if triggers.is_empty() { None } else { load(ctx).await?.map(|(params, _)| params) };
    let mut context = ctx.info.context.clone();
    let mut params = sent;
    if triggers.contains(TriggerKind::BeforeSave) {
        let call = trigger(ctx, TriggerKind::BeforeSave, &params, stored.as_ref(), context.clone());
        let answer = code_log::run_trigger(ctx, call).await?;
        if let Some(changed) = answer.object {
            contents::check(ctx, &changed)?;
            params = changed;
        }
        if let Some(handed_on) = answer.context {
            context = handed_on;
        }
    }
    store(ctx, &params, &flags).await?;
    crate::operations::audit::note(ctx, "config_changed", CLASS);
    if triggers.contains(TriggerKind::AfterSave) {
        // All that there is now, and not only what was sent.
        if stored.is_some() {
            params = load(ctx).await?.unwrap_or_default().0;
        }
        let call = trigger(ctx, TriggerKind::AfterSave, &params, stored.as_ref(), context);
        code_log::run_trigger(ctx, call).await?;
    }
    Ok(json!({ "result": true }))
}

fn object(value: Option<Value>) -> Object {
    match value {
        Some(Value::Object(object)) => object,
        _ => Object::new(),
    }
}

async fn load(ctx: &Ctx) -> Result<Option<(Object, Object)>> {
    let schema = schema(ctx, CLASS).await?;
    let spec = FindSpec::new(row()).limit(1);
    let rows = on_session!(ctx, |session| session.find(&schema, &spec))?;
    let Some(row) = rows.iter().next() else { return Ok(None) };
    let mut row = row.to_object();
    Ok(Some((object(row.shift_remove("params")), object(row.shift_remove("masterKeyOnly")))))
}

async fn store(ctx: &Ctx, params: &Object, flags: &Object) -> Result<()> {
    if params.len() > MAX_DOTTED_CHANGES {
        return Err(Error::invalid_json(format!(
            "A change of the configuration must not have more than {MAX_DOTTED_CHANGES} parameters"
        )));
    }
    let schema = schema(ctx, CLASS).await?;
    let mut update = Update::default();
    let mut row_params = Object::new();
    let mut row_flags = Object::new();
    for (name, value) in params {
        let flag = Value::Bool(flags.get(name).is_some_and(|flag| flag == true));
        if value.get("__op").is_none() {
            // As in parse-server, the parameter's own keys alone.
            if value.as_object().is_some_and(|object| object.keys().any(|key| key.contains(['$', '.']))) {
                return Err(nested_key());
            }
            update.ops.push((path("params", name), Op::Set(value.clone())));
            row_params.insert(name.clone(), value.clone());
        } else {
            let Some(op) = update_op(value)? else { continue };
            let removed = matches!(op, Op::Unset);
            update.ops.push((path("params", name), op));
            if removed {
                update.ops.push((path("masterKeyOnly", name), Op::Unset));
                continue;
            }
            row_params.extend(created_value(value)?.map(|value| (name.clone(), value)));
        }
        update.ops.push((path("masterKeyOnly", name), Op::Set(flag.clone())));
        row_flags.insert(name.clone(), flag);
    }
    if update.is_empty() {
        return Ok(());
    }
    let row: Object = [
        ("objectId".to_owned(), Value::String(ID.into())),
        ("params".to_owned(), Value::Object(row_params)),
        ("masterKeyOnly".to_owned(), Value::Object(row_flags)),
    ]
    .into_iter()
    .collect();
    change_or_create(ctx, &schema, &update, &row).await
}

fn path(column: &'static str, name: &str) -> FieldPath {
    FieldPath { root: FieldName::known(column), rest: vec![name.to_owned()] }
}

/// `stored`: the parameters before the change, once anything is stored.
fn trigger(
    ctx: &Ctx,
    kind: TriggerKind,
    params: &Object,
    stored: Option<&Object>,
    context: Object,
) -> TriggerCall {
    let payload = |params: &Object| Payload::Value(Value::Object(params.clone()));
    TriggerCall {
        object: Some(payload(params)),
        original: stored.map(payload),
        caller: ctx.caller(),
        context,
        scope: ctx.scope(),
        ..TriggerCall::new(kind, CONFIG_CLASS)
    }
}
