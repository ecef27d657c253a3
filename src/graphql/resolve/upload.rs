//! Files that came with a request by the multipart specification, and `createFile`. In the variables an object
//! stands for each of them, with a number that nobody outside knows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};

use super::super::errors::Failure;
use super::super::input::UPLOAD;
use super::{Resolved, Server};
use crate::error::{Error, ErrorCode};
use crate::files::mime;
use crate::operations::Ctx;
use crate::operations::files::upload::{self, Saved, Upload};
use crate::types::Object;

/// A file of the request.
#[derive(Debug)]
pub struct Part {
    pub file_name: String,
    pub content_type: String,
    /// Its bytes, or why they are not taken: whoever uses the file is told.
    pub content: Result<Bytes, String>,
}

/// The files of a request.
#[derive(Debug, Default)]
pub struct Uploads {
    nonce: String,
    parts: Mutex<Vec<Option<Part>>>,
    /// Bytes that were stored.
    stored: AtomicU64,
}

impl Uploads {
    /// `parts` in the order of the numbers that stand for them; absent ones did not come.
    pub fn new(nonce: String, parts: Vec<Option<Part>>) -> Self {
        Self { nonce, parts: Mutex::new(parts), stored: AtomicU64::new(0) }
    }

    /// What stands for a file in the variables.
    pub fn placeholder(nonce: &str, index: usize) -> Value {
        json!({ UPLOAD: format!("{nonce}:{index}") })
    }

    fn take(&self, value: &Value) -> Option<Part> {
        let (nonce, index) = value.get(UPLOAD)?.as_str()?.split_once(':')?;
        if self.nonce.is_empty() || nonce != self.nonce {
            return None;
        }
        let mut parts = self.parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let part = parts.get_mut(index.parse::<usize>().ok()?)?;
        // A file may be named in several places.
        part.as_ref().map(|part| Part {
            file_name: part.file_name.clone(),
            content_type: part.content_type.clone(),
            content: part.content.clone(),
        })
    }

    pub async fn save(&self, ctx: &Ctx, value: &Value) -> Result<Saved, Failure> {
        if value.get(UPLOAD).is_none() {
            let error = Error::parse(ErrorCode::FILE_SAVE_ERROR, "Invalid file upload.");
            return Err(Failure::Coded(error));
        }
        let missing = || Failure::Plain(Error::http(400, "File missing in the request."));
        let part = self.take(value).ok_or_else(missing)?;
        let content = part.content.map_err(|text| Failure::Plain(Error::http(413, text)))?;
        let name = match mime::extension_of(&part.content_type) {
            Some(extension) if !part.file_name.ends_with(&format!(".{extension}")) => {
                format!("{}.{extension}", part.file_name)
            }
            _ => part.file_name,
        };
        upload::admit(ctx, &name, None).await?;
        let bytes = content.len() as u64;
        // One file may be named many times.
        let most = ctx.config().http.max_upload_size;
        if self.stored.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > most {
            let text = format!("The files of a request may be stored up to {most} bytes in all.");
            return Err(Failure::Coded(Error::parse(ErrorCode::FILE_SAVE_ERROR, text)));
        }
        let length = Some(bytes);
        let upload = Upload {
            name,
            content_type: None,
            content: stream::iter([Ok(content)]).boxed_local(),
            length,
            streamed: false,
            metadata: Object::new(),
            tags: Object::new(),
            directory: None,
        };
        Ok(upload::save(ctx, upload).await?)
    }
}

impl<'e> Server<'e> {
    pub(super) async fn create_file(&self, input: Map<String, Value>) -> Resolved {
        let upload = input.get("upload").cloned().unwrap_or_default();
        self.count("POST", "/files").await?;
        let saved = self.uploads.save(&self.ctx(), &upload).await?;
        Ok(json!({ "fileInfo": { "name": saved.name, "url": saved.url } }))
    }
}
