//! A parsed write: REST JSON with `__op` operators becomes a list of operations on paths.

use serde_json::Value;

use super::names::{FieldName, ObjectId};
use crate::types::path::FieldPath;

/// What happens to the value at one path, in one atomic statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// REST encoding. Null is stored as unset for columns.
    Set(Value),
    Unset,
    Increment(f64),
    /// Set when the row is created, untouched on update.
    SetOnInsert(Value),
    Add(Vec<Value>),
    AddUnique(Vec<Value>),
    Remove(Vec<Value>),
}

/// Changes of one object's columns. Paths are unique; a root and a path below it never both occur.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    pub ops: Vec<(FieldPath, Op)>,
}

impl Update {
    pub fn set(mut self, field: FieldName, value: Value) -> Self {
        self.ops.push((field.into(), Op::Set(value)));
        self
    }

    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Roots of every changed path, each once.
    pub fn roots(&self) -> Vec<&FieldName> {
        let mut roots: Vec<&FieldName> = self.ops.iter().map(|(path, _)| &path.root).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

/// Membership changes of one relation field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationChange {
    pub field: FieldName,
    pub add: Vec<ObjectId>,
    pub remove: Vec<ObjectId>,
}
