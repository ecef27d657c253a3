//! Files in Amazon S3 and in what speaks its protocol (Spaces, Linode, B2, MinIO, R2).
//!
//! The layout and the options are those of `@parse/s3-files-adapter`: one object per file, key
//! `<bucketPrefix><name>`. Content travels through `object_store`; larger files as multipart uploads whose
//! parts ([`PART`]) are the only bytes held in memory, and which are aborted when an upload is dropped. (A
//! process that is killed leaves its parts to the bucket's lifecycle rule; they are never visible.)
//!
//! `object_store` knows no ACLs. The [`signing`] connector adds that header and signs the request again.

mod options;
mod signing;
mod upload;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use http::{HeaderValue, Method};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Attribute, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt};
use serde_json::{Map, Value};
use url::Url;

pub use self::options::{S3Credentials, S3Options};

use self::options::builder;
use self::signing::Signing;
use self::upload::S3Upload;
use super::carrier::Carrier;
use super::crypt::Key;
use super::range::{self, ByteRange, Wanted};
use super::{
    Capabilities, FileError, FileInfo, FileReader, FileResult, FileStore, ListedFile, Mount, NewFile, Upload,
    exact, name, name_is_taken,
};
use crate::outbound::Outbound;
use crate::types::percent::encode_component;

/// Bytes of a part: the smallest S3 takes. All parts but the last have exactly this size (R2 insists).
const PART: usize = 5 * 1024 * 1024;
/// Time for an answer without content, retries included.
const ANSWER: Duration = Duration::from_secs(30);
/// Time for a request that carries up to [`PART`].
const CONTENT: Duration = Duration::from_secs(120);
/// How long a presigned URL lives where nothing is configured: the default of the AWS SDK.
const PRESIGNED_FOR: Duration = Duration::from_secs(900);

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

    fn location(&self, mount: Mount<'_>, name: &str) -> String {
        let options = &self.shared.options;
        if !options.direct_access {
            return super::server_location(mount, name);
        }
        let encoded = name.split('/').map(|s| encode_component(s).to_string()).collect::<Vec<_>>().join("/");
        let key = format!("{}{encoded}", options.bucket_prefix);
        let presigned = if options.presigned_url {
            match self.shared.presigned(name) {
                Some(url) => Some(url),
                // Without a signature it would be refused; through the server it works.
                None => return super::server_location(mount, name),
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
mod tests;
