//! Distinct values of a field: arrays count as their members, unset is no value.

use super::column::{Alias, Expr, Kind, kind_of};
use super::rest_json::rest_json;
use super::select::push_from;
use crate::query::FindSpec;
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{PgRow, Sql, with_typed_bytes};
use crate::types::path::FieldPath;
use crate::types::schema::ClassSchema;
use serde_json::Value;

/// One `jsonb` column; `None` when the class has no such column, so that there are no values.
///
/// # Errors
/// `Refused` (102) for filters PostgreSQL cannot say.
pub fn build(schema: &ClassSchema, path: &FieldPath, spec: &FindSpec) -> StorageResult<Option<Sql>> {
    let Some(kind) = kind_of(schema, &path.root) else { return Ok(None) };
    let mut value = Sql::default();
    Expr { alias: Alias::MAIN, path }.push(&mut value);
    let dotted = path.is_dotted();
    let looked_into = matches!(kind, Kind::Object | Kind::Array | Kind::Bytes | Kind::Json);
    if dotted && !looked_into {
        return Ok(None);
    }
    let Some(json) = rest_json(&value, if dotted { &Kind::Json } else { &kind }) else { return Ok(None) };
    let mut sql = Sql::new("SELECT DISTINCT ");
    if !dotted && !matches!(kind, Kind::Array | Kind::Json) {
        sql.append(json);
        push_from(&mut sql, schema, spec)?;
        sql.push_sql(" AND ").append(value).push_sql(" IS NOT NULL");
    } else {
        sql.push_sql("x.e FROM (SELECT ").append(json).push_sql(" AS v");
        push_from(&mut sql, schema, spec)?;
        sql.push_sql(
            ") s, LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(s.v) = 'array' THEN s.v \
             ELSE jsonb_build_array(s.v) END) x(e) WHERE s.v IS NOT NULL AND x.e <> 'null'",
        );
    }
    sql.push_sql(" ORDER BY 1");
    sql.uncacheable();
    Ok(Some(sql))
}

/// The values of rows of one `jsonb` column.
pub fn decode(rows: &[PgRow], is_plain_date: bool) -> Vec<Value> {
    let value = |row: &PgRow| {
        with_typed_bytes(row, 0, |_, bytes| serde_json::from_slice::<Value>(bytes.get(1..)?).ok()).flatten()
    };
    rows.iter().filter_map(value).map(|value| if is_plain_date { plain_date(value) } else { value }).collect()
}

/// `createdAt` and `updatedAt` are plain texts outside of objects too.
fn plain_date(value: Value) -> Value {
    match value.get("iso") {
        Some(iso) => iso.clone(),
        None => value,
    }
}
