//! VK: an access token, in the insecure mode only. The app's own credentials are tried first.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, text};
use crate::auth::oauth::token_check::{not_allowed, same_id};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::Result;
use crate::outbound::Request;

const APP: &str = "https://oauth.vk.com/access_token";
const USERS: &str = "https://api.vk.com/method/users.get";
const FOREIGN: &str = "Vk auth is invalid for this user.";
const NOT_AN_APP: &str = "Vk appIds or appSecret is incorrect.";

struct Vk {
    env: Arc<ProviderEnv>,
    app: String,
    secret: String,
    version: String,
}

/// # Errors
/// Unless the operator allows it, here and with `enableInsecureAuthAdapters`; without credentials.
pub fn vkontakte(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    if !settings.allows_insecure() || !settings.insecure_adapters {
        return Err(not_allowed("Vk only works with enableInsecureAuth: true"));
    }
    let app = settings.texts("appIds").join(",");
    let Some(secret) = settings.text("appSecret").filter(|_| !app.is_empty()) else {
        return Err(not_found("Vk auth is not configured. Missing appIds or appSecret."));
    };
    let version = settings.text("apiVersion").unwrap_or_else(|| "5.124".to_owned());
    Ok(Arc::new(Vk { env: env.clone(), app, secret, version }))
}

#[async_trait(?Send)]
impl AuthProvider for Vk {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let token = text(data.get("access_token")).ok_or_else(|| not_found(FOREIGN))?;
        let request = Request::get(APP).query(&[
            ("client_id", self.app.as_str()),
            ("client_secret", &self.secret),
            ("v", &self.version),
            ("grant_type", "client_credentials"),
        ]);
        let app = self.env.ask_json("vkontakte", request).await.map_err(|_| not_found(NOT_AN_APP))?;
        if text(app.get("access_token")).is_none() {
            return Err(not_found(NOT_AN_APP));
        }
        let request = Request::get(USERS).query(&[("access_token", token.as_str()), ("v", &self.version)]);
        let users = self.env.ask_json("vkontakte", request).await.map_err(|_| not_found(FOREIGN))?;
        let first = users.get("response").and_then(|users| users.get(0));
        same_id(first.and_then(|user: &Value| user.get("id")), data.get("id"), FOREIGN)?;
        Ok(Verdict::default())
    }
}
