//! `passwordPolicy`: what a password must be like, and which ones may not come back.

use serde_json::Value;

use super::{load, password, verification};
use crate::config::{PasswordPolicy, Pattern};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::Ctx;
use crate::types::Object;
use crate::types::javascript::is_truthy;

/// Bytes of the longest password that a pattern is tried on. With one that looks ahead from any place (`(?=.*[0-9])`)
/// the work grows with the square of them.
const LONGEST: usize = 4096;

/// Checks a new password. `user` is the stored row on updates.
///
/// # Errors
/// 142 with the policy's text.
pub async fn check(
    ctx: &Ctx,
    policy: &PasswordPolicy,
    new: &str,
    username: Option<&str>,
    user: Option<&Object>,
) -> Result<()> {
    let refused = |message: String| Error::parse(ErrorCode::VALIDATION_ERROR, message);
    let policy_error = || {
        let text = "Password does not meet the Password Policy requirements.";
        refused(policy.validation_error.clone().unwrap_or_else(|| text.to_owned()))
    };
    let fits = |pattern: &Pattern| new.len() <= LONGEST && pattern.allows(new);
    if policy.validator_pattern.as_ref().is_some_and(|pattern| !fits(pattern)) {
        return Err(policy_error());
    }
    if let Some(callback) = policy.validator_callback
        && !is_truthy(&verification::call(ctx, callback, vec![new.into()]).await?)
    {
        return Err(policy_error());
    }
    if policy.do_not_allow_username {
        let stored = user.and_then(|user| load::text(user, "username"));
        let name = username.filter(|name| !name.is_empty()).or(stored);
        if name.is_some_and(|name| new.contains(name)) {
            return Err(refused("Password cannot contain your username.".to_owned()));
        }
    }
    if let Some(user) = user
        && policy.max_password_history > 0
    {
        let most = policy.max_password_history as usize;
        let mut old = history(user);
        old.truncate(most - 1);
        old.extend(load::text(user, "_hashed_password").map(str::to_owned));
        for hash in old {
            if password::matches(new.to_owned(), hash).await? {
                let message = format!("New password should not be the same as last {most} passwords.");
                return Err(refused(message));
            }
        }
    }
    Ok(())
}

/// `_password_history` after the stored password became an old one.
pub fn next_history(policy: &PasswordPolicy, user: &Object) -> Value {
    let most = policy.max_password_history as usize;
    let mut old = history(user);
    old.truncate(most);
    while old.len() > most.saturating_sub(2) {
        old.remove(0);
    }
    old.extend(load::text(user, "_hashed_password").map(str::to_owned));
    old.into()
}

fn history(user: &Object) -> Vec<String> {
    let list = user.get("_password_history").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|hash| hash.as_str().map(str::to_owned)).collect()
}
