//! What providers with an authorization code have in common: the client sends the code, this server exchanges it
//! with the app's secret and asks whose token it got. Only the id is stored; code, token and redirect URI are not.
//!
//! The exchange happens before users are looked up, once for each request, since codes can be used once.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, Unanswered, form, given, text};
use crate::auth::oauth::identified::{Identified, Identify};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, not_found, refused};
use crate::error::{Error, ErrorCode, Result};
use crate::outbound::Request;
use crate::types::Object;

/// Longest text of a provider that clients are told.
const MAX_TEXT: usize = 300;

/// What the app is to the provider.
pub struct Client {
    pub id: String,
    pub secret: String,
}

impl Client {
    /// The request that RFC 6749 (4.1.3) describes, with the client's secret in the body.
    pub fn exchanging(&self, endpoint: &str, code: &str, redirect: Option<&str>) -> Request {
        let pairs = [
            ("client_id", Some(self.id.as_str())),
            ("client_secret", Some(self.secret.as_str())),
            ("grant_type", Some("authorization_code")),
            ("redirect_uri", redirect),
            ("code", Some(code)),
        ];
        form(Request::post(endpoint), &pairs)
    }
}

/// What a code was exchanged for.
pub struct Grant {
    pub access_token: String,
    /// Whose it is, where the exchange tells already.
    pub id: Option<String>,
}

impl Grant {
    /// From an answer with `access_token`.
    pub fn of(answer: &Value) -> Option<Self> {
        let access_token = text(answer.get("access_token"))?;
        Some(Self { access_token, id: None })
    }
}

/// One provider's two questions.
#[async_trait(?Send)]
pub trait CodeFlow: Send + Sync + 'static {
    /// As it stands in error texts.
    fn label(&self) -> &'static str;

    /// Exchanges `data.code`.
    ///
    /// # Errors
    /// The provider's text.
    async fn exchange(&self, env: &ProviderEnv, client: &Client, code: &str, data: &Object) -> Result<Grant>;

    /// Whose token it is.
    ///
    /// # Errors
    /// The provider's text.
    async fn identify(&self, env: &ProviderEnv, grant: &Grant, data: &Object) -> Result<String>;
}

/// 101 `<Name> auth is invalid for this user.`
pub fn foreign(flow: &dyn CodeFlow) -> Error {
    not_found(format!("{} auth is invalid for this user.", flow.label()))
}

/// 142
pub fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::parse(ErrorCode::VALIDATION_ERROR, text)
}

/// 142 `<what>: <reason>`
pub fn failed(what: &str, why: Unanswered) -> Error {
    invalid(format!("{what}: {}", why.reason()))
}

/// What the provider says is wrong, with 101, as RFC 6749 has it in the answer to an exchange.
///
/// # Errors
/// When the answer is such an error.
pub fn check_error(answer: &Value) -> Result<()> {
    let Some(error) = answer.get("error").filter(|error| crate::types::javascript::is_truthy(error)) else {
        return Ok(());
    };
    let described = text(answer.get("error_description"));
    let named = described.or_else(|| text(Some(error))).or_else(|| text(error.get("message")));
    let words = named.unwrap_or_else(|| "access_denied".to_owned());
    Err(not_found(words.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect::<String>()))
}

struct CodeProvider<F> {
    flow: F,
    env: Arc<ProviderEnv>,
    client: Result<Client, &'static str>,
    is_insecure: bool,
}

/// # Errors
/// `<Name> options are required.` and the like.
pub fn code_flow(
    flow: impl CodeFlow,
    settings: &Settings<'_>,
    env: &Arc<ProviderEnv>,
) -> Result<Arc<dyn AuthProvider>> {
    let label = flow.label();
    if !settings.is_given() {
        return Err(refused(format!("{label} options are required.")));
    }
    let is_insecure = settings.allows_insecure();
    let client = match (settings.text("clientId"), settings.text("clientSecret")) {
        (Some(id), Some(secret)) => Ok(Client { id, secret }),
        (None, _) => Err("clientId"),
        (_, None) => Err("clientSecret"),
    };
    if let (false, Err(missing)) = (is_insecure, &client) {
        return Err(refused(format!("{label} {missing} is required.")));
    }
    Ok(Arc::new(Identified(CodeProvider { flow, env: env.clone(), client, is_insecure })))
}

#[async_trait(?Send)]
impl<F: CodeFlow> Identify for CodeProvider<F> {
    async fn id(&self, data: &Object) -> Result<String> {
        let claimed = text(data.get("id"));
        let Some(code) = given(data, "code") else {
            if !self.is_insecure {
                return Err(invalid(format!("{} code is required.", self.flow.label())));
            }
            let token = given(data, "access_token").ok_or_else(|| foreign(&self.flow))?;
            let grant = Grant { access_token: token, id: claimed.clone() };
            let id = self.flow.identify(&self.env, &grant, data).await?;
            return if claimed.as_ref() == Some(&id) { Ok(id) } else { Err(foreign(&self.flow)) };
        };
        let client = self.client.as_ref();
        let client =
            client.map_err(|missing| refused(format!("{} {missing} is required.", self.flow.label())))?;
        let grant = self.flow.exchange(&self.env, client, &code, data).await?;
        let id = self.flow.identify(&self.env, &grant, data).await?;
        if claimed.is_some_and(|claimed| claimed != id) {
            return Err(foreign(&self.flow));
        }
        Ok(id)
    }

    fn foreign(&self) -> Error {
        foreign(&self.flow)
    }
}
