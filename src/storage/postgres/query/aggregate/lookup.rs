//! `$lookup` by a pointer, an id, or any equal values, and through a pipeline: a correlated sub-select.

use super::super::column::{Alias, Expr as Column, Kind, kind_of};
use super::super::rest_json::rest_json;
use super::typed::{Typed, build_object};
use super::{INNER_ALIASES, ORDER_COLUMN, Relation, reachable};
use crate::query::pipeline::Lookup;
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::FieldType;
use crate::types::path::FieldPath;
use crate::types::schema::ClassSchema;

impl Relation {
    pub(super) fn lookup(&mut self, lookup: &Lookup) -> StorageResult<()> {
        self.number_rows();
        let found = match reachable(&lookup.source) {
            Some(class) => self.looked_up(class, lookup)?,
            None => Sql::new("'[]'::jsonb"),
        };
        self.add_value(&lookup.into, Typed { sql: found, ty: FieldType::Array });
        Ok(())
    }

    /// `(SELECT jsonb_agg(object) FROM (… WHERE foreign = local …))`.
    fn looked_up(&self, class: &ClassSchema, lookup: &Lookup) -> StorageResult<Sql> {
        // Inside, so that it shadows nothing this statement names.
        let mut other = Self::of(class, Alias(self.alias.0 + INNER_ALIASES));
        other.variables.clone_from(&self.variables);
        for (name, value) in &lookup.variables {
            other.variables.push((name.clone(), self.expression(value)?));
        }
        if let Some((local, foreign)) = &lookup.equal {
            let mut rest = Sql::new(" WHERE ");
            let local = self.place(local);
            let own = Column { alias: self.alias, path: &local };
            let theirs = Column { alias: other.alias, path: foreign };
            let kinds = kind_of(&self.schema, &local.root).zip(kind_of(class, &foreign.root));
            match kinds {
                Some((own_kind, other_kind)) => push_equal(&mut rest, own, &own_kind, theirs, &other_kind),
                None => {
                    rest.push_sql("FALSE");
                }
            }
            other.wrap(other.every_column(), rest);
        }
        other.run(&lookup.pipeline)?;
        Ok(other.list())
    }

    /// A whole row in REST encoding, unset fields left out.
    pub(super) fn row_json(&self) -> Sql {
        if self.is_document {
            return self.root();
        }
        let mut pairs = Vec::new();
        for (name, field) in self.schema.fields.iter().filter(|(name, _)| *name != ORDER_COLUMN) {
            let path = FieldPath::from(name.clone());
            let mut value = Sql::default();
            Column { alias: self.alias, path: &path }.push(&mut value);
            let is_plain_date = (name == "createdAt" || name == "updatedAt") && field.ty == FieldType::Date;
            let json = if is_plain_date {
                let mut text = Sql::new("to_jsonb(to_char(");
                text.append(value).push_sql(" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))");
                Some(text)
            } else {
                rest_json(&value, &Kind::from(&field.ty))
            };
            if let Some(json) = json {
                pairs.push((name.as_str().to_owned(), json));
            }
        }
        let mut sql = Sql::new("(SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each(");
        sql.append(build_object(pairs)).push_sql(") p WHERE p.value <> 'null')");
        sql
    }
}

fn push_equal(sql: &mut Sql, own: Column<'_>, own_kind: &Kind, other: Column<'_>, other_kind: &Kind) {
    let is_id = |kind: &Kind| matches!(kind, Kind::Text | Kind::Pointer(_) | Kind::File);
    let looks_inside = |value: &Column<'_>, kind: &Kind| {
        value.path.is_dotted() && !matches!(kind, Kind::Object | Kind::Array | Kind::Json | Kind::Bytes)
    };
    if looks_inside(&own, own_kind) || looks_inside(&other, other_kind) {
        sql.push_sql("FALSE");
        return;
    }
    let dotted = own.path.is_dotted() || other.path.is_dotted();
    if !dotted && ((is_id(own_kind) && is_id(other_kind)) || (own_kind == other_kind && is_scalar(own_kind)))
    {
        other.push(sql);
        sql.push_sql(" = ");
        own.push(sql);
        return;
    }
    let json = |value: Column<'_>, kind: &Kind| {
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
