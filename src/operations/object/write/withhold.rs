//! A write tells no more than a read would: what an answer takes from the stored row (results of operators, the
//! object an afterSave left) is shown to those only who may read that row, and without their hidden fields.
//!
//! Called by [`super::after_save`], where every answer of an update passes.

use serde_json::Value;

use super::stages::Stored;
use crate::operations::permissions::clp::{self, Action, RowRestriction};
use crate::operations::permissions::special::{Verb, enforce};
use crate::operations::permissions::{Protection, pointer_restriction};
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::evaluate::matches;
use crate::types::{Acl, Object, Operation};

/// What the write itself made, and the caller's own.
const ALWAYS: [&str; 5] = ["objectId", "createdAt", "updatedAt", "sessionToken", "authDataResponse"];
/// Either right shows a row.
const READS: [Operation; 2] = [Operation::Get, Operation::Find];

/// Whether the whole row is needed to decide what the caller may be told of it.
pub fn depends_on_row(ctx: &Ctx, class: &ClassSnapshot) -> bool {
    let by_pointer = |op| matches!(pointer_restriction(&ctx.auth, class, op), Ok(RowRestriction::Rows(_)));
    !ctx.auth.is_unrestricted()
        && (READS.into_iter().any(by_pointer)
            || Protection::of(ctx, class, None).needed_columns().next().is_some())
}

/// Takes out of the answer to an update what the caller may not read. Fields that the server set in this write
/// are told although they are protected, as `protectedFieldsSaveResponseExempt` has it.
pub fn unreadable(ctx: &Ctx, stored: &Stored, body: &mut Object) {
    if stored.is_create() || ctx.auth.is_unrestricted() {
        return;
    }
    let class = stored.class.as_ref();
    // Without a row nothing in the answer comes from one.
    let before = stored.original.as_ref().map(|original| &original.object);
    let Some(row) = stored.outcome.after.as_deref().or(before) else { return };
    if !may_read(ctx, class, row) {
        body.retain(|key, _| ALWAYS.contains(&key.as_str()));
        return;
    }
    let protection = Protection::of(ctx, class, stored.object_id());
    if protection.is_empty() {
        return;
    }
    let mut row = std::borrow::Cow::Borrowed(row);
    if !row.contains_key("objectId")
        && let Some(id) = stored.object_id()
    {
        row.to_mut().insert("objectId".to_owned(), id.into());
    }
    for field in protection.hidden_in_object(class.name(), &row) {
        if !stored.news.changed.contains(&field) {
            body.shift_remove(&field);
        }
    }
}

fn may_read(ctx: &Ctx, class: &ClassSnapshot, row: &Object) -> bool {
    let is_open = |op| {
        clp::check(&ctx.auth, class, op, Action::Read).is_ok()
            && match pointer_restriction(&ctx.auth, class, op) {
                Ok(RowRestriction::All) => true,
                Ok(RowRestriction::Rows(rows)) => matches(&rows, row),
                Ok(RowRestriction::None) | Err(_) => false,
            }
    };
    ctx.auth.may_read(acl_of(row).as_ref())
        && enforce(ctx, class.name(), Verb::Get).is_ok()
        && READS.into_iter().any(is_open)
}

fn acl_of(row: &Object) -> Option<Acl> {
    // One that cannot be read grants nothing.
    row.get("ACL").map(|acl: &Value| Acl::from_json(acl).unwrap_or_default())
}
