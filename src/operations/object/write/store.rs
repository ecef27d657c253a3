//! The statement itself: one insert, or one update that answers what the steps after it need.

use std::sync::Arc;

use serde_json::Value;

use super::class_rules::ClassRules;
use super::stages::{Checked, Draft, Outcome};
use super::statement::{self, Change, Insert, Loan};
use super::writable::{is_writable, writable};
use super::{contents, ops, triggers, withhold};
use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::{ClassSnapshot, Ctx};
use crate::storage::{Changed, Related, Returning, StorageError, WriteFilter};
use crate::types::update::RelationChange;
use crate::types::{FieldName, Object, ObjectId, Op};

/// # Errors
/// 101 when there is nothing the caller may update, 137 for duplicates, and what storage refuses.
pub async fn run(ctx: &Ctx, checked: &mut Checked, rules: Option<&dyn ClassRules>) -> Result<Outcome> {
    match &checked.draft.id {
        None => insert(ctx, checked, rules).await,
        Some(id) => {
            let parsed = statement::change(checked, rules)?;
            if let Some(rules) = rules {
                rules.check(&checked.draft)?;
            }
            update(ctx, checked, rules, id, parsed).await
        }
    }
}

fn refused(rules: Option<&dyn ClassRules>, error: StorageError) -> Error {
    match rules {
        Some(rules) => rules.map_error(error),
        None => error.into(),
    }
}

async fn insert(ctx: &Ctx, checked: &mut Checked, rules: Option<&dyn ClassRules>) -> Result<Outcome> {
    let Checked { draft, class, times, .. } = checked;
    let schema = &class.schema;
    // Rules look at the draft once more.
    let lends = rules.is_none();
    let Insert { row, relations, loan } = statement::insert(draft, schema, times, lends)?;
    if let Some(rules) = rules {
        rules.check(draft)?;
    }
    let id = || row.get("objectId").and_then(Value::as_str).and_then(ObjectId::new);
    let related = if relations.is_empty() { None } else { related(id(), relations) };
    let rows = [row];
    let created = match related {
        None => on_session!(ctx, |session| session.create(schema, &rows)),
        Some(related) => on_session!(ctx, |session| session.create_related(schema, &rows[0], &related)),
    };
    let [row] = rows;
    if let Err(error) = created {
        loan.end(row, &mut draft.data);
        return Err(refused(rules, error));
    }
    Ok(inserted(ctx, row, loan, class, draft))
}

/// What is known of an object once its row is stored; the row goes back to the draft that lent it.
pub fn inserted(ctx: &Ctx, row: Object, loan: Loan, class: &ClassSnapshot, draft: &mut Draft) -> Outcome {
    let after = if loan.is_open() {
        let wanted = ctx.services.events.publishes(class) || triggers::has_after_save(ctx, &draft.class);
        let after = wanted.then(|| public_object(row.clone()));
        loan.end(row, &mut draft.data);
        after
    } else {
        Some(public_object(row))
    };
    Outcome { before: None, after: after.map(Arc::new), is_publishable: true, stamp: 0 }
}

async fn update(
    ctx: &Ctx,
    checked: &Checked,
    rules: Option<&dyn ClassRules>,
    id: &ObjectId,
    mut parsed: Change,
) -> Result<Outcome> {
    let Checked { draft, class, .. } = checked;
    // Unsetting a field that the class does not have makes no column for it.
    let is_known = |root: &FieldName| root.is_internal() || class.schema.fields.contains_key(root);
    parsed.update.ops.retain(|(path, op)| *op != Op::Unset || is_known(&path.root));
    let mut filter = writable(ctx, class, id, checked.adds_field)?;
    if let Some(condition) = &draft.condition {
        filter = filter.and(condition.clone());
    }
    let guards = contents::guards(ctx, &parsed.update);
    let unguarded = (!guards.is_empty()).then(|| filter.clone());
    for guard in guards {
        filter = filter.and(guard);
    }
    let target = WriteFilter { filter, writers: ctx.auth.acl_ids() };
    let publishes = ctx.services.events.publishes(class);
    let computed = draft.data.values().any(ops::is_computed) || draft.news.has_parts();
    let triggered = triggers::has_after_save(ctx, &draft.class);
    // SetOnInsert writes nothing here, and its result is what stands there.
    let whole = publishes
        || triggered
        || draft.data.values().any(ops::is_set_on_insert)
        || (computed && withhold::depends_on_row(ctx, class));
    let returning = Returning { before: publishes, after: whole || computed, written_only: !whole };
    let (schema, operations) = (&class.schema, &parsed.update);
    let changed = match related(Some(id.clone()), parsed.relations) {
        None => on_session!(ctx, |session| session.update(schema, &target, operations, returning)),
        Some(related) => {
            on_session!(ctx, |session| session
                .update_related(schema, &target, operations, returning, &related))
        }
    };
    let changed: Changed = changed.map_err(|error| refused(rules, error))?;
    if changed.count == 0 {
        if let Some(filter) = unguarded
            && is_writable(ctx, class, filter).await?
        {
            return Err(contents::part_of_typed_value());
        }
        return Err(rules.map_or_else(Error::object_not_found, |rules| rules.nothing_found()));
    }
    let object = |rows: &Option<crate::types::RowSet>| {
        rows.as_ref().and_then(|rows| rows.first()).map(|row| Arc::new(row.to_object()))
    };
    Ok(Outcome {
        before: object(&changed.before),
        after: object(&changed.after),
        is_publishable: publishes,
        stamp: changed.stamp,
    })
}

/// What changes in the object's relations, to be stored with it; `None` for most writes.
fn related(owner: Option<ObjectId>, changes: Vec<RelationChange>) -> Option<Related> {
    if changes.is_empty() {
        return None;
    }
    Some(Related { owner: owner?, changes })
}

/// A stored row as events and triggers see it: `ACL` for the permission columns, plain times.
fn public_object(mut row: Object) -> Object {
    let list = |value: Option<Value>| -> Option<Vec<String>> {
        let entries = value?;
        Some(entries.as_array()?.iter().filter_map(|entry| entry.as_str().map(str::to_owned)).collect())
    };
    let (read, write) = (list(row.shift_remove("_rperm")), list(row.shift_remove("_wperm")));
    if read.is_some() || write.is_some() {
        let acl = crate::types::Acl { read: read.unwrap_or_default(), write: write.unwrap_or_default() };
        row.insert("ACL".to_owned(), acl.to_json());
    }
    row
}
