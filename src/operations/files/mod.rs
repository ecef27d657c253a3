//! Files: saving, finding, removing, with their triggers and permissions (parse-server's `FilesRouter` and
//! `FilesController`).
//!
//! Called by the file routes and the command line; the bytes are the business of [`crate::files`].

pub mod addresses;
pub mod download;
pub mod gc;
pub mod module;
pub mod references;
mod unescape;
pub mod upload;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::cloud::{FILE_CLASS, FilePayload, TriggerAnswer, TriggerCall, TriggerKind};
use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::files::private::{self, Signer};
use crate::files::rules::{self, Caller, Doors, ExtensionFilter};
use crate::files::{FileError, FileStore, Place, aside, name};
use crate::operations::services::FileUrls;
use crate::operations::{Credentials, Ctx, code_log};

/// What an application has of files.
pub struct Files {
    store: Arc<dyn FileStore>,
    filter: ExtensionFilter,
    app_id: String,
    /// Option `fileKey`: where files of the former Parse.com lie.
    legacy_key: Option<String>,
    /// Addresses take waiting for: [`addresses`] asks for them.
    asks: bool,
    private: Option<Signer>,
    all_private: bool,
}

impl Files {
    /// # Errors
    /// A pattern of `fileUpload.fileExtensions` that is no regular expression.
    pub fn new(store: Arc<dyn FileStore>, config: &AppConfig) -> std::result::Result<Self, String> {
        // The configuration spells "everything" as a pattern.
        let source = |text: &str| if text == ".*" { "*".to_owned() } else { text.to_owned() };
        let patterns: Vec<String> =
            config.files.upload.file_extensions.iter().map(|pattern| source(pattern.source())).collect();
        let legacy_key = config.files.file_key.as_ref().map(|key| key.expose().clone());
        let private = config.files.private.as_ref();
        let probe = store.location(Place { server: "server:", app_id: "" }, "a");
        if private.is_some() && !probe.starts_with("server:") {
            return Err("privateFiles and directAccess exclude each other.".to_owned());
        }
        let asks = store.locate(Place { server: "", app_id: "" }, &[]).is_some();
        Ok(Self {
            store,
            asks,
            all_private: private.is_some_and(|private| private.all),
            private: private.map(|p| Signer::new(p.secret.expose(), &config.app_id, p.expires_after)),
            filter: ExtensionFilter::new(&patterns)?,
            app_id: config.app_id.clone(),
            legacy_key,
        })
    }

    pub fn store(&self) -> &dyn FileStore {
        &*self.store
    }

    /// Whether the store has to be asked where this file is.
    fn is_asked(&self, file: &str) -> bool {
        self.asks && self.legacy_url(file).is_none() && self.signer(file).is_none()
    }

    /// Who signs the addresses of this file, if it is a private one.
    fn signer(&self, file: &str) -> Option<&Signer> {
        self.private.as_ref().filter(|_| private::is_private(file))
    }

    /// Whether there can be private files.
    pub fn keeps_private(&self) -> bool {
        self.private.is_some()
    }

    /// Whether a new file is to be private: all are, or its metadata says so.
    fn becomes_private(&self, metadata: &Map<String, Value>) -> bool {
        let said = metadata.get("private").is_some_and(|said| *said == true || *said == "true");
        self.private.is_some() && (self.all_private || said)
    }

    fn legacy_url(&self, file: &str) -> Option<String> {
        let key = self.legacy_key.as_ref()?;
        let encoded = || name::encode_component(file);
        if file.starts_with("tfss-") {
            return Some(format!("http://files.parsetfss.com/{key}/{}", encoded()));
        }
        has_uuid_prefix(file).then(|| format!("http://files.parse.com/{key}/{}", encoded()))
    }
}

impl FileUrls for Files {
    fn url(&self, base: &str, file: &str) -> String {
        if let Some(signer) = self.signer(file) {
            return signer.url(base, file);
        }
        if let Some(url) = self.legacy_url(file) {
            return url;
        }
        self.store.location(Place { server: base, app_id: &self.app_id }, file)
    }

    fn refreshes(&self) -> bool {
        self.private.is_some()
    }

    fn refresh(&self, base: &str, value: &mut Value) {
        if let Some(signer) = &self.private {
            signer.refresh(base, value);
        }
    }
}

/// `8-4-4-4-12` hex digits and a dash.
fn has_uuid_prefix(file: &str) -> bool {
    let bytes = file.as_bytes();
    bytes.len() >= 37
        && bytes[..37].iter().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 | 36 => *c == b'-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// Who asks, in the terms of the rules.
fn caller_of(ctx: &Ctx) -> Caller {
    match ctx.auth.credentials {
        Credentials::Master => Caller::Master,
        Credentials::ReadOnlyMaster => Caller::ReadOnlyMaster,
        Credentials::Maintenance => Caller::Maintenance,
        Credentials::Client => match &ctx.auth.principal {
            None => Caller::Public,
            Some(principal) => {
                let linked = principal.user.get("authData").and_then(|data| data.get("anonymous"));
                Caller::User { anonymous: linked.is_some_and(|linked| !linked.is_null()) }
            }
        },
    }
}

/// # Errors
/// 119 for callers to whom downloads are closed.
pub fn check_download(ctx: &Ctx) -> Result<()> {
    let options = &ctx.config().files.download;
    let doors = Doors {
        public: options.enable_for_public,
        anonymous: options.enable_for_anonymous_user,
        authenticated: options.enable_for_authenticated_user,
    };
    doors.check_download(caller_of(ctx))
}

/// Private files need an address with a signature, from everybody but holders of a key of the server.
/// Answers for how many seconds that is good; `None` for files that are not private.
///
/// # Errors
/// 119.
pub fn check_private(ctx: &Ctx, file: &str, query: &str) -> Result<Option<u64>> {
    let Some(signer) = ctx.services.files.signer(file) else { return Ok(None) };
    match caller_of(ctx) {
        Caller::Master | Caller::Maintenance | Caller::ReadOnlyMaster => Ok(Some(0)),
        Caller::User { .. } | Caller::Public => signer.check(file, query).map(Some),
    }
}

/// Clients may refer to private files only where they were given an address of them.
///
/// # Errors
/// 119.
pub fn check_references(ctx: &Ctx, data: &Map<String, Value>) -> Result<()> {
    match &ctx.services.files.private {
        Some(signer) if !ctx.auth.is_master() => signer.check_references(data),
        _ => Ok(()),
    }
}

/// Removes a file (master key only; the route checks that).
///
/// # Errors
/// 403 for the read-only master key, 153 when there is nothing to remove or the store fails, and what the
/// triggers throw.
pub async fn delete(ctx: &Ctx, file: &str) -> Result<()> {
    if ctx.auth.is_read_only() {
        return Err(rules::read_only("delete"));
    }
    let files = &ctx.services.files;
    let payload = FilePayload {
        name: file.to_owned(),
        url: Some(addresses::of(ctx, file).await?),
        ..FilePayload::default()
    };
    run_trigger(ctx, TriggerKind::BeforeDelete, &payload).await?;
    remove(&*files.store, file).await.map_err(|error| {
        tracing::error!(%error, file, "Error deleting a file");
        error.on_delete()
    })?;
    run_trigger(ctx, TriggerKind::AfterDelete, &payload).await?;
    Ok(())
}

/// Nothing of a file stays that was removed, also of one that was set aside.
async fn remove(store: &dyn FileStore, file: &str) -> std::result::Result<(), FileError> {
    let removed = store.delete(file).await;
    if !matches!(removed, Ok(()) | Err(FileError::NotFound)) {
        return removed;
    }
    let aside = store.delete(&aside::aside(file)).await;
    if removed.is_ok() { removed } else { aside }
}

fn has_trigger(ctx: &Ctx, kind: TriggerKind) -> bool {
    ctx.services.cloud.registrations().has_trigger(kind, FILE_CLASS)
}

/// `None` when there is no such trigger.
async fn run_trigger(ctx: &Ctx, kind: TriggerKind, file: &FilePayload) -> Result<Option<FilePayload>> {
    if !has_trigger(ctx, kind) {
        return Ok(None);
    }
    let mut call = TriggerCall::new(kind, FILE_CLASS);
    call.file = Some(file.clone());
    call.caller = ctx.caller();
    call.scope = ctx.scope();
    let answer: TriggerAnswer = code_log::run_trigger(ctx, call).await?;
    Ok(answer.file)
}

/// An error that came up while a file was being saved, as clients see it.
fn save_failure(file: &str) -> impl Fn(crate::files::FileError) -> Error {
    move |error| {
        tracing::error!(%error, file, "Error creating a file");
        error.on_save(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_names() {
        assert!(has_uuid_prefix("0123abcd-0123-0123-0123-0123456789AB-photo.png"));
        assert!(!has_uuid_prefix("0123abcd-0123-0123-0123-0123456789AB"));
        assert!(!has_uuid_prefix("0123abcx-0123-0123-0123-0123456789ab-photo.png"));
        assert!(!has_uuid_prefix("0123456789abcdef0123456789abcdef_photo.png"));
    }
}
