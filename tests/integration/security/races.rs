//! What can be used once is used once, and what is unique stays so, however many try at a time.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::server::TestServer;
use crate::users_auth_data::with_mfa;

const TRIES: usize = 100;

#[actix_web::test]
async fn one_of_a_hundred_sign_ups_wins() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let body = json!({"username": "ann", "password": "secret", "email": "ann@example.org"});
    let answers = join_all((0..TRIES).map(|_| client.post("/users", body.clone()))).await;
    let won = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(won, 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert!(matches!(answer.error().1, 202 | 203), "{}", answer.text);
    }
    assert_eq!(server.master().get("/users?count=1&limit=0").await.ok()["count"], 1);
}

#[actix_web::test]
async fn one_of_many_anonymous_sign_ups_makes_the_user() {
    let server = TestServer::start().await;
    // The unique index on the provider's ids is built while requests are served already.
    let database = server.database().connect().await;
    crate::support::wait::until_some("the index is there", async || {
        let sql = "SELECT 1 FROM pg_indexes WHERE indexname = '_User_unique_authData_anonymous_id'";
        (!database.query(sql, &[]).await.unwrap().is_empty()).then_some(())
    })
    .await;
    let client = server.anonymous();
    let body = json!({"authData": {"anonymous": {"id": "device"}}});
    let answers = join_all((0..30).map(|_| client.post("/users", body.clone()))).await;
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 201) || answer.error().1 == 208, "{}", answer.text);
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(server.master().get("/users?count=1&limit=0").await.ok()["count"], 1);
}

#[actix_web::test]
async fn a_recovery_code_is_burned_once() {
    let (server, _, _, codes) = with_mfa().await;
    let client = server.anonymous();
    let body = json!({"username": "ann", "password": "secret", "authData": {"mfa": {"token": codes[0]}}});
    let answers = join_all((0..20).map(|_| client.post("/login", body.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.error().1, 141, "{}", answer.text);
    }
    // The other one is still good.
    let other = json!({"username": "ann", "password": "secret", "authData": {"mfa": {"token": codes[1]}}});
    client.post("/login", other).await.ok();
}

#[actix_web::test]
async fn parallel_guesses_do_not_slip_past_the_lockout() {
    let server = TestServer::with(json!({"accountLockout": {"duration": 5, "threshold": 3}})).await;
    crate::users_sign_up::sign_up(&server.anonymous(), "ann").await;
    let client = server.anonymous();
    let wrong = json!({"username": "ann", "password": "x"});
    let answers = join_all((0..20).map(|_| client.post("/login", wrong.clone()))).await;
    let plain = answers.iter().filter(|answer| answer.error().2 == "Invalid username/password.").count();
    assert!(plain <= 3, "{plain} guesses were answered");
    let right = client.post("/login", json!({"username": "ann", "password": "secret"})).await;
    assert!(right.error().2.starts_with("Your account is locked"), "{}", right.text);
}
