//! Weibo: an authorization code. The id is the number `uid`, stored as text.

use async_trait::async_trait;

use crate::auth::env::{ProviderEnv, form, given, text};
use crate::auth::not_found;
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, foreign};
use crate::error::Result;
use crate::outbound::Request;
use crate::types::Object;
use crate::types::javascript::is_truthy;

const TOKEN: &str = "https://api.weibo.com/oauth2/access_token";
const INFO: &str = "https://api.weibo.com/oauth2/get_token_info";

pub struct Weibo;

#[async_trait(?Send)]
impl CodeFlow for Weibo {
    fn label(&self) -> &'static str {
        "Weibo"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, data: &Object) -> Result<Grant> {
        let redirect = given(data, "redirect_uri")
            .ok_or_else(|| not_found("Weibo auth requires code and redirect_uri to be sent."))?;
        let pairs = [
            ("client_id", Some(client.id.as_str())),
            ("client_secret", Some(client.secret.as_str())),
            ("grant_type", Some("authorization_code")),
            ("code", Some(code)),
            ("redirect_uri", Some(redirect.as_str())),
        ];
        let answer = env.ask_json("weibo", form(Request::post(TOKEN), &pairs)).await;
        let answer = answer.map_err(|_| foreign(self))?;
        if answer.get("errcode").is_some_and(is_truthy) {
            return Err(foreign(self));
        }
        Grant::of(&answer).ok_or_else(|| foreign(self))
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, _: &Object) -> Result<String> {
        let request = form(Request::post(INFO), &[("access_token", Some(&grant.access_token))]);
        let info = env.ask_json("weibo", request).await.map_err(|_| foreign(self))?;
        text(info.get("uid")).ok_or_else(|| foreign(self))
    }
}
