//! Rate limits, lockout and password policy.

use serde_json::{Value, json};

use crate::support::server::{APP_ID, MASTER_KEY, TestServer};
use crate::users_auth_data::{SECRET, totp};
use crate::users_sign_up::sign_up;

fn rule(extra: Value) -> Value {
    let mut rule = json!({
        "requestPath": "/functions/*path", "requestTimeWindow": 600_000, "requestCount": 2,
        "includeInternalRequests": true,
    });
    rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({ "rateLimit": [rule] })
}

#[actix_web::test]
async fn too_many_requests() {
    let server = TestServer::with(rule(json!({"errorResponseMessage": "Slow down"}))).await;
    let client = server.anonymous();
    let call = async || client.post("/functions/nothing", json!({})).await;
    let first = call().await;
    assert_eq!(first.error().1, 141);
    assert_eq!(
        (&first.headers["x-ratelimit-limit"], &first.headers["x-ratelimit-remaining"]),
        (&json!("2"), &json!("1"))
    );
    assert!(first.headers["x-ratelimit-reset"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    assert!(!first.headers.contains_key("retry-after"));
    call().await;
    let third = call().await;
    assert_eq!(third.error(), (429, 100, "Slow down"));
    assert_eq!(third.headers["x-ratelimit-remaining"], "0");
    assert!((1..=600).contains(&third.headers["retry-after"].as_str().unwrap().parse::<u64>().unwrap()));
    assert_eq!(client.get("/classes/A").await.status, 200);
    assert!(
        !server
            .master()
            .post("/functions/nothing", json!({}))
            .await
            .headers
            .contains_key("x-ratelimit-limit")
    );
}

#[actix_web::test]
async fn items_of_a_batch_count_each() {
    let server =
        TestServer::with(rule(json!({"requestPath": "/classes/*path", "requestMethods": "POST"}))).await;
    let item = json!({"method": "POST", "path": "/parse/classes/A", "body": {}});
    let batch = |count: usize| json!({ "requests": vec![item.clone(); count] });
    let three = server.anonymous().post("/batch", batch(3)).await;
    assert_eq!(three.error(), (400, 100, "Too many requests."));
    assert_eq!(server.master().get("/classes/A").await.ok()["results"], json!([]));
    assert_eq!(server.anonymous().post("/classes/A", json!({})).await.status, 429);
    let read = json!({"requests": [{"method": "GET", "path": "/parse/classes/A", "body": {}}]});
    assert_eq!(server.anonymous().post("/batch", read).await.status, 400);
    assert_eq!(server.master().post("/batch", batch(3)).await.status, 200);
}

/// Its owner counts, whether the class is there or not.
#[actix_web::test]
async fn a_rule_may_name_a_class() {
    let server = TestServer::with(rule(json!({"requestPath": "/classes/Counted"}))).await;
    let (client, master) = (server.anonymous(), server.master());
    assert_ne!(client.get("/classes/Counted").await.status, 429);
    master.post("/classes/Counted", json!({})).await.ok();
    assert_eq!(client.get("/classes/Counted").await.status, 200);
    assert_eq!(client.get("/classes/Counted").await.status, 429);
    master.delete("/purge/Counted").await.ok();
    master.delete("/schemas/Counted").await.ok();
    for path in ["/classes/Counted", "/classes/counted/", "/classes/%43ounted"] {
        assert_eq!(client.get(path).await.status, 429, "{path}");
    }
    assert_ne!(client.get("/classes/Other").await.status, 429);
}

#[actix_web::test]
async fn users_and_sessions_have_zones_of_their_own() {
    for zone in ["user", "session"] {
        let server = TestServer::with(rule(json!({"zone": zone}))).await;
        let (_, ann) = sign_up(&server.anonymous(), "ann").await;
        let (_, bob) = sign_up(&server.anonymous(), "bob").await;
        let login =
            server.anonymous().post("/login", json!({"username": "ann", "password": "secret"})).await.ok();
        let again = login["sessionToken"].as_str().unwrap();
        let status = async |token: &str| server.session(token).post("/functions/x", json!({})).await.status;
        assert_eq!((status(&ann).await, status(&ann).await, status(&ann).await), (400, 400, 429));
        assert_eq!(status(&bob).await, 400);
        assert_eq!(status(again).await, if zone == "user" { 429 } else { 400 }, "{zone}");
        // Tokens that are nobody's share the bucket of their address.
        let made_up: Vec<u16> = vec![status("r:1").await, status("r:2").await, status("r:3").await];
        assert_eq!(made_up, [400, 400, 429], "{zone}");
    }
}

#[actix_web::test]
async fn masters_can_be_limited_too() {
    let server =
        TestServer::with(rule(json!({"includeMasterKey": true, "zone": "global", "requestCount": 1}))).await;
    let master = server.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", MASTER_KEY)]);
    assert_eq!(master.post("/functions/x", json!({})).await.status, 400);
    assert_eq!(master.post("/functions/x", json!({})).await.status, 429);
}

#[actix_web::test]
async fn too_many_wrong_passwords_lock_the_account() {
    let server = TestServer::with(json!({"accountLockout": {"duration": 5, "threshold": 2}})).await;
    sign_up(&server.anonymous(), "ann").await;
    let login = async |password: &str| {
        server.anonymous().post("/login", json!({"username": "ann", "password": password})).await
    };
    assert_eq!(login("x").await.error(), (404, 101, "Invalid username/password."));
    login("secret").await.ok();
    assert_eq!(login("x").await.error(), (404, 101, "Invalid username/password."));
    assert_eq!(login("x").await.error(), (404, 101, "Invalid username/password."));
    let locked =
        "Your account is locked due to multiple failed login attempts. Please try again after 5 minute(s)";
    assert_eq!(login("x").await.error(), (404, 101, locked));
    assert_eq!(login("secret").await.error(), (404, 101, locked));
}

/// The password alone does not end the count: whoever knows it would guess at the second factor for ever.
#[actix_web::test]
async fn wrong_second_factors_lock_the_account() {
    let options =
        json!({"accountLockout": {"duration": 5, "threshold": 2}, "auth": {"mfa": {"options": ["TOTP"]}}});
    let server = TestServer::with(options).await;
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let mfa = json!({"authData": {"mfa": {"secret": SECRET, "token": totp()}}});
    server.session(&token).put(&format!("/users/{id}"), mfa).await.ok();
    let client = server.anonymous();
    let login = async |code: &str| {
        let body = json!({"username": "ann", "password": "secret", "authData": {"mfa": {"token": code}}});
        client.post("/login", body).await
    };
    let wrong = (400, 141, "Invalid MFA token");
    assert_eq!(login("0").await.error(), wrong);
    login(&totp()).await.ok();
    assert_eq!(login("0").await.error(), wrong);
    // Other doors that take the password, and logins that bring no code, change nothing.
    client.get("/verifyPassword?username=ann&password=secret").await.ok();
    let without = client.post("/login", json!({"username": "ann", "password": "secret"})).await;
    assert_eq!(without.error(), (400, -1, "Missing additional authData mfa"));
    assert_eq!(login("0").await.error(), wrong);
    let locked =
        "Your account is locked due to multiple failed login attempts. Please try again after 5 minute(s)";
    assert_eq!(login("0").await.error(), (404, 101, locked));
    assert_eq!(login(&totp()).await.error(), (404, 101, locked));
    assert_eq!(client.get("/verifyPassword?username=ann&password=secret").await.error(), (404, 101, locked));
}

/// A pattern that looks ahead from any place would be tried from each of them.
#[actix_web::test]
async fn very_long_passwords_fit_no_pattern() {
    let server =
        TestServer::with(json!({"passwordPolicy": {"validatorPattern": "(?=.*[0-9])(?=.*[a-z])"}})).await;
    let sign = async |password: String| {
        server.anonymous().post("/users", json!({"username": "ann", "password": password})).await
    };
    let text = "Password does not meet the Password Policy requirements.";
    for password in ["a".repeat(1_000_000), "a1".repeat(500_000), "a".repeat(1_000)] {
        assert_eq!(sign(password).await.error(), (400, 142, text));
    }
    sign("a1".repeat(1_000)).await.ok();
}

#[actix_web::test]
async fn passwords_follow_the_policy() {
    let options = json!({"passwordPolicy": {
        "validatorPattern": "^.{4,}$", "validationError": "Too short", "doNotAllowUsername": true,
        "maxPasswordHistory": 2, "maxPasswordAge": 1,
    }});
    let server = TestServer::with(options).await;
    let sign = async |password: &str| {
        server.anonymous().post("/users", json!({"username": "ann", "password": password})).await
    };
    assert_eq!(sign("abc").await.error(), (400, 142, "Too short"));
    assert_eq!(sign("xannx").await.error(), (400, 142, "Password cannot contain your username."));
    let created = sign("first").await.ok();
    let path = format!("/users/{}", created["objectId"].as_str().unwrap());
    let change = async |password: &str| server.master().put(&path, json!({"password": password})).await;
    assert_eq!(change("joannx").await.error(), (400, 142, "Password cannot contain your username."));
    let repeated = "New password should not be the same as last 2 passwords.";
    assert_eq!(change("first").await.error(), (400, 142, repeated));
    change("second").await.ok();
    assert_eq!(change("first").await.error(), (400, 142, repeated));
    change("third").await.ok();
    change("first").await.ok();
    let login = json!({"username": "ann", "password": "first"});
    assert_eq!(server.anonymous().post("/login", login.clone()).await.status, 200);
    let age = r#"UPDATE "_User" SET "_password_changed_at" = now() - interval '2 days'"#;
    server.database().connect().await.batch_execute(age).await.unwrap();
    let expired = server.anonymous().post("/login", login).await;
    assert_eq!(expired.error(), (404, 101, "Your password has expired. Please reset your password."));
}
