//! Fields that a client may not set, under every spelling.

use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::users_sign_up::sign_up;

#[actix_web::test]
async fn internal_columns_are_not_written() {
    let server = TestServer::start().await;
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let path = format!("/users/{id}");
    let session = server.session(&token);
    let values = [
        json!("x"),
        Value::Null,
        json!({"__op": "Delete"}),
        json!(["*"]),
        json!({"__op": "Increment", "amount": 1}),
    ];
    for column in [
        "_hashed_password",
        "_rperm",
        "_wperm",
        "_perishable_token",
        "_email_verify_token",
        "_failed_login_count",
        "_account_lockout_expires_at",
        "_password_history",
        "_tombstone",
        "_session_token",
        "_auth_data_anonymous",
    ] {
        for value in &values {
            let answer = session.put(&path, json!({ column: value })).await;
            assert_eq!(answer.error().1, 105, "{column} {value} {}", answer.text);
            let answer = server.anonymous().post("/classes/A", json!({ column: value })).await;
            assert_eq!(answer.error().1, 105, "{column} {value} {}", answer.text);
        }
    }
    let login = json!({"username": "ann", "password": "secret"});
    server.anonymous().post("/login", login).await.ok();
}

#[actix_web::test]
async fn auth_data_is_not_written_around_its_providers() {
    let server = TestServer::start().await;
    let (_, bobs) = sign_up(&server.anonymous(), "bob").await;
    let link = json!({"authData": {"anonymous": {"id": "bobs"}}});
    let bob = server.session(&bobs).get("/users/me").await.ok()["objectId"].clone();
    server.session(&bobs).put(&format!("/users/{}", bob.as_str().unwrap()), link).await.ok();
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let path = format!("/users/{id}");
    for body in [
        json!({"authData.anonymous": {"id": "bobs"}}),
        json!({"authData.anonymous.id": "bobs"}),
        json!({"authData.mfa": {"__op": "Delete"}}),
        json!({"authData": {"__op": "Delete"}}),
        json!({"authData": {"unknown": {"id": "x"}}}),
        json!({"authData": [1]}),
        json!({"authData": "x"}),
        json!({"emailVerified": true}),
        json!({"emailVerified.x": true}),
    ] {
        let answer = server.session(&token).put(&path, body.clone()).await;
        assert_eq!(answer.status, 400, "{body} {}", answer.text);
    }
    assert!(server.master().get(&path).await.ok().get("authData").is_none());
}

#[actix_web::test]
async fn secrets_never_leave() {
    let server = TestServer::start().await;
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let path = format!("/users/{id}");
    let answers = [
        server.session(&token).get(&path).await,
        server.session(&token).get("/users/me").await,
        server.master().get(&path).await,
        server.master().get("/users").await,
        server.master().find("_User", json!({"keys": "_hashed_password,password,username"})).await,
        server.master().post("/login", json!({"username": "ann", "password": "secret"})).await,
        server.master().post("/loginAs", json!({"userId": id})).await,
        server.master().get("/sessions?include=user").await,
    ];
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(
            !answer.text.contains("$2b$") && !answer.text.contains("_hashed_password"),
            "{}",
            answer.text
        );
    }
}
