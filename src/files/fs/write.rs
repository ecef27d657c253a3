//! Writing: to a hidden file beside the destination, which is renamed over it at the end.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::read::Opened;
use super::{PIECE, blocking};
use crate::files::crypt::{Encryptor, Key, OVERHEAD};
use crate::files::{FileError, FileInfo, FileResult, Upload};

/// Removes the temporary file unless it was renamed.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = fs::remove_file(path);
        }
    }
}

/// New content on its way into the folder.
pub struct Sink {
    file: File,
    temporary: Temporary,
    path: PathBuf,
    encryptor: Option<Encryptor>,
    size: u64,
}

impl Sink {
    pub fn new(file: File, temporary: PathBuf, path: PathBuf, key: Option<&Key>) -> Self {
        Self {
            file,
            temporary: Temporary(Some(temporary)),
            path,
            encryptor: key.map(Encryptor::new),
            size: 0,
        }
    }

    /// # Errors
    /// When the disk refuses it.
    pub fn write(&mut self, data: &[u8]) -> FileResult<()> {
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
    ///
    /// # Errors
    /// When the disk refuses it.
    pub fn finish(mut self, modified: Option<SystemTime>) -> FileResult<FileInfo> {
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
pub struct FsUpload {
    sink: Option<Box<Sink>>,
    waiting: Vec<Bytes>,
    bytes: usize,
}

impl FsUpload {
    pub fn new(sink: Sink) -> Self {
        Self { sink: Some(Box::new(sink)), waiting: Vec::new(), bytes: 0 }
    }

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
