//! Key rotation over any store that encrypts.
//!
//! Every file is rewritten on its own and becomes visible at once, so a run can be stopped at any time and
//! started again: files that have the new key already are recognised and passed over. Mirrors the adapters'
//! `rotateEncryptionKey({oldKey, fileNames})` → `{rotated, notRotated}`.

use futures_util::StreamExt;

use super::crypt::Key;
use super::{FileError, FileResult, FileStore};

/// What became of a file.
#[derive(Debug)]
pub enum Outcome {
    Rotated,
    /// It has the new key already.
    Current,
    Failed(FileError),
}

#[derive(Debug, Default)]
pub struct Report {
    /// Files that have the new key now, those of earlier runs included.
    pub rotated: Vec<String>,
    /// Files that were left as they were, with the reason.
    pub not_rotated: Vec<(String, String)>,
}

/// Rotates `names`, or every file of the store. `old` is the key the files are encrypted with (none: they
/// are plain); the new one is the store's own (none: they become plain). `progress` is told of each file.
///
/// # Errors
/// `Unsupported` for stores without a key of their own; whatever stops the listing. A single file that
/// cannot be rotated is no error: it is in the report.
pub async fn rotate_keys(
    store: &dyn FileStore,
    names: Option<Vec<String>>,
    old: Option<&Key>,
    mut progress: impl FnMut(&str, &Outcome),
) -> FileResult<Report> {
    if !store.capabilities().encryption {
        return Err(FileError::Unsupported("encryption keys"));
    }
    let mut report = Report::default();
    match names {
        Some(names) => {
            for name in names {
                one(store, name, old, &mut report, &mut progress).await;
            }
        }
        None => {
            // Rewriting changes the listing, so it is taken first. Names only: a few bytes per file.
            let mut names = Vec::new();
            let mut list = store.list();
            while let Some(file) = list.next().await {
                names.push(file?.name);
            }
            drop(list);
            for name in names {
                one(store, name, old, &mut report, &mut progress).await;
            }
        }
    }
    Ok(report)
}

async fn one(
    store: &dyn FileStore,
    name: String,
    old: Option<&Key>,
    report: &mut Report,
    progress: &mut impl FnMut(&str, &Outcome),
) {
    let outcome = match store.rotate(&name, old).await {
        Ok(true) => Outcome::Rotated,
        Ok(false) => Outcome::Current,
        Err(error) => Outcome::Failed(error),
    };
    progress(&name, &outcome);
    match outcome {
        Outcome::Failed(error) => report.not_rotated.push((name, error.to_string())),
        _ => report.rotated.push(name),
    }
}
