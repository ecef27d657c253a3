//! Which calls a host had begun that is dead, or that stands still with its gate closed.
//!
//! A host writes the id of a call into a ring in a file, by a plain system call, before any application
//! code of that call runs. The pages survive the process, so that after its death the server knows
//! exactly what must not be run again: no acknowledgement has to cross the socket for it, and none can
//! be lost in a buffer of the process that died. Of a host that lives the same is known while its gate is
//! closed (`host/watchdog.cjs`): no call begins then.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Entries of the ring; `host/link.cjs` knows the same number.
const ENTRIES: u64 = 65_536;
pub const FILE_SIZE: usize = ENTRIES as usize * 4;

#[derive(Debug)]
pub struct Journal {
    /// `None` where no call goes to another host, so that it does not matter which had begun.
    path: Option<PathBuf>,
}

/// What the journal of a host says.
#[derive(Debug)]
pub struct Begun {
    /// `None` when the journal could not be read: then everything counts as begun.
    ids: Option<HashSet<u32>>,
    sent: u64,
}

impl Journal {
    pub fn new(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    /// Of a host whose calls nobody else can take.
    pub fn none() -> Self {
        Self { path: None }
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Reads the journal after the host has died or paused; `sent` is how many calls it was sent in its life.
    pub fn read(&self, sent: u64) -> Begun {
        let Some(path) = &self.path else { return Begun { ids: None, sent } };
        match read_ids(path) {
            Ok(ids) => Begun { ids: Some(ids), sent },
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "cannot read a Cloud Code journal");
                Begun { ids: None, sent }
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The folder goes away with the pool in any case.
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

fn read_ids(path: &Path) -> io::Result<HashSet<u32>> {
    let bytes = fs::read(path)?;
    Ok(bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|entry| u32::from_le_bytes(*entry))
        .filter(|id| *id != 0)
        .collect())
}

impl Begun {
    /// Whether a call had begun, or may have. `position` is its place among the calls sent.
    pub fn contains(&self, id: u32, position: u64) -> bool {
        // The entry of a call that many others followed may have been overwritten.
        let overwritten = self.sent.saturating_sub(position) >= ENTRIES;
        overwritten || self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(entries: &[u32]) -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let bytes: Vec<u8> = entries.iter().flat_map(|id| id.to_le_bytes()).collect();
        fs::write(&path, bytes).unwrap();
        (folder, Journal::new(path))
    }

    #[test]
    fn only_entries_have_begun() {
        let (_folder, journal) = journal(&[3, 9, 0, 0]);
        let begun = journal.read(10);
        assert!(begun.contains(3, 1));
        assert!(begun.contains(9, 2));
        assert!(!begun.contains(4, 3));
        assert!(!begun.contains(0, 3));
    }

    #[test]
    fn doubt_means_begun() {
        let (_folder, journal) = journal(&[1]);
        assert!(journal.read(ENTRIES + 5).contains(4, 5));
        assert!(!journal.read(ENTRIES + 5).contains(4, 6));
        fs::remove_file(journal.path().unwrap()).unwrap();
        assert!(journal.read(10).contains(4, 9));
        assert!(Journal::none().read(10).contains(4, 9));
    }
}
