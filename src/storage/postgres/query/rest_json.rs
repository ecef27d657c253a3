//! Values of columns as `jsonb` in REST encoding, as they stand inside Object and Array columns: what `$select`,
//! `distinct` and pipelines compare and answer.

use super::column::{Expr, Kind};
use crate::storage::postgres::sql::Sql;

/// The value as it is written inside Object and Array columns; `false` when it has no such form.
pub fn push_rest_json(sql: &mut Sql, value: Expr<'_>, kind: &Kind) -> bool {
    let mut own = Sql::default();
    value.push(&mut own);
    let kind = if value.path.is_dotted() { &Kind::Json } else { kind };
    match rest_json(&own, kind) {
        Some(json) => {
            sql.append(json);
            true
        }
        None => false,
    }
}

/// An expression of this kind as `jsonb` in REST encoding; `None` when it has no such form.
pub fn rest_json(value: &Sql, kind: &Kind) -> Option<Sql> {
    let mut json = Sql::default();
    match kind {
        Kind::Object | Kind::Array | Kind::Bytes | Kind::Json => {
            json.append(value.clone());
            return Some(json);
        }
        Kind::Text | Kind::Number | Kind::Bool | Kind::TextArray => {
            json.push_sql("to_jsonb(").append(value.clone()).push_sql(")");
            return Some(json);
        }
        Kind::Polygon | Kind::Relation(_) => return None,
        _ => {}
    }
    json.push_sql("CASE WHEN ").append(value.clone());
    json.push_sql(" IS NOT NULL THEN jsonb_build_object('__type', ");
    match kind {
        Kind::Date => {
            json.push_sql("'Date', 'iso', to_char(").append(value.clone());
            json.push_sql(" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')");
        }
        Kind::Pointer(class) => {
            json.push_sql("'Pointer', 'className', ").push_text(class.as_str());
            json.push_sql("::text, 'objectId', ").append(value.clone());
        }
        Kind::Point => {
            json.push_sql("'GeoPoint', 'latitude', (").append(value.clone());
            json.push_sql(")[1], 'longitude', (").append(value.clone()).push_sql(")[0]");
        }
        _ => {
            json.push_sql("'File', 'name', ").append(value.clone());
        }
    }
    json.push_sql(") END");
    Some(json)
}
