//! Requests that carry `X-Parse-Request-Id` run once: ids are rows of `_Idempotency`
//! (parse-server's `promiseEnsureIdempotency`), each bound to whoever sent it.

use serde_json::{Value, json};

use crate::error::{Error, ErrorCode, Result};
use crate::operations::context::Ctx;
use crate::operations::services::Services;
use crate::query::{Constraint, Filter, Operand};
use crate::storage::{StorageError, WriteFilter};
use crate::types::time::Millis;
use crate::types::{ClassName, FieldName, Object, ObjectId};

const CLASS: &str = "_Idempotency";

/// Remembers the request's id. `path` is below the mount.
///
/// # Errors
/// 159 `Duplicate request` when the id was seen within `idempotencyOptions.ttl`.
pub async fn ensure(ctx: &Ctx, path: &str) -> Result<()> {
    let options = &ctx.config().idempotency;
    let Some(request_id) = &ctx.info.request_id else { return Ok(()) };
    let path = path.strip_prefix('/').unwrap_or(path);
    if !options.applies_to(path.strip_suffix('/').unwrap_or(path)) {
        return Ok(());
    }
    let now = Millis::now();
    let expire = Millis(now.0.saturating_add((options.ttl_s * 1000.0) as i64));
    let class = ClassName::known(CLASS);
    let snapshot = ctx.services.classes.admit(&class).await?;
    let schema = &snapshot.ok_or_else(|| Error::internal("_Idempotency does not exist"))?.schema;
    let request_id = bound(ctx, request_id);
    let row = row(ctx, &request_id, now, expire);
    let storage = ctx.services.storage.as_session();
    let duplicate = || Error::parse(ErrorCode::DUPLICATE_REQUEST, "Duplicate request");
    match storage.create(schema, std::slice::from_ref(&row)).await {
        Ok(()) => return Ok(()),
        Err(StorageError::Duplicate { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // Nothing in PostgreSQL removes rows that ran out, so this request removes what is in its way.
    let filter = Filter::eq("reqId", Operand::Text(request_id))
        .and(Filter::field(FieldName::known("expire"), Constraint::Lt(Operand::Date(now))));
    let removed = storage.delete(schema, &WriteFilter { filter, writers: None }, false).await?;
    if removed.count == 0 {
        return Err(duplicate());
    }
    match storage.create(schema, &[row]).await {
        Ok(()) => Ok(()),
        Err(StorageError::Duplicate { .. }) => Err(duplicate()),
        Err(error) => Err(error.into()),
    }
}

/// The id with a mark of the caller: nobody uses up the ids of somebody else.
fn bound(ctx: &Ctx, request_id: &str) -> String {
    use sha2::{Digest, Sha256};
    let (kind, caller) = if ctx.auth.is_unrestricted() {
        ("master", "")
    } else if let Some(principal) = &ctx.auth.principal {
        ("user", principal.user_id.as_str())
    } else if let Some(token) = &ctx.info.session_token {
        ("session", token.as_str())
    } else {
        ("installation", ctx.info.installation_id.as_deref().unwrap_or_default())
    };
    let mut hash = Sha256::new();
    for part in [kind, "\0", caller] {
        hash.update(part.as_bytes());
    }
    let mark: String = hex::encode(hash.finalize()).chars().take(16).collect();
    format!("{request_id}:{mark}")
}

/// Removes every id that ran out.
///
/// # Errors
/// When storage fails.
pub async fn remove_expired(services: &Services) -> Result<()> {
    let Some(snapshot) = services.classes.admit(&ClassName::known(CLASS)).await? else { return Ok(()) };
    let filter = Filter::field(FieldName::known("expire"), Constraint::Lt(Operand::Date(Millis::now())));
    services
        .storage
        .as_session()
        .delete(&snapshot.schema, &WriteFilter { filter, writers: None }, false)
        .await?;
    Ok(())
}

fn row(ctx: &Ctx, request_id: &str, now: Millis, expire: Millis) -> Object {
    let mut row = Object::new();
    let id = ObjectId::generate(ctx.config().schema.object_id_size);
    row.insert("objectId".into(), Value::String(id.to_string()));
    row.insert("reqId".into(), Value::String(request_id.to_owned()));
    row.insert("expire".into(), json!({"__type": "Date", "iso": expire.to_iso()}));
    row.insert("createdAt".into(), Value::String(now.to_iso()));
    row.insert("updatedAt".into(), Value::String(now.to_iso()));
    row
}
