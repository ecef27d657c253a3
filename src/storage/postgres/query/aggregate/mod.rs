//! Aggregation pipelines as one nested SELECT: each stage wraps the relation before it. Columns keep
//! their Parse names, so that `$match` after `$group` is the same filter code as everywhere; the
//! schema of each step is made up as the pipeline goes.
//!
//! Results leave as rows of typed columns and are written like any object ([`output`]).

mod call;
mod combine;
mod date;
mod expr;
mod graph;
mod group;
mod lookup;
mod near;
mod output;
mod project;
mod typed;
mod windows;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Map;

use self::typed::Typed;
use super::column::{Alias, Expr as Column, Kind, kind_of};
use super::filter::push_condition;
use crate::error::Error;
use crate::query::pipeline::{Expr, Pipeline, SortKey, Stage};
use crate::query::{Constraint, Filter};
use crate::storage::postgres::sql::{Bind, Sql};
use crate::storage::{AggregateOptions, StorageError, StorageResult};
use crate::types::names::INTERNAL_COLUMNS;
use crate::types::path::FieldPath;
use crate::types::row::Layout;
use crate::types::schema::{ClassSchema, Field};
use crate::types::{ClassName, FieldName, FieldType};
pub use output::BuiltAggregate;

/// The type of a column that can hold any JSON.
const JSON: FieldType = FieldType::Acl;
/// The running number that keeps a sorted order through later stages.
const ORDER_COLUMN: &str = "_order";
/// The column of whole objects, once a stage made rows whose fields nobody knows.
const ROOT_COLUMN: &str = "_root";
/// What all computed columns of a stage may come to.
const MAX_WEIGHT: u64 = 300_000;
/// What keeps the aliases of a sub-pipeline apart from those around it.
const INNER_ALIASES: u32 = 1000;

fn refused(message: impl Into<String>) -> StorageError {
    StorageError::Refused(Error::invalid_query(message.into()))
}

/// # Errors
/// `Refused` (102) for what PostgreSQL cannot say.
pub fn build(
    class: &ClassSchema,
    pipeline: &Pipeline,
    options: &AggregateOptions,
) -> StorageResult<BuiltAggregate> {
    let mut relation = Relation::of(class, Alias::MAIN);
    relation.run(pipeline)?;
    Ok(relation.finish(options))
}

/// What the stages so far amount to.
#[derive(Clone)]
struct Relation {
    /// A table or sub-select with its alias: what stands behind FROM.
    from: Sql,
    alias: Alias,
    schema: ClassSchema,
    /// Columns that are shown also when they are null.
    keep_null: Vec<FieldName>,
    /// Parts of the last compound `_id` that are plain fields, unset where the field was.
    plain_parts: Vec<String>,
    /// The order of the last `$sort`, in columns of this relation.
    sort: Vec<SortKey>,
    /// Rows are whole objects, in [`ROOT_COLUMN`].
    is_document: bool,
    /// What a `$lookup` around this pipeline calls `$$name`.
    variables: Vec<(String, Typed)>,
    /// What stages computed comes to with all that it is made of, where that is more than a column: PostgreSQL writes
    /// it out wherever it is named while it plans, which no time limit ends.
    weights: HashMap<FieldName, u64>,
}

impl Relation {
    fn of(class: &ClassSchema, alias: Alias) -> Self {
        let mut from = Sql::default();
        from.push_class(&class.name).push_sql(" ");
        alias.push(&mut from);
        let mut fields = indexmap::IndexMap::new();
        for column in Layout::of(class).columns {
            if !INTERNAL_COLUMNS.contains(&column.name.as_str())
                && let Some(field) = class.field(&column.name)
            {
                fields.insert(column.name, Field::of(field.ty.clone()));
            }
        }
        Self {
            from,
            alias,
            schema: made_up(fields),
            keep_null: Vec::new(),
            plain_parts: Vec::new(),
            sort: Vec::new(),
            is_document: false,
            variables: Vec::new(),
            weights: HashMap::new(),
        }
    }

    fn run(&mut self, pipeline: &Pipeline) -> StorageResult<()> {
        pipeline.stages.iter().try_for_each(|stage| {
            self.stage(stage)?;
            let weight = self.weights.values().fold(0, |sum: u64, weight| sum.saturating_add(*weight));
            if weight > MAX_WEIGHT { Err(refused("The pipeline is too complex")) } else { Ok(()) }
        })
    }

    /// `(SELECT <columns> FROM <this> <rest>) tN` becomes the relation.
    fn wrap(&mut self, columns: Sql, rest: Sql) {
        let mut inner = Sql::new("SELECT ");
        inner.append(columns).push_sql(" FROM ").append(std::mem::take(&mut self.from)).append(rest);
        self.become_select(inner);
    }

    fn become_select(&mut self, select: Sql) {
        self.alias = Alias(self.alias.0 + 1);
        let mut from = Sql::new("(");
        from.append(select).push_sql(") ");
        self.alias.push(&mut from);
        self.from = from;
    }

    /// `tN.*`.
    fn every_column(&self) -> Sql {
        let mut columns = Sql::default();
        self.alias.push(&mut columns);
        columns.push_sql(".*");
        columns
    }

    fn stage(&mut self, stage: &Stage) -> StorageResult<()> {
        match stage {
            Stage::Match { filter, condition } => self.matched(filter, condition.as_ref()),
            Stage::Group(group) => self.group(group),
            Stage::Shape { keep_id, fields } => self.shape(*keep_id, fields),
            Stage::Exclude(names) => self.exclude(names),
            Stage::AddFields(fields) => self.add_fields(fields),
            Stage::ReplaceRoot(root) => self.replace_root(root),
            Stage::Sort(keys) => self.sort(keys),
            Stage::Limit(count) => {
                self.page(" LIMIT ", *count);
                Ok(())
            }
            Stage::Skip(count) => {
                self.page(" OFFSET ", *count);
                Ok(())
            }
            Stage::Sample(size) => {
                let mut rest = Sql::new(" ORDER BY random() LIMIT ");
                rest.push_bind(Bind::Int8(i64::try_from(*size).unwrap_or(i64::MAX)));
                self.wrap(self.every_column(), rest);
                self.sort.clear();
                Ok(())
            }
            Stage::Unwind { path, keep_empty, index } => self.unwind(path, *keep_empty, index.as_ref()),
            Stage::Count(name) => {
                self.count(name);
                Ok(())
            }
            Stage::Lookup(lookup) => self.lookup(lookup),
            Stage::GraphLookup(graph) => self.graph_lookup(graph),
            Stage::GeoNear(near) => self.geo_near(near),
            Stage::UnionWith { source, pipeline } => self.union_with(source, pipeline),
            Stage::Facet(facets) => self.facet(facets),
            Stage::Windows(windows) => self.windows(windows),
        }
    }

    fn matched(&mut self, filter: &Filter, condition: Option<&Expr>) -> StorageResult<()> {
        let mut rest = Sql::new(" WHERE ");
        let placed;
        let filter = if self.is_document {
            placed = self.placed_filter(filter);
            &placed
        } else {
            filter
        };
        push_condition(&mut rest, &self.schema, self.alias, filter, None)?;
        if let Some(condition) = condition {
            rest.push_sql(" AND ").append(self.expression(condition)?.condition());
        }
        self.wrap(self.every_column(), rest);
        Ok(())
    }

    /// Where the value of a path stands: a column, or below the column of whole objects.
    fn place(&self, path: &FieldPath) -> FieldPath {
        if !self.is_document {
            return path.clone();
        }
        let mut rest = vec![path.root.as_str().to_owned()];
        rest.extend(path.rest.iter().cloned());
        FieldPath { root: FieldName::known(ROOT_COLUMN), rest }
    }

    fn placed_filter(&self, filter: &Filter) -> Filter {
        let each = |parts: &[Filter]| parts.iter().map(|part| self.placed_filter(part)).collect();
        match filter {
            Filter::And(parts) => Filter::And(each(parts)),
            Filter::Or(parts) => Filter::Or(each(parts)),
            Filter::Nor(parts) => Filter::Nor(each(parts)),
            Filter::Field { path, constraints } => {
                let constraints: Vec<Constraint> = constraints.clone();
                Filter::Field { path: self.place(path), constraints }
            }
            Filter::RelatedTo(related) => Filter::RelatedTo(related.clone()),
        }
    }

    fn sort(&mut self, keys: &[SortKey]) -> StorageResult<()> {
        self.sort.clear();
        for SortKey { path, descending } in keys {
            let path = self.place(path);
            let Some(kind) = kind_of(&self.schema, &path.root) else { continue };
            refuse_inside(&path, &kind)?;
            if !matches!(kind, Kind::Point | Kind::Polygon | Kind::Relation(_)) {
                self.sort.push(SortKey { path, descending: *descending });
            }
        }
        Ok(())
    }

    /// ` ORDER BY …` of the last `$sort`; MongoDB puts unset values first.
    fn order_by(&self) -> Sql {
        let mut order = Sql::default();
        for (index, SortKey { path, descending }) in self.sort.iter().enumerate() {
            order.push_sql(if index > 0 { ", " } else { " ORDER BY " });
            Column { alias: self.alias, path }.push(&mut order);
            order.push_sql(if *descending { " DESC NULLS LAST" } else { " ASC NULLS FIRST" });
        }
        order
    }

    /// Turns the order into a column, before a stage that may drop the sorted columns.
    fn number_rows(&mut self) {
        if self.sort.is_empty() || self.sort.iter().any(|key| key.path.is(ORDER_COLUMN)) {
            return;
        }
        let mut columns = Sql::default();
        for name in self.schema.fields.keys().filter(|name| *name != ORDER_COLUMN) {
            self.alias.push(&mut columns);
            columns.push_sql(".").push_field(name).push_sql(", ");
        }
        columns.push_sql("row_number() OVER (").append(self.order_by()).push_sql(")::float8 AS ");
        columns.push_identifier(ORDER_COLUMN);
        self.wrap(columns, Sql::default());
        let order = FieldName::known(ORDER_COLUMN);
        self.schema.fields.insert(order.clone(), Field::of(FieldType::Number));
        self.sort = vec![SortKey { path: order.into(), descending: false }];
    }

    fn page(&mut self, keyword: &'static str, count: u64) {
        let mut rest = self.order_by();
        rest.push_sql(keyword).push_bind(Bind::Int8(i64::try_from(count).unwrap_or(i64::MAX)));
        self.wrap(self.every_column(), rest);
    }

    fn count(&mut self, name: &FieldName) {
        let mut columns = Sql::new("count(*)::float8 AS ");
        columns.push_field(name);
        // No documents, no answer.
        self.wrap(columns, Sql::new(" HAVING count(*) > 0"));
        self.begin_anew([(name.clone(), Field::of(FieldType::Number))].into_iter().collect());
    }

    /// The rows have these columns, and no order, from here on.
    fn begin_anew(&mut self, fields: indexmap::IndexMap<FieldName, Field>) {
        self.schema = made_up(fields);
        self.keep_null.clear();
        self.plain_parts.clear();
        self.sort.clear();
        self.weights.clear();
        self.is_document = false;
    }

    fn finish(mut self, options: &AggregateOptions) -> BuiltAggregate {
        self.schema.fields.shift_remove(ORDER_COLUMN);
        BuiltAggregate::new(self, options)
    }
}

/// # Errors
/// 102 for a path into a column that has nothing inside.
fn refuse_inside(path: &FieldPath, kind: &Kind) -> StorageResult<()> {
    if path.is_dotted() && !matches!(kind, Kind::Object | Kind::Array | Kind::Json | Kind::Bytes) {
        return Err(refused(format!("There is nothing inside {}: {}", path.root, path.to_dotted())));
    }
    Ok(())
}

fn made_up(fields: indexmap::IndexMap<FieldName, Field>) -> ClassSchema {
    let name = ClassName::known("Aggregation");
    ClassSchema { name, fields, clp: None, indexes: Map::new() }
}

/// The class that a part of the pipeline asks for, if it may be looked at.
fn reachable(source: &crate::query::pipeline::Source) -> Option<&Arc<ClassSchema>> {
    source.access.schema.as_ref().filter(|_| !source.access.denied)
}
