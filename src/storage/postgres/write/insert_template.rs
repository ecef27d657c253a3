//! The text of the usual `INSERT`, kept: clients create objects of a class with the same fields over and
//! over, and spelling the statement costs more than its values do. One text for each class, that of the
//! last row; it belongs to one schema and to one sequence of fields.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::storage::postgres::value::{self, ColumnType};
use crate::types::{ClassName, ClassSchema, FieldName, Object};

/// One column of the statement, in its order.
pub struct Slot {
    pub name: FieldName,
    pub ty: ColumnType,
    /// Its place among the row's fields that are not null.
    pub position: usize,
}

pub struct Template {
    schema: Weak<ClassSchema>,
    slots: Vec<Slot>,
    /// By position: the index of its slot.
    fields: Vec<usize>,
    /// All of the text, and where binds go.
    sql: Sql,
}

/// The last template of each class.
#[derive(Default)]
pub struct Templates(Mutex<HashMap<ClassName, Arc<Template>>>);

impl Templates {
    /// The statement for a row with the fields of the last one; `None` for any other.
    ///
    /// # Errors
    /// 111 for values that do not fit.
    pub fn statement(&self, schema: &Arc<ClassSchema>, row: &Object) -> Option<StorageResult<Sql>> {
        let known = {
            let templates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            templates.get(schema.name.as_str())?.clone()
        };
        known.fill(schema, row)
    }

    /// Keeps the statement's text. `slots` in the order of the statement's binds.
    pub fn keep(&self, schema: &Arc<ClassSchema>, slots: Vec<Slot>, sql: &Sql) {
        // A value that is stored as nothing has no bind. In that text the values of other rows would go into
        // the columns of their neighbours.
        if sql.bind_count() != slots.len() {
            return;
        }
        let mut fields = vec![0; slots.len()];
        for (index, slot) in slots.iter().enumerate() {
            match fields.get_mut(slot.position) {
                Some(field) => *field = index,
                None => return,
            }
        }
        let template = Template { schema: Arc::downgrade(schema), slots, fields, sql: sql.without_binds() };
        let mut templates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        templates.insert(schema.name.clone(), Arc::new(template));
    }
}

impl Template {
    fn fill(&self, schema: &Arc<ClassSchema>, row: &Object) -> Option<StorageResult<Sql>> {
        if !std::ptr::eq(self.schema.as_ptr(), Arc::as_ptr(schema)) {
            return None;
        }
        let mut values = smallvec::SmallVec::<[_; 24]>::new();
        for (name, value) in row.iter().filter(|(_, value)| !value.is_null()) {
            let slot = self.fields.get(values.len()).and_then(|index| self.slots.get(*index))?;
            if slot.name != name.as_str() {
                return None;
            }
            values.push(value);
        }
        if values.len() != self.slots.len() {
            return None;
        }
        let mut sql = self.sql.to_be_filled(self.slots.len());
        for slot in &self.slots {
            match value::bind(schema, &slot.name, slot.ty, values[slot.position]) {
                Ok(Some(bind)) => sql.fill(bind),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
        }
        Some(Ok(sql))
    }
}
