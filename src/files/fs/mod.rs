//! Files in a folder, in the layout of `@parse/fs-files-adapter`: `./files/<filesSubDirectory>/<name>`, the
//! name percent-encoded as by `encodeURIComponent` (so directories are part of a flat name), encrypted or not
//! in the format of [`super::crypt`]. Either server reads what the other wrote.
//!
//! Several nodes may share the folder: an upload goes to a hidden file beside its destination, is synced,
//! renamed over the destination, and the folder is synced; nobody ever sees a part of it. (parse-server
//! writes in place.)
//!
//! Encrypted files are checked before the first byte leaves: their tag stands at the end, so the ciphertext
//! is read twice, once to verify and once to decrypt, with a window's worth of memory. The outcome is kept
//! for as long as the file on disk stays the same (inode, length, time), so that ranges of a large film do
//! not verify it again and again.

mod folder;
mod read;
mod write;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::{Map, Value};

use self::read::{Pieces, Version};
use self::write::FsUpload;
use super::crypt::Key;
use super::range::{self, Wanted};
use super::{
    Capabilities, FileError, FileInfo, FileReader, FileResult, FileStore, ListedFile, Mount, NewFile, Upload,
    WINDOW, aside,
};
use crate::types::percent::encode_component;

/// What one trip to a blocking thread reads or writes.
const PIECE: usize = 4 * WINDOW;
/// Folder of the files that are set aside; the dot keeps it out of parse-server's sight.
const ASIDE: &str = ".unused";

pub struct FsStore {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    key: Option<Key>,
    /// Encrypted files whose tag was found right.
    verified: Mutex<HashSet<Version>>,
}

impl FsStore {
    /// `root` is parse-server's `./files`; `sub_directory` is the option `filesSubDirectory`.
    pub fn new(root: impl Into<PathBuf>, sub_directory: Option<&str>, key: Option<Key>) -> Self {
        let mut folder = root.into();
        if let Some(sub) = sub_directory {
            // As path.join: an absolute sub-directory stays below the root.
            folder.push(sub.trim_start_matches('/'));
        }
        Self { shared: Arc::new(Shared { folder, key, verified: Mutex::default() }) }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> FileResult<T> + Send + 'static) -> FileResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(FileError::store)?
}

impl FileStore for FsStore {
    fn kind(&self) -> &'static str {
        "fs"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { ranges: true, metadata: false, list: true, encryption: true }
    }

    fn prepare(&self) -> BoxFuture<'_, FileResult<()>> {
        let shared = self.shared.clone();
        Box::pin(blocking(move || {
            shared.sweep().map_err(|error| {
                FileError::Config(format!(
                    "The files folder {} cannot be used: {error}",
                    shared.folder.display()
                ))
            })
        }))
    }

    fn begin(&self, file: NewFile) -> BoxFuture<'_, FileResult<Box<dyn Upload>>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let path = shared.path(&file.name)?;
            let sink = blocking(move || shared.create(path, shared.key.as_ref())).await?;
            let upload = FsUpload::new(sink);
            Ok(Box::new(upload) as Box<dyn Upload>)
        })
    }

    fn open<'a>(&'a self, name: &'a str, wanted: Option<Wanted>) -> BoxFuture<'a, FileResult<FileReader>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let path = shared.path(name)?;
            let (info, range, first, pieces) = blocking(move || {
                let key = shared.key.as_ref();
                let opened = shared.open(&path, key)?;
                let (info, range) = (opened.info(), range::resolve(wanted, opened.size)?);
                if let Some(key) = key {
                    shared.verify(&opened, key)?;
                }
                let mut pieces = Pieces::new(opened, key, Some(range))?;
                let first = pieces.next_piece()?;
                Ok((info, range, first, pieces))
            })
            .await?;
            let rest = stream::try_unfold(pieces, |mut pieces| async move {
                if pieces.is_done() {
                    return Ok(None);
                }
                blocking(move || Ok(pieces.next_piece()?.map(|piece| (piece, pieces)))).await
            });
            let stream = stream::iter(first.map(Ok)).chain(rest).boxed();
            Ok(FileReader { info, range, stream })
        })
    }

    fn stat<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<FileInfo>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let path = shared.path(name)?;
            blocking(move || Ok(shared.open(&path, shared.key.as_ref())?.info())).await
        })
    }

    fn metadata<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, FileResult<Option<Map<String, Value>>>> {
        Box::pin(async { Ok(None) })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<()>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let path = shared.path(name)?;
            blocking(move || {
                fs::remove_file(&path)?;
                shared.leave(&path);
                Ok(())
            })
            .await
        })
    }

    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, FileResult<()>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let (from, to) = (shared.path(from)?, shared.path(to)?);
            blocking(move || shared.rename(&from, &to)).await
        })
    }

    /// As the peer's adapter does, `/` of a directory is percent-encoded too.
    fn location(&self, mount: Mount<'_>, name: &str) -> String {
        let server = mount.server.trim_end_matches('/');
        format!("{server}/files/{}/{}", mount.app_id, encode_component(name))
    }

    fn list(&self) -> BoxStream<'_, FileResult<ListedFile>> {
        let (sender, receiver) = tokio::sync::mpsc::channel(256);
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || {
            let send = |item| sender.blocking_send(item).is_ok();
            for (folder, prefix) in [(shared.folder.clone(), ""), (shared.folder.join(ASIDE), aside::PREFIX)]
            {
                match fs::read_dir(&folder) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && !prefix.is_empty() => {}
                    Err(error) => drop(send(Err(error.into()))),
                    Ok(entries) => {
                        let items = entries.filter_map(|entry| {
                            entry.map_err(FileError::from).and_then(|e| shared.listed(&e, prefix)).transpose()
                        });
                        if !items.into_iter().all(send) {
                            return;
                        }
                    }
                }
            }
        });
        stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed()
    }

    fn rotate<'a>(&'a self, name: &'a str, old: Option<&'a Key>) -> BoxFuture<'a, FileResult<bool>> {
        let (shared, name, old) = (self.shared.clone(), name.to_owned(), old.cloned());
        Box::pin(blocking(move || shared.rotate(&name, old.as_ref())))
    }
}
