//! The fields of a user on their way into the table: names, passwords, mail addresses, the own ACL
//! (`RestWrite.transformUser`).

use serde_json::{Value, json};

use super::memory::Memory;
use super::{load, password, policy, verification};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::Ctx;
use crate::operations::object::write::stages::{Checked, Draft, Times};
use crate::query::{Constraint, Filter, Operand};
use crate::types::FieldName;
use crate::types::javascript::{is_empty_list, is_truthy};
use crate::types::names::random_alphanumeric;
use crate::types::time::Millis;

/// Passwords are hashed, names and addresses checked, the user's rights on itself assured.
///
/// # Errors
/// 142, 201, 202, 203, 125, 206.
pub async fn transform(ctx: &Ctx, memory: &mut Memory, checked: &mut Checked) -> Result<()> {
    let Checked { draft, times, .. } = checked;
    let nobody = !ctx.auth.is_unrestricted() && ctx.auth.principal.is_none();
    if let (Some(id), true) = (&draft.id, nobody) {
        let detail = format!("Cannot modify user {id}.");
        return Err(Error::denied(ErrorCode::SESSION_MISSING, detail));
    }
    lower_case(ctx, draft);
    if draft.is_create() && !draft.data.get("username").is_some_and(is_truthy) {
        draft.set_for_client("username", random_alphanumeric(25).into());
    } else {
        check_unique(ctx, draft, "username").await?;
    }
    transform_password(ctx, memory, draft).await?;
    transform_email(ctx, memory, draft, times).await?;
    own_acl(ctx, draft);
    if let Some(Value::Object(given)) = draft.data.get_mut("authData")
        && draft.id.is_none()
    {
        given.retain(|_, data| !data.is_null());
    }
    Ok(())
}

fn lower_case(ctx: &Ctx, draft: &mut Draft) {
    let users = &ctx.config().users;
    let options =
        [("username", users.convert_username_to_lowercase), ("email", users.convert_email_to_lowercase)];
    for (key, _) in options.into_iter().filter(|(_, on)| *on) {
        if let Some(Value::String(text)) = draft.data.get_mut(key) {
            *text = text.to_lowercase();
        }
    }
}

/// Names and addresses that differ in case only are the same.
async fn check_unique(ctx: &Ctx, draft: &Draft, column: &'static str) -> Result<()> {
    let Some(text) = draft.data.get(column).and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    if text.contains('\0') {
        return Ok(());
    }
    let same = Constraint::EqIgnoreCase(text.to_owned());
    let mut filter = Filter::field(FieldName::known(column), same);
    if let Some(id) = draft.object_id() {
        let other = Constraint::Ne(Operand::Text(id.to_owned()));
        filter = filter.and(Filter::field(FieldName::known("objectId"), other));
    }
    if load::find(ctx, filter, 1).await?.is_empty() { Ok(()) } else { Err(taken(column)) }
}

/// 202 or 203.
pub fn taken(column: &str) -> Error {
    match column {
        "email" => Error::parse(ErrorCode::EMAIL_TAKEN, "Account already exists for this email address."),
        _ => Error::parse(ErrorCode::USERNAME_TAKEN, "Account already exists for this username."),
    }
}

async fn transform_password(ctx: &Ctx, memory: &mut Memory, draft: &mut Draft) -> Result<()> {
    let Some(new) = draft.data.shift_remove("password") else { return Ok(()) };
    let Value::String(new) = new else {
        return Err(Error::parse(ErrorCode::PASSWORD_MISSING, "password is required"));
    };
    if draft.id.is_some() {
        memory.clears_sessions = true;
        memory.renews_session = !ctx.auth.is_unrestricted();
    }
    if let Some(policy) = &ctx.config().users.password_policy {
        let looks_back = policy.do_not_allow_username || policy.max_password_history > 0;
        let stored = match &draft.id {
            Some(id) if looks_back => load::by_id(ctx, id).await?,
            _ => None,
        };
        let username = draft.data.get("username").and_then(Value::as_str);
        policy::check(ctx, policy, &new, username, stored.as_ref()).await?;
        if policy.max_password_age_days.is_some() {
            let now = json!({ "__type": "Date", "iso": Millis::now().to_iso() });
            draft.internal.insert("_password_changed_at".to_owned(), now);
        }
        if let Some(stored) = stored.filter(|_| policy.max_password_history > 0) {
            draft.internal.insert("_password_history".to_owned(), policy::next_history(policy, &stored));
        }
    }
    let hash = password::hash(new).await?;
    draft.internal.insert("_hashed_password".to_owned(), hash.into());
    Ok(())
}

async fn transform_email(ctx: &Ctx, memory: &mut Memory, draft: &mut Draft, times: &Times) -> Result<()> {
    let Some(Value::String(email)) = draft.data.get("email") else { return Ok(()) };
    if email.is_empty() {
        return Ok(());
    }
    if !looks_like_address(email) {
        let message = "Email address format is invalid.";
        return Err(Error::parse(ErrorCode::INVALID_EMAIL_ADDRESS, message));
    }
    check_unique(ctx, draft, "email").await?;
    // A sign-up by a provider sends no mail; but who links one does not verify another address by that.
    let providers = draft.data.get("authData").and_then(Value::as_object).filter(|_| draft.is_create());
    if providers.is_none_or(|given| given.keys().all(|name| name == "anonymous")) {
        let created_with = memory.created_with(draft.is_create(), &draft.data);
        memory.sends_verification = verification::require(ctx, draft, times, created_with.as_ref()).await?;
    }
    Ok(())
}

/// `^.+@.+$` on one line.
fn looks_like_address(email: &str) -> bool {
    let one_line = !email.contains(['\n', '\r', '\u{2028}', '\u{2029}']);
    let inner = email.char_indices().skip(1).any(|(index, c)| c == '@' && index + 1 < email.len());
    one_line && inner
}

/// Nobody locks himself out, and a new user is its own.
fn own_acl(ctx: &Ctx, draft: &mut Draft) {
    let Some(id) = draft.object_id().map(str::to_owned) else { return };
    let full = json!({ "read": true, "write": true });
    let has_acl = draft.data.get("ACL").is_some_and(is_truthy);
    if draft.is_create() {
        if !has_acl {
            let public = !ctx.config().users.enforce_private_users;
            let acl = if public { json!({ "*": { "read": true, "write": false } }) } else { json!({}) };
            draft.data.insert("ACL".to_owned(), acl);
        }
    } else if !has_acl || ctx.auth.is_unrestricted() {
        return;
    }
    if draft.data.get("ACL").is_some_and(is_empty_list) {
        draft.data.insert("ACL".to_owned(), json!({}));
    }
    if let Some(Value::Object(acl)) = draft.data.get_mut("ACL") {
        acl.insert(id, full);
    }
}
