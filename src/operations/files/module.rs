//! File stores that are JavaScript: adapters of the application's own, and functions among the options of
//! a built-in store. Both run in a Cloud Code host; contents travel in pieces.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cloud::{AdapterArg, CallbackId, CloudEngine, FileAdapterCall, Flow, Flowed};
use crate::error::{Error, ErrorCode};
use crate::files::config::{BASE_OF_FUNCTION, Functions};
use crate::files::crypt::Key;
use crate::files::range::{self, ByteRange, Wanted};
use crate::files::{
    Capabilities, FileError, FileInfo, FileReader, FileResult, FileStore, ListedFile, Mount, NewFile,
    STALLED, Upload, exact, mime, name,
};

/// The option's name, under which the engine knows the adapter.
pub const ADAPTER: &str = "filesAdapter";
/// Bytes of one piece on its way to a host.
const PIECE: usize = 256 * 1024;
/// How long an adapter may work on a file after its last byte.
const COMMIT: Duration = Duration::from_secs(300);

pub struct JavaScriptStore {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<dyn CloudEngine>,
}

impl JavaScriptStore {
    pub fn new(engine: Arc<dyn CloudEngine>) -> Self {
        Self { shared: Arc::new(Shared { engine }) }
    }

    /// `rotateEncryptionKey` of the adapter with `options` as it takes them: its `{rotated, notRotated}`.
    ///
    /// # Errors
    /// What the adapter throws.
    pub async fn rotate_keys(&self, options: Value) -> FileResult<Value> {
        self.shared.call("rotate", options, Flow::None).await
    }
}

impl Shared {
    fn has(&self, method: &str) -> bool {
        self.engine.registrations().adapter(ADAPTER).is_some_and(|adapter| adapter.methods.contains(method))
    }

    async fn call(&self, method: &'static str, args: Value, flow: Flow) -> FileResult<Value> {
        let call = FileAdapterCall { adapter: ADAPTER.to_owned(), method, args, flow };
        let answer = self.engine.call_file_adapter(call).await.map_err(FileError::store)?;
        let Value::Object(mut answer) = answer else {
            return Err(FileError::Store("unreadable answer of the file adapter".into()));
        };
        match answer.remove("error") {
            Some(error) => Err(refusal(&error)),
            None => Ok(answer.remove("value").unwrap_or(Value::Null)),
        }
    }
}

fn refusal(error: &Value) -> FileError {
    let code = error.get("code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
    let message = error.get("message").and_then(Value::as_str).unwrap_or("The file adapter failed.");
    FileError::Adapter { code, message: message.to_owned() }
}

fn stalled() -> FileError {
    FileError::Store("the file adapter does not go on".into())
}

struct ModuleUpload {
    sender: mpsc::Sender<Option<Bytes>>,
    work: JoinHandle<FileResult<Value>>,
    buffer: BytesMut,
    size: u64,
}

impl ModuleUpload {
    async fn send(&mut self, piece: Option<Bytes>) -> FileResult<()> {
        match tokio::time::timeout(STALLED, self.sender.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            // The adapter ended early: it says why.
            Ok(Err(_)) => match tokio::time::timeout(STALLED, &mut self.work).await {
                Ok(Ok(Err(error))) => Err(error),
                _ => Err(FileError::Store("the file adapter stopped reading".into())),
            },
            Err(_) => Err(stalled()),
        }
    }
}

impl Upload for ModuleUpload {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async move {
            self.size += chunk.len() as u64;
            self.buffer.extend_from_slice(&chunk);
            while self.buffer.len() >= PIECE {
                let piece = self.buffer.split_to(PIECE).freeze();
                self.send(Some(piece)).await?;
            }
            Ok(())
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, FileResult<FileInfo>> {
        Box::pin(async move {
            if !self.buffer.is_empty() {
                let rest = self.buffer.split().freeze();
                self.send(Some(rest)).await?;
            }
            self.send(None).await?;
            let done = tokio::time::timeout(COMMIT, self.work).await.map_err(|_| stalled())?;
            done.map_err(FileError::store)??;
            Ok(FileInfo { size: self.size, content_type: None, etag: None, modified: None })
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Self { sender, work, .. } = *self;
            // An input that closes without its end is an upload broken off.
            drop(sender);
            let _ = tokio::time::timeout(STALLED, work).await;
        })
    }
}

impl Shared {
    fn begin(self: &Arc<Self>, file: NewFile) -> ModuleUpload {
        let (sender, receiver) = mpsc::channel(2);
        let mut options = json!({ "metadata": file.metadata });
        if !file.tags.is_empty() {
            options["tags"] = Value::Object(file.tags);
        }
        let args = json!({ "name": file.name, "contentType": file.content_type, "options": options });
        let shared = self.clone();
        let work = tokio::spawn(async move { shared.call("create", args, Flow::Input(receiver)).await });
        ModuleUpload { sender, work, buffer: BytesMut::new(), size: 0 }
    }

    async fn open(self: &Arc<Self>, name: &str, wanted: Option<Wanted>) -> FileResult<FileReader> {
        name::check_stored(name)?;
        let asked = wanted.map(|wanted| match wanted {
            Wanted::FromTo(from, to) => format!("bytes={from}-{to}"),
            Wanted::From(from) => format!("bytes={from}-"),
            Wanted::Last(count) => format!("bytes=-{count}"),
        });
        let args = json!({ "name": name, "range": asked, "contentType": mime::type_of(name) });
        let (sender, mut receiver) = mpsc::channel(2);
        let shared = self.clone();
        let mut work = tokio::spawn(async move { shared.call("read", args, Flow::Output(sender)).await });
        let head = tokio::select! {
            biased;
            head = tokio::time::timeout(STALLED, receiver.recv()) => head.map_err(|_| stalled())?,
            ended = &mut work => return Err(match ended {
                Ok(Err(error)) => error,
                _ => FileError::Store("the file adapter gave nothing".into()),
            }),
        };
        let Some(Flowed::Head { size, start, length }) = head else {
            return Err(match work.await {
                Ok(Err(error)) => error,
                _ => FileError::Store("the file adapter gave nothing".into()),
            });
        };
        let range = range::resolve(wanted, size)?;
        let given = ByteRange { start, len: length };
        if given.start > range.start || given.end() < range.end() {
            return Err(FileError::Store("the file adapter gave another range".into()));
        }
        let pieces = stream::unfold((receiver, work), |(mut receiver, work)| async move {
            match receiver.recv().await {
                Some(Flowed::Data(data)) => Some((Ok(data), (receiver, work))),
                Some(Flowed::Head { .. }) => {
                    Some((Err(FileError::Store("two heads".into())), (receiver, work)))
                }
                None => None,
            }
        });
        // Adapters without ranges give the whole file.
        let stream = cut(exact(pieces.boxed(), given.len), range.start - given.start, range.len);
        let info = FileInfo { size, content_type: None, etag: None, modified: None };
        Ok(FileReader { info, range, stream })
    }
}

/// `len` bytes of the stream after the first `skip`.
fn cut(stream: crate::files::ByteStream, skip: u64, len: u64) -> crate::files::ByteStream {
    stream
        .scan((skip, len), |(skip, len), piece| {
            let piece = match piece {
                Err(error) => Some(Err(error)),
                // Read on to the end: only then is it known to be complete.
                Ok(mut piece) => {
                    let front = (*skip).min(piece.len() as u64);
                    let mut rest = piece.split_off(front as usize);
                    rest.truncate((*len).min(rest.len() as u64) as usize);
                    *skip -= front;
                    *len -= rest.len() as u64;
                    Some(Ok(rest))
                }
            };
            futures_util::future::ready(piece)
        })
        .filter(|piece| futures_util::future::ready(!matches!(piece, Ok(piece) if piece.is_empty())))
        .boxed()
}

impl FileStore for JavaScriptStore {
    fn kind(&self) -> &'static str {
        "module"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            ranges: true,
            metadata: self.shared.has("getMetadata"),
            list: false,
            encryption: false,
        }
    }

    fn prepare(&self) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async { Ok(()) })
    }

    fn begin(&self, file: NewFile) -> BoxFuture<'_, FileResult<Box<dyn Upload>>> {
        Box::pin(async move {
            name::check_stored(&file.name)?;
            Ok(Box::new(self.shared.begin(file)) as Box<dyn Upload>)
        })
    }

    fn open<'a>(&'a self, name: &'a str, wanted: Option<Wanted>) -> BoxFuture<'a, FileResult<FileReader>> {
        Box::pin(self.shared.open(name, wanted))
    }

    fn stat<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<FileInfo>> {
        Box::pin(async move {
            name::check_stored(name)?;
            let size = self.shared.call("size", json!({ "name": name }), Flow::None).await?;
            let size = size.as_u64().ok_or(FileError::Store("no size".into()))?;
            Ok(FileInfo { size, content_type: None, etag: None, modified: None })
        })
    }

    fn metadata<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<Option<Map<String, Value>>>> {
        Box::pin(async move {
            name::check_stored(name)?;
            if !self.shared.has("getMetadata") {
                return Ok(None);
            }
            let found = self.shared.call("metadata", json!({ "name": name }), Flow::None).await?;
            Ok(found.get("metadata").and_then(Value::as_object).cloned())
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async move {
            name::check_stored(name)?;
            self.shared.call("remove", json!({ "name": name }), Flow::None).await.map(drop)
        })
    }

    /// Where this server would serve it; [`FileStore::locate`] asks the adapter.
    fn location(&self, mount: Mount<'_>, name: &str) -> String {
        crate::files::server_location(mount, name)
    }

    fn validate_name<'a>(&'a self, name: &'a str) -> Option<BoxFuture<'a, FileResult<Option<Error>>>> {
        self.shared.has("validateFilename").then(|| {
            async move {
                let wrong = self.shared.call("validate", json!({ "name": name }), Flow::None).await?;
                Ok((!wrong.is_null()).then(|| wrong_name(&wrong)))
            }
            .boxed()
        })
    }

    fn locate<'a>(
        &'a self,
        mount: Mount<'a>,
        names: &'a [String],
    ) -> Option<BoxFuture<'a, FileResult<Vec<String>>>> {
        let args = json!({ "names": names, "mount": mount.server, "applicationId": mount.app_id });
        Some(Box::pin(async move {
            let urls = self.shared.call("locate", args, Flow::None).await?;
            serde_json::from_value(urls).map_err(FileError::store)
        }))
    }

    fn list(&self) -> BoxStream<'_, FileResult<ListedFile>> {
        stream::iter([Err(FileError::Unsupported("listing"))]).boxed()
    }

    fn rotate<'a>(&'a self, _name: &'a str, _old: Option<&'a Key>) -> BoxFuture<'a, FileResult<bool>> {
        Box::pin(async { Err(FileError::Unsupported("rotation of single files")) })
    }
}

fn wrong_name(wrong: &Value) -> Error {
    let code = wrong.get("code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
    let text = wrong.get("message").and_then(Value::as_str).map_or_else(|| wrong.to_string(), str::to_owned);
    Error::parse(code.map_or(ErrorCode::INVALID_FILE_NAME, ErrorCode), text)
}

/// A built-in store with functions among its options.
pub struct WithFunctions {
    store: Arc<dyn FileStore>,
    engine: Arc<dyn CloudEngine>,
    functions: Functions,
}

impl WithFunctions {
    pub fn new(store: Arc<dyn FileStore>, engine: Arc<dyn CloudEngine>, functions: Functions) -> Self {
        Self { store, engine, functions }
    }

    async fn call(&self, function: u32, args: Vec<Value>) -> FileResult<Value> {
        let args = args.into_iter().map(AdapterArg::Json).collect();
        self.engine.call_callback(CallbackId(function), args).await.map_err(|error| match &error {
            Error::Parse { code, message, .. } => {
                FileError::Adapter { code: Some(code.0), message: message.to_string() }
            }
            _ => FileError::store(error),
        })
    }
}

impl FileStore for WithFunctions {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn prepare(&self) -> BoxFuture<'_, FileResult<()>> {
        self.store.prepare()
    }

    fn begin(&self, file: NewFile) -> BoxFuture<'_, FileResult<Box<dyn Upload>>> {
        self.store.begin(file)
    }

    fn open<'a>(&'a self, name: &'a str, wanted: Option<Wanted>) -> BoxFuture<'a, FileResult<FileReader>> {
        self.store.open(name, wanted)
    }

    fn stat<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<FileInfo>> {
        self.store.stat(name)
    }

    fn metadata<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<Option<Map<String, Value>>>> {
        self.store.metadata(name)
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<()>> {
        self.store.delete(name)
    }

    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, FileResult<()>> {
        self.store.rename(from, to)
    }

    fn location(&self, mount: Mount<'_>, name: &str) -> String {
        self.store.location(mount, name)
    }

    fn validate_name<'a>(&'a self, name: &'a str) -> Option<BoxFuture<'a, FileResult<Option<Error>>>> {
        let function = self.functions.validate_filename?;
        Some(Box::pin(async move {
            let wrong = self.call(function, vec![name.into()]).await?;
            Ok(match &wrong {
                Value::Null | Value::Bool(false) => None,
                Value::String(text) if text.is_empty() => None,
                Value::String(text) => Some(Error::parse(ErrorCode::INVALID_FILE_NAME, text.clone())),
                wrong => Some(wrong_name(wrong)),
            })
        }))
    }

    /// The generated key is the file's name from then on, so that it is found again.
    fn key_of(&self, name: String) -> BoxFuture<'_, FileResult<String>> {
        Box::pin(async move {
            let Some(function) = self.functions.generate_key else { return Ok(name) };
            match self.call(function, vec![name.into()]).await? {
                Value::String(key) => name::check_stored(&key).map(|()| key),
                _ => Err(FileError::Adapter { code: None, message: "generateKey gave no text.".into() }),
            }
        })
    }

    fn locate<'a>(
        &'a self,
        mount: Mount<'a>,
        names: &'a [String],
    ) -> Option<BoxFuture<'a, FileResult<Vec<String>>>> {
        let function = self.functions.base_url?;
        Some(Box::pin(async move {
            let config = json!({ "mount": mount.server, "applicationId": mount.app_id });
            let asked = names.iter().map(|name| async {
                let url = self.store.location(mount, name);
                let Some(rest) = url.strip_prefix(BASE_OF_FUNCTION) else { return Ok(url) };
                let base = self.call(function, vec![config.clone(), name.as_str().into()]).await?;
                let base = base.as_str().ok_or_else(|| FileError::Store("baseUrl gave no text".into()))?;
                Ok(format!("{base}{rest}"))
            });
            futures_util::future::try_join_all(asked).await
        }))
    }

    fn list(&self) -> BoxStream<'_, FileResult<ListedFile>> {
        self.store.list()
    }

    fn rotate<'a>(&'a self, name: &'a str, old: Option<&'a Key>) -> BoxFuture<'a, FileResult<bool>> {
        self.store.rotate(name, old)
    }
}
