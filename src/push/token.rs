//! Tokens by which services know the server: signed ones, made anew in time, and ones that another server gives
//! for them, asked for once however many wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::options::misconfigured;
use crate::error::Result;
use crate::outbound::{Outbound, OutboundError, Request};
use crate::types::time::Millis;

/// A token, and which one it is.
#[derive(Clone, Debug)]
pub struct Current {
    pub text: Arc<str>,
    pub generation: u64,
    made_at: Millis,
}

/// Apple takes a token for an hour and wants no new one within 20 minutes.
const RENEWED_AFTER_MS: i64 = 50 * 60 * 1000;
const SHORTEST_MS: i64 = 20 * 60 * 1000;

/// A JWT of APNs, made from a `.p8` key.
pub struct ProviderToken {
    key: EncodingKey,
    key_id: String,
    team_id: String,
    current: Mutex<Option<Current>>,
    /// When a token was last given up before its time.
    given_up_at: Mutex<Option<Millis>>,
}

impl ProviderToken {
    /// # Errors
    /// 115 when the key is none.
    pub fn new(p8: &[u8], key_id: &str, team_id: &str) -> Result<Self> {
        let key = EncodingKey::from_ec_pem(p8)
            .map_err(|_| misconfigured("push: token.key is not a private key of APNs (.p8)"))?;
        let token = Self {
            key,
            key_id: key_id.to_owned(),
            team_id: team_id.to_owned(),
            current: Mutex::default(),
            given_up_at: Mutex::default(),
        };
        token.make(0).map_err(|_| misconfigured("push: token.key is not a private key of APNs (.p8)"))?;
        Ok(token)
    }

    fn make(&self, generation: u64) -> Result<Current, jsonwebtoken::errors::Error> {
        let now = Millis::now();
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        let claims = json!({ "iss": self.team_id, "iat": now.0.div_euclid(1000) });
        let text = jsonwebtoken::encode(&header, &claims, &self.key)?;
        Ok(Current { text: text.into(), generation, made_at: now })
    }

    /// The token to use now; `None` when none can be signed.
    pub fn current(&self) -> Option<Current> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let age = current.as_ref().map(|token| Millis::now().0 - token.made_at.0);
        // A clock that was set back makes the token look as if it came from the future.
        if age.is_none_or(|age| !(0..RENEWED_AFTER_MS).contains(&age)) {
            let generation = current.as_ref().map_or(0, |token| token.generation + 1);
            match self.make(generation) {
                Ok(made) => *current = Some(made),
                Err(error) => tracing::error!(%error, "a token for APNs could not be signed"),
            }
        }
        current.clone()
    }

    /// APNs calls this one expired: the next is another, but not twice within 20 minutes. Whether it is worth
    /// trying again now.
    pub fn expired(&self, seen: &Current) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|token| token.generation != seen.generation) {
            return true;
        }
        let now = Millis::now();
        let mut given_up_at = self.given_up_at.lock().unwrap_or_else(PoisonError::into_inner);
        if given_up_at.is_some_and(|at| (0..SHORTEST_MS).contains(&(now.0 - at.0))) {
            return false;
        }
        *given_up_at = Some(now);
        match self.make(seen.generation + 1) {
            Ok(made) => *current = Some(made),
            Err(_) => return false,
        }
        true
    }
}

/// The tokens of an application: one for each key, however many providers have it, since Apple counts the
/// tokens of a key.
#[derive(Default)]
pub struct ProviderTokens(Vec<(Vec<u8>, Arc<ProviderToken>)>);

impl ProviderTokens {
    /// # Errors
    /// 115 when the key is none.
    pub fn get(&mut self, p8: Vec<u8>, key_id: &str, team_id: &str) -> Result<Arc<ProviderToken>> {
        let is_same = |token: &ProviderToken| token.key_id == key_id && token.team_id == team_id;
        if let Some((_, token)) = self.0.iter().find(|(key, token)| *key == p8 && is_same(token)) {
            return Ok(token.clone());
        }
        let token = Arc::new(ProviderToken::new(&p8, key_id, team_id)?);
        self.0.push((p8, token.clone()));
        Ok(token)
    }
}

/// An access token is given up so long before it ends.
const MARGIN_MS: i64 = 60_000;
const DEADLINE: Duration = Duration::from_secs(15);
/// After a refusal nobody asks again so soon.
const PAUSE_MS: i64 = 1000;

/// OAuth tokens of a Google service account.
pub struct AccessToken {
    key: EncodingKey,
    key_id: Option<String>,
    email: String,
    token_uri: String,
    scope: &'static str,
    state: tokio::sync::Mutex<Granted>,
}

#[derive(Default)]
struct Granted {
    token: Option<Arc<str>>,
    ends_at: i64,
    generation: u64,
    failed: Option<(i64, String)>,
}

impl AccessToken {
    /// # Errors
    /// 115 when the account's key is none.
    pub fn new(account: &crate::types::Object, scope: &'static str) -> Result<Self> {
        let text = |name: &str| super::options::text(account, name);
        let wrong = || misconfigured("Firebase service account is not valid");
        let pem = text("private_key").or_else(|| text("privateKey")).ok_or_else(wrong)?;
        let email = text("client_email").or_else(|| text("clientEmail")).ok_or_else(wrong)?;
        let key = EncodingKey::from_rsa_pem(pem.replace("\\n", "\n").as_bytes()).map_err(|_| wrong())?;
        Ok(Self {
            key,
            key_id: text("private_key_id").map(str::to_owned),
            email: email.to_owned(),
            token_uri: text("token_uri").unwrap_or("https://oauth2.googleapis.com/token").to_owned(),
            scope,
            state: tokio::sync::Mutex::default(),
        })
    }

    /// The token to use now. Whoever comes while it is asked for waits for the one answer.
    ///
    /// # Errors
    /// Why there is none, in words that hold no secret.
    pub async fn current(&self, outbound: &Outbound) -> Result<(Arc<str>, u64), String> {
        let mut state = self.state.lock().await;
        let now = Millis::now().0;
        if let Some(token) = state.token.clone().filter(|_| now < state.ends_at - MARGIN_MS) {
            return Ok((token, state.generation));
        }
        if let Some((at, reason)) = &state.failed
            && (0..PAUSE_MS).contains(&(now - at))
        {
            return Err(reason.clone());
        }
        match self.ask(outbound, now).await {
            Ok((token, seconds)) => {
                state.token = Some(token.clone());
                state.ends_at = now + seconds * 1000;
                state.generation += 1;
                state.failed = None;
                Ok((token, state.generation))
            }
            Err(reason) => {
                state.failed = Some((Millis::now().0, reason.clone()));
                Err(reason)
            }
        }
    }

    /// The service did not take this one: the next is another.
    pub async fn refused(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.generation == generation {
            state.token = None;
        }
    }

    async fn ask(&self, outbound: &Outbound, now: i64) -> Result<(Arc<str>, i64), String> {
        let issued = now.div_euclid(1000);
        let claims = json!({
            "iss": self.email,
            "scope": self.scope,
            "aud": self.token_uri,
            "iat": issued,
            "exp": issued + 3600,
        });
        let header = Header { kid: self.key_id.clone(), ..Header::new(Algorithm::RS256) };
        let assertion = jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| "no assertion could be signed".to_owned())?;
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let request = Request::post(&self.token_uri)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .within(DEADLINE)
            .body(form);
        let answer =
            outbound.send(request).await.map_err(|error: OutboundError| format!("OAuth: {error}"))?;
        if !answer.status.is_success() {
            return Err(format!("OAuth: the token server answered {}", answer.status.as_u16()));
        }
        let body: Value =
            answer.json().map_err(|_| "OAuth: the token server's answer is no JSON".to_owned())?;
        let token = body.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| "OAuth: the token server gave no token".to_owned())?;
        let seconds = body.get("expires_in").and_then(Value::as_i64).unwrap_or(3600).clamp(1, 86_400);
        Ok((token.into(), seconds))
    }
}
