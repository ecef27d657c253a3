//! Web Push (RFC 8030, 8291, 8292): the token of an installation is its subscription as JSON. Crate `web-push`
//! encrypts; requests go out as ones whose address a client chose, since the subscription did.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream::{self, StreamExt};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use url::Url;
use web_push::{ContentEncoding, SubscriptionInfo, WebPushMessageBuilder};

use super::options::{self, misconfigured};
use super::{Device, Message, Outcome, Sender, retry_after};
use crate::error::Result;
use crate::outbound::{Outbound, Request};
use crate::types::Object;
use crate::types::time::Millis;

/// Four weeks, in seconds: `web-push`'s default.
const LONGEST_TTL: i64 = 28 * 24 * 3600;
/// Services take payloads of 4,096 bytes, encrypted.
const MOST_PAYLOAD: usize = 3993;
const CONCURRENT: usize = 100;
const DEADLINE: Duration = Duration::from_secs(15);
const MOST: usize = 16 * 1024;
/// A signature is good for half a day.
const SIGNED_FOR_S: i64 = 12 * 3600;
/// Push services whose signatures are kept.
const MOST_SIGNATURES: usize = 256;

pub struct WebPush {
    vapid: Vapid,
    headers: HeaderMap,
    ttl: Option<i64>,
    urgency: String,
    topic: Option<String>,
    deadline: Duration,
    outbound: Arc<Outbound>,
}

impl WebPush {
    /// # Errors
    /// 115 for options that `web-push` refuses.
    pub fn new(options: &Value, outbound: &Arc<Outbound>) -> Result<Self> {
        let wrong = || misconfigured("WEB Push Configuration is invalid");
        let options = options.as_object().ok_or_else(wrong)?;
        let vapid = options.get("vapidDetails").and_then(Value::as_object).ok_or_else(wrong)?;
        let vapid = Vapid::new(vapid)?;
        let mut headers = HeaderMap::new();
        for (name, value) in options.get("headers").and_then(Value::as_object).into_iter().flatten() {
            let (name, value) = name
                .parse::<HeaderName>()
                .ok()
                .zip(value.as_str().and_then(|value| value.parse().ok()))
                .ok_or_else(wrong)?;
            headers.insert(name, value);
        }
        let urgency = options::text(options, "urgency").unwrap_or("normal");
        if !["very-low", "low", "normal", "high"].contains(&urgency) {
            return Err(misconfigured("Unsupported urgency specified."));
        }
        let topic = options::text(options, "topic");
        if topic.is_some_and(|topic| !is_topic(topic)) {
            return Err(misconfigured(
                "push: web.topic has other characters than those of Base64 URLs, or more than 32",
            ));
        }
        if options.get("contentEncoding").is_some_and(|encoding| encoding != "aes128gcm") {
            return Err(misconfigured("push: web.contentEncoding can only be aes128gcm"));
        }
        let timeout = options.get("timeout").and_then(Value::as_u64).filter(|ms| *ms > 0);
        Ok(Self {
            vapid,
            headers,
            ttl: options.get("TTL").and_then(Value::as_i64).filter(|ttl| *ttl >= 0),
            urgency: urgency.to_owned(),
            topic: topic.map(str::to_owned),
            deadline: timeout.map_or(DEADLINE, Duration::from_millis),
            outbound: outbound.clone(),
        })
    }
}

/// A header that names a message which a newer one replaces.
fn is_topic(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
}

/// Signs for push services, each for a while.
struct Vapid {
    key: EncodingKey,
    public: String,
    subject: String,
    signed: Mutex<HashMap<String, (HeaderValue, i64)>>,
}

impl Vapid {
    fn new(details: &Object) -> Result<Self> {
        let text = |name: &str| {
            options::text(details, name)
                .ok_or_else(|| misconfigured(format!("push: web.vapidDetails.{name} is missing")))
        };
        let subject = text("subject")?;
        if !subject.starts_with("mailto:") && !subject.starts_with("https://") {
            return Err(misconfigured("push: web.vapidDetails.subject must be a mailto: or https: URL"));
        }
        let key = |name: &'static str, length: usize| {
            let decoded = options::base64url(text(name)?).filter(|bytes| bytes.len() == length);
            decoded
                .ok_or_else(|| misconfigured(format!("push: web.vapidDetails.{name} is not a key of VAPID")))
        };
        let (public, private) = (key("publicKey", 65)?, key("privateKey", 32)?);
        let vapid = Self {
            key: EncodingKey::from_ec_der(&pkcs8(&private, &public)),
            public: URL_SAFE_NO_PAD.encode(&public),
            subject: subject.to_owned(),
            signed: Mutex::default(),
        };
        vapid
            .sign("https://push.invalid", 0)
            .ok_or_else(|| misconfigured("push: web.vapidDetails.privateKey and publicKey are no pair"))?;
        Ok(vapid)
    }

    fn sign(&self, audience: &str, now_s: i64) -> Option<HeaderValue> {
        let claims = json!({ "aud": audience, "exp": now_s + SIGNED_FOR_S, "sub": self.subject });
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key).ok()?;
        let mut value = HeaderValue::from_str(&format!("vapid t={token}, k={}", self.public)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn authorization(&self, audience: &str) -> Option<HeaderValue> {
        let now = Millis::now().0.div_euclid(1000);
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, at)) = signed.get(audience)
            && (0..SIGNED_FOR_S / 2).contains(&(now - at))
        {
            return Some(value.clone());
        }
        let value = self.sign(audience, now)?;
        // Clients choose the services.
        if signed.len() >= MOST_SIGNATURES {
            signed.clear();
        }
        signed.insert(audience.to_owned(), (value.clone(), now));
        Some(value)
    }
}

/// PKCS 8 around a key of curve P-256.
fn pkcs8(private: &[u8], public: &[u8]) -> Vec<u8> {
    const HEAD: &[u8] = &[
        0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01,
        0x04, 0x20,
    ];
    const MIDDLE: &[u8] = &[0xa1, 0x44, 0x03, 0x42, 0x00];
    [HEAD, private, MIDDLE, public].concat()
}

#[async_trait]
impl Sender for WebPush {
    async fn send(&self, message: &Message, devices: Vec<Device>) -> Vec<Outcome> {
        let payload = Value::Object(message.data.clone()).to_string();
        if payload.len() > MOST_PAYLOAD {
            return vec![Outcome::rejected("the payload is too large"); devices.len()];
        }
        let ttl = match message.expires_at {
            Some(at) => (at.0 - Millis::now().0).div_euclid(1000).clamp(0, LONGEST_TTL),
            None => self.ttl.unwrap_or(LONGEST_TTL),
        };
        let requests =
            devices.into_iter().map(|device| self.to_device(device.token, payload.as_bytes(), ttl, message));
        stream::iter(requests).buffered(CONCURRENT).collect().await
    }
}

impl WebPush {
    async fn to_device(&self, token: String, payload: &[u8], ttl: i64, message: &Message) -> Outcome {
        if message.halt.is_set() {
            return Outcome::Unsent;
        }
        let Ok(subscription) = serde_json::from_str::<Value>(&token) else {
            return Outcome::rejected("the token is not a subscription in JSON");
        };
        let text = |pointer: &str| subscription.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let endpoint = text("/endpoint").to_owned();
        let Ok(url) = Url::parse(&endpoint) else { return Outcome::rejected("the endpoint is not a URL") };
        let unpadded = |text: &str| text.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let info = SubscriptionInfo::new(
            endpoint.clone(),
            unpadded(text("/keys/p256dh")),
            unpadded(text("/keys/auth")),
        );
        let mut builder = WebPushMessageBuilder::new(&info);
        builder.set_payload(ContentEncoding::Aes128Gcm, payload);
        let Some(encrypted) = builder.build().ok().and_then(|built| built.payload) else {
            return Outcome::rejected("the keys of the subscription are not valid");
        };
        let Some(authorization) = self.vapid.authorization(&url.origin().ascii_serialization()) else {
            return Outcome::rejected("the endpoint cannot be signed for");
        };
        let mut headers = self.headers.clone();
        let mut put = |name: HeaderName, value: HeaderValue| drop(headers.insert(name, value));
        put(http::header::AUTHORIZATION, authorization);
        put(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        put(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        put(HeaderName::from_static("ttl"), HeaderValue::from(ttl));
        if let Ok(urgency) = HeaderValue::from_str(&self.urgency) {
            put(HeaderName::from_static("urgency"), urgency);
        }
        if let Some(topic) = self.topic.as_deref().and_then(|topic| HeaderValue::from_str(topic).ok()) {
            put(HeaderName::from_static("topic"), topic);
        }
        let request = Request::post(&endpoint)
            .chosen_by_client()
            .within(self.deadline)
            .at_most(MOST)
            .headers(headers)
            .body(encrypted.content);
        match self.outbound.send(request).await {
            Ok(answer) => outcome_of(answer.status.as_u16(), retry_after(&answer.headers)),
            Err(error) => Outcome::failed(&error),
        }
    }
}

fn outcome_of(status: u16, after: Option<Duration>) -> Outcome {
    match status {
        200..=299 => Outcome::ACCEPTED,
        404 | 410 => Outcome::dead(format!("status {status}")),
        408 | 429 | 500..=599 => Outcome::retry(format!("status {status}"), after),
        _ => Outcome::rejected(format!("status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::push::Halt;

    fn sender() -> WebPush {
        let options = json!({ "vapidDetails": {
            "subject": "mailto:push@example.com",
            "publicKey": "BLpZkciKav5MD9BgyEKwVnsGPgZ03gxw1WbdgtH4wKeVrTTti7PK7J3nYSLB0apT8SzUdjewpXRszeV8-iWS5-8",
            "privateKey": "OfNwCWx9iQk45CVbANn3DASaXPqQ5j5sGoiTil9fWI8",
        } });
        WebPush::new(&options, &Outbound::for_tests()).unwrap()
    }

    fn message() -> Message {
        let data = Object::from_iter([("alert".to_owned(), "hi".into())]);
        let halt = Halt::default();
        Message { push_id: "p".to_owned(), body: Object::new(), data, expires_at: None, halt }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever an installation calls its subscription: it is refused, and the batch goes on.
        #[test]
        fn no_subscription_panics(
            endpoint in "(https?://)?(127\\.0\\.0\\.1|\\[::1\\]|[a-z@:%\\[/.]{0,12})(:[0-9]{0,6})?(/[/?#a-z%\\r\\n \u{e4}]{0,10})?",
            public in proptest::collection::vec(any::<u8>(), 0..80), is_point in any::<bool>(),
            auth in proptest::collection::vec(any::<u8>(), 0..24), text in ".{0,60}", is_text in any::<bool>(),
        ) {
            let mut public = public;
            if is_point {
                public.resize(65, 7);
                public[0] = 4;
            }
            let keys = json!({ "p256dh": URL_SAFE_NO_PAD.encode(&public), "auth": URL_SAFE_NO_PAD.encode(&auth) });
            let token = match is_text {
                true => text,
                // Names are not asked for in a test.
                false if endpoint.contains("127.0.0.1") || endpoint.contains("[::1]") => {
                    json!({ "endpoint": endpoint, "keys": keys }).to_string()
                }
                false => json!({ "endpoint": "https://127.0.0.1/", "keys": keys }).to_string(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let devices = vec![Device { token, ..Device::default() }];
            let outcomes = runtime.block_on(sender().send(&message(), devices));
            prop_assert!(matches!(outcomes.as_slice(), [Outcome::Rejected { .. }]), "{outcomes:?}");
        }
    }
}
