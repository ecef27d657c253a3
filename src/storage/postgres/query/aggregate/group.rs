//! `$group`: the key and its accumulators.

use super::typed::Typed;
use super::{JSON, Relation};
use crate::query::pipeline::{Accumulate, Accumulator, Group};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::schema::Field;
use crate::types::{FieldName, FieldType};

impl Relation {
    pub(super) fn group(&mut self, group: &Group) -> StorageResult<()> {
        self.number_rows();
        let mut fields = indexmap::IndexMap::new();
        let mut columns = Sql::default();
        let mut rest = Sql::default();
        let id = FieldName::known("objectId");
        if group.key.is_null() {
            columns.push_sql("NULL::jsonb");
            // One group of everything, none of nothing.
            rest.push_sql(" HAVING count(*) > 0");
            fields.insert(id.clone(), Field::of(JSON));
        } else {
            let key = groupable(self.expression(&group.key)?);
            fields.insert(id.clone(), Field::of(key.ty));
            columns.append(key.sql);
            // By its place in the list: binds of a repeated expression would not be the same.
            rest.push_sql(" GROUP BY 1");
        }
        columns.push_sql(" AS ").push_field(&id);
        let mut keep_null = vec![id];
        for (name, accumulator) in &group.accumulators {
            let value = self.accumulator(accumulator)?;
            columns.push_sql(", ").append(value.sql).push_sql(" AS ").push_field(name);
            fields.insert(name.clone(), Field::of(value.ty));
            keep_null.push(name.clone());
        }
        self.wrap(columns, rest);
        self.begin_anew(fields);
        self.keep_null = keep_null;
        self.plain_parts.clone_from(&group.plain_parts);
        Ok(())
    }

    fn accumulator(&self, accumulator: &Accumulator) -> StorageResult<Typed> {
        let value = || self.expression(&accumulator.value);
        let number = |sql| Ok(Typed { sql, ty: FieldType::Number });
        match accumulator.kind {
            Accumulate::Count => number(Sql::new("count(*)::float8")),
            Accumulate::Sum => number(around("coalesce(sum(", value()?.number(), "), 0)::float8")),
            Accumulate::Avg => number(around("avg(", value()?.number(), ")::float8")),
            Accumulate::StdDevPop => number(around("stddev_pop(", value()?.number(), ")::float8")),
            Accumulate::StdDevSamp => number(around("stddev_samp(", value()?.number(), ")::float8")),
            Accumulate::Min => Ok(extreme(value()?, "min(", " ASC")),
            Accumulate::Max => Ok(extreme(value()?, "max(", " DESC")),
            Accumulate::First => Ok(self.edge(value()?, false)),
            Accumulate::Last => Ok(self.edge(value()?, true)),
            Accumulate::Push => {
                let json = value()?.json();
                let mut sql = Sql::new("coalesce(jsonb_agg(");
                sql.append(json.clone()).append(self.order_by()).push_sql(") FILTER (WHERE ");
                sql.append(json).push_sql(" IS NOT NULL), '[]')");
                Ok(Typed { sql, ty: FieldType::Array })
            }
            Accumulate::AddToSet => {
                let json = value()?.json();
                let mut sql = Sql::new("coalesce((SELECT jsonb_agg(DISTINCT u) FROM unnest(array_agg(");
                sql.append(json).push_sql(")) u WHERE u IS NOT NULL), '[]')");
                Ok(Typed { sql, ty: FieldType::Array })
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

fn extreme(value: Typed, native: &'static str, direction: &'static str) -> Typed {
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

fn around(open: &'static str, value: Sql, close: &'static str) -> Sql {
    let mut sql = Sql::new(open);
    sql.append(value).push_sql(close);
    sql
}

/// A key is compared with others: pointers and files by their text, as MongoDB shows them, points
/// by their JSON.
pub(super) fn groupable(key: Typed) -> Typed {
    match key.ty {
        FieldType::Pointer(_) | FieldType::File => Typed { sql: key.sql, ty: FieldType::String },
        FieldType::GeoPoint | FieldType::Polygon => Typed { sql: key.json(), ty: JSON },
        _ => key,
    }
}
