//! Join tables: membership changes and look-ups in both directions.

use crate::error::{Error, ErrorCode};
use crate::storage::postgres::Executor;
use crate::storage::postgres::sql::{PgRow, Sql};
use crate::storage::{RelationQuery, RelationSide, StorageError, StorageResult};
use crate::types::update::RelationChange;
use crate::types::{ClassName, ObjectId};

/// parse-server's join tables hold ids up to this many characters.
const MAX_ID: usize = 120;

fn checked(ids: &[ObjectId]) -> StorageResult<Vec<String>> {
    let fits = |id: &ObjectId| id.chars().count() <= MAX_ID && !id.contains('\0');
    if ids.iter().all(fits) {
        return Ok(ids.iter().map(|id| id.as_str().to_owned()).collect());
    }
    Err(StorageError::Refused(Error::parse(ErrorCode::INVALID_VALUE, "objectId is too long for a relation")))
}

/// Adds and removes members of one relation. The join table must exist.
///
/// # Errors
/// `StaleSchema` when the join table is missing.
pub async fn change(
    db: &Executor<'_>,
    class: &ClassName,
    owner: &ObjectId,
    change: &RelationChange,
) -> StorageResult<()> {
    let join = ClassName::join(&change.field, class);
    let owner = checked(std::slice::from_ref(owner))?.remove(0);
    if !change.remove.is_empty() {
        let mut sql = Sql::new("DELETE FROM ");
        sql.push_class(&join).push_sql(r#" WHERE "owningId" = "#).push_text(owner.clone());
        sql.push_sql(r#" AND "relatedId" = ANY("#).push_text_array(checked(&change.remove)?).push_sql(")");
        db.execute(sql).await?;
    }
    if !change.add.is_empty() {
        let mut sql = Sql::new("INSERT INTO ");
        sql.push_class(&join).push_sql(r#" ("relatedId", "owningId") SELECT member, "#).push_text(owner);
        sql.push_sql(" FROM unnest(").push_text_array(checked(&change.add)?);
        // Sorted, so that two writers lock the same members in the same order.
        sql.push_sql(") AS member ORDER BY member ON CONFLICT DO NOTHING");
        db.execute(sql).await?;
    }
    Ok(())
}

/// Members of owners, or owners of members.
pub fn ids_statement(query: &RelationQuery) -> Sql {
    let (wanted, given, ids) = match &query.by {
        RelationSide::Owners(ids) => ("relatedId", "owningId", ids),
        RelationSide::Members(ids) => ("owningId", "relatedId", ids),
    };
    let mut sql = Sql::new("SELECT DISTINCT ");
    sql.push_identifier(wanted).push_sql("::text FROM ");
    sql.push_class(&ClassName::join(&query.field, &query.class)).push_sql(" WHERE ");
    sql.push_identifier(given).push_sql(" = ANY(").push_text_array(ids.clone()).push_sql(")");
    sql
}

/// No join table, no ids.
///
/// # Errors
/// Database errors.
pub fn read_ids(rows: StorageResult<Vec<PgRow>>) -> StorageResult<Vec<String>> {
    match rows {
        Ok(rows) => Ok(rows.iter().filter_map(|row| crate::storage::postgres::column_text(row, 0)).collect()),
        Err(StorageError::StaleSchema(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
