//! Session fixation, tokens that are no texts, and tokens kept too long.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{APP_ID, TestServer};
use crate::users_sign_up::sign_up;

#[actix_web::test]
async fn nobody_chooses_a_session_token() {
    let server = TestServer::start().await;
    let fixed = "r:00000000000000000000000000000000";
    let body = json!({"username": "ann", "password": "secret", "sessionToken": fixed});
    let created = server.anonymous().post("/users", body).await;
    if created.status == 201 {
        assert_ne!(created.body["sessionToken"], fixed);
    }
    assert_eq!(server.session(fixed).get("/users/me").await.error(), (400, 209, "Invalid session token"));
    let (id, token) = sign_up(&server.anonymous(), "bob").await;
    let user = json!({"__type": "Pointer", "className": "_User", "objectId": id});
    for path in ["/sessions", "/classes/_Session"] {
        let body = json!({"sessionToken": fixed, "user": user, "user.objectId": "x", "sessionToken.x": 1});
        server.session(&token).post(path, body).await;
        assert_eq!(server.session(fixed).get("/users/me").await.status, 400);
        assert_eq!(server.anonymous().post(path, json!({"user": user})).await.error().1, 209);
    }
    let own = server.session(&token).get("/sessions/me").await.ok();
    let path = format!("/classes/_Session/{}", own["objectId"].as_str().unwrap());
    for body in [
        json!({"sessionToken": fixed}),
        json!({"sessionToken": {"__op": "Delete"}}),
        json!({"user": {"__type": "Pointer", "className": "_User", "objectId": "other"}}),
        json!({"user": {"__op": "Delete"}}),
        json!({"expiresAt": {"__op": "Delete"}}),
    ] {
        assert_eq!(server.session(&token).put(&path, body.clone()).await.error().1, 105, "{body}");
    }
}

#[actix_web::test]
async fn a_token_is_a_text() {
    let server = TestServer::start().await;
    sign_up(&server.anonymous(), "ann").await;
    for token in [json!({"$ne": "x"}), json!({"$regex": "^r:"}), json!(["r:"]), json!(5), json!(true)] {
        let body = json!({"_ApplicationId": APP_ID, "_SessionToken": token, "_method": "GET"});
        let text = [("Content-Type", "text/plain")];
        for path in ["/users/me", "/sessions/me", "/sessions"] {
            let answer =
                server.client(&[]).send_with(Method::POST, path, Some(body.to_string().into()), &text).await;
            assert!(answer.status >= 400, "{path} {token} {}", answer.text);
            assert_ne!(answer.status, 500, "{path} {token} {}", answer.text);
        }
    }
    for token in ["r:%27%20OR%201=1--", "r:\\u0000", "*", "r:_"] {
        assert_eq!(server.session(token).get("/users/me").await.error(), (400, 209, "Invalid session token"));
    }
}

#[actix_web::test]
async fn what_is_revoked_is_revoked_at_once() {
    let server = TestServer::start().await;
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let session = server.session(&token);
    session.get("/users/me").await.ok();
    server.master().delete(&format!("/users/{id}")).await.ok();
    assert_eq!(session.get("/classes/A").await.error(), (400, 209, "Invalid session token"));

    let (_, token) = sign_up(&server.anonymous(), "bob").await;
    let session = server.session(&token);
    let row = session.get("/sessions/me").await.ok();
    let path = format!("/sessions/{}", row["objectId"].as_str().unwrap());
    server.master().delete(&path).await.ok();
    assert_eq!(session.get("/classes/A").await.error(), (400, 209, "Invalid session token"));
}

#[actix_web::test]
async fn what_another_program_changes_is_seen_soon() {
    let server = TestServer::with(json!({"cacheTTL": 200})).await;
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let role = json!({"name": "staff", "ACL": {}});
    let role = server.master().post("/roles", role).await.ok()["objectId"].as_str().unwrap().to_owned();
    let secret = json!({"ACL": {"role:staff": {"read": true}}});
    let object = server.master().post("/classes/Secret", secret).await.ok()["objectId"].clone();
    let path = format!("/classes/Secret/{}", object.as_str().unwrap());
    let session = server.session(&token);
    assert_eq!(session.get(&path).await.status, 404);
    let member = json!({"__op": "AddRelation", "objects":
        [{"__type": "Pointer", "className": "_User", "objectId": id}]});
    server.master().put(&format!("/roles/{role}"), json!({ "users": member })).await.ok();
    // Our own write is seen at once, by every worker.
    for _ in 0..8 {
        assert_eq!(session.get(&path).await.status, 200);
    }
    let database = server.database().connect().await;
    database.batch_execute(r#"DELETE FROM "_Join:users:_Role""#).await.unwrap();
    crate::support::wait::until_some("the role is gone", async || {
        (session.get(&path).await.status == 404).then_some(())
    })
    .await;
    database.batch_execute(r#"DELETE FROM "_Session""#).await.unwrap();
    crate::support::wait::until_some("the session is gone", async || {
        (session.get(&path).await.status == 400).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_user_id_is_no_role() {
    let server = TestServer::with(json!({"allowCustomObjectId": true})).await;
    let body = json!({"objectId": "role:staff", "username": "eve", "password": "secret"});
    let refused = server.anonymous().post("/users", body.clone()).await;
    assert_eq!(refused.error(), (400, 119, "Permission denied"));
    assert_eq!(server.master().post("/classes/_User", body).await.error().1, 119);
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let database = server.database().connect().await;
    let rename = format!(
        r#"UPDATE "_User" SET "objectId" = 'role:staff' WHERE "objectId" = '{id}';
           UPDATE "_Session" SET "user" = 'role:staff'"#
    );
    database.batch_execute(&rename).await.unwrap();
    let answer = server.session(&token).get("/classes/A").await;
    assert_eq!((answer.status, &answer.body), (500, &json!({"code": 1, "error": "Invalid object ID."})));
}

#[actix_web::test]
async fn reading_sessions_shows_one_s_own() {
    let server = TestServer::start().await;
    let (_, ann) = sign_up(&server.anonymous(), "ann").await;
    let (bob, bobs) = sign_up(&server.anonymous(), "bob").await;
    let session = server.session(&ann);
    let user = json!({"__type": "Pointer", "className": "_User", "objectId": bob});
    for params in
        [json!({"where": {"user": user}}), json!({"where": {"sessionToken": bobs}}), json!({"count": 1})]
    {
        let found = session.find("_Session", params.clone()).await.ok();
        let tokens: Vec<&Value> =
            found["results"].as_array().unwrap().iter().map(|s| &s["sessionToken"]).collect();
        assert!(!tokens.contains(&&json!(bobs)), "{params}");
    }
    let inner = json!({"where": {"objectId": {"$select": {"query": {"className": "_Session", "where": {}}, "key": "user"}}}});
    let found = session.find("_User", inner).await;
    assert!(!found.text.contains("\"bob\""), "{}", found.text);
}
