//! The statement itself: one insert, or one update that answers what the steps after it need.

use std::sync::Arc;

use serde_json::Value;

use super::draft::Draft;
use super::ops::{self, Parsed};
use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::classes::user::auth_data;
use crate::operations::permissions::clp::{RowRestriction, pointer_restriction};
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::{Filter, FindSpec};
use crate::storage::{Changed, Related, Returning, Target};
use crate::types::update::RelationChange;
use crate::types::{FieldName, Object, ObjectId, Op, Operation};

/// What is known of the object around the write.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The row before, when somebody wanted it.
    pub before: Option<Arc<Object>>,
    /// The row after: complete for creates, and for updates when a trigger or a live query wanted it; else
    /// at least what operators computed.
    pub after: Option<Arc<Object>>,
    /// Both sides are what a live query needs. Whether anybody listens may change during the write.
    pub publishable: bool,
    pub stamp: u64,
}

/// # Errors
/// 101 when there is nothing the caller may update, 137 for duplicates, and what storage refuses.
pub async fn run(ctx: &Ctx, draft: &mut Draft, class: &Arc<ClassSnapshot>) -> Result<Outcome> {
    let parsed = ops::parse(draft, &class.schema)?;
    super::special::check_before_store(ctx, draft)?;
    match draft.id.clone() {
        None => insert(ctx, draft, class, parsed).await,
        Some(id) => update(ctx, draft, class, &id, parsed).await,
    }
}

async fn insert(ctx: &Ctx, draft: &Draft, class: &Arc<ClassSnapshot>, parsed: Parsed) -> Result<Outcome> {
    let rows = [parsed.row];
    let created = match related(draft.object_id().and_then(ObjectId::new), parsed.relations) {
        None => on_session!(ctx, |session| session.create(&class.schema, &rows)),
        Some(related) => {
            on_session!(ctx, |session| session.create_related(&class.schema, &rows[0], &related))
        }
    };
    created.map_err(|error| super::special::map_storage_error(draft, error))?;
    let [row] = rows;
    Ok(Outcome { before: None, after: Some(Arc::new(public_object(row))), publishable: true, stamp: 0 })
}

async fn update(
    ctx: &Ctx,
    draft: &Draft,
    class: &Arc<ClassSnapshot>,
    id: &ObjectId,
    mut parsed: Parsed,
) -> Result<Outcome> {
    // Unsetting a field that the class does not have makes no column for it.
    let is_known = |root: &FieldName| root.is_internal() || class.schema.fields.contains_key(root);
    parsed.update.ops.retain(|(path, op)| *op != Op::Unset || is_known(&path.root));
    let mut filter = writable(ctx, class, id, draft.adds_field)?;
    if let Some(condition) = &draft.special.condition {
        filter = filter.and(condition.clone());
    }
    let guards = super::rules::guards(ctx, &parsed.update);
    let unguarded = (!guards.is_empty()).then(|| filter.clone());
    for guard in guards {
        filter = filter.and(guard);
    }
    let target = Target { filter, writers: ctx.auth.acl_ids() };
    let publishes = ctx.services.events.publishes(class);
    let computed = draft.data.values().any(ops::is_computed) || draft.changed_in_parts();
    let triggered = super::triggers::has_after_save(ctx, &draft.class);
    // SetOnInsert writes nothing here, and its result is what stands there.
    let whole = publishes
        || triggered
        || draft.data.values().any(ops::is_set_on_insert)
        || (computed && super::withhold::depends_on_row(ctx, class));
    let returning = Returning { before: publishes, after: whole || computed, written_only: !whole };
    let (schema, operations) = (&class.schema, &parsed.update);
    let changed = match related(Some(id.clone()), parsed.relations) {
        None => on_session!(ctx, |session| session.update(schema, &target, operations, returning)),
        Some(related) => {
            on_session!(ctx, |session| session
                .update_related(schema, &target, operations, returning, &related))
        }
    };
    let changed: Changed = changed.map_err(|error| super::special::map_storage_error(draft, error))?;
    if changed.count == 0 {
        if let Some(filter) = unguarded
            && is_writable(ctx, class, filter).await?
        {
            return Err(super::rules::part_of_typed_value());
        }
        return Err(if draft.special.locked { auth_data::lost_race() } else { Error::object_not_found() });
    }
    let object = |rows: &Option<crate::types::RowSet>| {
        rows.as_ref().and_then(|rows| rows.first()).map(|row| Arc::new(row.to_object()))
    };
    Ok(Outcome {
        before: object(&changed.before),
        after: object(&changed.after),
        publishable: publishes,
        stamp: changed.stamp,
    })
}

/// Whether the caller could change an object that the filter finds.
pub async fn is_writable(ctx: &Ctx, class: &ClassSnapshot, filter: Filter) -> Result<bool> {
    let spec = FindSpec::new(filter).limit(1);
    let rows = on_session!(ctx, |session| session.find(&class.schema, &spec))?;
    Ok(rows.first().is_some_and(|row| ctx.auth.may_write(row.acl().as_ref())))
}

/// What changes in the object's relations, to be stored with it; `None` for most writes.
fn related(owner: Option<ObjectId>, changes: Vec<RelationChange>) -> Option<Related> {
    if changes.is_empty() {
        return None;
    }
    Some(Related { owner: owner?, changes })
}

/// The filter for one object that the caller may change, pointer permissions included.
///
/// # Errors
/// 101 when pointer permissions leave nothing.
pub fn writable(ctx: &Ctx, class: &ClassSnapshot, id: &ObjectId, adds_field: bool) -> Result<Filter> {
    let mut filter = Filter::by_id(id);
    let mut restrict = |op| -> Result<()> {
        match pointer_restriction(&ctx.auth, class, op)? {
            RowRestriction::All => Ok(()),
            RowRestriction::None => Err(Error::object_not_found()),
            RowRestriction::Rows(rows) => {
                filter = std::mem::replace(&mut filter, Filter::all()).and(rows);
                Ok(())
            }
        }
    };
    restrict(Operation::Update)?;
    if adds_field {
        restrict(Operation::AddField)?;
    }
    Ok(filter)
}

/// A stored row as events and triggers see it: `ACL` for the permission columns, plain times.
pub fn public_object(mut row: Object) -> Object {
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
