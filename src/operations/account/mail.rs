//! Mail to users: address verification and password reset, from the request to the link's last click
//! (parse-server `UserController` and the mail routes of `UsersRouter`).
//!
//! Tokens are spent by one conditional update: of two clicks at the same time one wins.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::{AdapterArg, CallbackId, TriggerCall, TriggerKind};
use crate::config::OptionValue;
use crate::error::{Error, ErrorCode, Result};
use crate::mail::AccountMail;
use crate::operations::Ctx;
use crate::operations::audit;
use crate::operations::caller::{Auth, Credentials};
use crate::operations::classes;
pub use crate::operations::classes::user::mail::public_url;
use crate::operations::classes::user::mail::{
    date_of, deliver_verification, expiry, find_user, public_user, send_later, setup, text_of,
};
use crate::operations::classes::user::{mark_as_user, strip_secrets};
use crate::operations::object::write::Draft;
use crate::operations::{code_log, files};
use crate::query::{Constraint, Filter, Operand};
use crate::storage::{Returning, WriteFilter};
use crate::types::javascript::is_truthy;
use crate::types::names::random_alphanumeric;
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, FieldName, Object, ObjectId, Op, Update};

const TOKEN_LENGTH: usize = 25;
const INVALID_RESET: &str = "Failed to reset password: username / email / token is invalid";
const EXPIRED_RESET: &str = "The password reset link has expired";

fn users() -> ClassName {
    ClassName::known("_User")
}

fn column(name: &'static str) -> FieldName {
    FieldName::known(name)
}

fn text(value: &str) -> Operand {
    Operand::Text(value.to_owned())
}

async fn schema(ctx: &Ctx) -> Result<std::sync::Arc<ClassSchema>> {
    let users = ctx.services.classes.admit(&users()).await?;
    Ok(users.ok_or_else(|| Error::internal("_User does not exist"))?.schema.clone())
}

/// Answers that shall not tell whether an address is known take at least this long: longer than the
/// writes that only a known address causes.
const EVEN_TIME: Duration = Duration::from_millis(80);

async fn evened<T>(discreet: bool, work: impl Future<Output = Result<T>>) -> Result<T> {
    if !discreet {
        return work.await;
    }
    let (outcome, ()) = tokio::join!(work, tokio::time::sleep(EVEN_TIME));
    outcome
}

// ---- password reset ------------------------------------------------------------------------------

/// `POST /requestPasswordReset` with `email`, or with the `token` of a link that has expired.
///
/// # Errors
/// 204, 125 and 162 for what is missing or malformed, 101 for an unknown address when
/// `resetPasswordSuccessOnInvalidEmail` is off, what beforePasswordResetRequest threw.
pub async fn request_password_reset(ctx: &Ctx, body: &Object) -> Result<Object> {
    let policy = ctx.config().users.password_policy.as_ref();
    let discreet = policy.is_none_or(|policy| policy.reset_password_success_on_invalid_email);
    evened(discreet, reset_asked(ctx, body, discreet)).await
}

async fn reset_asked(ctx: &Ctx, body: &Object, discreet: bool) -> Result<Object> {
    let setup = setup(ctx).await?;
    let given = |key: &str| body.get(key).filter(|value| is_truthy(value));
    let (mut email, token) = (given("email").cloned(), given("token"));
    if email.is_none() && token.is_none() {
        return Err(Error::parse(ErrorCode::EMAIL_MISSING, "you must provide an email"));
    }
    if let Some(token) = token {
        let token =
            token.as_str().ok_or_else(|| Error::parse(ErrorCode::INVALID_VALUE, "token must be a string"))?;
        let expired = Filter::eq("_perishable_token", text(token)).and(Filter::field(
            column("_perishable_token_expires_at"),
            Constraint::Lt(Operand::Date(Millis::now())),
        ));
        if let Some(user) = find_user(ctx, expired).await?
            && let Some(address) = user.get("email").filter(|address| address.is_string())
        {
            email = Some(address.clone());
        }
    }
    let Some(Value::String(email)) = email else {
        return Err(Error::parse(ErrorCode::INVALID_EMAIL_ADDRESS, "you must provide a valid email string"));
    };
    let Some(user) = find_addressed(ctx, &email).await? else {
        if discreet {
            return Ok(Object::new());
        }
        return Err(Error::parse(ErrorCode::OBJECT_NOT_FOUND, "A user with that email does not exist."));
    };
    audit::note(ctx, "password_reset_requested", text_of(&user, "objectId").unwrap_or_default());
    run_reset_trigger(ctx, &user).await?;
    let (user, token) = reset_token(ctx, user).await?;
    let link = setup.link(ctx, "request_password_reset", &token);
    let mail = AccountMail { link, app_name: setup.app_name, user: public_user(user) };
    send_later(ctx, mail, true);
    Ok(Object::new())
}

/// The user with the address; only if there is none, one without any address who has it for a name. Names
/// are anybody's to choose: one like another's address must not stand in the way of that user's mails.
async fn find_addressed(ctx: &Ctx, email: &str) -> Result<Option<Object>> {
    if let Some(user) = find_user(ctx, Filter::eq("email", text(email))).await? {
        return Ok(Some(user));
    }
    let nowhere = Filter::field(column("email"), Constraint::Exists(false));
    find_user(ctx, Filter::eq("username", text(email)).and(nowhere)).await
}

async fn run_reset_trigger(ctx: &Ctx, user: &Object) -> Result<()> {
    let registrations = ctx.services.cloud.registrations();
    if !registrations.has_trigger(TriggerKind::BeforePasswordResetRequest, "_User") {
        return Ok(());
    }
    let mut call = TriggerCall::new(TriggerKind::BeforePasswordResetRequest, "_User");
    let mut shown = user.clone();
    strip_secrets(&mut shown);
    files::put_addresses(ctx, &mut shown).await?;
    call.object = Some(Value::Object(shown).into());
    call.object_id = text_of(user, "objectId").map(str::to_owned);
    call.caller = ctx.caller();
    call.context.clone_from(&ctx.info.context);
    call.scope = ctx.scope();
    code_log::run_trigger(ctx, call).await.map(|_| ())
}

/// A token that is still good when reuse is on, else a new one.
async fn reset_token(ctx: &Ctx, mut user: Object) -> Result<(Object, String)> {
    let policy = ctx.config().users.password_policy.as_ref();
    let validity = policy.and_then(|policy| policy.reset_token_validity_duration_s);
    let reuse = policy.is_some_and(|policy| policy.reset_token_reuse_if_valid) && validity.is_some();
    if reuse
        && let Some(token) = text_of(&user, "_perishable_token")
        && date_of(&user, "_perishable_token_expires_at").is_some_and(|end| end > Millis::now())
    {
        let token = token.to_owned();
        return Ok((user, token));
    }
    let token = random_alphanumeric(TOKEN_LENGTH);
    let mut update = Update::default().set(column("_perishable_token"), token.as_str().into());
    if let Some(seconds) = validity {
        update = update.set(column("_perishable_token_expires_at"), expiry(seconds));
    }
    update_user(ctx, by_id(&user)?, &update).await?;
    user.insert("_perishable_token".to_owned(), token.as_str().into());
    Ok((user, token))
}

fn by_id(user: &Object) -> Result<Filter> {
    let id = text_of(user, "objectId").and_then(ObjectId::new);
    id.map(|id| Filter::by_id(&id)).ok_or_else(|| Error::internal("a user without an id"))
}

async fn update_user(ctx: &Ctx, filter: Filter, update: &Update) -> Result<u64> {
    let schema = schema(ctx).await?;
    let target = WriteFilter { filter, writers: None };
    let changed = ctx.services.storage.update(&schema, &target, update, Returning::default()).await?;
    Ok(changed.count)
}

/// Whether a reset link may still be used.
///
/// # Errors
/// Text for the page: the token is unknown or has expired.
pub async fn check_reset_token(ctx: &Ctx, token: &str) -> Result<Object, String> {
    let found = find_user(ctx, Filter::eq("_perishable_token", text(token))).await;
    let user = match found {
        Ok(Some(user)) => user,
        Ok(None) => return Err(INVALID_RESET.to_owned()),
        Err(error) => {
            tracing::error!(%error, "a reset token could not be looked up");
            return Err(INVALID_RESET.to_owned());
        }
    };
    let expires = ctx.config().users.password_policy.as_ref().and_then(|p| p.reset_token_validity_duration_s);
    let ended = date_of(&user, "_perishable_token_expires_at").is_some_and(|end| end < Millis::now());
    if expires.is_some() && ended { Err(EXPIRED_RESET.to_owned()) } else { Ok(user) }
}

/// Sets the password a reset link leads to; the token is spent by the same statement.
///
/// # Errors
/// Text for the page.
pub async fn update_password(ctx: &Ctx, token: &str, password: &str) -> Result<(), String> {
    let user = check_reset_token(ctx, token).await?;
    let Some(id) = text_of(&user, "objectId").and_then(ObjectId::new) else {
        return Err(INVALID_RESET.to_owned());
    };
    let mut data = Object::new();
    data.insert("password".to_owned(), password.into());
    let mut draft = Draft::update(users(), id, data);
    draft.require(Filter::eq("_perishable_token", text(token)));
    let master = ctx.with_auth(Auth::master());
    classes::save(&master, draft).await.map_err(|error| {
        if error.is(ErrorCode::OBJECT_NOT_FOUND) {
            return INVALID_RESET.to_owned();
        }
        error.public_message(ctx.config().http.sanitize_errors).to_owned()
    })?;
    audit::note(ctx, "password_reset_used", text_of(&user, "objectId").unwrap_or_default());
    let unlock = ctx.config().users.account_lockout.as_ref().is_some_and(|l| l.unlock_on_password_reset);
    if unlock {
        let ops =
            ["_failed_login_count", "_account_lockout_expires_at"].map(|c| (column(c).into(), Op::Unset));
        let unlocked = match by_id(&user) {
            Ok(filter) => update_user(ctx, filter, &Update { ops: ops.into() }).await,
            Err(error) => Err(error),
        };
        if let Err(error) = unlocked {
            tracing::error!(%error, "an account could not be unlocked after a password reset");
        }
    }
    Ok(())
}

// ---- address verification ------------------------------------------------------------------------

fn verifies(ctx: &Ctx) -> bool {
    !matches!(ctx.config().users.verify_user_emails, OptionValue::Value(false))
}

/// Follows a verification link.
///
/// # Errors
/// 101 when the token is unknown, spent or expired; what a trigger threw.
pub async fn verify_email(ctx: &Ctx, token: &str) -> Result<()> {
    if !verifies(ctx) {
        return Err(Error::object_not_found());
    }
    let mut condition = Filter::eq("_email_verify_token", text(token));
    let expires = ctx.config().users.email_verify_token_validity_duration.is_some();
    if expires {
        condition = condition
            .and(Filter::field(column("emailVerified"), Constraint::Ne(Operand::Bool(true))))
            .and(Filter::field(
                column("_email_verify_token_expires_at"),
                Constraint::Gt(Operand::Date(Millis::now())),
            ));
    }
    let user = find_user(ctx, condition.clone()).await?.ok_or_else(Error::object_not_found)?;
    let id = text_of(&user, "objectId").and_then(ObjectId::new).ok_or_else(Error::object_not_found)?;
    let mut data = Object::new();
    data.insert("emailVerified".to_owned(), true.into());
    let mut draft = Draft::update(users(), id, data);
    draft.internal.insert("_email_verify_token".to_owned(), json!({ "__op": "Delete" }));
    if expires {
        draft.internal.insert("_email_verify_token_expires_at".to_owned(), json!({ "__op": "Delete" }));
    }
    draft.require(condition);
    let auth = Auth { credentials: Credentials::Maintenance, principal: None };
    classes::save(&ctx.with_auth(auth), draft).await?;
    audit::note(ctx, "address_verified", text_of(&user, "objectId").unwrap_or_default());
    Ok(())
}

/// `POST /verificationEmailRequest`.
///
/// # Errors
/// 204 and 125 for the address; 205 and -1 only when `emailVerifySuccessOnInvalidEmail` is off.
pub async fn verification_email_request(ctx: &Ctx, body: &Object) -> Result<Object> {
    let discreet = ctx.config().users.email_verify_success_on_invalid_email;
    evened(discreet, verification_asked(ctx, body, discreet)).await
}

async fn verification_asked(ctx: &Ctx, body: &Object, discreet: bool) -> Result<Object> {
    setup(ctx).await?;
    let Some(email) = body.get("email").filter(|email| is_truthy(email)) else {
        return Err(Error::parse(ErrorCode::EMAIL_MISSING, "you must provide an email"));
    };
    let Some(email) = email.as_str() else {
        return Err(Error::parse(ErrorCode::INVALID_EMAIL_ADDRESS, "you must provide a valid email string"));
    };
    let Some(user) = find_user(ctx, Filter::eq("email", text(email))).await? else {
        if discreet {
            return Ok(Object::new());
        }
        return Err(Error::parse(ErrorCode::EMAIL_NOT_FOUND, format!("No user found with email {email}")));
    };
    if user.get("emailVerified").is_some_and(|verified| *verified == true) {
        if discreet {
            return Ok(Object::new());
        }
        return Err(Error::parse(ErrorCode::OTHER_CAUSE, format!("Email {email} is already verified.")));
    }
    resend_to(ctx, user).await?;
    Ok(Object::new())
}

/// The page's resend button: by user name, by token, or both.
///
/// # Errors
/// 101 when there is no such user, or nothing to verify.
pub async fn resend_verification(ctx: &Ctx, username: Option<&str>, token: Option<&str>) -> Result<()> {
    let mut filter = Filter::all();
    if let Some(username) = username {
        filter = filter.and(Filter::eq("username", text(username)));
    }
    if let Some(token) = token {
        filter = filter.and(Filter::eq("_email_verify_token", text(token)));
    }
    let user = find_user(ctx, filter).await?.ok_or_else(Error::object_not_found)?;
    if user.get("emailVerified").is_some_and(|verified| *verified == true) {
        return Err(Error::object_not_found());
    }
    resend_to(ctx, user).await
}

async fn resend_to(ctx: &Ctx, mut user: Object) -> Result<()> {
    let config = &ctx.config().users;
    let setup = setup(ctx).await?;
    let still_good = text_of(&user, "_email_verify_token").is_some()
        && date_of(&user, "_email_verify_token_expires_at").is_some_and(|end| end > Millis::now());
    let reuse =
        config.email_verify_token_reuse_if_valid && config.email_verify_token_validity_duration.is_some();
    if !(reuse && still_good) {
        if !wants_verification(ctx, &user).await? {
            return Ok(());
        }
        let token = random_alphanumeric(TOKEN_LENGTH);
        let mut update = Update::default()
            .set(column("_email_verify_token"), token.as_str().into())
            .set(column("emailVerified"), false.into());
        if let Some(seconds) = config.email_verify_token_validity_duration {
            let end = expiry(seconds);
            update = update.set(column("_email_verify_token_expires_at"), end);
        }
        update_user(ctx, by_id(&user)?, &update).await?;
        user.insert("_email_verify_token".to_owned(), token.into());
    }
    deliver_verification(ctx, setup, user).await
}

async fn wants_verification(ctx: &Ctx, user: &Object) -> Result<bool> {
    match &ctx.config().users.verify_user_emails {
        OptionValue::Value(wanted) => Ok(*wanted),
        OptionValue::Callback(id) => {
            let mut shown = public_user(user.clone());
            mark_as_user(&mut shown);
            let request = json!({
                "object": shown,
                "master": ctx.auth.is_master(),
                "ip": ctx.info.ip,
                "installationId": ctx.info.acting_installation(),
                "resendRequest": true,
            });
            let id = CallbackId(u32::try_from(id.0).map_err(Error::internal)?);
            let answer = ctx.services.cloud.call_callback(id, vec![AdapterArg::Decoded(request)]).await?;
            Ok(answer == true)
        }
    }
}
