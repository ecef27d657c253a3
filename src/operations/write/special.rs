//! Where parse-server's own classes differ from others while they are written: each step of the
//! pipeline asks here, and the rules live in `operations::{users, sessions, installations, roles}`.

use super::draft::{Draft, Saved};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::context::Effect;
use crate::operations::permissions::Protection;
use crate::operations::{ClassSnapshot, Ctx};
use crate::storage::StorageError;
use crate::types::ClassName;

/// What special classes carry from step to step.
#[derive(Debug, Default)]
pub struct Memory {}

/// Before any trigger: installation rules, session rules, authData. `Some` ends the write with an
/// answer of its own (a login through authData, an installation that became an update).
///
/// # Errors
/// Those of the class.
pub async fn prepare(_ctx: &Ctx, _draft: &mut Draft) -> Result<Option<Saved>> {
    Ok(None)
}

/// After beforeSave may have changed authData.
///
/// # Errors
/// Those of the class.
pub async fn after_before_save(_ctx: &Ctx, _draft: &mut Draft) -> Result<()> {
    Ok(())
}

/// After the schema agreed: passwords, names, mail addresses.
///
/// # Errors
/// Those of the class.
pub async fn transform(_ctx: &Ctx, _draft: &mut Draft) -> Result<()> {
    Ok(())
}

/// The last look before the statement.
///
/// # Errors
/// Those of the class.
pub fn check_before_store(_ctx: &Ctx, _draft: &Draft) -> Result<()> {
    Ok(())
}

/// A refused statement in the words of the class.
pub fn map_storage_error(_draft: &Draft, error: StorageError) -> Error {
    error.into()
}

/// After the statement: sessions, mails, caches.
///
/// # Errors
/// Those of the class.
pub async fn after_store(ctx: &Ctx, draft: &mut Draft, _saved: &mut Saved) -> Result<()> {
    if draft.class.is_role() {
        ctx.after_commit(Effect::RolesChanged).await;
    }
    Ok(())
}

/// The answer's last form.
///
/// # Errors
/// 205 where a sign-up must first be verified.
pub fn finish(ctx: &Ctx, draft: &Draft, class: &ClassSnapshot, saved: &mut Saved) -> Result<()> {
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
