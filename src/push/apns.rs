//! APNs: one HTTP/2 connection for each provider of the configuration, tokens (`.p8`) or certificates.
//!
//! Devices go to the providers of their app, production first, and to the next one when one refuses them. The
//! reasons are those of crate `a2`; its client is not used, since its endpoint is fixed.

use std::sync::Arc;
use std::time::Duration;

use a2::ErrorReason;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue};
use openssl::pkey::PKey;
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::apple::{self, Style};
use super::options::{self, misconfigured};
use super::token::{Current, ProviderToken, ProviderTokens};
use super::{Broadcast, Device, Message, Outcome, Sender, retry_after};
use crate::error::Result;
use crate::outbound::{Multiplexed, Outbound, Request};
use crate::tls::Identity;
use crate::types::Object;

const PRODUCTION: &str = "https://api.push.apple.com";
const SANDBOX: &str = "https://api.sandbox.push.apple.com";
/// Requests under way on a connection; APNs takes about so many streams.
const STREAMS: usize = 1000;
const DEADLINE: Duration = Duration::from_secs(15);
/// Bytes of an answer: a reason.
const MOST: usize = 16 * 1024;
/// No token is longer.
const LONGEST_TOKEN: usize = 400;

pub struct Apns {
    /// Production first.
    providers: Vec<Arc<Provider>>,
    style: Style,
}

struct Provider {
    topic: Option<String>,
    is_production: bool,
    host: &'static str,
    /// `None`: known by its certificate.
    token: Option<Arc<ProviderToken>>,
    connections: Multiplexed,
    streams: Semaphore,
    deadline: Duration,
}

impl Apns {
    /// # Errors
    /// 115 for configurations that cannot work.
    pub fn new(options: &Value, outbound: &Outbound, tokens: &mut ProviderTokens) -> Result<Self> {
        let all = options::objects(options, "APNS Configuration is invalid")?;
        let is_native = all.iter().any(|one| one.get("useNativeAPNs") == Some(&Value::Bool(true)));
        let providers = all.into_iter().map(|one| Provider::new(one, outbound, tokens).map(Arc::new));
        let mut providers = providers.collect::<Result<Vec<_>>>()?;
        // A stable sort: the order of the configuration counts among equals.
        providers.sort_by_key(|provider| !provider.is_production);
        Ok(Self { providers, style: if is_native { Style::Native } else { Style::NodeApn } })
    }

    /// Those with the app's topic, else those without one.
    fn providers_of(&self, app: Option<&str>) -> Vec<Arc<Provider>> {
        let own: Vec<_> =
            self.providers.iter().filter(|p| app.is_some() && p.topic.as_deref() == app).cloned().collect();
        if !own.is_empty() {
            return own;
        }
        self.providers.iter().filter(|provider| provider.topic.is_none()).cloned().collect()
    }
}

impl Provider {
    fn new(options: &Object, outbound: &Outbound, tokens: &mut ProviderTokens) -> Result<Self> {
        let topic = options::text(options, "bundleId").or_else(|| options::text(options, "topic"));
        let is_production = options.get("production").is_some_and(crate::types::javascript::is_truthy);
        let given = |name: &str| options.get(name).filter(|value| crate::types::javascript::is_truthy(value));
        let is_native = options.get("useNativeAPNs") == Some(&Value::Bool(true));
        let (token, identity) = match options.get("token").and_then(Value::as_object) {
            Some(token) => {
                let id = |name: &'static str| {
                    options::text(token, name)
                        .ok_or_else(|| misconfigured(format!("push: token.{name} is missing")))
                };
                let key = token.get("key").ok_or_else(|| misconfigured("push: token.key is missing"))?;
                let key = options::material(key, "token.key")?;
                (Some(tokens.get(key, id("keyId")?, id("teamId")?)?), None)
            }
            None if is_native => {
                return Err(misconfigured(
                    "APNSNative requires token auth config (token.key, token.keyId, token.teamId)",
                ));
            }
            None => (None, Some(identity(options)?)),
        };
        let has_certificate = ["cert", "key", "pfx"].iter().any(|name| given(name).is_some());
        if topic.is_none() && (has_certificate || is_native) {
            let text = if is_native { "APNSNative requires a topic (bundle ID)" } else { "topic is missing" };
            return Err(misconfigured(text));
        }
        let deadline = options.get("requestTimeout").and_then(Value::as_u64).filter(|ms| *ms > 0);
        Ok(Self {
            topic: topic.map(str::to_owned),
            is_production,
            host: if is_production { PRODUCTION } else { SANDBOX },
            token,
            connections: outbound.multiplexed(identity.as_ref())?,
            streams: Semaphore::new(STREAMS),
            deadline: deadline.map_or(DEADLINE, Duration::from_millis),
        })
    }
}

/// The certificate: a PKCS 12 file with passphrase, or PEM.
fn identity(options: &Object) -> Result<Identity> {
    let passphrase = options::text(options, "passphrase").unwrap_or_default();
    if let Some(pfx) = options.get("pfx").or_else(|| options.get("pfxData")).filter(|value| !value.is_null())
    {
        let wrong = || misconfigured("push: pfx cannot be opened with this passphrase, or holds no key");
        let bytes = options::material(pfx, "pfx")?;
        let store =
            KeyStore::from_pkcs12(&bytes, passphrase, Pkcs12ImportPolicy::Relaxed).map_err(|_| wrong())?;
        let (_, held) = store.private_key_chain().ok_or_else(wrong)?;
        let chain = held.certs().iter().map(|one| CertificateDer::from(one.as_der().to_vec())).collect();
        let key = PrivatePkcs8KeyDer::from(held.key().as_der().to_vec()).into();
        return Ok(Identity { chain, key });
    }
    let missing = || misconfigured("push: token, pfx, or cert and key are needed for APNs");
    let certificate = options::material(options.get("cert").ok_or_else(missing)?, "cert")?;
    let key = match options.get("key").filter(|key| !key.is_null()) {
        Some(key) => options::material(key, "key")?,
        // One file may hold both.
        None => certificate.clone(),
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificate)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| misconfigured("push: cert is not in PEM form"))?;
    Ok(Identity { chain, key: private_key(&key, passphrase)? })
}

/// A key in PEM form, opened with the passphrase where it is encrypted: as PKCS 8, or in OpenSSL's older form
/// (`Proc-Type: 4,ENCRYPTED`).
fn private_key(pem: &[u8], passphrase: &str) -> Result<PrivateKeyDer<'static>> {
    let text = String::from_utf8_lossy(pem);
    if !text.contains("BEGIN ENCRYPTED PRIVATE KEY") && !text.contains("Proc-Type: 4,ENCRYPTED") {
        return PrivateKeyDer::from_pem_slice(pem).map_err(|_| misconfigured("push: key is not in PEM form"));
    }
    let opened = PKey::private_key_from_pem_passphrase(pem, passphrase.as_bytes())
        .and_then(|key| key.private_key_to_pkcs8())
        .map_err(|_| misconfigured("push: key cannot be opened with this passphrase"))?;
    Ok(PrivatePkcs8KeyDer::from(opened).into())
}

/// What devices of one app get through one provider.
struct Prepared {
    provider: Arc<Provider>,
    headers: HeaderMap,
}

#[async_trait]
impl Sender for Apns {
    async fn send(&self, message: &Message, devices: Vec<Device>) -> Vec<Outcome> {
        let body = match serde_json::to_vec(&apple::payload(message, self.style)) {
            Ok(body) => Bytes::from(body),
            Err(_) => return vec![Outcome::rejected("PayloadEmpty"); devices.len()],
        };
        if let Some(Device { broadcast: Some(Broadcast::Channel { id, app }), .. }) = devices.first() {
            return vec![self.to_channel(id, app, body, message).await];
        }
        let (headers, push_type) = (apple::headers(message), apple::push_type(message));
        let mut apps: Vec<(Option<String>, std::result::Result<Arc<[Prepared]>, &'static str>)> = Vec::new();
        let mut requests = Vec::with_capacity(devices.len());
        for device in devices {
            let known = apps.iter().position(|(app, _)| *app == device.app_identifier);
            let index = known.unwrap_or_else(|| {
                let app = device.app_identifier.clone();
                let topic = apple::topic(message, app.as_deref(), &push_type);
                let prepared = self.prepare(app.as_deref(), topic.as_deref(), &headers);
                apps.push((app, prepared));
                apps.len() - 1
            });
            let prepared = apps.get(index).map_or(Err("No Provider found"), |(_, prepared)| prepared.clone());
            requests.push(to_device(prepared, device.token, body.clone(), message));
        }
        stream::iter(requests).buffered(STREAMS).collect().await
    }

    fn reaches(&self, broadcast: &Broadcast) -> bool {
        matches!(broadcast, Broadcast::Channel { app, .. } if !self.providers_of(Some(app)).is_empty())
    }
}

impl Apns {
    /// Live Activities of everybody who listens to a channel of the app.
    async fn to_channel(&self, id: &str, app: &str, body: Bytes, message: &Message) -> Outcome {
        let mut headers = apple::headers(message);
        headers
            .retain(|(name, _)| !matches!(*name, "apns-channel-id" | "apns-push-type" | "apns-collapse-id"));
        headers.push(("apns-push-type", "liveactivity".to_owned()));
        headers.push(("apns-channel-id", id.to_owned()));
        if !headers.iter().any(|(name, _)| *name == "apns-expiration") {
            // Demanded here; a channel that keeps nothing takes no other.
            headers.push(("apns-expiration", "0".to_owned()));
        }
        match self.prepare(Some(app), None, &headers) {
            Ok(prepared) => through(&prepared, &format!("/4/broadcasts/apps/{app}"), &body, message).await,
            Err(reason) => Outcome::rejected(reason),
        }
    }

    fn prepare(
        &self,
        app: Option<&str>,
        topic: Option<&str>,
        headers: &[(&'static str, String)],
    ) -> std::result::Result<Arc<[Prepared]>, &'static str> {
        let mut map = HeaderMap::with_capacity(headers.len() + 3);
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).map_err(|_| "a header is not valid")?;
            map.insert(HeaderName::from_static(name), value);
        }
        if let Some(topic) = topic {
            let value = HeaderValue::from_str(topic).map_err(|_| "BadTopic")?;
            map.insert(HeaderName::from_static("apns-topic"), value);
        }
        let providers = self.providers_of(app);
        if providers.is_empty() {
            return Err("No Provider found");
        }
        Ok(providers.into_iter().map(|provider| Prepared { provider, headers: map.clone() }).collect())
    }
}

async fn to_device(
    prepared: std::result::Result<Arc<[Prepared]>, &'static str>,
    token: String,
    body: Bytes,
    message: &Message,
) -> Outcome {
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(reason) => return Outcome::rejected(reason),
    };
    // It becomes part of the path, and clients choose it.
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(is_plain) {
        return Outcome::rejected("BadDeviceToken");
    }
    through(&prepared, &format!("/3/device/{token}"), &body, message).await
}

/// Tries the providers one after the other until one takes it.
async fn through(prepared: &[Prepared], path: &str, body: &Bytes, message: &Message) -> Outcome {
    let mut all_dead = true;
    let mut last = Outcome::rejected("No Provider found");
    for one in prepared {
        last = one.send(path, body, message).await;
        match &last {
            Outcome::Rejected { is_dead, .. } => all_dead &= is_dead,
            _ => return last,
        }
    }
    match last {
        Outcome::Rejected { reason, .. } => Outcome::Rejected { reason, is_dead: all_dead },
        other => other,
    }
}

impl Prepared {
    async fn send(&self, path: &str, body: &Bytes, message: &Message) -> Outcome {
        let Ok(_stream) = self.provider.streams.acquire().await else { return Outcome::Unsent };
        if message.halt.is_set() {
            return Outcome::Unsent;
        }
        let first = self.provider.token.as_ref().map(|tokens| tokens.current());
        let outcome = self.once(path, body, first.clone().flatten()).await;
        let (Answered::Expired, Some(tokens), Some(Some(seen))) = (&outcome, &self.provider.token, first)
        else {
            return outcome.outcome();
        };
        if !tokens.expired(&seen) {
            return outcome.outcome();
        }
        self.once(path, body, tokens.current()).await.outcome()
    }

    async fn once(&self, path: &str, body: &Bytes, current: Option<Current>) -> Answered {
        let provider = &self.provider;
        let mut request = Request::post(&format!("{}{path}", provider.host))
            .within(provider.deadline)
            .at_most(MOST)
            .headers(self.headers.clone())
            .body(body.clone());
        if provider.token.is_some() {
            let Some(current) = current else {
                return Answered::Ended(Outcome::retry("no provider token could be signed", None));
            };
            request = request.authorization("bearer", &current.text);
        }
        let answer = match provider.connections.send(request).await {
            Ok(answer) => answer,
            Err(error) => return Answered::Ended(Outcome::failed(&error)),
        };
        if answer.status == http::StatusCode::OK {
            return Answered::Ended(Outcome::ACCEPTED);
        }
        let reason = answer.json::<Value>().ok();
        let reason = reason.as_ref().and_then(|body| body.get("reason")).and_then(Value::as_str);
        read_refusal(answer.status.as_u16(), reason, retry_after(&answer.headers))
    }
}

enum Answered {
    Ended(Outcome),
    /// The provider token is too old.
    Expired,
}

impl Answered {
    fn outcome(self) -> Outcome {
        match self {
            Self::Ended(outcome) => outcome,
            Self::Expired => Outcome::retry("ExpiredProviderToken", None),
        }
    }
}

fn read_refusal(status: u16, reason: Option<&str>, after: Option<Duration>) -> Answered {
    let known: Option<ErrorReason> =
        reason.and_then(|reason| serde_json::from_value(Value::String(reason.to_owned())).ok());
    // Reasons that came after `a2` are told as they are, as long as they look like one.
    let text = match reason {
        Some(reason) if reason.len() <= 64 && reason.bytes().all(|c| c.is_ascii_alphanumeric()) => {
            reason.to_owned()
        }
        _ => format!("status {status}"),
    };
    Answered::Ended(match (known, status) {
        (Some(ErrorReason::ExpiredProviderToken), _) => return Answered::Expired,
        // Apple wants no new token for a while, and takes the old one.
        (Some(ErrorReason::TooManyProviderTokenUpdates), _) => Outcome::retry(text, after),
        (Some(ErrorReason::BadDeviceToken | ErrorReason::Unregistered), _) | (_, 410) => Outcome::dead(text),
        (
            Some(
                ErrorReason::TooManyRequests
                | ErrorReason::InternalServerError
                | ErrorReason::ServiceUnavailable
                | ErrorReason::Shutdown
                | ErrorReason::IdleTimeout,
            ),
            _,
        )
        | (_, 408 | 429 | 500 | 502..=504) => Outcome::retry(text, after),
        _ => Outcome::rejected(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl pkcs8 -topk8` with `-v2 aes-256-cbc` and with `-v2 des3 -v2prf hmacWithSHA1`, `openssl pkey -traditional`
    /// with `-aes-128-cbc` and with `-des3`, passphrase `hush`.
    #[test]
    fn encrypted_keys_are_opened() {
        let plain = include_bytes!("tests/key.pem");
        let PrivateKeyDer::Pkcs8(expected) = private_key(plain, "").unwrap() else { panic!() };
        let encrypted: [&[u8]; 4] = [
            include_bytes!("tests/key-aes.pem"),
            include_bytes!("tests/key-des3.pem"),
            include_bytes!("tests/key-old-aes.pem"),
            include_bytes!("tests/key-old-des3.pem"),
        ];
        for encrypted in encrypted {
            let PrivateKeyDer::Pkcs8(opened) = private_key(encrypted, "hush").unwrap() else { panic!() };
            assert_eq!(opened.secret_pkcs8_der(), expected.secret_pkcs8_der());
            for passphrase in ["", "other"] {
                let error = private_key(encrypted, passphrase).unwrap_err();
                assert_eq!(error.public_message(false), "push: key cannot be opened with this passphrase");
            }
        }
        let cut = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
        assert!(private_key(cut, "hush").is_err());
        assert!(private_key(b"no key", "").is_err());
    }

    #[test]
    fn refusals() {
        let read = |status, reason| read_refusal(status, Some(reason), None).outcome();
        assert_eq!(read(400, "BadDeviceToken"), Outcome::dead("BadDeviceToken"));
        assert_eq!(read(410, "ExpiredToken"), Outcome::dead("ExpiredToken"));
        assert_eq!(read(400, "BadTopic"), Outcome::rejected("BadTopic"));
        assert_eq!(read(403, "InvalidProviderToken"), Outcome::rejected("InvalidProviderToken"));
        assert_eq!(read(429, "TooManyRequests"), Outcome::retry("TooManyRequests", None));
        assert_eq!(read(403, "<script>"), Outcome::rejected("status 403"));
        let after = Some(Duration::from_secs(3));
        assert_eq!(read_refusal(503, None, after).outcome(), Outcome::retry("status 503", after));
        assert!(matches!(read_refusal(403, Some("ExpiredProviderToken"), None), Answered::Expired));
    }
}
