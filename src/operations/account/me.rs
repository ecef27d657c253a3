//! What a session token leads to: `/users/me`, `/sessions/me`, `/logout`, `/upgradeToRevocableSession`.

use serde_json::{Value, json};

use crate::cloud::{TriggerCall, TriggerKind};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::classes;
use crate::operations::classes::session as sessions;
use crate::operations::classes::user::load;
use crate::operations::object::read;
use crate::operations::object::write::triggers::has;
use crate::operations::transactions::Effect;
use crate::operations::{Ctx, code_log};
use crate::types::Object;

/// `GET /users/me`: the user as the caller may see it, with the token; "become" is the same with
/// another token.
///
/// # Errors
/// 209 (sanitized) without a valid session, or when the user cannot be read.
pub async fn me(ctx: &Ctx) -> Result<Object> {
    let invalid = || Error::denied(ErrorCode::INVALID_SESSION_TOKEN, "Invalid session token");
    let token = ctx.info.session_token.as_deref().filter(|token| !token.is_empty()).ok_or_else(invalid)?;
    let user_id = match &ctx.auth.principal {
        Some(principal) if principal.session_token == token => principal.user_id.as_str().to_owned(),
        _ => owner_of(&sessions::by_token(ctx, token).await?.ok_or_else(invalid)?).ok_or_else(invalid)?,
    };
    let user = match read::get_object(ctx, &load::class(), &user_id).await {
        Err(error) if error.is(ErrorCode::OBJECT_NOT_FOUND) => None,
        other => other?,
    };
    let mut user = user.ok_or_else(invalid)?;
    user.retain(|key, _| !key.starts_with('_'));
    user.insert("sessionToken".to_owned(), token.into());
    Ok(user)
}

fn owner_of(session: &Object) -> Option<String> {
    session.get("user")?.get("objectId")?.as_str().map(str::to_owned)
}

/// `GET /sessions/me`: the session of the token that was sent, whatever else the request is.
///
/// # Errors
/// 209 without a token, or for one that is nobody's.
pub async fn session_of_caller(ctx: &Ctx) -> Result<Object> {
    let error = |text| Error::parse(ErrorCode::INVALID_SESSION_TOKEN, text);
    let token = ctx.info.session_token.as_deref().filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| error("Session token required."))?;
    let missing = || error("Session token not found.");
    let session = sessions::by_token(ctx, token).await?.ok_or_else(missing)?;
    let owner = owner_of(&session).ok_or_else(missing)?;
    let id = load::text(&session, "objectId").unwrap_or_default();
    let reader = if ctx.auth.is_unrestricted() {
        ctx.clone()
    } else {
        load::with_rights_of(ctx, &owner, token).await?
    };
    match read::get_object(&reader, &sessions::class(), id).await {
        Ok(Some(session)) => Ok(session),
        Ok(None) => Err(missing()),
        Err(error) if error.is(ErrorCode::OBJECT_NOT_FOUND) => Err(missing()),
        Err(error) => Err(error),
    }
}

/// `POST /logout`: ends the session of the token that was sent, and answers nothing of whether there
/// was one.
///
/// # Errors
/// When storage fails, and what the afterLogout trigger throws.
pub async fn log_out(ctx: &Ctx) -> Result<()> {
    let Some(token) = ctx.info.session_token.as_deref().filter(|token| !token.is_empty()) else {
        return Ok(());
    };
    let Some(mut session) = sessions::by_token(ctx, token).await? else { return Ok(()) };
    let master = ctx.with_auth(crate::operations::Auth::master());
    let id = load::text(&session, "objectId").unwrap_or_default().to_owned();
    match classes::delete(&master, &sessions::class(), &id).await {
        // Two logouts at once: the session is gone, which is what both wanted.
        Err(error) if error.is(ErrorCode::OBJECT_NOT_FOUND) => {}
        other => other?,
    }
    ctx.after_commit(Effect::SessionGone(token.to_owned())).await;
    if has(ctx, TriggerKind::AfterLogout, &sessions::class()) {
        session.retain(|key, _| !key.starts_with('_'));
        let mut call = TriggerCall::new(TriggerKind::AfterLogout, "_Session");
        call.object_id = Some(id);
        call.object = Some(Value::Object(session).into());
        call.caller = ctx.caller();
        call.scope = ctx.scope();
        code_log::run_trigger(ctx, call).await?;
    }
    Ok(())
}

/// `POST /upgradeToRevocableSession`: a new session for the user of the one that was sent.
///
/// # Errors
/// 209 for a token from before revocable sessions (PostgreSQL never kept those), 101 without a user,
/// 1 when the caller may not read his sessions.
pub async fn upgrade_session(ctx: &Ctx) -> Result<Object> {
    let Some(principal) = &ctx.auth.principal else {
        let legacy = ctx.info.session_token.as_deref().is_some_and(|token| !token.is_empty());
        if legacy && !ctx.auth.is_unrestricted() {
            return Err(Error::parse(ErrorCode::INVALID_SESSION_TOKEN, "invalid legacy session token"));
        }
        return Err(Error::parse(ErrorCode::OBJECT_NOT_FOUND, "invalid session"));
    };
    let created_with = json!({ "action": "upgrade" });
    let token = sessions::create_for(ctx, principal.user_id.as_str(), Some(created_with)).await?;
    let failed = || Error::parse(ErrorCode::INTERNAL_SERVER_ERROR, "Failed to load upgraded session.");
    let session = sessions::by_token(ctx, &token).await?.ok_or_else(failed)?;
    let id = load::text(&session, "objectId").unwrap_or_default();
    read::get_object(ctx, &sessions::class(), id).await?.ok_or_else(failed)
}
