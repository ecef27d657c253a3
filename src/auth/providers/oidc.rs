//! Any OpenID Connect provider, without code: `auth.<name>: {oidc: {issuer, clientId, …}}`. The client sends an
//! identity token, or an authorization code with its PKCE verifier, which this server exchanges. Where the endpoints
//! and keys are, the issuer's discovery document says. Only the subject is stored.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use crate::auth::env::{ProviderEnv, form, given, text};
use crate::auth::oauth::code_flow::check_error;
use crate::auth::openid::jwt::{self, Expected};
use crate::auth::openid::keys::DEFAULT_AGE;
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found, refused};
use crate::error::{Error, Result};
use crate::outbound::Request;
use crate::types::Object;

/// A discovery document counts for so long.
const DISCOVERY_AGE: TimeDelta = TimeDelta::hours(1);

/// An issuer that did not answer is left alone for so long while there is an old document.
const RETRY: TimeDelta = TimeDelta::seconds(30);

/// What the issuer says about itself.
struct Discovered {
    issuer: String,
    keys: String,
    token: Option<String>,
    /// Whether the app's secret goes into a header.
    basic: bool,
    until: DateTime<Utc>,
}

pub struct Oidc {
    env: Arc<ProviderEnv>,
    name: String,
    issuer: String,
    client: String,
    secret: Option<String>,
    /// The client id, and others whose tokens count.
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    /// Where a code may have been sent; anywhere, when there are none.
    redirects: Vec<String>,
    discovered: tokio::sync::Mutex<Discovery>,
}

#[derive(Default)]
struct Discovery {
    document: Option<Arc<Discovered>>,
    /// When the last question for it had ended.
    asked: Option<Instant>,
    failed_at: Option<DateTime<Utc>>,
}

/// # Errors
/// Without issuer and client id, and with algorithms that are no signatures.
pub fn oidc(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    let entry = settings.value("oidc");
    let own = Settings::new(settings.name, entry, false);
    let (Some(issuer), Some(client)) = (own.text("issuer"), own.text("clientId")) else {
        return Err(refused("OIDC issuer and clientId are required."));
    };
    if !is_usable(&issuer) {
        return Err(refused("OIDC issuer must be an https URL."));
    }
    let names = own.texts("algorithms");
    let known =
        names.iter().map(|name| ALGORITHMS.iter().find(|known| format!("{known:?}") == *name).copied());
    let mut algorithms = known
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| refused("OIDC algorithms must be names of public-key signatures."))?;
    if algorithms.is_empty() {
        algorithms.push(Algorithm::RS256);
    }
    let mut audiences = vec![client.clone()];
    audiences.extend(own.texts("additionalClientIds"));
    Ok(Arc::new(Oidc {
        env: env.clone(),
        name: settings.name.to_owned(),
        issuer,
        client,
        secret: own.text("clientSecret"),
        audiences,
        algorithms,
        redirects: own.texts("redirectUris"),
        discovered: tokio::sync::Mutex::default(),
    }))
}

const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Encrypted, or on this machine.
fn is_usable(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    url.has_host() && (url.scheme() == "https" || url.scheme() == "http" && is_here)
}

impl Oidc {
    fn unanswered(&self) -> Error {
        not_found(format!("{} API request failed.", self.name))
    }

    fn foreign(&self) -> Error {
        not_found(format!("{} auth is invalid for this user.", self.name))
    }

    /// The discovery document; an old one while there is no other. Whoever waited while another asked takes what
    /// came of it: an issuer that is down holds up each login once.
    async fn discover(&self) -> Result<Arc<Discovered>> {
        let came = Instant::now();
        let mut known = self.discovered.lock().await;
        let now = self.env.clock.now();
        let is_fresh = known.document.as_ref().is_some_and(|known| now < known.until);
        let failed_lately = known.failed_at.is_some_and(|at| now - at < RETRY) && known.document.is_some();
        let left_alone = failed_lately || known.asked.is_some_and(|ended| ended > came);
        if !is_fresh && !left_alone {
            let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
            let document = self.env.ask_json(&self.name, Request::get(&url)).await;
            match document.ok().and_then(|document| self.read(&document, now)) {
                Some(read) => {
                    known.document = Some(Arc::new(read));
                    known.failed_at = None;
                }
                None => known.failed_at = Some(now),
            }
            known.asked = Some(Instant::now());
        }
        known.document.clone().ok_or_else(|| self.unanswered())
    }

    fn read(&self, document: &Value, now: DateTime<Utc>) -> Option<Discovered> {
        let part = |key: &str| text(document.get(key));
        let issuer = part("issuer")?;
        if issuer.trim_end_matches('/') != self.issuer.trim_end_matches('/') {
            tracing::warn!(provider = %self.name, "a discovery document is of another issuer than asked for");
            return None;
        }
        let methods = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
        Some(Discovered {
            issuer,
            keys: part("jwks_uri").filter(|url| is_usable(url))?,
            token: part("token_endpoint").filter(|url| is_usable(url)),
            basic: methods.is_none_or(|methods| methods.iter().any(|one| one == "client_secret_basic")),
            until: now + DISCOVERY_AGE,
        })
    }

    /// The identity token that a code is worth.
    async fn exchange(&self, code: &str, data: &Object, at: &Discovered) -> Result<String> {
        let (redirect, verifier) = (given(data, "redirect_uri"), given(data, "code_verifier"));
        if verifier.is_none() && self.secret.is_none() {
            return Err(not_found(format!("{} auth requires code and code_verifier to be sent.", self.name)));
        }
        if !self.redirects.is_empty() && !redirect.as_ref().is_some_and(|uri| self.redirects.contains(uri)) {
            return Err(self.foreign());
        }
        let endpoint = at.token.as_deref().ok_or_else(|| self.unanswered())?;
        let in_body = self.secret.as_deref().filter(|_| !at.basic);
        let pairs = [
            ("grant_type", Some("authorization_code")),
            ("code", Some(code)),
            ("redirect_uri", redirect.as_deref()),
            ("code_verifier", verifier.as_deref()),
            ("client_id", Some(self.client.as_str())),
            ("client_secret", in_body),
        ];
        let mut request = form(Request::post(endpoint), &pairs)
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(secret) = self.secret.as_deref().filter(|_| at.basic) {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let both = STANDARD.encode(format!("{}:{}", encoded(&self.client), encoded(secret)));
            let mut value = HeaderValue::from_str(&format!("Basic {both}")).map_err(Error::internal)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let answer = self.env.ask(&self.name, request).await.map_err(|_| self.unanswered())?;
        let body = crate::auth::env::json(&self.name, &answer).map_err(|_| self.unanswered())?;
        check_error(&body)?;
        text(body.get("id_token")).filter(|_| answer.status.is_success()).ok_or_else(|| self.unanswered())
    }

    /// Whose token or code it is.
    async fn subject(&self, data: &Object) -> Result<String> {
        let code = given(data, "code");
        if code.is_none() && given(data, "id_token").is_none() {
            return Err(not_found("id token is invalid for this user."));
        }
        let at = self.discover().await?;
        let token = match (&code, given(data, "id_token")) {
            (Some(code), _) => self.exchange(code, data, &at).await?,
            (None, Some(token)) => token,
            (None, None) => return Err(self.foreign()),
        };
        let expected = Expected {
            provider: &self.name,
            keys: &at.keys,
            key_age: DEFAULT_AGE,
            algorithms: &self.algorithms,
            audiences: &self.audiences,
        };
        let claims = jwt::verify(&self.env, &token, &expected).await?;
        let claim = |name: &str| claims.get(name).and_then(Value::as_str);
        if claim("iss") != Some(&at.issuer) {
            let from = jwt::shown(&claims, "iss");
            return Err(not_found(format!(
                "id token not issued by correct OpenID provider - expected: {} | from: {from}",
                at.issuer
            )));
        }
        let several = claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
        let is_ours = |party: &str| self.audiences.iter().any(|ours| ours == party);
        let party = claim("azp");
        if (several || claims.contains_key("azp")) && !party.is_some_and(is_ours) {
            let from = jwt::shown(&claims, "azp");
            return Err(not_found(format!(
                "id token is not authorized for this client - expected: {} | from: {from}",
                self.client
            )));
        }
        // The client made the nonce up; only it can say which one it was.
        if data.contains_key("nonce") && given(data, "nonce").as_deref() != claim("nonce") {
            return Err(self.foreign());
        }
        let subject = claim("sub").filter(|subject| !subject.is_empty()).map(str::to_owned);
        let subject = subject.ok_or_else(|| self.foreign())?;
        match data.get("id") {
            Some(Value::String(id)) if !id.is_empty() && *id != subject => {
                Err(not_found("auth data is invalid for this user."))
            }
            _ => Ok(subject),
        }
    }
}

#[async_trait(?Send)]
impl AuthProvider for Oidc {
    async fn before_find(&self, data: &mut Object) -> Result<()> {
        let subject = self.subject(data).await?;
        *data = Object::from_iter([("id".to_owned(), Value::String(subject))]);
        Ok(())
    }

    async fn validate(&self, _: Step, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        let id = match (request.is_challenge, data) {
            (true, Value::Object(data)) => self.subject(data).await?,
            _ => text(data.get("id")).ok_or_else(|| self.foreign())?,
        };
        Ok(Verdict::save(json!({ "id": id })))
    }
}
