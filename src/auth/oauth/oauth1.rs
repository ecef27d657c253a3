//! Signed requests of OAuth 1.0a with HMAC-SHA1 (RFC 5849).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha1::Sha1;

use crate::error::{Error, Result};
use crate::types::percent::encode_reserved;

/// Who signs.
pub struct Signer<'a> {
    pub consumer_key: &'a str,
    pub consumer_secret: &'a str,
    /// Token and secret of the user, where there is one already.
    pub token: Option<(&'a str, &'a str)>,
}

/// As §3.6 wants it.
fn encoded(text: &str) -> String {
    encode_reserved(text).to_string()
}

impl Signer<'_> {
    /// The value of `Authorization`. `parameters` are those of the query and of a form body.
    ///
    /// # Errors
    /// Never: HMAC takes keys of every length.
    pub fn header(&self, method: &str, url: &str, parameters: &[(&str, &str)], now: i64) -> Result<String> {
        let mut nonce = [0u8; 16];
        rand::rng().fill_bytes(&mut nonce);
        self.header_with(method, url, parameters, now, &hex::encode(nonce))
    }

    fn header_with(
        &self,
        method: &str,
        url: &str,
        parameters: &[(&str, &str)],
        now: i64,
        nonce: &str,
    ) -> Result<String> {
        let timestamp = now.to_string();
        let mut own = vec![
            ("oauth_consumer_key", self.consumer_key),
            ("oauth_nonce", nonce),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", timestamp.as_str()),
            ("oauth_version", "1.0"),
        ];
        if let Some((token, _)) = self.token {
            own.push(("oauth_token", token));
        }
        let mut signed: Vec<_> =
            own.iter().chain(parameters).map(|(k, v)| (encoded(k), encoded(v))).collect();
        signed.sort();
        let signed: Vec<_> = signed.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        let base = format!("{method}&{}&{}", encoded(url), encoded(&signed.join("&")));
        let secret = self.token.map_or("", |(_, secret)| secret);
        let key = format!("{}&{}", encoded(self.consumer_secret), encoded(secret));
        let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key.as_bytes()).map_err(Error::internal)?;
        mac.update(base.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        own.push(("oauth_signature", &signature));
        own.sort_unstable();
        let pairs = own.iter().map(|(key, value)| format!("{key}=\"{}\"", encoded(value)));
        Ok(format!("OAuth {}", pairs.collect::<Vec<_>>().join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the provider's documentation, "Creating a signature".
    #[test]
    fn signs_as_documented() {
        let signer = Signer {
            consumer_key: "xvz1evFS4wEEPTGEFPHBog",
            consumer_secret: "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
            token: Some((
                "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
                "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
            )),
        };
        let parameters =
            [("include_entities", "true"), ("status", "Hello Ladies + Gentlemen, a signed OAuth request!")];
        let header = signer
            .header_with(
                "POST",
                "https://api.twitter.com/1.1/statuses/update.json",
                &parameters,
                1_318_622_958,
                "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
            )
            .unwrap();
        assert!(header.contains("oauth_signature=\"hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D\""), "{header}");
    }
}
