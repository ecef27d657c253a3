//! `$graphLookup`: ids and the number of steps to them, found step by step, and then the rows.

use super::super::column::{Alias, Expr as Column, Kind, kind_of};
use super::super::filter::push_condition;
use super::super::rest_json::rest_json;
use super::typed::{Typed, build_object};
use super::{INNER_ALIASES, Relation, reachable};
use crate::query::pipeline::GraphLookup;
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::FieldType;
use crate::types::path::FieldPath;
use crate::types::schema::ClassSchema;

/// Rows that more steps lead to are not found: what goes in circles has an end.
const MOST_STEPS: u32 = 100;

impl Relation {
    pub(super) fn graph_lookup(&mut self, graph: &GraphLookup) -> StorageResult<()> {
        self.number_rows();
        let found = match reachable(&graph.source) {
            Some(class) => self.reached(class, graph)?,
            None => Sql::new("'[]'::jsonb"),
        };
        self.add_value(&graph.into, Typed { sql: found, ty: FieldType::Array });
        Ok(())
    }

    fn reached(&self, class: &ClassSchema, graph: &GraphLookup) -> StorageResult<Sql> {
        let steps = format!("g{}", self.alias.0);
        let inner = |number: u32| Self::of(class, Alias(self.alias.0 + INNER_ALIASES + number));
        let (before, row) = (inner(0), inner(1));
        let most = graph.max_depth.unwrap_or(MOST_STEPS).min(MOST_STEPS);
        let mut sql = Sql::new(&format!("(WITH RECURSIVE {steps}(id, depth) AS (SELECT "));
        sql.append(row.id()).push_sql(", 0 FROM ").append(row.from.clone()).push_sql(" WHERE ");
        push_found(&mut sql, &row, &graph.to, self.expression(&graph.start)?);
        sql.push_sql(" AND ");
        push_condition(&mut sql, &row.schema, row.alias, &graph.filter, None)?;
        sql.push_sql(" UNION SELECT ")
            .append(row.id())
            .push_sql(&format!(", {steps}.depth + 1 FROM {steps} JOIN "));
        sql.append(before.from.clone())
            .push_sql(" ON ")
            .append(before.id())
            .push_sql(&format!(" = {steps}.id JOIN "));
        sql.append(row.from.clone()).push_sql(" ON ");
        push_found(&mut sql, &row, &graph.to, before.field(&graph.from));
        sql.push_sql(&format!(" WHERE {steps}.depth < {most} AND "));
        push_condition(&mut sql, &row.schema, row.alias, &graph.filter, None)?;
        sql.push_sql(") SELECT coalesce(jsonb_agg(").append(row.row_json());
        if let Some(name) = &graph.depth_field {
            let depth = Sql::new("to_jsonb(m.depth)");
            sql.push_sql(" || ").append(build_object(vec![(name.as_str().to_owned(), depth)]));
        }
        sql.push_sql(&format!(
            " ORDER BY m.depth, m.id), '[]') FROM (SELECT id, min(depth) AS depth FROM {steps} GROUP BY id) m JOIN "
        ));
        sql.append(row.from.clone()).push_sql(" ON ").append(row.id()).push_sql(" = m.id)");
        Ok(sql)
    }

    fn id(&self) -> Sql {
        let mut id = Sql::default();
        self.alias.push(&mut id);
        id.push_sql(".").push_identifier("objectId");
        id
    }
}

/// Whether the row has the value, or one of the values, at the path. What is null leads nowhere.
fn push_found(sql: &mut Sql, row: &Relation, path: &FieldPath, value: Typed) {
    let Some(kind) = kind_of(&row.schema, &path.root) else {
        sql.push_sql("FALSE");
        return;
    };
    let is_inside = path.is_dotted();
    if is_inside && !matches!(kind, Kind::Object | Kind::Array | Kind::Json | Kind::Bytes) {
        sql.push_sql("FALSE");
        return;
    }
    let mut theirs = Sql::default();
    Column { alias: row.alias, path }.push(&mut theirs);
    let is_id = !is_inside && matches!(kind, Kind::Text | Kind::Pointer(_) | Kind::File);
    if is_id && matches!(value.ty, FieldType::String | FieldType::Pointer(_) | FieldType::File) {
        sql.append(theirs).push_sql(" = ").append(value.sql);
        return;
    }
    if is_id {
        let ids = "(SELECT coalesce(e ->> 'objectId', e #>> '{}')";
        sql.append(theirs).push_sql(" IN ").push_sql(ids).append(from_members(value.json())).push_sql(")");
        return;
    }
    match rest_json(&theirs, if is_inside { &Kind::Json } else { &kind }) {
        Some(json) => {
            sql.push_sql("EXISTS (SELECT 1").append(from_members(json)).push_sql(" WHERE e IN (SELECT e");
            sql.append(from_members(value.json())).push_sql("))");
        }
        None => {
            sql.push_sql("FALSE");
        }
    }
}

/// ` FROM …` of the members of a list, or of a value that is none: each is `e`.
fn from_members(list: Sql) -> Sql {
    let mut from = Sql::new(" FROM (SELECT ");
    from.append(list).push_sql(
        " AS a0) s, jsonb_array_elements(CASE WHEN jsonb_typeof(a0) = 'array' THEN a0 \
         WHEN a0 <> 'null' THEN jsonb_build_array(a0) END) e",
    );
    from
}
