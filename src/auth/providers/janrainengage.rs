//! Janrain Engage: a token that is exchanged for a profile with the app's key, in the insecure mode only.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, form, text};
use crate::auth::oauth::token_check::{not_allowed, same_id};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::Result;
use crate::outbound::Request;

const PROFILE: &str = "https://rpxnow.com/api/v2/auth_info";
const FOREIGN: &str = "Janrain engage auth is invalid for this user.";

struct JanrainEngage {
    env: Arc<ProviderEnv>,
    key: Option<String>,
}

/// # Errors
/// Unless the operator allows it, here and with `enableInsecureAuthAdapters`.
pub fn janrainengage(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    if !settings.allows_insecure() || !settings.insecure_adapters {
        return Err(not_allowed("janrainengage adapter only works with enableInsecureAuth: true"));
    }
    Ok(Arc::new(JanrainEngage { env: env.clone(), key: settings.text("api_key") }))
}

#[async_trait(?Send)]
impl AuthProvider for JanrainEngage {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let token = text(data.get("auth_token")).ok_or_else(|| not_found(FOREIGN))?;
        let pairs =
            [("token", Some(token.as_str())), ("apiKey", self.key.as_deref()), ("format", Some("json"))];
        let request = form(Request::post(PROFILE), &pairs);
        let answer = self.env.ask_json("janrainengage", request).await.map_err(|_| not_found(FOREIGN))?;
        if answer.get("stat").and_then(Value::as_str) != Some("ok") {
            return Err(not_found(FOREIGN));
        }
        let profile = answer.get("profile");
        same_id(profile.and_then(|profile| profile.get("identifier")), data.get("id"), FOREIGN)?;
        Ok(Verdict::default())
    }
}
