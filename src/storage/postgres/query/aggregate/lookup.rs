//! `$lookup` by a pointer, an id, or any equal values: a correlated sub-select.

use serde_json::Value;

use super::super::column::{Alias, Expr, Kind, kind_of};
use super::super::rest_json::rest_json;
use super::expr::build_object;
use super::{Relation, column_name, refused};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::FieldType;
use crate::types::names::INTERNAL_COLUMNS;
use crate::types::path::FieldPath;
use crate::types::row::Layout;
use crate::types::schema::{ClassSchema, Field};

impl Relation<'_> {
    pub(super) fn lookup(&mut self, body: &Value) -> StorageResult<()> {
        let text = |key: &str| {
            body.get(key)
                .and_then(Value::as_str)
                .ok_or_else(|| refused("$lookup wants from, localField, foreignField and as, all strings"))
        };
        let (from, name) = (text("from")?, column_name(text("as")?)?);
        let local = self.path(text("localField")?)?;
        let foreign = self.path(text("foreignField")?)?;
        self.number_rows();
        let mut columns = Sql::default();
        for known in self.schema.fields.keys().filter(|known| **known != name) {
            self.alias.push(&mut columns);
            columns.push_sql(".").push_field(known).push_sql(", ");
        }
        match self.schemas.iter().find(|schema| schema.name == *from) {
            Some(class) => columns.append(self.looked_up(class, &local, &foreign)),
            None => columns.push_sql("'[]'::jsonb"),
        };
        columns.push_sql(" AS ").push_field(&name);
        self.wrap(columns, Sql::default());
        self.schema.fields.insert(name, Field::of(FieldType::Array));
        Ok(())
    }

    /// `(SELECT jsonb_agg(object) FROM class WHERE foreign = local)`.
    fn looked_up(&self, class: &ClassSchema, local: &FieldPath, foreign: &FieldPath) -> Sql {
        // Inside, so that it shadows nothing this statement names.
        let alias = Alias(self.alias.0 + 1000);
        let mut sql = Sql::new("coalesce((SELECT jsonb_agg(");
        sql.append(object_json(class, alias)).push_sql(") FROM ").push_class(&class.name).push_sql(" ");
        alias.push(&mut sql);
        sql.push_sql(" WHERE ");
        let own = Expr { alias: self.alias, path: local };
        let other = Expr { alias, path: foreign };
        let kinds = kind_of(&self.schema, &local.root).zip(kind_of(class, &foreign.root));
        match kinds {
            Some((own_kind, other_kind)) => push_equal(&mut sql, own, &own_kind, other, &other_kind),
            None => {
                sql.push_sql("FALSE");
            }
        }
        sql.push_sql("), '[]')");
        sql
    }
}

fn push_equal(sql: &mut Sql, own: Expr<'_>, own_kind: &Kind, other: Expr<'_>, other_kind: &Kind) {
    let is_id = |kind: &Kind| matches!(kind, Kind::Text | Kind::Pointer(_) | Kind::File);
    let dotted = own.path.is_dotted() || other.path.is_dotted();
    if !dotted && ((is_id(own_kind) && is_id(other_kind)) || (own_kind == other_kind && is_scalar(own_kind)))
    {
        other.push(sql);
        sql.push_sql(" = ");
        own.push(sql);
        return;
    }
    let json = |value: Expr<'_>, kind: &Kind| {
        let mut own = Sql::default();
        value.push(&mut own);
        rest_json(&own, if value.path.is_dotted() { &Kind::Json } else { kind })
    };
    let (Some(own_json), Some(other_json)) = (json(own, own_kind), json(other, other_kind)) else {
        sql.push_sql("FALSE");
        return;
    };
    // A list of values, or of pointers, finds every object it names.
    let mut elements = Sql::new("(SELECT ");
    let by_id = other.path.is("objectId");
    elements.push_sql(if by_id { "to_jsonb(coalesce(e ->> 'objectId', e #>> '{}'))" } else { "e" });
    elements.push_sql(" FROM jsonb_array_elements(CASE WHEN jsonb_typeof(").append(own_json.clone());
    elements.push_sql(") = 'array' THEN ").append(own_json.clone()).push_sql(" ELSE jsonb_build_array(");
    elements.append(own_json).push_sql(") END) e)");
    sql.append(other_json).push_sql(" IN ").append(elements);
}

fn is_scalar(kind: &Kind) -> bool {
    matches!(kind, Kind::Number | Kind::Bool | Kind::Date)
}

/// A whole object in REST encoding, unset fields left out.
fn object_json(class: &ClassSchema, alias: Alias) -> Sql {
    let mut pairs = Vec::new();
    for column in Layout::of(class).columns {
        if INTERNAL_COLUMNS.contains(&column.name.as_str()) || column.name.is_internal() {
            continue;
        }
        let path = FieldPath::from(column.name.clone());
        let mut value = Sql::default();
        Expr { alias, path: &path }.push(&mut value);
        let kind = kind_of(class, &column.name);
        let is_plain_date = column.name == "createdAt" || column.name == "updatedAt";
        let json = if is_plain_date {
            let mut text = Sql::new("to_jsonb(to_char(");
            text.append(value).push_sql(" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))");
            Some(text)
        } else {
            kind.and_then(|kind| rest_json(&value, &kind))
        };
        if let Some(json) = json {
            pairs.push((column.name.as_str().to_owned(), json));
        }
    }
    let mut sql = Sql::new("(SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each(");
    sql.append(build_object(pairs)).push_sql(") p WHERE p.value <> 'null')");
    sql
}
