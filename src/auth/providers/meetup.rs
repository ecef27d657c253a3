//! Meetup: an access token, in the insecure mode only.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::auth::env::ProviderEnv;
use crate::auth::oauth::token_check::{not_allowed, same_id, with_token};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::Result;
use crate::outbound::Request;

const MEMBER: &str = "https://api.meetup.com/2/member/self";
const FOREIGN: &str = "Meetup auth is invalid for this user.";

struct Meetup(Arc<ProviderEnv>);

/// # Errors
/// Unless the operator allows it.
pub fn meetup(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    if !settings.allows_insecure() {
        return Err(not_allowed("Meetup only works with enableInsecureAuth: true"));
    }
    Ok(Arc::new(Meetup(env.clone())))
}

#[async_trait(?Send)]
impl AuthProvider for Meetup {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let request = with_token(Request::get(MEMBER), data.get("access_token"), FOREIGN)?;
        let member = self.0.ask_json("meetup", request).await.map_err(|_| not_found(FOREIGN))?;
        same_id(member.get("id"), data.get("id"), FOREIGN)?;
        Ok(Verdict::default())
    }
}
