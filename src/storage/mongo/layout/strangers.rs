//! Fields of documents that `_SCHEMA` does not know: other programs may have written them. parse-server shows them with
//! the object, so whole objects have them here too, as what they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::types::row::{Column, ColumnKind};
use crate::types::{ClassName, ClassSchema, FieldName, FieldType, Layout};

/// Such fields of one class that are shown.
const MOST: usize = 1000;
/// Keys under which an object has something else, or that say nothing of it.
const TAKEN: [&str; 10] = [
    "objectId",
    "createdAt",
    "updatedAt",
    "ACL",
    "className",
    "authData",
    "password",
    "sessionToken",
    "lastUsed",
    "timesUsed",
];

/// The strange fields of each class that were met so far.
#[derive(Debug, Default)]
pub struct Strangers(Mutex<HashMap<ClassName, Vec<FieldName>>>);

impl Strangers {
    /// The columns of whole objects with these fields in addition; `None` where there are none.
    pub fn join(&self, schema: &ClassSchema, whole: &Layout) -> Option<Arc<Layout>> {
        let met = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&schema.name)?.clone();
        let mut layout = whole.clone();
        for name in met {
            // One that the class has by now has its column.
            if schema.field(name.as_str()).is_none() && layout.index_of(name.as_str()).is_none() {
                layout.columns.push(column(name));
            }
        }
        Some(layout.into())
    }

    /// Remembers what was met; answers whether any of it will be shown.
    pub fn meet(&self, class: &ClassName, met: Vec<FieldName>) -> bool {
        if met.is_empty() {
            return false;
        }
        let mut classes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = classes.entry(class.clone()).or_default();
        let mut is_shown = false;
        for name in met {
            if known.contains(&name) {
                is_shown = true;
            } else if known.len() < MOST {
                known.push(name);
                is_shown = true;
            }
        }
        is_shown
    }
}

/// Whatever is found there is shown as what it is.
pub fn column(name: FieldName) -> Column {
    Column::new(name, ColumnKind::Field(FieldType::Object))
}

/// Adds the field of a key that belongs to no column, if it is one to be shown.
pub fn note(schema: &ClassSchema, key: &str, met: &mut Vec<FieldName>) {
    let is_stranger = !key.starts_with('_') && !TAKEN.contains(&key) && schema.field(key).is_none();
    if is_stranger
        && met.len() < MOST
        && met.iter().all(|name| name.as_str() != key)
        && let Some(name) = FieldName::valid(key)
    {
        met.push(name);
    }
}
