//! What users do with providers: link, unlink, have several, come back, upgrade from anonymous; and adapters of the
//! application beside the built-in ones.

use serde_json::{Value, json};

use super::outside::Outside;
use super::tokens::{OURS, now};
use crate::support::server::{Client, TestServer};
use crate::users_sign_up::sign_up;

fn google(id: &str) -> Value {
    let claims = json!({"iss": "accounts.google.com", "aud": "ours", "sub": id, "exp": now() + 600,
        "email": "ann@example.com", "email_verified": true});
    json!({"google": {"id": id, "id_token": OURS.sign(&claims)}})
}

async fn start(more: Value) -> (Outside, TestServer) {
    let outside = Outside::new();
    outside.json("GET www.googleapis.com/oauth2/v3/certs", json!({"keys": [OURS.jwk()]}));
    outside.json("POST github.com/login/oauth/access_token", json!({"access_token": "t"}));
    outside.json("GET api.github.com/user", json!({"id": 7, "login": "ann"}));
    let mut auth = json!({
        "google": {"clientId": "ours"},
        "github": {"clientId": "c", "clientSecret": "s"},
    });
    auth.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let server = TestServer::within(json!({"auth": auth}), outside.settings()).await;
    (outside, server)
}

async fn link(client: &Client, id: &str, data: Value) -> crate::support::server::Answer {
    client.put(&format!("/users/{id}"), json!({"authData": data})).await
}

#[actix_web::test]
async fn providers_are_linked_used_and_unlinked() {
    let (outside, server) = start(json!({})).await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let me = server.session(&token);
    assert_eq!(link(&me, &ann, google("g1")).await.ok()["authDataResponse"], json!({}));
    assert_eq!(link(&me, &ann, json!({"github": {"code": "x"}})).await.status, 200);
    let own = me.get("/users/me").await.ok();
    assert_eq!(
        (&own["authData"]["google"]["id"], &own["authData"]["github"]),
        (&json!("g1"), &json!({"id": "7"}))
    );
    // Either leads back to the same user.
    for data in [google("g1"), json!({"github": {"code": "y"}})] {
        let back = server.anonymous().post("/users", json!({"authData": data})).await;
        assert_eq!((back.status, back.body["objectId"].as_str()), (200, Some(ann.as_str())), "{}", back.text);
    }
    // What is only repeated is not exchanged again.
    outside.seen();
    assert_eq!(link(&me, &ann, json!({"github": {"id": "7"}})).await.status, 200);
    assert_eq!(outside.lines().len(), 0);
    assert_eq!(link(&me, &ann, json!({"github": {"id": "8"}})).await.status, 400);
    // Nobody else can have them.
    let (bob, bobs) = sign_up(&server.anonymous(), "bob").await;
    let taken = link(&server.session(&bobs), &bob, google("g1")).await;
    assert_eq!(taken.error(), (400, 208, "this auth is already used"));
    assert_ne!(link(&server.session(&bobs), &ann, google("g2")).await.status, 200);
    assert_eq!(link(&me, &ann, json!({"google": null})).await.status, 200);
    let own = me.get("/users/me").await.ok();
    assert_eq!(own["authData"], json!({"github": {"id": "7"}}));
    let other = server.anonymous().post("/users", json!({"authData": google("g1")})).await;
    assert_eq!(other.status, 201);
    assert_ne!(other.body["objectId"].as_str(), Some(ann.as_str()));
}

/// Whoever links the id of somebody who has not come yet is that user's host when he does.
#[actix_web::test]
async fn a_login_by_password_links_no_unproven_id() {
    let (outside, server) = start(json!({})).await;
    let client = server.anonymous();
    let (eve, _) = sign_up(&client, "eve").await;
    let login = async |data: Value| {
        client.post("/login", json!({"username": "eve", "password": "secret", "authData": data})).await
    };
    let refused = login(json!({"github": {"id": "7"}})).await;
    assert_eq!(refused.error(), (400, 142, "GitHub code is required."));
    let path = format!("/users/{eve}");
    assert!(server.master().get(&path).await.ok().get("authData").is_none());
    let ann = client.post("/users", json!({"authData": {"github": {"code": "x"}}})).await;
    assert_eq!(ann.status, 201, "{}", ann.text);
    // What is somebody else's already is told to who proves it.
    assert_eq!(
        login(json!({"github": {"code": "y"}})).await.error(),
        (400, 208, "this auth is already used")
    );
    outside.json("GET api.github.com/user", json!({"id": 8, "login": "eve"}));
    assert_eq!(login(json!({"github": {"code": "z"}})).await.ok()["authDataResponse"], json!({}));
    let linked = server.master().get(&path).await.ok();
    assert_eq!(linked["authData"], json!({"github": {"id": "8"}}));
    // Its own id proves nothing either.
    assert_eq!(login(json!({"github": {"id": "8"}})).await.error(), (400, 142, "GitHub code is required."));
}

#[actix_web::test]
async fn linking_a_provider_verifies_no_address() {
    let outside = Outside::new();
    outside.json("POST github.com/login/oauth/access_token", json!({"access_token": "t"}));
    outside.json("GET api.github.com/user", json!({"id": 7, "login": "ann"}));
    let options = json!({
        "auth": {"github": {"clientId": "c", "clientSecret": "s"}},
        "appName": "Test", "publicServerURL": "http://127.0.0.1:1/parse", "verifyUserEmails": true,
        "emailAdapter": {"module": "smtp", "options": {"host": "127.0.0.1", "port": 9, "from": "a@example.org", "tls": "none"}},
    });
    let server = TestServer::within(options, outside.settings()).await;
    let body = json!({"username": "eve", "password": "p", "email": "eve@example.org"});
    let eve = server.anonymous().post("/users", body).await.ok();
    let path = format!("/users/{}", eve["objectId"].as_str().unwrap());
    server.master().put(&path, json!({"emailVerified": true})).await.ok();
    let other = json!({"email": "ann@example.org", "authData": {"github": {"code": "x"}}});
    server.session(eve["sessionToken"].as_str().unwrap()).put(&path, other).await.ok();
    let stored = server.master().get(&path).await.ok();
    assert_eq!((&stored["email"], &stored["emailVerified"]), (&json!("ann@example.org"), &json!(false)));
    assert_eq!(stored["authData"], json!({"github": {"id": "7"}}));
}

#[actix_web::test]
async fn a_verified_address_of_the_provider_links_nobody() {
    let (_outside, server) = start(json!({})).await;
    let body = json!({"username": "ann", "password": "p", "email": "ann@example.com"});
    let ann = server.anonymous().post("/users", body).await.ok();
    let created = server.anonymous().post("/users", json!({"authData": google("g1")})).await;
    assert_eq!(created.status, 201);
    assert_ne!(created.body["objectId"], ann["objectId"]);
}

#[actix_web::test]
async fn anonymous_users_take_a_provider_along() {
    let (_outside, server) = start(json!({})).await;
    let anonymous =
        server.anonymous().post("/users", json!({"authData": {"anonymous": {"id": "device"}}})).await.ok();
    let id = anonymous["objectId"].as_str().unwrap();
    let me = server.session(anonymous["sessionToken"].as_str().unwrap());
    let mut data = google("g1");
    data["anonymous"] = Value::Null;
    assert_eq!(link(&me, id, data).await.status, 200);
    let back = server.anonymous().post("/users", json!({"authData": google("g1")})).await;
    assert_eq!((back.status, back.body["objectId"].as_str()), (200, Some(id)));
    assert!(back.body["authData"].get("anonymous").is_none());
}

#[actix_web::test]
async fn refused_links_look_as_parse_servers() {
    let (_outside, server) = start(json!({})).await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let bad = json!({"google": {"id": "g1", "id_token": "x"}});
    let answer = link(&server.session(&token), &ann, bad.clone()).await;
    assert_eq!(answer.error(), (400, 206, "Permission denied"));
    let answer = link(&server.master(), &ann, bad).await;
    assert_eq!(answer.error(), (404, 101, "provided token does not decode as JWT"));
}

#[actix_web::test]
async fn a_challenge_wants_more_than_an_id() {
    let (outside, server) = start(json!({})).await;
    let created = server.anonymous().post("/users", json!({"authData": {"github": {"code": "x"}}})).await;
    assert_eq!(created.status, 201);
    let challenge = async |data: Value| {
        let body = json!({"challengeData": {"mfa": {}}, "authData": {"github": data}});
        server.anonymous().post("/challenge", body).await
    };
    assert_eq!(challenge(json!({"id": "7"})).await.error(), (404, 101, "User not found."));
    assert_eq!(challenge(json!({"id": "7", "code": "c"})).await.ok(), json!({"challengeData": {}}));
    outside.json("GET api.github.com/user", json!({"id": 8, "login": "eve"}));
    assert_eq!(challenge(json!({"id": "7", "code": "c"})).await.error(), (404, 101, "User not found."));
}

const STEPS: &str = "
module.exports = {
  policy: 'POLICY',
  beforeFind(authData) { if (authData.ticket) { authData.id = 'from-' + authData.ticket; delete authData.ticket; return authData; } },
  validateSetUp(authData) { return { save: { id: authData.id, step: 'setUp' } }; },
  validateLogin(authData) { return { save: { id: authData.id, step: 'login' }, response: { seen: 'login' } }; },
  validateUpdate(authData, options, request) {
    if (request.original.get('authData').acme.step === undefined) { throw new Error('no original'); }
    return { save: { id: authData.id, step: 'update' } };
  },
};
";

#[actix_web::test]
async fn adapters_of_the_application_have_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let module = |policy: &str| {
        let file = folder.path().join(format!("{policy}.js"));
        std::fs::write(&file, STEPS.replace("POLICY", policy)).unwrap();
        file
    };
    let (_outside, server) = start(json!({"acme": {"module": module("default")}})).await;
    let sign =
        async |data: Value| server.anonymous().post("/users", json!({"authData": {"acme": data}})).await;
    let created = sign(json!({"ticket": "t1"})).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let path = format!("/users/{}", created.body["objectId"].as_str().unwrap());
    let stored = async || server.master().get(&path).await.ok()["authData"]["acme"].clone();
    assert_eq!(stored().await, json!({"id": "from-t1", "step": "setUp"}));
    let login = sign(json!({"ticket": "t1"})).await;
    assert_eq!((login.status, &login.body["authDataResponse"]), (200, &json!({"acme": {"seen": "login"}})));
    assert_eq!(stored().await["step"], "login");
    let me = server.session(created.body["sessionToken"].as_str().unwrap());
    assert_eq!(me.put(&path, json!({"authData": {"acme": {"id": "from-t2"}}})).await.status, 200);
    assert_eq!(stored().await, json!({"id": "from-t2", "step": "update"}));
    // An additional provider must come along, a solo one makes up for it.
    let both = json!({"acme": {"module": module("additional")}, "alone": {"module": module("solo")}});
    let (_outside, server) = start(both).await;
    let mut all = google("g1");
    all["acme"] = json!({"id": "a"});
    all["alone"] = json!({"id": "s"});
    assert_eq!(server.anonymous().post("/users", json!({"authData": all})).await.status, 201);
    let sign = async |data: Value| server.anonymous().post("/users", json!({"authData": data})).await;
    assert_eq!(sign(google("g1")).await.error(), (400, -1, "Missing additional authData acme"));
    let mut with = google("g1");
    with["acme"] = json!({"id": "a"});
    assert_eq!(sign(with).await.status, 200);
    assert_eq!(sign(json!({"alone": {"id": "s"}})).await.status, 200);
}
