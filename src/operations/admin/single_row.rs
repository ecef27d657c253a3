//! Classes of one row, `_GlobalConfig` and `_GraphQLConfig`: their schema, and the write that makes the row or changes
//! it.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::context::Ctx;
use crate::query::{Filter, Operand};
use crate::storage::{Returning, StorageError, WriteFilter};
use crate::types::{ClassName, ClassSchema, Object, Update};

/// The id that parse-server gives the row.
pub const ID: &str = "1";

/// The row.
pub fn row() -> Filter {
    Filter::eq("objectId", Operand::Text(ID.into()))
}

/// # Errors
/// When storage fails, or has no such class.
pub async fn schema(ctx: &Ctx, class: &'static str) -> Result<Arc<ClassSchema>> {
    let snapshot = ctx.services.classes.admit(&ClassName::known(class)).await?;
    let schema = snapshot.map(|class| class.schema.clone());
    schema.ok_or_else(|| Error::internal(format!("{class} does not exist")))
}

/// Changes the row, or stores the new one where there is none.
///
/// # Errors
/// When storage fails.
pub async fn change_or_create(
    ctx: &Ctx,
    schema: &Arc<ClassSchema>,
    update: &Update,
    new: &Object,
) -> Result<()> {
    let target = WriteFilter { filter: row(), writers: None };
    // Two first writers: the one that is refused finds the other's row when it updates again.
    loop {
        let changed =
            on_session!(ctx, |session| session.update(schema, &target, update, Returning::default()))?;
        if changed.count > 0 {
            return Ok(());
        }
        match on_session!(ctx, |session| session.create(schema, std::slice::from_ref(new))) {
            Ok(()) => return Ok(()),
            Err(StorageError::Duplicate { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
