//! How far a run is, in a file beside the data: what a run that was killed goes on from. The file is never ahead of what
//! the target holds, so that nothing is left out; what is done twice does no harm.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How much of a class is at the target.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Mark {
    /// Objects up to this cursor.
    After(String),
    Done,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Kept {
    /// Of the change feed; changes before it are at the target.
    place: Option<String>,
    classes: BTreeMap<String, Mark>,
}

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct State {
    file: PathBuf,
    kept: Kept,
}

impl State {
    /// What an earlier run left; one that cannot be read is none.
    pub fn load(file: &Path) -> Self {
        let read = std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { file: file.to_owned(), kept: read.unwrap_or_default() }
    }

    pub fn place(&self) -> Option<&str> {
        self.kept.place.as_deref()
    }

    pub fn mark(&self, class: &str) -> Option<&Mark> {
        self.kept.classes.get(class)
    }

    pub fn set_place(&mut self, place: String) -> io::Result<()> {
        self.kept.place = Some(place);
        self.save()
    }

    pub fn set_mark(&mut self, class: &str, mark: Mark) -> io::Result<()> {
        self.kept.classes.insert(class.to_owned(), mark);
        self.save()
    }

    /// Nothing is known any more: everything is looked at again from the new place on.
    pub fn begin(&mut self, place: String) -> io::Result<()> {
        self.kept = Kept { place: Some(place), classes: BTreeMap::new() };
        self.save()
    }

    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %self.file.display(), "the state of the migration stays: {error}");
        }
    }

    fn save(&self) -> io::Result<()> {
        let draft = self.file.with_extension("draft");
        std::fs::write(&draft, serde_json::to_vec(&self.kept)?)?;
        std::fs::rename(&draft, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_again() {
        let file = std::env::temp_dir().join(format!("migrate-state-{:016x}.json", rand::random::<u64>()));
        let mut state = State::load(&file);
        assert!(state.place().is_none() && state.mark("Game").is_none());
        state.begin("p".to_owned()).unwrap();
        state.set_mark("Game", Mark::After("x".to_owned())).unwrap();
        state.set_mark("Other", Mark::Done).unwrap();
        state.set_place("q".to_owned()).unwrap();
        let again = State::load(&file);
        assert_eq!((again.place(), again.mark("Other")), (Some("q"), Some(&Mark::Done)));
        assert_eq!(again.mark("Game"), Some(&Mark::After("x".to_owned())));
        std::fs::write(&file, "{").unwrap();
        assert!(State::load(&file).place().is_none());
        again.remove();
        again.remove();
    }
}
