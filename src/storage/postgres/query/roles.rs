//! All roles of a user in one statement: the roles that list the user, and every role that a role
//! already found is a member of. Membership rows outlive their role: a role that is gone passes
//! nothing on.

use crate::storage::postgres::sql::{PgRow, Sql};
use crate::storage::{StorageError, StorageResult};

/// Role names, direct and inherited; `UNION` ends cycles. `None` for an id nobody can have.
pub fn statement(user_id: &str) -> Option<Sql> {
    if user_id.is_empty() || user_id.contains('\0') {
        return None;
    }
    let mut sql = Sql::new(
        r#"WITH RECURSIVE held(id) AS (SELECT direct."owningId" FROM public."_Join:users:_Role" AS direct
         JOIN public."_Role" AS role ON role."objectId" = direct."owningId" WHERE direct."relatedId" = "#,
    );
    sql.push_text(user_id).push_sql(
        r#" UNION SELECT up."owningId" FROM public."_Join:roles:_Role" AS up JOIN held ON up."relatedId" = held.id
         JOIN public."_Role" AS role ON role."objectId" = up."owningId")
         SELECT role."name" FROM public."_Role" AS role JOIN held ON role."objectId" = held.id
         WHERE role."name" IS NOT NULL ORDER BY role."name""#,
    );
    Some(sql)
}

/// As [`statement`] for databases where no role was ever a member of another.
pub fn direct_statement(user_id: &str) -> Sql {
    let mut sql = Sql::new(
        r#"SELECT role."name" FROM public."_Role" AS role JOIN public."_Join:users:_Role" AS held
           ON held."owningId" = role."objectId" WHERE held."relatedId" = "#,
    );
    sql.push_text(user_id).push_sql(r#" AND role."name" IS NOT NULL ORDER BY role."name""#);
    sql
}

/// Tables that do not exist mean no roles.
///
/// # Errors
/// Database errors.
pub fn read(rows: StorageResult<Vec<PgRow>>) -> StorageResult<Vec<String>> {
    match rows {
        Ok(rows) => Ok(rows.iter().filter_map(|row| crate::storage::postgres::column_text(row, 0)).collect()),
        Err(StorageError::StaleSchema(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
