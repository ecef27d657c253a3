//! Key rotation over any store that encrypts.
//!
//! Every file is rewritten on its own and becomes visible at once, so a run can be stopped at any time and
//! started again: files that have the new key already are recognised and passed over. Mirrors the adapters'
//! `rotateEncryptionKey({oldKey, fileNames})` → `{rotated, notRotated}`.

use futures_util::{StreamExt, TryStreamExt};

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
    pub rotated: usize,
    /// Files that were left as they were.
    pub failed: usize,
    /// Their names with the reason, up to [`MOST_NAMED`].
    pub not_rotated: Vec<(String, String)>,
}

/// Names of failures that are kept; all of them are told while it goes on.
pub const MOST_NAMED: usize = 1_000;
/// Names of files that are in memory at a time.
const PAGE: usize = 500;

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
    let mut run = Run { store, old, total: 0, report: Report::default() };
    match names {
        Some(names) => {
            run.total = names.len();
            run.page(names, &mut progress).await;
        }
        None => {
            run.total = store.list().try_fold(0, |count, _| async move { Ok(count + 1) }).await?;
            // A file that is rewritten may be listed again: then it has the new key already.
            let mut pages = store.list().map_ok(|file| file.name).chunks(PAGE);
            while let Some(page) = pages.next().await {
                let names = page.into_iter().collect::<FileResult<Vec<String>>>()?;
                run.page(names, &mut progress).await;
            }
        }
    }
    Ok(run.report)
}

struct Run<'a> {
    store: &'a dyn FileStore,
    old: Option<&'a Key>,
    total: usize,
    report: Report,
}

impl Run<'_> {
    async fn page(&mut self, names: Vec<String>, progress: &mut impl FnMut(Progress<'_>)) {
        for name in names {
            let outcome = match self.store.rotate(&name, self.old).await {
                Ok(true) => Outcome::Rotated,
                Ok(false) => Outcome::Current,
                Err(error) => Outcome::Failed(error),
            };
            let done = self.report.rotated + self.report.failed + 1;
            progress(Progress { done, total: self.total.max(done), name: &name, outcome: &outcome });
            match outcome {
                Outcome::Rotated | Outcome::Current => self.report.rotated += 1,
                Outcome::Failed(error) => {
                    self.report.failed += 1;
                    if self.report.not_rotated.len() < MOST_NAMED {
                        self.report.not_rotated.push((name, error.to_string()));
                    }
                }
            }
        }
    }
}
