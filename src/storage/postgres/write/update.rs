//! `UPDATE`: every operation of a write in one atomic statement, nested ones through the `jsonb`
//! helpers of schema `parsimony`. Rows before and after come from that statement, under its locks.

use std::sync::Arc;

use serde_json::Value;

use crate::storage::mismatch::mismatch;
use crate::storage::postgres::Executor;
use crate::storage::postgres::connection::error::boxed;
use crate::storage::postgres::sql::{Bind, Sql};
use crate::storage::postgres::value::{self, ColumnType};
use crate::storage::postgres::write::target;
use crate::storage::{Changed, Returning, StorageError, StorageResult, WriteFilter};
use crate::types::names::INTERNAL_COLUMNS;
use crate::types::row::{Column, ColumnKind, has_permission_columns};
use crate::types::update::Op;
use crate::types::{ClassSchema, FieldName, Layout, Update};

/// Microseconds of the database's clock, read while the row is locked: grows with the order in which
/// writes to one object are committed.
pub const STAMP: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// Builds and runs the statement.
///
/// # Errors
/// 111 for values that do not fit, `StaleSchema` for unknown columns, database errors.
pub async fn run(
    db: &Executor<'_>,
    schema: &Arc<ClassSchema>,
    target: &WriteFilter,
    update: &Update,
    returning: Returning,
) -> StorageResult<Changed> {
    if !returning.before && !returning.after {
        let nothing = Layout { class: schema.name.clone(), columns: Vec::new() };
        let count = db.execute(statement(schema, &nothing, target, update, returning)?).await?;
        return Ok(Changed { count, before: None, after: None, stamp: 0 });
    }
    let layout = Arc::new(match returning.written_only && !returning.before {
        true => written(schema, update),
        false => Layout::of(schema),
    });
    let rows = db.load(statement(schema, &layout, target, update, returning)?).await?;
    target::changed(&layout, &rows, returning)
}

/// The columns that the update names, and those that say who may be told of them.
fn written(schema: &ClassSchema, update: &Update) -> Layout {
    let mut columns: Vec<Column> = Vec::new();
    for (path, _) in &update.ops {
        if let Some((name, field)) = schema.fields.get_key_value(path.root.as_str())
            && columns.iter().all(|column| column.name != *name)
        {
            columns.push(Column::new(name.clone(), ColumnKind::Field(field.ty.clone())));
        }
    }
    if has_permission_columns(&schema.name) {
        let permissions = INTERNAL_COLUMNS.iter().map(|name| FieldName::known(name));
        columns.extend(permissions.map(|name| Column::new(name, ColumnKind::Permissions)));
    }
    Layout { class: schema.name.clone(), columns }
}

/// The `UPDATE`, with `stamp`, the columns before and the columns after as asked for.
///
/// # Errors
/// As [`run`].
pub fn statement(
    schema: &Arc<ClassSchema>,
    layout: &Layout,
    target: &WriteFilter,
    update: &Update,
    returning: Returning,
) -> StorageResult<Sql> {
    let mut sql = Sql::new("UPDATE ");
    // The row that is written is `w`; `t0` is what the filter speaks of.
    let written = if returning.before { "w" } else { "t0" };
    sql.push_class(&schema.name).push_sql(" AS ").push_sql(written).push_sql(" SET ");
    push_assignments(&mut sql, schema, written, update)?;
    if returning.before {
        sql.push_sql(" FROM (SELECT ");
        target::push_columns(&mut sql, layout, "t0");
        sql.push_sql(" FROM ").push_class(&schema.name).push_sql(" AS t0 WHERE ");
        target::push_where(&mut sql, schema, target)?;
        // One order for all writers of many rows, so that they cannot deadlock.
        sql.push_sql(r#" ORDER BY t0."objectId" FOR UPDATE) AS old WHERE w."objectId" = old."objectId""#);
    } else {
        sql.push_sql(" WHERE ");
        target::push_where(&mut sql, schema, target)?;
    }
    if returning.before || returning.after {
        sql.push_sql(" RETURNING ").push_sql(STAMP);
        if returning.before {
            sql.push_sql(", ");
            target::push_columns(&mut sql, layout, "old");
        }
        if returning.after && !layout.columns.is_empty() {
            sql.push_sql(", ");
            target::push_columns(&mut sql, layout, written);
        }
    }
    Ok(sql)
}

fn push_assignments(sql: &mut Sql, schema: &ClassSchema, alias: &str, update: &Update) -> StorageResult<()> {
    let mut roots: Vec<&FieldName> = Vec::new();
    for (path, op) in &update.ops {
        if !matches!(op, Op::SetOnInsert(_)) && !roots.contains(&&path.root) {
            roots.push(&path.root);
        }
    }
    if roots.is_empty() {
        // Nothing to write, yet the row counts as touched and is answered.
        sql.push_sql(r#""objectId" = "#).push_sql(alias).push_sql(r#"."objectId""#);
        return Ok(());
    }
    roots.sort_unstable();
    for (index, root) in roots.into_iter().enumerate() {
        if index > 0 {
            sql.push_sql(", ");
        }
        sql.push_field(root).push_sql(" = ");
        push_column(sql, schema, alias, root, update)?;
    }
    Ok(())
}

/// The new value of one column.
fn push_column(
    sql: &mut Sql,
    schema: &ClassSchema,
    alias: &str,
    root: &FieldName,
    update: &Update,
) -> StorageResult<()> {
    let ty = value::column_type(schema, root).ok_or_else(|| {
        StorageError::StaleSchema(boxed(format!("column \"{root}\" of class {} is not known", schema.name)))
    })?;
    let ops: Vec<_> = update.ops.iter().filter(|(path, _)| path.root == *root).collect();
    if let Some((_, op)) = ops.iter().find(|(path, _)| !path.is_dotted()) {
        return push_whole(sql, schema, alias, root, ty, op);
    }
    if ty != ColumnType::Jsonb {
        let value = ops.first().map_or(&Value::Null, |(_, op)| match op {
            Op::Set(value) => value,
            _ => &Value::Null,
        });
        return Err(mismatch(schema, root, value));
    }
    // f3(f2(f1(column, …), …), …): openings in reverse order, then the arguments.
    for (_, op) in ops.iter().rev() {
        sql.push_sql(match op {
            Op::Set(_) => "parsimony.json_set(",
            Op::Increment(_) => "parsimony.json_increment(",
            Op::Add(_) | Op::AddUnique(_) | Op::Remove(_) => "parsimony.json_array_op(",
            Op::Unset | Op::SetOnInsert(_) => "(",
        });
    }
    let only_unset = ops.iter().all(|(_, op)| matches!(op, Op::Unset));
    if only_unset {
        push_ref(sql, alias, root);
    } else {
        sql.push_sql("coalesce(");
        push_ref(sql, alias, root);
        sql.push_sql(", '{}'::jsonb)");
    }
    for (path, op) in ops {
        let rest = || Bind::TextArray(path.rest.clone());
        match op {
            Op::Set(value) => {
                sql.push_sql(", ").push_bind(rest()).push_sql(", ").push_bind(value::jsonb(value)?);
            }
            Op::Increment(amount) => {
                sql.push_sql(", ").push_bind(rest()).push_sql(", ").push_bind(Bind::Double(*amount));
            }
            Op::Add(values) => push_array_args(sql, rest(), "add", values)?,
            Op::AddUnique(values) => push_array_args(sql, rest(), "unique", values)?,
            Op::Remove(values) => push_array_args(sql, rest(), "remove", values)?,
            Op::Unset => {
                sql.push_sql(" #- ").push_bind(rest());
            }
            Op::SetOnInsert(_) => {}
        }
        sql.push_sql(")");
    }
    Ok(())
}

fn push_ref(sql: &mut Sql, alias: &str, column: &FieldName) {
    sql.push_sql(alias).push_sql(".").push_field(column);
}

fn push_array_args(sql: &mut Sql, path: Bind, op: &str, values: &[Value]) -> StorageResult<()> {
    sql.push_sql(", ").push_bind(path).push_sql(", '").push_sql(op).push_sql("', ");
    sql.push_bind(value::jsonb(&Value::Array(values.to_vec()))?);
    Ok(())
}

fn push_whole(
    sql: &mut Sql,
    schema: &ClassSchema,
    alias: &str,
    column: &FieldName,
    ty: ColumnType,
    op: &Op,
) -> StorageResult<()> {
    let array = |sql: &mut Sql, function: &str, values: &[Value]| -> StorageResult<()> {
        if ty != ColumnType::Jsonb {
            return Err(mismatch(schema, column, &Value::Array(values.to_vec())));
        }
        sql.push_sql("parsimony.").push_sql(function).push_sql("(");
        push_ref(sql, alias, column);
        sql.push_sql(", ").push_bind(value::jsonb(&Value::Array(values.to_vec()))?).push_sql(")");
        Ok(())
    };
    match op {
        Op::Set(value) => value::push(sql, schema, column, ty, value),
        Op::Unset => {
            sql.push_sql("NULL");
            Ok(())
        }
        Op::Increment(amount) => {
            if ty != ColumnType::Double {
                return Err(mismatch(schema, column, &Value::from(*amount)));
            }
            sql.push_sql("coalesce(");
            push_ref(sql, alias, column);
            sql.push_sql(", 0) + ").push_bind(Bind::Double(*amount));
            Ok(())
        }
        Op::SetOnInsert(_) => {
            push_ref(sql, alias, column);
            Ok(())
        }
        Op::Add(values) => array(sql, "array_add", values),
        Op::AddUnique(values) => array(sql, "array_add_unique", values),
        Op::Remove(values) => array(sql, "array_remove", values),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::path::FieldPath;
    use crate::types::{ClassName, Field, FieldType};

    fn assignments(ops: Vec<(&'static str, Vec<&str>, Op)>) -> StorageResult<String> {
        let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
        schema.fields.insert(FieldName::known("n"), Field::of(FieldType::Number));
        schema.fields.insert(FieldName::known("o"), Field::of(FieldType::Object));
        schema.fields.insert(FieldName::known("list"), Field::of(FieldType::Array));
        let ops = ops
            .into_iter()
            .map(|(root, rest, op)| {
                let rest = rest.into_iter().map(str::to_owned).collect();
                (FieldPath { root: FieldName::known(root), rest }, op)
            })
            .collect();
        let mut sql = Sql::default();
        push_assignments(&mut sql, &schema, "t0", &Update { ops })?;
        Ok(sql.to_text())
    }

    #[test]
    fn whole_columns() {
        let text = assignments(vec![
            ("n", vec![], Op::Increment(2.0)),
            ("list", vec![], Op::AddUnique(vec![json!(1)])),
            ("o", vec![], Op::Unset),
        ]);
        assert_eq!(
            text.unwrap(),
            "\"list\" = parsimony.array_add_unique(t0.\"list\", $1), \
             \"n\" = coalesce(t0.\"n\", 0) + $2, \"o\" = NULL"
        );
    }

    #[test]
    fn paths_nest_in_one_expression() {
        let text = assignments(vec![
            ("o", vec!["a", "b"], Op::Increment(1.0)),
            ("o", vec!["c"], Op::Unset),
            ("o", vec!["d"], Op::Set(json!("x"))),
        ]);
        assert_eq!(
            text.unwrap(),
            "\"o\" = parsimony.json_set((parsimony.json_increment(coalesce(t0.\"o\", '{}'::jsonb), \
             $1, $2) #- $3), $4, $5)"
        );
    }

    #[test]
    fn nothing_to_write_still_touches_the_row() {
        let text = assignments(vec![("n", vec![], Op::SetOnInsert(json!(1)))]);
        assert_eq!(text.unwrap(), "\"objectId\" = t0.\"objectId\"");
    }

    #[test]
    fn operations_on_the_wrong_type_are_refused() {
        assert!(assignments(vec![("o", vec![], Op::Increment(1.0))]).is_err());
        assert!(assignments(vec![("n", vec!["a"], Op::Set(json!(1)))]).is_err());
        assert!(assignments(vec![("n", vec![], Op::Add(vec![]))]).is_err());
    }
}
