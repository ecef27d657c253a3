//! `DELETE … RETURNING`.

use std::sync::Arc;

use super::update::STAMP;
use crate::storage::postgres::Executor;
use crate::storage::postgres::sql::Sql;
use crate::storage::postgres::write::target;
use crate::storage::{Changed, Returning, StorageResult, WriteFilter};
use crate::types::{ClassSchema, Layout};

/// Deletes what the target matches and answers the rows when asked.
///
/// # Errors
/// Database errors.
pub async fn run(
    db: &Executor<'_>,
    schema: &Arc<ClassSchema>,
    target: &WriteFilter,
    returning_before: bool,
) -> StorageResult<Changed> {
    let mut sql = Sql::new("DELETE FROM ");
    sql.push_class(&schema.name).push_sql(" AS t0 WHERE ");
    target::push_where(&mut sql, schema, target)?;
    if !returning_before {
        let count = db.execute(sql).await?;
        return Ok(Changed { count, before: None, after: None, stamp: 0 });
    }
    let layout = Arc::new(Layout::of(schema));
    sql.push_sql(" RETURNING ").push_sql(STAMP).push_sql(", ");
    target::push_columns(&mut sql, &layout, "t0");
    let rows = db.load(sql).await?;
    target::changed(&layout, &rows, Returning { before: true, ..Returning::default() })
}
