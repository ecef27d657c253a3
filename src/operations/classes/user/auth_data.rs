//! The `authData` engine: whose data it is, whether it is true, and what of it is stored
//! (`RestWrite.handleAuthData` and `Auth.handleAuthDataValidation`).

use serde_json::Value;

use super::load;
use super::providers::{CloudCallbacks, provider};
use crate::auth::{AuthRequest, Policy, Step, Verdict, unsupported};
use crate::error::{Error, ErrorCode, Result};
use crate::on_session;
use crate::operations::Ctx;
use crate::query::{Constraint, Filter, Operand};
use crate::storage::{Returning, WriteFilter};
use crate::types::javascript::is_truthy;
use crate::types::path::FieldPath;
use crate::types::update::Op;
use crate::types::{FieldName, Object, ObjectId, Update};

/// Data that providers accepted.
#[derive(Debug, Default)]
pub struct Accepted {
    /// To be stored, `null` for providers to unlink.
    pub auth_data: Object,
    /// For the client.
    pub response: Object,
}

pub fn already_used() -> Error {
    Error::parse(ErrorCode::ACCOUNT_ALREADY_LINKED, "this auth is already used")
}

/// A single-use secret that somebody else used first.
pub fn lost_race() -> Error {
    Error::parse(ErrorCode::SCRIPT_FAILED, "Invalid auth data")
}

/// Users that one of the ids belongs to, at most two. `stored` is what the updated user has: data that
/// only repeats it is not exchanged again.
///
/// # Errors
/// 162 for an id that is no text or an empty one, and what a provider refuses.
pub async fn find_users(
    ctx: &Ctx,
    auth_data: &mut Object,
    exchanges: bool,
    stored: Option<&Object>,
) -> Result<Vec<Object>> {
    let mut by_id = Vec::new();
    for (name, data) in auth_data.iter_mut() {
        let Value::Object(data) = data else { continue };
        let Some(provider) = provider(ctx, name) else { continue };
        let known = stored.and_then(|stored| stored.get(name)).and_then(Value::as_object);
        let unchanged = known.is_some_and(|known| !data.is_empty() && is_subset(data, known));
        if exchanges && !unchanged {
            provider.before_find(data).await?;
        }
        match data.get("id") {
            Some(Value::String(id)) if !id.is_empty() => {
                let path = FieldPath {
                    root: FieldName::known("authData"),
                    rest: vec![name.clone(), "id".to_owned()],
                };
                by_id.push(Filter::field(path, Constraint::Eq(Operand::Text(id.clone()))));
            }
            // An empty id would be everybody's who sent one.
            Some(_) => return Err(crate::auth::invalid_id(name)),
            None => {}
        }
    }
    if by_id.is_empty() {
        return Ok(Vec::new());
    }
    load::find(ctx, Filter::Or(by_id), 2).await
}

fn is_subset(data: &Object, stored: &Object) -> bool {
    data.iter().all(|(key, value)| stored.get(key) == Some(value))
}

/// Users whom a master locked out by an empty ACL are nobody's to log in as.
pub fn not_locked_out(ctx: &Ctx, users: Vec<Object>) -> Vec<Object> {
    if ctx.auth.is_unrestricted() {
        return users;
    }
    users.into_iter().filter(|user| !is_locked_out(user)).collect()
}

pub fn is_locked_out(user: &Object) -> bool {
    user.get("ACL").and_then(Value::as_object).is_some_and(|acl| acl.is_empty())
}

/// What of the data differs from what the user has. Anonymous data never counts.
pub fn mutated(auth_data: &Object, stored: Option<&Object>) -> Object {
    let Some(stored) = stored else { return auth_data.clone() };
    let differs = |name: &str, data: &Value| match (data, stored.get(name)) {
        (Value::Null, _) => true,
        (Value::Object(data), Some(Value::Object(stored))) => !is_subset(data, stored),
        _ => true,
    };
    let changed = auth_data.iter().filter(|(name, data)| *name != "anonymous" && differs(name, data));
    changed.map(|(name, data)| (name.clone(), data.clone())).collect()
}

/// The user's stored `authData`.
pub fn of(user: &Object) -> Option<&Object> {
    user.get("authData").and_then(Value::as_object)
}

/// A login must bring what the user's additional providers ask for.
///
/// # Errors
/// -1 `Missing additional authData <names>`.
pub async fn check_additional(ctx: &Ctx, given: Option<&Object>, stored: Option<&Object>) -> Result<()> {
    let Some(stored) = stored else { return Ok(()) };
    let brings = |name: &str| given.and_then(|given| given.get(name)).is_some_and(is_truthy);
    let mut missing = Vec::new();
    let mut satisfied = false;
    for (name, data) in stored.iter().filter(|(_, data)| !data.is_null()) {
        let Some(provider) = provider(ctx, name) else { continue };
        match provider.policy(data, ctx.auth.is_master()).await? {
            Policy::Solo if brings(name) => return Ok(()),
            Policy::Additional if brings(name) => satisfied = true,
            Policy::Additional => missing.push(name.as_str()),
            Policy::Solo | Policy::Default => {}
        }
    }
    if satisfied || missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(",");
    Err(Error::parse(ErrorCode::OTHER_CAUSE, format!("Missing additional authData {names}")))
}

/// Asks every provider in turn, in the order of their names; the first refusal ends it.
///
/// `user` is who the data is for, when that is known; `object` what is about to be written.
///
/// # Errors
/// 252 for providers the app does not have, and what they refuse.
pub async fn validate(
    ctx: &Ctx,
    auth_data: &Object,
    object: &Object,
    user: Option<&Object>,
) -> Result<Accepted> {
    let mut accepted = Accepted::default();
    let mut names: Vec<&String> = auth_data.keys().collect();
    names.sort_unstable();
    for name in names {
        let data = &auth_data[name];
        if data.is_null() {
            accepted.auth_data.insert(name.clone(), Value::Null);
            continue;
        }
        let verdict = match validate_one(ctx, name, data, object, user, false).await {
            Ok(verdict) => verdict,
            Err(error) => {
                let user = user.map_or("nobody", load::object_id);
                tracing::error!(provider = %name, user, %error, "authData of {name} was refused: {error}");
                return Err(error);
            }
        };
        if let Some(failure) = verdict.then_fail {
            if let (Some(user), Some(save)) = (user, verdict.save) {
                let save = Object::from_iter([(name.clone(), save)]);
                store(ctx, user, &save).await?;
            }
            return Err(failure);
        }
        if let Some(response) = verdict.response {
            accepted.response.insert(name.clone(), response);
        }
        if !verdict.do_not_save {
            accepted.auth_data.insert(name.clone(), verdict.save.unwrap_or_else(|| data.clone()));
        }
    }
    Ok(accepted)
}

/// Asks one provider.
///
/// # Errors
/// As [`validate`].
pub async fn validate_one(
    ctx: &Ctx,
    name: &str,
    data: &Value,
    object: &Object,
    user: Option<&Object>,
    is_challenge: bool,
) -> Result<Verdict> {
    let provider = provider(ctx, name).ok_or_else(unsupported)?;
    let master = ctx.auth.is_master();
    let logged_in = user.is_some_and(|user| master || ctx.auth.user_id() == Some(load::object_id(user)));
    let has_it = user.and_then(of).and_then(|stored| stored.get(name)).is_some_and(|data| !data.is_null());
    let step = match (logged_in, has_it) {
        (true, true) => Step::Update,
        (false, true) => Step::Login,
        (_, false) => Step::SetUp,
    };
    let callbacks = CloudCallbacks(ctx);
    let request = AuthRequest {
        original: user,
        object,
        master,
        is_challenge,
        session_user: None,
        callbacks: &callbacks,
    };
    provider.validate(step, data, &request).await
}

/// Conditions that hold only while nobody else used up what this change uses up: every changed plain
/// value of a provider must still be stored.
pub fn lock(stored: Option<&Object>, new: &Object) -> Filter {
    let mut lock = Filter::all();
    for (name, data) in new {
        let Some(Value::Object(old)) = stored.and_then(|stored| stored.get(name)) else { continue };
        for (key, value) in old {
            let operand = match value {
                Value::String(text) => Operand::Text(text.clone()),
                Value::Bool(value) => Operand::Bool(*value),
                Value::Number(number) => Operand::Number(number.as_f64().unwrap_or_default()),
                Value::Array(elements) => Operand::Array(elements.clone()),
                Value::Null | Value::Object(_) => continue,
            };
            if data.get(key) != Some(value) {
                let path =
                    FieldPath { root: FieldName::known("authData"), rest: vec![name.clone(), key.clone()] };
                lock = lock.and(Filter::field(path, Constraint::Eq(operand)));
            }
        }
    }
    lock
}

/// Operations that store accepted data, provider by provider, so that others stay.
pub fn operations(auth_data: &Object) -> Vec<(FieldPath, Op)> {
    let root = FieldName::known("authData");
    let op = |(name, data): (&String, &Value)| {
        let path = FieldPath { root: root.clone(), rest: vec![name.clone()] };
        (path, if data.is_null() { Op::Unset } else { Op::Set(data.clone()) })
    };
    auth_data.iter().map(op).collect()
}

/// Stores accepted data of an existing user beside the write pipeline, under the [`lock`].
///
/// # Errors
/// 141 when somebody else was faster, 208 when an id became somebody else's.
pub async fn store(ctx: &Ctx, user: &Object, auth_data: &Object) -> Result<()> {
    let stored = of(user);
    let known = |name: &str, data: &Value| stored.and_then(|stored| stored.get(name)) == Some(data);
    let news = auth_data.iter().filter(|(name, data)| !known(name, data));
    let auth_data: Object = news.map(|(name, data)| (name.clone(), data.clone())).collect();
    if auth_data.is_empty() {
        return Ok(());
    }
    crate::operations::object::write::contents::check(ctx, &auth_data)?;
    let (Some(class), Some(id)) = (load::snapshot(ctx).await?, ObjectId::new(load::object_id(user))) else {
        return Ok(());
    };
    let update = Update { ops: operations(&auth_data) };
    let filter = Filter::by_id(&id).and(lock(stored, &auth_data));
    let target = WriteFilter { filter, writers: None };
    let changed =
        on_session!(ctx, |session| session.update(&class.schema, &target, &update, Returning::default()))?;
    if changed.count == 0 {
        return Err(lost_race());
    }
    let user = load::object_id(user).to_owned();
    ctx.after_commit(crate::operations::transactions::Effect::UserChanged(user)).await;
    Ok(())
}

/// What the client sees of a user's `authData`; adapters of the application are not asked.
pub fn masked(ctx: &Ctx, user: &mut Object) {
    if ctx.auth.is_unrestricted() {
        return;
    }
    if let Some(Value::Object(providers)) = user.get_mut("authData") {
        ctx.services.auth.mask(providers);
    }
}

/// Whether `authData` of another kind than an object has entries, as JavaScript counts them: their names are numbers,
/// which are no provider's.
pub fn names_unknown(data: &Value) -> bool {
    match data {
        Value::Array(elements) => elements.iter().any(|element| !element.is_null()),
        Value::String(_) => true,
        _ => false,
    }
}

/// Names of the providers, as `createdWith` has them.
pub fn names(auth_data: &Object) -> Option<String> {
    (!auth_data.is_empty()).then(|| auth_data.keys().cloned().collect::<Vec<_>>().join(","))
}
