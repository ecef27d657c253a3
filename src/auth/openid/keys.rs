//! Public keys of OpenID providers (JSON Web Key Sets), kept as long as the provider says and the operator allows.
//!
//! One request fetches for all who wait. A key id that is not in the set leads to one fetch a minute at most, since
//! clients choose key ids. While a provider is down its last keys count for a while longer.

use std::sync::Arc;
use std::time::Instant;

use chrono::TimeDelta;
use http::header::CACHE_CONTROL;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use crate::auth::env::{Key, ProviderEnv, Set, Unanswered, json};
use crate::outbound::{Answer, Request};

/// How long keys are kept when nobody says anything.
pub const DEFAULT_AGE: TimeDelta = TimeDelta::hours(1);
/// However short a provider wants them to be kept: a fetch per login is no way to treat either side.
const SHORTEST_AGE: TimeDelta = TimeDelta::seconds(1);
/// Keys of a provider that is down count so long beyond their time.
const MOST_STALE: TimeDelta = TimeDelta::hours(6);
/// Between two fetches for key ids that are not in the set.
const UNKNOWN_EVERY: TimeDelta = TimeDelta::minutes(1);
/// A provider that was down is left alone for so long while there are old keys.
const RETRY_AFTER: TimeDelta = TimeDelta::seconds(30);

impl ProviderEnv {
    /// The provider's key of this id. `None` when there is none, or none can be had.
    pub async fn key(&self, provider: &str, url: &str, id: Option<&str>, age: TimeDelta) -> Option<Arc<Key>> {
        let source = self.keys.source(url);
        let fresh = |set: &Arc<Set>| self.clock.now() < set.fresh_until;
        if let Some(found) = source.set().filter(fresh).and_then(|set| set.find(id)) {
            return Some(found);
        }
        let came = Instant::now();
        let mut history = source.fetching.lock().await;
        let now = self.clock.now();
        let set = source.set();
        let is_fresh = set.as_ref().is_some_and(|set| now < set.fresh_until);
        if is_fresh && let Some(found) = set.as_ref().and_then(|set| set.find(id)) {
            return Some(found);
        }
        // Whoever waited for another's fetch takes what came of it.
        let waited = history.ended.is_some_and(|ended| ended > came);
        let left_alone = set.is_some() && history.failed_at.is_some_and(|at| now - at < RETRY_AFTER);
        let asked_lately = history.unknown_at.is_some_and(|at| now - at < UNKNOWN_EVERY);
        let needless = is_fresh && asked_lately;
        let fetches = !(waited || needless || left_alone);
        if fetches {
            if is_fresh {
                history.unknown_at = Some(now);
            }
            match self.fetch(provider, url, age).await {
                Ok(set) => {
                    history.failed_at = None;
                    source.replace(set);
                }
                Err(Unanswered { .. }) => history.failed_at = Some(now),
            }
            history.ended = Some(Instant::now());
        }
        source.set().filter(|set| now < set.fresh_until + MOST_STALE).and_then(|set| set.find(id))
    }

    async fn fetch(&self, provider: &str, url: &str, age: TimeDelta) -> Result<Set, Unanswered> {
        let answer = self.ask_text(provider, Request::get(url)).await?;
        let Value::Object(mut body) = json(provider, &answer)? else {
            tracing::warn!(provider, "the keys of a login provider are no key set");
            return Err(Unanswered { status: None });
        };
        let keys = body.shift_remove("keys");
        let Some(Value::Array(keys)) = keys else {
            tracing::warn!(provider, "the keys of a login provider are no key set");
            return Err(Unanswered { status: None });
        };
        let keys = keys.into_iter().filter_map(usable).map(Arc::new).collect();
        let lives = max_age(&answer).unwrap_or(age).min(age).max(SHORTEST_AGE);
        Ok(Set { keys, fresh_until: self.clock.now() + lives })
    }
}

/// A public key for signatures. Others are left out: symmetric ones, those for encryption, broken ones.
fn usable(key: Value) -> Option<Key> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    if key.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
        return None;
    }
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve};
    let mut algorithms = match &key.algorithm {
        AlgorithmParameters::RSA(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            vec![Algorithm::ES256]
        }
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P384 => {
            vec![Algorithm::ES384]
        }
        AlgorithmParameters::OctetKeyPair(_) => vec![Algorithm::EdDSA],
        _ => return None,
    };
    if let Some(own) = &key.common.key_algorithm {
        let own = own.to_string();
        algorithms.retain(|algorithm| format!("{algorithm:?}") == own);
    }
    let verifier = DecodingKey::from_jwk(&key).ok()?;
    (!algorithms.is_empty()).then_some(Key { id: key.common.key_id, algorithms, key: verifier })
}

/// How long the answer may be kept, as `Cache-Control` says.
pub fn max_age(answer: &Answer) -> Option<TimeDelta> {
    let mut age = None;
    for value in answer.headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            if matches!(directive.as_str(), "no-store" | "no-cache") {
                return Some(TimeDelta::zero());
            }
            if let Some(seconds) = directive.strip_prefix("max-age=") {
                age = seconds.trim_matches('"').parse().ok().and_then(TimeDelta::try_seconds);
            }
        }
    }
    age
}
