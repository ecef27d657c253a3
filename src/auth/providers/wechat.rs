//! WeChat: an authorization code. The exchange tells the `openid`, which is the id; a second call says whether the
//! token is good for it.

use async_trait::async_trait;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, text};
use crate::auth::oauth::code_flow::{Client, CodeFlow, Grant, foreign};
use crate::error::Result;
use crate::outbound::Request;
use crate::types::Object;
use crate::types::javascript::is_truthy;

const TOKEN: &str = "https://api.weixin.qq.com/sns/oauth2/access_token";
const CHECK: &str = "https://api.weixin.qq.com/sns/auth";

pub struct WeChat;

#[async_trait(?Send)]
impl CodeFlow for WeChat {
    fn label(&self) -> &'static str {
        "WeChat"
    }

    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, _: &Object) -> Result<Grant> {
        let request = Request::get(TOKEN).query(&[
            ("appid", client.id.as_str()),
            ("secret", &client.secret),
            ("code", code),
            ("grant_type", "authorization_code"),
        ]);
        let answer = env.ask_json("wechat", request).await.map_err(|_| foreign(self))?;
        if answer.get("errcode").is_some_and(is_truthy) {
            return Err(foreign(self));
        }
        let id = text(answer.get("openid"));
        let grant = Grant::of(&answer).filter(|_| id.is_some()).ok_or_else(|| foreign(self))?;
        Ok(Grant { id, ..grant })
    }

    async fn identify(&self, env: &ProviderEnv, grant: &Grant, _: &Object) -> Result<String> {
        let id = grant.id.clone().ok_or_else(|| foreign(self))?;
        let request = Request::get(CHECK).query(&[("access_token", &grant.access_token), ("openid", &id)]);
        let answer = env.ask_json("wechat", request).await.map_err(|_| foreign(self))?;
        let is_good = answer.get("errcode").and_then(Value::as_i64) == Some(0);
        if is_good { Ok(id) } else { Err(foreign(self)) }
    }
}
