//! JSON Web Tokens of providers. The algorithms, the audience and the issuer are the provider's; a token chooses
//! none of them, and no key either beyond its id. Texts are those of the JavaScript library that parse-server uses.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use crate::auth::env::ProviderEnv;
use crate::auth::not_found;
use crate::error::Result;
use crate::types::Object;

/// Longest token that is looked at.
const MAX_TOKEN: usize = 16 * 1024;
/// A provider's clock may be so far ahead of ours. What has expired has expired.
const SKEW: i64 = 30;

/// What a token must be.
pub struct Expected<'a> {
    /// For the log.
    pub provider: &'a str,
    /// Where the keys are.
    pub keys: &'a str,
    pub key_age: TimeDelta,
    pub algorithms: &'a [Algorithm],
    /// One of these; without any, the caller checks whom the token is for.
    pub audiences: &'a [String],
}

/// The claims of a token that is signed, in time and for us. Issuer and subject are the caller's to look at.
///
/// # Errors
/// 101 with what is wrong.
pub async fn verify(env: &ProviderEnv, token: &str, expected: &Expected<'_>) -> Result<Object> {
    let undecodable = || not_found("provided token does not decode as JWT");
    if token.len() > MAX_TOKEN {
        return Err(undecodable());
    }
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(undecodable());
    };
    let header = object(head).ok_or_else(undecodable)?;
    let claims = object(body).ok_or_else(undecodable)?;
    if !signature.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        return Err(undecodable());
    }
    let key = match header.get("kid") {
        None => env.key(expected.provider, expected.keys, None, expected.key_age).await,
        Some(Value::String(id)) => {
            env.key(expected.provider, expected.keys, Some(id), expected.key_age).await
        }
        // No key has such an id.
        Some(_) => None,
    };
    let key = key.ok_or_else(|| {
        let shown = shown(&header, "kid");
        let shown: String = shown.chars().filter(|c| !c.is_control()).take(200).collect();
        not_found(format!("Unable to find matching key for Key ID: {shown}"))
    })?;
    if signature.is_empty() {
        return Err(not_found("jwt signature is required"));
    }
    let algorithm = header.get("alg").and_then(Value::as_str);
    let algorithm = expected.algorithms.iter().find(|known| Some(format!("{known:?}").as_str()) == algorithm);
    let algorithm = *algorithm.ok_or_else(|| not_found("invalid algorithm"))?;
    // Extensions that must be understood: none is.
    if header.contains_key("crit") {
        return Err(not_found("invalid token"));
    }
    let signed = token.get(..head.len() + 1 + body.len()).unwrap_or_default();
    let is_ours = key.algorithms.contains(&algorithm)
        && jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key.key, algorithm).unwrap_or(false);
    if !is_ours {
        return Err(not_found("invalid signature"));
    }
    check_times(&claims, env.now())?;
    check_audience(&claims, expected.audiences)?;
    Ok(claims)
}

fn object(part: &str) -> Option<Object> {
    match crate::types::json::from_outside(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn check_times(claims: &Object, now: i64) -> Result<()> {
    let seconds = |value: &Value| value.as_f64().map(|seconds| seconds as i64);
    if let Some(from) = claims.get("nbf") {
        let from = seconds(from).ok_or_else(|| not_found("invalid nbf value"))?;
        if from > now + SKEW {
            return Err(not_found("jwt not active"));
        }
    }
    let until = claims.get("exp").and_then(seconds).ok_or_else(|| not_found("invalid exp value"))?;
    if now >= until {
        return Err(not_found("jwt expired"));
    }
    Ok(())
}

fn check_audience(claims: &Object, expected: &[String]) -> Result<()> {
    if expected.is_empty() {
        return Ok(());
    }
    let is_ours = |value: &Value| value.as_str().is_some_and(|one| expected.iter().any(|ours| ours == one));
    let fits = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => false,
    };
    if fits {
        return Ok(());
    }
    Err(not_found(format!("jwt audience invalid. expected: {}", expected.join(" or "))))
}

/// A claim as it is shown in a refusal.
pub fn shown(claims: &Object, name: &str) -> String {
    claims.get(name).map_or_else(|| "undefined".to_owned(), crate::types::javascript::to_text)
}

/// The token is about whom the client says it is about.
///
/// # Errors
/// 101
pub fn check_subject(claims: &Object, data: &Value) -> Result<()> {
    match (claims.get("sub"), data.get("id")) {
        (Some(Value::String(subject)), Some(Value::String(id))) if !id.is_empty() && subject == id => Ok(()),
        _ => Err(not_found("auth data is invalid for this user.")),
    }
}
