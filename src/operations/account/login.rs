//! `/login`, `/verifyPassword` and `/loginAs`.

use serde_json::{Value, json};

use crate::cloud::TriggerKind;
use crate::error::{Error, ErrorCode, Result};
use crate::on_session;
use crate::operations::account::lockout;
use crate::operations::classes::session as sessions;
use crate::operations::classes::user::{auth_data, load, login_trigger, password, verification};
use crate::operations::object::read;
use crate::operations::object::write::triggers::has;
use crate::operations::{Auth, Credentials, Ctx, audit};
use crate::query::{Constraint, Filter, Operand};
use crate::storage::{Returning, WriteFilter};
use crate::types::javascript::is_truthy;
use crate::types::time::Millis;
use crate::types::{FieldName, Object, ObjectId, Update};

/// What a login request brings. URL parameters count only when the body names nobody.
fn payload<'p>(body: &'p Object, query: &'p Object) -> &'p Object {
    let given = |object: &Object, key: &str| object.get(key).is_some_and(is_truthy);
    let by_query = |key: &str| !given(body, key) && given(query, key);
    if by_query("username") || by_query("email") { query } else { body }
}

fn invalid() -> Error {
    Error::parse(ErrorCode::OBJECT_NOT_FOUND, "Invalid username/password.")
}

/// The user whose name (or address) and password these are, with all columns. Takes equally long
/// whether the user exists or not.
///
/// # Errors
/// 200, 201 for what is missing, 101 for everything that does not fit, 205 for unverified addresses.
pub(super) async fn authenticate(ctx: &Ctx, body: &Object, query: &Object) -> Result<Object> {
    let payload = payload(body, query);
    let given = |key: &str| payload.get(key).filter(|value| is_truthy(value));
    let (username, email) = (given("username"), given("email"));
    if username.is_none() && email.is_none() {
        return Err(Error::parse(ErrorCode::USERNAME_MISSING, "username/email is required."));
    }
    let Some(secret) = given("password") else {
        return Err(Error::parse(ErrorCode::PASSWORD_MISSING, "password is required."));
    };
    let text = |value: Option<&Value>| match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid()),
    };
    let (Some(secret), username, email) = (text(Some(secret))?, text(username)?, text(email)?) else {
        return Err(invalid());
    };
    let Some(user) = find_user(ctx, username.as_deref(), email.as_deref()).await? else {
        password::match_nobody(secret).await?;
        audit::note(ctx, "login_failed", "an unknown user");
        return Err(invalid());
    };
    let correct = match load::text(&user, "_hashed_password").filter(|hash| !hash.is_empty()) {
        Some(hash) => password::matches(secret, hash.to_owned()).await?,
        None => password::match_nobody(secret).await?,
    };
    if !correct {
        audit::note(ctx, "login_failed", load::object_id(&user));
    }
    lockout::note_password(ctx, &user, correct).await?;
    if !correct || (!ctx.auth.is_master() && auth_data::is_locked_out(&user)) {
        return Err(invalid());
    }
    let ignores = given("ignoreEmailVerification").is_some() && ctx.auth.is_unrestricted();
    if !ignores {
        check_verified(ctx, &user, body).await?;
    }
    Ok(user)
}

async fn find_user(ctx: &Ctx, username: Option<&str>, email: Option<&str>) -> Result<Option<Object>> {
    let eq = |column: &'static str, text: &str| Filter::eq(column, Operand::Text(text.to_owned()));
    if [username, email].into_iter().flatten().any(|text| text.contains('\0')) {
        return Ok(None);
    }
    let (username, email) = lowered(ctx, username, email);
    let filter = match (username.as_deref(), email.as_deref()) {
        (Some(username), Some(email)) => eq("username", username).and(eq("email", email)),
        (None, Some(email)) => eq("email", email),
        (Some(username), None) => {
            let as_email = lowered(ctx, None, Some(username)).1;
            let address = as_email.as_deref().unwrap_or(username);
            Filter::Or(vec![eq("username", username), eq("email", address)])
        }
        (None, None) => return Ok(None),
    };
    let mut found = load::find(ctx, filter, 2).await?;
    if found.len() > 1 {
        tracing::warn!(
            "There is a user which email is the same as another user's username, logging in based on username"
        );
        found.retain(|user| load::text(user, "username") == username.as_deref());
    }
    Ok(found.into_iter().next())
}

/// Names and addresses as the options have them stored.
fn lowered(ctx: &Ctx, username: Option<&str>, email: Option<&str>) -> (Option<String>, Option<String>) {
    let users = &ctx.config().users;
    let lower = |text: &str, on: bool| if on { text.to_lowercase() } else { text.to_owned() };
    (
        username.map(|text| lower(text, users.convert_username_to_lowercase)),
        email.map(|text| lower(text, users.convert_email_to_lowercase)),
    )
}

async fn check_verified(ctx: &Ctx, user: &Object, body: &Object) -> Result<()> {
    let users = &ctx.config().users;
    let never = !users.verify_user_emails.is_on() || !users.prevent_login_with_unverified_email.is_on();
    if never || user.get("emailVerified") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    let providers = body.get("authData").and_then(Value::as_object).and_then(auth_data::names);
    let created_with = sessions::created_with("login", providers.as_deref().unwrap_or("password"));
    let request = verification::request(ctx, None, user, None, Some(&created_with));
    if verification::keeps_out(ctx, &request).await? {
        return Err(Error::parse(ErrorCode::EMAIL_NOT_FOUND, "User email is not verified."));
    }
    Ok(())
}

/// `GET` and `POST /login`: the user as it may see itself, with `sessionToken`. `query` holds the
/// parameters of the URL.
///
/// # Errors
/// Those of the password, -1 for a missing second factor, 101 for an expired password, and what the
/// beforeLogin trigger throws.
pub async fn log_in(ctx: &Ctx, body: &Object, query: &Object) -> Result<Object> {
    // Whoever logs in is not yet anybody, whatever session came along.
    let ctx = &match ctx.auth.credentials {
        Credentials::Client => ctx.with_auth(Auth::anonymous()),
        _ => ctx.clone(),
    };
    let mut user = authenticate(ctx, body, query).await?;
    let id = load::object_id(&user).to_owned();
    let brought = body.get("authData").filter(|data| is_truthy(data));
    // What is no object has no data of any provider; a list or a text names some that nobody has.
    let none = Object::new();
    let given = brought.map(|data| data.as_object().unwrap_or(&none));
    auth_data::check_additional(ctx, given, auth_data::of(&user)).await?;
    if brought.is_some_and(auth_data::names_unknown) {
        return Err(crate::auth::unsupported());
    }
    let accepted = match given {
        Some(given) => {
            let judged = judge(ctx, given, body, &user).await;
            lockout::note_factor(ctx, &user, given, judged.is_ok()).await?;
            Some(judged?)
        }
        None => None,
    };
    check_password_age(ctx, &user).await?;
    let stored = user.clone();
    load::strip_secrets(&mut user);
    login_trigger::run(ctx, TriggerKind::BeforeLogin, &user).await?;
    if let Some(accepted) = &accepted {
        auth_data::store(ctx, &stored, &accepted.auth_data).await?;
    }
    let created_with = sessions::created_with("login", "password");
    let token = sessions::create_for(ctx, &id, Some(created_with)).await?;
    user.insert("sessionToken".to_owned(), token.as_str().into());
    let mut as_user = load::with_rights_of(ctx, &id, &token).await?;
    if has(ctx, TriggerKind::AfterLogin, &load::class()) {
        login_trigger::run(&as_user, TriggerKind::AfterLogin, &user).await?;
    }
    if ctx.auth.is_unrestricted() {
        as_user = ctx.clone();
    }
    let mut answer = seen_by(&as_user, &id, user).await?;
    answer.insert("sessionToken".to_owned(), token.into());
    if let Some(accepted) = accepted {
        answer.insert("authDataResponse".to_owned(), Value::Object(accepted.response));
    }
    Ok(answer)
}

/// What a login by password brings besides, judged as where it is linked.
async fn judge(ctx: &Ctx, given: &Object, body: &Object, user: &Object) -> Result<auth_data::Accepted> {
    let mut given = given.clone();
    // Codes are exchanged here, also for an id that is stored already: it is no proof.
    let found = auth_data::find_users(ctx, &mut given, true, None).await?;
    let accepted = auth_data::validate(ctx, &given, &with_request(user, body), Some(user)).await?;
    if found.iter().any(|other| load::object_id(other) != load::object_id(user)) {
        return Err(auth_data::already_used());
    }
    Ok(accepted)
}

/// The user with what the request says of it, as providers are shown who logs in; the password is not theirs to see.
fn with_request(user: &Object, body: &Object) -> Object {
    let is_field = |key: &str| !key.starts_with('_') && key != "password";
    let said = body.iter().filter(|(key, _)| is_field(key));
    let mut object = user.clone();
    object.extend(said.map(|(key, value)| (key.clone(), value.clone())));
    object
}

/// The user as somebody may read it; when that is nothing, its id alone. Only a master, for whom
/// nothing can be denied, gets the row itself then.
async fn seen_by(reader: &Ctx, id: &str, row: Object) -> Result<Object> {
    let found = match read::get_object(reader, &load::class(), id).await {
        Ok(found) => found,
        Err(Error::Parse { .. } | Error::Denied { .. }) => None,
        Err(error) => return Err(error),
    };
    let mut seen = match found {
        Some(seen) => seen,
        None if reader.auth.is_unrestricted() => row,
        None => Object::from_iter([("objectId".to_owned(), id.into())]),
    };
    seen.retain(|key, _| !key.starts_with('_'));
    seen.shift_remove("sessionToken");
    Ok(seen)
}

/// `passwordPolicy.maxPasswordAge`; passwords from before the policy start their time now.
async fn check_password_age(ctx: &Ctx, user: &Object) -> Result<()> {
    let policy = ctx.config().users.password_policy.as_ref();
    let Some(days) = policy.and_then(|policy| policy.max_password_age_days) else { return Ok(()) };
    let changed = user.get("_password_changed_at").and_then(|at| at.get("iso")).and_then(Value::as_str);
    let Some(changed) = changed.and_then(Millis::parse) else {
        let (Some(class), Some(id)) = (load::snapshot(ctx).await?, ObjectId::new(load::object_id(user)))
        else {
            return Ok(());
        };
        let now = json!({ "__type": "Date", "iso": Millis::now().to_iso() });
        let update = Update::default().set(FieldName::known("_password_changed_at"), now);
        let unset = Filter::field(FieldName::known("_password_changed_at"), Constraint::Exists(false));
        let target = WriteFilter { filter: Filter::by_id(&id).and(unset), writers: None };
        on_session!(ctx, |session| session.update(&class.schema, &target, &update, Returning::default()))?;
        return Ok(());
    };
    if (changed.0 as f64) + days * 86_400_000.0 < Millis::now().0 as f64 {
        return Err(Error::parse(
            ErrorCode::OBJECT_NOT_FOUND,
            "Your password has expired. Please reset your password.",
        ));
    }
    Ok(())
}

/// `GET` and `POST /verifyPassword`: as [`log_in`], without session and triggers.
///
/// # Errors
/// Those of the password.
pub async fn verify_password(ctx: &Ctx, body: &Object, query: &Object) -> Result<Object> {
    let mut user = authenticate(ctx, body, query).await?;
    load::strip_secrets(&mut user);
    let id = load::object_id(&user).to_owned();
    let reader =
        if ctx.auth.is_unrestricted() { ctx.clone() } else { load::with_rights_of(ctx, &id, "").await? };
    seen_by(&reader, &id, user).await
}

/// `POST /loginAs`: a session for any user, for the master key.
///
/// # Errors
/// 119 without the master key or with the read-only one, 162 without an id, 101 for nobody's.
pub async fn log_in_as(ctx: &Ctx, body: &Object, query: &Object) -> Result<Object> {
    if !ctx.auth.is_master() {
        return Err(Error::forbidden("master key is required"));
    }
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden("read-only masterKey isn't allowed to login as another user."));
    }
    let given = |object: &Object| object.get("userId").filter(|id| is_truthy(id)).cloned();
    let Some(id) = given(body).or_else(|| given(query)) else {
        let message = "userId must not be empty, null, or undefined";
        return Err(Error::parse(ErrorCode::INVALID_VALUE, message));
    };
    let missing = || Error::parse(ErrorCode::OBJECT_NOT_FOUND, "user not found");
    let id = id.as_str().filter(|id| !id.contains('\0')).ok_or_else(missing)?;
    let mut user = load::by_id(ctx, id).await?.ok_or_else(missing)?;
    audit::note(ctx, "login_as", id);
    load::strip_secrets(&mut user);
    let created_with = sessions::created_with("login", "masterkey");
    let token = sessions::create_for(ctx, id, Some(created_with)).await?;
    user.insert("sessionToken".to_owned(), token.into());
    Ok(user)
}
