//! What can be used once is used once, and what is unique stays so, however many try at a time.

use futures_util::future::join_all;
use serde_json::json;

use super::tokens::{reset, token_of, with_mail};
use crate::support::server::TestServer;
use crate::users_auth_data::with_mfa;
use crate::users_sign_up::sign_up;

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

/// Names that differ by case only are the same name; the index on names does not know that.
#[actix_web::test]
async fn one_of_many_spellings_wins() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let body = |n: usize, key: &str| {
        let text: String = "anna"
            .chars()
            .enumerate()
            .map(|(i, c)| if n >> i & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        match key {
            "username" => json!({"username": text, "password": "secret"}),
            _ => {
                json!({"username": format!("user{n}"), "password": "secret", "email": format!("{text}@example.org")})
            }
        }
    };
    let database = server.database().connect().await;
    for (key, code, tries) in [("username", 202, 16), ("email", 203, 8)] {
        crate::support::wait::until_some("the index is there", async || {
            let sql =
                format!("SELECT 1 FROM pg_indexes WHERE indexname = 'parsimony_User_spelling_unique_{key}'");
            (!database.query(&sql, &[]).await.unwrap().is_empty()).then_some(())
        })
        .await;
        let answers = join_all((0..tries).map(|n| client.post("/users", body(n, key)))).await;
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert_eq!(won.len(), 1, "{key}");
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert!([code, 202].contains(&answer.error().1), "{}", answer.text);
        }
    }
}

/// Not a hundred users for one provider's id: neither by signing up nor by linking.
#[actix_web::test]
async fn an_id_of_a_provider_is_one_users() {
    let server = TestServer::start().await;
    let database = server.database().connect().await;
    crate::support::wait::until_some("the index is there", async || {
        let sql = "SELECT 1 FROM pg_indexes WHERE indexname = '_User_unique_authData_anonymous_id'";
        (!database.query(sql, &[]).await.unwrap().is_empty()).then_some(())
    })
    .await;
    let mut users = Vec::new();
    for n in 0..10 {
        users.push(sign_up(&server.anonymous(), &format!("user{n}")).await);
    }
    let data = json!({"authData": {"anonymous": {"id": "one"}}});
    let linked = join_all(users.iter().map(|(id, token)| {
        let (session, data) = (server.session(token), data.clone());
        async move { session.put(&format!("/users/{id}"), data).await }
    }))
    .await;
    assert_eq!(linked.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in linked.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.error().1, 208, "{}", answer.text);
    }
    let client = server.anonymous();
    let answers = join_all((0..TRIES).map(|_| client.post("/users", data.clone()))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "all are that user");
    assert_eq!(server.master().get("/users?count=1&limit=0").await.ok()["count"], 10);
}

#[actix_web::test]
async fn a_reset_link_sets_one_password() {
    let server = TestServer::with(with_mail(json!({}))).await;
    let (_, old) = sign_up(&server.anonymous(), "ann").await;
    let client = server.anonymous();
    client.post("/requestPasswordReset", json!({"email": "ann@example.org"})).await.ok();
    let token = token_of(&server, "_perishable_token").await.unwrap();
    let passwords: Vec<String> = (0..30).map(|n| format!("password{n}")).collect();
    let answers = join_all(passwords.iter().map(|password| reset(&client, &token, password))).await;
    let won: Vec<usize> = (0..answers.len()).filter(|n| answers[*n].0 == 200).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert_eq!(token_of(&server, "_perishable_token").await, None);
    // The winner's password is the one, and the sessions from before are over.
    client.post("/login", json!({"username": "ann", "password": passwords[won[0]]})).await.ok();
    assert_eq!(client.post("/login", json!({"username": "ann", "password": "secret"})).await.error().1, 101);
    assert_eq!(server.session(&old).get("/users/me").await.error().1, 209);
}

#[actix_web::test]
async fn one_role_of_a_name() {
    let server = TestServer::start().await;
    let client = server.master();
    let role = json!({"name": "staff", "ACL": {}});
    let answers = join_all((0..TRIES).map(|_| client.post("/roles", role.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().filter(|answer| answer.status != 201).all(|answer| answer.error().1 == 137));
}
