//! Finding a file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};
use serde_json::{Map, Value};

use super::{has_trigger, run_trigger};
use crate::cloud::{FilePayload, TriggerKind};
use crate::error::{Error, ErrorCode};
use crate::files::range::{ByteRange, Conditions, Verdict, Wanted};
use crate::files::{ByteStream, FileError, FileInfo, aside, headers, mime};
use crate::operations::Ctx;

/// What is not simply sent.
#[derive(Debug)]
pub enum Refusal {
    /// 404 in plain text.
    Missing,
    /// 416
    NotSatisfiable { size: u64 },
    /// A trigger or the store failed: 403 with code and text.
    Failed(Error),
}

/// An answer to a download.
pub struct Found {
    pub info: FileInfo,
    pub verdict: Verdict,
    pub content_type: String,
    /// The part that `content` is; `None` for all of it.
    pub part: Option<ByteRange>,
    /// Bytes of `content`.
    pub len: u64,
    pub content: ByteStream,
    /// Value of `Content-Disposition`.
    pub disposition: Option<String>,
    /// What a trigger wants sent besides.
    pub headers: Vec<(String, String)>,
}

/// Opens a file for a caller who was admitted.
///
/// # Errors
/// [`Refusal`]
pub async fn find(
    ctx: &Ctx,
    file: &str,
    range: Option<Wanted>,
    conditions: &Conditions<'_>,
) -> Result<Found, Refusal> {
    let file = renamed(ctx, file).await.map_err(|error| refused(error, || could_not_find(file)))?;
    let store = ctx.services.files.store();
    if aside::original(&file).is_some() {
        return Err(Refusal::Missing);
    }
    // Data for a trigger only where it is no more than an upload may be.
    let watched = has_trigger(ctx, TriggerKind::AfterFind);
    let range = match (range, conditions.if_range) {
        (Some(range), Some(_)) => {
            let info = match store.stat(&file).await {
                Err(FileError::NotFound) if aside::comes_back(store, &file).await => store.stat(&file).await,
                other => other,
            };
            let info = info.map_err(|error| missing(&file, error))?;
            Some(range).filter(|_| conditions.range_applies(&info))
        }
        (range, _) => range,
    };
    let reader = match store.open(&file, range).await {
        Err(FileError::NotFound) if aside::comes_back(store, &file).await => store.open(&file, range).await,
        other => other,
    };
    ctx.services.state.figures.opened(&reader);
    let reader = reader.map_err(|error| missing(&file, error))?;
    let mut found = Found {
        verdict: conditions.evaluate(&reader.info),
        content_type: headers::content_type(&file, reader.info.content_type.as_deref()),
        part: range.map(|_| reader.range),
        len: reader.range.len,
        content: reader.stream,
        info: reader.info,
        disposition: None,
        headers: Vec::new(),
    };
    let mut name = file;
    if watched {
        name = after_find(ctx, &name, &mut found)
            .await
            .map_err(|error| refused(error, || could_not_find(&name)))?;
    }
    if found.disposition.is_none() && !headers::is_inline(&found.content_type) {
        found.disposition = Some(headers::attachment(&name));
    }
    Ok(found)
}

/// `{metadata: {…}}`, or `{}` where there is none to be had.
///
/// # Errors
/// What the triggers throw.
pub async fn metadata(ctx: &Ctx, file: &str) -> Result<Map<String, Value>, Error> {
    let name = renamed(ctx, file).await?;
    let Ok(metadata) = ctx.services.files.store().metadata(&name).await else { return Ok(Map::new()) };
    let payload = FilePayload { name: file.to_owned(), ..FilePayload::default() };
    run_trigger(ctx, TriggerKind::AfterFind, &payload).await?;
    let known = metadata.map(|metadata| ("metadata".to_owned(), Value::Object(metadata)));
    Ok(known.into_iter().collect())
}

/// beforeFind may send the request to another file.
async fn renamed(ctx: &Ctx, file: &str) -> Result<String, Error> {
    let content_type = mime::type_of(file).map(str::to_owned);
    let payload = FilePayload { name: file.to_owned(), content_type, ..FilePayload::default() };
    let changed = run_trigger(ctx, TriggerKind::BeforeFind, &payload).await?;
    Ok(changed.map(|changed| changed.name).filter(|name| !name.is_empty()).unwrap_or_else(|| file.to_owned()))
}

/// Shows the file to the trigger and takes over what it made of it. The name it has afterwards.
async fn after_find(ctx: &Ctx, file: &str, found: &mut Found) -> Result<String, Error> {
    let mut payload = FilePayload {
        name: file.to_owned(),
        content_type: Some(mime::essence(&found.content_type)),
        file_size: Some(found.info.size),
        ..FilePayload::default()
    };
    payload.response_headers.insert("X-Content-Type-Options".into(), "nosniff".into());
    // Parts are never shown; whole files as long as they could have been uploaded in one piece.
    if found.part.is_none() && found.len <= ctx.config().http.max_upload_size {
        let data = whole(found).await?;
        payload.data = Some(STANDARD.encode(&data));
        found.content = stream::iter([Ok(data)]).boxed();
    }
    let Some(changed) = run_trigger(ctx, TriggerKind::AfterFind, &payload).await? else {
        return Ok(file.to_owned());
    };
    if let Some(data) = changed.data.filter(|_| found.part.is_none()) {
        let data = Bytes::from(STANDARD.decode(data).map_err(Error::internal)?);
        found.len = data.len() as u64;
        found.content = stream::iter([Ok(data)]).boxed();
        // It is not the stored content any more.
        found.info.etag = None;
        found.info.modified = None;
        found.verdict = Verdict::Proceed;
    }
    if changed.name != file {
        found.content_type = headers::content_type(&changed.name, None);
    }
    if changed.force_download {
        found.disposition = Some(headers::attachment(&changed.name));
    }
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    found.headers = changed.response_headers.into_iter().map(|(name, value)| (name, text(value))).collect();
    Ok(changed.name)
}

async fn whole(found: &mut Found) -> Result<Bytes, Error> {
    let mut data = BytesMut::new();
    while let Some(chunk) = found.content.try_next().await.map_err(Error::internal)? {
        data.extend_from_slice(&chunk);
    }
    Ok(data.freeze())
}

fn could_not_find(file: &str) -> String {
    format!("Could not find file: {file}.")
}

/// Errors without a code of their own get 141 and `text`.
fn refused(error: Error, text: impl Fn() -> String) -> Refusal {
    match error {
        Error::Parse { .. } | Error::Denied { .. } => Refusal::Failed(error),
        other => {
            tracing::error!(error = %other, "a download failed");
            Refusal::Failed(Error::parse(ErrorCode::SCRIPT_FAILED, text()))
        }
    }
}

fn missing(file: &str, error: FileError) -> Refusal {
    match error {
        FileError::NotFound | FileError::InvalidName => Refusal::Missing,
        FileError::RangeNotSatisfiable { size } => Refusal::NotSatisfiable { size },
        other => {
            tracing::error!(error = %other, file, "a file could not be read");
            Refusal::Missing
        }
    }
}
