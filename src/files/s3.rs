//! Files in Amazon S3 and in what speaks its protocol (Spaces, Linode, B2, MinIO, R2).
//!
//! The layout and the options are those of `@parse/s3-files-adapter`: one object per file, key
//! `<bucketPrefix><name>`. Content travels through `object_store`; larger files as multipart uploads whose
//! parts ([`PART`]) are the only bytes held in memory, and which are aborted when an upload is dropped. (A
//! process that is killed leaves its parts to the bucket's lifecycle rule; they are never visible.)
//!
//! `object_store` knows no ACLs. The [`signing`] connector adds that header and signs the request again.

mod signing;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use http::{HeaderName, HeaderValue, Method};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    Attribute, AttributeValue, Attributes, BackoffConfig, ClientOptions, GetOptions, GetRange, GetResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    RetryConfig, TagSet,
};
use serde_json::{Map, Value};
use url::Url;

use self::signing::Signing;
use super::carrier::Carrier;
use super::crypt::Key;
use super::range::{self, ByteRange, Wanted};
use super::{
    Capabilities, FileError, FileInfo, FileReader, FileResult, FileStore, ListedFile, NewFile, Place, Upload,
    exact, name, name_is_taken,
};
use crate::error::ErrorCode;
use crate::outbound::Outbound;

/// Bytes of a part: the smallest S3 takes. All parts but the last have exactly this size (R2 insists).
const PART: usize = 5 * 1024 * 1024;
/// Time for an answer without content, retries included.
const ANSWER: Duration = Duration::from_secs(30);
/// Time for a request that carries up to [`PART`].
const CONTENT: Duration = Duration::from_secs(120);
/// What S3 puts in front of the names of metadata.
const METADATA: &str = "x-amz-meta-";
/// How long a presigned URL lives where nothing is configured: the default of the AWS SDK.
const PRESIGNED_FOR: Duration = Duration::from_secs(900);

/// The options of the adapter, after environment and overrides were applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct S3Options {
    pub bucket: String,
    pub bucket_prefix: String,
    pub region: String,
    /// `None`: environment, web identity, container or instance role, as `object_store` finds them.
    pub credentials: Option<S3Credentials>,
    pub direct_access: bool,
    /// `none` sends no ACL; absent: `public-read` with direct access.
    pub file_acl: Option<String>,
    pub base_url: Option<String>,
    pub base_url_direct: bool,
    pub presigned_url: bool,
    pub presigned_url_expires: Option<Duration>,
    pub global_cache_control: Option<String>,
    /// `AES256` or `aws:kms`.
    pub server_side_encryption: Option<String>,
    pub endpoint: Option<String>,
    pub force_path_style: bool,
}

#[derive(Clone, PartialEq)]
pub struct S3Credentials {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
}

impl std::fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "S3Credentials({}, …)", self.access_key)
    }
}

pub struct S3Store {
    shared: Arc<Shared>,
}

struct Shared {
    store: AmazonS3,
    signing: Signing,
    options: S3Options,
}

impl S3Store {
    /// Touches no network.
    ///
    /// # Errors
    /// `Config` for what cannot work.
    pub fn new(options: S3Options, outbound: Arc<Outbound>) -> FileResult<Self> {
        let wrong = |error: &dyn std::fmt::Display| FileError::Config(format!("S3Adapter: {error}"));
        if options.bucket_prefix.starts_with('/') || options.bucket_prefix.contains("//") {
            return Err(wrong(&"bucketPrefix must not start with \"/\" or contain \"//\""));
        }
        if options.global_cache_control.as_deref().is_some_and(|text| HeaderValue::from_str(text).is_err()) {
            return Err(wrong(&"globalCacheControl cannot be a header"));
        }
        let build = |builder: AmazonS3Builder| builder.build().map_err(|error| wrong(&error));
        let carrier = Carrier::new(outbound);
        // A first client only finds out where credentials come from.
        let finder = builder(&options).with_http_connector(carrier.clone());
        let credentials = build(finder)?.credentials().clone();
        let signing = Signing::new(carrier, credentials.clone(), &options)?;
        let builder = builder(&options).with_credentials(credentials).with_http_connector(signing.clone());
        Ok(Self { shared: Arc::new(Shared { store: build(builder)?, signing, options }) })
    }
}

fn builder(options: &S3Options) -> AmazonS3Builder {
    // Explicit credentials shut out whatever the environment holds.
    let builder = match &options.credentials {
        Some(given) => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(&given.access_key)
                .with_secret_access_key(&given.secret_key);
            match &given.session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
        None => AmazonS3Builder::from_env(),
    };
    let plain = options.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let retry = RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
        max_retries: 3,
        retry_timeout: Duration::from_secs(20),
    };
    let mut builder = builder
        .with_bucket_name(&options.bucket)
        .with_region(&options.region)
        .with_retry(retry)
        .with_client_options(ClientOptions::new().with_allow_http(plain))
        .with_virtual_hosted_style_request(!options.path_style());
    if let Some(endpoint) = options.bucket_endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(kind @ ("AES256" | "aws:kms")) = options.server_side_encryption.as_deref()
        && let Ok(key) = "aws_server_side_encryption".parse::<AmazonS3ConfigKey>()
    {
        builder = builder.with_config(key, kind);
    }
    builder
}

impl S3Options {
    fn acl(&self) -> Option<&str> {
        match self.file_acl.as_deref() {
            Some("none") => None,
            Some(acl) => Some(acl),
            None => self.direct_access.then_some("public-read"),
        }
    }

    /// Whether the bucket is part of the path instead of the host, as the AWS SDK decides.
    fn path_style(&self) -> bool {
        let host = self.endpoint.as_deref().and_then(|endpoint| Url::parse(endpoint).ok());
        let unnamed = host.is_some_and(|url| match url.host() {
            Some(url::Host::Domain(domain)) => !domain.contains('.'),
            _ => true,
        });
        self.force_path_style || self.bucket.contains('.') || unnamed
    }

    /// The endpoint as `object_store` wants it: with the bucket in the host where it belongs there.
    fn bucket_endpoint(&self) -> Option<String> {
        let endpoint = self.endpoint.as_deref()?.trim_end_matches('/');
        match endpoint.split_once("://") {
            Some((scheme, host)) if !self.path_style() => Some(format!("{scheme}://{}.{host}", self.bucket)),
            _ => Some(endpoint.to_owned()),
        }
    }
}

impl Shared {
    fn path(&self, name: &str) -> FileResult<Path> {
        name::check_stored(name)?;
        Path::parse(format!("{}{name}", self.options.bucket_prefix)).map_err(|_| FileError::InvalidName)
    }

    fn presigned(&self, name: &str) -> Option<Url> {
        let path = self.path(name).ok()?;
        let expires = self.options.presigned_url_expires.unwrap_or(PRESIGNED_FOR);
        // Ready at once with keys from the configuration, and with a role's whose token is at hand.
        self.store.signed_url(Method::GET, &path, expires).now_or_never()?.ok()
    }

    async fn get(&self, path: &Path, range: Option<GetRange>) -> FileResult<GetResult> {
        let options = GetOptions { range, ..GetOptions::default() };
        timely(ANSWER, self.store.get_opts(path, options)).await
    }

    async fn open(&self, name: &str, wanted: Option<Wanted>) -> FileResult<FileReader> {
        let path = self.path(name)?;
        let asked = wanted.map(|wanted| match wanted {
            Wanted::FromTo(from, to) => GetRange::Bounded(from..to.saturating_add(1)),
            Wanted::From(from) => GetRange::Offset(from),
            Wanted::Last(count) => GetRange::Suffix(count),
        });
        let result = match self.get(&path, asked).await {
            Ok(result) => result,
            Err(error @ FileError::NotFound) => return Err(error),
            Err(error) => {
                // Perhaps the range lies outside; S3 does not say so in a way that reaches us.
                if let Some(wanted) = wanted {
                    wanted.resolve(timely(ANSWER, self.store.head(&path)).await?.size)?;
                }
                return Err(error);
            }
        };
        let len = result.range.end.saturating_sub(result.range.start);
        let range = ByteRange { start: result.range.start, len };
        // A server that ignores or bends the range must not be believed.
        if range != range::resolve(wanted, result.meta.size)? {
            return Err(FileError::Store("the store answered another range".into()));
        }
        let content_type = result.attributes.get(&Attribute::ContentType).map(|value| value.to_string());
        let info = FileInfo { content_type, ..info(&result.meta) };
        let stream = result.into_stream().map_err(failed).boxed();
        Ok(FileReader { info, range, stream: exact(stream, range.len) })
    }
}

/// Waits for the store, but not for ever.
async fn timely<T>(limit: Duration, work: impl Future<Output = object_store::Result<T>>) -> FileResult<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(failed),
        Err(_) => Err(FileError::Store("the store did not answer in time".into())),
    }
}

fn failed(error: object_store::Error) -> FileError {
    match error {
        object_store::Error::NotFound { .. } => FileError::NotFound,
        other => FileError::store(other),
    }
}

fn info(meta: &ObjectMeta) -> FileInfo {
    FileInfo {
        size: meta.size,
        content_type: None,
        etag: meta.e_tag.as_deref().map(|tag| tag.trim_matches('"').to_owned()),
        modified: Some(SystemTime::from(meta.last_modified)),
    }
}

/// What the client did; the text is for it.
fn unfit(message: String) -> FileError {
    FileError::Adapter { code: Some(ErrorCode::FILE_SAVE_ERROR.0), message }
}

/// Text of a metadata value or tag: S3 knows only strings.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

struct S3Upload {
    shared: Arc<Shared>,
    path: Path,
    attributes: Attributes,
    tags: TagSet,
    waiting: Vec<Bytes>,
    bytes: usize,
    size: u64,
    multipart: Option<Box<dyn MultipartUpload>>,
}

impl S3Upload {
    fn new(shared: Arc<Shared>, file: NewFile) -> FileResult<Self> {
        let path = shared.path(&file.name)?;
        let mut attributes = Attributes::new();
        for (key, value) in &file.metadata {
            // What `object_store` cannot make a header of it answers with a panic.
            let named = HeaderName::from_bytes(format!("{METADATA}{key}").as_bytes());
            let valued = HeaderValue::from_bytes(text(value).as_bytes());
            if key.is_empty() || named.is_err() || valued.is_err() {
                return Err(unfit(format!(
                    "Metadata cannot be stored under this name or with this value: {key:?}"
                )));
            }
        }
        if file.content_type.as_deref().is_some_and(|kind| HeaderValue::from_str(kind).is_err()) {
            return Err(unfit("Invalid content type.".to_owned()));
        }
        if let Some(content_type) = file.content_type {
            attributes.insert(Attribute::ContentType, content_type.into());
        }
        if let Some(cache) = &shared.options.global_cache_control {
            attributes.insert(Attribute::CacheControl, cache.clone().into());
        }
        for (key, value) in &file.metadata {
            attributes.insert(Attribute::Metadata(key.clone().into()), AttributeValue::from(text(value)));
        }
        let mut tags = TagSet::default();
        // As the peer: values that are nothing are left out.
        let nothing =
            |value: &Value| matches!(value, Value::Null | Value::Bool(false)) || value == "" || value == 0;
        for (key, value) in file.tags.iter().filter(|(_, value)| !nothing(value)) {
            tags.push(key, &text(value));
        }
        Ok(Self { shared, path, attributes, tags, waiting: Vec::new(), bytes: 0, size: 0, multipart: None })
    }

    /// Exactly `bytes` from the front of what waits.
    fn take(&mut self, mut bytes: usize) -> PutPayload {
        self.bytes -= bytes;
        let mut taken = Vec::new();
        let mut rest = Vec::new();
        for mut chunk in self.waiting.drain(..) {
            if bytes == 0 {
                rest.push(chunk);
                continue;
            }
            let front = chunk.split_to(bytes.min(chunk.len()));
            bytes -= front.len();
            taken.push(front);
            if !chunk.is_empty() {
                rest.push(chunk);
            }
        }
        self.waiting = rest;
        taken.into_iter().collect()
    }

    async fn start(&mut self) -> FileResult<Box<dyn MultipartUpload>> {
        let options = PutMultipartOptions {
            tags: self.tags.clone(),
            attributes: self.attributes.clone(),
            ..PutMultipartOptions::default()
        };
        let (shared, path) = (&self.shared, &self.path);
        let start = || timely(ANSWER, shared.store.put_multipart_opts(path, options.clone()));
        match start().await {
            Err(FileError::NotFound) => {
                shared.signing.create_bucket().await?;
                start().await
            }
            other => other,
        }
    }

    async fn part(&mut self, bytes: usize) -> FileResult<()> {
        if self.multipart.is_none() {
            self.multipart = Some(self.start().await?);
        }
        let payload = self.take(bytes);
        match &mut self.multipart {
            Some(multipart) => timely(CONTENT, multipart.put_part(payload)).await,
            None => Ok(()),
        }
    }

    async fn finish(&mut self) -> FileResult<FileInfo> {
        let etag = if self.multipart.is_some() {
            if self.bytes > 0 {
                self.part(self.bytes).await?;
            }
            let Some(multipart) = &mut self.multipart else {
                return Err(FileError::Unsupported("multipart"));
            };
            let result = timely(CONTENT, multipart.complete()).await?;
            self.multipart = None;
            result.e_tag
        } else {
            let payload = self.take(self.bytes);
            let options = PutOptions {
                tags: self.tags.clone(),
                attributes: self.attributes.clone(),
                ..PutOptions::default()
            };
            let (shared, path) = (&self.shared, &self.path);
            let put = || timely(CONTENT, shared.store.put_opts(path, payload.clone(), options.clone()));
            let result = match put().await {
                Err(FileError::NotFound) => {
                    shared.signing.create_bucket().await?;
                    put().await
                }
                other => other,
            };
            result?.e_tag
        };
        let etag = etag.map(|tag| tag.trim_matches('"').to_owned());
        Ok(FileInfo { size: self.size, content_type: None, etag, modified: Some(SystemTime::now()) })
    }
}

impl Upload for S3Upload {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async move {
            self.size += chunk.len() as u64;
            self.bytes += chunk.len();
            self.waiting.push(chunk);
            while self.bytes >= PART {
                self.part(PART).await?;
            }
            Ok(())
        })
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, FileResult<FileInfo>> {
        Box::pin(async move { self.finish().await })
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { discard(self.multipart.take()).await })
    }
}

async fn discard(multipart: Option<Box<dyn MultipartUpload>>) {
    if let Some(mut multipart) = multipart
        && let Err(error) = multipart.abort().await
    {
        tracing::warn!(%error, "could not abort a multipart upload");
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        if let Some(multipart) = self.multipart.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(discard(Some(multipart)));
        }
    }
}

impl FileStore for S3Store {
    fn kind(&self) -> &'static str {
        "s3"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { ranges: true, metadata: false, list: true, encryption: false }
    }

    /// Asks for credentials once, so that a role's token is at hand for presigned URLs. A store that is
    /// away does not keep the server from starting.
    fn prepare(&self) -> BoxFuture<'_, FileResult<()>> {
        Box::pin(async {
            if self.shared.options.presigned_url
                && let Err(error) = self.shared.store.credentials().get_credential().await
            {
                tracing::warn!(%error, "no credentials for S3 yet");
            }
            Ok(())
        })
    }

    fn begin(&self, file: NewFile) -> BoxFuture<'_, FileResult<Box<dyn Upload>>> {
        let shared = self.shared.clone();
        Box::pin(async move { Ok(Box::new(S3Upload::new(shared, file)?) as Box<dyn Upload>) })
    }

    fn open<'a>(&'a self, name: &'a str, wanted: Option<Wanted>) -> BoxFuture<'a, FileResult<FileReader>> {
        Box::pin(self.shared.open(name, wanted))
    }

    fn stat<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<FileInfo>> {
        Box::pin(async move {
            let path = self.shared.path(name)?;
            timely(ANSWER, self.shared.store.head(&path)).await.map(|meta| info(&meta))
        })
    }

    fn metadata<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, FileResult<Option<Map<String, Value>>>> {
        Box::pin(async { Ok(None) })
    }

    /// S3 does not tell whether there was anything to remove.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async move {
            let path = self.shared.path(name)?;
            timely(ANSWER, self.shared.store.delete(&path)).await
        })
    }

    /// A copy with everything that belongs to it, then the removal: S3 has no other way.
    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> BoxFuture<'a, FileResult<()>> {
        Box::pin(async move {
            let (store, from, to) = (&self.shared.store, self.shared.path(from)?, self.shared.path(to)?);
            timely(ANSWER, store.head(&from)).await?;
            match timely(ANSWER, store.head(&to)).await {
                Err(FileError::NotFound) => {}
                Ok(_) => return Err(name_is_taken()),
                Err(error) => return Err(error),
            }
            timely(CONTENT, store.copy(&from, &to)).await?;
            timely(ANSWER, store.delete(&from)).await
        })
    }

    fn location(&self, place: Place<'_>, name: &str) -> String {
        let options = &self.shared.options;
        if !options.direct_access {
            return super::server_location(place, name);
        }
        let encoded =
            name.split('/').map(|s| name::encode_component(s).to_string()).collect::<Vec<_>>().join("/");
        let key = format!("{}{encoded}", options.bucket_prefix);
        let presigned = if options.presigned_url {
            match self.shared.presigned(name) {
                Some(url) => Some(url),
                // Without a signature it would be refused; through the server it works.
                None => return super::server_location(place, name),
            }
        } else {
            None
        };
        match (&options.base_url, presigned) {
            (None, Some(url)) => url.into(),
            (None, None) => format!("https://{}.s3.amazonaws.com/{key}", options.bucket),
            (Some(base), presigned) => {
                let mut url = format!("{base}/{}", if options.base_url_direct { &encoded } else { &key });
                if let Some(query) = presigned.as_ref().and_then(Url::query) {
                    url.push('?');
                    url.push_str(query);
                }
                url
            }
        }
    }

    fn list(&self) -> BoxStream<'_, FileResult<ListedFile>> {
        let prefix = self.shared.options.bucket_prefix.as_str();
        // Listing goes by whole segments; the rest of the prefix is compared here.
        let folder = prefix.rsplit_once('/').and_then(|(folder, _)| Path::parse(folder).ok());
        self.shared
            .store
            .list(folder.as_ref())
            .map_err(failed)
            .try_filter_map(move |meta| async move {
                Ok(meta.location.as_ref().strip_prefix(prefix).map(|name| ListedFile {
                    name: name.to_owned(),
                    size: meta.size,
                    modified: Some(SystemTime::from(meta.last_modified)),
                }))
            })
            .boxed()
    }

    fn rotate<'a>(&'a self, _name: &'a str, _old: Option<&'a Key>) -> BoxFuture<'a, FileResult<bool>> {
        Box::pin(async { Err(FileError::Unsupported("encryption keys")) })
    }
}

#[cfg(test)]
#[path = "s3/tests.rs"]
mod tests;
