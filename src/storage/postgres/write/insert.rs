//! `INSERT`: one statement for all rows of a class, whose text does not depend on how many they are.

use std::sync::Arc;

use indexmap::IndexMap;

use super::insert_template::Slot;
use crate::storage::postgres::Executor;
use crate::storage::postgres::connection::error::boxed;
use crate::storage::postgres::sql::{Bind, ColumnValues, Sql};
use crate::storage::postgres::value::{self, ColumnType};
use crate::storage::{StorageError, StorageResult};
use crate::types::{ClassSchema, FieldName, Object};

/// Rows of one statement: so many are in its message at once.
const MOST_ROWS: usize = 5_000;

/// The statements, each with its rows.
///
/// # Errors
/// 111 for values that do not fit, `StaleSchema` for a column the schema does not have.
pub fn statements(schema: &ClassSchema, rows: &[Object]) -> StorageResult<Vec<Sql>> {
    if let [row] = rows {
        return Ok(vec![single(schema, row)?.0]);
    }
    let mut columns: IndexMap<FieldName, ColumnType> = IndexMap::new();
    for row in rows {
        for (name, value) in row {
            if value.is_null() || columns.contains_key(name.as_str()) {
                continue;
            }
            let (column, ty) = column(schema, name)?;
            columns.insert(column, ty);
        }
    }
    // One order of columns for one set of columns: fewer statement shapes.
    columns.sort_unstable_keys();
    rows.chunks(MOST_ROWS).map(|rows| statement(schema, &columns, rows)).collect()
}

pub(super) fn column(schema: &ClassSchema, name: &str) -> StorageResult<(FieldName, ColumnType)> {
    match (schema.column_name(name), value::column_type(schema, name)) {
        (Some(column), Some(ty)) => Ok((column, ty)),
        _ => Err(StorageError::StaleSchema(boxed(format!(
            "column \"{name}\" of class {} is not known",
            schema.name
        )))),
    }
}

/// The usual create, without a table of the columns of all rows.
fn single(schema: &ClassSchema, row: &Object) -> StorageResult<(Sql, Vec<Slot>)> {
    let mut fields = Vec::with_capacity(row.len());
    for (position, (name, value)) in row.iter().filter(|(_, value)| !value.is_null()).enumerate() {
        let (name, ty) = column(schema, name)?;
        fields.push((Slot { name, ty, position }, value));
    }
    fields.sort_unstable_by(|a, b| a.0.name.cmp(&b.0.name));
    let mut sql = Sql::new("INSERT INTO ");
    sql.reserve(200);
    sql.push_class(&schema.name).push_sql(" (");
    for (index, (slot, _)) in fields.iter().enumerate() {
        sql.push_sql(if index > 0 { ", " } else { "" }).push_field(&slot.name);
    }
    sql.push_sql(") VALUES (");
    for (index, (slot, value)) in fields.iter().enumerate() {
        sql.push_sql(if index > 0 { ", " } else { "" });
        value::push(&mut sql, schema, &slot.name, slot.ty, value)?;
    }
    sql.push_sql(")");
    Ok((sql, fields.into_iter().map(|(slot, _)| slot).collect()))
}

/// Inserts one row.
async fn one(db: &Executor<'_>, schema: &Arc<ClassSchema>, row: &Object) -> StorageResult<()> {
    let sql = match db.templates.statement(schema, row) {
        Some(sql) => sql?,
        None => {
            let (sql, slots) = single(schema, row)?;
            db.templates.keep(schema, slots, &sql);
            sql
        }
    };
    db.execute(sql).await.map(drop)
}

fn statement(
    schema: &ClassSchema,
    columns: &IndexMap<FieldName, ColumnType>,
    rows: &[Object],
) -> StorageResult<Sql> {
    let mut sql = Sql::new("INSERT INTO ");
    sql.push_class(&schema.name).push_sql(" (");
    for (index, name) in columns.keys().enumerate() {
        if index > 0 {
            sql.push_sql(", ");
        }
        sql.push_field(name);
    }
    sql.push_sql(") SELECT ");
    for (index, ty) in columns.values().enumerate() {
        let cast = if *ty == ColumnType::TextArray { "::text[]" } else { "" };
        sql.push_sql(if index > 0 { ", c" } else { "c" }).push_sql(&index.to_string()).push_sql(cast);
    }
    sql.push_sql(" FROM unnest(");
    for (index, (name, ty)) in columns.iter().enumerate() {
        let mut values = ColumnValues::new(ty.element(), rows.len());
        for row in rows {
            let value = row.get(name.as_str()).unwrap_or(&serde_json::Value::Null);
            match value::bind(schema, name, *ty, value)? {
                Some(bind) => bind.push_to(&mut values),
                None => values.push_null(),
            }
        }
        let element = if *ty == ColumnType::TextArray { ColumnType::Text } else { *ty };
        sql.push_sql(if index > 0 { ", " } else { "" }).push_bind(Bind::Column(values));
        sql.push_sql("::").push_sql(element.sql()).push_sql("[]");
    }
    sql.push_sql(") AS r (");
    for index in 0..columns.len() {
        sql.push_sql(if index > 0 { ", c" } else { "c" }).push_sql(&index.to_string());
    }
    sql.push_sql(")");
    Ok(sql)
}

/// Inserts all rows or none.
///
/// # Errors
/// `Duplicate`, `StaleSchema`, and those of [`statements`].
pub async fn run(db: &Executor<'_>, schema: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()> {
    match rows {
        [] => return Ok(()),
        [row] => return one(db, schema, row).await,
        _ => {}
    }
    many(db, &mut statements(schema, rows)?).await
}

/// Runs all of [`statements`] or none.
///
/// # Errors
/// `Duplicate`, `StaleSchema`.
pub async fn many(db: &Executor<'_>, statements: &mut [Sql]) -> StorageResult<()> {
    if statements.len() <= 1 || db.in_transaction {
        return all(db, statements).await;
    }
    db.begin().await?;
    db.end(all(&Executor { in_transaction: true, ..*db }, statements).await).await
}

async fn all(db: &Executor<'_>, statements: &mut [Sql]) -> StorageResult<()> {
    for sql in statements {
        db.execute_kept(sql).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{ClassName, Field, FieldType};

    fn schema() -> ClassSchema {
        let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
        schema.fields.insert(FieldName::known("score"), Field::of(FieldType::Number));
        schema.fields.insert(FieldName::known("tags"), Field::of(FieldType::Array));
        schema
    }

    fn rows(value: serde_json::Value) -> Vec<Object> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn one_statement_for_rows_with_different_columns() {
        let rows =
            rows(json!([{"objectId": "a", "score": 1}, {"objectId": "b", "tags": [], "_rperm": ["*"]}]));
        let built = statements(&schema(), &rows).unwrap();
        assert_eq!(built.len(), 1);
        assert_eq!(
            built[0].to_text(),
            "INSERT INTO public.\"Game\" (\"_rperm\", \"objectId\", \"score\", \"tags\") \
             SELECT c0::text[], c1, c2, c3 FROM unnest($1::text[], $2::text[], $3::double precision[], \
             $4::jsonb[]) AS r (c0, c1, c2, c3)"
        );
    }

    #[test]
    fn one_row_names_what_it_has() {
        let rows = rows(json!([{"tags": [], "score": 1, "objectId": "a", "_rperm": null}]));
        let built = statements(&schema(), &rows).unwrap();
        let text = "INSERT INTO public.\"Game\" (\"objectId\", \"score\", \"tags\") VALUES ($1, $2, $3)";
        assert_eq!(built[0].to_text(), text);
    }

    #[test]
    fn unknown_columns_mean_a_stale_schema() {
        let refused = statements(&schema(), &rows(json!([{"objectId": "a", "other": 1}])));
        assert!(matches!(refused, Err(StorageError::StaleSchema(_))));
    }

    #[test]
    fn many_rows_are_several_statements_of_one_text() {
        let row = json!({"objectId": "a", "score": 1});
        let many = vec![row.as_object().unwrap().clone(); MOST_ROWS + 2];
        let built = statements(&schema(), &many).unwrap();
        assert_eq!(built.len(), 2);
        assert_eq!(built[0].shape(), built[1].shape());
        assert!(built[0].is_cacheable());
    }

    #[test]
    fn a_kept_text_serves_rows_of_the_same_fields() {
        let schema = Arc::new(schema());
        let templates = crate::storage::postgres::write::insert_template::Templates::default();
        let keep = |row: &Object| {
            let (sql, slots) = single(&schema, row).unwrap();
            templates.keep(&schema, slots, &sql);
            sql
        };
        let all = rows(
            json!([{"tags": [], "objectId": "a", "score": 1}, {"tags": [2], "objectId": "b", "score": 3}]),
        );
        assert!(templates.statement(&schema, &all[0]).is_none());
        keep(&all[0]);
        let built = templates.statement(&schema, &all[1]).unwrap().unwrap();
        let spelled = single(&schema, &all[1]).unwrap().0;
        // Texts, kinds and values of the binds; only one of the two knows its shape beforehand.
        assert_eq!((built.to_text(), built.shape()), (spelled.to_text(), spelled.shape()));
        assert_eq!(built.bound(), spelled.bound());
        let others = rows(json!([
            {"objectId": "a", "tags": [], "score": 1},
            {"tags": [], "objectId": "a"},
            {"tags": [], "objectId": "a", "score": null},
            {"tags": [], "objectId": "a", "score": 1, "_rperm": ["*"]}
        ]));
        for row in &others {
            assert!(templates.statement(&schema, row).is_none(), "{row:?}");
        }
        let wrong = &rows(json!([{"tags": [], "objectId": "a", "score": "x"}]))[0];
        assert!(matches!(templates.statement(&schema, wrong), Some(Err(StorageError::Refused(_)))));
        let changed = Arc::new((*schema).clone());
        assert!(templates.statement(&changed, &all[0]).is_none());
    }

    #[test]
    fn a_text_with_nothing_in_place_of_a_bind_is_not_kept() {
        let mut schema = schema();
        let owner = FieldType::Pointer(ClassName::known("Owner"));
        schema.fields.insert(FieldName::known("owner"), Field::of(owner));
        let schema = Arc::new(schema);
        let templates = crate::storage::postgres::write::insert_template::Templates::default();
        let both = rows(json!([
            {"objectId": "a", "owner": {"__type": "Pointer", "className": "Owner"}, "score": 1},
            {"objectId": "b", "owner": {"__type": "Pointer", "className": "Owner", "objectId": "o"}, "score": 2}
        ]));
        let (sql, slots) = single(&schema, &both[0]).unwrap();
        assert!(sql.to_text().ends_with("VALUES ($1, NULL, $2)"));
        templates.keep(&schema, slots, &sql);
        assert!(templates.statement(&schema, &both[1]).is_none());
    }
}
