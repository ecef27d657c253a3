//! Key rotation over any store that encrypts.
//!
//! Every file is rewritten on its own and becomes visible at once, so a run can be stopped at any time and
//! started again: files that have the new key already are recognised and passed over. Mirrors the adapters'
//! `rotateEncryptionKey({oldKey, fileNames})` → `{rotated, notRotated}`.

use futures_util::TryStreamExt;

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

/// One file done.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Files done, this one included.
    pub done: usize,
    pub total: usize,
    pub name: &'a str,
    pub outcome: &'a Outcome,
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
    mut progress: impl FnMut(Progress<'_>),
) -> FileResult<Report> {
    if !store.capabilities().encryption {
        return Err(FileError::Unsupported("encryption keys"));
    }
    let names = match names {
        Some(names) => names,
        // Rewriting changes the listing, so it is taken first. Names only: a few bytes per file.
        None => store.list().map_ok(|file| file.name).try_collect().await?,
    };
    let mut report = Report::default();
    let total = names.len();
    for (done, name) in names.into_iter().enumerate() {
        let outcome = match store.rotate(&name, old).await {
            Ok(true) => Outcome::Rotated,
            Ok(false) => Outcome::Current,
            Err(error) => Outcome::Failed(error),
        };
        progress(Progress { done: done + 1, total, name: &name, outcome: &outcome });
        match outcome {
            Outcome::Failed(error) => report.not_rotated.push((name, error.to_string())),
            Outcome::Rotated | Outcome::Current => report.rotated.push(name),
        }
    }
    Ok(report)
}
