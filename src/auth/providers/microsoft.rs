//! Microsoft: an authorization code of any account, and the user that Microsoft Graph knows by its token.

use async_trait::async_trait;

use crate::auth::env::{ProviderEnv, given, text};
use crate::auth::not_found;
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, foreign};
use crate::error::{Error, Result};
use crate::outbound::Request;
use crate::types::Object;

const TOKEN: &str = "https://login.microsoftonline.com/common/oauth2/v2.0/token";
const USER: &str = "https://graph.microsoft.com/v1.0/me";

pub struct Microsoft;

fn unanswered() -> Error {
    not_found("Microsoft API request failed.")
}

#[async_trait(?Send)]
impl CodeFlow for Microsoft {
    fn label(&self) -> &'static str {
        "Microsoft"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, data: &Object) -> Result<Grant> {
        let redirect = given(data, "redirect_uri");
        let answer = env.ask_json("microsoft", client.exchanging(TOKEN, code, redirect.as_deref())).await;
        Grant::of(&answer.map_err(|_| unanswered())?).ok_or_else(unanswered)
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, _: &Object) -> Result<String> {
        let user = env.ask_json("microsoft", Request::get(USER).bearer(&grant.access_token)).await;
        text(user.map_err(|_| unanswered())?.get("id")).ok_or_else(|| foreign(self))
    }
}
