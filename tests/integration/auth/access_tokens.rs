//! Providers that look at an access token: Meetup, PhantAuth, both Janrains, VK, OAuth2 introspection; and Twitter's
//! signed requests.

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use super::outside::{Outside, Reply, Seen};
use crate::support::server::{Answer, TestServer};

async fn log_in(server: &TestServer, name: &str, data: Value) -> Answer {
    server.anonymous().post("/users", json!({"authData": {name: data}})).await
}

fn options(adapters: bool) -> Value {
    json!({
        "enableInsecureAuthAdapters": adapters,
        "auth": {
            "meetup": {"enableInsecureAuth": true},
            "phantauth": {"enableInsecureAuth": true},
            "janraincapture": {"janrain_capture_host": "acme.janraincapture.com"},
            "janrainengage": {"enableInsecureAuth": true, "api_key": "key"},
            "vkontakte": {"enableInsecureAuth": true, "appIds": "123", "appSecret": "shh"},
            "acme": {
                "oauth2": true,
                "tokenIntrospectionEndpointUrl": "https://acme.example/introspect",
                "authorizationHeader": "Basic abc",
            },
            "strict": {
                "oauth2": true,
                "tokenIntrospectionEndpointUrl": "https://strict.example/introspect",
                "useridField": "user_id",
                "appidField": "client_id",
                "appIds": ["ours"],
            },
        },
    })
}

#[actix_web::test]
async fn tokens_are_shown_to_their_provider() {
    let outside = Outside::new();
    let server = TestServer::within(options(true), outside.settings()).await;
    outside.json("GET api.meetup.com/2/member/self", json!({"id": 12}));
    outside.json("GET phantauth.net/auth/userinfo", json!({"sub": "p"}));
    outside.json("GET acme.janraincapture.com/entity", json!({"stat": "ok", "result": "uuid-1"}));
    outside.json(
        "POST rpxnow.com/api/v2/auth_info",
        json!({"stat": "ok", "profile": {"identifier": "https://x/1"}}),
    );
    outside.json("GET oauth.vk.com/access_token", json!({"access_token": "app-token"}));
    outside.json("GET api.vk.com/method/users.get", json!({"response": [{"id": 77}]}));
    outside.json("POST acme.example/introspect", json!({"active": true, "sub": "a"}));
    let strict = json!({"active": true, "user_id": "s", "client_id": ["theirs", "ours"]});
    outside.json("POST strict.example/introspect", strict);
    let cases = [
        ("meetup", json!({"id": "12", "access_token": "t"})),
        ("phantauth", json!({"id": "p", "access_token": "t"})),
        ("janraincapture", json!({"id": "uuid-1", "access_token": "t&x"})),
        ("janrainengage", json!({"id": "https://x/1", "auth_token": "t&x"})),
        ("vkontakte", json!({"id": "77", "access_token": "t&x"})),
        ("acme", json!({"id": "a", "access_token": "t&x"})),
        ("strict", json!({"id": "s", "access_token": "t&x"})),
    ];
    let mut all = Vec::new();
    for (name, data) in &cases {
        let answer = log_in(&server, name, data.clone()).await;
        assert_eq!(answer.status, 201, "{name}: {}", answer.text);
        all.extend(outside.seen());
        let mut wrong = data.clone();
        wrong["id"] = "somebody-else".into();
        let answer = log_in(&server, name, wrong).await;
        assert_eq!((answer.status, answer.error().1), (404, 101), "{name}");
        let answer = log_in(&server, name, json!({"id": data["id"]})).await;
        assert_eq!((answer.status, answer.error().1), (404, 101), "{name}");
        outside.seen();
    }
    let of = |line: &str| all.iter().find(|seen: &&Seen| seen.line == line).unwrap();
    assert_eq!(of("GET api.meetup.com/2/member/self").header("authorization"), "bearer t");
    assert_eq!(of("GET phantauth.net/auth/userinfo").header("authorization"), "bearer t");
    let capture = of("GET acme.janraincapture.com/entity");
    assert_eq!((&*capture.query["access_token"], &*capture.query["attribute_name"]), ("t&x", "uuid"));
    let engage = of("POST rpxnow.com/api/v2/auth_info").fields();
    assert_eq!((&*engage["token"], &*engage["apiKey"], &*engage["format"]), ("t&x", "key", "json"));
    let app = &of("GET oauth.vk.com/access_token").query;
    assert_eq!((&*app["client_id"], &*app["client_secret"], &*app["v"]), ("123", "shh", "5.124"));
    assert_eq!(app["grant_type"], "client_credentials");
    let users = &of("GET api.vk.com/method/users.get").query;
    assert_eq!((&*users["access_token"], &*users["v"]), ("t&x", "5.124"));
    let introspection = of("POST acme.example/introspect");
    assert_eq!(introspection.header("authorization"), "Basic abc");
    assert_eq!(introspection.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(introspection.body, "token=t%26x");
    assert_eq!(of("POST strict.example/introspect").header("authorization"), "");
}

#[actix_web::test]
async fn tokens_of_others_and_bad_answers_do_not_count() {
    let outside = Outside::new();
    let server = TestServer::within(options(true), outside.settings()).await;
    let line = "POST strict.example/introspect";
    let data = json!({"id": "s", "access_token": "t"});
    for (reply, text) in [
        (json!({"active": true, "user_id": "s", "client_id": "theirs"}), "OAuth2: Invalid app ID."),
        (json!({"active": true, "user_id": "s"}), "OAuth2: Invalid app ID."),
        (
            json!({"active": false, "user_id": "s", "client_id": "ours"}),
            "OAuth2 access token is invalid for this user.",
        ),
        (json!({"user_id": "s", "client_id": "ours"}), "OAuth2 access token is invalid for this user."),
        (json!({"active": true, "client_id": "ours"}), "OAuth2 access token is invalid for this user."),
    ] {
        outside.json(line, reply);
        assert_eq!(log_in(&server, "strict", data.clone()).await.error(), (404, 101, text));
    }
    for reply in
        [Reply::Status(401, json!({})), Reply::Close, Reply::With(200, Vec::new(), b"<html>".to_vec())]
    {
        outside.on(line, reply);
        let answer = log_in(&server, "strict", data.clone()).await;
        assert_eq!(answer.error(), (404, 101, "OAuth2 token introspection request failed."));
    }
    outside.json("GET oauth.vk.com/access_token", json!({"error": "invalid_client"}));
    let answer = log_in(&server, "vkontakte", json!({"id": "77", "access_token": "t"})).await;
    assert_eq!(answer.error(), (404, 101, "Vk appIds or appSecret is incorrect."));
    outside.json("GET acme.janraincapture.com/entity", json!({"stat": "error", "result": "u"}));
    let answer = log_in(&server, "janraincapture", json!({"id": "u", "access_token": "t"})).await;
    assert_eq!(answer.error(), (404, 101, "Janrain capture auth is invalid for this user."));
    // Neither may a header or another host be smuggled in.
    for token in ["t\r\nHost: evil.example", "t\u{0}", "é"] {
        let answer = log_in(&server, "meetup", json!({"id": "12", "access_token": token})).await;
        assert_eq!(answer.error(), (404, 101, "Meetup auth is invalid for this user."));
    }
    let server = TestServer::within(options(false), outside.settings()).await;
    for (name, text) in [
        ("vkontakte", "Vk only works with enableInsecureAuth: true"),
        ("janrainengage", "janrainengage adapter only works with enableInsecureAuth: true"),
    ] {
        let answer = log_in(&server, name, json!({"id": "1", "access_token": "t", "auth_token": "t"})).await;
        assert_eq!(answer.error(), (500, 1, text));
    }
}

/// All but what RFC 5849 §3.6 leaves as it is.
const RESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The signature that RFC 5849 asks for, from what arrived.
fn signature(seen: &Seen, method: &str, url: &str, secrets: &str) -> (String, String) {
    let header = seen.header("authorization").strip_prefix("OAuth ").unwrap();
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let mut parameters: Vec<(String, String)> = header
        .split(", ")
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap();
            (decoded(key), decoded(value.trim_matches('"')))
        })
        .collect();
    let at = parameters.iter().position(|(key, _)| key == "oauth_signature").unwrap();
    let (_, given) = parameters.remove(at);
    parameters.extend(url::form_urlencoded::parse(seen.body.as_bytes()).into_owned());
    let encoded = |text: &str| percent_encoding::utf8_percent_encode(text, RESERVED).to_string();
    let mut pairs: Vec<_> =
        parameters.iter().map(|(k, v)| format!("{}={}", encoded(k), encoded(v))).collect();
    pairs.sort();
    let base = format!("{method}&{}&{}", encoded(url), encoded(&pairs.join("&")));
    let mut mac = <Hmac<sha1::Sha1> as KeyInit>::new_from_slice(secrets.as_bytes()).unwrap();
    mac.update(base.as_bytes());
    (given, base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes()))
}

#[actix_web::test]
async fn twitter_verifiers_are_exchanged_with_a_signed_request() {
    let outside = Outside::new();
    let entry = json!({"consumer_key": "ck", "consumer_secret": "cs&"});
    let options = json!({"auth": {"twitter": entry, "digits": entry}});
    let server = TestServer::within(options, outside.settings()).await;
    let line = "POST api.twitter.com/oauth/access_token";
    let form = b"oauth_token=1-abc&oauth_token_secret=zzz&user_id=1&screen_name=x".to_vec();
    outside.on(line, Reply::With(200, Vec::new(), form));
    let data = json!({"oauth_token": "temporary", "oauth_verifier": "ver ifier+"});
    for name in ["twitter", "digits"] {
        let created = log_in(&server, name, data.clone()).await;
        assert_eq!(created.status, 201, "{}", created.text);
        let seen = outside.seen();
        assert_eq!(seen.len(), 1);
        let fields = seen[0].fields();
        assert_eq!((&*fields["oauth_token"], &*fields["oauth_verifier"]), ("temporary", "ver ifier+"));
        let url = "https://api.twitter.com/oauth/access_token";
        let (given, expected) = signature(&seen[0], "POST", url, "cs%26&");
        assert_eq!(given, expected);
        let id = created.body["objectId"].as_str().unwrap();
        let stored = server.master().get(&format!("/users/{id}")).await.ok();
        assert_eq!(stored["authData"], json!({name: {"id": "1"}}));
    }
    let mut wrong = data.clone();
    wrong["id"] = "2".into();
    let foreign = (404, 101, "Twitter auth is invalid for this user.");
    assert_eq!(log_in(&server, "twitter", wrong).await.error(), foreign);
    for reply in [Reply::Status(401, json!({})), Reply::Close, Reply::Json(json!({})), Reply::Huge] {
        outside.on(line, reply);
        assert_eq!(log_in(&server, "twitter", data.clone()).await.error(), foreign);
    }
    for data in [
        json!({"id": "1"}),
        json!({"oauth_token": "x"}),
        json!({"id": "1", "auth_token": "a", "auth_token_secret": "b"}),
    ] {
        assert_eq!(log_in(&server, "twitter", data).await.error(), (400, 142, "Twitter code is required."));
    }
}

#[actix_web::test]
async fn twitter_tokens_count_in_the_insecure_mode() {
    let outside = Outside::new();
    let entries = json!([
        {"consumer_key": "one", "consumer_secret": "s1", "enableInsecureAuth": true},
        {"consumer_key": "two", "consumer_secret": "s2"},
    ]);
    let options = json!({"enableInsecureAuthAdapters": true, "auth": {"twitter": entries}});
    let server = TestServer::within(options, outside.settings()).await;
    outside.json("GET api.twitter.com/2/users/me", json!({"data": {"id": "9", "name": "x"}}));
    let data = json!({"id": "9", "consumer_key": "two", "auth_token": "t", "auth_token_secret": "ts"});
    assert_eq!(log_in(&server, "twitter", data.clone()).await.status, 201);
    let seen = outside.seen();
    let (given, expected) = signature(&seen[0], "GET", "https://api.twitter.com/2/users/me", "s2&ts");
    assert_eq!(given, expected);
    let foreign = (404, 101, "Twitter auth is invalid for this user.");
    for (key, value) in [("id", "8"), ("consumer_key", "three")] {
        let mut wrong = data.clone();
        wrong[key] = value.into();
        assert_eq!(log_in(&server, "twitter", wrong).await.error(), foreign);
    }
    let answer = log_in(&server, "twitter", json!({"id": "9", "consumer_key": "one"})).await;
    assert_eq!(answer.error().2, "Twitter insecure auth requires oauth_token and oauth_token_secret.");
}
