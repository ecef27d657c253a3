//! Reloads Cloud Code when its files change (`--watch`, for development).
//!
//! Looks at names, sizes and times of the files at short intervals: that works on every file system,
//! network mounts of containers included, and a `cloud` folder is small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use super::CloudEngine;

use crate::types::app_scope::carry;

const EVERY: Duration = Duration::from_millis(500);
/// Enough for any application; a folder with more is not one of Cloud Code.
const MAX_FILES: usize = 20_000;

type Seen = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// The folder to watch for a `cloud` option: the folder itself, or the one the file is in.
pub fn folder_of(cloud: &Path) -> PathBuf {
    if cloud.is_dir() {
        return cloud.to_owned();
    }
    match cloud.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Watches until the engine is gone. Needs a tokio runtime.
pub fn watch(engine: &Arc<dyn CloudEngine>, folder: PathBuf) {
    let engine = Arc::downgrade(engine);
    tokio::spawn(carry(run(engine, folder)));
}

async fn run(engine: Weak<dyn CloudEngine>, folder: PathBuf) {
    let mut loaded = look(&folder).await;
    let mut last = loaded.clone();
    loop {
        tokio::time::sleep(EVERY).await;
        let now = look(&folder).await;
        // An editor at work: wait until two looks agree.
        let settled = now == last;
        last = now;
        if !settled || last == loaded {
            continue;
        }
        loaded.clone_from(&last);
        let Some(engine) = engine.upgrade() else { return };
        match engine.reload().await {
            Ok(()) => tracing::info!(folder = %folder.display(), "Cloud Code was loaded again"),
            Err(error) => tracing::error!(%error, "Cloud Code could not be loaded again; the old code stays"),
        }
    }
}

async fn look(folder: &Path) -> Seen {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || files(&folder)).await.unwrap_or_default()
}

fn files(folder: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A folder that vanished meanwhile has no files.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let hidden = name.to_string_lossy().starts_with('.') || name == "node_modules";
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() && !hidden {
                folders.push(entry.path());
            } else if data.is_file() && !hidden {
                seen.insert(entry.path(), (data.len(), data.modified().ok()));
            }
            if seen.len() >= MAX_FILES {
                return seen;
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_show_and_dependencies_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("main.js", "1");
        let first = files(folder.path());
        assert_eq!(first.len(), 1);
        write("node_modules/a/index.js", "1");
        write(".git/HEAD", "1");
        assert_eq!(files(folder.path()), first);
        write("lib/deep.js", "1");
        assert_eq!(files(folder.path()).len(), 2);
        write("main.js", "longer");
        assert_ne!(files(folder.path()).get(&folder.path().join("main.js")), first.values().next());
        assert_eq!(folder_of(&folder.path().join("main.js")), folder.path());
        assert_eq!(folder_of(folder.path()), folder.path());
        assert_eq!(folder_of(Path::new("main.js")), Path::new("."));
    }
}
