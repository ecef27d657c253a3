//! Files: saving, finding, removing, with their triggers and permissions (parse-server's `FilesRouter` and
//! `FilesController`).
//!
//! Called by the file routes and the command line; the bytes are the business of [`crate::files`].

pub mod download;
pub mod gc;
pub mod module;
pub mod references;
mod unescape;
pub mod upload;

use serde_json::{Map, Value};

use crate::cloud::{FILE_CLASS, FilePayload, TriggerAnswer, TriggerCall, TriggerKind};
use crate::error::{Error, Result};
use crate::files::rules::{self, Caller, Doors};
use crate::files::{FileError, FileStore, aside};
use crate::operations::{Credentials, Ctx, code_log};

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

/// Gives the files among an object's fields their addresses: for rows that no read has made ready to be shown.
///
/// # Errors
/// What the application's file adapter throws.
pub async fn put_addresses(ctx: &Ctx, object: &mut Map<String, Value>) -> Result<()> {
    for value in object.values_mut() {
        let Value::Object(file) = value else { continue };
        let is_file = file.get("__type").is_some_and(|kind| kind == "File");
        let Some(name) = file.get("name").and_then(Value::as_str).filter(|_| is_file) else { continue };
        let url = ctx.services.files.address(&ctx.info.base_url, name).await?;
        file.insert("url".to_owned(), url.into());
    }
    Ok(())
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
    match ctx.services.files.private() {
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
        url: Some(files.address(&ctx.info.base_url, file).await?),
        ..FilePayload::default()
    };
    run_trigger(ctx, TriggerKind::BeforeDelete, &payload).await?;
    remove(files.store(), file).await.map_err(|error| {
        tracing::error!(%error, file, "Error deleting a file");
        error.on_delete()
    })?;
    ctx.services.state.figures.deleted();
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
