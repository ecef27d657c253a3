//! What the rows of counts and plans come to.

use serde_json::{Value, json};

use crate::storage::postgres::sql::{PgRow, Sql, with_bytes};
use crate::types::Object;
use crate::types::path::FieldPath;

pub(super) fn number(rows: &[PgRow]) -> u64 {
    let count = rows.first().and_then(|row| {
        with_bytes(row, 0, |bytes| bytes.try_into().map(i64::from_be_bytes).unwrap_or_default())
    });
    count.and_then(|n| u64::try_from(n).ok()).unwrap_or_default()
}

pub(super) fn explained(sql: Sql) -> Sql {
    let mut explained = Sql::new("EXPLAIN (FORMAT JSON) ");
    explained.append(sql).uncacheable();
    explained
}

/// The rows of `EXPLAIN` as parse-server answers them: one, with the plan in PostgreSQL's column.
pub(super) fn plan(rows: &[PgRow]) -> Value {
    let plan_in =
        |row: &PgRow| with_bytes(row, 0, |bytes| serde_json::from_slice::<Value>(bytes).ok()).flatten();
    rows.iter().filter_map(plan_in).map(|plan| json!({ "QUERY PLAN": plan })).collect()
}

/// A plan as the rows of an answer.
pub(super) fn plan_objects(plan: Value) -> Vec<Object> {
    let list = match plan {
        Value::Array(list) => list,
        other => vec![other],
    };
    list.into_iter().filter_map(|entry| entry.as_object().cloned()).collect()
}

/// These two are plain texts in answers.
pub(super) fn is_plain_date(path: &FieldPath) -> bool {
    path.is("createdAt") || path.is("updatedAt")
}
