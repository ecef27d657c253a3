//! Files in GridFS, in parse-server's layout: `fs.files` and `fs.chunks` of the database, without the prefix of
//! collections, chunks of 255 KB, with a key `ciphertext ‖ IV ‖ tag` over the whole file.
//!
//! An upload is chunks that nobody sees until its document is in `fs.files`; `_parsimony_uploads` knows the ones under
//! way, so that those of killed servers are found ([`FileStore::prepare`]). A name has its newest document; older
//! ones of the same name go when a new one is there.
//!
//! The tag of an encrypted file covers all of it, so the file is read once to check it before the first byte is handed
//! out. Files that npm parse-server wrote are marked in no way: with a key, every file counts as encrypted.

mod reader;
mod upload;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bson::oid::ObjectId;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{DateTime, doc};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use mongodb::{Collection, Database, IndexModel};
use serde_json::{Map, Value};

use super::layout::rest_json;
use super::{Core, MongoAdapter};
use crate::files::crypt::{Key, OVERHEAD};
use crate::files::range::Wanted;
use crate::files::{
    Capabilities, FileError, FileInfo, FileReader, FileResult, FileStore, ListedFile, Mount, NewFile, Upload,
    name, name_is_taken, server_location,
};
use crate::storage::FileStoreProvider;
use crate::storage::mongo::error::{INDEX_DIFFERS, code};
use crate::types::time::Millis;

/// Bytes of a chunk, the drivers' default.
pub const CHUNK: usize = 255 * 1024;
/// Uploads without a sign of life for so long are left-overs.
const ABANDONED: Duration = Duration::from_secs(3600);
const PAGE: i64 = 1000;

struct GridFs {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    key: Option<Key>,
}

impl FileStoreProvider for MongoAdapter {
    fn file_store(&self, _app: &str, key: Option<Key>) -> Arc<dyn FileStore> {
        Arc::new(GridFs { shared: Arc::new(Shared { core: self.core.clone(), key }) })
    }
}

impl Shared {
    fn db(&self) -> &Database {
        &self.core.db
    }

    fn files(&self) -> Collection<RawDocumentBuf> {
        self.db().collection("fs.files")
    }

    fn chunks(&self) -> Collection<RawDocumentBuf> {
        self.db().collection("fs.chunks")
    }

    fn uploads(&self) -> Collection<RawDocumentBuf> {
        self.db().collection(&self.core.full_name("_parsimony_uploads"))
    }

    /// The newest document of a name.
    async fn newest(&self, name: &str) -> FileResult<RawDocumentBuf> {
        name::check_stored(name)?;
        let files = self.files();
        let newest = files.find_one(doc! { "filename": name }).sort(doc! { "uploadDate": -1, "_id": -1 });
        let found = self.core.timed(newest).await.map_err(FileError::store)?;
        found.ok_or(FileError::NotFound)
    }

    async fn head(&self, name: &str) -> FileResult<Head> {
        Head::read(&self.newest(name).await?)
    }

    /// Removes documents of `fs.files`, then what they were made of.
    async fn remove(&self, ids: Vec<bson::Bson>) -> FileResult<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let (files, chunks) = (self.files(), self.chunks());
        let gone = files.delete_many(doc! { "_id": { "$in": ids.clone() } });
        self.core.timed(gone).await.map_err(FileError::store)?;
        let gone = chunks.delete_many(doc! { "files_id": { "$in": ids } });
        self.core.timed(gone).await.map_err(FileError::store)?;
        Ok(())
    }

    /// Documents of a name, but for one.
    async fn others(&self, name: &str, but: Option<ObjectId>) -> FileResult<Vec<bson::Bson>> {
        let mut filter = doc! { "filename": name };
        if let Some(but) = but {
            filter.insert("_id", doc! { "$ne": but });
        }
        let files = self.files();
        let found = files.find(filter).projection(doc! { "_id": 1 });
        let mut cursor = self.core.timed(found).await.map_err(FileError::store)?;
        let mut ids = Vec::new();
        while self.core.timed(cursor.advance()).await.map_err(FileError::store)? {
            if let Ok(Some(id)) = cursor.current().get("_id") {
                ids.extend(bson::Bson::try_from(id).ok());
            }
        }
        Ok(ids)
    }

    async fn prepare(&self) -> FileResult<()> {
        // The drivers make the same, so that either finds what it wants.
        let by_name = IndexModel::builder().keys(doc! { "filename": 1, "uploadDate": 1 }).build();
        let unique = mongodb::options::IndexOptions::builder().unique(true).build();
        let by_place = IndexModel::builder().keys(doc! { "files_id": 1, "n": 1 }).options(unique).build();
        for (made, of) in [
            (self.files().create_index(by_name).await, "fs.files"),
            (self.chunks().create_index(by_place).await, "fs.chunks"),
        ] {
            match made {
                Err(error) if code(&error).is_some_and(|code| INDEX_DIFFERS.contains(&code)) => {}
                Err(error) => tracing::warn!(%error, "an index of {of} could not be made"),
                Ok(_) => {}
            }
        }
        let since = Millis::now().0 - i64::try_from(ABANDONED.as_millis()).unwrap_or_default();
        let old = doc! { "touched": { "$lt": DateTime::from_millis(since) } };
        let mut cursor = self.core.timed(self.uploads().find(old)).await.map_err(FileError::store)?;
        let mut left = Vec::new();
        while self.core.timed(cursor.advance()).await.map_err(FileError::store)? {
            left.extend(cursor.current().get_object_id("_id").ok());
        }
        for id in left {
            // The file may be there, when the server died between its last two steps.
            let (files, chunks, uploads) = (self.files(), self.chunks(), self.uploads());
            let there = files.count_documents(doc! { "_id": id });
            if self.core.timed(there).await.map_err(FileError::store)? == 0 {
                let gone = chunks.delete_many(doc! { "files_id": id });
                self.core.timed(gone).await.map_err(FileError::store)?;
            }
            let gone = uploads.delete_one(doc! { "_id": id });
            self.core.timed(gone).await.map_err(FileError::store)?;
        }
        Ok(())
    }

    async fn rename(&self, from: &str, to: &str) -> FileResult<()> {
        let head = self.head(from).await?;
        if !self.others(to, None).await?.is_empty() {
            return Err(name_is_taken());
        }
        let renamed = doc! { "$set": { "filename": to, "uploadDate": DateTime::now() } };
        let files = self.files();
        let renaming = files.update_one(doc! { "_id": head.id.clone(), "filename": from }, renamed);
        let done = self.core.timed(renaming).await.map_err(FileError::store)?;
        if done.matched_count == 0 {
            return Err(FileError::NotFound);
        }
        self.remove(self.others(from, None).await?).await
    }

    async fn page(&self, after: &str) -> FileResult<Vec<ListedFile>> {
        let newest = [
            doc! { "$match": { "filename": { "$gt": after } } },
            doc! { "$sort": { "filename": 1, "uploadDate": 1 } },
            doc! { "$group": {
                "_id": "$filename", "length": { "$last": "$length" }, "uploadDate": { "$last": "$uploadDate" },
            } },
            doc! { "$sort": { "_id": 1 } },
            doc! { "$limit": PAGE },
        ];
        let files = self.files();
        let found = files.aggregate(newest).with_type::<RawDocumentBuf>();
        let mut cursor = self.core.timed(found).await.map_err(FileError::store)?;
        let mut page = Vec::new();
        while self.core.timed(cursor.advance()).await.map_err(FileError::store)? {
            let document = cursor.current();
            let Ok(name) = document.get_str("_id") else { continue };
            page.push(ListedFile {
                name: name.to_owned(),
                size: self.content_size(length(document).unwrap_or_default()),
                modified: modified(document),
            });
        }
        Ok(page)
    }

    /// Bytes of the content of so many stored ones.
    fn content_size(&self, stored: u64) -> u64 {
        if self.key.is_some() { stored.saturating_sub(OVERHEAD as u64) } else { stored }
    }

    async fn rotate(self: &Arc<Self>, name: &str, old: Option<&Key>) -> FileResult<bool> {
        let document = self.newest(name).await?;
        let head = Head::read(&document)?;
        let is_ours = match &self.key {
            Some(key) => reader::is_genuine(self, &head, key).await?,
            None => false,
        };
        if is_ours {
            return Ok(false);
        }
        let was_encrypted = match old {
            Some(old) => reader::is_genuine(self, &head, old).await?,
            None => false,
        };
        match (was_encrypted, old, &self.key) {
            // Plain, as it shall be.
            (false, _, None) => return Ok(false),
            (false, Some(_), Some(_)) => {
                return Err(FileError::Corrupt("encrypted with another key than the old one"));
            }
            _ => {}
        }
        let file = NewFile {
            name: name.to_owned(),
            content_type: head.content_type.clone(),
            metadata: metadata(&document, "metadata"),
            tags: metadata(&document, "tags"),
        };
        let mut upload = upload::GridFsUpload::new(self.clone(), file);
        let mut content = reader::content(self.clone(), head, old.filter(|_| was_encrypted).cloned());
        while let Some(chunk) = content.try_next().await? {
            upload.write(chunk).await?;
        }
        Box::new(upload).commit().await?;
        Ok(true)
    }
}

fn length(document: &RawDocument) -> Option<u64> {
    let length = rest_json::number(document.get("length").ok()??)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some(length.max(0.0) as u64)
}

fn modified(document: &RawDocument) -> Option<SystemTime> {
    Some(document.get_datetime("uploadDate").ok()?.to_system_time())
}

fn metadata(document: &RawDocument, key: &str) -> Map<String, Value> {
    match document.get(key) {
        Ok(Some(RawBsonRef::Document(metadata))) => rest_json::object(metadata),
        _ => Map::new(),
    }
}

/// A document of `fs.files`.
#[derive(Clone, Debug)]
struct Head {
    id: bson::Bson,
    stored: u64,
    chunk_size: u64,
    content_type: Option<String>,
    modified: Option<SystemTime>,
}

impl Head {
    fn read(document: &RawDocument) -> FileResult<Self> {
        let damaged = || FileError::Corrupt("its document");
        let id = document.get("_id").ok().flatten().and_then(|id| bson::Bson::try_from(id).ok());
        let chunk_size = document.get("chunkSize").ok().flatten().and_then(rest_json::number);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let chunk_size = chunk_size.filter(|size| *size >= 1.0).ok_or_else(damaged)? as u64;
        Ok(Self {
            id: id.ok_or_else(damaged)?,
            stored: length(document).ok_or_else(damaged)?,
            chunk_size,
            content_type: document.get_str("contentType").ok().map(str::to_owned),
            modified: modified(document),
        })
    }

    fn info(&self, shared: &Shared) -> FileInfo {
        let id = match &self.id {
            bson::Bson::ObjectId(id) => id.to_hex(),
            other => other.to_string(),
        };
        FileInfo {
            size: shared.content_size(self.stored),
            content_type: self.content_type.clone(),
            // The documents of files are never changed.
            etag: Some(id.chars().filter(char::is_ascii_alphanumeric).collect()),
            modified: self.modified,
        }
    }
}

impl FileStore for GridFs {
    fn kind(&self) -> &'static str {
        "gridfs"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { ranges: true, metadata: true, list: true, encryption: true }
    }

    fn prepare(&self) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(self.shared.prepare())
    }

    fn begin(&self, file: NewFile) -> BoxFuture<'_, FileResult<Box<dyn Upload>>> {
        Box::pin(async move {
            name::check_stored(&file.name)?;
            Ok(Box::new(upload::GridFsUpload::new(self.shared.clone(), file)) as Box<dyn Upload>)
        })
    }

    fn open<'a>(&'a self, name: &'a str, wanted: Option<Wanted>) -> BoxFuture<'a, FileResult<FileReader>> {
        Box::pin(reader::open(self.shared.clone(), name, wanted))
    }

    fn stat<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<FileInfo>> {
        Box::pin(async move { Ok(self.shared.head(name).await?.info(&self.shared)) })
    }

    fn metadata<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<Option<Map<String, Value>>>> {
        Box::pin(async move { Ok(Some(metadata(&self.shared.newest(name).await?, "metadata"))) })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async move {
            name::check_stored(name)?;
            let ids = self.shared.others(name, None).await?;
            if ids.is_empty() {
                return Err(FileError::NotFound);
            }
            self.shared.remove(ids).await
        })
    }

    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async move {
            name::check_stored(from)?;
            name::check_stored(to)?;
            self.shared.rename(from, to).await
        })
    }

    fn location(&self, mount: Mount<'_>, name: &str) -> String {
        server_location(mount, name)
    }

    fn list(&self) -> BoxStream<'_, FileResult<ListedFile>> {
        let pages = stream::try_unfold(Some(String::new()), move |after| async move {
            let Some(after) = after else { return Ok::<_, FileError>(None) };
            let page = self.shared.page(&after).await?;
            let next = page.last().filter(|_| page.len() as i64 == PAGE).map(|file| file.name.clone());
            Ok(Some((stream::iter(page.into_iter().map(Ok)), next)))
        });
        pages.try_flatten().boxed()
    }

    fn rotate<'a>(&'a self, name: &'a str, old: Option<&'a Key>) -> BoxFuture<'a, FileResult<bool>> {
        Box::pin(async move { self.shared.rotate(name, old).await })
    }
}
