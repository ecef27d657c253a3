//! Saving a file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, LocalBoxStream, StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use super::{caller_of, has_trigger, run_trigger, save_failure};
use crate::cloud::{FilePayload, TriggerKind};
use crate::error::{Error, ErrorCode, Result};
use crate::files::private;
use crate::files::rules::{self, Caller, Doors};
use crate::files::{FileError, Files, NewFile, Upload as StoreUpload, aside, mime, name};
use crate::operations::{Ctx, keywords};

/// How much of the content its kind is judged by.
const JUDGED: usize = 4096;

/// The content as it arrives; errors are what the client is told.
pub type Content = LocalBoxStream<'static, Result<Bytes>>;

pub struct Upload {
    /// As in the URL.
    pub name: String,
    pub content_type: Option<String>,
    pub content: Content,
    /// Announced length.
    pub length: Option<u64>,
    /// Asked for as a stream: triggers do not see the content, and it may be empty.
    pub streamed: bool,
    pub metadata: Map<String, Value>,
    pub tags: Map<String, Value>,
    /// As sent; only texts are valid.
    pub directory: Option<Value>,
}

/// What the client gets to know.
#[derive(Debug, PartialEq, Eq)]
pub struct Saved {
    pub name: String,
    pub url: String,
}

/// Everything that can be said before the content is read.
///
/// # Errors
/// 403 for the read-only master key; 130 for callers, extensions and types that are not admitted; 122 for
/// names.
pub async fn admit(ctx: &Ctx, file: &str, content_type: Option<&str>) -> Result<()> {
    let options = &ctx.config().files.upload;
    let doors = Doors {
        public: options.enable_for_public,
        anonymous: options.enable_for_anonymous_user,
        authenticated: options.enable_for_authenticated_user,
    };
    doors.check_upload(caller_of(ctx))?;
    let own = ctx.services.files.store().validate_name(file);
    match own {
        None => name::validate(file)?,
        Some(judged) => {
            if let Some(wrong) = judged.await.map_err(save_failure(file))? {
                return Err(wrong);
            }
        }
    }
    rules::check_type(content_type)?;
    if is_judged(ctx) {
        ctx.services.files.filter.check_declared(file, content_type)?;
    }
    Ok(())
}

/// The master key may upload anything.
fn is_judged(ctx: &Ctx) -> bool {
    caller_of(ctx) != Caller::Master
}

/// Whether the content is in memory as a whole, for triggers to see.
pub fn keeps_content(ctx: &Ctx, streamed: bool) -> bool {
    !streamed && (has_trigger(ctx, TriggerKind::BeforeSave) || has_trigger(ctx, TriggerKind::AfterSave))
}

/// Saves an upload that was admitted.
///
/// # Errors
/// 119 and 122 for directories; 105 for keywords in metadata or tags; 130 for empty or unfitting content
/// and for failures of the store; what triggers throw; what `content` fails with.
pub async fn save(ctx: &Ctx, mut upload: Upload) -> Result<Saved> {
    let directory = checked_directory(ctx, upload.directory.take())?;
    keywords::check(ctx, &upload.metadata)?;
    keywords::check(ctx, &upload.tags)?;
    rules::check_description(&upload.metadata)?;
    rules::check_description(&upload.tags)?;
    let files = ctx.services.files.clone();
    let mut content_type = upload.content_type.filter(|kind| !kind.is_empty());
    if content_type.is_none() && mime::extension(&upload.name).is_empty() {
        // Neither says what it is: a text to parse-server, and named so.
        content_type = Some("text/plain".to_owned());
    }
    let mut file = FilePayload {
        name: upload.name,
        content_type,
        metadata: upload.metadata,
        tags: upload.tags,
        directory,
        file_size: upload.length,
        stream: upload.streamed,
        ..FilePayload::default()
    };
    let mut content = upload.content.fuse().boxed_local();
    let mut judged = is_judged(ctx);
    let mut may_be_empty = upload.streamed;
    if keeps_content(ctx, upload.streamed) {
        let data = whole(content).await?;
        if data.is_empty() {
            return Err(rules::empty_upload());
        }
        file.file_size = Some(data.len() as u64);
        file.data = Some(STANDARD.encode(&data));
        content = stream::iter([Ok(data)]).fuse().boxed_local();
    }
    if let Some(changed) = run_trigger(ctx, TriggerKind::BeforeSave, &file).await? {
        if let Some(url) = changed.url.filter(|url| !url.is_empty()) {
            // Saved elsewhere already.
            file = FilePayload { url: Some(url), file_size: None, stream: file.stream, ..changed };
            return finished(ctx, file).await;
        }
        if let Some(data) = changed.data.as_ref().filter(|_| !upload.streamed) {
            let data = STANDARD.decode(data).map_err(|_| rules::empty_upload())?;
            file.file_size = Some(data.len() as u64);
            content = stream::iter([Ok(Bytes::from(data))]).fuse().boxed_local();
            // The application's own content is its own responsibility.
            judged = false;
            may_be_empty = true;
        }
        file = FilePayload {
            name: changed.name,
            content_type: changed.content_type,
            metadata: changed.metadata,
            tags: changed.tags,
            directory: changed.directory,
            data: changed.data.or(file.data),
            ..file
        };
        keywords::check(ctx, &file.metadata)?;
        keywords::check(ctx, &file.tags)?;
    }
    let preserve = ctx.config().files.preserve_file_name;
    let mut stored =
        name::stored(&file.name, file.content_type.as_deref(), preserve, file.directory.as_deref());
    stored.name = files.store().key_of(stored.name).await.map_err(save_failure(&file.name))?;
    // With preserved names a client would write over, or pass for, what the server calls private.
    if files.keeps_private() && private::is_private(&stored.name) {
        return Err(FileError::InvalidName).map_err(save_failure(&file.name));
    }
    // Last of all, so that nothing takes the mark away again.
    if files.becomes_private(&file.metadata) {
        stored.name = private::marked(&stored.name);
    }
    if aside::original(&stored.name).is_some() {
        return Err(FileError::InvalidName).map_err(save_failure(&file.name));
    }
    let url = files.address(&ctx.info.base_url, &stored.name).await?;
    let begun = std::time::Instant::now();
    let size = store(&files, &file, &stored, content, judged, may_be_empty).await;
    ctx.services.state.figures.uploaded(begun.elapsed(), size.as_ref().ok().copied());
    let size = size?;
    file.url = Some(url);
    file.name = stored.name;
    file.file_size = Some(size);
    finished(ctx, file).await
}

/// Streams the content into the store. Whatever goes wrong, nothing of it stays.
async fn store(
    files: &Files,
    file: &FilePayload,
    stored: &name::Stored,
    mut content: Content,
    judged: bool,
    may_be_empty: bool,
) -> Result<u64> {
    let failed = save_failure(&file.name);
    let mut waiting = Vec::new();
    let mut head = BytesMut::new();
    while head.len() < JUDGED {
        let Some(chunk) = content.try_next().await? else { break };
        head.extend_from_slice(&chunk[..chunk.len().min(JUDGED - head.len())]);
        waiting.push(chunk);
    }
    if head.is_empty() && !may_be_empty {
        return Err(rules::empty_upload());
    }
    if judged {
        files.filter.check_content(stored.content_type.as_deref(), &head)?;
    }
    let new = NewFile {
        name: stored.name.clone(),
        content_type: stored.content_type.clone(),
        metadata: file.metadata.clone(),
        tags: file.tags.clone(),
    };
    rules::check_type(new.content_type.as_deref())?;
    rules::check_description(&new.metadata)?;
    rules::check_description(&new.tags)?;
    let mut upload = files.store().begin(new).await.map_err(&failed)?;
    match fill(&mut *upload, waiting, content, &failed).await {
        Ok(()) => upload.commit().await.map(|info| info.size).map_err(&failed),
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

async fn fill(
    upload: &mut dyn StoreUpload,
    waiting: Vec<Bytes>,
    mut content: Content,
    failed: &impl Fn(FileError) -> Error,
) -> Result<()> {
    for chunk in waiting {
        upload.write(chunk).await.map_err(failed)?;
    }
    while let Some(chunk) = content.try_next().await? {
        upload.write(chunk).await.map_err(failed)?;
    }
    Ok(())
}

async fn whole(mut content: Content) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(chunk) = content.try_next().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

async fn finished(ctx: &Ctx, file: FilePayload) -> Result<Saved> {
    run_trigger(ctx, TriggerKind::AfterSave, &file).await?;
    Ok(Saved { name: file.name, url: file.url.unwrap_or_default() })
}

fn checked_directory(ctx: &Ctx, given: Option<Value>) -> Result<Option<String>> {
    let Some(given) = given else { return Ok(None) };
    if !ctx.auth.is_master() {
        let text = "Directory can only be set using the Master Key.";
        return Err(Error::parse(ErrorCode::OPERATION_FORBIDDEN, text));
    }
    let Value::String(directory) = given else { return Err(name::directory_not_a_string()) };
    name::validate_directory(&directory)?;
    Ok(Some(directory))
}
