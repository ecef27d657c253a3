//! Any OpenID Connect provider: identity tokens and codes with PKCE.

use base64::Engine;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::outside::{Outside, Reply};
use super::tokens::{OTHER, OURS, confused, now, unsigned};
use crate::support::server::{Answer, TestServer};

const DISCOVERY: &str = "GET id.acme.example/.well-known/openid-configuration";
const KEYS: &str = "GET id.acme.example/jwks";
const TOKEN: &str = "POST id.acme.example/token";
const ISSUER: &str = "https://id.acme.example/";

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "ours", "sub": "auth0|1", "exp": now() + 600, "nonce": "n"})
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn document() -> Value {
    json!({
        "issuer": ISSUER, "jwks_uri": "https://id.acme.example/jwks",
        "token_endpoint": "https://id.acme.example/token",
    })
}

async fn start(more: Value) -> (Outside, TestServer) {
    let outside = Outside::new();
    outside.json(DISCOVERY, document());
    outside.json(KEYS, json!({"keys": [OURS.jwk()]}));
    let mut oidc = json!({"issuer": "https://id.acme.example", "clientId": "ours"});
    oidc.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let server = TestServer::within(json!({"auth": {"acme": {"oidc": oidc}}}), outside.settings()).await;
    (outside, server)
}

async fn log_in(server: &TestServer, data: Value) -> Answer {
    server.anonymous().post("/users", json!({"authData": {"acme": data}})).await
}

#[actix_web::test]
async fn identity_tokens_get_in() {
    let (outside, server) = start(json!({})).await;
    let created = log_in(&server, json!({"id_token": OURS.sign(&claims())})).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(outside.lines(), [DISCOVERY, KEYS]);
    let path = format!("/users/{}", created.body["objectId"].as_str().unwrap());
    assert_eq!(server.master().get(&path).await.ok()["authData"], json!({"acme": {"id": "auth0|1"}}));
    let again = json!({"id": "auth0|1", "id_token": OURS.sign(&claims()), "nonce": "n"});
    assert_eq!(log_in(&server, again).await.status, 200);
    let azp = json!({"aud": ["ours", "other"], "azp": "ours"});
    let mut several = claims();
    several.as_object_mut().unwrap().extend(azp.as_object().unwrap().clone());
    assert_eq!(log_in(&server, json!({"id_token": OURS.sign(&several)})).await.status, 200);
    assert_eq!(outside.lines().len(), 0);
    for (case, token) in [
        ("audience", OURS.sign(&with("aud", json!("theirs")))),
        ("several audiences without azp", OURS.sign(&with("aud", json!(["ours", "theirs"])))),
        ("azp", OURS.sign(&with("azp", json!("theirs")))),
        ("issuer", OURS.sign(&with("iss", json!("https://evil.example")))),
        ("expired", OURS.sign(&with("exp", json!(now() - 61)))),
        ("not yet", OURS.sign(&with("nbf", json!(now() + 90)))),
        ("no subject", OURS.sign(&with("sub", json!("")))),
        ("number", OURS.sign(&with("sub", json!(1)))),
        ("key", OTHER.sign_as(Some(OURS.id), &claims())),
        ("algorithm", OURS.sign_with(Algorithm::PS256, Some(OURS.id), &claims())),
        ("none", unsigned(OURS.id, &claims())),
        ("secret", confused(&OURS, &claims())),
        ("nothing", String::new()),
    ] {
        let answer = log_in(&server, json!({"id_token": token})).await;
        assert_eq!((answer.status, answer.error().1), (404, 101), "{case}: {}", answer.text);
    }
    let token = OURS.sign(&claims());
    for data in [
        json!({"id": "x", "id_token": token}),
        json!({"id_token": token, "nonce": "m"}),
        json!({"id": "auth0|1"}),
    ] {
        assert_eq!(log_in(&server, data).await.error().1, 101);
    }
}

#[actix_web::test]
async fn codes_are_exchanged_with_their_verifier() {
    let redirects = json!({"redirectUris": ["https://app.example/cb"], "clientSecret": "s:h"});
    for (more, methods) in [
        (json!({}), json!(["none"])),
        (redirects.clone(), json!(["client_secret_basic"])),
        (redirects, json!(["client_secret_post"])),
    ] {
        let (outside, server) = start(more).await;
        let mut document = document();
        document["token_endpoint_auth_methods_supported"] = methods.clone();
        outside.json(DISCOVERY, document);
        outside.json(TOKEN, json!({"access_token": "a", "id_token": OURS.sign(&claims())}));
        let data = json!({"code": "c", "redirect_uri": "https://app.example/cb", "code_verifier": "v"});
        let answer = log_in(&server, data.clone()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let seen = outside.seen();
        let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
        assert_eq!(lines, [DISCOVERY, TOKEN, KEYS]);
        let fields = seen[1].fields();
        assert_eq!((&*fields["code"], &*fields["code_verifier"], &*fields["client_id"]), ("c", "v", "ours"));
        assert_eq!(fields["grant_type"], "authorization_code");
        let basic = base64::engine::general_purpose::STANDARD.encode("ours:s%3Ah");
        match methods[0].as_str().unwrap() {
            "none" => {
                assert!(!fields.contains_key("client_secret") && seen[1].header("authorization").is_empty());
                let bare = json!({"code": "c", "redirect_uri": "https://app.example/cb"});
                assert_eq!(
                    log_in(&server, bare).await.error().2,
                    "acme auth requires code and code_verifier to be sent."
                );
            }
            "client_secret_basic" => {
                assert_eq!(seen[1].header("authorization"), format!("Basic {basic}"));
                assert!(!fields.contains_key("client_secret"));
                let elsewhere =
                    json!({"code": "c", "redirect_uri": "https://evil.example/", "code_verifier": "v"});
                assert_eq!(log_in(&server, elsewhere).await.error().2, "acme auth is invalid for this user.");
            }
            _ => assert_eq!(fields["client_secret"], "s:h"),
        }
        outside.on(TOKEN, Reply::Status(400, json!({"error": "invalid_grant"})));
        assert_eq!(log_in(&server, data.clone()).await.error(), (404, 101, "invalid_grant"));
        for reply in [
            Reply::Status(500, json!({"id_token": OURS.sign(&claims())})),
            Reply::Json(json!({})),
            Reply::Close,
        ] {
            outside.on(TOKEN, reply);
            assert_eq!(log_in(&server, data.clone()).await.error(), (404, 101, "acme API request failed."));
        }
    }
}

#[actix_web::test]
async fn discovery_is_of_the_issuer_that_was_asked() {
    for wrong in [
        json!({"issuer": "https://evil.example", "jwks_uri": "https://id.acme.example/jwks"}),
        json!({"issuer": ISSUER, "jwks_uri": "http://id.acme.example/jwks"}),
        json!({"issuer": ISSUER}),
        json!([]),
    ] {
        let (outside, server) = start(json!({})).await;
        outside.json(DISCOVERY, wrong);
        let answer = log_in(&server, json!({"id_token": OURS.sign(&claims())})).await;
        assert_eq!(answer.error(), (404, 101, "acme API request failed."));
        assert_eq!(outside.lines(), [DISCOVERY]);
        outside.json(DISCOVERY, document());
        assert_eq!(log_in(&server, json!({"id_token": OURS.sign(&claims())})).await.status, 201);
    }
    for oidc in [
        json!({"issuer": "https://x"}),
        json!({"issuer": "http://x", "clientId": "c"}),
        json!({"issuer": "https://x", "clientId": "c", "algorithms": ["HS256"]}),
    ] {
        let server = TestServer::with(json!({"auth": {"acme": {"oidc": oidc}}})).await;
        assert_eq!(log_in(&server, json!({"id_token": "x"})).await.error().1, 141);
    }
}
