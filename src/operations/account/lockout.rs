//! `accountLockout`: too many wrong passwords, or wrong second factors, lock an account for a while. Counting is one
//! atomic statement, so parallel guesses cannot slip through.

use serde_json::{Value, json};

use crate::config::AccountLockout;
use crate::error::{Error, ErrorCode, Result};
use crate::on_session;
use crate::operations::classes::user::{auth_data, load};
use crate::operations::{Ctx, audit};
use crate::query::{Filter, FindSpec};
use crate::storage::{Returning, WriteFilter};
use crate::types::time::Millis;
use crate::types::update::Op;
use crate::types::{FieldName, Object, ObjectId, Update};

/// Takes note of a password. A right one alone ends no count where the user has a second factor: whoever knows it
/// could guess at that for ever.
///
/// # Errors
/// As [`note_attempt`].
pub async fn note_password(ctx: &Ctx, user: &Object, correct: bool) -> Result<()> {
    let Some(lockout) = &ctx.config().users.account_lockout else { return Ok(()) };
    if !correct || !has_second_factor(ctx, user).await {
        return note_attempt(ctx, user, correct).await;
    }
    let Some(id) = ObjectId::new(load::object_id(user)) else { return Ok(()) };
    if is_locked(lockout, &state(ctx, &id).await?) { Err(locked(lockout)) } else { Ok(()) }
}

/// Takes note of what was brought beside a right password, where that is a second factor.
///
/// # Errors
/// As [`note_attempt`].
pub async fn note_factor(ctx: &Ctx, user: &Object, given: &Object, correct: bool) -> Result<()> {
    if ctx.config().users.account_lockout.is_none() || !has_second_factor(ctx, user).await {
        return Ok(());
    }
    // Who asks for a code by mail or phone does not guess.
    let asks = given.get("mfa").and_then(|data| data.get("token")).is_some_and(|token| token == "request");
    if asks && !correct { Ok(()) } else { note_attempt(ctx, user, correct).await }
}

async fn has_second_factor(ctx: &Ctx, user: &Object) -> bool {
    auth_data::check_additional(ctx, None, auth_data::of(user)).await.is_err()
}

/// Takes note of a login attempt.
///
/// # Errors
/// 101 with the lockout's text while the account is locked, whatever the password was.
pub async fn note_attempt(ctx: &Ctx, user: &Object, correct: bool) -> Result<()> {
    let Some(lockout) = &ctx.config().users.account_lockout else { return Ok(()) };
    let Some(id) = ObjectId::new(load::object_id(user)) else { return Ok(()) };
    // Read again: while the password was compared others may have guessed.
    let state = state(ctx, &id).await?;
    if is_locked(lockout, &state) {
        audit::note(ctx, "login_while_locked", id.as_str());
        return Err(locked(lockout));
    }
    if correct {
        if failures(&state) > 0.0 {
            let reset = Update::default().set(FieldName::known("_failed_login_count"), 0.into());
            update(ctx, &id, reset).await?;
        }
        return Ok(());
    }
    let one_more = Update { ops: vec![(FieldName::known("_failed_login_count").into(), Op::Increment(1.0))] };
    update(ctx, &id, one_more).await?;
    // May hold the guesses of others, which only locks sooner.
    let count = failures(&self::state(ctx, &id).await?);
    if count < f64::from(lockout.threshold) {
        return Ok(());
    }
    audit::note(ctx, "account_locked", id.as_str());
    let until = Millis(Millis::now().0 + (lockout.duration_min * 60_000.0) as i64);
    let until = json!({ "__type": "Date", "iso": until.to_iso() });
    update(ctx, &id, Update::default().set(FieldName::known("_account_lockout_expires_at"), until)).await?;
    if count > f64::from(lockout.threshold) { Err(locked(lockout)) } else { Ok(()) }
}

fn failures(user: &Object) -> f64 {
    user.get("_failed_login_count").and_then(Value::as_f64).unwrap_or(0.0)
}

fn is_locked(lockout: &AccountLockout, user: &Object) -> bool {
    let until = user.get("_account_lockout_expires_at").and_then(|at| at.get("iso")).and_then(Value::as_str);
    let locked_now = until.and_then(Millis::parse).is_some_and(|until| until > Millis::now());
    locked_now && failures(user) >= f64::from(lockout.threshold)
}

fn locked(lockout: &AccountLockout) -> Error {
    let minutes = crate::types::number::number_json(lockout.duration_min);
    Error::parse(
        ErrorCode::OBJECT_NOT_FOUND,
        format!(
            "Your account is locked due to multiple failed login attempts. Please try again after \
             {minutes} minute(s)"
        ),
    )
}

async fn update(ctx: &Ctx, id: &ObjectId, update: Update) -> Result<()> {
    let Some(class) = load::snapshot(ctx).await? else { return Ok(()) };
    let target = WriteFilter { filter: Filter::by_id(id), writers: None };
    on_session!(ctx, |session| session.update(&class.schema, &target, &update, Returning::default()))?;
    Ok(())
}

async fn state(ctx: &Ctx, id: &ObjectId) -> Result<Object> {
    let Some(class) = load::snapshot(ctx).await? else { return Ok(Object::new()) };
    let mut spec = FindSpec::new(Filter::by_id(id)).limit(1);
    let columns = ["_failed_login_count", "_account_lockout_expires_at"];
    spec.columns = Some(columns.map(FieldName::known).to_vec());
    let rows = on_session!(ctx, |session| session.find(&class.schema, &spec))?;
    Ok(rows.first().map(|row| row.to_object()).unwrap_or_default())
}
