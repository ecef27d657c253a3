//! The end of a pipeline: which columns are read, and how rows become answers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ROOT_COLUMN, Relation};
use crate::storage::postgres::query::select::BuiltQuery;
use crate::storage::postgres::sql::Sql;
use crate::storage::{AggregateOptions, StorageError, StorageResult};
use crate::types::row::{CellRef, Column, ColumnKind, Layout, RowSet, cell_json};
use crate::types::{FieldName, FieldType, Object};

/// A pipeline's statement and how its rows are shown.
#[derive(Debug)]
pub struct BuiltAggregate {
    pub query: BuiltQuery,
    keep_null: Vec<FieldName>,
    /// Parts of a compound `_id` that are plain fields.
    plain_parts: Vec<String>,
    /// Rows are whole objects in one column.
    is_document: bool,
    raw_values: bool,
    raw_field_names: bool,
}

impl BuiltAggregate {
    pub(super) fn new(relation: Relation, options: &AggregateOptions) -> Self {
        let order = relation.order_by();
        let columns: Vec<Column> = relation
            .schema
            .fields
            .iter()
            .map(|(name, field)| Column::new(name.clone(), ColumnKind::Field(field.ty.clone())))
            .collect();
        let mut sql = Sql::new("SELECT ");
        for (index, column) in columns.iter().enumerate() {
            sql.push_sql(if index > 0 { ", " } else { "" });
            relation.alias.push(&mut sql);
            sql.push_sql(".").push_field(&column.name);
        }
        if columns.is_empty() {
            sql.push_sql("1");
        }
        sql.push_sql(" FROM ").append(relation.from).append(order);
        // Pipelines differ too much to be kept prepared.
        sql.uncacheable();
        let layout = Arc::new(Layout { class: relation.schema.name, columns });
        Self {
            query: BuiltQuery { sql, layout, room: options.hints.room.clone() },
            keep_null: relation.keep_null,
            plain_parts: relation.plain_parts,
            is_document: relation.is_document,
            raw_values: options.raw_values,
            raw_field_names: options.raw_field_names,
        }
    }

    /// Rows as the API answers them.
    ///
    /// # Errors
    /// 102 when there was no room for all of them.
    pub fn objects(&self, rows: &RowSet) -> StorageResult<Vec<Object>> {
        if rows.is_cut() {
            return Err(StorageError::no_room());
        }
        let columns = &self.query.layout.columns;
        let show = |row: crate::types::RowRef<'_>| {
            let mut object = Object::new();
            if self.is_document
                && let CellRef::Json(bytes) = row.by_name(ROOT_COLUMN)
            {
                let whole: Object = serde_json::from_slice(bytes).unwrap_or_default();
                return whole.into_iter().filter(|(_, value)| !value.is_null()).collect();
            }
            for (index, column) in columns.iter().enumerate() {
                let cell = row.cell(index);
                if cell == CellRef::Null && !self.keep_null.contains(&column.name) {
                    continue;
                }
                let (name, mut value) = self.entry(cell, column);
                if column.name == "objectId"
                    && let Value::Object(key) = &mut value
                {
                    // A compound key has no fields that the grouped rows did not have.
                    key.retain(|name, part| !part.is_null() || !self.plain_parts.contains(name));
                }
                object.insert(name, value);
            }
            object
        };
        Ok(rows.iter().map(show).collect())
    }

    fn entry(&self, cell: CellRef<'_>, column: &Column) -> (String, Value) {
        let name = column.name.as_str();
        let pointer = match &column.kind {
            ColumnKind::Field(FieldType::Pointer(class)) => Some(class),
            _ => None,
        };
        let value = match (cell, pointer) {
            (CellRef::Date(at), _) if self.raw_values => json!({ "$date": at.to_iso() }),
            (CellRef::Text(id), Some(class)) if self.raw_field_names => json!(format!("{class}${id}")),
            _ => cell_json(cell, column),
        };
        if !self.raw_field_names {
            return (name.to_owned(), value);
        }
        let native = match name {
            "objectId" => "_id".to_owned(),
            "createdAt" => "_created_at".to_owned(),
            "updatedAt" => "_updated_at".to_owned(),
            _ if pointer.is_some() => format!("_p_{name}"),
            _ => name.to_owned(),
        };
        (native, value)
    }
}
