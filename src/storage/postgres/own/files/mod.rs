//! Files in PostgreSQL, the default where objects live there: nothing to configure, one backup, and every
//! node sees every file.
//!
//! A file is a row of `parsimony.file` and its content, cut into [`CHUNK`]s, rows of `parsimony.file_chunk`
//! (see `migrations/*_files`). No statement carries more than one chunk and no connection is held between
//! two of them, so a slow client costs memory for one chunk and nothing in the database. An upload becomes
//! visible by one UPDATE; until then it is a row without a version, which [`upload`] removes when the upload
//! is dropped, and [`FileStore::prepare`] when the process was killed.
//!
//! Encrypted files: each chunk is `ciphertext ‖ IV ‖ tag` as in [`crate::files::crypt`], authenticated together with
//! the file's id, its own number and whether it is the last one: chunks cannot be changed, exchanged,
//! reordered or cut off, and ranges are authentic without reading the rest. Plain files carry a hash that
//! every complete read checks before its last chunk is handed out.

mod digest;
mod reader;
mod statement;
mod upload;

use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, not, now};
use diesel::prelude::*;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use crate::files::crypt::Key;
use crate::files::range::Wanted;
use crate::files::{
    Capabilities, FileError, FileInfo, FileReader, FileResult, FileStore, ListedFile, Mount, NewFile, Upload,
    WINDOW, name, name_is_taken, server_location,
};
use crate::storage::postgres::own::schema::parsimony::file;
use crate::storage::postgres::sql::{Bind, Sql, with_bytes};
use crate::storage::postgres::{Core, PostgresAdapter};
use crate::storage::{FileStoreProvider, StorageResult};

/// Content bytes of one row.
pub const CHUNK: usize = 4 * WINDOW;
const PAGE: i64 = 1000;

struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    app: String,
    key: Option<Key>,
}

impl FileStoreProvider for PostgresAdapter {
    fn file_store(&self, app: &str, key: Option<Key>) -> Arc<dyn FileStore> {
        let shared = Shared { core: self.core.clone(), app: app.to_owned(), key };
        Arc::new(PostgresStore { shared: Arc::new(shared) })
    }
}

/// Runs `$work` with an executor `$db` on a pooled connection, held for this one statement.
macro_rules! on_pool {
    ($shared:expr, |$db:ident| $work:expr) => {{
        let core = &*$shared.core;
        let run = async {
            let conn = core.lanes.get().await?;
            let $db = core.executor(&conn);
            let outcome: StorageResult<_> = $work.await;
            outcome
        };
        run.await.map_err(FileError::store)
    }};
}
use on_pool;

/// What a file's row says about it, but for what its author said.
type HeadColumns =
    (file::id, file::size, file::chunk_size, file::content_type, file::digest, file::key_id, file::stored_at);
const HEAD: HeadColumns =
    (file::id, file::size, file::chunk_size, file::content_type, file::digest, file::key_id, file::stored_at);

type HeadRow = (i64, i64, i32, Option<String>, Option<Vec<u8>>, Option<String>, DateTime<Utc>);

impl Shared {
    /// One of the statements that are text.
    async fn execute(&self, text: &str, binds: Vec<Bind>) -> FileResult<u64> {
        on_pool!(self, |db| db.execute(Sql::filled(text, binds)))
    }

    async fn stat(&self, name: &str) -> FileResult<(Head, Value, Value)> {
        name::check_stored(name)?;
        let named = file::table
            .filter(file::app.eq(&self.app).and(file::name.eq(name)).and(file::version.is_not_null()))
            .order(file::version.desc())
            .limit(1)
            .select((HEAD, file::metadata, file::tags));
        let row: Option<(HeadRow, Value, Value)> = on_pool!(self, |db| db.row(named))?;
        let (head, metadata, tags) = row.ok_or(FileError::NotFound)?;
        Ok((Head::read(head)?, metadata, tags))
    }

    async fn rotate(self: &Arc<Self>, name: &str, old: Option<&Key>) -> FileResult<bool> {
        let (head, metadata, tags) = self.stat(name).await?;
        if head.key_id == self.key.as_ref().map(Key::fingerprint) {
            return Ok(false);
        }
        if head.key_id != old.map(Key::fingerprint) {
            return Err(FileError::Corrupt("encrypted with another key than the old one"));
        }
        let file = NewFile {
            name: name.to_owned(),
            content_type: head.content_type.clone(),
            metadata: object(metadata),
            tags: object(tags),
        };
        let mut upload = upload::PostgresUpload::replacing(self.clone(), file, head.id);
        let mut stream = reader::whole(self.clone(), head, old.cloned());
        while let Some(chunk) = stream.try_next().await? {
            upload.write(chunk).await?;
        }
        Box::new(upload).commit().await?;
        Ok(true)
    }

    /// The names after this one, with the newest version of each.
    async fn page(&self, after: &str) -> FileResult<Vec<ListedFile>> {
        let newest = file::table
            .filter(file::app.eq(&self.app).and(file::name.gt(after)).and(file::version.is_not_null()))
            .distinct_on(file::name)
            .order((file::name, file::version.desc()))
            .limit(PAGE)
            .select((file::name, file::size, file::stored_at));
        let rows: Vec<(String, i64, DateTime<Utc>)> = on_pool!(self, |db| db.rows(newest))?;
        let listed = rows.into_iter().map(|(name, size, stored_at)| ListedFile {
            name,
            size: size.unsigned_abs(),
            modified: Some(stored_at.into()),
        });
        Ok(listed.collect())
    }

    async fn rename(&self, from: &str, to: &str) -> FileResult<()> {
        let taken = diesel::alias!(file as taken);
        let in_the_way = taken.filter(
            taken
                .field(file::app)
                .eq(&self.app)
                .and(taken.field(file::name).eq(to))
                .and(taken.field(file::version).is_not_null()),
        );
        let present = file::app.eq(&self.app).and(file::name.eq(from)).and(file::version.is_not_null());
        let renaming = diesel::update(file::table.filter(present.and(not(exists(in_the_way)))))
            .set((file::name.eq(to), file::stored_at.eq(now)));
        match on_pool!(self, |db| db.run(renaming))? {
            0 => Err(self.stat(from).await.map_or_else(|error| error, |_| name_is_taken())),
            _ => Ok(()),
        }
    }
}

/// The row of a file.
#[derive(Clone)]
struct Head {
    id: i64,
    size: u64,
    chunk_size: u64,
    content_type: Option<String>,
    digest: Option<Vec<u8>>,
    key_id: Option<String>,
    stored_at: SystemTime,
}

impl Head {
    fn read(row: HeadRow) -> FileResult<Self> {
        let (id, size, chunk_size, content_type, digest, key_id, stored_at) = row;
        if chunk_size == 0 {
            return Err(FileError::Corrupt("chunk size"));
        }
        Ok(Self {
            id,
            size: size.unsigned_abs(),
            chunk_size: chunk_size.unsigned_abs().into(),
            content_type,
            digest,
            key_id,
            stored_at: stored_at.into(),
        })
    }

    fn info(&self) -> FileInfo {
        FileInfo {
            size: self.size,
            content_type: self.content_type.clone(),
            etag: Some(format!("{:016x}", self.id)),
            modified: Some(self.stored_at),
        }
    }
}

/// Binds a chunk to its place in its file.
fn place_of(id: i64, number: i32, last: bool) -> [u8; 13] {
    let mut place = [0; 13];
    place[..8].copy_from_slice(&id.to_be_bytes());
    place[8..12].copy_from_slice(&number.to_be_bytes());
    place[12] = last.into();
    place
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl FileStore for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { ranges: true, metadata: true, list: true, encryption: true }
    }

    fn prepare(&self) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async { self.shared.execute(statement::SWEEP, Vec::new()).await.map(drop) })
    }

    fn begin(&self, file: NewFile) -> BoxFuture<'_, FileResult<Box<dyn Upload>>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            name::check_stored(&file.name)?;
            Ok(Box::new(upload::PostgresUpload::new(shared, file)) as Box<dyn Upload>)
        })
    }

    fn open<'a>(&'a self, name: &'a str, wanted: Option<Wanted>) -> BoxFuture<'a, FileResult<FileReader>> {
        Box::pin(reader::open(self.shared.clone(), name, wanted))
    }

    fn stat<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<FileInfo>> {
        Box::pin(async move { Ok(self.shared.stat(name).await?.0.info()) })
    }

    fn metadata<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<Option<Map<String, Value>>>> {
        Box::pin(async move {
            let (_, metadata, _) = self.shared.stat(name).await?;
            Ok(Some(object(metadata)))
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async move {
            name::check_stored(name)?;
            let binds = vec![Bind::Text(self.shared.app.clone()), Bind::Text(name.to_owned())];
            let rows = on_pool!(self.shared, |db| db.load(Sql::filled(statement::DELETE, binds)))?;
            let gone =
                rows.first().and_then(|row| with_bytes(row, 0, |count| count.iter().any(|byte| *byte != 0)));
            if gone == Some(true) { Ok(()) } else { Err(FileError::NotFound) }
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
