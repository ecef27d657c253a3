//! Files in PostgreSQL, the default where objects live there: nothing to configure, one backup, and every
//! node sees every file.
//!
//! A file is a row of `parsimony.file` and its content, cut into [`CHUNK`]s, rows of `parsimony.file_chunk`
//! (see `migrations/*_files`). No statement carries more than one chunk and no connection is held between
//! two of them, so a slow client costs memory for one chunk and nothing in the database. An upload becomes
//! visible by one UPDATE; until then it is a row without a version, which [`upload`] removes when the upload
//! is dropped, and [`FileStore::prepare`] when the process was killed.
//!
//! Encrypted files: each chunk is `ciphertext ‖ IV ‖ tag` as in [`super::crypt`], authenticated together with
//! the file's id, its own number and whether it is the last one: chunks cannot be changed, exchanged,
//! reordered or cut off, and ranges are authentic without reading the rest. Plain files carry a SHA-256 that
//! every complete read checks before its last chunk is handed out.

mod digest;
mod reader;
mod statement;
mod upload;

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Text};
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use self::statement::{Bind, PgRow, Statement, column, required};
use super::crypt::Key;
use super::range::Wanted;
use super::{
    Capabilities, FileError, FileInfo, FileReader, FileResult, FileStore, ListedFile, NewFile, Place, Upload,
    WINDOW, name, name_is_taken,
};

/// Content bytes of one row.
pub const CHUNK: usize = 4 * WINDOW;
const PAGE: i64 = 1000;

/// A connection, for as long as one statement takes.
pub trait Lent: Deref<Target = AsyncPgConnection> + Send {
    /// While it is set, the connection must not be given to anybody else as it is.
    fn set_dirty(&mut self, _dirty: bool) {}
}

pub type Connection = Box<dyn Lent>;

/// Where connections come from: whoever owns the pool implements it.
pub trait ConnectionSource: Send + Sync + 'static {
    fn connection(&self) -> BoxFuture<'_, FileResult<Connection>>;

    /// Whether statements may be prepared; not behind a pooler, where each runs in a transaction of its own.
    fn prepares_statements(&self) -> bool {
        true
    }
}

pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Box<dyn ConnectionSource>,
    app: String,
    key: Option<Key>,
}

impl PostgresStore {
    /// The tables must exist (migrations); files of other `app`s in them are invisible.
    pub fn new(connections: impl ConnectionSource, app: impl Into<String>, key: Option<Key>) -> Self {
        Self { shared: Arc::new(Shared { connections: Box::new(connections), app: app.into(), key }) }
    }
}

impl Shared {
    async fn execute(&self, text: &'static str, binds: Vec<Bind<'_>>) -> FileResult<usize> {
        let mut connection = self.connections.connection().await?;
        let statement = Statement::new(text, binds, self.connections.prepares_statements());
        statement.execute(&mut *connection).await
    }

    async fn load(&self, text: &'static str, binds: Vec<Bind<'_>>) -> FileResult<Vec<PgRow>> {
        let mut connection = self.connections.connection().await?;
        let statement = Statement::new(text, binds, self.connections.prepares_statements());
        statement.load(&mut *connection).await
    }

    async fn stat(&self, name: &str) -> FileResult<(Head, PgRow)> {
        name::check_stored(name)?;
        let rows = self.load(statement::STAT, vec![Bind::Text(&self.app), Bind::Text(name)]).await?;
        let row = rows.into_iter().next().ok_or(FileError::NotFound)?;
        Ok((Head::read(&row)?, row))
    }

    async fn rotate(self: &Arc<Self>, name: &str, old: Option<&Key>) -> FileResult<bool> {
        let (head, row) = self.stat(name).await?;
        if head.key_id == self.key.as_ref().map(Key::fingerprint) {
            return Ok(false);
        }
        if head.key_id != old.map(Key::fingerprint) {
            return Err(FileError::Corrupt("encrypted with another key than the old one"));
        }
        let file = NewFile {
            name: name.to_owned(),
            content_type: head.content_type.clone(),
            metadata: object(&row, 7)?,
            tags: object(&row, 8)?,
        };
        let mut upload = upload::PostgresUpload::replacing(self.clone(), file, head.id);
        let mut stream = reader::whole(self.clone(), head, old.cloned());
        while let Some(chunk) = stream.try_next().await? {
            upload.write(chunk).await?;
        }
        Box::new(upload).commit().await?;
        Ok(true)
    }

    async fn page(&self, after: &str) -> FileResult<Vec<ListedFile>> {
        let binds = vec![Bind::Text(&self.app), Bind::Text(after), Bind::Int8(PAGE)];
        let rows = self.load(statement::LIST, binds).await?;
        rows.iter()
            .map(|row| {
                Ok(ListedFile {
                    name: required::<String, Text>(row, 0)?,
                    size: required::<i64, BigInt>(row, 1)?.unsigned_abs(),
                    modified: Some(time(required::<i64, BigInt>(row, 2)?)),
                })
            })
            .collect()
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
    fn read(row: &PgRow) -> FileResult<Self> {
        let chunk_size = u64::from(required::<i32, Integer>(row, 2)?.unsigned_abs());
        Ok(Self {
            id: required::<i64, BigInt>(row, 0)?,
            size: required::<i64, BigInt>(row, 1)?.unsigned_abs(),
            chunk_size: if chunk_size == 0 {
                return Err(FileError::Corrupt("chunk size"));
            } else {
                chunk_size
            },
            content_type: column::<String, Text>(row, 3)?,
            digest: column::<Vec<u8>, Binary>(row, 4)?,
            key_id: column::<String, Text>(row, 5)?,
            stored_at: time(required::<i64, BigInt>(row, 6)?),
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

fn time(milliseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds.unsigned_abs())
}

fn object(row: &PgRow, index: usize) -> FileResult<Map<String, Value>> {
    match column::<Value, Jsonb>(row, index)? {
        Some(Value::Object(map)) => Ok(map),
        _ => Ok(Map::new()),
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
            let (_, row) = self.shared.stat(name).await?;
            object(&row, 7).map(Some)
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async move {
            name::check_stored(name)?;
            let binds = vec![Bind::Text(&self.shared.app), Bind::Text(name)];
            let rows = self.shared.load(statement::DELETE, binds).await?;
            let row = rows.first().ok_or(FileError::NotFound)?;
            if required::<i64, BigInt>(row, 0)? == 0 { Err(FileError::NotFound) } else { Ok(()) }
        })
    }

    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async move {
            name::check_stored(from)?;
            name::check_stored(to)?;
            let app = self.shared.app.as_str();
            let binds =
                vec![Bind::Text(to), Bind::Text(app), Bind::Text(from), Bind::Text(app), Bind::Text(to)];
            match self.shared.execute(statement::RENAME, binds).await? {
                0 => Err(self.shared.stat(from).await.map_or_else(|error| error, |_| name_is_taken())),
                _ => Ok(()),
            }
        })
    }

    fn location(&self, place: Place<'_>, name: &str) -> String {
        super::server_location(place, name)
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
