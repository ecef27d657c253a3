//! beforeFind of the classes that sub-queries ask: each handler sees its sub-query and may change it,
//! as parse-server has it. The changed sub-queries still travel in one statement.
//!
//! Called by [`super::find_plainly`] once the query proved to be within its limits.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::triggers::before_find;
use crate::cloud::TriggerKind;
use crate::error::{Error, Result};
use crate::operations::Ctx;
use crate::types::{ClassName, Object};

/// The parameters with sub-queries as their classes' handlers left them; `None` when no handler is
/// concerned.
///
/// # Errors
/// What a handler threw.
pub async fn through_triggers(ctx: &Ctx, params: &Object) -> Result<Option<Object>> {
    let registrations = ctx.services.cloud.registrations();
    if !registrations.triggers().any(|(kind, _)| kind == TriggerKind::BeforeFind) {
        return Ok(None);
    }
    let mut condition = match params.get("where") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(value) => value.clone(),
        None => return Ok(None),
    };
    if !walk(ctx, &mut condition).await? {
        return Ok(None);
    }
    let mut params = params.clone();
    params.insert("where".to_owned(), condition);
    Ok(Some(params))
}

/// Whether something changed hands. Inner sub-queries come after the outer one's handler.
fn walk<'a>(ctx: &'a Ctx, value: &'a mut Value) -> BoxFuture<'a, Result<bool>> {
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

async fn handled(ctx: &Ctx, subquery: &mut Object) -> Result<bool> {
    let named = subquery.get("className").and_then(Value::as_str).and_then(ClassName::valid);
    let registrations = ctx.services.cloud.registrations();
    let Some(class) = named.filter(|class| registrations.has_trigger(TriggerKind::BeforeFind, class)) else {
        return Ok(false);
    };
    let condition = subquery.get("where").filter(|condition| condition.is_object()).cloned();
    let mut query = Object::new();
    query.insert("where".to_owned(), condition.unwrap_or_else(|| json!({})));
    let mut context = ctx.info.context.clone();
    let answer = before_find(ctx, &class, &query, false, false, &mut context).await?;
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
