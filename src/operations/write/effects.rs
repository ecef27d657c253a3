//! What leaves after commit: live-query events and cache invalidation.

use std::sync::Arc;

use serde_json::Value;

use super::draft::Draft;
use super::store::Outcome;
use crate::operations::services::{ObjectEvent, ObjectEventKind};
use crate::operations::{ClassSnapshot, Ctx};
use crate::types::Object;

/// Inside a transaction events wait for the commit (see `Ctx::after_commit`).
pub fn emit(ctx: &Ctx, draft: &Draft, class: &Arc<ClassSnapshot>, outcome: &Outcome) {
    if !ctx.services.events.publishes(class.name()) {
        return;
    }
    let Some(after) = &outcome.after else { return };
    let event = ObjectEvent {
        class: class.name().clone(),
        kind: ObjectEventKind::Saved,
        object: Arc::new(full_object(draft, after)),
        original: outcome.before.as_deref().map(|before| Arc::new(full_object(draft, before))),
        stamp: outcome.stamp,
        permissions: permissions_of(class),
    };
    ctx.emit(event);
}

/// What a listener on another server checks the event against.
pub fn permissions_of(class: &ClassSnapshot) -> Option<Arc<Object>> {
    class.schema.clp.as_ref().map(|clp| Arc::new(clp.raw().clone()))
}

fn full_object(draft: &Draft, after: &Object) -> Object {
    let mut object = after.clone();
    object.insert("className".to_owned(), draft.class.as_str().into());
    object.retain(|key, value| !key.starts_with('_') && !value.is_null());
    for key in ["createdAt", "updatedAt"] {
        if let Some(iso) = object.get(key).and_then(|at| at.get("iso")).cloned() {
            object.insert(key.to_owned(), iso);
        }
    }
    let is_op = |value: &Value| value.get("__op").is_some();
    object.retain(|_, value| !is_op(value));
    object
}
