//! A plain in-memory adapter for tests: objects as REST JSON in maps, filters answered by
//! `query::evaluate`, pipelines by `aggregate`. Not for production: no indexes, no limits, and transactions
//! that refuse to commit when anything else was written meanwhile. Plans are PostgreSQL's alone.

mod adapter;
mod aggregate;
mod apply;
mod matching;
mod rows;
mod session;
mod work;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap as Ordered;
use serde_json::Value;

use super::{Changed, Returning, StorageError, StorageResult, WriteFilter};
use crate::error::{BoxError, Error, ErrorCode};
use crate::query::FindSpec;
use crate::types::{ClassName, ClassSchema, Layout, Object, RowSet};

/// Columns in which no two objects may hold the same value, as the start-up indexes say.
const UNIQUE: &[(&str, &str)] =
    &[("_User", "username"), ("_User", "email"), ("_Role", "name"), ("_Idempotency", "reqId")];

#[derive(Clone, Debug, Default)]
struct State {
    schemas: Ordered<ClassName, ClassSchema>,
    rows: HashMap<ClassName, Ordered<String, Object>>,
    /// (owner, member) by join class.
    joins: HashMap<ClassName, BTreeSet<(String, String)>>,
    /// Counts writes; also the stamp of changes.
    version: u64,
}

/// The database, or an open transaction's copy of it.
#[derive(Debug, Default)]
pub struct MemoryAdapter {
    state: Arc<Mutex<State>>,
    /// Of a transaction: where to commit to, and the version it began with.
    origin: Option<(Arc<Mutex<State>>, u64)>,
    work: Arc<work::Works>,
    /// Of a transaction: work to be written down with its commit.
    pending: work::Pending,
}

fn other(text: impl Into<String>) -> BoxError {
    text.into().into()
}

fn missing(class: &ClassName) -> StorageError {
    StorageError::StaleSchema(other(format!("class {class} does not exist")))
}

fn unsupported(what: &str) -> StorageError {
    StorageError::Refused(Error::parse(
        ErrorCode::COMMAND_UNAVAILABLE,
        format!("{what} is not available in memory"),
    ))
}

fn may(object: &Object, column: &str, who: Option<&Arc<[String]>>) -> bool {
    let (Some(who), Some(entries)) = (who, object.get(column).and_then(Value::as_array)) else { return true };
    entries.iter().any(|entry| who.iter().any(|w| entry == w.as_str()))
}

impl State {
    fn matching(&self, class: &ClassSchema, spec: &FindSpec) -> Vec<&Object> {
        self.select(class, &spec.filter, spec.readers.as_ref())
    }

    /// Ids of the rows a write concerns.
    fn targets(&self, class: &ClassSchema, target: &WriteFilter) -> Vec<String> {
        let test = self.test(class, &target.filter);
        let rows = self.rows.get(&class.name).into_iter().flatten();
        rows.filter(|(_, row)| may(row, "_wperm", target.writers.as_ref()) && self.holds(&test, row))
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn refuse_duplicate(&self, class: &ClassName, id: &str, row: &Object) -> StorageResult<()> {
        for (of, column) in UNIQUE.iter().filter(|(of, _)| class == *of) {
            let Some(value) = row.get(*column) else { continue };
            let rows = self.rows.get(&ClassName::known(of)).into_iter().flatten();
            if rows.into_iter().any(|(other, row)| other != id && row.get(*column) == Some(value)) {
                return Err(StorageError::Duplicate { field: Some((*column).to_owned()), provider: None });
            }
        }
        Ok(())
    }

    fn edit(&mut self, class: &ClassName, edit: impl FnOnce(&mut ClassSchema)) -> StorageResult<ClassSchema> {
        self.version += 1;
        let schema = self.schemas.get_mut(class).ok_or_else(|| missing(class))?;
        edit(schema);
        Ok(schema.clone())
    }
}

impl MemoryAdapter {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set<'r>(layout: Layout, rows: impl Iterator<Item = &'r Object>) -> RowSet {
        let layout = Arc::new(layout);
        let mut set = RowSet::new(layout.clone());
        rows.for_each(|row| rows::push(&mut set, &layout, row));
        set
    }

    fn changed(
        class: &ClassSchema,
        before: &[Object],
        after: &[Object],
        returning: Returning,
        stamp: u64,
    ) -> Changed {
        let side = |wanted: bool, rows: &[Object]| wanted.then(|| Self::set(Layout::of(class), rows.iter()));
        let asked = returning.before || returning.after;
        Changed {
            count: before.len() as u64,
            before: side(returning.before, before),
            after: side(returning.after, after),
            stamp: if asked { stamp } else { 0 },
        }
    }
}
