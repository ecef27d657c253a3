//! Sign in with Apple: an identity token that Apple signed for one of the app's client ids.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, text};
use crate::auth::openid::jwt::{self, Expected};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::Result;

const ISSUER: &str = "https://appleid.apple.com";
const KEYS: &str = "https://appleid.apple.com/auth/keys";

pub struct Apple {
    env: Arc<ProviderEnv>,
    clients: Vec<String>,
    key_age: TimeDelta,
}

/// # Errors
/// Without a `clientId`.
pub fn apple(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    let clients = settings.texts("clientId");
    if clients.is_empty() {
        return Err(not_found("Apple auth is not configured."));
    }
    Ok(Arc::new(Apple { env: env.clone(), clients, key_age: settings.key_age() }))
}

#[async_trait(?Send)]
impl AuthProvider for Apple {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let token = text(data.get("token")).ok_or_else(|| not_found("id token is invalid for this user."))?;
        let expected = Expected {
            provider: "apple",
            keys: KEYS,
            key_age: self.key_age,
            algorithms: &[Algorithm::RS256],
            audiences: &self.clients,
        };
        let claims = jwt::verify(&self.env, &token, &expected).await?;
        if claims.get("iss").and_then(Value::as_str) != Some(ISSUER) {
            let from = jwt::shown(&claims, "iss");
            return Err(not_found(format!(
                "id token not issued by correct OpenID provider - expected: {ISSUER} | from: {from}"
            )));
        }
        jwt::check_subject(&claims, data)?;
        Ok(Verdict::default())
    }
}
