//! Sessions: making them, and the rules of `_Session` rows.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::config::AppConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::on_session;
use crate::operations::object::write;
use crate::operations::object::write::{Checked, ClassRules, Draft, Rules, Saved, Stored};
use crate::operations::transactions::Effect;
use crate::operations::{Auth, Ctx, PROGRAM, audit};
use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::storage::WriteFilter;
use crate::types::time::Millis;
use crate::types::{ClassName, FieldName, Object, ObjectId, RowRef};

pub fn class() -> ClassName {
    ClassName::known("_Session")
}

/// `{"action": …, "authProvider": …}`.
pub fn created_with(action: &str, provider: &str) -> Value {
    json!({ "action": action, "authProvider": provider })
}

/// A new session's row without its id; the token is in it.
pub fn new_row(ctx: &Ctx, user_id: &str, created_with: Option<Value>) -> Object {
    let mut row = Object::new();
    row.insert("sessionToken".to_owned(), new_token().into());
    let user = json!({ "__type": "Pointer", "className": "_User", "objectId": user_id });
    row.insert("user".to_owned(), user);
    let until = expires_at(ctx, created_with.as_ref());
    if let Some(created_with) = created_with {
        row.insert("createdWith".to_owned(), created_with);
    }
    if let Some(at) = until {
        row.insert("expiresAt".to_owned(), json!({ "__type": "Date", "iso": at.to_iso() }));
    }
    row
}

/// `r:` and 32 hexadecimal digits.
fn new_token() -> String {
    let bytes: [u8; 16] = rand::random();
    format!("r:{}", hex::encode(bytes))
}

fn expires_at(ctx: &Ctx, created_with: Option<&Value>) -> Option<Millis> {
    let users = &ctx.config().users;
    let inactive = users.expire_inactive_sessions.then(|| Millis::in_seconds(users.session_length));
    let limit = limit(ctx.config(), created_with).map(|(_, seconds)| Millis::in_seconds(seconds));
    inactive.into_iter().chain(limit).min()
}

/// The providers that a session began with, and the seconds after which one of them wants to be asked again
/// (`auth.<provider>.revalidateAfter`); `None` where no provider does.
pub fn limit<'v>(config: &AppConfig, created_with: Option<&'v Value>) -> Option<(&'v str, f64)> {
    let names = created_with?.get("authProvider")?.as_str()?;
    let settings = config.auth.expose();
    let seconds = |name: &str| settings.get(name)?.get("revalidateAfter")?.as_f64();
    let limits = names.split(',').filter_map(seconds).filter(|seconds| *seconds > 0.0);
    limits.reduce(f64::min).map(|seconds| (names, seconds))
}

/// Whether a sign-up, or a login by `authData`, is made by a program: those get no session. Logins by
/// name do.
pub fn is_by_program(ctx: &Ctx) -> bool {
    ctx.info.acting_installation() == Some(PROGRAM)
}

/// Makes a session for the user, with the request's installation, and answers its token.
///
/// # Errors
/// When storage fails.
pub async fn create_for(ctx: &Ctx, user_id: &str, created_with: Option<Value>) -> Result<String> {
    let installation = ctx.info.installation_id.as_deref();
    let mut row = new_row(ctx, user_id, created_with);
    if let Some(installation) = installation.filter(|id| !id.is_empty()) {
        row.insert("installationId".to_owned(), installation.into());
    }
    let token = row.get("sessionToken").and_then(Value::as_str).unwrap_or_default().to_owned();
    insert(ctx, row).await?;
    audit::note(ctx, "session_created", user_id);
    Ok(token)
}

/// Stores a session's row with full rights.
async fn insert(ctx: &Ctx, row: Object) -> Result<Saved> {
    let master = ctx.with_auth(Auth::master());
    let mut rules: Rules = Some(Box::new(SessionRules));
    Box::pin(write::save(&master, Draft::create(class(), row), &mut rules)).await
}

/// The rules before a session is written are `RestWrite.handleSession`'s.
#[derive(Debug)]
pub struct SessionRules;

#[async_trait(?Send)]
impl ClassRules for SessionRules {
    /// 209 without a user, 105 for what may not be written; a client's session is made here.
    async fn prepare(&mut self, ctx: &Ctx, draft: &mut Draft) -> Result<Option<Saved>> {
        let unrestricted = ctx.auth.is_unrestricted();
        let user = ctx.auth.user_id().map(str::to_owned);
        if user.is_none() && !unrestricted {
            return Err(Error::parse(ErrorCode::INVALID_SESSION_TOKEN, "Session token required."));
        }
        if draft.data.contains_key("ACL") {
            return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, "Cannot set ACL on a Session."));
        }
        if draft.is_create() {
            return match user {
                Some(user) if !unrestricted => create_by_client(ctx, draft, &user).await.map(Some),
                _ => Ok(None),
            };
        }
        check_update(ctx, draft, user.as_deref())?;
        if let Some(user) = user.filter(|_| !unrestricted) {
            draft.require(of_user(&user));
        }
        Ok(None)
    }

    async fn transform(&mut self, ctx: &Ctx, checked: &mut Checked) -> Result<()> {
        remove_duplicates(ctx, &checked.draft).await
    }

    /// A session row was changed: what is known of it is read again. New ones nobody knows yet.
    async fn after_store(&mut self, ctx: &Ctx, stored: &Stored, _saved: &mut Saved) -> Result<()> {
        let Some(id) = &stored.id else { return Ok(()) };
        for row in find(ctx, Filter::by_id(id)).await? {
            if let Some(token) = row.get("sessionToken").and_then(Value::as_str) {
                ctx.after_commit(Effect::SessionGone(token.to_owned())).await;
            }
        }
        Ok(())
    }

    fn sees_deleted(&self) -> bool {
        true
    }

    /// Nobody ends the sessions of somebody else: 209.
    fn check_deleted(&self, ctx: &Ctx, session: &Object) -> Result<()> {
        if ctx.auth.is_unrestricted() {
            return Ok(());
        }
        let owner = session.get("user").and_then(|user| user.get("objectId")).and_then(Value::as_str);
        if owner.is_some() && owner == ctx.auth.user_id() {
            return Ok(());
        }
        Err(Error::denied(ErrorCode::INVALID_SESSION_TOKEN, "Invalid session token"))
    }

    /// parse-server deletes a session that is already gone without complaint.
    fn forgives_missing(&self) -> bool {
        true
    }

    async fn after_delete(&self, ctx: &Ctx, id: &ObjectId, row: Option<RowRef<'_>>) {
        let Some(row) = row else { return };
        if let Some(token) = row.text("sessionToken") {
            audit::note(ctx, "session_revoked", row.text("user").unwrap_or(id.as_str()));
            ctx.after_commit(Effect::SessionGone(token.to_owned())).await;
        }
    }
}

/// Sessions of this user.
fn of_user(user_id: &str) -> Filter {
    Filter::eq("user", Operand::Pointer { class: ClassName::known("_User"), id: user_id.to_owned() })
}

async fn create_by_client(ctx: &Ctx, draft: &Draft, user: &str) -> Result<Saved> {
    // Stored with full rights, so that nobody would look at it later.
    write::contents::check(ctx, &draft.data)?;
    const OURS: [&str; 5] = ["objectId", "user", "sessionToken", "expiresAt", "createdWith"];
    let caller = ctx.auth.principal.as_deref();
    let mut made_by = json!({ "action": "create" });
    let limited_by = caller.and_then(|caller| caller.limited_by.as_deref());
    if let Some(providers) = limited_by {
        made_by["authProvider"] = providers.into();
    }
    let mut row = new_row(ctx, user, Some(made_by));
    if let (Some(_), Some(at)) = (limited_by, caller.and_then(|caller| caller.expires_at)) {
        // No session makes one that outlives it.
        row.insert("expiresAt".to_owned(), json!({ "__type": "Date", "iso": at.to_iso() }));
    }
    for (key, value) in draft.data.iter().filter(|(key, _)| {
        let root = key.split('.').next().unwrap_or(key);
        !OURS.contains(&root)
    }) {
        row.insert(key.clone(), value.clone());
    }
    let stored = insert(ctx, row.clone()).await?;
    audit::note(ctx, "session_created", user);
    let id = stored.body.get("objectId").cloned();
    let id = id.ok_or_else(|| Error::parse(ErrorCode::INTERNAL_SERVER_ERROR, "Error creating session."))?;
    row.insert("objectId".to_owned(), id);
    Ok(Saved { status: 201, location: stored.location, body: row, replacement: None })
}

fn check_update(ctx: &Ctx, draft: &Draft, user: Option<&str>) -> Result<()> {
    let invalid = |key: &str| Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid key name: {key}"));
    // Paths below a column count as the column.
    let written = |name: &str| {
        draft.data.keys().any(|key| key == name || key.strip_prefix(name).is_some_and(|r| r.starts_with('.')))
    };
    if written("user") && !ctx.auth.is_master() {
        let given = draft.data.get("user").and_then(|user| user.get("objectId")).and_then(Value::as_str);
        if given.is_none() || given != user {
            return Err(invalid("user"));
        }
    }
    for key in ["installationId", "sessionToken"] {
        if written(key) {
            return Err(invalid(key));
        }
    }
    for key in ["expiresAt", "createdWith"] {
        if written(key) && !ctx.auth.is_unrestricted() {
            return Err(invalid(key));
        }
    }
    Ok(())
}

/// One session for each user and installation: a new one ends the others.
///
/// # Errors
/// When storage fails.
async fn remove_duplicates(ctx: &Ctx, draft: &Draft) -> Result<()> {
    if !draft.is_create() {
        return Ok(());
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let user = text(draft.data.get("user").and_then(|user| user.get("objectId")));
    let (Some(user), Some(installation), Some(token)) =
        (user, text(draft.data.get("installationId")), text(draft.data.get("sessionToken")))
    else {
        return Ok(());
    };
    let others = of_user(&user)
        .and(Filter::eq("installationId", Operand::Text(installation)))
        .and(Filter::field(FieldName::known("sessionToken"), Constraint::Ne(Operand::Text(token))));
    remove(ctx, others).await
}

/// Ends every session of a user.
///
/// # Errors
/// When storage fails.
pub async fn remove_all_of(ctx: &Ctx, user_id: &str) -> Result<()> {
    remove(ctx, of_user(user_id)).await
}

/// Deletes sessions and lets every cache know.
async fn remove(ctx: &Ctx, filter: Filter) -> Result<()> {
    let Some(class) = ctx.services.classes.admit(&class()).await? else { return Ok(()) };
    let target = WriteFilter { filter, writers: None };
    let gone = on_session!(ctx, |session| session.delete(&class.schema, &target, true))?;
    for row in gone.before.iter().flat_map(|rows| rows.iter()) {
        audit::note(ctx, "session_revoked", row.text("user").unwrap_or(row.object_id()));
        if let Some(token) = row.text("sessionToken") {
            ctx.after_commit(Effect::SessionGone(token.to_owned())).await;
        }
    }
    Ok(())
}

/// Sessions with full rights, at most one page.
///
/// # Errors
/// When storage fails.
pub async fn find(ctx: &Ctx, filter: Filter) -> Result<Vec<Object>> {
    let Some(class) = ctx.services.classes.admit(&class()).await? else { return Ok(Vec::new()) };
    let spec = FindSpec::new(filter).limit(100);
    let rows = on_session!(ctx, |session| session.find(&class.schema, &spec))?;
    Ok(rows.iter().map(|row| row.to_object()).collect())
}

/// The session of a token, with full rights.
///
/// # Errors
/// When storage fails.
pub async fn by_token(ctx: &Ctx, token: &str) -> Result<Option<Object>> {
    if token.contains('\0') {
        return Ok(None);
    }
    let filter = Filter::eq("sessionToken", Operand::Text(token.to_owned()));
    Ok(find(ctx, filter).await?.into_iter().next())
}
