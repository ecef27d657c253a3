//! Who has an account is told neither by words nor by the time an answer takes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::users_sign_up::sign_up;

#[actix_web::test]
async fn login_says_the_same_of_everybody() {
    let server = TestServer::start().await;
    sign_up(&server.anonymous(), "ann").await;
    let linked =
        server.anonymous().post("/users", json!({"authData": {"anonymous": {"id": "x"}}})).await.ok();
    let without_password =
        server.master().get(&format!("/users/{}", linked["objectId"].as_str().unwrap())).await.ok();
    for path in ["/login", "/verifyPassword"] {
        let ask = async |name: &Value| {
            server.anonymous().post(path, json!({"username": name, "password": "x"})).await
        };
        let known = ask(&json!("ann")).await;
        for name in [json!("nobody"), without_password["username"].clone(), json!("nobody@example.org")] {
            let other = ask(&name).await;
            assert_eq!((other.status, &other.text), (known.status, &known.text));
        }
    }
    assert_eq!(server.anonymous().post("/logout", json!({})).await.ok(), json!({}));
    assert_eq!(server.session("r:nobody").get("/users/me").await.error().1, 209);
}

/// Generous: an answer without a password comparison would be many times faster.
#[actix_web::test]
async fn unknown_users_take_as_long_as_known_ones() {
    let server = TestServer::start().await;
    sign_up(&server.anonymous(), "ann").await;
    let client = server.anonymous();
    let median = async |name: &str| -> Duration {
        let mut times = Vec::new();
        for _ in 0..9 {
            let start = Instant::now();
            client.post("/login", json!({"username": name, "password": "wrong"})).await;
            times.push(start.elapsed());
        }
        times.sort();
        times[times.len() / 2]
    };
    median("ann").await;
    let (known, unknown) = (median("ann").await, median("nobody").await);
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.33..3.0).contains(&ratio), "known {known:?}, unknown {unknown:?}");
}

/// Mail routes say the same of addresses that are somebody's and that are nobody's.
#[actix_web::test]
async fn mail_requests_say_the_same_of_everybody() {
    let server = TestServer::with(super::tokens::with_mail(json!({}))).await;
    sign_up(&server.anonymous(), "ann").await;
    for path in ["/requestPasswordReset", "/verificationEmailRequest"] {
        let ask = async |email: &str| server.anonymous().post(path, json!({ "email": email })).await;
        let (known, unknown) = (ask("ann@example.org").await, ask("nobody@example.org").await);
        assert_eq!((known.status, &known.text), (unknown.status, &unknown.text), "{path}");
        assert_eq!(known.ok(), json!({}));
    }
    let token = super::tokens::token_of(&server, "_perishable_token").await;
    assert!(token.is_some(), "the one who exists has got a token");
}

/// Where nobody may sign up, nobody learns by trying which names are taken.
#[actix_web::test]
async fn a_closed_sign_up_tells_no_names() {
    let server = TestServer::start().await;
    sign_up(&server.anonymous(), "ann").await;
    let closed = json!({"classLevelPermissions": {"create": {}, "find": {}, "get": {"*": true}, "update": {"*": true}}});
    server.master().put("/schemas/_User", closed).await.ok();
    let ask = async |body: Value| server.anonymous().post("/users", body).await;
    let free = ask(json!({"username": "free", "password": "x"})).await;
    assert_eq!(free.error().1, 119, "{}", free.text);
    for body in [
        json!({"username": "ann", "password": "x"}),
        json!({"username": "ANN", "password": "x"}),
        json!({"username": "other", "password": "x", "email": "ann@example.org"}),
    ] {
        let taken = ask(body).await;
        assert_eq!((taken.status, &taken.text), (free.status, &free.text));
    }
}

/// Passwords are compared for everybody, in every route that takes one.
#[actix_web::test]
async fn every_route_compares_passwords_of_nobody() {
    let server = TestServer::start().await;
    sign_up(&server.anonymous(), "ann").await;
    let client = server.anonymous();
    let linked = client.post("/users", json!({"authData": {"anonymous": {"id": "x"}}})).await.ok();
    let linked = linked["username"].as_str().unwrap();
    let median = async |path: &str, name: &str| -> Duration {
        let mut times = Vec::new();
        for _ in 0..7 {
            let body = json!({"username": name, "password": "wrong", "challengeData": {"mfa": {}}});
            let start = Instant::now();
            assert_eq!(client.post(path, body).await.error().1, 101);
            times.push(start.elapsed());
        }
        times.sort();
        times[times.len() / 2]
    };
    for path in ["/verifyPassword", "/challenge"] {
        let known = median(path, "ann").await;
        for name in ["nobody", linked] {
            let other = median(path, name).await;
            let ratio = known.as_secs_f64() / other.as_secs_f64();
            assert!((0.3..3.3).contains(&ratio), "{path} {name}: known {known:?}, other {other:?}");
        }
    }
}
