//! `POST /challenge`: lets providers prepare a login (send a code, hand out a nonce).

use serde_json::Value;

use crate::auth::AuthRequest;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::Ctx;
use crate::operations::account::login;
use crate::operations::classes::user::providers::{CloudCallbacks, provider};
use crate::operations::classes::user::{auth_data, load};
use crate::types::Object;
use crate::types::javascript::is_truthy;

fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::parse(ErrorCode::OTHER_CAUSE, text)
}

/// `{"challengeData": {<provider>: …}}`.
///
/// # Errors
/// -1 for a malformed request, 101 when nobody is identified, 141 for what a provider refuses.
pub async fn challenge(ctx: &Ctx, body: &Object, query: &Object) -> Result<Object> {
    let given = |key: &str| body.get(key).filter(|value| is_truthy(value));
    let mut user = None;
    if given("username").is_some() || given("email").is_some() {
        if given("password").is_none() {
            return Err(refused("You provided username or email, you need to also provide password."));
        }
        user = Some(login::authenticate(ctx, body, query).await?);
    }
    let challenges = match given("challengeData") {
        None => return Err(refused("Nothing to challenge.")),
        Some(Value::Object(challenges)) => challenges,
        Some(_) => return Err(refused("challengeData should be an object.")),
    };
    let auth_data = match given("authData") {
        None => None,
        Some(Value::Object(_)) if user.is_some() => {
            return Err(refused(
                "You cannot provide username/email and authData, only use one identification method.",
            ));
        }
        Some(Value::Object(auth_data)) => Some(auth_data),
        Some(_) => return Err(refused("authData should be an object.")),
    };
    if let Some(auth_data) = auth_data {
        user = Some(identify(ctx, auth_data).await?);
    }
    answer(ctx, challenges, auth_data, user.as_ref()).await
}

/// The user whose id the data holds, when the data is true.
async fn identify(ctx: &Ctx, auth_data: &Object) -> Result<Object> {
    for (name, data) in auth_data {
        if !data.is_object() && !data.is_null() {
            return Err(refused(format!("authData.{name} should be an object.")));
        }
    }
    let has_id = |data: &Value| data.get("id").is_some_and(is_truthy);
    if auth_data.values().filter(|data| has_id(data)).count() > 1 {
        return Err(refused("You cannot provide more than one authData provider with an id."));
    }
    let mut looked_up = auth_data.clone();
    let mut found = auth_data::find_users(ctx, &mut looked_up, false, None).await?;
    let missing = || Error::parse(ErrorCode::OBJECT_NOT_FOUND, "User not found.");
    let user = found.pop().filter(|_| found.is_empty()).ok_or_else(missing)?;
    let (name, data) = auth_data.iter().find(|(_, data)| has_id(data)).ok_or_else(missing)?;
    // Whatever the provider says, nobody learns which ids exist.
    if let Err(error) = auth_data::validate_one(ctx, name, data, &user, Some(&user), true).await {
        tracing::error!(provider = %name, %error, "a challenge was refused: {error}");
        return Err(missing());
    }
    Ok(user)
}

async fn answer(
    ctx: &Ctx,
    challenges: &Object,
    auth_data: Option<&Object>,
    user: Option<&Object>,
) -> Result<Object> {
    let mut names: Vec<&String> = challenges.keys().collect();
    names.sort_unstable();
    let nobody = Object::new();
    let session_user = match ctx.auth.user_id() {
        Some(id) if user.is_none() => load::by_id(ctx, id).await?,
        _ => None,
    };
    let callbacks = CloudCallbacks(ctx);
    let mut answers = Object::new();
    for name in names {
        let Some(provider) = provider(ctx, name) else { continue };
        let request = AuthRequest {
            original: user,
            object: user.unwrap_or(&nobody),
            master: ctx.auth.is_master(),
            is_challenge: true,
            session_user: session_user.as_ref().or(user),
            callbacks: &callbacks,
        };
        let data = auth_data.and_then(|data| data.get(name));
        if let Some(answer) = provider.challenge(&challenges[name], data, &request).await? {
            answers.insert(name.clone(), answer);
        }
    }
    Ok(Object::from_iter([("challengeData".to_owned(), Value::Object(answers))]))
}
