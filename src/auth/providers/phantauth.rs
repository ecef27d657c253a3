//! PhantAuth: an access token, in the insecure mode only.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use http::header::USER_AGENT;
use serde_json::Value;

use crate::auth::env::ProviderEnv;
use crate::auth::oauth::token_check::{not_allowed, same_id, with_token};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::Result;
use crate::outbound::Request;

const USER: &str = "https://phantauth.net/auth/userinfo";
/// The name that parse-server calls itself by there, and nowhere else.
const AGENT: HeaderValue = HeaderValue::from_static("parse-server");
const FOREIGN: &str = "PhantAuth auth is invalid for this user.";

struct PhantAuth(Arc<ProviderEnv>);

/// # Errors
/// Unless the operator allows it.
pub fn phantauth(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    if !settings.allows_insecure() {
        return Err(not_allowed("PhantAuth only works with enableInsecureAuth: true"));
    }
    Ok(Arc::new(PhantAuth(env.clone())))
}

#[async_trait(?Send)]
impl AuthProvider for PhantAuth {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let request = Request::get(USER).header(USER_AGENT, AGENT);
        let request = with_token(request, data.get("access_token"), FOREIGN)?;
        let user = self.0.ask_json("phantauth", request).await.map_err(|_| not_found(FOREIGN))?;
        same_id(user.get("sub"), data.get("id"), FOREIGN)?;
        Ok(Verdict::default())
    }
}
