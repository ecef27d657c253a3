//! SQL with the type of its values, read as another type: NULL where it is none.

use super::JSON;
use crate::storage::postgres::query::column::Kind;
use crate::storage::postgres::query::rest_json::rest_json;
use crate::storage::postgres::query::storable::without_nul;
use crate::storage::postgres::sql::Sql;
use crate::types::FieldType;

/// An expression and the type of its values.
#[derive(Clone)]
pub(super) struct Typed {
    pub sql: Sql,
    pub ty: FieldType,
}

impl Typed {
    pub(super) fn new(sql: Sql, ty: FieldType) -> Self {
        Self { sql, ty }
    }

    pub(super) fn null() -> Self {
        Self::new(Sql::new("NULL::jsonb"), JSON)
    }

    fn is_json(&self) -> bool {
        matches!(self.ty, FieldType::Acl | FieldType::Object | FieldType::Array)
    }

    /// As `jsonb` in REST encoding.
    pub(super) fn json(self) -> Sql {
        rest_json(&self.sql, &Kind::from(&self.ty)).unwrap_or_else(|| Sql::new("NULL::jsonb"))
    }

    /// As a number, NULL when it is none.
    pub(super) fn number(self) -> Sql {
        match self.ty {
            FieldType::Number => self.sql,
            _ if self.is_json() => applied(
                "CASE WHEN jsonb_typeof(a0) = 'number' THEN (a0 #>> '{}')::float8 END",
                vec![self.sql],
            ),
            _ => Sql::new("NULL::float8"),
        }
    }

    /// As a whole number that PostgreSQL counts with.
    pub(super) fn int(self) -> Sql {
        // `least` and `greatest` pass over nulls.
        let bounded =
            "CASE WHEN a0 IS NOT NULL THEN least(greatest(trunc(a0), -2147483648), 2147483647)::int END";
        applied(bounded, vec![self.number()])
    }

    /// As text, NULL when it is none.
    pub(super) fn text(self) -> Sql {
        match self.ty {
            FieldType::String | FieldType::File | FieldType::Pointer(_) => self.sql,
            _ if self.is_json() => {
                applied("CASE WHEN jsonb_typeof(a0) = 'string' THEN a0 #>> '{}' END", vec![self.sql])
            }
            _ => Sql::new("NULL::text"),
        }
    }

    /// Numbers, booleans and dates as texts too.
    pub(super) fn shown(self) -> Sql {
        match self.ty {
            FieldType::String | FieldType::File | FieldType::Pointer(_) => self.sql,
            _ => applied(
                "CASE WHEN jsonb_typeof(a0) IN ('string', 'number', 'boolean') THEN a0 #>> '{}' \
                 WHEN a0 ->> '__type' = 'Date' THEN a0 ->> 'iso' END",
                vec![self.json()],
            ),
        }
    }

    /// As an instant, NULL when it is none.
    pub(super) fn date(self) -> Sql {
        match self.ty {
            FieldType::Date => self.sql,
            // Only what this system writes is read as a date, so that the cast cannot fail.
            _ if self.is_json() => applied(
                "CASE WHEN a0 ->> '__type' = 'Date' AND a0 ->> 'iso' \
                 ~ '^\\d{4}-[01]\\d-[0-3]\\dT[0-2]\\d:[0-5]\\d:[0-5]\\d\\.\\d{3}Z$' \
                 THEN (a0 ->> 'iso')::timestamptz END",
                vec![self.sql],
            ),
            _ => Sql::new("NULL::timestamptz"),
        }
    }

    /// As a condition.
    pub(super) fn condition(self) -> Sql {
        let mut sql = Sql::default();
        match self.ty {
            FieldType::Boolean => {
                sql.push_sql("(").append(self.sql).push_sql(" IS TRUE)");
            }
            FieldType::Number => {
                sql.push_sql("(coalesce(").append(self.sql).push_sql(", 0) <> 0)");
            }
            FieldType::Acl => {
                sql.push_sql("(coalesce(").append(self.sql);
                sql.push_sql(", 'null') NOT IN ('null', 'false', '0'))");
            }
            _ => {
                sql.push_sql("(").append(self.sql).push_sql(" IS NOT NULL)");
            }
        }
        sql
    }
}

/// `name(a, b, …)` or `(a op b op …)`.
pub(super) fn joined(open: &str, joint: &str, parts: Vec<Sql>, close: &str) -> Sql {
    let mut sql = Sql::new(open);
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            sql.push_sql(joint);
        }
        sql.append(part);
    }
    sql.push_sql(close);
    sql
}

/// `(SELECT <template> FROM (SELECT … AS a0, … AS a1) s)`: the template may use each argument as often as it
/// likes, the statement has it once.
pub(super) fn applied(template: &str, arguments: Vec<Sql>) -> Sql {
    let mut sql = Sql::new("(SELECT ");
    sql.push_sql(template).push_sql(" FROM (SELECT ");
    for (index, argument) in arguments.into_iter().enumerate() {
        sql.push_sql(if index > 0 { ", " } else { "" });
        sql.append(argument).push_sql(&format!(" AS a{index}"));
    }
    sql.push_sql(") s)");
    sql
}

/// Branches of one type keep it; of several they become JSON.
pub(super) fn unified(parts: Vec<Typed>, build: impl FnOnce(Vec<Sql>) -> Sql) -> Typed {
    let first = parts.first().map_or(JSON, |part| part.ty.clone());
    if parts.iter().all(|part| part.ty == first) {
        return Typed::new(build(parts.into_iter().map(|part| part.sql).collect()), first);
    }
    Typed::new(build(parts.into_iter().map(Typed::json).collect()), JSON)
}

/// `jsonb_build_object`, in pieces that PostgreSQL's limit of arguments allows.
pub(super) fn build_object(pairs: Vec<(String, Sql)>) -> Sql {
    const PIECE: usize = 40;
    if pairs.is_empty() {
        return Sql::new("'{}'::jsonb");
    }
    let mut sql = Sql::new("(");
    for (index, (key, value)) in pairs.into_iter().enumerate() {
        if index % PIECE == 0 {
            sql.push_sql(if index > 0 { ") || jsonb_build_object(" } else { "jsonb_build_object(" });
        } else {
            sql.push_sql(", ");
        }
        sql.push_text(without_nul(&key)).push_sql("::text, ").append(value);
    }
    sql.push_sql("))");
    sql
}
