//! Providers that sign tokens: the same cases for Apple, Google, Facebook's limited login and Keycloak.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::outside::{Outside, Reply};
use super::tokens::{OTHER, OURS, altered, confused, now, unsigned};
use crate::support::server::{Answer, TestServer};
use crate::support::wait::until_some;

struct Kind {
    name: &'static str,
    /// Where the keys are.
    keys: &'static str,
    issuer: &'static str,
    /// The claim that says for whom it is.
    audience: &'static str,
    /// The key of the token in `authData`.
    token: &'static str,
    wrong_issuer: &'static str,
    wrong_audience: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "apple",
        keys: "GET appleid.apple.com/auth/keys",
        issuer: "https://appleid.apple.com",
        audience: "aud",
        token: "token",
        wrong_issuer: "id token not issued by correct OpenID provider - expected: https://appleid.apple.com | from: x",
        wrong_audience: "jwt audience invalid. expected: ours",
    },
    Kind {
        name: "google",
        keys: "GET www.googleapis.com/oauth2/v3/certs",
        issuer: "https://accounts.google.com",
        audience: "aud",
        token: "id_token",
        wrong_issuer: "id token not issued by correct provider - expected: accounts.google.com or https://accounts.google.com | from: x",
        wrong_audience: "jwt audience invalid. expected: ours",
    },
    Kind {
        name: "facebook",
        keys: "GET www.facebook.com/.well-known/oauth/openid/jwks/",
        issuer: "https://www.facebook.com",
        audience: "aud",
        token: "token",
        wrong_issuer: "id token not issued by correct OpenID provider - expected: https://www.facebook.com | from: x",
        wrong_audience: "jwt audience invalid. expected: ours or ours too",
    },
    Kind {
        name: "keycloak",
        keys: "GET sso.example.com/realms/r/protocol/openid-connect/certs",
        issuer: "https://sso.example.com/realms/r",
        audience: "azp",
        token: "access_token",
        wrong_issuer: "access token not issued by correct provider - expected: https://sso.example.com/realms/r | from: x",
        wrong_audience: "access token is not authorized for this client - expected: ours | from: theirs",
    },
];

impl Kind {
    fn claims(&self) -> Value {
        json!({"iss": self.issuer, self.audience: "ours", "sub": "u1", "exp": now() + 600, "iat": now()})
    }

    fn with(&self, key: &str, value: Value) -> Value {
        let mut claims = self.claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(key)),
            value => claims[key] = value,
        }
        claims
    }

    async fn log_in(&self, server: &TestServer, id: &str, token: &str) -> Answer {
        let data = json!({"authData": {self.name: {"id": id, self.token: token}}});
        server.anonymous().post("/users", data).await
    }
}

fn options() -> Value {
    json!({"auth": {
        "apple": {"clientId": "ours"},
        "google": {"clientId": "ours"},
        "facebook": {"appIds": ["ours", "ours too"], "appSecret": "s"},
        "keycloak": {"config": {
            "auth-server-url": "https://sso.example.com", "realm": "r", "client-id": "ours",
        }},
    }})
}

async fn start() -> (Outside, TestServer) {
    let outside = Outside::new();
    for kind in KINDS {
        outside.json(kind.keys, json!({"keys": [OTHER.jwk(), OURS.jwk()]}));
    }
    let server = TestServer::within(options(), outside.settings()).await;
    (outside, server)
}

#[actix_web::test]
async fn good_tokens_get_in_and_keys_are_fetched_once() {
    let (outside, server) = start().await;
    for kind in KINDS {
        let token = OURS.sign(&kind.claims());
        let created = kind.log_in(&server, "u1", &token).await;
        assert_eq!(created.status, 201, "{}: {}", kind.name, created.text);
        assert_eq!(created.body["authDataResponse"], json!({}));
        let session = created.body["sessionToken"].as_str().unwrap();
        let session = server.session(session).get("/sessions/me").await.ok();
        assert_eq!(session["createdWith"]["authProvider"], kind.name);
        let again = kind.log_in(&server, "u1", &token).await;
        assert_eq!(
            (again.status, &again.body["objectId"]),
            (200, &created.body["objectId"]),
            "{}",
            kind.name
        );
        assert_eq!(again.body["authData"][kind.name]["id"], "u1");
        assert_eq!(outside.lines(), [kind.keys]);
        // An audience that is a list, a clock that is a little ahead.
        if kind.audience == "aud" {
            let token = OURS.sign(&kind.with("aud", json!(["theirs", "ours"])));
            assert_eq!(kind.log_in(&server, "u1", &token).await.status, 200);
        }
        let token = OURS.sign(&kind.with("nbf", json!(now() + 20)));
        assert_eq!(kind.log_in(&server, "u1", &token).await.status, 200);
    }
}

#[actix_web::test]
async fn forged_and_foreign_tokens_do_not() {
    let (outside, server) = start().await;
    for kind in KINDS {
        let good = OURS.sign(&kind.claims());
        let mut crit = jsonwebtoken::Header::new(Algorithm::RS256);
        crit.kid = Some(OURS.id.to_owned());
        let cases: Vec<(&str, String, String)> = vec![
            ("expired", OURS.sign(&kind.with("exp", json!(now() - 61))), "jwt expired".into()),
            ("expired just now", OURS.sign(&kind.with("exp", json!(now() - 1))), "jwt expired".into()),
            ("no end", OURS.sign(&kind.with("exp", Value::Null)), "invalid exp value".into()),
            ("a text as end", OURS.sign(&kind.with("exp", json!("later"))), "invalid exp value".into()),
            ("not yet", OURS.sign(&kind.with("nbf", json!(now() + 90))), "jwt not active".into()),
            ("a text as beginning", OURS.sign(&kind.with("nbf", json!("x"))), "invalid nbf value".into()),
            (
                "foreign audience",
                OURS.sign(&kind.with(kind.audience, json!("theirs"))),
                kind.wrong_audience.into(),
            ),
            ("wrong issuer", OURS.sign(&kind.with("iss", json!("x"))), kind.wrong_issuer.into()),
            (
                "no issuer",
                OURS.sign(&kind.with("iss", Value::Null)),
                kind.wrong_issuer.replace("from: x", "from: undefined"),
            ),
            (
                "no subject",
                OURS.sign(&kind.with("sub", Value::Null)),
                "auth data is invalid for this user.".into(),
            ),
            (
                "a number as subject",
                OURS.sign(&kind.with("sub", json!(1))),
                "auth data is invalid for this user.".into(),
            ),
            (
                "somebody else",
                OURS.sign(&kind.with("sub", json!("u2"))),
                "auth data is invalid for this user.".into(),
            ),
            ("no signature", unsigned(OURS.id, &kind.claims()), "jwt signature is required".into()),
            (
                "none with something as signature",
                format!("{}AAAA", unsigned(OURS.id, &kind.claims())),
                "invalid algorithm".into(),
            ),
            ("the public key as secret", confused(&OURS, &kind.claims()), "invalid algorithm".into()),
            (
                "another algorithm",
                OURS.sign_with(Algorithm::RS512, Some(OURS.id), &kind.claims()),
                "invalid algorithm".into(),
            ),
            ("another key", OTHER.sign_as(Some(OURS.id), &kind.claims()), "invalid signature".into()),
            ("altered", altered(&good, &kind.with("sub", json!("u9"))), "invalid signature".into()),
            (
                "no key id, two keys",
                OURS.sign_as(None, &kind.claims()),
                "Unable to find matching key for Key ID: undefined".into(),
            ),
            (
                "unknown key",
                OURS.sign_as(Some("../x\n"), &kind.claims()),
                "Unable to find matching key for Key ID: ../x".into(),
            ),
            ("no token", "x".into(), "provided token does not decode as JWT".into()),
            ("four parts", format!("{good}.x"), "provided token does not decode as JWT".into()),
            ("too long", "a".repeat(20_000), "provided token does not decode as JWT".into()),
        ];
        for (case, token, text) in cases {
            let answer = kind.log_in(&server, "u1", &token).await;
            assert_eq!(answer.error(), (404, 101, text.as_str()), "{} {case}", kind.name);
        }
        let absent = match kind.name {
            "facebook" => "Facebook auth is invalid for this user.",
            "keycloak" => "Missing access token and/or User id",
            _ => "id token is invalid for this user.",
        };
        assert_eq!(kind.log_in(&server, "u1", "").await.error(), (404, 101, absent));
        let data = json!({"authData": {kind.name: {"id": 1, kind.token: good}}});
        let answer = server.anonymous().post("/users", data).await;
        let text = format!("Invalid authData id for provider '{}'.", kind.name);
        assert_eq!(answer.error(), (400, 162, text.as_str()));
        // Tokens of one provider are worth nothing to another.
        for other in KINDS.iter().filter(|other| other.name != kind.name) {
            assert_eq!(other.log_in(&server, "u1", &good).await.status, 404, "{} {}", kind.name, other.name);
        }
    }
    assert_eq!(server.master().get("/users?count=1&limit=0").await.ok()["count"], 0);
    // Unknown key ids lead to one more fetch each, not to one for every token.
    assert_eq!(outside.lines().len(), 8);
}

#[actix_web::test]
async fn keys_change_and_providers_fail() {
    let (outside, server) = start().await;
    let [apple, google, facebook, keycloak] = &KINDS;
    // Rotation: the new key is fetched when it is first named.
    outside.json(apple.keys, json!({"keys": [OURS.jwk()]}));
    let no_id = OURS.sign_as(None, &apple.claims());
    assert_eq!(apple.log_in(&server, "u1", &no_id).await.status, 201);
    outside.json(apple.keys, json!({"keys": [OTHER.jwk()]}));
    assert_eq!(apple.log_in(&server, "u1", &OTHER.sign(&apple.claims())).await.status, 200);
    assert_eq!(outside.lines(), [apple.keys; 2]);
    let old = apple.log_in(&server, "u1", &OURS.sign(&apple.claims())).await;
    assert_eq!(old.error().2, "Unable to find matching key for Key ID: key-a");
    // No second fetch within the minute.
    outside.json(apple.keys, json!({"keys": [OURS.jwk()]}));
    assert_eq!(apple.log_in(&server, "u1", &OURS.sign(&apple.claims())).await.status, 404);
    assert_eq!(outside.lines().len(), 0);
    // What is no key set gives no key, and the next login tries again.
    let oct = json!({"kty": "oct", "kid": "key-a", "k": "AAAA"});
    let mut encryption = OURS.jwk();
    encryption["use"] = "enc".into();
    let bad = [
        Reply::Status(500, json!({})),
        Reply::Status(429, json!({})),
        Reply::With(302, vec![("location", "https://evil.example/".to_owned())], Vec::new()),
        Reply::With(200, vec![("content-type", "text/html".to_owned())], b"<html>".to_vec()),
        Reply::Json(json!([])),
        Reply::Json(json!({"keys": 1})),
        Reply::Json(json!({"keys": [1, {}, oct, encryption]})),
        Reply::Close,
        Reply::Huge,
    ];
    for reply in bad {
        outside.on(google.keys, reply);
        let answer = google.log_in(&server, "u1", &OURS.sign(&google.claims())).await;
        assert_eq!(answer.error(), (404, 101, "Unable to find matching key for Key ID: key-a"));
    }
    assert!(outside.lines().iter().all(|line| line == google.keys));
    outside.json(facebook.keys, json!({"keys": [OURS.jwk()]}));
    assert_eq!(facebook.log_in(&server, "u1", &OURS.sign(&facebook.claims())).await.status, 201);
    // Keys that ran out still count while the provider is down.
    let short = vec![("cache-control", "public, max-age=1".to_owned())];
    let keys = json!({"keys": [OURS.jwk()]}).to_string().into_bytes();
    outside.on(keycloak.keys, Reply::With(200, short, keys));
    assert_eq!(keycloak.log_in(&server, "u1", &OURS.sign(&keycloak.claims())).await.status, 201);
    outside.seen();
    outside.on(keycloak.keys, Reply::Status(503, json!({})));
    until_some("keys that ran out", async || {
        assert_eq!(keycloak.log_in(&server, "u1", &OURS.sign(&keycloak.claims())).await.status, 200);
        (!outside.lines().is_empty()).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn many_at_once_fetch_the_keys_once() {
    let (outside, server) = start().await;
    let kind = &KINDS[1];
    let logins = (0..16).map(|n| {
        let mut claims = kind.claims();
        claims["sub"] = format!("u{n}").into();
        let server = &server;
        async move { kind.log_in(server, &format!("u{n}"), &OURS.sign(&claims)).await.status }
    });
    let statuses = futures_util::future::join_all(logins).await;
    assert_eq!(statuses, [201; 16]);
    assert_eq!(outside.lines(), [kind.keys]);
}

#[actix_web::test]
async fn two_sign_ups_with_one_id_make_one_user() {
    let (_outside, server) = start().await;
    let kind = &KINDS[0];
    let token = OURS.sign(&kind.claims());
    let logins = (0..8).map(|_| kind.log_in(&server, "u1", &token));
    let answers = futures_util::future::join_all(logins).await;
    for answer in &answers {
        let lost = answer.error() == (400, 208, "this auth is already used");
        assert!(answer.status == 201 || answer.status == 200 || lost, "{}", answer.text);
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(server.master().get("/users?count=1&limit=0").await.ok()["count"], 1);
}

#[actix_web::test]
async fn keycloak_compares_roles_and_groups() {
    let (_outside, server) = start().await;
    let kind = &KINDS[3];
    let mut claims = kind.claims();
    claims["roles"] = json!(["a", "b"]);
    claims["groups"] = json!(["g"]);
    let token = OURS.sign(&claims);
    let log_in = async |roles: Value, groups: Value| {
        let mut data = json!({"id": "u1", "access_token": token});
        if !roles.is_null() {
            data["roles"] = roles;
        }
        if !groups.is_null() {
            data["groups"] = groups;
        }
        server.anonymous().post("/users", json!({"authData": {"keycloak": data}})).await
    };
    assert_eq!(log_in(json!(["b", "a"]), json!(["g"])).await.status, 201);
    for (roles, groups) in [
        (json!(["a"]), json!(["g"])),
        (json!(["a", "a"]), json!(["g"])),
        (json!(["a", "b"]), Value::Null),
        (json!("a"), json!(["g"])),
    ] {
        assert_eq!(log_in(roles, groups).await.error(), (404, 101, "Invalid authentication"));
    }
}

#[actix_web::test]
async fn facebook_asks_whose_token_it_is_and_for_which_app() {
    let (outside, server) = start().await;
    let log_in = async |id: &str, token: &str| {
        let data = json!({"authData": {"facebook": {"id": id, "access_token": token}}});
        server.anonymous().post("/users", data).await
    };
    outside.json("GET graph.facebook.com/app", json!({"id": "ours"}));
    outside.json("GET graph.facebook.com/me", json!({"id": "77"}));
    assert_eq!(log_in("77", "a&b#c").await.status, 201);
    let seen = outside.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(lines, ["GET graph.facebook.com/app", "GET graph.facebook.com/me"]);
    for seen in &seen {
        assert_eq!(seen.query["access_token"], "a&b#c");
        // HMAC-SHA256 of the token with the app's secret.
        assert_eq!(
            seen.query["appsecret_proof"],
            "92e179e3e55f440716e4d075a9404d94d81a32745a19dfaf02d0a8822b9d963e"
        );
        assert!(seen.header("user-agent").starts_with("Parsimony/"));
    }
    assert_eq!(seen[1].query["fields"], "id");
    let foreign = (404, 101, "Facebook auth is invalid for this user.");
    assert_eq!(log_in("78", "t").await.error(), foreign);
    outside.json("GET graph.facebook.com/app", json!({"id": "theirs"}));
    assert_eq!(log_in("77", "t").await.error(), foreign);
    outside.json("GET graph.facebook.com/app", json!({"error": {"message": "t is bad"}}));
    assert_eq!(log_in("77", "t").await.error(), foreign);
    outside.on("GET graph.facebook.com/app", Reply::Close);
    assert_eq!(log_in("77", "t").await.error(), foreign);
}
