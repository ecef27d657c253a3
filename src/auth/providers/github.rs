//! GitHub: an authorization code. The id of a user is a number there; it is stored as text.

use async_trait::async_trait;
use http::HeaderValue;
use http::header::ACCEPT;
use serde_json::json;

use crate::auth::env::{ProviderEnv, text};
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, check_error, failed, invalid};
use crate::error::{Error, Result};
use crate::outbound::Request;
use crate::types::Object;

const TOKEN: &str = "https://github.com/login/oauth/access_token";
const USER: &str = "https://api.github.com/user";

pub struct GitHub;

#[async_trait(?Send)]
impl CodeFlow for GitHub {
    fn label(&self) -> &'static str {
        "GitHub"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, _: &Object) -> Result<Grant> {
        let body = json!({ "client_id": client.id, "client_secret": client.secret, "code": code });
        let request = Request::post(TOKEN).json(&body).map_err(Error::internal)?.header(ACCEPT, JSON);
        let answer = env.ask_json("github", request).await;
        let answer = answer.map_err(|why| failed("Failed to exchange code for token", why))?;
        check_error(&answer)?;
        Grant::of(&answer).ok_or_else(|| invalid("Failed to exchange code for token: no token"))
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, _: &Object) -> Result<String> {
        let request = Request::get(USER).bearer(&grant.access_token).header(ACCEPT, JSON);
        let user = env.ask_json("github", request).await;
        let user = user.map_err(|why| failed("Failed to fetch GitHub user", why))?;
        match (text(user.get("id")), text(user.get("login"))) {
            (Some(id), Some(_)) => Ok(id),
            _ => Err(invalid("Invalid GitHub user data received.")),
        }
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
