//! Google Sign-In: an identity token that Google signed for the app's client id.

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

const ISSUERS: [&str; 2] = ["accounts.google.com", "https://accounts.google.com"];
const KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";

pub struct Google {
    env: Arc<ProviderEnv>,
    clients: Vec<String>,
    key_age: TimeDelta,
}

/// # Errors
/// Without a `clientId`.
pub fn google(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    let clients = settings.texts("clientId");
    if clients.is_empty() {
        return Err(not_found("Google auth is not configured."));
    }
    Ok(Arc::new(Google { env: env.clone(), clients, key_age: settings.key_age() }))
}

#[async_trait(?Send)]
impl AuthProvider for Google {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let token = text(data.get("id_token"));
        let token = token.ok_or_else(|| not_found("id token is invalid for this user."))?;
        let expected = Expected {
            provider: "google",
            keys: KEYS,
            key_age: self.key_age,
            algorithms: &[Algorithm::RS256],
            audiences: &self.clients,
        };
        let claims = jwt::verify(&self.env, &token, &expected).await?;
        let issuer = claims.get("iss").and_then(Value::as_str);
        if !issuer.is_some_and(|issuer| ISSUERS.contains(&issuer)) {
            let from = jwt::shown(&claims, "iss");
            return Err(not_found(format!(
                "id token not issued by correct provider - expected: accounts.google.com or \
                 https://accounts.google.com | from: {from}"
            )));
        }
        jwt::check_subject(&claims, data)?;
        Ok(Verdict::default())
    }
}
