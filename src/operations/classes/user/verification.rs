//! Options that may be functions: whether mail addresses are verified, and who may log in before.

use serde_json::{Value, json};

use super::load;
use crate::cloud;
use crate::config::{CallbackId, OptionValue};
use crate::error::{Error, Result};
use crate::operations::Ctx;
use crate::operations::object::write::stages::{Draft, Times};
use crate::types::time::Millis;
use crate::types::{Object, names};

/// What a function of the configuration answers.
///
/// # Errors
/// What it throws.
pub async fn call(ctx: &Ctx, id: CallbackId, args: Vec<Value>) -> Result<Value> {
    let id = u32::try_from(id.0).map_err(Error::internal)?;
    let args = args.into_iter().map(cloud::AdapterArg::Decoded).collect();
    ctx.services.cloud.call_callback(cloud::CallbackId(id), args).await
}

/// # Errors
/// What the function throws.
pub async fn decide(ctx: &Ctx, option: &OptionValue<bool>, request: &Value) -> Result<bool> {
    match option {
        OptionValue::Value(value) => Ok(*value),
        OptionValue::Callback(id) => Ok(call(ctx, *id, vec![request.clone()]).await? == true),
    }
}

/// Whether a user whose address is not verified is kept out.
///
/// # Errors
/// What a function of the configuration throws.
pub async fn keeps_out(ctx: &Ctx, request: &Value) -> Result<bool> {
    let users = &ctx.config().users;
    Ok(decide(ctx, &users.verify_user_emails, request).await?
        && decide(ctx, &users.prevent_login_with_unverified_email, request).await?)
}

/// What such functions are given.
pub fn request(
    ctx: &Ctx,
    original: Option<&Object>,
    object: &Object,
    times: Option<&Times>,
    created_with: Option<&Value>,
) -> Value {
    let shown = |object: &Object, times: Option<&Times>| {
        let mut object = object.clone();
        if let Some(times) = times {
            times.put_into(&mut object);
        }
        load::strip_secrets(&mut object);
        load::mark_as_user(&mut object);
        Value::Object(object)
    };
    let mut request = json!({
        "object": shown(object, times),
        "master": ctx.auth.is_master(),
        "ip": ctx.info.ip,
    });
    if let Some(original) = original {
        request["original"] = shown(original, None);
    }
    if let Some(installation) = ctx.info.acting_installation() {
        request["installationId"] = installation.into();
    }
    if let Some(created_with) = created_with {
        request["createdWith"] = created_with.clone();
    }
    request
}

/// A new address has to be verified: gives the draft a token, and says whether a mail is due.
///
/// # Errors
/// What a function of the configuration throws.
pub async fn require(
    ctx: &Ctx,
    draft: &mut Draft,
    times: &Times,
    created_with: Option<&Value>,
) -> Result<bool> {
    let users = &ctx.config().users;
    let request = request(ctx, draft.original(), &draft.data, Some(times), created_with);
    if !decide(ctx, &users.verify_user_emails, &request).await? {
        return Ok(false);
    }
    for (column, value) in token(ctx) {
        draft.internal.insert(column.to_owned(), value);
    }
    if !draft.news.changed.contains("emailVerified") {
        draft.data.insert("emailVerified".to_owned(), false.into());
    }
    Ok(true)
}

/// A fresh verification token and, where tokens expire, its end: columns and values.
pub fn token(ctx: &Ctx) -> Vec<(&'static str, Value)> {
    let mut columns = vec![("_email_verify_token", Value::from(names::random_alphanumeric(25)))];
    if let Some(seconds) = ctx.config().users.email_verify_token_validity_duration {
        let end = Millis::in_seconds(seconds);
        columns.push(("_email_verify_token_expires_at", json!({ "__type": "Date", "iso": end.to_iso() })));
    }
    columns
}
