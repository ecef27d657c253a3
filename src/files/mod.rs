//! Where the bytes of `Parse.File`s live: one trait, one file per store.
//!
//! Called by the file routes (`http`), by the command line (`files rotate-key`, `files gc`) and by whoever
//! writes a file's URL into an answer. Depends on nothing but [`crate::error`].
//!
//! | Module | Owns |
//! |---|---|
//! | [`fs`], `s3`, `gcs` | the stores; the one in a database is the storage adapter's own |
//! | [`config`] | the option `filesAdapter` and the environment, turned into a store description |
//! | [`crypt`] | AES-256-GCM in parse-server's layout, streamed |
//! | [`name`], [`rules`], [`mime`] | what may be uploaded under which name |
//! | [`headers`], [`range`] | what a download answers |
//! | [`private`] | signed addresses of private files |
//! | `of_app` | the store, the rules and the addresses of one application |
//! | [`aside`] | files that wait for their removal |
//! | [`rotate`] | key rotation over any store |
//!
//! Rules every store keeps: no whole file in memory ([`WINDOW`]); an upload that is not committed is never
//! visible and leaves nothing behind; a committed one is durable; a reader that has started sees one version
//! of the file or an error, never a mixture.

pub mod aside;
#[cfg(any(feature = "s3", feature = "gcs"))]
mod carrier;
pub mod config;
pub mod crypt;
pub mod fs;
#[cfg(feature = "gcs")]
pub mod gcs;
pub mod headers;
pub mod mime;
pub mod name;
mod of_app;
pub mod private;
pub mod range;
pub mod rotate;
pub mod rules;
#[cfg(feature = "s3")]
pub mod s3;

use std::fmt;
use std::pin::Pin;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde_json::{Map, Value};

use crate::error::{BoxError, Error, ErrorCode};
use crate::types::percent::encode_component;
use crypt::Key;
pub use of_app::{FileUrls, Files};
use range::ByteRange;

/// Bytes that travel as one piece between a client and a store.
pub const WINDOW: usize = 64 * 1024;

pub type FileResult<T> = std::result::Result<T, FileError>;
pub type ByteStream = Pin<Box<dyn Stream<Item = FileResult<Bytes>> + Send>>;

/// Why a store could not do it.
#[derive(Debug)]
pub enum FileError {
    NotFound,
    /// The stored bytes are not what was written: wrong key, changed content, missing part.
    Corrupt(&'static str),
    /// The name cannot exist in this store.
    InvalidName,
    /// The store cannot do this at all.
    Unsupported(&'static str),
    /// The range starts behind the end of a file of this size.
    RangeNotSatisfiable {
        size: u64,
    },
    /// An adapter of the application's own refused; the text is meant for clients, the code too if it has
    /// one.
    Adapter {
        code: Option<i32>,
        message: String,
    },
    /// Configuration that cannot work; the text is for the administrator.
    Config(String),
    /// The store failed.
    Store(BoxError),
}

impl FileError {
    pub fn store(source: impl Into<BoxError>) -> Self {
        Self::Store(source.into())
    }

    /// What an upload answers: 130 `Could not store file: <name>.`, while the cause goes to the log, or the
    /// words of the application's own adapter.
    pub fn on_save(&self, name: &str) -> Error {
        if let Self::Adapter { code, message } = self {
            return Error::parse(code.map_or(ErrorCode::FILE_SAVE_ERROR, ErrorCode), message.clone());
        }
        Error::parse(ErrorCode::FILE_SAVE_ERROR, format!("Could not store file: {name}."))
    }

    /// What a removal answers: 153 `Could not delete file.`, or the error that the application chose.
    pub fn on_delete(&self) -> Error {
        if let Self::Adapter { code: Some(code), message } = self {
            return Error::parse(ErrorCode(*code), message.clone());
        }
        Error::parse(ErrorCode::FILE_DELETE_ERROR, "Could not delete file.")
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("file not found"),
            Self::Corrupt(what) => write!(f, "stored file is damaged: {what}"),
            Self::InvalidName => f.write_str("file name is impossible in this store"),
            Self::Unsupported(what) => write!(f, "not supported by this store: {what}"),
            Self::RangeNotSatisfiable { size } => write!(f, "range outside of {size} bytes"),
            Self::Adapter { message, .. } => write!(f, "file adapter: {message}"),
            Self::Config(text) => f.write_str(text),
            Self::Store(source) => write!(f, "file store: {source}"),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

impl From<std::io::Error> for FileError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound,
            _ => Self::Store(Box::new(error)),
        }
    }
}

/// What is known about a file before its bytes arrive.
#[derive(Clone, Debug, Default)]
pub struct NewFile {
    /// Final name, directory included.
    pub name: String,
    pub content_type: Option<String>,
    pub metadata: Map<String, Value>,
    pub tags: Map<String, Value>,
}

/// A file as a store knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct FileInfo {
    /// Bytes of the content, as a client sees it.
    pub size: u64,
    /// The type it was stored with, where the store keeps one.
    pub content_type: Option<String>,
    /// Strong validator without quotes: equal only for equal content.
    pub etag: Option<String>,
    pub modified: Option<SystemTime>,
}

/// An opened file. `stream` yields exactly `range`, or fails; its end is never early.
pub struct FileReader {
    pub info: FileInfo,
    /// First byte and length that `stream` yields.
    pub range: ByteRange,
    pub stream: ByteStream,
}

/// One entry of [`FileStore::list`].
#[derive(Clone, Debug, PartialEq)]
pub struct ListedFile {
    pub name: String,
    pub size: u64,
    pub modified: Option<SystemTime>,
}

/// An upload under way. Dropping it without [`Upload::commit`] leaves nothing behind.
pub trait Upload: Send {
    /// Takes the next bytes. Returns when the store is ready for more: this is the back-pressure.
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, FileResult<()>>;
    /// Makes the file visible and durable.
    fn commit(self: Box<Self>) -> BoxFuture<'static, FileResult<FileInfo>>;
    /// Takes everything back and waits for it, where dropping would do so in the background.
    fn abort(self: Box<Self>) -> BoxFuture<'static, ()>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Ranges are read without reading the rest.
    pub ranges: bool,
    /// Metadata given at upload can be read again.
    pub metadata: bool,
    /// [`FileStore::list`] works.
    pub list: bool,
    /// The store encrypts with a key of its own, so that rotation makes sense.
    pub encryption: bool,
}

/// Who asks for a file's address.
#[derive(Clone, Copy, Debug)]
pub struct Mount<'a> {
    /// `publicServerURL`, or the URL the server is mounted at, without a slash at the end.
    pub server: &'a str,
    pub app_id: &'a str,
}

/// A place where files live.
pub trait FileStore: Send + Sync + 'static {
    /// Short name for logs: `fs`, `postgres`, `s3`, `gcs`.
    fn kind(&self) -> &'static str;

    fn capabilities(&self) -> Capabilities;

    /// Run once before the first request: folders, buckets, left-overs of killed uploads.
    fn prepare(&self) -> BoxFuture<'_, FileResult<()>>;

    /// Starts an upload. A file of the same name is replaced when (and only when) it commits.
    fn begin(&self, file: NewFile) -> BoxFuture<'_, FileResult<Box<dyn Upload>>>;

    /// Opens a file. `wanted` is resolved against its size.
    fn open<'a>(
        &'a self,
        name: &'a str,
        wanted: Option<range::Wanted>,
    ) -> BoxFuture<'a, FileResult<FileReader>>;

    fn stat<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<FileInfo>>;

    /// Metadata given at upload; `None` where the store keeps none.
    fn metadata<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<Option<Map<String, Value>>>>;

    /// Removes a file. `NotFound` where the store can tell.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<()>>;

    /// Gives a file another name and the present as its time of modification; never in place of another
    /// file. `NotFound` where there is none.
    fn rename<'a>(&'a self, _from: &'a str, _to: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async { Err(FileError::Unsupported("renaming")) })
    }

    /// The address clients get. Never waits: it is called for every file of every answer.
    fn location(&self, mount: Mount<'_>, name: &str) -> String;

    /// What is wrong with a name that a client gave, by the store's own rules. `None`: it has none, those of
    /// [`name::validate`] hold.
    fn validate_name<'a>(&'a self, _name: &'a str) -> Option<BoxFuture<'a, FileResult<Option<Error>>>> {
        None
    }

    /// The name a new file gets, asked when everything else was added to it.
    fn key_of(&self, name: String) -> BoxFuture<'_, FileResult<String>> {
        Box::pin(async { Ok(name) })
    }

    /// Addresses that take waiting for, in the order of `names`. `None`: [`FileStore::location`] tells them.
    fn locate<'a>(
        &'a self,
        _mount: Mount<'a>,
        _names: &'a [String],
    ) -> Option<BoxFuture<'a, FileResult<Vec<String>>>> {
        None
    }

    /// Every committed file, those set aside included, in the store's own order, a page at a time. A file
    /// that comes or goes meanwhile may be missing.
    fn list(&self) -> BoxStream<'_, FileResult<ListedFile>>;

    /// Rewrites one file from `old` (none: plain) to the store's present key (none: plain), at once for
    /// readers. `Ok(false)`: it has the present key already.
    fn rotate<'a>(&'a self, name: &'a str, old: Option<&'a Key>) -> BoxFuture<'a, FileResult<bool>>;
}

/// `<server>/files/<app id>/<name>`, each segment percent-encoded as by `encodeURIComponent`.
pub(crate) fn server_location(mount: Mount<'_>, name: &str) -> String {
    let mut url = format!("{}/files/{}/", mount.server.trim_end_matches('/'), mount.app_id);
    for (i, segment) in name.split('/').enumerate() {
        if i > 0 {
            url.push('/');
        }
        url.extend(encode_component(segment));
    }
    url
}

/// What a rename answers that would replace another file.
pub(crate) fn name_is_taken() -> FileError {
    FileError::Store("there is a file of that name".into())
}

/// How long a store outside of this process may keep silent.
pub(crate) const STALLED: std::time::Duration = std::time::Duration::from_secs(30);

/// Fails instead of ending early or late: a store that truncates must not look like a shorter file.
pub(crate) fn exact(stream: ByteStream, len: u64) -> ByteStream {
    use futures_util::stream::{StreamExt, unfold};
    unfold(Some((stream, len)), |state| async move {
        let (mut stream, left) = state?;
        let torn = || Some((Err(FileError::Store("the store sent another length".into())), None));
        let next = tokio::time::timeout(STALLED, stream.next()).await;
        let next = next.unwrap_or_else(|_| Some(Err(FileError::Store("the store stopped sending".into()))));
        match next {
            None if left == 0 => None,
            None => torn(),
            Some(Err(error)) => Some((Err(error), None)),
            Some(Ok(chunk)) if chunk.len() as u64 > left => torn(),
            Some(Ok(chunk)) => {
                let left = left - chunk.len() as u64;
                Some((Ok(chunk), Some((stream, left))))
            }
        }
    })
    .boxed()
}
