//! Facebook Login: an access token that the Graph API knows as one of the app's, or the signed token of a limited
//! login.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::Algorithm;
use serde_json::Value;
use sha2::Sha256;

use crate::auth::env::{ProviderEnv, text};
use crate::auth::openid::jwt::{self, Expected};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::Result;
use crate::outbound::Request;

const ISSUER: &str = "https://www.facebook.com";
const KEYS: &str = "https://www.facebook.com/.well-known/oauth/openid/jwks/";
const GRAPH: &str = "https://graph.facebook.com";

pub struct Facebook {
    env: Arc<ProviderEnv>,
    apps: Vec<String>,
    secret: Option<String>,
    key_age: TimeDelta,
}

/// # Errors
/// Without `appIds`.
pub fn facebook(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    if settings.value("appIds").is_some_and(|ids| !ids.is_array()) {
        return Err(not_found("appIds must be an array."));
    }
    let apps = settings.texts("appIds");
    if apps.is_empty() {
        return Err(not_found("Facebook auth is not configured."));
    }
    let secret = settings.text("appSecret");
    Ok(Arc::new(Facebook { env: env.clone(), apps, secret, key_age: settings.key_age() }))
}

impl Facebook {
    /// The id that the Graph API gives for a token at this path.
    async fn id(&self, path: &str, fields: Option<&str>, token: &str) -> Result<Option<String>> {
        let proof = self.secret.as_deref().map(|secret| proof(secret, token)).transpose()?;
        let mut request = Request::get(&format!("{GRAPH}/{path}"));
        if let Some(fields) = fields {
            request = request.query(&[("fields", fields)]);
        }
        request = request.query(&[("access_token", token)]);
        if let Some(proof) = &proof {
            request = request.query(&[("appsecret_proof", proof.as_str())]);
        }
        let answer = self.env.ask_json("facebook", request).await.map_err(|_| foreign())?;
        Ok(text(answer.get("id")))
    }

    async fn limited(&self, token: &str, data: &Value) -> Result<()> {
        let expected = Expected {
            provider: "facebook",
            keys: KEYS,
            key_age: self.key_age,
            algorithms: &[Algorithm::RS256],
            audiences: &self.apps,
        };
        let claims = jwt::verify(&self.env, token, &expected).await?;
        if claims.get("iss").and_then(Value::as_str) != Some(ISSUER) {
            let from = jwt::shown(&claims, "iss");
            return Err(not_found(format!(
                "id token not issued by correct OpenID provider - expected: {ISSUER} | from: {from}"
            )));
        }
        jwt::check_subject(&claims, data)
    }
}

fn foreign() -> crate::error::Error {
    not_found("Facebook auth is invalid for this user.")
}

fn proof(secret: &str, token: &str) -> Result<String> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes())
        .map_err(crate::error::Error::internal)?;
    mac.update(token.as_bytes());
    Ok(hex::encode(mac.finalize().into_bytes()))
}

#[async_trait(?Send)]
impl AuthProvider for Facebook {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        if let Some(token) = text(data.get("token")) {
            self.limited(&token, data).await?;
            return Ok(Verdict::default());
        }
        let token = text(data.get("access_token")).ok_or_else(foreign)?;
        let app = self.id("app", None, &token).await?;
        if !app.is_some_and(|app| self.apps.contains(&app)) {
            return Err(foreign());
        }
        let id = self.id("me", Some("id"), &token).await?;
        if id.is_none() || id != text(data.get("id")) {
            return Err(foreign());
        }
        Ok(Verdict::default())
    }
}
