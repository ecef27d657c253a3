//! Uploads into GridFS: one chunk in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::raw::RawDocumentBuf;
use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, Document, doc};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;

use super::{CHUNK, Head, Shared};
use crate::files::crypt::Encryptor;
use crate::files::{FileError, FileInfo, FileResult, NewFile, Upload};
use crate::storage::mongo::layout::plain::plain_document;

/// Well below the time after which an upload counts as abandoned.
const SIGN_OF_LIFE: Duration = Duration::from_secs(300);

pub(super) struct GridFsUpload {
    shared: Arc<Shared>,
    file: NewFile,
    id: ObjectId,
    encryptor: Option<Encryptor>,
    buffer: BytesMut,
    /// Chunks that are in the database.
    sent: i32,
    /// Bytes stored so far, those of the buffer included.
    stored: u64,
    touched: Instant,
    /// Something may be in the database that has to be taken back.
    dirty: bool,
}

impl GridFsUpload {
    pub(super) fn new(shared: Arc<Shared>, file: NewFile) -> Self {
        let encryptor = shared.key.as_ref().map(Encryptor::new);
        Self {
            shared,
            file,
            id: ObjectId::new(),
            encryptor,
            buffer: BytesMut::new(),
            sent: 0,
            stored: 0,
            touched: Instant::now(),
            dirty: false,
        }
    }

    async fn insert(&self, collection: &str, document: Document) -> FileResult<()> {
        let raw = RawDocumentBuf::try_from(&document).map_err(FileError::store)?;
        let collection = self.shared.db().collection::<RawDocumentBuf>(collection);
        self.shared.core.timed(collection.insert_one(raw)).await.map_err(FileError::store)?;
        Ok(())
    }

    async fn touch(&mut self) -> FileResult<()> {
        let now = doc! { "$set": { "touched": DateTime::now() } };
        let uploads = self.shared.uploads();
        let touching = uploads.update_one(doc! { "_id": self.id }, now).upsert(true);
        self.shared.core.timed(touching).await.map_err(FileError::store)?;
        self.touched = Instant::now();
        Ok(())
    }

    /// Sends the front of the buffer as the next chunk.
    async fn send(&mut self, length: usize) -> FileResult<()> {
        if self.sent == 0 {
            self.dirty = true;
            self.touch().await?;
        } else if self.touched.elapsed() > SIGN_OF_LIFE {
            self.touch().await?;
        }
        let bytes = self.buffer.split_to(length).to_vec();
        let data = Binary { subtype: BinarySubtype::Generic, bytes };
        let chunk = doc! { "_id": ObjectId::new(), "files_id": self.id, "n": self.sent, "data": data };
        self.insert("fs.chunks", chunk).await?;
        self.sent = self.sent.checked_add(1).ok_or(FileError::Store("too many chunks".into()))?;
        Ok(())
    }

    async fn send_full(&mut self) -> FileResult<()> {
        while self.buffer.len() >= CHUNK {
            self.send(CHUNK).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> FileResult<FileInfo> {
        if let Some(encryptor) = self.encryptor.take() {
            let trailer = encryptor.trailer();
            self.buffer.extend_from_slice(&trailer);
            self.stored += trailer.len() as u64;
        }
        self.send_full().await?;
        if !self.buffer.is_empty() {
            self.send(self.buffer.len()).await?;
        }
        let uploaded = DateTime::now();
        let mut document = doc! {
            "_id": self.id,
            "length": i64::try_from(self.stored).unwrap_or(i64::MAX),
            "chunkSize": i32::try_from(CHUNK).unwrap_or(i32::MAX),
            "uploadDate": uploaded,
            "filename": self.file.name.as_str(),
        };
        if let Some(content_type) = &self.file.content_type {
            document.insert("contentType", content_type.as_str());
        }
        if !self.file.metadata.is_empty() {
            document.insert("metadata", plain_document(&self.file.metadata));
        }
        if !self.file.tags.is_empty() {
            document.insert("tags", plain_document(&self.file.tags));
        }
        self.insert("fs.files", document).await?;
        self.dirty = false;
        let (shared, id) = (self.shared.clone(), self.id);
        // It is stored; what is left to do may fail.
        let tidy = async {
            shared.remove(shared.others(&self.file.name, Some(id)).await?).await?;
            let uploads = shared.uploads();
            let noted = uploads.delete_one(doc! { "_id": id });
            shared.core.timed(noted).await.map_err(FileError::store).map(drop)
        };
        if let Err(error) = tidy.await {
            tracing::warn!(%error, "could not remove what an upload replaced");
        }
        let head = Head {
            id: self.id.into(),
            stored: self.stored,
            chunk_size: CHUNK as u64,
            content_type: self.file.content_type.clone(),
            modified: Some(uploaded.to_system_time()),
        };
        Ok(head.info(&self.shared))
    }
}

async fn discard(shared: Arc<Shared>, id: ObjectId) {
    let gone = async {
        shared.core.timed(shared.chunks().delete_many(doc! { "files_id": id })).await?;
        shared.core.timed(shared.uploads().delete_one(doc! { "_id": id })).await
    };
    if let Err(error) = gone.await {
        tracing::warn!(%error, "could not take back an upload; a later start removes it");
    }
}

impl Upload for GridFsUpload {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async move {
            // In pieces, so that no more than a chunk is in memory.
            for piece in chunk.chunks(CHUNK) {
                let from = self.buffer.len();
                self.buffer.extend_from_slice(piece);
                if let (Some(encryptor), Some(fresh)) = (&mut self.encryptor, self.buffer.get_mut(from..)) {
                    encryptor.update(fresh);
                }
                self.stored += piece.len() as u64;
                self.send_full().await?;
            }
            Ok(())
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, FileResult<FileInfo>> {
        Box::pin(async move { self.finish().await })
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if std::mem::take(&mut self.dirty) {
                discard(self.shared.clone(), self.id).await;
            }
        })
    }
}

impl Drop for GridFsUpload {
    fn drop(&mut self) {
        if self.dirty
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(discard(self.shared.clone(), self.id));
        }
    }
}
