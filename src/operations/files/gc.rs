//! Files that no object refers to any more (parse-server never removes any).
//!
//! A file counts as used when its name stands in a File value at any depth of any object of any class, the
//! config's parameters included, or when any text holds an address of it (`…/files/<app id>/<name>`), since
//! applications keep those too. Files younger than a day are left alone: they may not be attached yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::{FileStore, ListedFile};
use crate::storage::StorageAdapter;
use crate::types::query::{Constraint, Filter, FindSpec, Operand, OrderKey};
use crate::types::{ClassName, ClassSchema, FieldName, FieldType};

/// Younger files are never unused.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);
const PAGE: u64 = 500;

/// The unused files of a store, with their sizes.
///
/// # Errors
/// Whatever store or database say: then nothing may be removed.
pub async fn unused(
    storage: &dyn StorageAdapter,
    store: &dyn FileStore,
    app_id: &str,
    younger_are_used: Duration,
) -> Result<Vec<ListedFile>> {
    let limit = SystemTime::now() - younger_are_used;
    let mut candidates = HashMap::new();
    let mut list = store.list();
    while let Some(file) = list.try_next().await.map_err(Error::internal)? {
        // A store that cannot tell the age cannot be cleaned.
        if file.modified.is_some_and(|modified| modified < limit) {
            candidates.insert(file.name.clone(), file);
        }
    }
    drop(list);
    let marker = format!("/files/{app_id}/");
    for schema in classes(storage).await? {
        if candidates.is_empty() {
            break;
        }
        scan(storage, &schema, &marker, &mut candidates).await?;
    }
    let mut unused: Vec<ListedFile> = candidates.into_values().collect();
    unused.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(unused)
}

async fn classes(storage: &dyn StorageAdapter) -> Result<Vec<Arc<ClassSchema>>> {
    let mut classes = storage.load_schemas().await?;
    let config = ClassName::known("_GlobalConfig");
    if !classes.iter().any(|class| class.name == config) {
        classes.extend(storage.load_schema(&config).await?);
    }
    Ok(classes.into_iter().map(Arc::new).collect())
}

/// Takes out of `candidates` what the class refers to.
async fn scan(
    storage: &dyn StorageAdapter,
    schema: &Arc<ClassSchema>,
    marker: &str,
    candidates: &mut HashMap<String, ListedFile>,
) -> Result<()> {
    let holds = |kind: &FieldType| {
        matches!(kind, FieldType::File | FieldType::Object | FieldType::Array | FieldType::String)
    };
    let columns: Vec<FieldName> = schema
        .fields
        .iter()
        .filter(|(name, field)| holds(&field.ty) && **name != *"objectId")
        .map(|(name, _)| name.clone())
        .collect();
    if columns.is_empty() {
        return Ok(());
    }
    let id = FieldName::known("objectId");
    let mut after: Option<String> = None;
    loop {
        let filter = match after.take() {
            Some(last) => Filter::field(id.clone(), Constraint::Gt(Operand::Text(last))),
            None => Filter::all(),
        };
        let mut spec = FindSpec::new(filter).limit(PAGE);
        spec.order = vec![OrderKey::Field { path: id.clone().into(), descending: false }];
        spec.columns = Some(columns.clone());
        let rows = storage.find(schema, &spec).await?;
        for row in rows.iter() {
            let mut open: Vec<Value> = row.to_object().into_iter().map(|(_, value)| value).collect();
            while let Some(value) = open.pop() {
                match value {
                    Value::String(text) => mark_addresses(&text, marker, candidates),
                    Value::Array(items) => open.extend(items),
                    Value::Object(map) => {
                        if map.get("__type").and_then(Value::as_str) == Some("File")
                            && let Some(name) = map.get("name").and_then(Value::as_str)
                        {
                            candidates.remove(name);
                        }
                        open.extend(map.into_iter().map(|(_, value)| value));
                    }
                    _ => {}
                }
            }
        }
        if (rows.len() as u64) < PAGE {
            return Ok(());
        }
        after = rows.iter().last().map(|row| row.object_id().to_owned());
    }
}

/// Every address of a file in a text.
fn mark_addresses(text: &str, marker: &str, candidates: &mut HashMap<String, ListedFile>) {
    for (at, _) in text.match_indices(marker) {
        let rest = &text[at + marker.len()..];
        let end = rest.find(|c: char| c.is_whitespace() || "?#\"'<>)".contains(c)).unwrap_or(rest.len());
        // Punctuation may be part of the name or of the text around it: both readings count.
        let shorter = rest[..end].trim_end_matches(|c: char| ".,;:!".contains(c)).len();
        for end in [end, shorter] {
            if let Ok(name) = percent_decode_str(&rest[..end]).decode_utf8() {
                candidates.remove(name.as_ref());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_texts() {
        let names = ["a.txt", "d/b c.txt", "d.txt"];
        let file = |name: &str| ListedFile { name: name.to_owned(), size: 0, modified: None };
        let mut candidates: HashMap<String, ListedFile> =
            names.iter().map(|name| ((*name).to_owned(), file(name))).collect();
        let text =
            "<http://h/files/app/a.txt?x=1>, http://h/files/app/d%2Fb%20c.txt, http://h/files/other/d.txt";
        mark_addresses(text, "/files/app/", &mut candidates);
        assert_eq!(candidates.keys().collect::<Vec<_>>(), ["d.txt"]);
    }
}
