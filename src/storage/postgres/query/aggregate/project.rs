//! `$project`, `$addFields`, `$unset` and `$unwind`: which columns there are.

use serde_json::{Map, Value};

use super::super::column::Expr;
use super::expr::{Typed, build_object};
use super::{JSON, ORDER_COLUMN, Relation, column_name, refused};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::FieldName;
use crate::types::path::FieldPath;
use crate::types::schema::Field;

/// What a `$project` says about one name.
enum Projected<'v> {
    Included,
    Excluded,
    Computed(&'v Value),
}

fn projected(value: &Value) -> Projected<'_> {
    match value {
        Value::Bool(true) => Projected::Included,
        Value::Bool(false) => Projected::Excluded,
        Value::Number(n) if n.as_f64() == Some(0.0) => Projected::Excluded,
        Value::Number(_) => Projected::Included,
        other => Projected::Computed(other),
    }
}

impl Relation<'_> {
    pub(super) fn project(&mut self, body: &Value) -> StorageResult<()> {
        let body = body.as_object().filter(|body| !body.is_empty());
        let body = body.ok_or_else(|| refused("$project specification must be a non-empty object"))?;
        let is_id = |name: &str| matches!(name, "_id" | "objectId");
        let excludes = |(name, value): &(&String, &Value)| {
            matches!(projected(value), Projected::Excluded) && !is_id(name)
        };
        let only_id = body.keys().all(|name| is_id(name));
        if body.iter().any(|entry| excludes(&entry))
            || (only_id && body.values().all(|v| matches!(projected(v), Projected::Excluded)))
        {
            return self.exclude(body.keys().map(String::as_str));
        }
        self.number_rows();
        let mut columns: Vec<(FieldName, Typed)> = Vec::new();
        let keeps_id =
            !body.iter().any(|(name, v)| is_id(name) && matches!(projected(v), Projected::Excluded));
        if keeps_id && self.schema.field("objectId").is_some() && !body.keys().any(|name| is_id(name)) {
            columns.push((FieldName::known("objectId"), self.expression(&Value::from("$objectId"))?));
        }
        for (name, value) in body {
            let value = match projected(value) {
                Projected::Excluded => continue,
                Projected::Included => {
                    self.expression(&Value::String(format!("${}", name.trim_start_matches('$'))))?
                }
                Projected::Computed(expression) => self.expression(expression)?,
            };
            let path = self.path(name)?;
            push_column(&mut columns, &path, value);
        }
        self.replace_columns(columns);
        Ok(())
    }

    fn exclude<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> StorageResult<()> {
        let dropped = names.map(|name| self.path(name)).collect::<StorageResult<Vec<_>>>()?;
        if dropped.iter().any(FieldPath::is_dotted) {
            return Err(refused("Only whole fields can be left out"));
        }
        self.number_rows();
        let kept: Vec<FieldName> = self.schema.fields.keys().cloned().collect();
        let mut columns = Vec::new();
        for name in kept.into_iter().filter(|name| name != ORDER_COLUMN) {
            if !dropped.iter().any(|path| path.root == name) {
                let value = self.expression(&Value::String(format!("${name}")))?;
                columns.push((name, value));
            }
        }
        self.replace_columns(columns);
        Ok(())
    }

    pub(super) fn unset(&mut self, body: &Value) -> StorageResult<()> {
        let names: Vec<&str> = match body {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => return Err(refused("$unset specification must be a string or an array")),
        };
        self.exclude(names.into_iter())
    }

    pub(super) fn add_fields(&mut self, stage: &str, body: &Value) -> StorageResult<()> {
        let added: &Map<String, Value> = body
            .as_object()
            .ok_or_else(|| refused(format!("{stage} specification stage must be an object")))?;
        self.number_rows();
        let mut columns = Vec::new();
        for name in self.schema.fields.keys().filter(|name| *name != ORDER_COLUMN) {
            columns.push((name.clone(), self.expression(&Value::String(format!("${name}")))?));
        }
        for (name, value) in added {
            let value = self.expression(value)?;
            let name = column_name(name)?;
            match columns.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => columns.push((name, value)),
            }
        }
        self.replace_columns(columns);
        Ok(())
    }

    /// The relation with exactly these columns, and its hidden order.
    fn replace_columns(&mut self, columns: Vec<(FieldName, Typed)>) {
        let mut list = Sql::default();
        let mut fields = indexmap::IndexMap::new();
        for (name, value) in columns {
            list.push_sql(if fields.is_empty() { "" } else { ", " });
            list.append(value.sql).push_sql(" AS ").push_field(&name);
            fields.insert(name, Field::of(value.ty));
        }
        if self.schema.field(ORDER_COLUMN).is_some() {
            let order = FieldName::known(ORDER_COLUMN);
            list.push_sql(if fields.is_empty() { "" } else { ", " });
            self.alias.push(&mut list);
            list.push_sql(".").push_field(&order);
            fields.insert(order, Field::of(crate::types::FieldType::Number));
        }
        if fields.is_empty() {
            list.push_sql("1 AS \"_nothing\"");
        }
        self.wrap(list, Sql::default());
        self.keep_null.retain(|name| fields.contains_key(name));
        self.schema.fields = fields;
    }

    pub(super) fn unwind(&mut self, body: &Value) -> StorageResult<()> {
        let path = body.as_str().or_else(|| body.get("path").and_then(Value::as_str));
        let path = path.and_then(|path| path.strip_prefix('$'));
        let path = self.path(
            path.ok_or_else(|| refused("path option to $unwind stage should be prefixed with a '$'"))?,
        )?;
        let preserve = body.get("preserveNullAndEmptyArrays") == Some(&Value::Bool(true));
        let index = match body.get("includeArrayIndex").and_then(Value::as_str) {
            Some(name) => Some(column_name(name)?),
            None => None,
        };
        self.number_rows();
        let value = self.expression(&Value::String(format!("${}", path.to_dotted())))?.json();
        let mut columns = Sql::default();
        for name in self.schema.fields.keys().filter(|name| **name != path.root) {
            self.alias.push(&mut columns);
            columns.push_sql(".").push_field(name).push_sql(", ");
        }
        if path.is_dotted() {
            let root = FieldPath::from(path.root.clone());
            columns.push_sql("jsonb_set(");
            Expr { alias: self.alias, path: &root }.push(&mut columns);
            columns
                .push_sql(", ")
                .push_text_array(path.rest.clone())
                .push_sql(", coalesce(u.v, 'null')) AS ");
        } else {
            columns.push_sql("u.v AS ");
        }
        columns.push_field(&path.root);
        if let Some(name) = &index {
            columns.push_sql(", (u.n - 1)::float8 AS ").push_field(name);
        }
        let mut rest = Sql::new(if preserve { " LEFT JOIN LATERAL " } else { " CROSS JOIN LATERAL " });
        rest.push_sql("jsonb_array_elements(CASE WHEN jsonb_typeof(").append(value.clone());
        rest.push_sql(") = 'array' THEN ").append(value.clone()).push_sql(" WHEN ").append(value.clone());
        rest.push_sql(" IS NOT NULL AND ")
            .append(value.clone())
            .push_sql(" <> 'null' THEN jsonb_build_array(");
        rest.append(value).push_sql(") END) WITH ORDINALITY u(v, n)");
        if preserve {
            rest.push_sql(" ON TRUE");
        }
        self.wrap(columns, rest);
        self.schema.fields.shift_remove(&path.root);
        self.schema.fields.insert(path.root, Field::of(JSON));
        if let Some(name) = index {
            self.schema.fields.insert(name, Field::of(crate::types::FieldType::Number));
        }
        Ok(())
    }
}

/// Dotted names make objects: `{"a.b": 1}` answers `{a: {b: …}}`.
fn push_column(columns: &mut Vec<(FieldName, Typed)>, path: &FieldPath, value: Typed) {
    if !path.is_dotted() {
        columns.push((path.root.clone(), value));
        return;
    }
    let mut json = value.json();
    for segment in path.rest.iter().rev() {
        json = build_object(vec![(segment.clone(), json)]);
    }
    match columns.iter_mut().find(|(name, _)| *name == path.root) {
        Some((_, known)) => {
            let mut both = Sql::new("(");
            both.append(std::mem::replace(known, Typed::null()).json());
            both.push_sql(" || ").append(json).push_sql(")");
            *known = Typed { sql: both, ty: JSON };
        }
        None => columns.push((path.root.clone(), Typed { sql: json, ty: JSON })),
    }
}
