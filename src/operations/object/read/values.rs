//! Rows to JSON trees, for code of the server that looks into objects. What is left out is decided in
//! [`super::shown`], as for text.

use serde_json::{Map, Value, json};

use super::encode::ObjectKind;
use super::shown::{self, Shown, as_pointer, shown};
use super::view::{IncludeTarget, IncludedField, View};
use crate::operations::budget::Meter;
use crate::types::row::{CellRef, Column, ColumnKind, RowRef, cell_json};
use crate::types::{ClassName, FieldType, Object, RowSet};

/// About how many bytes a field takes besides its text.
const FIELD: usize = 16;

/// Builds objects while the meter admits them.
pub(super) struct Tree<'m> {
    meter: &'m Meter,
    /// About how long what was built is as text.
    written: usize,
}

impl<'m> Tree<'m> {
    pub fn new(meter: &'m Meter) -> Self {
        Self { meter, written: 0 }
    }

    pub fn written(&self) -> usize {
        self.written
    }

    pub fn rows(&mut self, rows: &RowSet, view: &View) -> Vec<Value> {
        // Of a full meter nothing is admitted any more.
        rows.iter().map_while(|row| self.row(row, view, None)).map(Value::Object).collect()
    }

    /// One object, with `className` and `__type` as [`super::encode::write_row`] has them; `None` when the meter
    /// is full.
    fn row(
        &mut self,
        row: RowRef<'_>,
        view: &View,
        class: Option<(ObjectKind, &ClassName)>,
    ) -> Option<Object> {
        if !self.meter.admits(self.written) {
            return None;
        }
        let mut object = Map::new();
        if let Some((kind, class)) = class {
            if kind == ObjectKind::Included {
                object.insert("__type".to_owned(), "Object".into());
            }
            object.insert("className".to_owned(), class.as_str().into());
        }
        let hidden = shown::hidden(row, view);
        for (index, column) in row.layout().columns.iter().enumerate() {
            if shown::is_visible(column, view, &hidden)
                && let Some(value) = self.field(row, row.cell(index), column, view)
            {
                self.written += column.name.as_str().len() + FIELD;
                object.insert(column.name.as_str().to_owned(), value);
            }
        }
        for (name, field) in &view.class.schema.fields {
            if let FieldType::Relation(target) = &field.ty
                && !hidden.contains(name.as_str())
            {
                let relation = json!({ "__type": "Relation", "className": target.as_str() });
                object.insert(name.as_str().to_owned(), relation);
            }
        }
        if !hidden.contains("ACL")
            && let Some(acl) = row.acl()
        {
            object.insert("ACL".to_owned(), acl.to_json());
        }
        Some(object)
    }

    fn field(&mut self, row: RowRef<'_>, cell: CellRef<'_>, column: &Column, view: &View) -> Option<Value> {
        match shown(row, cell, column, view) {
            Shown::Nothing => None,
            Shown::Cell => Some(self.cell(cell, column, view)),
            Shown::Instead(value) => Some(value),
            Shown::Object(field, class, id) => self.target(field, class, id),
            Shown::Including(value, field) => self.including(value, field),
        }
    }

    pub fn cell(&mut self, cell: CellRef<'_>, column: &Column, view: &View) -> Value {
        let mut value = cell_json(cell, column);
        match cell {
            CellRef::Text(text) => {
                self.written += text.len();
                if matches!(column.kind, ColumnKind::Field(FieldType::File)) {
                    value["url"] = view.file_urls.url(&view.base_url, text).into();
                }
            }
            CellRef::Json(bytes) => self.written += bytes.len(),
            _ => {}
        }
        value
    }

    /// The object a pointer leads to; `None` when it is gone or not the caller's to see.
    fn target(&mut self, field: &IncludedField, class: &ClassName, id: &str) -> Option<Value> {
        match field.targets.get(class)? {
            IncludeTarget::Rows { rows, by_id, view } => {
                let row = by_id.get(id).and_then(|index| rows.get(*index))?;
                self.row(row, view, Some((ObjectKind::Included, class))).map(Value::Object)
            }
            IncludeTarget::Values(objects) => {
                let object = objects.get(id)?;
                self.meter.admits(self.written).then(|| object.clone())
            }
        }
    }

    /// JSON of an Object or Array column with its pointers replaced; elements whose object is gone are dropped,
    /// and so are keys.
    fn including(&mut self, value: Value, field: &IncludedField) -> Option<Value> {
        match value {
            Value::Array(elements) => {
                let kept = elements.into_iter().filter_map(|element| self.including(element, field));
                Some(Value::Array(kept.collect()))
            }
            Value::Object(object) => {
                let value = Value::Object(object);
                if let Some((class, id)) = as_pointer(&value) {
                    return self.target(field, &class, id);
                }
                let Value::Object(object) = value else { return None };
                let kept = object.into_iter().filter_map(|(key, value)| {
                    let value = match field.nested.get(&key) {
                        Some(nested) => self.including(value, nested)?,
                        None => value,
                    };
                    Some((key, value))
                });
                Some(Value::Object(kept.collect()))
            }
            scalar => Some(scalar),
        }
    }
}

/// One value, for what leaves in another shape than an object: cursors. `Null` where it is unset, `None` where
/// the caller does not see it.
pub fn shown_cell(row: RowRef<'_>, index: usize, view: &View, meter: &Meter) -> Option<Value> {
    let column = row.layout().columns.get(index)?;
    let name = column.name.as_str();
    let is_field = matches!(column.kind, ColumnKind::Field(_));
    let is_hidden = shown::hidden(row, view).contains(name);
    if !is_field || is_hidden || (column.name.is_internal() && !shown::internal_visible(view, name)) {
        return None;
    }
    let cell = row.cell(index);
    if cell == CellRef::Null {
        return Some(Value::Null);
    }
    Tree::new(meter).field(row, cell, column, view)
}
