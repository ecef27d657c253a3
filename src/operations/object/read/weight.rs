//! How much an answer with includes will show, known before any of it is written: an object that many pointers
//! lead to is looked at once and counted each time, so that what multiplies is refused for the price of what was
//! read. Nothing is weighed where nothing can multiply.

use std::collections::HashMap;

use serde_json::Value;

use super::shown::{self, Shown, as_pointer, shown};
use super::view::{IncludeTarget, IncludedField, View};
use crate::error::Result;
use crate::operations::budget::{Budget, json_size};
use crate::types::row::{CellRef, Column, ColumnKind, RowRef};
use crate::types::{ClassName, FieldType, RowSet};

/// What takes longer to write than the other requests of a thread should wait for it.
const LONG_BYTES: u64 = 1024 * 1024;
const LONG_OBJECTS: u64 = 4000;

/// Objects as often as they are shown, and bytes of their texts without quotes and the like: never more than will
/// be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    objects: u64,
    bytes: u64,
}

impl Weight {
    /// Of all rows; nothing where they show no more than was read.
    pub fn of(rows: &RowSet, view: &View) -> Self {
        if !multiplies(view) {
            return Self::default();
        }
        let mut scales = Scales::default();
        let mut sum = Self::default();
        for row in rows.iter() {
            sum.add(scales.row(row, view));
        }
        sum
    }

    /// # Errors
    /// 102 for more than the request may be answered.
    pub fn check(self, budget: &Budget) -> Result<()> {
        budget.check_weight(self.objects, self.bytes)
    }

    /// Whether writing it is a longer piece of work.
    pub fn is_long(self) -> bool {
        self.bytes > LONG_BYTES || self.objects > LONG_OBJECTS
    }

    fn add(&mut self, other: Self) {
        self.objects = self.objects.saturating_add(other.objects);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn text(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

/// A pointer alone shows one object of one row that was read for it. Lists of pointers, and includes in what was
/// included, show more.
fn multiplies(view: &View) -> bool {
    let schema = &view.class.schema;
    view.includes.iter().any(|(root, field)| {
        let is_pointer =
            schema.fields.get(root.as_str()).is_some_and(|field| matches!(field.ty, FieldType::Pointer(_)));
        let goes_on = field.targets.values().any(|target| match target {
            IncludeTarget::Rows { view, .. } => !view.includes.is_empty(),
            IncludeTarget::Values(_) => true,
        });
        !is_pointer || goes_on
    })
}

/// Remembers what was weighed: by its view, which stands for a place in the tree of includes, and its row.
#[derive(Default)]
struct Scales {
    known: HashMap<(*const View, usize), Weight>,
    /// By their place in memory, for as long as they are borrowed.
    values: HashMap<*const Value, usize>,
}

impl Scales {
    fn row(&mut self, row: RowRef<'_>, view: &View) -> Weight {
        let mut weight = Weight { objects: 1, bytes: 2 };
        let hidden = shown::hidden(row, view);
        for (index, column) in row.layout().columns.iter().enumerate() {
            let cell = row.cell(index);
            if cell != CellRef::Null && shown::is_visible(column, view, &hidden) {
                weight.add(self.field(row, cell, column, view));
            }
        }
        weight
    }

    fn field(&mut self, row: RowRef<'_>, cell: CellRef<'_>, column: &Column, view: &View) -> Weight {
        let mut weight = Weight::default();
        match shown(row, cell, column, view) {
            Shown::Nothing => return weight,
            Shown::Cell => weight.text(match cell {
                CellRef::Text(text) if !matches!(column.kind, ColumnKind::Field(FieldType::File)) => {
                    text.len()
                }
                CellRef::Json(bytes) => bytes.len(),
                _ => 1,
            }),
            Shown::Instead(_) => {}
            Shown::Object(field, class, id) => match self.target(field, class, id) {
                Some(target) => weight.add(target),
                None => return weight,
            },
            Shown::Including(value, field) => weight.add(self.including(&value, field)),
        }
        weight.text(column.json_key.len());
        weight
    }

    fn target(&mut self, field: &IncludedField, class: &ClassName, id: &str) -> Option<Weight> {
        match field.targets.get(class)? {
            IncludeTarget::Rows { rows, by_id, view } => {
                let index = *by_id.get(id)?;
                let key = (std::ptr::from_ref(view), index);
                if let Some(known) = self.known.get(&key) {
                    return Some(*known);
                }
                let weight = self.row(rows.get(index)?, view);
                self.known.insert(key, weight);
                Some(weight)
            }
            IncludeTarget::Values(objects) => {
                let object = objects.get(id)?;
                let place = std::ptr::from_ref(object);
                let bytes = *self.values.entry(place).or_insert_with(|| json_size(object, usize::MAX) / 2);
                Some(Weight { objects: 1, bytes: bytes as u64 })
            }
        }
    }

    fn including(&mut self, value: &Value, field: &IncludedField) -> Weight {
        let mut weight = Weight::default();
        match value {
            Value::Array(elements) => {
                for element in elements {
                    weight.add(self.including(element, field));
                }
            }
            Value::Object(object) => {
                if let Some((class, id)) = as_pointer(value) {
                    return self.target(field, &class, id).unwrap_or_default();
                }
                for (key, value) in object {
                    if let Some(nested) = field.nested.get(key) {
                        weight.add(self.including(value, nested));
                    }
                }
            }
            _ => {}
        }
        weight
    }
}
