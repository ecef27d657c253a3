//! Where parse-server's own classes differ from others while they are written: each step of the
//! pipeline asks here, and the rules live in `operations::{users, sessions, installations}`.

use super::draft::{Draft, Saved};
use super::ops::is_delete;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::classes::user::hooks;
use crate::operations::classes::user::hooks::UserMemory;
use crate::operations::classes::{installation as installations, session as sessions};
use crate::operations::permissions::Protection;
use crate::operations::transactions::Effect;
use crate::operations::{ClassSnapshot, Ctx, audit};
use crate::query::{Filter, Operand};
use crate::storage::StorageError;
use crate::types::ClassName;

/// What special classes carry from step to step.
#[derive(Debug, Default)]
pub struct Memory {
    /// Must hold for the object besides its id, or the update finds nothing.
    pub condition: Option<Filter>,
    /// The condition guards a secret that can be used once.
    pub locked: bool,
    pub user: UserMemory,
}

/// The pointer column names this user.
pub fn pointer_filter(column: &'static str, user_id: &str) -> Filter {
    Filter::eq(column, Operand::Pointer { class: ClassName::known("_User"), id: user_id.to_owned() })
}

/// Before any trigger: installation rules, session rules, authData. `Some` ends the write with an
/// answer of its own (a login through authData, a session made for a client).
///
/// # Errors
/// Those of the class.
pub async fn prepare(ctx: &Ctx, draft: &mut Draft) -> Result<Option<Saved>> {
    match draft.class.as_str() {
        "_User" => hooks::prepare(ctx, draft).await,
        "_Session" => sessions::prepare(ctx, draft).await,
        "_Installation" => installations::prepare(ctx, draft).await.map(|()| None),
        _ => Ok(None),
    }
}

/// After beforeSave may have changed authData.
///
/// # Errors
/// Those of the class.
pub async fn after_before_save(ctx: &Ctx, draft: &mut Draft) -> Result<()> {
    if draft.class.is_user() { hooks::after_before_save(ctx, draft).await } else { Ok(()) }
}

/// # Errors
/// 105 for internal columns that a client (or a trigger) names.
pub fn check_names(ctx: &Ctx, draft: &Draft) -> Result<()> {
    if !ctx.auth.is_maintenance()
        && let Some(key) = draft.data.keys().find(|key| key.starts_with('_'))
    {
        return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name: {key}.")));
    }
    Ok(())
}

/// After the schema agreed: passwords, names, mail addresses.
///
/// # Errors
/// Those of the class.
pub async fn transform(ctx: &Ctx, draft: &mut Draft) -> Result<()> {
    match draft.class.as_str() {
        "_User" => hooks::transform(ctx, draft).await,
        "_Session" => sessions::remove_duplicates(ctx, draft).await,
        _ => Ok(()),
    }
}

/// The last look before the statement.
///
/// # Errors
/// Those of the class.
pub fn check_before_store(_ctx: &Ctx, draft: &Draft) -> Result<()> {
    // A user without its name could only be found by its id.
    let nameless = draft.class.is_user() && draft.data.get("username").is_some_and(is_delete);
    if nameless && draft.is_create() {
        return Err(Error::parse(ErrorCode::USERNAME_MISSING, "bad or missing username"));
    }
    Ok(())
}

/// A refused statement in the words of the class.
pub fn map_storage_error(draft: &Draft, error: StorageError) -> Error {
    match &error {
        StorageError::Duplicate { field: Some(field), provider: None }
            if draft.class.is_user() && matches!(field.as_str(), "username" | "email") =>
        {
            hooks::taken(field)
        }
        _ => error.into(),
    }
}

/// After the statement: sessions, mails, caches.
///
/// # Errors
/// Those of the class.
pub async fn after_store(ctx: &Ctx, draft: &mut Draft, saved: &mut Saved) -> Result<()> {
    match draft.class.as_str() {
        "_User" => hooks::after_store(ctx, draft, saved).await,
        "_Session" => sessions::after_store(ctx, draft).await,
        "_Role" => {
            let event = if draft.is_create() { "role_created" } else { "role_changed" };
            audit::note(ctx, event, draft.object_id().unwrap_or_default());
            ctx.after_commit(Effect::RolesChanged(concerned_by_role(ctx, draft))).await;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Who writes the role, and whom it takes in or lets go.
fn concerned_by_role(ctx: &Ctx, draft: &Draft) -> Vec<String> {
    let mut users: Vec<String> = ctx.auth.user_id().map(str::to_owned).into_iter().collect();
    let op = draft.data.get("users");
    let batch = op.and_then(|op| op.get("ops")).and_then(|ops| ops.as_array());
    for op in batch.into_iter().flatten().chain(op) {
        let objects = op.get("objects").and_then(|objects| objects.as_array());
        users.extend(
            objects.into_iter().flatten().filter_map(|user| Some(user.get("objectId")?.as_str()?.to_owned())),
        );
    }
    users
}

/// The answer's last form.
///
/// # Errors
/// 205 where a sign-up must first be verified.
pub fn finish(ctx: &Ctx, draft: &Draft, class: &ClassSnapshot, saved: &mut Saved) -> Result<()> {
    if draft.class.is_user() {
        hooks::finish(ctx, draft, saved)?;
    }
    if !ctx.config().users.protected_fields_save_response_exempt {
        let exact = draft.id.as_ref().map(|id| id.as_str());
        let protection = Protection::of(ctx, class, exact);
        for field in protection.static_fields().into_iter().flatten() {
            saved.body.shift_remove(field);
        }
    }
    Ok(())
}

/// A user who updates a user that is not there (or not his) is told that his rights do not suffice.
pub fn map_missing_object(ctx: &Ctx, class: &ClassName, error: Error) -> Error {
    let hides = class.is_user() && !ctx.auth.is_unrestricted() && error.is(ErrorCode::OBJECT_NOT_FOUND);
    if hides { Error::denied(ErrorCode::SESSION_MISSING, "Insufficient auth.") } else { error }
}
