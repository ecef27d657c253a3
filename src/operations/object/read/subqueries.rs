//! beforeFind of the classes that sub-queries ask: each handler sees its sub-query and may change it,
//! as parse-server has it. The changed sub-queries still travel in one statement.
//!
//! Called by [`super::find_in`] before the query is parsed, by `aggregate` for the condition of a `distinct`, and
//! for subscriptions: what the handlers left is all there is to parse.

use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::parse_context;
use super::triggers::before_find;
use crate::cloud::TriggerKind;
use crate::error::{Error, Result};
use crate::operations::permissions::query::redirect_target;
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::parse_where;
use crate::types::{ClassName, Object};

/// The parameters with sub-queries as their classes' handlers left them.
///
/// # Errors
/// What a handler threw; 102, 105 and 107 for conditions that no handler needs to see.
pub async fn through_triggers(
    ctx: &Ctx,
    mut params: Object,
    class: Option<&ClassSnapshot>,
) -> Result<Object> {
    let registrations = ctx.services.cloud.registrations();
    if !registrations.triggers().any(|(kind, _)| kind == TriggerKind::BeforeFind) {
        return Ok(params);
    }
    let decoded = match params.get("where") {
        Some(Value::String(text)) => crate::types::json::from_outside(text.as_bytes()).ok(),
        _ => None,
    };
    let Some(condition) = decoded.or_else(|| params.get("where").cloned()) else { return Ok(params) };
    if !has_sub_query(&condition) {
        return Ok(params);
    }
    // Handlers run for conditions within the limits only.
    parse_where(&condition, &parse_context(ctx, class))?;
    let mut condition = condition;
    if walk(ctx, &mut condition).await? {
        params.insert("where".to_owned(), condition);
    }
    Ok(params)
}

/// As deep as the JSON reader goes.
pub fn has_sub_query(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has_sub_query),
        Value::Object(object) => object.iter().any(|(key, inner)| {
            matches!(key.as_str(), "$inQuery" | "$notInQuery" | "$select" | "$dontSelect")
                || has_sub_query(inner)
        }),
        _ => false,
    }
}

/// Whether something changed hands. Inner sub-queries come after the outer one's handler.
fn walk<'a>(ctx: &'a Ctx, value: &'a mut Value) -> LocalBoxFuture<'a, Result<bool>> {
    Box::pin(async move {
        let mut seen = false;
        match value {
            Value::Array(list) => {
                for item in list {
                    seen |= walk(ctx, item).await?;
                }
            }
            Value::Object(object) => {
                for (key, inner) in object.iter_mut() {
                    let subquery = match key.as_str() {
                        "$inQuery" | "$notInQuery" => Some(&mut *inner),
                        "$select" | "$dontSelect" => inner.get_mut("query"),
                        _ => None,
                    };
                    if let Some(Value::Object(subquery)) = subquery {
                        seen |= handled(ctx, subquery).await?;
                    }
                    seen |= walk(ctx, inner).await?;
                }
            }
            _ => {}
        }
        Ok(seen)
    })
}

/// The sub-query through the handler of the class it names, and then of the class whose rows it is about.
async fn handled(ctx: &Ctx, subquery: &mut Object) -> Result<bool> {
    let named = subquery.get("className").and_then(Value::as_str).and_then(ClassName::valid);
    let Some(class) = named else { return Ok(false) };
    let mut seen = ask(ctx, &class, subquery).await?;
    let key = subquery.get("redirectClassNameForKey").and_then(Value::as_str);
    if let Some(key) = key
        && let Some(snapshot) = ctx.services.classes.admit(&class).await?
        && let Some(target) = redirect_target(ctx, &snapshot, key)?.filter(|target| *target != class)
    {
        seen |= ask(ctx, &target, subquery).await?;
    }
    Ok(seen)
}

async fn ask(ctx: &Ctx, class: &ClassName, subquery: &mut Object) -> Result<bool> {
    if !ctx.services.cloud.registrations().has_trigger(TriggerKind::BeforeFind, class) {
        return Ok(false);
    }
    let condition = subquery.get("where").filter(|condition| condition.is_object()).cloned();
    let mut query = Object::new();
    query.insert("where".to_owned(), condition.unwrap_or_else(|| json!({})));
    let mut context = ctx.info.context.clone();
    let answer = before_find(ctx, class, &query, false, false, &mut context).await?;
    if let Some(objects) = answer.read_objects().map_err(Error::internal)? {
        let ids: Vec<_> = objects.iter().filter_map(|object| object.get("objectId")).cloned().collect();
        subquery.insert("where".to_owned(), json!({ "objectId": { "$in": ids } }));
        return Ok(true);
    }
    let Some(changed) = answer.query else { return Ok(true) };
    for key in ["where", "limit", "skip", "order"] {
        if let Some(value) = changed.get(key) {
            subquery.insert(key.to_owned(), value.clone());
        }
    }
    Ok(true)
}
