//! Game Center: signatures, Apple's certificate, and the pinned one that vouches for it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::outside::{Outside, Reply};
use crate::support::server::{Answer, TestServer};

const ROOT: &str = "GET cacerts.digicert.com/DigiCertTrustedG4CodeSigningRSA4096SHA3842021CA1.crt.pem";
const LEAF: &str = "GET static.gc.apple.com/public-key/gc-prod-10.cer";
const URL: &str = "https://static.gc.apple.com/public-key/gc-prod-10.cer";
const A: &str = include_str!("rsa-a.pem");
const B: &str = include_str!("rsa-b.pem");

fn authority(name: &str, key: &str, is_authority: bool) -> (CertificateParams, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = match is_authority {
        true => IsCa::Ca(BasicConstraints::Unconstrained),
        false => IsCa::ExplicitNoCa,
    };
    let pem = params.self_signed(&KeyPair::from_pem(key).unwrap()).unwrap().pem();
    (params, pem)
}

/// Apple's certificate with key A.
fn leaf(issuer: CertificateParams, issuer_key: &str, ended: bool) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Apple Inc.");
    if ended {
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let issuer = Issuer::new(issuer, KeyPair::from_pem(issuer_key).unwrap());
    params.signed_by(&KeyPair::from_pem(A).unwrap(), &issuer).unwrap().der().to_vec()
}

fn signed(key: &str, id: &str, bundle: &str, timestamp: u64) -> Value {
    let salt = b"salt";
    let mut message = Vec::new();
    message.extend_from_slice(id.as_bytes());
    message.extend_from_slice(bundle.as_bytes());
    message.extend_from_slice(&timestamp.to_be_bytes());
    message.extend_from_slice(salt);
    let key = EncodingKey::from_rsa_pem(key.as_bytes()).unwrap();
    let signature = jsonwebtoken::crypto::sign(&message, &key, Algorithm::RS256).unwrap();
    let signature = STANDARD.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    json!({
        "id": id, "publicKeyUrl": URL, "timestamp": timestamp, "signature": signature,
        "salt": STANDARD.encode(salt),
    })
}

fn pem(body: String) -> Reply {
    Reply::With(200, vec![("content-type", "application/x-pem-file".to_owned())], body.into_bytes())
}

async fn log_in(server: &TestServer, data: &Value) -> Answer {
    server.anonymous().post("/users", json!({"authData": {"gcenter": data}})).await
}

async fn start(outside: &Outside) -> TestServer {
    TestServer::within(json!({"auth": {"gcenter": {"bundleId": "com.acme"}}}), outside.settings()).await
}

#[actix_web::test]
async fn players_are_whom_apple_signed() {
    let outside = Outside::new();
    let server = start(&outside).await;
    let (root, text) = authority("Root", B, true);
    outside.on(ROOT, pem(text));
    let kept = vec![("cache-control", "max-age=3600".to_owned())];
    outside.on(LEAF, Reply::With(200, kept, leaf(root, B, false)));
    let good = signed(A, "G:1", "com.acme", 1_460_981_421_303);
    let created = log_in(&server, &good).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let mut texts = good.clone();
    texts["timestamp"] = "1460981421303".into();
    assert_eq!(log_in(&server, &texts).await.status, 200);
    assert_eq!(outside.lines(), [ROOT, LEAF], "both are kept");
    let wrong = (404, 101, "Invalid signature.");
    for (key, value) in [
        ("id", json!("G:2")),
        ("timestamp", json!(1_460_981_421_304_u64)),
        ("timestamp", json!(-1)),
        ("timestamp", json!("x")),
        ("salt", json!("AAAA")),
        ("salt", json!("!")),
        ("signature", json!("AAAA")),
    ] {
        let mut data = good.clone();
        data[key] = value;
        assert_eq!(log_in(&server, &data).await.error(), wrong, "{key}");
    }
    assert_eq!(log_in(&server, &signed(A, "G:1", "com.evil", 1)).await.error(), wrong);
    assert_eq!(log_in(&server, &signed(B, "G:1", "com.acme", 1)).await.error(), wrong);
    for key in ["publicKeyUrl", "timestamp", "signature", "salt"] {
        let mut data = good.clone();
        data.as_object_mut().unwrap().remove(key);
        let text = format!("AuthData {key} is missing.");
        assert_eq!(log_in(&server, &data).await.error(), (404, 101, text.as_str()));
    }
    for url in [
        "http://static.gc.apple.com/a.cer",
        "https://evil.example/apple.com/a.cer",
        "https://x@apple.com/a.cer",
        "file:///a.cer",
    ] {
        let mut data = good.clone();
        data["publicKeyUrl"] = url.into();
        let text = format!("Invalid publicKeyUrl: {url}");
        assert_eq!(log_in(&server, &data).await.error(), (404, 101, text.as_str()));
    }
    assert_eq!(outside.lines().len(), 0);
}

#[actix_web::test]
async fn only_the_pinned_certificate_vouches() {
    let good = signed(A, "G:1", "com.acme", 1);
    let refused = format!("Invalid publicKeyUrl: {URL}");
    let (root, text) = authority("Root", B, true);
    let (other, _) = authority("Other", B, true);
    let (forged, _) = authority("Root", A, true);
    let (no_authority, no_authority_text) = authority("Root", B, false);
    for (text, body) in [
        (&text, leaf(other, B, false)),
        (&text, leaf(forged, A, false)),
        (&text, leaf(root.clone(), B, true)),
        (&text, b"no certificate".to_vec()),
        (&no_authority_text, leaf(no_authority, B, false)),
    ] {
        let outside = Outside::new();
        let server = start(&outside).await;
        outside.on(ROOT, pem(text.clone()));
        outside.on(LEAF, Reply::With(200, Vec::new(), body));
        assert_eq!(log_in(&server, &good).await.error(), (404, 101, refused.as_str()));
        outside.on(LEAF, Reply::Status(500, json!({})));
        let unanswered = format!("Failed to fetch certificate: {URL}");
        assert_eq!(log_in(&server, &good).await.error(), (400, 141, unanswered.as_str()));
    }
    let outside = Outside::new();
    let server = start(&outside).await;
    outside.on(LEAF, Reply::With(200, Vec::new(), leaf(root.clone(), B, false)));
    let no_root = (404, 101, "Root certificate is invalid or missing.");
    assert_eq!(log_in(&server, &good).await.error(), no_root);
    outside.on(ROOT, pem("no certificate".to_owned()));
    assert_eq!(log_in(&server, &good).await.error(), no_root);
    outside.on(ROOT, Reply::With(200, vec![("content-type", "text/plain".to_owned())], text.clone().into()));
    assert_eq!(log_in(&server, &good).await.error(), (404, 101, "Invalid rootCertificateURL."));
    // A failure is not for good.
    outside.on(ROOT, pem(text));
    assert_eq!(log_in(&server, &good).await.status, 201);
}
