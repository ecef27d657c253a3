//! Uploads: one request for what is small, parts for the rest.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, Attributes, MultipartUpload, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, TagSet,
};
use serde_json::Value;

use super::{ANSWER, CONTENT, PART, Shared, timely};
use crate::error::ErrorCode;
use crate::files::{FileError, FileInfo, FileResult, NewFile, Upload};

/// What S3 puts in front of the names of metadata.
const METADATA: &str = "x-amz-meta-";

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

pub(super) struct S3Upload {
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
    /// # Errors
    /// For metadata and content types that are no headers.
    pub fn new(shared: Arc<Shared>, file: NewFile) -> FileResult<Self> {
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
