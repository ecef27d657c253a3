//! Sign-up, login, sessions and changes of users, over HTTP.

use serde_json::{Value, json};

use crate::support::server::{Client, TestServer};

pub async fn sign_up(client: &Client, name: &str) -> (String, String) {
    let body = json!({"username": name, "password": "secret", "email": format!("{name}@example.org")});
    let user = client.post("/users", body).await.ok();
    let text = |key: &str| user[key].as_str().unwrap().to_owned();
    (text("objectId"), text("sessionToken"))
}

#[actix_web::test]
async fn sign_up_and_log_in() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let body = json!({"username": "Ann", "password": "secret", "email": "ann@example.org", "n": 1});
    let created = client.post("/users", body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let id = created.body["objectId"].as_str().unwrap().to_owned();
    assert!(created.headers["location"].as_str().unwrap().ends_with(&format!("/users/{id}")));
    let mut keys: Vec<&String> = created.body.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["createdAt", "objectId", "sessionToken"]);
    let token = created.body["sessionToken"].as_str().unwrap().to_owned();
    assert!(token.starts_with("r:") && token.len() == 34, "{token}");

    for name in [
        json!({"username": "Ann"}),
        json!({"username": "ann@example.org"}),
        json!({"email": "ann@example.org"}),
    ] {
        let mut body = name;
        body["password"] = "secret".into();
        let user = client.post("/login", body).await.ok();
        assert_eq!((user["objectId"].as_str(), &user["n"]), (Some(id.as_str()), &json!(1)));
        assert_eq!(user["ACL"], json!({id.as_str(): {"read": true, "write": true}}));
        assert!(user["sessionToken"].as_str().unwrap() != token);
        assert!(user.as_object().unwrap().keys().all(|key| !key.starts_with('_') && key != "password"));
    }
    let by_url = client.get("/login?username=Ann&password=secret").await.ok();
    assert_eq!(by_url["objectId"].as_str(), Some(id.as_str()));

    let me = server.session(&token).get("/users/me").await.ok();
    assert_eq!((me["username"].as_str(), me["sessionToken"].as_str()), (Some("Ann"), Some(token.as_str())));
    assert_eq!(client.get("/users/me").await.error(), (400, 209, "Permission denied"));
    assert_eq!(server.session("r:x").get("/users/me").await.error(), (400, 209, "Invalid session token"));

    assert_eq!(server.session(&token).post("/logout", json!({})).await.ok(), json!({}));
    let gone = server.session(&token).get("/users/me").await;
    assert_eq!(gone.error(), (400, 209, "Invalid session token"));
    assert_eq!(client.post("/logout", json!({})).await.ok(), json!({}));
}

#[actix_web::test]
async fn sign_up_is_refused_with_its_codes() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    sign_up(&client, "ann").await;
    let cases = [
        (json!({"password": "x"}), (400, 200, "bad or missing username")),
        (json!({"username": "", "password": "x"}), (400, 200, "bad or missing username")),
        (json!({"username": {"a": 1}, "password": "x"}), (400, 200, "bad or missing username")),
        (json!({"username": "bob"}), (400, 201, "password is required")),
        (
            json!({"username": "ANN", "password": "x"}),
            (400, 202, "Account already exists for this username."),
        ),
        (
            json!({"username": "bob", "password": "x", "email": "ANN@example.org"}),
            (400, 203, "Account already exists for this email address."),
        ),
        (
            json!({"username": "bob", "password": "x", "email": "nobody"}),
            (400, 125, "Email address format is invalid."),
        ),
        (
            json!({"username": "bob", "password": "x", "authData": null}),
            (400, 252, "This authentication method is unsupported."),
        ),
        (
            json!({"authData": {"nothing": {"id": "x"}}}),
            (400, 252, "This authentication method is unsupported."),
        ),
        (json!({"username": "bob", "password": "x", "emailVerified": true}), (400, 119, "Permission denied")),
        (
            json!({"username": "bob", "password": "x", "objectId": "mine"}),
            (400, 105, "objectId is an invalid field name."),
        ),
    ];
    for (body, expected) in cases {
        let answer = client.post("/users", body.clone()).await;
        assert_eq!(answer.error(), expected, "{body}");
    }
    let logins = [
        (json!({"password": "x"}), (400, 200, "username/email is required.")),
        (json!({"username": "ann"}), (400, 201, "password is required.")),
        (json!({"username": "ann", "password": "x"}), (404, 101, "Invalid username/password.")),
        (json!({"username": "nobody", "password": "x"}), (404, 101, "Invalid username/password.")),
        (json!({"username": {"$ne": 1}, "password": "x"}), (404, 101, "Invalid username/password.")),
        (json!({"username": "ann", "password": {"$ne": 1}}), (404, 101, "Invalid username/password.")),
        (
            json!({"username": "ann", "email": "x@example.org", "password": "secret"}),
            (404, 101, "Invalid username/password."),
        ),
    ];
    for (body, expected) in logins {
        assert_eq!(client.post("/login", body.clone()).await.error(), expected, "{body}");
    }
}

#[actix_web::test]
async fn a_new_password_ends_the_old_sessions() {
    let server = TestServer::start().await;
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let path = format!("/users/{id}");
    let changed = server.session(&token).put(&path, json!({"password": "other"})).await.ok();
    let fresh = changed["sessionToken"].as_str().unwrap();
    assert!(changed.get("password").is_none());
    assert_eq!(server.session(&token).get("/users/me").await.error(), (400, 209, "Invalid session token"));
    assert_eq!(server.session(fresh).get("/users/me").await.ok()["objectId"], json!(id));
    let login = async |password: &str| {
        server.anonymous().post("/login", json!({"username": "ann", "password": password})).await.status
    };
    assert_eq!((login("secret").await, login("other").await), (404, 200));
    let by_master = server.master().put(&path, json!({"password": "third"})).await.ok();
    assert!(by_master.get("sessionToken").is_none());
    assert_eq!(server.session(fresh).get("/users/me").await.status, 400);
}

#[actix_web::test]
async fn users_change_themselves_only() {
    let server = TestServer::start().await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let (bob, _) = sign_up(&server.anonymous(), "bob").await;
    let session = server.session(&token);
    let (own, other) = (format!("/users/{ann}"), format!("/users/{bob}"));
    assert_eq!(server.anonymous().put(&own, json!({"n": 1})).await.error(), (400, 206, "Permission denied"));
    assert_eq!(server.anonymous().delete(&own).await.error(), (400, 206, "Insufficient auth to delete user"));
    assert_eq!(session.put(&other, json!({"n": 1})).await.error(), (400, 206, "Permission denied"));
    assert_eq!(session.put("/users/nobody", json!({"n": 1})).await.error(), (400, 206, "Permission denied"));
    session.put(&own, json!({"n": 1, "ACL": {}})).await.ok();
    let me = session.get(&own).await.ok();
    assert_eq!(me["ACL"], json!({ann.as_str(): {"read": true, "write": true}}));
    assert_eq!(me["sessionToken"], json!(token));
    server.master().put(&own, json!({"ACL": {}})).await.ok();
    assert_eq!(session.get("/users/me").await.error(), (400, 209, "Permission denied"));
    let locked = server.anonymous().post("/login", json!({"username": "ann", "password": "secret"})).await;
    assert_eq!(locked.error(), (404, 101, "Invalid username/password."));
}

#[actix_web::test]
async fn masters_log_in_as_anybody() {
    let server = TestServer::start().await;
    let (id, _) = sign_up(&server.anonymous(), "ann").await;
    let refused = server.anonymous().post("/loginAs", json!({"userId": id})).await;
    assert_eq!(refused.error(), (400, 119, "Permission denied"));
    let master = server.master();
    let missing = master.post("/loginAs", json!({})).await;
    assert_eq!(missing.error(), (400, 162, "userId must not be empty, null, or undefined"));
    assert_eq!(master.post("/loginAs", json!({"userId": "x"})).await.error(), (404, 101, "user not found"));
    let user = master.post("/loginAs", json!({"userId": id})).await.ok();
    let token = user["sessionToken"].as_str().unwrap();
    let session = server.session(token).get("/sessions/me").await.ok();
    assert_eq!(session["createdWith"], json!({"action": "login", "authProvider": "masterkey"}));
}

#[actix_web::test]
async fn verify_password_makes_no_session() {
    let server = TestServer::start().await;
    sign_up(&server.anonymous(), "ann").await;
    let body = json!({"username": "ann", "password": "secret"});
    let user = server.anonymous().post("/verifyPassword", body).await.ok();
    assert_eq!((user["username"].as_str(), user.get("sessionToken")), (Some("ann"), None));
    let sessions = server.master().get("/sessions").await.ok();
    assert_eq!(sessions["results"].as_array().unwrap().len(), 1);
    let wrong = server.anonymous().get("/verifyPassword?username=ann&password=x").await;
    assert_eq!(wrong.error(), (404, 101, "Invalid username/password."));
}

#[actix_web::test]
async fn sessions_keep_their_rules() {
    let server = TestServer::start().await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let (_, other) = sign_up(&server.anonymous(), "bob").await;
    let session = server.session(&token);
    assert_eq!(server.anonymous().get("/sessions").await.error(), (400, 209, "Permission denied"));
    assert_eq!(
        server.anonymous().post("/sessions", json!({})).await.error(),
        (400, 209, "Session token required.")
    );
    let body = json!({"sessionToken": "r:mine", "user": {"__type": "Pointer", "className": "_User",
        "objectId": "x"}, "note": "n", "expiresAt": {"__type": "Date", "iso": "2000-01-01T00:00:00.000Z"}});
    let made = session.post("/sessions", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.body["createdWith"], json!({"action": "create"}));
    assert_eq!(made.body["user"]["objectId"], json!(ann));
    assert_eq!(made.body["note"], "n");
    let own = session.get("/sessions").await.ok();
    assert_eq!(own["results"].as_array().unwrap().len(), 2);
    let id = made.body["objectId"].as_str().unwrap();
    let path = format!("/sessions/{id}");
    let invalid = |key: &str| format!("Invalid key name: {key}");
    for key in ["installationId", "sessionToken", "expiresAt", "createdWith"] {
        let answer = session.put(&path, json!({ key: "x" })).await;
        assert_eq!(answer.error(), (400, 105, invalid(key).as_str()));
    }
    assert_eq!(
        session.put(&path, json!({"ACL": {}})).await.error(),
        (400, 105, "Cannot set ACL on a Session.")
    );
    session.put(&path, json!({"note": "m"})).await.ok();
    let stranger = server.session(&other);
    assert_eq!(stranger.get(&path).await.status, 404);
    assert_eq!(stranger.put(&path, json!({"note": "x"})).await.error(), (404, 101, "Object not found."));
    assert_eq!(stranger.delete(&path).await.error(), (404, 101, "Object not found for delete."));
    session.delete(&path).await.ok();
    let gone = made.body["sessionToken"].as_str().unwrap();
    assert_eq!(server.session(gone).get("/users/me").await.error(), (400, 209, "Invalid session token"));
}

#[actix_web::test]
async fn one_session_for_each_installation() {
    let server = TestServer::start().await;
    sign_up(&server.anonymous(), "ann").await;
    let device = server.client(&[
        ("X-Parse-Application-Id", crate::support::server::APP_ID),
        ("X-Parse-Installation-Id", "device-1"),
    ]);
    let login = async || -> Value {
        device.post("/login", json!({"username": "ann", "password": "secret"})).await.ok()["sessionToken"]
            .clone()
    };
    let first = login().await;
    let first = server.session(first.as_str().unwrap());
    assert_eq!(first.get("/users/me").await.status, 200);
    let second = login().await;
    assert_eq!(first.get("/users/me").await.error(), (400, 209, "Invalid session token"));
    let session = server.session(second.as_str().unwrap()).get("/sessions/me").await.ok();
    assert_eq!(session["installationId"], "device-1");
}

#[actix_web::test]
async fn expired_sessions_are_told_so() {
    let server = TestServer::start().await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    let session = server.session(&token);
    let id = session.get("/sessions/me").await.ok()["objectId"].as_str().unwrap().to_owned();
    let past = json!({"expiresAt": {"__type": "Date", "iso": "2000-01-01T00:00:00.000Z"}});
    server.master().put(&format!("/sessions/{id}"), past).await.ok();
    assert_eq!(session.get("/users/me").await.error(), (400, 209, "Session token is expired."));
}
