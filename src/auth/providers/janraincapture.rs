//! Janrain Capture: an access token that the app's own Capture host knows.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, text};
use crate::auth::oauth::token_check::same_id;
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::Result;
use crate::outbound::Request;

const FOREIGN: &str = "Janrain capture auth is invalid for this user.";

struct JanrainCapture {
    env: Arc<ProviderEnv>,
    url: String,
}

/// # Errors
/// Without a host that is one.
pub fn janraincapture(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    let host = settings.text("janrain_capture_host").ok_or_else(|| not_found(FOREIGN))?;
    Ok(Arc::new(JanrainCapture { env: env.clone(), url: format!("https://{host}/entity") }))
}

#[async_trait(?Send)]
impl AuthProvider for JanrainCapture {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let token = text(data.get("access_token")).ok_or_else(|| not_found(FOREIGN))?;
        let request =
            Request::get(&self.url).query(&[("access_token", token.as_str()), ("attribute_name", "uuid")]);
        let answer = self.env.ask_json("janraincapture", request).await.map_err(|_| not_found(FOREIGN))?;
        if answer.get("stat").and_then(Value::as_str) != Some("ok") {
            return Err(not_found(FOREIGN));
        }
        same_id(answer.get("result"), data.get("id"), FOREIGN)?;
        Ok(Verdict::default())
    }
}
