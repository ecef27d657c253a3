//! LINE: an authorization code. The id is `userId` of the profile.

use async_trait::async_trait;

use crate::auth::env::{ProviderEnv, Unanswered, given, text};
use crate::auth::not_found;
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, check_error, invalid};
use crate::error::{Error, Result};
use crate::outbound::Request;
use crate::types::Object;

const TOKEN: &str = "https://api.line.me/oauth2/v2.1/token";
const PROFILE: &str = "https://api.line.me/v2/profile";

pub struct Line;

fn failed(what: &str, why: Unanswered) -> Error {
    not_found(format!("{what}: {}", why.reason()))
}

#[async_trait(?Send)]
impl CodeFlow for Line {
    fn label(&self) -> &'static str {
        "Line"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, data: &Object) -> Result<Grant> {
        let redirect = given(data, "redirect_uri");
        let answer = env.ask_json("line", client.exchanging(TOKEN, code, redirect.as_deref())).await;
        let answer = answer.map_err(|why| failed("Failed to exchange code for token", why))?;
        check_error(&answer)?;
        Grant::of(&answer).ok_or_else(|| not_found("Failed to exchange code for token: no token"))
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, _: &Object) -> Result<String> {
        let profile = env.ask_json("line", Request::get(PROFILE).bearer(&grant.access_token)).await;
        let profile = profile.map_err(|why| failed("Failed to fetch Line user", why))?;
        text(profile.get("userId")).ok_or_else(|| invalid("Invalid Line user data received."))
    }
}
