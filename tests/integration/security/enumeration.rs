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
