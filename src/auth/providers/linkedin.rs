//! LinkedIn: an authorization code.

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};

use crate::auth::env::{ProviderEnv, form, given, text};
use crate::auth::not_found;
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, foreign};
use crate::error::{Error, Result};
use crate::outbound::Request;
use crate::types::Object;
use crate::types::javascript::is_truthy;

const TOKEN: &str = "https://www.linkedin.com/oauth/v2/accessToken";
const PROFILE: &str = "https://api.linkedin.com/v2/me";
const FORMAT: HeaderName = HeaderName::from_static("x-li-format");
const SOURCE: HeaderName = HeaderName::from_static("x-li-src");

pub struct LinkedIn;

fn unanswered() -> Error {
    not_found("LinkedIn API request failed.")
}

#[async_trait(?Send)]
impl CodeFlow for LinkedIn {
    fn label(&self) -> &'static str {
        "LinkedIn"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, data: &Object) -> Result<Grant> {
        let redirect = given(data, "redirect_uri");
        let pairs = [
            ("grant_type", Some("authorization_code")),
            ("code", Some(code)),
            ("redirect_uri", redirect.as_deref()),
            ("client_id", Some(client.id.as_str())),
            ("client_secret", Some(client.secret.as_str())),
        ];
        let answer = env.ask_json("linkedin", form(Request::post(TOKEN), &pairs)).await;
        Grant::of(&answer.map_err(|_| unanswered())?).ok_or_else(unanswered)
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, data: &Object) -> Result<String> {
        let mut request = Request::get(PROFILE)
            .bearer(&grant.access_token)
            .header(FORMAT, HeaderValue::from_static("json"));
        // Tokens of the mobile SDKs are of another kind.
        if data.get("is_mobile_sdk").is_some_and(is_truthy) {
            request = request.header(SOURCE, HeaderValue::from_static("msdk"));
        }
        let profile = env.ask_json("linkedin", request).await.map_err(|_| unanswered())?;
        text(profile.get("id")).ok_or_else(|| foreign(self))
    }
}
