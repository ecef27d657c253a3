//! `$project`, `$addFields`, `$unset`, `$replaceRoot` and `$unwind`: which columns there are.

use super::super::column::{Expr as Column, kind_of};
use super::typed::{Typed, build_object};
use super::{JSON, ORDER_COLUMN, ROOT_COLUMN, Relation, refuse_inside, refused};
use crate::query::pipeline::Expr;
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::path::FieldPath;
use crate::types::schema::Field;
use crate::types::{FieldName, FieldType};

/// Pieces of a statement that weigh as much as a column.
const PIECES: usize = 32;

impl Relation {
    pub(super) fn shape(&mut self, keep_id: bool, fields: &[(FieldPath, Expr)]) -> StorageResult<()> {
        self.number_rows();
        let mut columns: Vec<(FieldName, Typed)> = Vec::new();
        let id = FieldName::known("objectId");
        if keep_id && (self.is_document || self.schema.field("objectId").is_some()) {
            columns.push((id.clone(), self.field(&id.into())));
        }
        for (path, value) in fields {
            let value = self.expression(value)?;
            push_column(&mut columns, path, value);
        }
        self.replace_columns(columns);
        self.is_document = false;
        Ok(())
    }

    pub(super) fn exclude(&mut self, dropped: &[FieldPath]) -> StorageResult<()> {
        if dropped.iter().any(FieldPath::is_dotted) {
            return Err(refused("Only whole fields can be left out"));
        }
        let dropped: Vec<FieldName> = dropped.iter().map(|path| path.root.clone()).collect();
        self.number_rows();
        if self.is_document {
            let mut root = self.root();
            root.push_sql(" - ")
                .push_text_array(dropped.iter().map(|name| name.as_str().to_owned()).collect());
            self.replace_document(root);
            return Ok(());
        }
        let columns = self.kept_columns(&dropped);
        self.replace_columns(columns);
        Ok(())
    }

    /// Columns of the relation as they are, but for some.
    pub(super) fn kept_columns(&self, dropped: &[FieldName]) -> Vec<(FieldName, Typed)> {
        let names = self.schema.fields.keys();
        let kept = names.filter(|name| *name != ORDER_COLUMN && !dropped.contains(name));
        kept.map(|name| (name.clone(), self.column(name))).collect()
    }

    pub(super) fn column(&self, name: &FieldName) -> Typed {
        let path = FieldPath::from(name.clone());
        let mut sql = Sql::default();
        Column { alias: self.alias, path: &path }.push(&mut sql);
        Typed { sql, ty: self.schema.field_type(name).cloned().unwrap_or(JSON) }
    }

    pub(super) fn add_fields(&mut self, added: &[(FieldPath, Expr)]) -> StorageResult<()> {
        self.number_rows();
        if self.is_document {
            let mut root = self.root();
            for (path, value) in added {
                let value = self.expression(value)?.json();
                let mut segments = vec![path.root.as_str().to_owned()];
                segments.extend(path.rest.iter().cloned());
                root = inside(root, &segments, value);
            }
            self.replace_document(root);
            return Ok(());
        }
        let mut columns = self.kept_columns(&[]);
        for (path, value) in added {
            let value = self.expression(value)?;
            let known = columns.iter_mut().find(|(known, _)| *known == path.root);
            match known {
                Some((_, old)) if path.is_dotted() => {
                    let whole = std::mem::replace(old, Typed::null()).json();
                    *old = Typed { sql: inside(whole, &path.rest, value.json()), ty: JSON };
                }
                Some((_, old)) => *old = value,
                None => push_column(&mut columns, path, value),
            }
        }
        self.replace_columns(columns);
        Ok(())
    }

    /// One more column, or one more field of the whole object.
    pub(super) fn add_value(&mut self, name: &FieldName, value: Typed) {
        if self.is_document {
            let root = self.root();
            let changed = inside(root, &[name.as_str().to_owned()], value.json());
            self.replace_document(changed);
            return;
        }
        let mut columns = self.kept_columns(std::slice::from_ref(name));
        columns.push((name.clone(), value));
        self.replace_columns(columns);
    }

    pub(super) fn replace_root(&mut self, root: &Expr) -> StorageResult<()> {
        if let Expr::Object(fields) = root
            && let Some(fields) = as_columns(fields)
        {
            return self.shape(false, &fields);
        }
        self.number_rows();
        let value = self.expression(root)?.json();
        let mut object =
            Sql::new("(SELECT CASE WHEN jsonb_typeof(a0) = 'object' THEN a0 ELSE '{}' END FROM (SELECT ");
        object.append(value).push_sql(" AS a0) s)");
        self.replace_document(object);
        Ok(())
    }

    /// The column of whole objects.
    pub(super) fn root(&self) -> Sql {
        let mut root = Sql::default();
        self.alias.push(&mut root);
        root.push_sql(".").push_identifier(ROOT_COLUMN);
        root
    }

    pub(super) fn replace_document(&mut self, root: Sql) {
        self.replace_columns(vec![(FieldName::known(ROOT_COLUMN), Typed { sql: root, ty: JSON })]);
        self.is_document = true;
        self.plain_parts.clear();
    }

    /// Whole objects in place of columns.
    pub(super) fn become_document(&mut self) {
        if !self.is_document {
            self.number_rows();
            let root = self.row_json();
            self.replace_document(root);
        }
    }

    /// The relation with exactly these columns, and its hidden order.
    pub(super) fn replace_columns(&mut self, columns: Vec<(FieldName, Typed)>) {
        self.replace_columns_with(columns, Sql::default());
    }

    /// The same; `rest` stands behind FROM.
    pub(super) fn replace_columns_with(&mut self, columns: Vec<(FieldName, Typed)>, rest: Sql) {
        let weighed = columns.iter().map(|(name, value)| (name.clone(), self.weight_of(&value.sql)));
        let weights = weighed.filter(|(_, weight)| *weight > 1).collect();
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
            fields.insert(order, Field::of(FieldType::Number));
        }
        if fields.is_empty() {
            list.push_sql("1 AS \"_nothing\"");
        }
        self.wrap(list, rest);
        self.keep_null.retain(|name| fields.contains_key(name));
        self.schema.fields = fields;
        self.weights = weights;
    }

    /// How many columns an expression comes to, when those that are computed are written out.
    fn weight_of(&self, sql: &Sql) -> u64 {
        let mut column = Sql::default();
        self.alias.push(&mut column);
        column.push_sql(".\"");
        let (column, text) = (column.to_text(), sql.to_text());
        let weight = |from: &str| {
            let name = from.split('"').next().unwrap_or_default();
            self.weights.get(name).copied().unwrap_or(1)
        };
        let own = u64::try_from(sql.piece_count() / PIECES).unwrap_or(u64::MAX);
        text.split(column.as_str()).skip(1).map(weight).fold(own, u64::saturating_add)
    }

    pub(super) fn unwind(
        &mut self,
        path: &FieldPath,
        keep_empty: bool,
        index: Option<&FieldName>,
    ) -> StorageResult<()> {
        let path = self.place(path);
        if let Some(kind) = kind_of(&self.schema, &path.root) {
            refuse_inside(&path, &kind)?;
        }
        self.number_rows();
        let value = self.column_value(&path).json();
        let mut columns = Sql::default();
        for name in self.schema.fields.keys().filter(|name| **name != path.root) {
            self.alias.push(&mut columns);
            columns.push_sql(".").push_field(name).push_sql(", ");
        }
        let root = FieldPath::from(path.root.clone());
        let mut whole = Sql::default();
        if path.is_dotted() {
            whole.push_sql("jsonb_set(");
            Column { alias: self.alias, path: &root }.push(&mut whole);
            whole.push_sql(", ").push_text_array(path.rest.clone()).push_sql(", coalesce(u.v, 'null'))");
        } else {
            whole.push_sql("u.v");
        }
        match index {
            Some(name) if self.is_document => {
                let number = Sql::new("to_jsonb((u.n - 1)::float8)");
                columns.append(inside(whole, &[name.as_str().to_owned()], number));
            }
            _ => {
                columns.append(whole);
            }
        }
        columns.push_sql(" AS ").push_field(&path.root);
        if let Some(name) = index.filter(|_| !self.is_document) {
            columns.push_sql(", (u.n - 1)::float8 AS ").push_field(name);
        }
        let mut rest = Sql::new(if keep_empty { " LEFT JOIN LATERAL " } else { " CROSS JOIN LATERAL " });
        rest.push_sql("jsonb_array_elements(CASE WHEN jsonb_typeof(").append(value.clone());
        rest.push_sql(") = 'array' THEN ").append(value.clone()).push_sql(" WHEN ").append(value.clone());
        rest.push_sql(" IS NOT NULL AND ")
            .append(value.clone())
            .push_sql(" <> 'null' THEN jsonb_build_array(");
        rest.append(value).push_sql(") END) WITH ORDINALITY u(v, n)");
        if keep_empty {
            rest.push_sql(" ON TRUE");
        }
        self.wrap(columns, rest);
        if !path.is_dotted() {
            self.weights.remove(&path.root);
        }
        self.schema.fields.shift_remove(&path.root);
        self.schema.fields.insert(path.root, Field::of(JSON));
        if let Some(name) = index.filter(|_| !self.is_document) {
            self.schema.fields.insert(name.clone(), Field::of(FieldType::Number));
        }
        Ok(())
    }
}

/// Fields of an object whose names can be columns.
fn as_columns(fields: &[(String, Expr)]) -> Option<Vec<(FieldPath, Expr)>> {
    let column = |(name, value): &(String, Expr)| {
        let name = FieldName::valid(name).filter(|name| name.len() < 60)?;
        Some((FieldPath::from(name), value.clone()))
    };
    fields.iter().map(column).collect()
}

/// The object with a value at a path, objects made on the way.
pub(super) fn inside(whole: Sql, segments: &[String], value: Sql) -> Sql {
    let Some((first, rest)) = segments.split_first() else { return value };
    let value = if rest.is_empty() {
        value
    } else {
        let mut inner = Sql::new("(a0 -> ");
        inner.push_text(first.clone()).push_sql(")");
        inside(inner, rest, value)
    };
    let mut sql = Sql::new("(SELECT CASE WHEN jsonb_typeof(a0) = 'object' THEN a0 ELSE '{}' END || ");
    sql.append(build_object(vec![(first.clone(), value)]));
    sql.push_sql(" FROM (SELECT ").append(whole).push_sql(" AS a0) s)");
    sql
}

/// Dotted names make objects: `{"a.b": 1}` answers `{a: {b: …}}`.
pub(super) fn push_column(columns: &mut Vec<(FieldName, Typed)>, path: &FieldPath, value: Typed) {
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
