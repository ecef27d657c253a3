//! Instagram: an authorization code, and the id it belongs to.

use async_trait::async_trait;

use crate::auth::env::{ProviderEnv, given, text};
use crate::auth::not_found;
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, check_error, foreign};
use crate::error::{Error, Result};
use crate::outbound::Request;
use crate::types::Object;

const TOKEN: &str = "https://api.instagram.com/oauth/access_token";
const USER: &str = "https://graph.instagram.com/me";

pub struct Instagram {
    /// Option `redirectUri`, where the client does not say which one it used.
    pub redirect: Option<String>,
}

fn unanswered() -> Error {
    not_found("Instagram API request failed.")
}

#[async_trait(?Send)]
impl CodeFlow for Instagram {
    fn label(&self) -> &'static str {
        "Instagram"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, data: &Object) -> Result<Grant> {
        let redirect = given(data, "redirect_uri").or_else(|| self.redirect.clone());
        let answer = env.ask_json("instagram", client.exchanging(TOKEN, code, redirect.as_deref())).await;
        let answer = answer.map_err(|_| unanswered())?;
        check_error(&answer)?;
        Grant::of(&answer).ok_or_else(unanswered)
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, data: &Object) -> Result<String> {
        let request = Request::get(USER).query(&[("fields", "id"), ("access_token", &grant.access_token)]);
        let user = env.ask_json("instagram", request).await.map_err(|_| unanswered())?;
        let id = text(user.get("id")).ok_or_else(|| foreign(self))?;
        if given(data, "id").as_ref() == Some(&id) { Ok(id) } else { Err(foreign(self)) }
    }
}
