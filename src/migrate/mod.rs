//! `parsimony migrate`: everything of one database into another, by the storage traits of both, so that either side may
//! be MongoDB or PostgreSQL.
//!
//! Nothing that is at the target is overwritten, and what is there already is passed over: a run that was stopped is
//! started again. Nothing is left out silently: what the target refuses is in the [`Report`], with the reason, and
//! [`verify`] compares every object of both sides afterwards.
//!
//! Called by `server`, which opens both sides. Works on a source that nobody writes to meanwhile.

mod copy;
mod verify;

use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::FileStore;
use crate::query::{Constraint, Filter, FindSpec, Operand, OrderKey};
use crate::storage::{StorageAdapter, StorageError};
use crate::types::names::VOLATILE_CLASSES;
use crate::types::path::FieldPath;
use crate::types::row::{CellRef, has_permission_columns};
use crate::types::{ClassName, ClassSchema, Field, FieldName, FieldType, Object, RowRef};

/// Objects that are in memory at a time.
const PAGE: u64 = 500;
/// Entries of each list of a report that are kept; all are counted.
const MOST_NAMED: usize = 1000;

/// One side.
pub struct Side<'a> {
    pub storage: &'a dyn StorageAdapter,
    /// Where its files are, when they are to be moved.
    pub files: Option<&'a dyn FileStore>,
}

/// How far a run is.
#[derive(Debug)]
pub enum Progress<'p> {
    /// So many objects of a class are looked at.
    Copied {
        class: &'p str,
        done: u64,
        total: u64,
    },
    Verified {
        class: &'p str,
        done: u64,
        total: u64,
    },
    Files {
        done: u64,
    },
}

/// A list of which the first entries are kept.
#[derive(Debug, Default)]
pub struct Named {
    pub count: u64,
    pub first: Vec<String>,
}

impl Named {
    fn add(&mut self, text: String) {
        self.count += 1;
        if self.first.len() < MOST_NAMED {
            self.first.push(text);
        }
    }
}

/// What became of everything.
#[derive(Debug, Default)]
pub struct Report {
    pub classes: u64,
    pub objects: u64,
    /// Objects that were there already.
    pub passed_over: u64,
    pub members: u64,
    pub files: u64,
    /// What the target refused or cannot hold, with the reason.
    pub refused: Named,
    /// What differs between the two sides afterwards.
    pub different: Named,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.refused.count == 0 && self.different.count == 0
    }
}

/// Copies, then compares. Only compares when `dry_run`.
///
/// # Errors
/// When a side cannot be read, or the target cannot be written to at all.
pub async fn run(
    from: &Side<'_>,
    to: &Side<'_>,
    dry_run: bool,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Report> {
    let mut report = Report::default();
    let classes = classes(from.storage).await?;
    report.classes = classes.len() as u64;
    if !dry_run {
        for class in &classes {
            copy::class(from.storage, to.storage, class, &mut report, tell).await?;
        }
        if let (Some(from), Some(to)) = (from.files, to.files) {
            copy::files(from, to, &mut report, tell).await?;
        }
    }
    for class in &classes {
        verify::class(from.storage, to.storage, class, &mut report, tell).await?;
    }
    if let (Some(from), Some(to)) = (from.files, to.files) {
        verify::files(from, to, &mut report).await?;
    }
    Ok(report)
}

/// Every class, those without an entry of their own included.
async fn classes(storage: &dyn StorageAdapter) -> Result<Vec<Arc<ClassSchema>>> {
    let mut classes: Vec<Arc<ClassSchema>> =
        storage.load_schemas().await?.into_iter().map(Arc::new).collect();
    for name in VOLATILE_CLASSES {
        if !classes.iter().any(|class| class.name == *name) {
            classes.push(Arc::new(ClassSchema::with_defaults(ClassName::known(name))));
        }
    }
    classes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(classes)
}

/// Internal columns that are asked for by name.
const INTERNAL: &[&str] = &[
    "_hashed_password",
    "_email_verify_token",
    "_email_verify_token_expires_at",
    "_account_lockout_expires_at",
    "_failed_login_count",
    "_perishable_token",
    "_perishable_token_expires_at",
    "_password_changed_at",
    "_password_history",
];

fn columns(class: &ClassSchema) -> Option<Vec<FieldName>> {
    class.name.is_user().then(|| {
        let internal = INTERNAL.iter().map(|name| FieldName::known(name));
        class.fields.keys().cloned().chain(internal).collect()
    })
}

fn by_id(class: &ClassSchema) -> bool {
    class.field("objectId").is_some()
}

/// The objects after this id, in the order of ids.
fn page_after(class: &ClassSchema, after: Option<&str>) -> FindSpec {
    let filter = match after {
        Some(id) => Filter::field(FieldName::known("objectId"), Constraint::Gt(Operand::Text(id.to_owned()))),
        None => Filter::all(),
    };
    let order = OrderKey::Field { path: FieldPath::from(FieldName::known("objectId")), descending: false };
    FindSpec { order: vec![order], columns: columns(class), ..FindSpec::new(filter).limit(PAGE) }
}

/// The row as an adapter takes it.
fn stored(row: RowRef<'_>, class: &ClassSchema) -> Object {
    let mut object = row.to_object();
    object.shift_remove("ACL");
    if has_permission_columns(&class.name) {
        for column in ["_rperm", "_wperm"] {
            if let CellRef::TextArray(entries) = row.by_name(column) {
                object.insert(column.to_owned(), entries.iter().collect::<Value>());
            }
        }
    }
    object
}

/// A relation's rows, as a class.
fn join_class(field: &FieldName, class: &ClassName) -> Arc<ClassSchema> {
    let column = |name: &'static str| (FieldName::known(name), Field::of(FieldType::String));
    Arc::new(ClassSchema {
        name: ClassName::join(field, class),
        fields: [column("owningId"), column("relatedId")].into_iter().collect(),
        clp: None,
        indexes: serde_json::Map::new(),
    })
}

fn relations(class: &ClassSchema) -> impl Iterator<Item = &FieldName> {
    let is_relation = |(_, field): &(&FieldName, &Field)| matches!(field.ty, FieldType::Relation(_));
    class.fields.iter().filter(is_relation).map(|(name, _)| name)
}

/// Members by their owners, a page at a time.
async fn pairs(
    storage: &dyn StorageAdapter,
    join: &Arc<ClassSchema>,
    skip: u64,
) -> Result<Vec<(String, String)>> {
    let key = |name: &'static str| OrderKey::Field {
        path: FieldPath::from(FieldName::known(name)),
        descending: false,
    };
    let spec = FindSpec {
        order: vec![key("owningId"), key("relatedId")],
        skip,
        ..FindSpec::new(Filter::all()).limit(PAGE * 10)
    };
    let rows = storage.find(join, &spec).await?;
    let pair = |row: RowRef<'_>| Some((row.text("owningId")?.to_owned(), row.text("relatedId")?.to_owned()));
    Ok(rows.iter().filter_map(pair).collect())
}

/// Whether the target will never take this, as it is.
fn is_refusal(error: &StorageError) -> bool {
    matches!(error, StorageError::Refused(_) | StorageError::Duplicate { .. } | StorageError::StaleSchema(_))
}

fn reason(error: StorageError) -> String {
    match error {
        StorageError::Refused(error) => error.public_message(false).to_owned(),
        other => Error::from(other).public_message(false).to_owned(),
    }
}
