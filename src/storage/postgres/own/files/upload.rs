//! Uploads into PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use diesel::dsl::now;
use diesel::prelude::*;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::digest::Digest;
use super::{CHUNK, Head, Shared, on_pool, place_of, statement};
use crate::files::crypt::{self, Key};
use crate::files::{FileError, FileInfo, FileResult, NewFile, Upload};
use crate::storage::StorageResult;
use crate::storage::postgres::own::schema::parsimony::file;
use crate::storage::postgres::sql::Bind;

/// Well below the hour after which an upload counts as abandoned.
const SIGN_OF_LIFE: Duration = Duration::from_secs(300);

pub(super) struct PostgresUpload {
    shared: Arc<Shared>,
    file: NewFile,
    id: i64,
    /// Chunks that are in the database.
    sent: i32,
    buffer: BytesMut,
    size: u64,
    digest: Digest,
    touched: Instant,
    /// The version that must still be the present one at the end.
    replaces: Option<i64>,
    /// Something may be in the database that has to be taken back.
    dirty: bool,
}

impl PostgresUpload {
    pub(super) fn new(shared: Arc<Shared>, file: NewFile) -> Self {
        Self {
            shared,
            file,
            id: rand::random::<i64>() & i64::MAX,
            sent: 0,
            buffer: BytesMut::new(),
            size: 0,
            digest: Digest::new(),
            touched: Instant::now(),
            replaces: None,
            dirty: false,
        }
    }

    pub(super) fn replacing(shared: Arc<Shared>, file: NewFile, replaces: i64) -> Self {
        let mut upload = Self::new(shared, file);
        upload.replaces = Some(replaces);
        upload
    }

    /// What the next row holds.
    fn seal(&mut self, content: Bytes, last: bool) -> FileResult<Bytes> {
        self.size += content.len() as u64;
        match &self.shared.key {
            None => {
                self.digest.update(&content);
                Ok(content)
            }
            Some(key) => {
                let mut sealed = Vec::with_capacity(content.len() + crypt::OVERHEAD);
                sealed.extend_from_slice(&content);
                crypt::encrypt(key, &mut sealed, &place_of(self.id, self.sent, last));
                Ok(sealed.into())
            }
        }
    }

    /// Sends the buffer, which is a chunk. Never the last one of the file: that is for `commit`.
    async fn send(&mut self) -> FileResult<()> {
        let content = std::mem::take(&mut self.buffer).freeze();
        let data = self.seal(content, false)?;
        self.dirty = true;
        if self.sent == 0 {
            let key_id = self.shared.key.as_ref().map(Key::fingerprint);
            let binds = vec![
                Bind::Int8(self.id),
                Bind::Text(self.shared.app.clone()),
                Bind::Text(self.file.name.clone()),
                Bind::Int4(CHUNK as i32),
                Bind::MaybeText(self.file.content_type.clone()),
                json(&self.file.metadata),
                json(&self.file.tags),
                Bind::MaybeText(key_id),
                Bind::Bytes(data),
            ];
            self.shared.execute(statement::START, binds).await?;
        } else {
            let binds = vec![Bind::Int8(self.id), Bind::Int4(self.sent), Bind::Bytes(data)];
            self.shared.execute(statement::CHUNK, binds).await?;
        }
        self.sent = self.sent.checked_add(1).ok_or(FileError::Store("too many chunks".into()))?;
        if self.touched.elapsed() > SIGN_OF_LIFE {
            let under_way = file::table.filter(file::id.eq(self.id).and(file::version.is_null()));
            let touching = diesel::update(under_way).set(file::touched_at.eq(now));
            on_pool!(self.shared, |db| db.run(touching))?;
            self.touched = Instant::now();
        }
        Ok(())
    }

    async fn finish(&mut self) -> FileResult<FileInfo> {
        if self.sent == 0 && self.replaces.is_some() {
            // A conditional replacement goes the long way: an empty row to update.
            self.start_empty().await?;
        }
        let content = self.buffer.split().freeze();
        let data = self.seal(content, true)?;
        let digest = self.shared.key.is_none().then(|| self.digest.finish());
        let size = Bind::Int8(self.size.cast_signed());
        if self.sent == 0 && self.replaces.is_none() {
            let key_id = self.shared.key.as_ref().map(Key::fingerprint);
            let binds = vec![
                Bind::Text(self.shared.app.clone()),
                Bind::Text(self.file.name.clone()),
                Bind::Int8(self.id),
                Bind::Text(self.shared.app.clone()),
                Bind::Text(self.file.name.clone()),
                size,
                Bind::Int4(CHUNK as i32),
                Bind::MaybeText(self.file.content_type.clone()),
                json(&self.file.metadata),
                json(&self.file.tags),
                Bind::MaybeBytes(digest.map(Bytes::from)),
                Bind::MaybeText(key_id),
                Bind::Bytes(data),
            ];
            self.shared.execute(statement::STORE_SMALL, binds).await?;
        } else {
            let any = self.replaces.is_none();
            let binds = vec![
                Bind::Text(self.shared.app.clone()),
                Bind::Text(self.file.name.clone()),
                Bind::Bool(any),
                Bind::MaybeInt8(self.replaces),
                Bind::Int8(self.id),
                Bind::Int8(self.id),
                Bind::Int4(self.sent),
                Bind::Bytes(data),
                size,
                Bind::MaybeBytes(digest.map(Bytes::from)),
                Bind::Int8(self.id),
                Bind::Bool(any),
            ];
            if self.shared.execute(statement::FINISH, binds).await? == 0 {
                return Err(FileError::Store("the upload or what it replaces has gone".into()));
            }
        }
        self.dirty = false;
        let head = Head {
            id: self.id,
            size: self.size,
            chunk_size: CHUNK as u64,
            content_type: self.file.content_type.clone(),
            digest: None,
            key_id: None,
            stored_at: SystemTime::now(),
        };
        Ok(head.info())
    }

    async fn start_empty(&mut self) -> FileResult<()> {
        let row = (
            file::id.eq(self.id),
            file::app.eq(&self.shared.app),
            file::name.eq(&self.file.name),
            file::chunk_size.eq(CHUNK as i32),
            file::content_type.eq(&self.file.content_type),
            file::metadata.eq(Value::Object(self.file.metadata.clone())),
            file::tags.eq(Value::Object(self.file.tags.clone())),
            file::key_id.eq(self.shared.key.as_ref().map(Key::fingerprint)),
        );
        self.dirty = true;
        on_pool!(self.shared, |db| db.run(diesel::insert_into(file::table).values(row))).map(drop)
    }
}

fn json(map: &Map<String, Value>) -> Bind {
    Bind::Jsonb(serde_json::to_string(map).unwrap_or_default())
}

async fn discard(shared: Arc<Shared>, id: i64) {
    let binds = vec![Bind::Int8(id), Bind::Int8(id)];
    if let Err(error) = shared.execute(statement::DISCARD, binds).await {
        tracing::warn!(%error, "could not take back an upload; the next start removes it");
    }
}

impl Upload for PostgresUpload {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async move {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                // Only now: what may be the last chunk waits, since the last one is sealed as such.
                if self.buffer.len() == CHUNK {
                    self.send().await?;
                }
                if self.buffer.capacity() == 0 {
                    // At once what a chunk needs: growing would copy it again and again.
                    self.buffer.reserve(CHUNK);
                }
                let (front, back) = rest.split_at(rest.len().min(CHUNK - self.buffer.len()));
                self.buffer.extend_from_slice(front);
                rest = back;
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

impl Drop for PostgresUpload {
    fn drop(&mut self) {
        if self.dirty
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(discard(self.shared.clone(), self.id));
        }
    }
}
