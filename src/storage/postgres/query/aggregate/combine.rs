//! `$unionWith` and `$facet`: several relations as one.

use super::typed::Typed;
use super::{INNER_ALIASES, JSON, ORDER_COLUMN, Relation, reachable};
use crate::query::pipeline::{Pipeline, Source};
use crate::storage::StorageResult;
use crate::storage::postgres::query::column::{Alias, Expr as Column};
use crate::storage::postgres::sql::Sql;
use crate::types::path::FieldPath;
use crate::types::schema::Field;
use crate::types::{FieldName, FieldType};

impl Relation {
    pub(super) fn union_with(&mut self, source: &Source, pipeline: &Pipeline) -> StorageResult<()> {
        let Some(class) = reachable(source) else { return Ok(()) };
        let mut other = Self::of(class, Alias(self.alias.0 + INNER_ALIASES));
        other.variables.clone_from(&self.variables);
        other.run(pipeline)?;
        if self.is_document || other.is_document {
            self.become_document();
            other.become_document();
        }
        let mut names: Vec<FieldName> = Vec::new();
        for name in self.schema.fields.keys().chain(other.schema.fields.keys()) {
            if name != ORDER_COLUMN && !names.contains(name) {
                names.push(name.clone());
            }
        }
        let mut fields = indexmap::IndexMap::new();
        let (mut own, mut theirs) = (Sql::new("SELECT "), Sql::new("SELECT "));
        for (index, name) in names.iter().enumerate() {
            let types = (self.schema.field_type(name).cloned(), other.schema.field_type(name).cloned());
            let ty = match types {
                (Some(a), Some(b)) if a == b => a,
                (Some(ty), None) | (None, Some(ty)) => ty,
                _ => JSON,
            };
            for (relation, sql) in [(&*self, &mut own), (&other, &mut theirs)] {
                sql.push_sql(if index > 0 { ", " } else { "" });
                sql.append(relation.cell(name, &ty)).push_sql(" AS ").push_field(name);
            }
            fields.insert(name.clone(), Field::of(ty));
        }
        if names.is_empty() {
            own.push_sql("1 AS \"_nothing\"");
            theirs.push_sql("1 AS \"_nothing\"");
        }
        own.push_sql(" FROM ").append(std::mem::take(&mut self.from));
        own.push_sql(" UNION ALL ").append(theirs).push_sql(" FROM ").append(other.from);
        self.become_select(own);
        let is_document = self.is_document;
        let mut weights = std::mem::take(&mut self.weights);
        for (name, weight) in other.weights {
            let known = weights.entry(name).or_default();
            *known = weight.max(*known);
        }
        self.begin_anew(fields);
        (self.is_document, self.weights) = (is_document, weights);
        Ok(())
    }

    /// A column as that type; NULL where there is none.
    fn cell(&self, name: &FieldName, ty: &FieldType) -> Sql {
        let Some(own) = self.schema.field_type(name) else {
            return Sql::new(match ty {
                FieldType::String | FieldType::File | FieldType::Pointer(_) => "NULL::text",
                FieldType::Number => "NULL::float8",
                FieldType::Boolean => "NULL::boolean",
                FieldType::Date => "NULL::timestamptz",
                FieldType::GeoPoint => "NULL::point",
                FieldType::Polygon => "NULL::polygon",
                _ => "NULL::jsonb",
            });
        };
        let path = FieldPath::from(name.clone());
        let mut sql = Sql::default();
        Column { alias: self.alias, path: &path }.push(&mut sql);
        if own == ty { sql } else { Typed { sql, ty: own.clone() }.json() }
    }

    pub(super) fn facet(&mut self, facets: &[(FieldName, Pipeline)]) -> StorageResult<()> {
        self.number_rows();
        let base = format!("b{}", self.alias.0);
        let mut select = Sql::new("WITH ");
        select.push_sql(&base).push_sql(" AS MATERIALIZED (SELECT ").append(self.every_column());
        select.push_sql(" FROM ").append(std::mem::take(&mut self.from)).push_sql(") SELECT ");
        let mut fields = indexmap::IndexMap::new();
        for (index, (name, pipeline)) in facets.iter().enumerate() {
            let alias = Alias(self.alias.0 + INNER_ALIASES);
            let mut from = Sql::new(&base);
            from.push_sql(" ");
            alias.push(&mut from);
            let mut relation = Self { from, alias, ..self.clone() };
            relation.run(pipeline)?;
            select.push_sql(if index > 0 { ", " } else { "" });
            select.append(relation.list()).push_sql(" AS ").push_field(name);
            fields.insert(name.clone(), Field::of(FieldType::Array));
        }
        self.become_select(select);
        self.begin_anew(fields);
        Ok(())
    }

    /// All rows as one array of objects.
    pub(super) fn list(mut self) -> Sql {
        let row = self.row_json();
        let mut sql = Sql::new("coalesce((SELECT jsonb_agg(");
        sql.append(row).append(self.order_by()).push_sql(") FROM ");
        sql.append(std::mem::take(&mut self.from)).push_sql("), '[]')");
        sql
    }
}
