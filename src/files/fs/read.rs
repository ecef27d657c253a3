//! Reading: a range, piece by piece.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::SystemTime;

use bytes::Bytes;

use super::PIECE;
use crate::files::crypt::{Decryptor, Key, OVERHEAD};
use crate::files::range::ByteRange;
use crate::files::{FileError, FileInfo, FileResult};

/// A version of a file on disk: device, inode, seconds and nanoseconds of its time, length.
pub type Version = (u64, u64, i64, i64, u64);

/// A stored file, and what is known of it without reading it.
pub struct Opened {
    pub file: File,
    pub size: u64,
    pub trailer: [u8; OVERHEAD],
    pub version: Version,
    pub modified: Option<SystemTime>,
}

impl Opened {
    pub fn info(&self) -> FileInfo {
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
pub struct Pieces {
    pub opened: Opened,
    decryptor: Option<Decryptor>,
    at: u64,
    end: u64,
}

impl Pieces {
    /// # Errors
    /// When the key is none for the file.
    pub fn new(opened: Opened, key: Option<&Key>, range: Option<ByteRange>) -> FileResult<Self> {
        let range = range.unwrap_or(ByteRange::whole(opened.size));
        let decryptor = key.map(|key| Decryptor::at(key, &opened.trailer, range.start)).transpose()?;
        Ok(Self { opened, decryptor, at: range.start, end: range.end() })
    }

    /// Whether all of the range was read.
    pub fn is_done(&self) -> bool {
        self.at == self.end
    }

    /// # Errors
    /// When the file is shorter than it was.
    pub fn next_piece(&mut self) -> FileResult<Option<Bytes>> {
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
