//! `$group`: the key and its accumulators.

use serde_json::Value;

use super::expr::Typed;
use super::{JSON, Relation, column_name, made_up, refused};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::schema::Field;
use crate::types::{FieldName, FieldType};

impl Relation<'_> {
    pub(super) fn group(&mut self, body: &Value) -> StorageResult<()> {
        let Some(body) = body.as_object() else {
            return Err(refused("a group's fields must be specified in an object"));
        };
        self.number_rows();
        let mut fields = indexmap::IndexMap::new();
        let mut columns = Sql::default();
        let mut rest = Sql::default();
        let id = FieldName::known("objectId");
        match body.get("_id") {
            None => return Err(refused("Invalid parameter for query: group. Missing key _id")),
            Some(Value::Null) => {
                columns.push_sql("NULL::jsonb");
                // One group of everything, none of nothing.
                rest.push_sql(" HAVING count(*) > 0");
                fields.insert(id.clone(), Field::of(JSON));
            }
            Some(key) => {
                let key = groupable(self.expression(key)?);
                fields.insert(id.clone(), Field::of(key.ty));
                columns.append(key.sql);
                // By its place in the list: binds of a repeated expression would not be the same.
                rest.push_sql(" GROUP BY 1");
            }
        }
        columns.push_sql(" AS ").push_field(&id);
        let parts = body.get("_id").and_then(Value::as_object).into_iter().flatten();
        let plain = parts.filter(|(_, part)| part.as_str().is_some_and(|field| field.starts_with('$')));
        self.key_fields = plain.map(|(name, _)| name.clone()).collect();
        let mut keep_null = vec![id];
        for (name, accumulator) in body.iter().filter(|(name, _)| *name != "_id") {
            let name = column_name(name)?;
            let value = self.accumulator(&name, accumulator)?;
            columns.push_sql(", ").append(value.sql).push_sql(" AS ").push_field(&name);
            fields.insert(name.clone(), Field::of(value.ty));
            keep_null.push(name);
        }
        self.wrap(columns, rest);
        self.schema = made_up(fields);
        self.keep_null = keep_null;
        self.sort.clear();
        Ok(())
    }

    fn accumulator(&self, name: &FieldName, accumulator: &Value) -> StorageResult<Typed> {
        let single = accumulator.as_object().filter(|object| object.len() == 1);
        let Some((operator, argument)) = single.and_then(|object| object.iter().next()) else {
            return Err(refused(format!("The field '{name}' must be an accumulator object")));
        };
        let value = || self.expression(argument);
        let number = |sql| Ok(Typed { sql, ty: FieldType::Number });
        match operator.as_str() {
            "$count" => number(Sql::new("count(*)::float8")),
            "$sum" => number(around("coalesce(sum(", value()?.number(), "), 0)::float8")),
            "$avg" => number(around("avg(", value()?.number(), ")::float8")),
            "$stdDevPop" => number(around("stddev_pop(", value()?.number(), ")::float8")),
            "$stdDevSamp" => number(around("stddev_samp(", value()?.number(), ")::float8")),
            "$min" => Ok(self.extreme(value()?, "min(", " ASC")),
            "$max" => Ok(self.extreme(value()?, "max(", " DESC")),
            "$first" => Ok(self.edge(value()?, false)),
            "$last" => Ok(self.edge(value()?, true)),
            "$push" => {
                let json = value()?.json();
                let mut sql = Sql::new("coalesce(jsonb_agg(");
                sql.append(json.clone()).append(self.order_by()).push_sql(") FILTER (WHERE ");
                sql.append(json).push_sql(" IS NOT NULL), '[]')");
                Ok(Typed { sql, ty: FieldType::Array })
            }
            "$addToSet" => {
                let json = value()?.json();
                let mut sql = Sql::new("coalesce((SELECT jsonb_agg(DISTINCT u) FROM unnest(array_agg(");
                sql.append(json).push_sql(")) u WHERE u IS NOT NULL), '[]')");
                Ok(Typed { sql, ty: FieldType::Array })
            }
            other => Err(refused(format!("unknown group operator '{other}'"))),
        }
    }

    fn extreme(&self, value: Typed, native: &'static str, direction: &'static str) -> Typed {
        match value.ty {
            FieldType::Number | FieldType::Date | FieldType::String => {
                Typed { sql: around(native, value.sql, ")"), ty: value.ty }
            }
            _ => {
                let json = value.json();
                let mut sql = Sql::new("(array_agg(");
                sql.append(json.clone()).push_sql(" ORDER BY ").append(json.clone()).push_sql(direction);
                sql.push_sql(") FILTER (WHERE ").append(json).push_sql(" IS NOT NULL))[1]");
                Typed { sql, ty: JSON }
            }
        }
    }

    /// The first or last value in the order of the last `$sort`.
    fn edge(&self, value: Typed, last: bool) -> Typed {
        let mut list = around("array_agg(", value.sql, "");
        list.append(self.order_by()).push_sql(")");
        let mut sql = Sql::new("(");
        sql.append(list.clone()).push_sql(")[");
        if last {
            sql.push_sql("cardinality(").append(list).push_sql(")]");
        } else {
            sql.push_sql("1]");
        }
        Typed { sql, ty: value.ty }
    }
}

fn around(open: &'static str, value: Sql, close: &'static str) -> Sql {
    let mut sql = Sql::new(open);
    sql.append(value).push_sql(close);
    sql
}

/// A key is compared with others: pointers and files by their text, as MongoDB shows them, points
/// by their JSON.
fn groupable(key: Typed) -> Typed {
    match key.ty {
        FieldType::Pointer(_) | FieldType::File => Typed { sql: key.sql, ty: FieldType::String },
        FieldType::GeoPoint | FieldType::Polygon => Typed { sql: key.json(), ty: JSON },
        _ => key,
    }
}
