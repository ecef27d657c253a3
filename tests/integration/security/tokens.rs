//! Tokens are texts: of sessions, of reset and verification links, of installations. An operator, a
//! list or a number in their place must find nobody.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{APP_ID, Client, TestServer};
use crate::users_sign_up::sign_up;

/// Links that lead to a server whose mails go nowhere: tokens are read from the database.
pub fn with_mail(more: Value) -> Value {
    let mut options = json!({
        "appName": "Test", "publicServerURL": "http://127.0.0.1:1/parse", "verifyUserEmails": true,
        "emailAdapter": {"module": "smtp", "options": {"host": "127.0.0.1", "port": 9, "from": "a@example.org", "tls": "none"}},
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

/// The only user's column of that name.
pub async fn token_of(server: &TestServer, column: &str) -> Option<String> {
    let database = server.database().connect().await;
    let sql = format!(r#"SELECT "{column}"::text FROM "_User""#);
    database.query_one(&sql, &[]).await.unwrap().get(0)
}

async fn page(client: &Client, path: &str, fields: &[(&str, &str)], xhr: bool) -> (u16, String) {
    let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut headers = vec![("Content-Type", "application/x-www-form-urlencoded")];
    if xhr {
        headers.push(("X-Requested-With", "XMLHttpRequest"));
    }
    let answer = client.send_with(Method::POST, path, Some(body.into()), &headers).await;
    (answer.status, answer.text)
}

/// Sets a password through the page behind a reset link.
pub async fn reset(client: &Client, token: &str, password: &str) -> (u16, String) {
    let path = format!("/apps/{APP_ID}/request_password_reset");
    page(client, &path, &[("token", token), ("new_password", password)], true).await
}

fn odd_values() -> Vec<Value> {
    vec![
        json!({"$ne": "x"}),
        json!({"$regex": "^"}),
        json!({"$exists": true}),
        json!({"$in": ["a"]}),
        json!(["x"]),
        json!([]),
        json!({}),
        json!(5),
        json!(true),
        json!({"__op": "Delete"}),
    ]
}

#[actix_web::test]
async fn reset_and_verification_tokens_are_texts() {
    let server = TestServer::with(with_mail(json!({}))).await;
    sign_up(&server.anonymous(), "ann").await;
    let client = server.anonymous();
    client.post("/requestPasswordReset", json!({"email": "ann@example.org"})).await.ok();
    let token = token_of(&server, "_perishable_token").await.unwrap();
    for value in odd_values() {
        let answer = client.post("/requestPasswordReset", json!({"token": value})).await;
        assert!((400..500).contains(&answer.status), "{value} {}", answer.text);
        let answer = client.post("/requestPasswordReset", json!({"email": value})).await;
        assert!((400..500).contains(&answer.status), "{value} {}", answer.text);
        let answer = client.post("/verificationEmailRequest", json!({"email": value})).await;
        assert!((400..500).contains(&answer.status), "{value} {}", answer.text);
        let json = json!({"token": value, "new_password": "stolen", "username": "ann"}).to_string();
        let path = format!("/apps/{APP_ID}/request_password_reset");
        let xhr = [("Content-Type", "application/json"), ("X-Requested-With", "XMLHttpRequest")];
        let answer = client.send_with(Method::POST, &path, Some(json.into()), &xhr).await;
        assert!(answer.status < 500, "{value} {}", answer.text);
    }
    for query in [
        "token[$ne]=x",
        "token[$regex]=^",
        "token[]=x",
        "token=",
        "token=%00",
        "token[%24exists]=true",
        "token=x&token[$ne]=y",
        "username=ann",
        "",
    ] {
        for page in ["verify_email", "request_password_reset"] {
            let answer = client.get(&format!("/apps/{APP_ID}/{page}?{query}")).await;
            assert!(answer.status < 500, "{page} {query} {}", answer.text);
        }
        let path = format!("/apps/{APP_ID}/request_password_reset?{query}");
        let (status, _) = page(&client, &path, &[("new_password", "stolen")], true).await;
        assert!(status < 500, "{query}");
    }
    for guess in ["", "x", "%", "_", "' OR ''='", &token[..24], &format!("{token} "), &token.to_lowercase()] {
        let (status, text) = reset(&client, guess, "stolen").await;
        assert_ne!((status, text.as_str()), (200, "\"Password successfully reset\""), "{guess}");
    }
    for password in ["stolen", ""] {
        assert_ne!(client.post("/login", json!({"username": "ann", "password": password})).await.status, 200);
    }
    let user = server.master().find("_User", json!({})).await.ok()["results"][0].clone();
    assert_eq!(user["emailVerified"], false);
    // The right ones work, once.
    let verify = token_of(&server, "_email_verify_token").await.unwrap();
    client.get(&format!("/apps/{APP_ID}/verify_email?token={verify}")).await;
    let user = server.master().find("_User", json!({})).await.ok()["results"][0].clone();
    assert_eq!(user["emailVerified"], true);
    assert_eq!(reset(&client, &token, "fresh").await, (200, "\"Password successfully reset\"".to_owned()));
    client.post("/login", json!({"username": "ann", "password": "fresh"})).await.ok();
    assert_eq!(reset(&client, &token, "again").await.0, 400);
}

#[actix_web::test]
async fn credentials_are_texts() {
    let server = TestServer::start().await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    let client = server.anonymous();
    for value in odd_values() {
        let second_factor = json!({"username": "ann", "password": "secret", "authData": {"mfa": value}});
        let answer = client.post("/login", second_factor).await;
        assert!((400..500).contains(&answer.status) || value == json!([]), "{value} {}", answer.text);
        for body in [
            json!({"username": value, "password": "secret"}),
            json!({"email": value, "password": "secret"}),
            json!({"username": "ann", "password": value}),
            json!({"username": {"$or": [value]}, "password": {"$exists": true}}),
        ] {
            for path in ["/login", "/verifyPassword"] {
                let answer = client.post(path, body.clone()).await;
                assert!((400..500).contains(&answer.status), "{path} {body} {}", answer.text);
            }
            let answer = client.post("/challenge", body.clone()).await;
            assert!((400..500).contains(&answer.status), "{body} {}", answer.text);
        }
        for body in [
            json!({"authData": {"anonymous": {"id": value}}}),
            json!({"authData": value}),
            json!({"username": value, "password": "secret"}),
            json!({"username": "new", "password": value}),
        ] {
            let answer = client.post("/users", body.clone()).await;
            assert!((400..500).contains(&answer.status), "{body} {}", answer.text);
        }
        // Without an id it is a new user's, never one that exists.
        let nobodys = client.post("/users", json!({"authData": {"anonymous": value}})).await;
        assert!(nobodys.status == 201 || (400..500).contains(&nobodys.status), "{value} {}", nobodys.text);
        let answer = server.master().post("/loginAs", json!({"userId": value})).await;
        assert!((400..500).contains(&answer.status), "{value} {}", answer.text);
        // What the JavaScript SDK puts into the body.
        for key in ["_SessionToken", "_InstallationId", "_MasterKey", "_ApplicationId", "_ContentType"] {
            let mut body = json!({"_ApplicationId": APP_ID, "_method": "GET"});
            body[key] = value.clone();
            let answer = server.client(&[]).post("/users/me", body).await;
            assert!((400..500).contains(&answer.status), "{key} {value} {}", answer.text);
        }
        let object = json!({"installationId": value, "deviceType": "ios"});
        let answer = client.post("/installations", object).await;
        assert!(answer.status < 500, "{value} {}", answer.text);
    }
    for query in
        ["username[$ne]=x&password=secret", "username=ann&password[$ne]=x", "username[]=ann&password=secret"]
    {
        for path in ["/login", "/verifyPassword"] {
            let answer = client.get(&format!("{path}?{query}")).await;
            assert!((400..500).contains(&answer.status), "{path}?{query} {}", answer.text);
        }
    }
    // A session is found by its whole token, as it is.
    for other in [token.to_uppercase(), format!("{token} "), token[..33].to_owned(), format!("{token}%")] {
        let answer = server.session(other.trim_end()).get("/users/me").await;
        assert!(other.trim_end() == token || answer.status == 400, "{other} {}", answer.text);
    }
    assert_eq!(server.session(&token).get("/users/me").await.ok()["username"], "ann");
    assert_eq!(client.post("/login", json!({"username": "ann", "password": "secret"})).await.status, 200);
}

/// One installation's session must not be pushed out, or taken over, by naming it.
#[actix_web::test]
async fn an_installation_is_no_credential() {
    let server = TestServer::start().await;
    sign_up(&server.anonymous(), "ann").await;
    sign_up(&server.anonymous(), "bob").await;
    let device = [("X-Parse-Application-Id", APP_ID), ("X-Parse-Installation-Id", "device")];
    let login = |name: &str| json!({"username": name, "password": "secret"});
    let ann = server.client(&device).post("/login", login("ann")).await.ok();
    let ann = ann["sessionToken"].as_str().unwrap();
    // Another user on the same device leaves the first one's session alone; a failed login too.
    server.client(&device).post("/login", login("bob")).await.ok();
    server.client(&device).post("/login", json!({"username": "ann", "password": "x"})).await;
    assert_eq!(server.session(ann).get("/users/me").await.status, 200);
    assert_eq!(server.client(&device).get("/users/me").await.status, 400);
    assert_eq!(server.client(&device).get("/sessions").await.status, 400);
    // The user himself replaces it.
    server.client(&device).post("/login", login("ann")).await.ok();
    assert_eq!(server.session(ann).get("/users/me").await.error().1, 209);
}

/// What only a known address costs must not show in the time of the answer.
#[actix_web::test]
async fn answers_about_addresses_take_their_time() {
    let server = TestServer::with(with_mail(json!({}))).await;
    sign_up(&server.anonymous(), "ann").await;
    for path in ["/requestPasswordReset", "/verificationEmailRequest"] {
        for address in ["ann@example.org", "nobody@example.org"] {
            let begun = std::time::Instant::now();
            let answer = server.anonymous().post(path, json!({"email": address})).await.ok();
            assert_eq!(answer, json!({}));
            assert!(begun.elapsed().as_millis() >= 80, "{path} {address} {:?}", begun.elapsed());
        }
    }
}
