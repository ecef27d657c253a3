//! QQ: an authorization code. Answers are JSON within parentheses, `callback( {…} );`; the id is `openid`.

use async_trait::async_trait;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, given, text};
use crate::auth::not_found;
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, foreign};
use crate::error::{Error, Result};
use crate::outbound::{Answer, Request};
use crate::types::Object;

const TOKEN: &str = "https://graph.qq.com/oauth2.0/token";
const USER: &str = "https://graph.qq.com/oauth2.0/me";

pub struct Qq;

fn unanswered() -> Error {
    not_found("qq API request failed.")
}

/// What stands within the parentheses. The token may also come as a form or as plain JSON.
fn read(answer: &Answer) -> Option<Value> {
    let body = std::str::from_utf8(&answer.body).ok()?.trim();
    let json = |text: &str| crate::types::json::from_outside(text.as_bytes()).ok();
    if body.starts_with('{') {
        return json(body);
    }
    if let (Some(start), Some(end)) = (body.find('('), body.rfind(')')) {
        return json(body.get(start + 1..end)?);
    }
    let pairs = url::form_urlencoded::parse(body.as_bytes());
    Some(Value::Object(pairs.map(|(key, value)| (key.into_owned(), value.into_owned().into())).collect()))
}

#[async_trait(?Send)]
impl CodeFlow for Qq {
    fn label(&self) -> &'static str {
        "qq"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, data: &Object) -> Result<Grant> {
        let mut request = Request::get(TOKEN)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .query(&[
                ("grant_type", "authorization_code"),
                ("client_id", &client.id),
                ("client_secret", &client.secret),
            ]);
        if let Some(redirect) = given(data, "redirect_uri") {
            request = request.query(&[("redirect_uri", redirect)]);
        }
        let answer = env.ask_text("qq", request.query(&[("code", code)])).await;
        let answer = read(&answer.map_err(|_| unanswered())?).ok_or_else(|| foreign(self))?;
        Grant::of(&answer).ok_or_else(|| foreign(self))
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, _: &Object) -> Result<String> {
        let answer = env.ask_text("qq", Request::get(USER).bearer(&grant.access_token)).await;
        let user = read(&answer.map_err(|_| unanswered())?).ok_or_else(|| foreign(self))?;
        text(user.get("openid")).or_else(|| text(user.get("id"))).ok_or_else(|| foreign(self))
    }
}
