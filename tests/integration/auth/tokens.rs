//! Tokens as OpenID providers sign them, and as others forge them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// A provider's key.
pub struct Signer {
    pub id: &'static str,
    pem: &'static str,
}

/// The provider's.
pub const OURS: Signer = Signer { id: "key-a", pem: include_str!("rsa-a.pem") };
/// Another one, of somebody else or of the provider a day later.
pub const OTHER: Signer = Signer { id: "key-b", pem: include_str!("rsa-b.pem") };

pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

impl Signer {
    fn key(&self) -> EncodingKey {
        EncodingKey::from_rsa_pem(self.pem.as_bytes()).unwrap()
    }

    /// The public half, as providers publish it.
    pub fn jwk(&self) -> Value {
        let mut key =
            serde_json::to_value(Jwk::from_encoding_key(&self.key(), Algorithm::RS256).unwrap()).unwrap();
        key["kid"] = self.id.into();
        key["use"] = "sig".into();
        key["alg"] = "RS256".into();
        key
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(Some(self.id), claims)
    }

    pub fn sign_as(&self, id: Option<&str>, claims: &Value) -> String {
        self.sign_with(Algorithm::RS256, id, claims)
    }

    pub fn sign_with(&self, algorithm: Algorithm, id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(algorithm);
        header.kid = id.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.key()).unwrap()
    }
}

/// Without any signature.
pub fn unsigned(id: &str, claims: &Value) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT", "kid": id})), part(claims.clone()))
}

/// Signed with the public key as if it were a secret.
pub fn confused(signer: &Signer, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(signer.id.to_owned());
    let secret = signer.jwk()["n"].as_str().unwrap().to_owned();
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes()).unwrap()).unwrap()
}

/// A good token with other claims under the same signature.
pub fn altered(token: &str, claims: &Value) -> String {
    let mut parts = token.split('.');
    let (head, _, signature) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
    format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()))
}
