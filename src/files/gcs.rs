//! Files in Google Cloud Storage, with the options and the layout of `@parse/gcs-files-adapter`: one object
//! per file, `<bucketPrefix><name>`. The bucket must exist.
//!
//! `object_store` finds the credentials (key file, or the environment's default); the requests are the JSON
//! API's own, as the peer's are, since public objects (`directAccess`) need its `predefinedAcl`. Content
//! goes up in one request where it is small, else in a resumable session, [`CHUNK`] by [`CHUNK`]; nothing
//! is visible before the last of them.

mod client;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::client::Client;
use super::crypt::Key;
use super::range::{self, Wanted};
use super::{
    Capabilities, FileError, FileInfo, FileReader, FileResult, FileStore, ListedFile, Mount, NewFile, Upload,
    aside, exact, name, name_is_taken,
};
use crate::outbound::Outbound;
use crate::types::percent::encode_component;

/// Bytes of one request of a resumable session; a multiple of 256 KiB, as the API demands.
const CHUNK: usize = 2 * 1024 * 1024;
/// What cannot stand in the path of a public address.
const ADDRESS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'%');

/// The options of the adapter, after the environment was applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GcsOptions {
    pub bucket: String,
    pub bucket_prefix: String,
    pub direct_access: bool,
    /// Path of a service account's key file; absent: application default credentials.
    pub key_filename: Option<String>,
    /// Only requests that concern a project as a whole would need it; there are none.
    pub project_id: Option<String>,
    /// Another server that speaks the API (`apiEndpoint`, `STORAGE_EMULATOR_HOST`). Over plain http no
    /// credentials are sent.
    pub endpoint: Option<String>,
}

pub struct GcsStore {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    options: GcsOptions,
}

impl GcsStore {
    /// Touches no network.
    ///
    /// # Errors
    /// `Config` for what cannot work, such as an unreadable key file.
    pub fn new(options: GcsOptions, outbound: Arc<Outbound>) -> FileResult<Self> {
        Ok(Self { shared: Arc::new(Shared { client: Client::new(&options, outbound)?, options }) })
    }
}

/// An object as the API describes it: numbers are text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    name: String,
    size: String,
    content_type: Option<String>,
    generation: Option<String>,
    updated: Option<String>,
}

impl Described {
    fn modified(&self) -> Option<SystemTime> {
        self.updated.as_deref().and_then(|t| DateTime::parse_from_rfc3339(t).ok()).map(SystemTime::from)
    }

    fn info(&self) -> FileResult<FileInfo> {
        Ok(FileInfo {
            size: self.size.parse().map_err(FileError::store)?,
            content_type: self.content_type.clone(),
            // Each upload has a generation of its own.
            etag: self.generation.clone(),
            modified: self.modified(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Vec<Described>,
    next_page_token: Option<String>,
}

impl Shared {
    fn key(&self, name: &str) -> FileResult<String> {
        name::check_stored(name)?;
        Ok(format!("{}{name}", self.options.bucket_prefix))
    }

    /// Path of an object's own resource.
    fn resource(&self, name: &str) -> FileResult<String> {
        let key = self.key(name)?;
        Ok(format!("/storage/v1/b/{}/o/{}", self.options.bucket, encode_component(&key)))
    }

    async fn describe(&self, name: &str) -> FileResult<Described> {
        let response = self.client.get(&self.resource(name)?, &[], None).await?;
        client::json(response).await
    }

    async fn open(&self, name: &str, wanted: Option<Wanted>) -> FileResult<FileReader> {
        let described = self.describe(name).await?;
        let info = described.info()?;
        let range = range::resolve(wanted, info.size)?;
        let mut query = vec![("alt", "media")];
        if let Some(generation) = &described.generation {
            query.push(("generation", generation));
        }
        let part = (range.len < info.size).then(|| format!("bytes={}-{}", range.start, range.end() - 1));
        let response = self.client.get(&self.resource(name)?, &query, part.as_deref()).await?;
        if part.is_some() && response.status != StatusCode::PARTIAL_CONTENT {
            return Err(FileError::Store("the store ignored the range".into()));
        }
        let stream = response.into_stream().map_err(FileError::store).boxed();
        Ok(FileReader { info, range, stream: exact(stream, range.len) })
    }

    /// A copy within the service, then the removal.
    async fn rename(&self, from: &str, to: &str) -> FileResult<()> {
        self.describe(from).await?;
        match self.describe(to).await {
            Err(FileError::NotFound) => {}
            Ok(_) => return Err(name_is_taken()),
            Err(error) => return Err(error),
        }
        let (source, target) = (self.resource(from)?, self.resource(to)?);
        let target = target.strip_prefix("/storage/v1").unwrap_or(&target);
        let mut query = Vec::new();
        if self.options.direct_access && aside::original(to).is_none() {
            query.push(("destinationPredefinedAcl", "publicRead".to_owned()));
        }
        self.client.rewrite(&format!("{source}/rewriteTo{target}"), &query).await?;
        self.client.send(Method::DELETE, &source).await
    }

    async fn page(&self, token: &str) -> FileResult<Page> {
        let path = format!("/storage/v1/b/{}/o", self.options.bucket);
        let mut query = vec![("maxResults", "1000"), ("prefix", self.options.bucket_prefix.as_str())];
        if !token.is_empty() {
            query.push(("pageToken", token));
        }
        client::json(self.client.get(&path, &query, None).await?).await
    }
}

struct GcsUpload {
    shared: Arc<Shared>,
    key: String,
    file: NewFile,
    buffer: BytesMut,
    /// Address of the resumable session, once there is one.
    session: Option<String>,
    /// Bytes the session has.
    sent: u64,
}

impl GcsUpload {
    fn description(&self) -> Value {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let metadata: Map<String, Value> =
            self.file.metadata.iter().map(|(key, value)| (key.clone(), text(value).into())).collect();
        let content_type = self.file.content_type.as_deref().unwrap_or("application/octet-stream");
        json!({ "name": self.key, "contentType": content_type, "metadata": metadata })
    }

    fn query(&self, kind: &'static str) -> Vec<(&'static str, String)> {
        let mut query = vec![("uploadType", kind.to_owned()), ("name", self.key.clone())];
        if self.shared.options.direct_access {
            query.push(("predefinedAcl", "publicRead".to_owned()));
        }
        query
    }

    fn upload_path(&self) -> String {
        format!("/upload/storage/v1/b/{}/o", self.shared.options.bucket)
    }

    /// Sends what is in the buffer up to `bytes`; with `last` the object comes into being.
    async fn send(&mut self, bytes: usize, last: bool) -> FileResult<Option<Described>> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => {
                let (path, query) = (self.upload_path(), self.query("resumable"));
                let session = self.shared.client.start_session(&path, &query, self.description()).await?;
                self.session = Some(session.clone());
                session
            }
        };
        let mut chunk = self.buffer.split_to(bytes).freeze();
        loop {
            let end = self.sent + chunk.len() as u64;
            let total = if last { end.to_string() } else { "*".to_owned() };
            let range = match chunk.is_empty() {
                true => format!("bytes */{total}"),
                false => format!("bytes {}-{}/{total}", self.sent, end - 1),
            };
            match self.shared.client.send_chunk(&session, &range, chunk.clone()).await? {
                client::Progress::Done(response) => {
                    self.session = None;
                    return client::json(response).await.map(Some);
                }
                client::Progress::Has(bytes) => {
                    // The service may take less than it was sent: the rest goes again.
                    if bytes < self.sent || bytes > end || (bytes == self.sent && !chunk.is_empty()) || last {
                        return Err(FileError::Store("the resumable upload lost its place".into()));
                    }
                    chunk = chunk.slice((bytes - self.sent) as usize..);
                    self.sent = bytes;
                    if chunk.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn finish(&mut self) -> FileResult<FileInfo> {
        if self.session.is_some() {
            let described = self.send(self.buffer.len(), true).await?;
            return described.ok_or(FileError::Store("the upload did not end".into()))?.info();
        }
        let content = self.buffer.split().freeze();
        let (path, query) = (self.upload_path(), self.query("multipart"));
        self.shared.client.upload(&path, &query, &self.description(), &content).await?.info()
    }
}

impl Upload for GcsUpload {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async move {
            self.buffer.extend_from_slice(&chunk);
            // Strictly more: the last request must carry something.
            while self.buffer.len() > CHUNK {
                self.send(CHUNK, false).await?;
            }
            Ok(())
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, FileResult<FileInfo>> {
        Box::pin(async move { self.finish().await })
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(session) = self.session.take() {
                self.shared.client.end_session(&session).await;
            }
        })
    }
}

impl Drop for GcsUpload {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let shared = self.shared.clone();
            runtime.spawn(async move { shared.client.end_session(&session).await });
        }
    }
}

impl FileStore for GcsStore {
    fn kind(&self) -> &'static str {
        "gcs"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { ranges: true, metadata: false, list: true, encryption: false }
    }

    fn prepare(&self) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async { Ok(()) })
    }

    fn begin(&self, file: NewFile) -> BoxFuture<'_, FileResult<Box<dyn Upload>>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let key = shared.key(&file.name)?;
            let upload = GcsUpload { shared, key, file, buffer: BytesMut::new(), session: None, sent: 0 };
            Ok(Box::new(upload) as Box<dyn Upload>)
        })
    }

    fn open<'a>(&'a self, name: &'a str, wanted: Option<Wanted>) -> BoxFuture<'a, FileResult<FileReader>> {
        Box::pin(self.shared.open(name, wanted))
    }

    fn stat<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<FileInfo>> {
        Box::pin(async move { self.shared.describe(name).await?.info() })
    }

    fn metadata<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, FileResult<Option<Map<String, Value>>>> {
        Box::pin(async { Ok(None) })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async move { self.shared.client.send(Method::DELETE, &self.shared.resource(name)?).await })
    }

    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(self.shared.rename(from, to))
    }

    fn location(&self, mount: Mount<'_>, name: &str) -> String {
        let options = &self.shared.options;
        if !options.direct_access {
            // As the peer's adapter does, `/` of a directory is percent-encoded too.
            let server = mount.server.trim_end_matches('/');
            return format!("{server}/files/{}/{}", mount.app_id, encode_component(name));
        }
        let key = format!("{}{name}", options.bucket_prefix);
        format!("https://storage.googleapis.com/{}/{}", options.bucket, utf8_percent_encode(&key, ADDRESS))
    }

    fn list(&self) -> BoxStream<'_, FileResult<ListedFile>> {
        let pages = stream::try_unfold(Some(String::new()), move |token| async move {
            let Some(token) = token else { return Ok::<_, FileError>(None) };
            let page = self.shared.page(&token).await?;
            Ok(Some((stream::iter(page.items.into_iter().map(Ok)), page.next_page_token)))
        });
        pages
            .try_flatten()
            .try_filter_map(move |item: Described| async move {
                let prefix = self.shared.options.bucket_prefix.as_str();
                let Some(name) = item.name.strip_prefix(prefix) else { return Ok(None) };
                let modified = item.modified();
                Ok(Some(ListedFile { name: name.to_owned(), size: item.info()?.size, modified }))
            })
            .boxed()
    }

    fn rotate<'a>(&'a self, _name: &'a str, _old: Option<&'a Key>) -> BoxFuture<'a, FileResult<bool>> {
        Box::pin(async { Err(FileError::Unsupported("encryption keys")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_the_adapter_gives_them() {
        let options = GcsOptions {
            bucket: "bucket".into(),
            bucket_prefix: "pre/".into(),
            endpoint: Some("http://127.0.0.1:1".into()),
            ..GcsOptions::default()
        };
        let mount = Mount { server: "http://h/parse", app_id: "app" };
        let at = |options: &GcsOptions| {
            GcsStore::new(options.clone(), Outbound::for_tests()).unwrap().location(mount, "d/a b.txt")
        };
        assert_eq!(at(&options), "http://h/parse/files/app/d%2Fa%20b.txt");
        let direct = GcsOptions { direct_access: true, ..options };
        assert_eq!(at(&direct), "https://storage.googleapis.com/bucket/pre/d/a%20b.txt");
    }

    #[test]
    fn a_missing_key_file_is_a_configuration_error() {
        let options = GcsOptions {
            bucket: "b".into(),
            key_filename: Some("/nowhere/key.json".into()),
            ..GcsOptions::default()
        };
        assert!(matches!(GcsStore::new(options, Outbound::for_tests()), Err(FileError::Config(_))));
    }
}
