//! From one side to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::TryStreamExt;
use serde_json::Value;

use super::state::{Mark, State};
use super::verify::Tell;
use super::{
    Named, PAGE, Progress, Report, Side, by_id, columns, is_whole, join_class, pairs, reason, relations,
    stored, unless_refused,
};
use crate::error::{Error, Result};
use crate::files::{FileError, FileStore, NewFile};
use crate::query::{Filter, FindHints, FindSpec};
use crate::storage::StorageAdapter;
use crate::types::names::VOLATILE_CLASSES;
use crate::types::update::RelationChange;
use crate::types::{ClassSchema, Clp, Field, FieldName, Object, ObjectId};

pub(super) async fn class(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    mut state: Option<&mut State>,
    report: &mut Report,
    tell: Tell<'_>,
) -> Result<()> {
    let Some(target) = schema(to, class, &mut report.refused).await? else { return Ok(()) };
    let target = Arc::new(target);
    let is_done = state.as_ref().is_some_and(|state| state.mark(class.name.as_str()) == Some(&Mark::Done));
    if is_done {
        return Ok(());
    }
    if is_whole(class) && !by_id(class) {
        without_ids(from, to, class, &target, report).await?;
    } else {
        objects(from, to, class, &target, state.as_deref_mut(), report, tell).await?;
    }
    for field in relations(class) {
        members(from, to, class, field, report).await?;
    }
    indexes(to, class, &mut report.refused).await;
    if let Some(state) = state {
        state.set_mark(class.name.as_str(), Mark::Done).map_err(Error::internal)?;
    }
    Ok(())
}

/// The class at the target, with every field that the target can hold.
pub(super) async fn schema(
    to: &dyn StorageAdapter,
    class: &ClassSchema,
    refused: &mut Named,
) -> Result<Option<ClassSchema>> {
    let is_volatile = VOLATILE_CLASSES.contains(&class.name.as_str());
    if is_volatile && to.load_schema(&class.name).await?.is_none() {
        // It has no entry, and needs none.
        return Ok(Some(class.clone()));
    }
    let bare = ClassSchema { indexes: serde_json::Map::new(), ..class.clone() };
    let mut made = match unless_refused(to.create_class(&bare).await)? {
        Ok(made) => made,
        Err(reason) => {
            refused.add(format!("class {}: {reason}", class.name));
            return Ok(None);
        }
    };
    for (name, field) in &class.fields {
        if made.field(name).is_some() {
            continue;
        }
        let one: [(FieldName, Field); 1] = [(name.clone(), field.clone())];
        match unless_refused(to.add_fields(&class.name, &one).await)? {
            Ok(grown) => made = grown,
            Err(reason) => refused.add(format!("field {name} of {}: {reason}", class.name)),
        }
    }
    for (name, field) in &class.fields {
        if made.field_type(name).is_some_and(|there| *there != field.ty) {
            refused.add(format!("field {name} of {}: it has another type at the target", class.name));
        }
    }
    let is_restricted = made.clp.is_some();
    if let Some(clp) = &class.clp {
        made = to.set_permissions(&class.name, clp.raw()).await?;
    } else if is_restricted && let Value::Object(open) = Clp::api_json(None) {
        // Whoever made the class anew made it open; those of the class before are there still.
        made = to.set_permissions(&class.name, &open).await?;
    }
    Ok(Some(made))
}

pub(super) async fn indexes(to: &dyn StorageAdapter, class: &ClassSchema, refused: &mut Named) {
    for (name, key) in &class.indexes {
        // Those of the start are made by the server itself.
        if name == "_id_" || class.name.is_system() {
            continue;
        }
        let one = serde_json::Map::from_iter([(name.clone(), key.clone())]);
        if let Err(error) = to.set_indexes(&class.name, &one, &[]).await {
            refused.add(format!("index {name} of {}: {}", class.name, reason(error)));
        }
    }
}

async fn objects(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    target: &Arc<ClassSchema>,
    mut state: Option<&mut State>,
    report: &mut Report,
    tell: Tell<'_>,
) -> Result<()> {
    let all = FindSpec::new(Filter::all());
    let total = from.count(class, &all).await?;
    let is_fresh = to.count(target, &all).await? == 0;
    let mark = state.as_ref().and_then(|state| state.mark(class.name.as_str()));
    let after = match mark {
        Some(Mark::After(cursor)) => Some(cursor.clone()),
        _ => None,
    };
    let wanted = columns(class);
    let mut done = 0;
    let (mut page, mut cursor) = from.scan(class, after.as_deref(), wanted.as_deref(), PAGE).await?;
    loop {
        let ids: Vec<String> = page.iter().map(|row| row.object_id().to_owned()).collect();
        let rows: Vec<Object> = page.iter().map(|row| stored(row, class)).collect();
        // The next page is read while this one is written.
        let reading = async {
            match &cursor {
                Some(cursor) => from.scan(class, Some(cursor), wanted.as_deref(), PAGE).await.map(Some),
                None => Ok(None),
            }
        };
        let writing = missing(to, target, &ids, rows, is_fresh, report);
        let (next, written) = futures_util::future::join(reading, writing).await;
        written?;
        done += ids.len() as u64;
        tell(Progress::Copied { class: &class.name, done, total });
        if let (Some(state), Some(cursor)) = (state.as_deref_mut(), &cursor) {
            let mark = Mark::After(cursor.clone());
            state.set_mark(class.name.as_str(), mark).map_err(Error::internal)?;
        }
        let Some((next, further)) = next? else { return Ok(()) };
        page = next;
        cursor = further;
    }
}

/// Those of the rows that are not at the target yet.
async fn missing(
    to: &dyn StorageAdapter,
    target: &Arc<ClassSchema>,
    ids: &[String],
    rows: Vec<Object>,
    is_fresh: bool,
    report: &mut Report,
) -> Result<()> {
    if is_fresh {
        return create(to, target, &rows, report).await;
    }
    let there = to.find_by_ids(target, ids, None, Some(&[]), &FindHints::default()).await?;
    let there: BTreeSet<&str> = there.iter().map(|row| row.object_id()).collect();
    report.passed_over += there.len() as u64;
    let missing = rows.into_iter().zip(ids).filter(|(_, id)| !there.contains(id.as_str()));
    let missing: Vec<Object> = missing.map(|(row, _)| row).collect();
    create(to, target, &missing, report).await
}

/// All at once, and one by one when some are refused.
pub(super) async fn create(
    to: &dyn StorageAdapter,
    target: &Arc<ClassSchema>,
    rows: &[Object],
    report: &mut Report,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    if unless_refused(to.import(target, rows).await)?.is_ok() {
        report.objects += rows.len() as u64;
        return Ok(());
    }
    for row in rows {
        match unless_refused(to.create(target, std::slice::from_ref(row)).await)? {
            Ok(()) => report.objects += 1,
            Err(reason) => {
                let id = row.get("objectId").and_then(Value::as_str).unwrap_or("(no id)");
                report.refused.add(format!("{} {id}: {reason}", target.name));
            }
        }
    }
    Ok(())
}

/// `_Hooks`: rows that nothing tells apart, so all of them or none.
async fn without_ids(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    target: &Arc<ClassSchema>,
    report: &mut Report,
) -> Result<()> {
    let all = FindSpec::new(Filter::all());
    let there = to.count(target, &all).await?;
    let rows = from.find(class, &all).await?;
    if there > 0 {
        report.passed_over += there;
        return Ok(());
    }
    let rows: Vec<Object> = rows.iter().map(|row| stored(row, class)).collect();
    create(to, target, &rows, report).await
}

async fn members(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &ClassSchema,
    field: &FieldName,
    report: &mut Report,
) -> Result<()> {
    let join = join_class(field, &class.name);
    let mut skip = 0;
    loop {
        let page = pairs(from, &join, skip).await?;
        if page.is_empty() {
            return Ok(());
        }
        skip += page.len() as u64;
        let mut by_owner: BTreeMap<String, Vec<ObjectId>> = BTreeMap::new();
        for (owner, member) in page {
            report.members += 1;
            by_owner.entry(owner).or_default().extend(ObjectId::new(&member));
        }
        for (owner, add) in by_owner {
            let change = RelationChange { field: field.clone(), add, remove: Vec::new() };
            change_members(to, class, &owner, change, &mut report.refused).await?;
        }
    }
}

/// Members of one object, at the target.
pub(super) async fn change_members(
    to: &dyn StorageAdapter,
    class: &ClassSchema,
    owner: &str,
    change: RelationChange,
    refused: &mut Named,
) -> Result<()> {
    let Some(id) = ObjectId::new(owner) else { return Ok(()) };
    let field = change.field.clone();
    if let Err(reason) = unless_refused(to.change_relations(&class.name, &id, &[change]).await)? {
        refused.add(format!("{field} of {} {owner}: {reason}", class.name));
    }
    Ok(())
}

pub(super) async fn files(from: &Side<'_>, to: &Side<'_>, report: &mut Report, tell: Tell<'_>) -> Result<()> {
    let (Some(from), Some(to)) = (from.files, to.files) else { return Ok(()) };
    let mut listed = from.list();
    while let Some(file) = listed.try_next().await.map_err(Error::internal)? {
        if to.stat(&file.name).await.is_ok_and(|there| there.size == file.size) {
            report.passed_over += 1;
            continue;
        }
        match file_of(from, to, &file.name).await {
            Ok(()) => report.files += 1,
            Err(error) => report.refused.add(format!("file {}: {error}", file.name)),
        }
        tell(Progress::Files { done: report.files });
    }
    Ok(())
}

async fn file_of(from: &dyn FileStore, to: &dyn FileStore, name: &str) -> Result<(), FileError> {
    let metadata = from.metadata(name).await?.unwrap_or_default();
    let mut reader = from.open(name, None).await?;
    let file = NewFile {
        name: name.to_owned(),
        content_type: reader.info.content_type.clone(),
        metadata,
        ..NewFile::default()
    };
    let mut upload = to.begin(file).await?;
    loop {
        match reader.stream.try_next().await {
            Ok(Some(chunk)) => upload.write(chunk).await?,
            Ok(None) => break,
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        }
    }
    upload.commit().await.map(drop)
}
