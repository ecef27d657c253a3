//! What the log tells of who did what, and that it tells no secret, however talkative it is.

use parsimony::config::AppConfig;
use reqwest::Method;
use serde_json::{Value, json};

use super::tokens::{reset, token_of, with_mail};
use crate::support::server::{APP_ID, MASTER_KEY, TestServer};
use crate::users_auth_data::{SECRET, totp};

const READ_ONLY: &str = "a-read-only-key-of-the-test";

async fn log(server: &TestServer) -> Vec<Value> {
    server.master().get("/scriptlog?size=5000&order=asc").await.ok().as_array().unwrap().clone()
}

#[actix_web::test]
async fn the_log_tells_events_and_no_secrets() {
    parsimony::logging::init(&AppConfig::for_tests(json!({"logLevel": "silly", "logsFolder": null})).logging);
    let server = TestServer::with(with_mail(json!({
        "logLevel": "silly", "verbose": true, "readOnlyMasterKey": READ_ONLY,
        "maintenanceKey": "refused-maintenance-key", "maintenanceKeyIps": ["10.9.8.7"],
        "accountLockout": {"duration": 5, "threshold": 2}, "auth": {"mfa": {"options": ["TOTP"]}},
        "protectedFieldsOwnerExempt": true,
    })))
    .await;
    let client = server.anonymous();
    let body = json!({"username": "nameofann", "password": "passwordofann", "email": "ann@mail.example"});
    let created = client.post("/users", body).await.ok();
    let id = created["objectId"].as_str().unwrap().to_owned();
    let mut secrets = vec![
        "passwordofann".to_owned(),
        "wrongpassword".to_owned(),
        "freshpassword".to_owned(),
        "typedbymistake".to_owned(),
        created["sessionToken"].as_str().unwrap().to_owned(),
        READ_ONLY.to_owned(),
        "refused-maintenance-key".to_owned(),
        format!("\"{MASTER_KEY}\""),
        SECRET.to_owned(),
        "$2b$".to_owned(),
    ];
    let session = server.session(created["sessionToken"].as_str().unwrap());
    secrets.push(token_of(&server, "_email_verify_token").await.unwrap());
    // Logins, right and wrong, of somebody and of nobody.
    let login = async |name: &str, password: &str| {
        client.post("/login", json!({"username": name, "password": password})).await
    };
    login("typedbymistake", "wrongpassword").await;
    let logged_in = login("nameofann", "passwordofann").await.ok();
    secrets.push(logged_in["sessionToken"].as_str().unwrap().to_owned());
    client.get("/login?username=nameofann&password=wrongpassword").await;
    client.get("/verifyPassword?username=nameofann&password=wrongpassword").await;
    login("nameofann", "wrongpassword").await;
    // A second factor and its recovery codes.
    let mfa = json!({"authData": {"mfa": {"secret": SECRET, "token": totp()}}});
    let linked = session.put(&format!("/users/{id}"), mfa).await.ok();
    let codes = linked["authDataResponse"]["mfa"]["recovery"].as_str().unwrap();
    secrets.extend(codes.split(", ").map(str::to_owned));
    // A forgotten password.
    client.post("/requestPasswordReset", json!({"email": "ann@mail.example"})).await.ok();
    let token = token_of(&server, "_perishable_token").await.unwrap();
    secrets.push(token.clone());
    client.get(&format!("/apps/{APP_ID}/request_password_reset?token={token}")).await;
    assert_eq!(reset(&client, &token, "freshpassword").await.0, 200);
    // What the master does.
    let impersonated = server.master().post("/loginAs", json!({"userId": id})).await.ok();
    secrets.push(impersonated["sessionToken"].as_str().unwrap().to_owned());
    let role = server.master().post("/roles", json!({"name": "staff", "ACL": {}})).await.ok();
    let role = format!("/roles/{}", role["objectId"].as_str().unwrap());
    server.master().put(&role, json!({"x": 1})).await.ok();
    server.master().delete(&role).await.ok();
    server.master().post("/schemas", json!({"className": "Made"})).await.ok();
    server.master().put("/schemas/Made", json!({"classLevelPermissions": {"find": {}}})).await.ok();
    server.master().put("/schemas/Made", json!({"fields": {"a": {"type": "String"}}})).await.ok();
    server.master().delete("/purge/Made").await.ok();
    server.master().delete("/schemas/Made").await.ok();
    server.master().put("/config", json!({"params": {"a": 1}})).await.ok();
    // Keys that are refused.
    let read_only = server.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", READ_ONLY)]);
    assert_eq!(read_only.post("/classes/Made", json!({})).await.error().1, 119);
    let maintenance =
        [("X-Parse-Application-Id", APP_ID), ("X-Parse-Maintenance-Key", "refused-maintenance-key")];
    assert_eq!(server.client(&maintenance).get("/classes/Made").await.status, 403);
    // The same secrets where requests go wrong.
    let text =
        format!(r#"{{"username": "nameofann", "password": "passwordofann" "sessionToken": "{token}"}}"#);
    client.send(Method::POST, "/login", Some(text.into())).await;
    let sdk =
        json!({"_ApplicationId": APP_ID, "_SessionToken": impersonated["sessionToken"], "_MasterKey": 5});
    server.client(&[]).post("/users/me", sdk).await;
    let token = impersonated["sessionToken"].as_str().unwrap();
    server.session(token).get("/users/me?sessionToken=x").await;
    server.session(token).post("/logout", json!({})).await.ok();
    server.session(token).get("/users/me").await;

    let lines = log(&server).await;
    let count = |event: &str, subject: &str| {
        lines.iter().filter(|line| line["event"] == event && line["subject"] == subject).count()
    };
    for (event, subject, least) in [
        ("login_failed", "an unknown user", 1),
        ("login_failed", id.as_str(), 2),
        ("account_locked", &id, 1),
        ("login_while_locked", &id, 1),
        ("session_created", &id, 3),
        ("session_revoked", &id, 2),
        ("password_reset_requested", &id, 1),
        ("password_reset_used", &id, 1),
        ("password_changed", &id, 1),
        ("login_as", &id, 1),
        ("class_created", "Made", 1),
        ("permissions_changed", "Made", 1),
        ("class_changed", "Made", 1),
        ("class_purged", "Made", 1),
        ("class_deleted", "Made", 1),
        ("config_changed", "_GlobalConfig", 1),
        ("key_refused", "maintenanceKeyIps", 1),
        ("read_only_key_refused", "/classes/:className", 1),
    ] {
        assert!(count(event, subject) >= least, "{event} of {subject}: {}", count(event, subject));
    }
    for event in ["role_created", "role_changed", "role_deleted"] {
        assert!(lines.iter().any(|line| line["event"] == event && line["by"] == "master key"), "{event}");
    }
    let login_as = lines.iter().find(|line| line["event"] == "login_as").unwrap();
    assert_eq!((login_as["by"].as_str(), login_as["ip"].as_str()), (Some("master key"), Some("127.0.0.1")));
    // Not in these lines, and not in any other.
    assert!(lines.len() > 30, "the log is talkative: {}", lines.len());
    for line in &lines {
        let text = line.to_string();
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
        if line["event"].is_string() {
            assert!(!text.contains("mail.example") && !text.contains("nameofann"), "{text}");
        }
    }
}
