//! What providers have of the world: the way out, a clock, and the public keys of others. Every question to a
//! provider's server goes through [`ProviderEnv::ask`], which bounds it: 10 seconds, 64 KiB, no redirects. What
//! goes wrong is logged once, without tokens and without URLs.

mod key_set;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use tokio::sync::Semaphore;
use url::form_urlencoded;

pub use key_set::{Key, Keys, Set};

use crate::outbound::{Answer, Outbound, Request};
use crate::types::Object;

/// For a call as a whole.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const MOST: usize = 64 * 1024;

/// Questions to one provider at a time. A provider that answers slowly holds up its own logins, not the server: the
/// next wait for so long, and are refused then.
const MOST_ASKED: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);

/// What time it is. Tests bring their own.
pub trait Clock: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's own clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// Makes texts that clients carry for the server and can neither read nor change.
pub trait Sealing: Send + Sync {
    fn seal(&self, purpose: &str, plain: &[u8]) -> String;
    fn open(&self, purpose: &str, text: &str) -> Option<Vec<u8>>;
}

/// One for each app; providers share it.
pub struct ProviderEnv {
    pub outbound: Arc<Outbound>,
    pub clock: Arc<dyn Clock>,
    pub seal: Arc<dyn Sealing>,
    pub keys: Keys,
    asking: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A question without a usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// What was answered instead, when something was.
    pub status: Option<StatusCode>,
}

impl Unanswered {
    /// For texts that tell the client why: the reason that belongs to the status.
    pub fn reason(self) -> &'static str {
        self.status.and_then(|status| status.canonical_reason()).unwrap_or("no answer")
    }
}

impl ProviderEnv {
    pub fn new(outbound: Arc<Outbound>, clock: Arc<dyn Clock>, seal: Arc<dyn Sealing>) -> Arc<Self> {
        Arc::new(Self { outbound, clock, seal, keys: Keys::default(), asking: Mutex::default() })
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.now().timestamp()
    }

    /// Asks a provider's server; every status is an answer.
    ///
    /// # Errors
    /// When there is none in time, or too much of one.
    pub async fn ask(&self, provider: &str, request: Request) -> Result<Answer, Unanswered> {
        let places = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            let places = asking.entry(provider.to_owned());
            places.or_insert_with(|| Arc::new(Semaphore::new(MOST_ASKED))).clone()
        };
        let Ok(Ok(_place)) = tokio::time::timeout(PATIENCE, places.acquire()).await else {
            tracing::warn!(provider, "a login provider is asked too many questions at a time");
            return Err(Unanswered { status: None });
        };
        self.outbound.send(request.within(DEADLINE).at_most(MOST)).await.map_err(|error| {
            tracing::warn!(provider, %error, "a login provider cannot be asked: {error}");
            Unanswered { status: None }
        })
    }

    /// Asks for JSON; only a success is an answer.
    ///
    /// # Errors
    /// As [`Self::ask`], and for other statuses and what is no JSON.
    pub async fn ask_json(&self, provider: &str, request: Request) -> Result<Value, Unanswered> {
        let answer = self.ask_text(provider, request).await?;
        json(provider, &answer)
    }

    /// Asks for anything; only a success is an answer.
    ///
    /// # Errors
    /// As [`Self::ask`], and for other statuses.
    pub async fn ask_text(&self, provider: &str, request: Request) -> Result<Answer, Unanswered> {
        let answer = self.ask(provider, request).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let status = answer.status;
        tracing::warn!(provider, %status, "a login provider refused a question with {status}");
        Err(Unanswered { status: Some(status) })
    }
}

/// The answer's body.
///
/// # Errors
/// When it is no JSON.
pub fn json(provider: &str, answer: &Answer) -> Result<Value, Unanswered> {
    // Some servers put the mark of their encoding before it.
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body);
    crate::types::json::from_outside(body).map_err(|_| {
        tracing::warn!(provider, "a login provider answered something that is no JSON");
        Unanswered { status: None }
    })
}

/// A request whose body is a form; pairs without a value are left out.
pub fn form(request: Request, pairs: &[(&str, Option<&str>)]) -> Request {
    let given = pairs.iter().filter_map(|(key, value)| Some((*key, (*value)?)));
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    let kind = http::HeaderValue::from_static("application/x-www-form-urlencoded");
    request.header(CONTENT_TYPE, kind).body(body)
}

/// A value of the client or of a provider as text: texts that are not empty, and whole numbers but 0, which is as
/// good as nothing.
pub fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if !number.is_f64() && number.as_u64() != Some(0) => Some(number.to_string()),
        _ => None,
    }
}

/// The text at a key of the client's data.
pub fn given(data: &Object, key: &str) -> Option<String> {
    text(data.get(key))
}
