//! `authData` that a write brings: whose it is, whether it is true, and the login it may be
//! (`RestWrite.handleAuthData`).

use serde_json::{Value, json};

use super::memory::Memory;
use super::{auth_data, load, login_trigger};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::classes::session as sessions;
use crate::operations::object::read::auth_shown;
use crate::operations::object::write::{Draft, Saved};
use crate::operations::permissions::Protection;
use crate::operations::{Ctx, files};
use crate::query::Filter;
use crate::types::Object;
use crate::types::javascript::is_truthy;

/// The user this write is about or made by.
pub fn subject<'d>(ctx: &'d Ctx, draft: &'d Draft) -> Option<&'d str> {
    draft.id.as_ref().map(|id| id.as_str()).or_else(|| ctx.auth.user_id())
}

/// `authData` of a request; `Some` when it was a login.
///
/// # Errors
/// 200, 201, 252, 208, 162, and what providers refuse.
pub async fn check(ctx: &Ctx, memory: &mut Memory, draft: &mut Draft) -> Result<Option<Saved>> {
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
        // What has no entries is a value of another type, as it might be of any field.
        Some(other) if is_truthy(other) && !auth_data::names_unknown(other) => return Ok(None),
        Some(_) => return Err(crate::auth::unsupported()),
    };
    let has_password = text("username").is_some() && text("password").is_some();
    if brings_data || has_password || ctx.auth.is_master() || subject(ctx, draft).is_some() {
        return handle(ctx, memory, draft, auth_data).await;
    }
    Err(crate::auth::unsupported())
}

async fn handle(
    ctx: &Ctx,
    memory: &mut Memory,
    draft: &mut Draft,
    mut given: Object,
) -> Result<Option<Saved>> {
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
            auth_data::validate(ctx, &given, &about(draft), Some(user)).await?;
            Err(auth_data::already_used())
        }
        Some(user) => {
            let user = user.clone();
            for_existing(ctx, memory, draft, given, user, subject_id.is_none()).await
        }
        None => {
            let user = own_user(ctx, current, subject_id.as_deref()).await?;
            let accepted = auth_data::validate(ctx, &given, &about(draft), user.as_ref()).await?;
            if let (Some(user), Some(_)) = (&user, &draft.id) {
                lock(memory, draft, auth_data::lock(auth_data::of(user), &accepted.auth_data));
            }
            take_over(memory, draft, accepted);
            Ok(None)
        }
    }
}

/// What is about to be written, and to whom: providers may be shown somebody else as the user.
fn about(draft: &Draft) -> Object {
    let mut object = draft.data.clone();
    if let Some(id) = &draft.id {
        object.insert("objectId".to_owned(), id.as_str().into());
    }
    object
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

fn take_over(memory: &mut Memory, draft: &mut Draft, accepted: auth_data::Accepted) {
    draft.data.insert("authData".to_owned(), Value::Object(accepted.auth_data));
    memory.auth_data_response = Some(accepted.response);
}

fn lock(memory: &mut Memory, draft: &mut Draft, condition: Filter) {
    if !condition.is_all() {
        memory.is_locked = true;
        draft.require(condition);
    }
}

/// The data belongs to the caller, or to whom he wants to log in as.
async fn for_existing(
    ctx: &Ctx,
    memory: &mut Memory,
    draft: &mut Draft,
    given: Object,
    user: Object,
    is_login: bool,
) -> Result<Option<Saved>> {
    let stored = auth_data::of(&user);
    memory.auth_provider = auth_data::names(&given);
    let changed = auth_data::mutated(&given, stored);
    let own = ctx.auth.is_master() || ctx.auth.user_id() == Some(load::object_id(&user));
    if !is_login && !own {
        return Ok(None);
    }
    if draft.is_create() {
        login_trigger::before_login(ctx, &user).await?;
        auth_data::check_additional(ctx, Some(&given), stored).await?;
    }
    let mut accepted = auth_data::Accepted::default();
    // Who has the master key need not prove again what is stored.
    let validates = (is_login && !own) || !changed.is_empty();
    if validates {
        let checked = if is_login { &given } else { &changed };
        let mut object = draft.data.clone();
        object.insert("objectId".to_owned(), load::object_id(&user).into());
        accepted = auth_data::validate(ctx, checked, &object, Some(&user)).await?;
    }
    if !draft.is_create() {
        if validates {
            lock(memory, draft, auth_data::lock(stored, &accepted.auth_data));
            take_over(memory, draft, accepted);
        } else {
            draft.data.shift_remove("authData");
        }
        return Ok(None);
    }
    log_in(ctx, memory, user, accepted, validates).await.map(Some)
}

/// `POST /users` with the data of a user who exists: the whole user, and a session unless the caller
/// has one.
async fn log_in(
    ctx: &Ctx,
    memory: &Memory,
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
        auth_shown::show_by_code(ctx, providers).await?;
    }
    load::strip_secrets(&mut answer);
    let id = load::object_id(&answer).to_owned();
    hide_protected(ctx, &id, &mut answer).await?;
    files::put_addresses(ctx, &mut answer).await?;
    if ctx.auth.principal.is_none() && !sessions::is_by_program(ctx) {
        let providers = memory.auth_provider.as_deref().unwrap_or("password");
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
