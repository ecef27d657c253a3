//! The folder: where a file is in it, and what is done there on a blocking thread.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::percent_decode_str;
use rand::Rng;

use super::read::{Opened, Pieces, Version};
use super::write::Sink;
use super::{ASIDE, PIECE, Shared};
use crate::files::crypt::{Key, OVERHEAD, Verifier};
use crate::files::{FileError, FileResult, ListedFile, aside, name, name_is_taken};
use crate::types::percent::encode_component;

/// Uploads under way. The dot keeps them out of parse-server's key rotation.
const TEMPORARY: &str = ".parsimony-upload-";
/// A temporary file nobody wrote to for this long belongs to a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);
/// File names on disk are limited to this many bytes.
const MAX_ENCODED: usize = 255;
const MAX_VERIFIED: usize = 4096;

impl Shared {
    pub fn path(&self, name: &str) -> FileResult<PathBuf> {
        name::check_stored(name)?;
        let own = aside::original(name);
        let encoded = encode_component(own.unwrap_or(name)).to_string();
        if encoded.len() > MAX_ENCODED || encoded.starts_with(TEMPORARY) || encoded == ASIDE {
            return Err(FileError::InvalidName);
        }
        let folder = if own.is_some() { self.folder.join(ASIDE) } else { self.folder.clone() };
        Ok(folder.join(encoded))
    }

    pub fn rename(&self, from: &Path, to: &Path) -> FileResult<()> {
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
    pub fn leave(&self, path: &Path) {
        if path.parent().is_some_and(|folder| folder.ends_with(ASIDE) && *folder != *self.folder) {
            let _ = fs::remove_dir(self.folder.join(ASIDE));
        }
    }

    /// Opens a regular file and tells its plain size.
    pub fn open(&self, path: &Path, key: Option<&Key>) -> FileResult<Opened> {
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
    pub fn verify(&self, opened: &Opened, key: &Key) -> FileResult<()> {
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
    pub fn create(self: &Arc<Self>, path: PathBuf, key: Option<&Key>) -> FileResult<Sink> {
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
        Ok(Sink::new(file, temporary, path, key))
    }

    pub fn sweep(&self) -> FileResult<()> {
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

    pub fn rotate(self: &Arc<Self>, name: &str, old: Option<&Key>) -> FileResult<bool> {
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

    /// `None` for what is not a stored file.
    pub fn listed(&self, entry: &fs::DirEntry, prefix: &str) -> FileResult<Option<ListedFile>> {
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
