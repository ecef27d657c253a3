//! `parsimony migrate`: everything of one database into another, by the storage traits of both, so that either side may
//! be MongoDB or PostgreSQL.
//!
//! A plain run works on a source that nobody writes to: nothing that is at the target is overwritten, and what is there
//! already is passed over, so that a run that was stopped is started again. A run that follows ([`follow`]) takes
//! whatever is changed meanwhile over, too, until the application is switched; its target is a copy, and becomes what
//! the source is. Nothing is left out silently: what the target refuses is in the [`Report`], with the reason, and
//! every object of both sides is compared ([`verify`]).
//!
//! Called by `server`, which opens both sides.

mod apply;
mod copy;
mod follow;
mod state;
mod verify;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

pub use follow::{Follow, follow};

use crate::error::{Error, Result};
use crate::files::FileStore;
use crate::query::{Filter, FindSpec, OrderKey};
use crate::storage::{StorageAdapter, StorageError, StorageResult};
use crate::types::names::VOLATILE_CLASSES;
use crate::types::path::FieldPath;
use crate::types::row::{CellRef, has_permission_columns};
use crate::types::{ClassName, ClassSchema, Field, FieldName, FieldType, Object, RowRef};

/// Objects that are in memory at a time.
const PAGE: u64 = 1000;
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
    /// So many changes were taken over; `behind`: how long ago the last one was made, where that is known.
    Followed {
        changes: u64,
        behind: Option<std::time::Duration>,
    },
    /// Both sides are the same but for what is written right now: the application can be stopped.
    Ready {
        different: u64,
    },
    /// The source is still written to.
    StillWritten,
    /// The source does not know any more what was changed since the last run: everything is looked at again.
    Anew,
}

/// A list of which the first entries are kept.
#[derive(Debug, Default)]
pub struct Named {
    pub count: u64,
    pub first: Vec<String>,
}

impl Named {
    fn append(&mut self, other: Self) {
        let unnamed = other.count - other.first.len() as u64;
        other.first.into_iter().for_each(|text| self.add_once(text));
        self.count += unnamed;
    }

    fn add_once(&mut self, text: String) {
        if !self.first.contains(&text) {
            self.add(text);
        }
    }

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
            copy::class(from.storage, to.storage, class, None, &mut report, tell).await?;
        }
        copy::files(from, to, &mut report, tell).await?;
    }
    let mut different = Named::default();
    compare(from, to, &classes, &mut |difference| different.add(difference.to_string()), tell).await?;
    report.different = different;
    left_behind(from, &mut report).await?;
    Ok(report)
}

/// Names what the source holds beside its classes: it was not even looked at.
async fn left_behind(from: &Side<'_>, report: &mut Report) -> Result<()> {
    for what in from.storage.beside_classes().await? {
        report.refused.add_once(what);
    }
    Ok(())
}

/// Everything, on both sides.
async fn compare(
    from: &Side<'_>,
    to: &Side<'_>,
    classes: &[Arc<ClassSchema>],
    see: &mut (dyn FnMut(verify::Difference) + Send),
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<()> {
    for class in classes {
        verify::class(from.storage, to.storage, class, see, tell).await?;
        verify::counts(from.storage, to.storage, class, see).await?;
    }
    verify::files(from, to, see).await
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

/// Few objects, which are compared and taken over all at once: nothing tells them apart, or their ids are no texts.
fn is_whole(class: &ClassSchema) -> bool {
    !by_id(class) || matches!(class.name.as_str(), "_Hooks" | "_GlobalConfig" | "_GraphQLConfig")
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

/// All members, as owner and member.
async fn members(
    storage: &dyn StorageAdapter,
    join: &Arc<ClassSchema>,
) -> Result<BTreeSet<(String, String)>> {
    let mut all = BTreeSet::new();
    let mut skip = 0;
    loop {
        let page = pairs(storage, join, skip).await?;
        if page.is_empty() {
            return Ok(all);
        }
        skip += page.len() as u64;
        all.extend(page);
    }
}

/// What came of a step at the target; inside, the reason for which the target will never take this, as it is.
fn unless_refused<T>(outcome: StorageResult<T>) -> Result<std::result::Result<T, String>> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(
            error
            @ (StorageError::Refused(_) | StorageError::Duplicate { .. } | StorageError::StaleSchema(_)),
        ) => Ok(Err(reason(error))),
        Err(error) => Err(error.into()),
    }
}

fn reason(error: StorageError) -> String {
    match error {
        StorageError::Refused(error) => error.public_message(false).to_owned(),
        other => Error::from(other).public_message(false).to_owned(),
    }
}
