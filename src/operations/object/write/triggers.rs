//! Which triggers a class has, what they ask of a write, and how stored objects are shown to them. A class
//! without triggers costs a look-up.

use serde_json::{Value, json};

use super::stages::Draft;
use crate::cloud::{TriggerCall, TriggerKind};
use crate::operations::context::asks_for_transaction;
use crate::operations::{ClassSnapshot, Ctx};
use crate::types::{ClassName, FieldType, Object, ObjectId};

pub fn has(ctx: &Ctx, kind: TriggerKind, class: &ClassName) -> bool {
    ctx.services.cloud.registrations().has_trigger(kind, class)
}

pub fn has_after_save(ctx: &Ctx, class: &ClassName) -> bool {
    has(ctx, TriggerKind::AfterSave, class)
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

/// Whether a trigger will want to see the object that an update is about to change.
pub fn wants_original(ctx: &Ctx, draft: &Draft) -> bool {
    draft.id.is_some()
        && (has(ctx, TriggerKind::BeforeSave, &draft.class) || has_after_save(ctx, &draft.class))
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

/// A call about a stored object, for triggers on deletes.
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
