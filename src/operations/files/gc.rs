//! Files that nothing refers to any more (parse-server never removes any).
//!
//! A file is referred to when its name stands anywhere in any text of the database, see [`references`]. One
//! that is not is first set aside ([`aside`]), and removed by a later run when it was neither referred to nor
//! asked for until then. Files younger than a day are left alone: they may not be attached yet.
//!
//! The listing of the store passes by in batches, each of which is looked up in one pass over the database:
//! memory does not grow with the number of files.
//!
//! [`references`]: super::references

use std::time::{Duration, SystemTime};

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use super::references::References;
use crate::error::{Error, Result};
use crate::files::{FileResult, FileStore, ListedFile, aside};
use crate::storage::StorageAdapter;

/// Younger files are never unused.
pub const GRACE: Duration = Duration::from_secs(DAY);
const DAY: u64 = 24 * 3600;
/// Files that are looked up together: some 50 MB of names.
const BATCH: usize = 200_000;

/// How a run goes.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Only tell.
    pub dry_run: bool,
    /// Younger files are left alone.
    pub grace: Duration,
    /// How long a file stays set aside.
    pub keep: Duration,
}

impl Terms {
    pub fn keeping_days(days: u64) -> Self {
        Self { dry_run: false, grace: GRACE, keep: Duration::from_secs(days.saturating_mul(DAY)) }
    }
}

/// What a run does to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is set aside now.
    Unused,
    /// It had been set aside and is referred to again.
    Restored,
    /// It had been set aside for long.
    Removed,
}

/// Is told name, size and fate of a file, and how it went.
pub type Tell<'a> = &'a mut (dyn FnMut(&str, u64, Fate, FileResult<()>) + Send);

/// One run.
///
/// # Errors
/// What database or listing say; batches that were judged before are done. A single file that cannot be
/// moved or removed is told of and left.
pub async fn collect(
    storage: &dyn StorageAdapter,
    store: &dyn FileStore,
    terms: &Terms,
    tell: Tell<'_>,
) -> Result<()> {
    let now = SystemTime::now();
    // A stream that has ended must not be asked again.
    let mut list = store.list().fuse().boxed();
    loop {
        let batch = next_batch(&mut list, now, terms.grace).await?;
        if batch.is_empty() {
            return Ok(());
        }
        let names = batch.iter().map(|file| aside::original(&file.name).unwrap_or(&file.name));
        let mut references = References::to(names);
        storage.visit_texts(&mut |text| references.look_at(text)).await?;
        for (index, file) in batch.iter().enumerate() {
            let Some(fate) = fate_of(file, references.has(index), now, terms.keep) else { continue };
            let name = aside::original(&file.name).unwrap_or(&file.name);
            let outcome = match fate {
                _ if terms.dry_run => Ok(()),
                Fate::Unused => aside::set(store, name).await,
                Fate::Restored => aside::restore(store, name).await,
                Fate::Removed => store.delete(&file.name).await,
            };
            tell(name, file.size, fate, outcome);
        }
    }
}

/// The next files whose fate is to be found out. A file whose age the store cannot tell has none.
async fn next_batch(
    list: &mut BoxStream<'_, FileResult<ListedFile>>,
    now: SystemTime,
    grace: Duration,
) -> Result<Vec<ListedFile>> {
    let mut batch = Vec::new();
    while batch.len() < BATCH {
        let Some(file) = list.try_next().await.map_err(Error::internal)? else { break };
        let age = file.modified.and_then(|modified| now.duration_since(modified).ok());
        if aside::original(&file.name).is_some() || age.is_some_and(|age| age > grace) {
            batch.push(file);
        }
    }
    Ok(batch)
}

fn fate_of(file: &ListedFile, referred: bool, now: SystemTime, keep: Duration) -> Option<Fate> {
    let age = file.modified.and_then(|modified| now.duration_since(modified).ok());
    match (aside::original(&file.name).is_some(), referred) {
        (true, true) => Some(Fate::Restored),
        (true, false) => age.filter(|age| *age > keep).map(|_| Fate::Removed),
        (false, false) => Some(Fate::Unused),
        (false, true) => None,
    }
}

/// Brings back `names`, or every file that is set aside.
///
/// # Errors
/// What stops the listing.
pub async fn restore(
    store: &dyn FileStore,
    names: &[String],
    tell: &mut (dyn FnMut(&str, FileResult<()>) + Send),
) -> FileResult<()> {
    for name in names {
        tell(name, aside::restore(store, name).await);
    }
    if !names.is_empty() {
        return Ok(());
    }
    let mut list = store.list();
    while let Some(file) = list.try_next().await? {
        if let Some(name) = aside::original(&file.name) {
            tell(name, aside::restore(store, name).await);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates() {
        let now = SystemTime::now();
        let keep = Duration::from_secs(10 * DAY);
        let fate = |name: &str, days: u64, referred| {
            let modified = now.checked_sub(Duration::from_secs(days * DAY));
            fate_of(&ListedFile { name: name.to_owned(), size: 1, modified }, referred, now, keep)
        };
        assert_eq!(fate("a", 2, true), None);
        assert_eq!(fate("a", 2, false), Some(Fate::Unused));
        // However old: first it is set aside.
        assert_eq!(fate("a", 2000, false), Some(Fate::Unused));
        assert_eq!(fate(".unused/a", 9, false), None);
        assert_eq!(fate(".unused/a", 11, false), Some(Fate::Removed));
        assert_eq!(fate(".unused/a", 11, true), Some(Fate::Restored));
        let ageless = ListedFile { name: ".unused/a".to_owned(), size: 1, modified: None };
        assert_eq!(fate_of(&ageless, false, now, keep), None);
    }
}
