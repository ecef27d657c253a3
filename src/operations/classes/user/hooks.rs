//! `_User` in the write pipeline: sign-up and changes of users, step by step (`RestWrite`'s
//! `validateAuthData`, `transformUser` and what follows the statement).

use serde_json::{Value, json};

use crate::cloud::TriggerKind;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::account::mail as account_mail;
use crate::operations::account::{login, password, policy, verification};
use crate::operations::classes::session as sessions;
use crate::operations::classes::user::{auth_data, load};
use crate::operations::object::write::triggers::has;
use crate::operations::object::write::{Draft, Saved};
use crate::operations::permissions::Protection;
use crate::operations::transactions::Effect;
use crate::operations::{Ctx, audit};
use crate::query::{Constraint, Filter, Operand};
use crate::types::javascript::is_truthy;
use crate::types::names::random_alphanumeric;
use crate::types::time::Millis;
use crate::types::{FieldName, Object};

/// What a user's write remembers between its steps.
#[derive(Debug, Default)]
pub struct UserMemory {
    /// Providers of the login, when `authData` belongs to a user that exists.
    auth_provider: Option<String>,
    auth_data_response: Option<Object>,
    clear_sessions: bool,
    new_session: bool,
    /// The sign-up is not answered with a session: the address must be verified first.
    rejected: bool,
    /// A mail with the token in `draft.internal` is due.
    pub sends_verification: bool,
}

/// The user this write is about or made by.
fn subject<'d>(ctx: &'d Ctx, draft: &'d Draft) -> Option<&'d str> {
    draft.id.as_ref().map(|id| id.as_str()).or_else(|| ctx.auth.user_id())
}

/// Names, passwords and `authData` of a request; a login through `authData` ends here.
///
/// # Errors
/// 200, 201, 252, 208, 162, what providers refuse, 119 for `emailVerified`.
pub async fn prepare(ctx: &Ctx, draft: &mut Draft) -> Result<Option<Saved>> {
    refuse_paths(draft)?;
    check_id(draft)?;
    let answer = check_auth_data(ctx, draft).await?;
    let verifies = draft.data.keys().any(|key| key.split('.').next() == Some("emailVerified"));
    if verifies && !ctx.auth.is_unrestricted() {
        return Err(Error::forbidden("Clients aren't allowed to manually update email verification."));
    }
    Ok(answer)
}

/// `authData` is written provider by provider, through their checks; a path would go around them.
fn refuse_paths(draft: &Draft) -> Result<()> {
    let path = draft.data.keys().find(|key| key.starts_with("authData."));
    match path {
        Some(path) => {
            Err(Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name for update: {path}")))
        }
        None => Ok(()),
    }
}

/// An id that reads like a role would be given that role's rights.
fn check_id(draft: &Draft) -> Result<()> {
    let role_like =
        draft.data.get("objectId").and_then(Value::as_str).is_some_and(|id| id.starts_with("role:"));
    if draft.is_create() && role_like { Err(Error::forbidden("Invalid object ID.")) } else { Ok(()) }
}

async fn check_auth_data(ctx: &Ctx, draft: &mut Draft) -> Result<Option<Saved>> {
    let filled = |data: &Value| match data {
        Value::Object(data) => !data.is_empty(),
        Value::Array(data) => !data.is_empty(),
        _ => false,
    };
    let given = draft.data.get("authData");
    let brings_data = given.and_then(Value::as_object).is_some_and(|given| given.values().any(filled));
    let text = |key: &str| draft.data.get(key).and_then(Value::as_str);
    if draft.is_create() && !brings_data {
        if text("username").is_none_or(str::is_empty) {
            return Err(Error::parse(ErrorCode::USERNAME_MISSING, "bad or missing username"));
        }
        if text("password").is_none_or(str::is_empty) {
            return Err(Error::parse(ErrorCode::PASSWORD_MISSING, "password is required"));
        }
    }
    let auth_data = match given {
        None => return Ok(None),
        Some(Value::Object(given)) if given.is_empty() => return Ok(None),
        Some(Value::Object(given)) => given.clone(),
        Some(_) => return Err(crate::auth::unsupported()),
    };
    let has_password = text("username").is_some() && text("password").is_some();
    if brings_data || has_password || ctx.auth.is_master() || subject(ctx, draft).is_some() {
        return handle_auth_data(ctx, draft, auth_data).await;
    }
    Err(crate::auth::unsupported())
}

async fn handle_auth_data(ctx: &Ctx, draft: &mut Draft, mut given: Object) -> Result<Option<Saved>> {
    let current = match &draft.id {
        Some(id) => load::by_id(ctx, id).await?,
        None => None,
    };
    let stored = current.as_ref().and_then(auth_data::of);
    let found = auth_data::find_users(ctx, &mut given, true, stored).await?;
    let found = auth_data::not_locked_out(ctx, found);
    let subject_id = subject(ctx, draft).map(str::to_owned);
    let is_somebody_else =
        |user: &Object| subject_id.as_deref().is_some_and(|subject| subject != load::object_id(user));
    match found.first() {
        Some(user) if found.len() > 1 || is_somebody_else(user) => {
            // Only who could log in as that user learns that it exists.
            auth_data::validate(ctx, &given, &draft.data, Some(user)).await?;
            Err(auth_data::already_used())
        }
        Some(user) => {
            let user = user.clone();
            for_existing(ctx, draft, given, user, subject_id.is_none()).await
        }
        None => {
            let user = own_user(ctx, current, subject_id.as_deref()).await?;
            let accepted = auth_data::validate(ctx, &given, &draft.data, user.as_ref()).await?;
            if let (Some(user), Some(_)) = (&user, &draft.id) {
                lock(draft, auth_data::lock(auth_data::of(user), &accepted.auth_data));
            }
            take_over(draft, accepted);
            Ok(None)
        }
    }
}

/// The stored user, when the caller is that user or a master.
async fn own_user(ctx: &Ctx, current: Option<Object>, subject: Option<&str>) -> Result<Option<Object>> {
    let Some(subject) = subject.filter(|id| ctx.auth.is_master() || ctx.auth.user_id() == Some(id)) else {
        return Ok(None);
    };
    match current {
        Some(current) => Ok(Some(current)),
        None => load::by_id(ctx, subject).await,
    }
}

fn take_over(draft: &mut Draft, accepted: auth_data::Accepted) {
    draft.data.insert("authData".to_owned(), Value::Object(accepted.auth_data));
    draft.special.user.auth_data_response = Some(accepted.response);
}

fn lock(draft: &mut Draft, condition: Filter) {
    if !condition.is_all() {
        draft.special.locked = true;
        draft.special.condition = Some(match draft.special.condition.take() {
            Some(known) => known.and(condition),
            None => condition,
        });
    }
}

/// The data belongs to the caller, or to whom he wants to log in as.
async fn for_existing(
    ctx: &Ctx,
    draft: &mut Draft,
    given: Object,
    user: Object,
    is_login: bool,
) -> Result<Option<Saved>> {
    let stored = auth_data::of(&user);
    draft.special.user.auth_provider = auth_data::names(&given);
    let changed = auth_data::mutated(&given, stored);
    let own = ctx.auth.is_master() || ctx.auth.user_id() == Some(load::object_id(&user));
    if !is_login && !own {
        return Ok(None);
    }
    if draft.is_create() {
        login::before_login(ctx, &user).await?;
        auth_data::check_additional(ctx, Some(&given), stored).await?;
    }
    let mut accepted = auth_data::Accepted::default();
    let validates = is_login || !changed.is_empty();
    if validates {
        let checked = if is_login { &given } else { &changed };
        accepted = auth_data::validate(ctx, checked, &draft.data, Some(&user)).await?;
    }
    if !draft.is_create() {
        if validates {
            lock(draft, auth_data::lock(stored, &accepted.auth_data));
            take_over(draft, accepted);
        } else {
            draft.data.shift_remove("authData");
        }
        return Ok(None);
    }
    log_in(ctx, draft, user, accepted, validates).await.map(Some)
}

/// `POST /users` with the data of a user who exists: the whole user, and a session unless the caller
/// has one.
async fn log_in(
    ctx: &Ctx,
    draft: &Draft,
    user: Object,
    accepted: auth_data::Accepted,
    validated: bool,
) -> Result<Saved> {
    auth_data::store(ctx, &user, &accepted.auth_data).await?;
    let mut answer = user;
    load::strip_secrets(&mut answer);
    for (name, data) in &accepted.auth_data {
        answer.entry("authData").or_insert_with(|| json!({}))[name.as_str()] = data.clone();
    }
    auth_data::masked(ctx, &mut answer);
    if let Some(Value::Object(providers)) = answer.get_mut("authData") {
        super::show_by_code(ctx, providers).await?;
    }
    load::strip_secrets(&mut answer);
    let id = load::object_id(&answer).to_owned();
    hide_protected(ctx, &id, &mut answer).await?;
    if ctx.auth.principal.is_none() && !sessions::is_by_program(ctx) {
        let providers = draft.special.user.auth_provider.as_deref().unwrap_or("password");
        let created_with = sessions::created_with("login", providers);
        let token = sessions::create_for(ctx, &id, Some(created_with)).await?;
        answer.insert("sessionToken".to_owned(), token.into());
    }
    if validated {
        answer.insert("authDataResponse".to_owned(), Value::Object(accepted.response));
    }
    Ok(Saved { status: 200, location: Some(format!("/users/{id}")), body: answer, replacement: None })
}

/// Users who do not see all of themselves (`protectedFieldsOwnerExempt: false`) do not either when they log in.
async fn hide_protected(ctx: &Ctx, id: &str, answer: &mut Object) -> Result<()> {
    if ctx.auth.is_unrestricted() || ctx.config().users.protected_fields_owner_exempt {
        return Ok(());
    }
    let Some(class) = load::snapshot(ctx).await? else { return Ok(()) };
    let reader = load::with_rights_of(ctx, id, "").await?;
    Protection::of(&reader, &class, Some(id)).strip(&load::class(), answer);
    Ok(())
}

/// A trigger may have put ids of its own into `authData`.
///
/// # Errors
/// 208 for an id of somebody else.
pub async fn after_before_save(ctx: &Ctx, draft: &mut Draft) -> Result<()> {
    if has(ctx, TriggerKind::BeforeSave, &draft.class)
        && let Some(Value::Object(given)) = draft.data.get("authData")
    {
        let mut given = given.clone();
        let found = auth_data::find_users(ctx, &mut given, false, None).await?;
        let found = auth_data::not_locked_out(ctx, found);
        let own = subject(ctx, draft).or(draft.object_id());
        if found.len() > 1 || found.first().is_some_and(|user| Some(load::object_id(user)) != own) {
            return Err(auth_data::already_used());
        }
    }
    let changes = |key: &str| draft.data.contains_key(key);
    if !draft.is_create() && (changes("password") || changes("email")) {
        for column in ["_perishable_token", "_perishable_token_expires_at"] {
            draft.internal.insert(column.to_owned(), json!({ "__op": "Delete" }));
        }
    }
    Ok(())
}

/// Passwords are hashed, names and addresses checked, the user's rights on itself assured.
///
/// # Errors
/// 142, 201, 202, 203, 125, 206.
pub async fn transform(ctx: &Ctx, draft: &mut Draft) -> Result<()> {
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
    transform_password(ctx, draft).await?;
    transform_email(ctx, draft).await?;
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

async fn transform_password(ctx: &Ctx, draft: &mut Draft) -> Result<()> {
    let Some(new) = draft.data.shift_remove("password") else { return Ok(()) };
    let Value::String(new) = new else {
        return Err(Error::parse(ErrorCode::PASSWORD_MISSING, "password is required"));
    };
    if draft.id.is_some() {
        draft.special.user.clear_sessions = true;
        draft.special.user.new_session = !ctx.auth.is_unrestricted();
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

async fn transform_email(ctx: &Ctx, draft: &mut Draft) -> Result<()> {
    let Some(Value::String(email)) = draft.data.get("email") else { return Ok(()) };
    if email.is_empty() {
        return Ok(());
    }
    if !looks_like_address(email) {
        let message = "Email address format is invalid.";
        return Err(Error::parse(ErrorCode::INVALID_EMAIL_ADDRESS, message));
    }
    check_unique(ctx, draft, "email").await?;
    let providers = draft.data.get("authData").and_then(Value::as_object);
    if providers.is_none_or(|given| given.keys().all(|name| name == "anonymous")) {
        let created_with = created_with(draft);
        draft.special.user.sends_verification =
            verification::require(ctx, draft, created_with.as_ref()).await?;
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
    if let Some(Value::Object(acl)) = draft.data.get_mut("ACL") {
        acl.insert(id, full);
    }
}

/// `createdWith` of the session that this write leads to.
fn created_with(draft: &Draft) -> Option<Value> {
    let user = &draft.special.user;
    let given = draft.data.get("authData").and_then(Value::as_object).and_then(auth_data::names);
    match (&user.auth_provider, draft.is_create()) {
        (Some(provider), _) => Some(sessions::created_with("login", provider)),
        (None, true) => Some(sessions::created_with("signup", given.as_deref().unwrap_or("password"))),
        (None, false) => None,
    }
}

/// Sessions of a new user, or of one with a new password.
///
/// # Errors
/// When storage fails, and what a function of the configuration throws.
pub async fn after_store(ctx: &Ctx, draft: &mut Draft, saved: &mut Saved) -> Result<()> {
    let Some(id) = draft.object_id().map(str::to_owned) else { return Ok(()) };
    if draft.id.is_some() {
        ctx.after_commit(Effect::UserChanged(id.clone())).await;
    }
    let cleared = clear_sessions(ctx, draft, &id).await;
    let given = give_sessions(ctx, draft, saved, &id).await;
    if std::mem::take(&mut draft.special.user.sends_verification) {
        account_mail::send_verification(ctx, &id).await;
    }
    cleared.and(given)
}

/// Whoever changes a password may do so because somebody else knows it.
async fn clear_sessions(ctx: &Ctx, draft: &mut Draft, id: &str) -> Result<()> {
    if !std::mem::take(&mut draft.special.user.clear_sessions) {
        return Ok(());
    }
    audit::note(ctx, "password_changed", id);
    if ctx.config().users.revoke_session_on_password_reset {
        sessions::remove_all_of(ctx, id).await?;
    }
    Ok(())
}

async fn give_sessions(ctx: &Ctx, draft: &mut Draft, saved: &mut Saved, id: &str) -> Result<()> {
    if wants_session(ctx, draft).await? {
        let mut created_with = created_with(draft);
        if created_with.is_none() && draft.data.contains_key("authData") {
            let names = draft.data.get("authData").and_then(Value::as_object).and_then(auth_data::names);
            created_with = names.map(|names| sessions::created_with("login", &names));
        }
        give_session(ctx, saved, id, created_with).await?;
    }
    if std::mem::take(&mut draft.special.user.new_session) {
        let created_with = created_with(draft);
        give_session(ctx, saved, id, created_with).await?;
    }
    Ok(())
}

async fn give_session(ctx: &Ctx, saved: &mut Saved, id: &str, created_with: Option<Value>) -> Result<()> {
    if sessions::is_by_program(ctx) {
        return Ok(());
    }
    let token = sessions::create_for(ctx, id, created_with).await?;
    saved.body.insert("sessionToken".to_owned(), token.into());
    Ok(())
}

/// Sign-ups get a session unless their address must be verified first; linking does not.
async fn wants_session(ctx: &Ctx, draft: &mut Draft) -> Result<bool> {
    let has_data = draft.data.contains_key("authData");
    if (draft.id.is_some() && !has_data) || (ctx.auth.principal.is_some() && has_data) {
        return Ok(false);
    }
    let users = &ctx.config().users;
    let may_keep_out = users.verify_user_emails.is_on() && users.prevent_login_with_unverified_email.is_on();
    if draft.special.user.auth_provider.is_none() && may_keep_out {
        let created_with = created_with(draft);
        let request = verification::request(ctx, draft.original.as_ref(), &draft.data, created_with.as_ref());
        if verification::keeps_out(ctx, &request).await? {
            draft.special.user.rejected = true;
            return Ok(false);
        }
    }
    Ok(true)
}

/// The answer's last form.
///
/// # Errors
/// 205 where sign-ups wait for their address to be verified.
pub fn finish(ctx: &Ctx, draft: &Draft, saved: &mut Saved) -> Result<()> {
    load::strip_secrets(&mut saved.body);
    auth_data::masked(ctx, &mut saved.body);
    if let Some(response) = &draft.special.user.auth_data_response {
        saved.body.insert("authDataResponse".to_owned(), Value::Object(response.clone()));
    }
    if draft.special.user.rejected && ctx.config().users.prevent_signup_with_unverified_email {
        return Err(Error::parse(ErrorCode::EMAIL_NOT_FOUND, "User email is not verified."));
    }
    Ok(())
}
