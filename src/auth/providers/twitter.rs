//! Twitter: the verifier of an OAuth 1.0a login, exchanged with a signed request; the id is `user_id`. In the insecure
//! mode also the access token itself. `digits` is another name for it.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, form, given, text};
use crate::auth::oauth::code_flow::invalid;
use crate::auth::oauth::identified::{Identified, Identify};
use crate::auth::oauth::oauth1::Signer;
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, not_found, refused};
use crate::error::{Error, Result};
use crate::outbound::{Answer, Request};
use crate::types::Object;

const TOKEN: &str = "https://api.twitter.com/oauth/access_token";
const USER: &str = "https://api.twitter.com/2/users/me";

struct Consumer {
    key: String,
    secret: String,
}

pub struct Twitter {
    env: Arc<ProviderEnv>,
    consumers: Vec<Consumer>,
    is_insecure: bool,
}

/// # Errors
/// Without a consumer key and secret.
pub fn twitter(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    if !settings.is_given() {
        return Err(refused("Twitter auth options are required."));
    }
    let entries = settings.entries();
    let consumer = |entry: &Value| {
        let part = |key: &str| text(entry.get(key));
        Some(Consumer { key: part("consumer_key")?, secret: part("consumer_secret")? })
    };
    let consumers: Vec<_> = entries.iter().filter_map(consumer).collect();
    if consumers.is_empty() {
        return Err(refused("Consumer key and secret are required for secure Twitter auth."));
    }
    let is_insecure = settings.insecure_adapters
        && entries.iter().any(|entry| entry.get("enableInsecureAuth") == Some(&Value::Bool(true)));
    Ok(Arc::new(Identified(Twitter { env: env.clone(), consumers, is_insecure })))
}

fn foreign() -> Error {
    not_found("Twitter auth is invalid for this user.")
}

fn signed(request: Request, header: &str) -> Result<Request> {
    let mut header = HeaderValue::from_str(header).map_err(|_| foreign())?;
    header.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, header))
}

impl Twitter {
    /// The app that the client says it is; the only one, where there is one.
    fn consumer(&self, data: &Object) -> Result<&Consumer> {
        let named = given(data, "consumer_key");
        let found = match (&self.consumers[..], named) {
            ([only], None) => Some(only),
            (all, Some(named)) => all.iter().find(|consumer| consumer.key == named),
            _ => None,
        };
        found.ok_or_else(foreign)
    }

    async fn exchange(&self, token: &str, verifier: &str, data: &Object) -> Result<String> {
        let consumer = self.consumer(data)?;
        let signer = Signer { consumer_key: &consumer.key, consumer_secret: &consumer.secret, token: None };
        let parameters = [("oauth_token", token), ("oauth_verifier", verifier)];
        let header = signer.header("POST", TOKEN, &parameters, self.env.now())?;
        let pairs = parameters.map(|(key, value)| (key, Some(value)));
        let request = signed(form(Request::post(TOKEN), &pairs), &header)?;
        let answer = self.env.ask_text("twitter", request).await.map_err(|_| foreign())?;
        let answer = read(&answer).ok_or_else(foreign)?;
        match (text(answer.get("oauth_token")), text(answer.get("user_id"))) {
            (Some(_), Some(id)) => Ok(id),
            _ => Err(foreign()),
        }
    }

    /// Whose the access token is that the client has.
    async fn identify(&self, data: &Object) -> Result<String> {
        let either = |new: &str, old: &str| given(data, new).or_else(|| given(data, old));
        let token = either("oauth_token", "auth_token");
        let secret = either("oauth_token_secret", "auth_token_secret");
        let (Some(token), Some(secret)) = (token, secret) else {
            return Err(not_found("Twitter insecure auth requires oauth_token and oauth_token_secret."));
        };
        let consumer = self.consumer(data)?;
        let signer = Signer {
            consumer_key: &consumer.key,
            consumer_secret: &consumer.secret,
            token: Some((&token, &secret)),
        };
        let header = signer.header("GET", USER, &[], self.env.now())?;
        let user = self.env.ask_json("twitter", signed(Request::get(USER), &header)?).await;
        let user = user.map_err(|_| foreign())?;
        let user = user.get("data").unwrap_or(&user);
        text(user.get("id_str")).or_else(|| text(user.get("id"))).ok_or_else(foreign)
    }
}

#[async_trait(?Send)]
impl Identify for Twitter {
    async fn id(&self, data: &Object) -> Result<String> {
        let id = match (given(data, "oauth_token"), given(data, "oauth_verifier")) {
            (Some(token), Some(verifier)) => self.exchange(&token, &verifier, data).await?,
            _ if self.is_insecure => self.identify(data).await?,
            _ => return Err(invalid("Twitter code is required.")),
        };
        match text(data.get("id")) {
            Some(claimed) if claimed != id => Err(foreign()),
            _ => Ok(id),
        }
    }

    fn foreign(&self) -> Error {
        foreign()
    }
}

/// The answer of an exchange is a form; JSON is understood as well.
fn read(answer: &Answer) -> Option<Value> {
    if answer.body.trim_ascii_start().starts_with(b"{") {
        return crate::types::json::from_outside(&answer.body).ok();
    }
    let pairs = url::form_urlencoded::parse(&answer.body);
    Some(Value::Object(pairs.map(|(key, value)| (key.into_owned(), value.into_owned().into())).collect()))
}
