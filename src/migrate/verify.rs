//! Whether both sides hold the same: every object, in both directions.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use serde_json::Value;

use super::{PAGE, Progress, Report, by_id, columns, join_class, page_after, pairs, relations, stored};
use crate::error::{Error, Result};
use crate::files::FileStore;
use crate::query::evaluate::json_equals;
use crate::query::{Filter, FindHints, FindSpec};
use crate::storage::StorageAdapter;
use crate::types::{ClassSchema, Object};

pub(super) async fn class(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    report: &mut Report,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<()> {
    let all = FindSpec::new(Filter::all());
    let counts = (from.count(class, &all).await?, to.count(class, &all).await?);
    if counts.0 != counts.1 {
        report.different.add(format!("{}: {} objects here, {} there", class.name, counts.0, counts.1));
    }
    if by_id(class) {
        objects(from, to, class, counts.0, report, tell).await?;
    }
    for field in relations(class) {
        let join = join_class(field, &class.name);
        let mut skip = 0;
        loop {
            let (here, there) = (pairs(from, &join, skip).await?, pairs(to, &join, skip).await?);
            if here != there {
                // Two databases may order texts differently.
                let (mut a, mut b) = (here.clone(), there.clone());
                a.sort();
                b.sort();
                if a != b {
                    report.different.add(format!("members of {field} of {}", class.name));
                    break;
                }
            }
            if here.is_empty() {
                break;
            }
            skip += here.len() as u64;
        }
    }
    Ok(())
}

async fn objects(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    total: u64,
    report: &mut Report,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<()> {
    let mut last: Option<String> = None;
    let mut done = 0;
    loop {
        let page = from.find(class, &page_after(class, last.as_deref())).await?;
        let ids: Vec<String> = page.iter().map(|row| row.object_id().to_owned()).collect();
        let Some(newest) = ids.last().cloned() else { return Ok(()) };
        if last.as_ref() == Some(&newest) {
            return Ok(());
        }
        let wanted = columns(class);
        let there = to.find_by_ids(class, &ids, None, wanted.as_deref(), &FindHints::default()).await?;
        let mut there: BTreeMap<String, Object> =
            there.iter().map(|row| (row.object_id().to_owned(), stored(row, class))).collect();
        for row in page.iter() {
            let id = row.object_id();
            match there.remove(id) {
                None => report.different.add(format!("{} {id}: not there", class.name)),
                Some(object) => {
                    let here = stored(row, class);
                    if let Some(field) = first_difference(&here, &object) {
                        report.different.add(format!("{} {id}: {field}", class.name));
                    }
                }
            }
        }
        done += ids.len() as u64;
        tell(Progress::Verified { class: &class.name, done, total });
        if (ids.len() as u64) < PAGE {
            return Ok(());
        }
        last = Some(newest);
    }
}

/// The first field in which two objects differ.
fn first_difference<'o>(here: &'o Object, there: &'o Object) -> Option<&'o str> {
    let differs = |name: &&String| {
        let (a, b) = (here.get(*name), there.get(*name));
        !json_equals(a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null))
    };
    here.keys().chain(there.keys()).find(differs).map(String::as_str)
}

pub(super) async fn files(from: &dyn FileStore, to: &dyn FileStore, report: &mut Report) -> Result<()> {
    let mut listed = from.list();
    while let Some(file) = listed.try_next().await.map_err(Error::internal)? {
        match to.stat(&file.name).await {
            Ok(there) if there.size == file.size => {}
            Ok(there) => {
                let text = format!("file {}: {} bytes here, {} there", file.name, file.size, there.size);
                report.different.add(text);
            }
            Err(error) => report.different.add(format!("file {}: {error}", file.name)),
        }
    }
    Ok(())
}
