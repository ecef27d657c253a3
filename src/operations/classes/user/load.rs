//! `_User` rows for the server's own use: with internal columns, without the caller's limits.

use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::caller::{Auth, Credentials, Principal};
use crate::operations::object::read::internal_columns::all_columns;
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::{Filter, FindSpec};
use crate::storage::StorageError;
use crate::types::{ClassName, Object, ObjectId};

/// Makes `user` what the SDK reads as an object of `_User`: functions and adapters of the configuration
/// get users they can ask with `user.get("email")`, as from parse-server.
pub fn mark_as_user(user: &mut Object) {
    user.insert("__type".to_owned(), "Object".into());
    user.insert("className".to_owned(), "_User".into());
}

pub fn class() -> ClassName {
    ClassName::known("_User")
}

/// # Errors
/// When storage fails; the class itself always exists for reading.
pub async fn snapshot(ctx: &Ctx) -> Result<Option<Arc<ClassSnapshot>>> {
    ctx.services.classes.admit(&class()).await
}

/// Up to `limit` users with every column, internal ones included.
///
/// # Errors
/// When storage fails.
pub async fn find(ctx: &Ctx, filter: Filter, limit: u64) -> Result<Vec<Object>> {
    let Some(class) = snapshot(ctx).await? else { return Ok(Vec::new()) };
    let mut spec = FindSpec::new(filter).limit(limit);
    spec.columns = Some(all_columns(&class.schema));
    let found = on_session!(ctx, |session| session.find(&class.schema, &spec));
    match found {
        Ok(rows) => Ok(rows.iter().map(|row| row.to_object()).collect()),
        // The table, or one of its internal columns, is made with the first user.
        Err(StorageError::StaleSchema(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// One user with every column.
///
/// # Errors
/// When storage fails.
pub async fn by_id(ctx: &Ctx, id: &str) -> Result<Option<Object>> {
    let Some(id) = ObjectId::new(id) else { return Ok(None) };
    Ok(find(ctx, Filter::by_id(&id), 1).await?.into_iter().next())
}

/// Takes out what never leaves: internal columns, the password, unlinked providers.
pub fn strip_secrets(user: &mut Object) {
    user.retain(|key, value| !key.starts_with('_') && key != "password" && !value.is_null());
    let mut empty = false;
    if let Some(Value::Object(providers)) = user.get_mut("authData") {
        providers.retain(|_, data| !data.is_null());
        empty = providers.is_empty();
    }
    if empty {
        user.shift_remove("authData");
    }
}

/// The caller as this user without a session: to read what he may read of himself.
///
/// # Errors
/// When roles cannot be read.
pub async fn with_rights_of(ctx: &Ctx, user_id: &str, session_token: &str) -> Result<Ctx> {
    let roles = ctx.services.principals.roles_of(user_id).await?;
    let id = ObjectId::new(user_id).ok_or_else(Error::object_not_found)?;
    let mut user = Object::new();
    user.insert("objectId".to_owned(), user_id.into());
    let principal = Principal {
        acl_ids: Principal::acl_ids_of(user_id, &roles),
        user_id: id,
        user,
        roles,
        session_token: session_token.to_owned(),
        session_id: None,
        session_installation_id: None,
        expires_at: None,
        limited_by: None,
    };
    Ok(ctx.with_auth(Auth { credentials: Credentials::Client, principal: Some(Arc::new(principal)) }))
}

/// The text at a key, when it is one.
pub fn text<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Value::as_str)
}

pub fn object_id(user: &Object) -> &str {
    text(user, "objectId").unwrap_or_default()
}
