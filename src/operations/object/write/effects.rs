//! What leaves after commit: live-query events and cache invalidation.

use std::sync::Arc;

use serde_json::{Value, json};

use super::stages::Stored;
use crate::files::FileUrls;
use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::operations::{ClassSnapshot, Ctx};
use crate::types::{FieldType, Object};

/// Inside a transaction events wait for the commit (see `Ctx::after_commit`).
pub fn emit(ctx: &Ctx, stored: &Stored) {
    let Stored { class, outcome, .. } = stored;
    if !outcome.is_publishable || !ctx.services.events.publishes(class) {
        return;
    }
    let Some(after) = &outcome.after else { return };
    let event = ObjectEvent {
        class: class.name().clone(),
        kind: ObjectEventKind::Saved,
        object: Arc::new(full_object(ctx, class, after)),
        original: outcome.before.as_deref().map(|before| Arc::new(full_object(ctx, class, before))),
        stamp: outcome.stamp,
        permissions: permissions_of(class),
    };
    ctx.emit(event);
}

/// A deleted object, as it was.
pub fn emit_deleted(ctx: &Ctx, class: &Arc<ClassSnapshot>, object: &Object, stamp: u64) {
    ctx.emit(ObjectEvent {
        class: class.name().clone(),
        kind: ObjectEventKind::Deleted,
        object: Arc::new(full_object(ctx, class, object)),
        original: None,
        stamp,
        permissions: permissions_of(class),
    });
}

/// What a listener on another server checks the event against.
pub fn permissions_of(class: &ClassSnapshot) -> Option<Arc<Object>> {
    class.schema.clp.as_ref().map(|clp| Arc::new(clp.raw().clone()))
}

/// A stored row as events carry it: what a find with the master key shows, its relations too.
pub fn full_object(ctx: &Ctx, class: &ClassSnapshot, row: &Object) -> Object {
    let mut object = row.clone();
    object.insert("className".to_owned(), class.name().as_str().into());
    let is_op = |value: &Value| value.get("__op").is_some();
    object.retain(|key, value| !key.starts_with('_') && !value.is_null() && !is_op(value));
    for key in ["createdAt", "updatedAt"] {
        if let Some(iso) = object.get(key).and_then(|at| at.get("iso")).cloned() {
            object.insert(key.to_owned(), iso);
        }
    }
    for (name, field) in &class.schema.fields {
        match &field.ty {
            FieldType::Relation(target) => {
                let relation = json!({ "__type": "Relation", "className": target.as_str() });
                object.insert(name.as_str().to_owned(), relation);
            }
            FieldType::File => {
                let Some(Value::Object(file)) = object.get_mut(name.as_str()) else { continue };
                let Some(stored) = file.get("name").and_then(Value::as_str) else { continue };
                let url = ctx.services.files.url(&ctx.info.base_url, stored);
                file.insert("url".to_owned(), url.into());
            }
            FieldType::Polygon => {
                let polygon = object.get_mut(name.as_str()).and_then(|value| value.get_mut("coordinates"));
                let Some(Value::Array(ring)) = polygon else { continue };
                // As it is stored, however it was sent.
                if ring.first() != ring.last() {
                    ring.extend(ring.first().cloned());
                }
            }
            _ => {}
        }
    }
    object
}
