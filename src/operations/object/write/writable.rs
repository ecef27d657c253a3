//! Which objects the caller may change, as a filter and as a question.

use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::permissions::clp::{RowRestriction, pointer_restriction};
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::{Filter, FindSpec};
use crate::types::{ObjectId, Operation};

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

/// Whether the caller could change an object that the filter finds.
pub async fn is_writable(ctx: &Ctx, class: &ClassSnapshot, filter: Filter) -> Result<bool> {
    let spec = FindSpec::new(filter).limit(1);
    let rows = on_session!(ctx, |session| session.find(&class.schema, &spec))?;
    Ok(rows.first().is_some_and(|row| ctx.auth.may_write(row.acl().as_ref())))
}
