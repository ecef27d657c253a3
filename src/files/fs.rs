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

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use percent_encoding::percent_decode_str;
use rand::Rng;
use serde_json::{Map, Value};

use super::crypt::{Decryptor, Encryptor, Key, OVERHEAD, Verifier};
use super::range::{self, ByteRange, Wanted};
use super::{
    Capabilities, FileError, FileInfo, FileReader, FileResult, FileStore, ListedFile, NewFile, Place, Upload,
    WINDOW, aside, name, name_is_taken,
};

/// Uploads under way. The dot keeps them out of parse-server's key rotation.
const TEMPORARY: &str = ".parsimony-upload-";
/// A temporary file nobody wrote to for this long belongs to a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);
/// What one trip to a blocking thread reads or writes.
const PIECE: usize = 4 * WINDOW;
/// File names on disk are limited to this many bytes.
const MAX_ENCODED: usize = 255;
const MAX_VERIFIED: usize = 4096;
/// Folder of the files that are set aside; the dot keeps it out of parse-server's sight.
const ASIDE: &str = ".unused";

/// A version of a file on disk.
type Version = (u64, u64, i64, i64, u64);

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

impl Shared {
    fn path(&self, name: &str) -> FileResult<PathBuf> {
        name::check_stored(name)?;
        let own = aside::original(name);
        let encoded = name::encode_component(own.unwrap_or(name)).to_string();
        if encoded.len() > MAX_ENCODED || encoded.starts_with(TEMPORARY) || encoded == ASIDE {
            return Err(FileError::InvalidName);
        }
        let folder = if own.is_some() { self.folder.join(ASIDE) } else { self.folder.clone() };
        Ok(folder.join(encoded))
    }

    fn rename(&self, from: &Path, to: &Path) -> FileResult<()> {
        let file = File::open(from)?;
        if !file.metadata()?.is_file() {
            return Err(FileError::NotFound);
        }
        // Before it moves: should the move not come about, the file only looks younger.
        File::options().append(true).open(from)?.set_modified(SystemTime::now())?;
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::hard_link(from, to) {
            Ok(()) => fs::remove_file(from)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(name_is_taken()),
            // A file system without links.
            Err(_) if to.exists() => return Err(name_is_taken()),
            Err(_) => fs::rename(from, to)?,
        }
        for folder in [to.parent(), from.parent()].into_iter().flatten() {
            File::open(folder)?.sync_all()?;
        }
        self.leave(from);
        Ok(())
    }

    /// Removes the folder of what is set aside after the last file of it.
    fn leave(&self, path: &Path) {
        if path.parent().is_some_and(|folder| folder.ends_with(ASIDE) && *folder != *self.folder) {
            let _ = fs::remove_dir(self.folder.join(ASIDE));
        }
    }

    /// Opens a regular file and tells its plain size.
    fn open(&self, path: &Path, key: Option<&Key>) -> FileResult<Opened> {
        // Asked before opening: opening a pipe would wait for its other end.
        if !fs::metadata(path)?.is_file() {
            return Err(FileError::NotFound);
        }
        let file = File::open(path)?;
        let meta = file.metadata()?;
        let stored = meta.len();
        let size = match key {
            Some(_) => stored.checked_sub(OVERHEAD as u64).ok_or(FileError::Corrupt("too short"))?,
            None => stored,
        };
        let mut trailer = [0; OVERHEAD];
        if key.is_some() {
            file.read_exact_at(&mut trailer, size)?;
        }
        let version = (meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec(), stored);
        Ok(Opened { file, size, trailer, version, modified: meta.modified().ok() })
    }

    /// Checks the tag of an encrypted file over all of its ciphertext.
    fn verify(&self, opened: &Opened, key: &Key) -> FileResult<()> {
        let own = self.key.as_ref() == Some(key);
        let known = |set: &HashSet<Version>| set.contains(&opened.version);
        if own && known(&self.verified.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut verifier = Verifier::new(key, &opened.trailer, &[]);
        let mut window = vec![0; PIECE];
        let mut at = 0;
        while at < opened.size {
            let take = window.len().min((opened.size - at) as usize);
            opened.file.read_exact_at(&mut window[..take], at)?;
            verifier.update(&window[..take]);
            at += take as u64;
        }
        if !verifier.is_genuine() {
            return Err(FileError::Corrupt("authentication failed"));
        }
        if own {
            let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
            if verified.len() >= MAX_VERIFIED {
                verified.clear();
            }
            verified.insert(opened.version);
        }
        Ok(())
    }

    /// A sink for new content; `key` is what it will be encrypted with.
    fn create(self: &Arc<Self>, path: PathBuf, key: Option<&Key>) -> FileResult<Sink> {
        let mut random = [0; 12];
        rand::rng().fill_bytes(&mut random);
        let temporary = self.folder.join(format!("{TEMPORARY}{}", hex::encode(random)));
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary);
        let file = match open() {
            // parse-server makes the folder again when it has gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder)?;
                open()?
            }
            other => other?,
        };
        Ok(Sink {
            file,
            temporary: Temporary(Some(temporary)),
            path,
            encryptor: key.map(Encryptor::new),
            size: 0,
        })
    }

    fn sweep(&self) -> FileResult<()> {
        fs::create_dir_all(&self.folder)?;
        let now = SystemTime::now();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let ours = entry.file_name().to_str().is_some_and(|n| n.starts_with(TEMPORARY));
            // Another node may be writing to it: only silence tells that it is abandoned.
            let silent = |time| now.duration_since(time).is_ok_and(|age| age > ABANDONED);
            if ours && entry.metadata().and_then(|m| m.modified()).is_ok_and(silent) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn rotate(self: &Arc<Self>, name: &str, old: Option<&Key>) -> FileResult<bool> {
        let path = self.path(name)?;
        if let Some(key) = &self.key
            && let Ok(opened) = self.open(&path, Some(key))
            && self.verify(&opened, key).is_ok()
        {
            return Ok(false);
        }
        let opened = self.open(&path, old)?;
        if let Some(old) = old {
            self.verify(&opened, old)?;
        }
        let mut sink = self.create(path, self.key.as_ref())?;
        let mut reader = Pieces::new(opened, old, None)?;
        let modified = reader.opened.modified;
        while let Some(piece) = reader.next_piece()? {
            sink.write(&piece)?;
        }
        sink.finish(modified)?;
        Ok(true)
    }
}

struct Opened {
    file: File,
    size: u64,
    trailer: [u8; OVERHEAD],
    version: Version,
    modified: Option<SystemTime>,
}

impl Opened {
    fn info(&self) -> FileInfo {
        let (_, inode, seconds, nanos, length) = self.version;
        FileInfo {
            size: self.size,
            content_type: None,
            etag: Some(format!("{inode:x}-{seconds:x}.{nanos:x}-{length:x}")),
            modified: self.modified,
        }
    }
}

/// Reads a range piece by piece, decrypting.
struct Pieces {
    opened: Opened,
    decryptor: Option<Decryptor>,
    at: u64,
    end: u64,
}

impl Pieces {
    fn new(opened: Opened, key: Option<&Key>, range: Option<ByteRange>) -> FileResult<Self> {
        let range = range.unwrap_or(ByteRange::whole(opened.size));
        let decryptor = key.map(|key| Decryptor::at(key, &opened.trailer, range.start)).transpose()?;
        Ok(Self { opened, decryptor, at: range.start, end: range.end() })
    }

    fn next_piece(&mut self) -> FileResult<Option<Bytes>> {
        let take = (self.end - self.at).min(PIECE as u64) as usize;
        if take == 0 {
            return Ok(None);
        }
        // Read to the end of a limit, which fills fresh memory without clearing it first.
        let mut piece = Vec::with_capacity(take);
        let file = &mut self.opened.file;
        file.seek(SeekFrom::Start(self.at))?;
        if file.take(take as u64).read_to_end(&mut piece)? != take {
            return Err(FileError::Corrupt("shorter than it was"));
        }
        if let Some(decryptor) = &mut self.decryptor {
            decryptor.update(&mut piece);
        }
        self.at += take as u64;
        Ok(Some(piece.into()))
    }
}

/// Removes the temporary file unless it was renamed.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = fs::remove_file(path);
        }
    }
}

struct Sink {
    file: File,
    temporary: Temporary,
    path: PathBuf,
    encryptor: Option<Encryptor>,
    size: u64,
}

impl Sink {
    fn write(&mut self, data: &[u8]) -> FileResult<()> {
        self.size += data.len() as u64;
        match &mut self.encryptor {
            None => self.file.write_all(data)?,
            Some(encryptor) => {
                let mut sealed = data.to_vec();
                encryptor.update(&mut sealed);
                self.file.write_all(&sealed)?;
            }
        }
        Ok(())
    }

    /// Syncs content, name and folder, in this order.
    fn finish(mut self, modified: Option<SystemTime>) -> FileResult<FileInfo> {
        if let Some(encryptor) = self.encryptor.take() {
            self.file.write_all(&encryptor.trailer())?;
        }
        if let Some(modified) = modified {
            self.file.set_modified(modified)?;
        }
        self.file.sync_all()?;
        if let Some(temporary) = &self.temporary.0 {
            fs::rename(temporary, &self.path)?;
        }
        self.temporary.0 = None;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        let meta = self.file.metadata()?;
        let version = (meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len());
        let opened = Opened {
            size: self.size,
            trailer: [0; OVERHEAD],
            version,
            modified: meta.modified().ok(),
            file: self.file,
        };
        Ok(opened.info())
    }
}

/// Collects small chunks, so that a trip to a blocking thread is worth it.
struct FsUpload {
    sink: Option<Box<Sink>>,
    waiting: Vec<Bytes>,
    bytes: usize,
}

impl FsUpload {
    async fn flush(&mut self) -> FileResult<()> {
        let mut sink = self.sink.take().ok_or_else(interrupted)?;
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let sink = blocking(move || {
            waiting.iter().try_for_each(|chunk| sink.write(chunk))?;
            Ok(sink)
        })
        .await?;
        self.sink = Some(sink);
        Ok(())
    }
}

impl Upload for FsUpload {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async move {
            self.bytes += chunk.len();
            self.waiting.push(chunk);
            if self.bytes >= PIECE { self.flush().await } else { Ok(()) }
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, FileResult<FileInfo>> {
        Box::pin(async move {
            let mut sink = self.sink.take().ok_or_else(interrupted)?;
            let waiting = std::mem::take(&mut self.waiting);
            blocking(move || {
                waiting.iter().try_for_each(|chunk| sink.write(chunk))?;
                sink.finish(None)
            })
            .await
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(tokio::task::spawn_blocking(move || drop(self)).await) })
    }
}

/// A write failed or was cancelled, and the upload was used again.
fn interrupted() -> FileError {
    FileError::Store("upload was interrupted".into())
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
            let upload = FsUpload { sink: Some(Box::new(sink)), waiting: Vec::new(), bytes: 0 };
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
                if pieces.at == pieces.end {
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
    fn location(&self, place: Place<'_>, name: &str) -> String {
        let server = place.server.trim_end_matches('/');
        format!("{server}/files/{}/{}", place.app_id, name::encode_component(name))
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

impl Shared {
    /// `None` for what is not a stored file.
    fn listed(&self, entry: &fs::DirEntry, prefix: &str) -> FileResult<Option<ListedFile>> {
        let raw = entry.file_name();
        let name = raw.to_str().filter(|n| !n.starts_with('.'));
        let Some(name) = name.and_then(|n| percent_decode_str(n).decode_utf8().ok()) else { return Ok(None) };
        let meta = match entry.metadata() {
            Ok(meta) if meta.is_file() => meta,
            Ok(_) => return Ok(None),
            // Removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let overhead = if self.key.is_some() { OVERHEAD as u64 } else { 0 };
        let modified = meta.modified().ok().filter(|time| *time > UNIX_EPOCH);
        Ok(Some(ListedFile {
            name: format!("{prefix}{name}"),
            size: meta.len().saturating_sub(overhead),
            modified,
        }))
    }
}
