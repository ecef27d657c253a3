//! X.509 certificates with RSA keys: who issued one, when it counts, what its key signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey};
use x509_cert::Certificate;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{DecodePem, Encode};
use x509_cert::ext::pkix::BasicConstraints;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SIGNATURES: [(ObjectIdentifier, Algorithm); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), Algorithm::RS256),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"), Algorithm::RS384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"), Algorithm::RS512),
];

/// The first certificate of the text.
pub fn from_pem(text: &[u8]) -> Option<Certificate> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::str::from_utf8(text).ok()?.trim();
    let end = text.find(END)? + END.len();
    Certificate::from_pem(text.get(..end)?).ok()
}

/// The RSA key, as PKCS #1 has it.
pub fn rsa_key(certificate: &Certificate) -> Option<Vec<u8>> {
    let key = &certificate.tbs_certificate.subject_public_key_info;
    (key.algorithm.oid == RSA).then(|| key.subject_public_key.raw_bytes().to_vec())
}

/// Whether the key made the signature.
pub fn is_signed(key: &[u8], algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let key = DecodingKey::from_rsa_der(key);
    let signature = URL_SAFE_NO_PAD.encode(signature);
    jsonwebtoken::crypto::verify(&signature, message, &key, algorithm).unwrap_or(false)
}

/// Whether the issuer may vouch for others and does for this one.
pub fn is_issued_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let (own, by) = (&certificate.tbs_certificate, &issuer.tbs_certificate);
    let may_issue = match by.get::<BasicConstraints>() {
        Ok(Some((_, constraints))) => constraints.ca,
        Ok(None) => true,
        Err(_) => false,
    };
    if own.issuer != by.subject || !may_issue || own.signature != certificate.signature_algorithm {
        return false;
    }
    let algorithm = SIGNATURES.iter().find(|(oid, _)| *oid == certificate.signature_algorithm.oid);
    let (Some((_, algorithm)), Some(key), Ok(signed)) = (algorithm, rsa_key(issuer), own.to_der()) else {
        return false;
    };
    is_signed(&key, *algorithm, &signed, certificate.signature.raw_bytes())
}

pub fn is_valid_at(certificate: &Certificate, now: DateTime<Utc>) -> bool {
    let validity = &certificate.tbs_certificate.validity;
    let now = u64::try_from(now.timestamp()).unwrap_or_default();
    validity.not_before.to_unix_duration().as_secs() <= now
        && now <= validity.not_after.to_unix_duration().as_secs()
}
