//! Aggregation pipelines as one nested SELECT: each stage wraps the relation before it. Columns keep
//! their Parse names, so that `$match` after `$group` is the same filter code as everywhere; the
//! schema of each step is made up as the pipeline goes.
//!
//! Results leave as rows of typed columns and are written like any object ([`output`]).

mod expr;
mod group;
mod lookup;
mod output;
mod project;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::column::{Alias, kind_of};
use super::filter::push_condition;
use crate::error::Error;
use crate::query::ParseContext;
use crate::query::parse::parse_where;
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
/// Longest name PostgreSQL keeps apart from others.
const MAX_NAME: usize = 63;
/// Stages of one pipeline.
const MAX_STAGES: usize = 100;

fn refused(message: impl Into<String>) -> StorageError {
    StorageError::Refused(Error::invalid_query(message.into()))
}

/// # Errors
/// `Refused` (102, or the codes of `$match` filters) for stages and expressions that are malformed
/// or unknown.
pub fn build(
    class: &ClassSchema,
    pipeline: &[Value],
    options: &AggregateOptions,
    schemas: &[Arc<ClassSchema>],
) -> StorageResult<BuiltAggregate> {
    if pipeline.len() > MAX_STAGES {
        return Err(refused(format!("Pipelines may have {MAX_STAGES} stages")));
    }
    let mut relation = Relation::of(class, schemas);
    for stage in pipeline {
        let Some((name, body)) = stage.as_object().and_then(|object| object.iter().next()) else {
            return Err(refused("Pipeline stages should only have one key but found ."));
        };
        relation.stage(name, body)?;
    }
    Ok(relation.finish(options))
}

/// What the stages so far amount to.
struct Relation<'a> {
    /// A table or sub-select with its alias: what stands behind FROM.
    from: Sql,
    alias: Alias,
    schema: ClassSchema,
    /// Columns that are shown also when they are null.
    keep_null: Vec<FieldName>,
    /// Parts of the last compound `_id` that are plain fields, unset where the field was.
    key_fields: Vec<String>,
    /// The order of the last `$sort`, in columns of this relation.
    sort: Vec<(FieldPath, bool)>,
    schemas: &'a [Arc<ClassSchema>],
}

impl<'a> Relation<'a> {
    fn of(class: &ClassSchema, schemas: &'a [Arc<ClassSchema>]) -> Self {
        let mut from = Sql::default();
        from.push_class(&class.name).push_sql(" t0");
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
            alias: Alias::MAIN,
            schema: made_up(fields),
            keep_null: Vec::new(),
            key_fields: Vec::new(),
            sort: Vec::new(),
            schemas,
        }
    }

    /// `(SELECT <columns> FROM <this> <rest>) tN` becomes the relation.
    fn wrap(&mut self, columns: Sql, rest: Sql) {
        let alias = Alias(self.alias.0 + 1);
        let mut from = Sql::new("(SELECT ");
        from.append(columns).push_sql(" FROM ").append(std::mem::take(&mut self.from));
        from.append(rest).push_sql(") ");
        alias.push(&mut from);
        self.from = from;
        self.alias = alias;
    }

    /// `tN.*`.
    fn every_column(&self) -> Sql {
        let mut columns = Sql::default();
        self.alias.push(&mut columns);
        columns.push_sql(".*");
        columns
    }

    fn stage(&mut self, name: &str, body: &Value) -> StorageResult<()> {
        match name {
            "$match" => self.matched(body),
            "$group" => self.group(body),
            "$project" => self.project(body),
            "$addFields" | "$set" => self.add_fields(name, body),
            "$unset" => self.unset(body),
            "$sort" => self.sort(body),
            "$limit" => self.page("$limit", " LIMIT ", body),
            "$skip" => self.page("$skip", " OFFSET ", body),
            "$sample" => self.sample(body),
            "$unwind" => self.unwind(body),
            "$count" => self.count(body),
            "$lookup" => self.lookup(body),
            _ => Err(refused(format!("Unrecognized pipeline stage name: '{name}'"))),
        }
    }

    fn matched(&mut self, body: &Value) -> StorageResult<()> {
        let ctx = ParseContext { schema: Some(&self.schema), ..ParseContext::master() };
        let wanted = self.parse_names(body);
        let filter = parse_where(&wanted, &ctx).map_err(StorageError::Refused)?;
        let mut rest = Sql::new(" WHERE ");
        push_condition(&mut rest, &self.schema, self.alias, &filter, None)?;
        self.wrap(self.every_column(), rest);
        Ok(())
    }

    /// MongoDB's names and values, where a pipeline uses them, as Parse's.
    fn parse_names(&self, value: &Value) -> Value {
        match value {
            Value::Array(list) => Value::Array(list.iter().map(|v| self.parse_names(v)).collect()),
            Value::Object(object) if object.len() == 1 && object.contains_key("$date") => {
                date_literal(object)
            }
            Value::Object(object) => {
                let mut renamed = Map::new();
                for (key, value) in object {
                    let value = self.parse_names(value);
                    match key.strip_prefix("_p_") {
                        Some(field) => renamed.insert(field.to_owned(), self.pointer_ids(field, value)),
                        None => renamed.insert(parse_name(key).to_owned(), value),
                    };
                }
                Value::Object(renamed)
            }
            other => other.clone(),
        }
    }

    /// `Class$id` is how MongoDB stores a pointer.
    fn pointer_ids(&self, field: &str, value: Value) -> Value {
        match value {
            Value::String(text) => {
                let target = self.schema.target_class(field).map(ClassName::as_str).unwrap_or_default();
                let id = text.strip_prefix(target).and_then(|rest| rest.strip_prefix('$'));
                Value::String(id.unwrap_or(&text).to_owned())
            }
            Value::Array(list) => list.into_iter().map(|v| self.pointer_ids(field, v)).collect(),
            Value::Object(object) => {
                Value::Object(object.into_iter().map(|(k, v)| (k, self.pointer_ids(field, v))).collect())
            }
            other => other,
        }
    }

    fn sort(&mut self, body: &Value) -> StorageResult<()> {
        let keys = body.as_object().filter(|keys| !keys.is_empty());
        let keys = keys.ok_or_else(|| refused("the $sort key specification must be an object"))?;
        self.sort.clear();
        for (name, direction) in keys {
            let descending = match direction.as_f64() {
                Some(1.0) => false,
                Some(-1.0) => true,
                _ => {
                    return Err(refused(
                        "$sort key ordering must be 1 (for ascending) or -1 (for descending)",
                    ));
                }
            };
            let path = self.path(name)?;
            let sortable = kind_of(&self.schema, &path.root).is_some_and(|kind| {
                !matches!(kind, super::column::Kind::Point | super::column::Kind::Polygon)
            });
            if sortable {
                self.sort.push((path, descending));
            }
        }
        Ok(())
    }

    /// ` ORDER BY …` of the last `$sort`; MongoDB puts unset values first.
    fn order_by(&self) -> Sql {
        let mut order = Sql::default();
        for (index, (path, descending)) in self.sort.iter().enumerate() {
            order.push_sql(if index > 0 { ", " } else { " ORDER BY " });
            super::column::Expr { alias: self.alias, path }.push(&mut order);
            order.push_sql(if *descending { " DESC NULLS LAST" } else { " ASC NULLS FIRST" });
        }
        order
    }

    /// Turns the order into a column, before a stage that may drop the sorted columns.
    fn number_rows(&mut self) {
        if self.sort.is_empty() || self.sort.iter().any(|(path, _)| path.is(ORDER_COLUMN)) {
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
        self.schema.fields.insert(FieldName::known(ORDER_COLUMN), Field::of(FieldType::Number));
        self.sort = vec![(FieldName::known(ORDER_COLUMN).into(), false)];
    }

    fn page(&mut self, stage: &str, keyword: &'static str, body: &Value) -> StorageResult<()> {
        let number = body.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 9e15);
        let number = number.ok_or_else(|| refused(format!("{stage} wants a positive whole number")))?;
        let mut rest = self.order_by();
        #[allow(clippy::cast_possible_truncation)]
        rest.push_sql(keyword).push_bind(Bind::Int8(number as i64));
        self.wrap(self.every_column(), rest);
        Ok(())
    }

    fn sample(&mut self, body: &Value) -> StorageResult<()> {
        let size = body.get("size").and_then(Value::as_u64).and_then(|n| i64::try_from(n).ok());
        let size = size.ok_or_else(|| refused("size argument to $sample must be a positive integer"))?;
        let mut rest = Sql::new(" ORDER BY random() LIMIT ");
        rest.push_bind(Bind::Int8(size));
        self.wrap(self.every_column(), rest);
        self.sort.clear();
        Ok(())
    }

    fn count(&mut self, body: &Value) -> StorageResult<()> {
        let name = column_name(body.as_str().unwrap_or_default())?;
        let mut columns = Sql::new("count(*)::float8 AS ");
        columns.push_field(&name);
        // No documents, no answer.
        self.wrap(columns, Sql::new(" HAVING count(*) > 0"));
        self.schema = made_up([(name, Field::of(FieldType::Number))].into_iter().collect());
        self.keep_null.clear();
        self.sort.clear();
        Ok(())
    }

    /// A field reference without its `$`.
    fn path(&self, name: &str) -> StorageResult<FieldPath> {
        let name = name.strip_prefix("_p_").unwrap_or(name);
        let mut segments = name.split('.');
        let root = parse_name(segments.next().unwrap_or_default());
        Ok(FieldPath { root: column_name(root)?, rest: segments.map(str::to_owned).collect() })
    }

    fn finish(mut self, options: &AggregateOptions) -> BuiltAggregate {
        self.schema.fields.shift_remove(ORDER_COLUMN);
        BuiltAggregate::new(self, options)
    }
}

fn made_up(fields: indexmap::IndexMap<FieldName, Field>) -> ClassSchema {
    let name = ClassName::known("Aggregation");
    ClassSchema { name, fields, clp: None, indexes: Map::new() }
}

/// MongoDB's name of a column, as Parse's.
fn parse_name(name: &str) -> &str {
    match name {
        "_id" => "objectId",
        "_created_at" => "createdAt",
        "_updated_at" => "updatedAt",
        other => other,
    }
}

/// A name a stage gives to a column.
fn column_name(name: &str) -> StorageResult<FieldName> {
    FieldName::internal(parse_name(name))
        .filter(|name| name.len() <= MAX_NAME && name != ORDER_COLUMN)
        .ok_or_else(|| refused(format!("Invalid field name in aggregation: {name}")))
}

/// `{"$date": …}` of extended JSON.
fn date_literal(object: &Map<String, Value>) -> Value {
    let iso = match object.get("$date") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(n)) => crate::types::time::Millis(n.as_i64().unwrap_or_default()).to_iso(),
        _ => String::new(),
    };
    serde_json::json!({ "__type": "Date", "iso": iso })
}
