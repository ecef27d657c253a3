//! What updates and deletes share: the condition on their rows, the columns they hand back, and the
//! decoding of both sides.

use std::sync::Arc;

use crate::storage::postgres::query::column::Alias;
use crate::storage::postgres::query::filter;
use crate::storage::postgres::query::filter::PermissionColumn;
use crate::storage::postgres::query::row;
use crate::storage::postgres::sql;
use crate::storage::postgres::sql::{PgRow, Sql};
use crate::storage::{Changed, Returning, StorageResult, WriteFilter};
use crate::types::{ClassSchema, Layout, RowSet};

/// The condition on rows of `t0`.
///
/// # Errors
/// `Refused` for filters PostgreSQL cannot say.
pub fn push_where(sql: &mut Sql, schema: &Arc<ClassSchema>, target: &WriteFilter) -> StorageResult<()> {
    let writers = target.writers.as_ref().map(|writers| (PermissionColumn::Write, writers));
    filter::push_condition(sql, schema, Alias::MAIN, &target.filter, writers)
}

/// `alias."a", alias."b", …`; for `RETURNING`, where aliases are not only `t0`.
pub fn push_columns(sql: &mut Sql, layout: &Layout, alias: &str) {
    for (index, column) in layout.columns.iter().enumerate() {
        if index > 0 {
            sql.push_sql(", ");
        }
        sql.push_sql(alias).push_sql(".").push_field(&column.name);
    }
}

/// Reads rows of `stamp, columns before…, columns after…`.
///
/// # Errors
/// None today; columns that cannot be decoded read as unset.
pub fn changed(layout: &Arc<Layout>, rows: &[PgRow], returning: Returning) -> StorageResult<Changed> {
    let width = layout.columns.len();
    let side = |wanted: bool, first: usize| {
        wanted.then(|| {
            let mut set = RowSet::with_capacity(layout.clone(), rows.len());
            for row in rows {
                row::push_row(&mut set, row, first, width);
            }
            set
        })
    };
    let before = side(returning.before, 1);
    let after = side(returning.after, 1 + if returning.before { width } else { 0 });
    let stamps = rows.iter().filter_map(|row| {
        sql::with_bytes(row, 0, |bytes| bytes.try_into().map(i64::from_be_bytes).unwrap_or_default())
    });
    let stamp = stamps.max().and_then(|stamp| u64::try_from(stamp).ok()).unwrap_or_default();
    Ok(Changed { count: rows.len() as u64, before, after, stamp })
}
