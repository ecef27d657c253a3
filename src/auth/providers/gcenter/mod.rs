//! Game Center: a signature over the player's id, made with a key whose certificate Apple publishes and a pinned
//! certificate vouches for. The URL of the certificate comes from the client: it must be one of apple.com's.

mod certificate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::CONTENT_TYPE;
use serde_json::Value;
use url::Url;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::auth::env::{ProviderEnv, text};
use crate::auth::openid::keys::max_age;
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found, refused};
use crate::error::{Error, Result};
use crate::outbound::{Answer, Request};
use certificate::{is_issued_by, is_valid_at};

const ROOT: &str = "https://cacerts.digicert.com/DigiCertTrustedG4CodeSigningRSA4096SHA3842021CA1.crt.pem";
/// Longest pinned certificate, in bytes.
const MAX_ROOT: usize = 10_000;
/// A device's clock may be so far ahead of ours.
const MOST_AHEAD: TimeDelta = TimeDelta::minutes(5);
/// So many of Apple's certificates are kept; there are one or two at a time.
const MOST_KEPT: usize = 16;

/// Keys by their URL, each with the end of its time.
type KeptKeys = HashMap<String, (Arc<[u8]>, DateTime<Utc>)>;

/// The pinned certificate.
#[derive(Default)]
struct Root {
    certificate: Option<Arc<Certificate>>,
    /// When the last question for it had ended.
    asked: Option<Instant>,
}

pub struct GameCenter {
    env: Arc<ProviderEnv>,
    bundle: Option<String>,
    is_insecure: bool,
    /// Option `timestampMaxAge`: a signature counts so long.
    oldest: Option<TimeDelta>,
    root_url: String,
    root: tokio::sync::Mutex<Root>,
    kept: Mutex<KeptKeys>,
}

/// # Errors
/// Without a `bundleId`.
pub fn gcenter(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    if !settings.is_given() {
        return Err(refused("Game center auth options are required."));
    }
    let (bundle, is_insecure) = (settings.text("bundleId"), settings.allows_insecure());
    if bundle.is_none() && !is_insecure {
        return Err(refused("bundleId is required for secure auth."));
    }
    let root_url = settings.text("rootCertificateUrl").unwrap_or_else(|| ROOT.to_owned());
    Ok(Arc::new(GameCenter {
        env: env.clone(),
        bundle,
        is_insecure,
        oldest: settings.seconds("timestampMaxAge"),
        root_url,
        root: tokio::sync::Mutex::default(),
        kept: Mutex::default(),
    }))
}

fn no_root() -> Error {
    not_found("Root certificate is invalid or missing.")
}

fn wrong_url(url: &str) -> Error {
    let shown: String = url.chars().filter(|c| !c.is_control()).take(500).collect();
    not_found(format!("Invalid publicKeyUrl: {shown}"))
}

/// The URL, when it is one of a certificate that Apple publishes.
fn apples(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let is_apples = host == "apple.com" || host.ends_with(".apple.com");
    let fits = url.scheme() == "https" && is_plain && is_apples && url.path().ends_with(".cer");
    (fits && text.starts_with("https://")).then_some(url)
}

/// Base64 of either alphabet, with or without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    STANDARD_NO_PAD.decode(text).ok()
}

fn read_certificate(answer: &Answer) -> Option<Certificate> {
    if answer.body.trim_ascii_start().starts_with(b"-----BEGIN") {
        return certificate::from_pem(&answer.body);
    }
    Certificate::from_der(&answer.body).ok()
}

impl GameCenter {
    /// The pinned certificate; fetched once. Whoever waited while another asked in vain does not ask again.
    async fn root(&self) -> Result<Arc<Certificate>> {
        let came = Instant::now();
        let mut root = self.root.lock().await;
        if let Some(known) = &root.certificate {
            return Ok(known.clone());
        }
        if root.asked.is_some_and(|ended| ended > came) {
            return Err(no_root());
        }
        let answer = self.env.ask_text("gcenter", Request::get(&self.root_url)).await;
        root.asked = Some(Instant::now());
        let answer = answer.map_err(|_| no_root())?;
        let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind != Some("application/x-pem-file") || answer.body.len() > MAX_ROOT {
            return Err(not_found("Invalid rootCertificateURL."));
        }
        let read = certificate::from_pem(&answer.body).ok_or_else(no_root)?;
        Ok(root.certificate.insert(Arc::new(read)).clone())
    }

    /// The key behind a URL of Apple's.
    async fn key(&self, text: &str) -> Result<Arc<[u8]>> {
        let url = apples(text).ok_or_else(|| wrong_url(text))?;
        let now = self.env.clock.now();
        let kept = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, (_, until)| *until > now);
            kept.get(url.as_str()).map(|(key, _)| key.clone())
        };
        if let Some(key) = kept {
            return Ok(key);
        }
        let root = self.root().await?;
        let answer = self.env.ask_text("gcenter", Request::get(url.as_str())).await;
        let answer = answer.map_err(|_| refused(format!("Failed to fetch certificate: {url}")))?;
        let leaf = read_certificate(&answer).ok_or_else(|| wrong_url(text))?;
        let is_good = is_issued_by(&leaf, &root) && is_valid_at(&leaf, now) && is_valid_at(&root, now);
        let key = certificate::rsa_key(&leaf).filter(|_| is_good).ok_or_else(|| wrong_url(text))?;
        let key: Arc<[u8]> = key.into();
        if let Some(age) = max_age(&answer).filter(|age| age.num_seconds() > 0) {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < MOST_KEPT
                && let Some(until) = now.checked_add_signed(age)
            {
                kept.insert(url.into(), (key.clone(), until));
            }
        }
        Ok(key)
    }
}

impl GameCenter {
    /// Whoever has seen a signature has it for ever, unless its age is limited. `timestamp` in milliseconds.
    fn check_age(&self, timestamp: u64) -> Result<()> {
        let Some(oldest) = self.oldest else { return Ok(()) };
        let made = i64::try_from(timestamp).ok().and_then(DateTime::from_timestamp_millis);
        let age = made.map(|made| self.env.clock.now() - made);
        match age {
            Some(age) if age <= oldest && age >= -MOST_AHEAD => Ok(()),
            _ => Err(not_found("The signature is too old.")),
        }
    }
}

#[async_trait(?Send)]
impl AuthProvider for GameCenter {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let part = |name: &str| {
            text(data.get(name)).ok_or_else(|| not_found(format!("AuthData {name} is missing.")))
        };
        let (id, url, timestamp) = (part("id")?, part("publicKeyUrl")?, part("timestamp")?);
        let (signature, salt) = (part("signature")?, part("salt")?);
        let bundle = match &self.bundle {
            Some(bundle) => bundle.clone(),
            None => part("bundleId")?,
        };
        if self.is_insecure {
            part("bundleId")?;
        }
        let key = self.key(&url).await?;
        let wrong = || not_found("Invalid signature.");
        let timestamp: u64 = timestamp.parse().map_err(|_| wrong())?;
        let mut signed = Vec::new();
        signed.extend_from_slice(id.as_bytes());
        signed.extend_from_slice(bundle.as_bytes());
        signed.extend_from_slice(&timestamp.to_be_bytes());
        signed.extend_from_slice(&decoded(&salt).ok_or_else(wrong)?);
        let signature = decoded(&signature).ok_or_else(wrong)?;
        if !certificate::is_signed(&key, jsonwebtoken::Algorithm::RS256, &signed, &signature) {
            return Err(wrong());
        }
        self.check_age(timestamp)?;
        Ok(Verdict::default())
    }
}

#[cfg(test)]
mod tests {
    use super::apples;

    #[test]
    fn only_apples_certificates_are_fetched() {
        for good in [
            "https://static.gc.apple.com/public-key/gc-prod-4.cer",
            "https://apple.com/x.cer",
            "https://a-b.c_d.apple.com/x/y.cer",
        ] {
            assert!(apples(good).is_some(), "{good}");
        }
        for bad in [
            "http://static.gc.apple.com/a.cer",
            "https://apple.com.evil.org/a.cer",
            "https://evilapple.com/a.cer",
            "https://evil.org/apple.com/a.cer",
            "https://static.gc.apple.com@evil.org/a.cer",
            "https://user@apple.com/a.cer",
            "https://static.gc.apple.com:8443/a.cer",
            "https://static.gc.apple.com/a.cer?x=.cer",
            "https://static.gc.apple.com/a#.cer",
            "https://static.gc.apple.com/a.pem",
            "https:\\\\static.gc.apple.com\\a.cer",
            "//static.gc.apple.com/a.cer",
            "",
        ] {
            assert!(apples(bad).is_none(), "{bad}");
        }
    }
}
