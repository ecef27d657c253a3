//! `authData`: anonymous users, linking, and a second factor, over HTTP.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::users_sign_up::sign_up;

/// Base32 of `PLAIN_SECRET`.
pub const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
const PLAIN_SECRET: &[u8] = b"12345678901234567890";

/// The six digits of this half minute.
pub fn totp() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut mac = <Hmac<sha1::Sha1> as KeyInit>::new_from_slice(PLAIN_SECRET).unwrap();
    mac.update(&(now / 30).to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let offset = usize::from(digest[19] & 15);
    let number = u32::from_be_bytes(digest[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// A server with MFA, and a user who has it: his id, token and recovery codes.
pub async fn with_mfa() -> (TestServer, String, String, Vec<String>) {
    let server = TestServer::with(json!({"auth": {"mfa": {"options": ["TOTP"]}}})).await;
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let body = json!({"authData": {"mfa": {"secret": SECRET, "token": totp()}}});
    let answer = server.session(&token).put(&format!("/users/{id}"), body).await.ok();
    assert!(answer.get("sessionToken").is_none());
    let codes = answer["authDataResponse"]["mfa"]["recovery"].as_str().unwrap();
    let codes = codes.split(", ").map(str::to_owned).collect();
    (server, id, token, codes)
}

#[actix_web::test]
async fn anonymous_users_become_named_ones() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let data = json!({"authData": {"anonymous": {"id": "device-1"}}});
    let created = client.post("/users", data.clone()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(created.body["username"].as_str().unwrap().len(), 25);
    assert_eq!(created.body["authDataResponse"], json!({}));
    let id = created.body["objectId"].as_str().unwrap().to_owned();
    let token = created.body["sessionToken"].as_str().unwrap().to_owned();
    let session = server.session(&token).get("/sessions/me").await.ok();
    assert_eq!(session["createdWith"], json!({"action": "login", "authProvider": "anonymous"}));

    let again = client.post("/users", data.clone()).await;
    assert_eq!((again.status, again.body["objectId"].as_str()), (200, Some(id.as_str())));
    assert!(again.headers["location"].as_str().unwrap().ends_with(&format!("/users/{id}")));
    assert_eq!(again.body["authData"], json!({"anonymous": {"id": "device-1"}}));
    assert!(again.body.as_object().unwrap().keys().all(|key| !key.starts_with('_')));

    let named = json!({"username": "ann", "password": "secret", "authData": {"anonymous": null}});
    server.session(&token).put(&format!("/users/{id}"), named).await.ok();
    let login = client.post("/login", json!({"username": "ann", "password": "secret"})).await.ok();
    assert_eq!((login["objectId"].as_str(), login.get("authData")), (Some(id.as_str()), None));
    let other = client.post("/users", data).await;
    assert_eq!(other.status, 201);
    assert_ne!(other.body["objectId"].as_str(), Some(id.as_str()));
}

#[actix_web::test]
async fn anonymous_users_can_be_switched_off() {
    let server = TestServer::with(json!({"enableAnonymousUsers": false})).await;
    let answer = server.anonymous().post("/users", json!({"authData": {"anonymous": {"id": "x"}}})).await;
    assert_eq!(answer.error(), (400, 252, "This authentication method is unsupported."));
}

#[actix_web::test]
async fn an_id_belongs_to_one_user() {
    let server = TestServer::start().await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let (bob, bobs) = sign_up(&server.anonymous(), "bob").await;
    let data = json!({"authData": {"anonymous": {"id": "mine"}}});
    let linked = server.session(&token).put(&format!("/users/{ann}"), data.clone()).await.ok();
    assert_eq!(linked["authDataResponse"], json!({}));
    let taken = server.session(&bobs).put(&format!("/users/{bob}"), data).await;
    assert_eq!(taken.error(), (400, 208, "this auth is already used"));
    let number = json!({"authData": {"anonymous": {"id": 5}}});
    let wrong = server.anonymous().post("/users", number).await;
    assert_eq!(wrong.error(), (400, 162, "Invalid authData id for provider 'anonymous'."));
    let unlink = json!({"authData": {"anonymous": null}});
    server.session(&token).put(&format!("/users/{ann}"), unlink).await.ok();
    assert!(server.master().get(&format!("/users/{ann}")).await.ok().get("authData").is_none());
}

#[actix_web::test]
async fn a_second_factor_is_asked_for() {
    let (server, id, token, codes) = with_mfa().await;
    let client = server.anonymous();
    let login = async |mfa: Value| {
        let mut body = json!({"username": "ann", "password": "secret"});
        if !mfa.is_null() {
            body["authData"] = json!({"mfa": mfa});
        }
        client.post("/login", body).await
    };
    assert_eq!(login(Value::Null).await.error(), (400, -1, "Missing additional authData mfa"));
    for token in [json!("000"), json!(5), json!({"$ne": 1}), Value::Null] {
        assert_eq!(login(json!({"token": token})).await.error(), (400, 141, "Invalid MFA token"));
    }
    let user = login(json!({"token": totp()})).await.ok();
    assert_eq!(user["authData"], json!({"mfa": {"status": "enabled"}}));
    login(json!({"token": codes[0]})).await.ok();
    assert_eq!(login(json!({"token": codes[0]})).await.error(), (400, 141, "Invalid MFA token"));
    login(json!({"token": codes[1]})).await.ok();

    let own = server.session(&token).get(&format!("/users/{id}")).await.ok();
    assert_eq!(own["authData"], json!({"mfa": {"status": "enabled"}}));
    let all = server.master().get(&format!("/users/{id}")).await.ok();
    assert_eq!(all["authData"]["mfa"], json!({"secret": SECRET, "recovery": []}));

    let path = format!("/users/{id}");
    let change = json!({"authData": {"mfa": {"secret": SECRET, "token": totp(), "old": "000"}}});
    let refused = server.session(&token).put(&path, change).await;
    assert_eq!(refused.error(), (400, 141, "Invalid MFA token"));
    server.session(&token).put(&path, json!({"authData": {"mfa": null}})).await.ok();
    login(Value::Null).await.ok();
}

#[actix_web::test]
async fn challenges_are_checked() {
    let server = TestServer::start().await;
    sign_up(&server.anonymous(), "ann").await;
    let cases = [
        (json!({"username": "ann"}), "You provided username or email, you need to also provide password."),
        (json!({}), "Nothing to challenge."),
        (json!({"challengeData": "x"}), "challengeData should be an object."),
        (json!({"challengeData": {}, "authData": "x"}), "authData should be an object."),
        (json!({"challengeData": {}, "authData": {"a": 1}}), "authData.a should be an object."),
        (
            json!({"challengeData": {}, "authData": {"a": {"id": "1"}, "b": {"id": "1"}}}),
            "You cannot provide more than one authData provider with an id.",
        ),
        (
            json!({"challengeData": {}, "authData": {}, "username": "ann", "password": "secret"}),
            "You cannot provide username/email and authData, only use one identification method.",
        ),
    ];
    for (body, message) in cases {
        let answer = server.anonymous().post("/challenge", body.clone()).await;
        assert_eq!(answer.error(), (400, -1, message), "{body}");
    }
    let unknown = json!({"challengeData": {}, "authData": {"anonymous": {"id": "nobody"}}});
    let answer = server.anonymous().post("/challenge", unknown).await;
    assert_eq!(answer.error(), (404, 101, "User not found."));
    let body = json!({"challengeData": {"anonymous": {}}, "username": "ann", "password": "secret"});
    assert_eq!(server.anonymous().post("/challenge", body).await.ok(), json!({"challengeData": {}}));
}
