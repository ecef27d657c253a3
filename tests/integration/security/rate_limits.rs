//! Ways around a rate limit: other methods and spellings of the same route, and proxies on the same machine.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::tokens::with_mail;
use crate::support::server::{APP_ID, TestServer};

async fn limited(path: &str, extra: Value, options: Value) -> TestServer {
    let mut rule = json!({"requestPath": path, "requestTimeWindow": 600_000, "requestCount": 2});
    rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut all = json!({ "rateLimit": [rule] });
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    TestServer::with(all).await
}

/// Method, path below the mount, further headers, body.
type Request<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], Value);

/// The statuses of requests, in turn.
async fn statuses(server: &TestServer, requests: &[Request<'_>]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (method, path, headers, body) in requests {
        let url = server.url(&format!("/parse{path}"));
        let mut request = Client::new().request(method.clone(), url).header("X-Parse-Application-Id", APP_ID);
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    statuses
}

#[actix_web::test]
async fn every_spelling_of_a_sign_in_counts() {
    let guess = "/login?username=a&password=b";
    for (method, path, body) in [
        (Method::HEAD, guess, Value::Null),
        (Method::GET, "/LogIn/?username=a&password=b", Value::Null),
        (Method::GET, "//login?username=a&password=b", Value::Null),
        (Method::POST, "/login", json!({"_method": "head", "username": "a", "password": "b"})),
        (Method::POST, "/login", json!({"_method": "HEAD", "username": "a", "password": "b"})),
        (Method::POST, "/login", json!({"_method": "get", "username": "a", "password": "b"})),
    ] {
        let rule = json!({"requestMethods": "GET", "includeInternalRequests": true});
        let server = limited("/login", rule, json!({})).await;
        let request = (method.clone(), path, &[][..], body.clone());
        let again = vec![request.clone(), request.clone(), request];
        assert_eq!(statuses(&server, &again).await, [404, 404, 429], "{method} {path} {body}");
    }
}

#[actix_web::test]
async fn escaped_slashes_are_counted_too() {
    let server = limited("/classes/A/:id", json!({"includeInternalRequests": true}), json!({})).await;
    let request = |path| (Method::GET, path, &[][..], Value::Null);
    let sent = [request("/classes/A/x"), request("/classes/%41/x%2Fy"), request("/classes/A/x%2fz")];
    assert_eq!(*statuses(&server, &sent).await.last().unwrap(), 429);
}

#[actix_web::test]
async fn whoever_comes_through_a_proxy_is_not_internal() {
    let by =
        |headers: &'static [(&'static str, &'static str)]| (Method::GET, "/classes/A", headers, Value::Null);
    let server = limited("/classes/*path", json!({}), json!({})).await;
    // This machine itself is.
    assert_eq!(statuses(&server, &[by(&[]), by(&[]), by(&[])]).await, [200, 200, 200]);
    for headers in [
        &[("X-Forwarded-For", "203.0.113.7")][..],
        &[("X-Forwarded-For", "127.0.0.1")],
        &[("Forwarded", "for=203.0.113.7")],
        &[("X-Real-IP", "203.0.113.7")],
        &[("Via", "1.1 proxy")],
    ] {
        let server = limited("/classes/*path", json!({}), json!({})).await;
        assert_eq!(statuses(&server, &[by(headers), by(headers), by(headers)]).await, [200, 200, 429]);
    }
}

#[actix_web::test]
async fn behind_a_trusted_proxy_each_client_counts_alone() {
    let server = limited("/classes/*path", json!({}), json!({"trustProxy": true})).await;
    let by =
        |headers: &'static [(&'static str, &'static str)]| (Method::GET, "/classes/A", headers, Value::Null);
    let one = || by(&[("X-Forwarded-For", "203.0.113.7")]);
    let other = || by(&[("X-Forwarded-For", "203.0.113.8")]);
    assert_eq!(
        statuses(&server, &[one(), one(), one(), other(), other(), other()]).await,
        [200, 200, 429, 200, 200, 429]
    );
    // An address that only its proxy can have.
    let liar = || by(&[("X-Forwarded-For", "127.0.0.1")]);
    assert_eq!(statuses(&server, &[liar(), liar(), liar()]).await, [200, 200, 429]);
    // Whoever has a network of IPv6 has one bucket.
    let sent = [
        by(&[("X-Forwarded-For", "2001:db8::1")]),
        by(&[("X-Forwarded-For", "2001:db8::2")]),
        by(&[("X-Forwarded-For", "2001:db8:0:0:ffff::3")]),
        by(&[("X-Forwarded-For", "2001:db8:0:1::3")]),
    ];
    assert_eq!(statuses(&server, &sent).await, [200, 200, 429, 200]);
}

#[actix_web::test]
async fn a_batch_through_a_proxy_counts_each_of_its_requests() {
    let server = limited("/login", json!({}), json!({})).await;
    let guess =
        json!({"method": "POST", "path": "/parse/login/", "body": {"username": "a", "password": "b"}});
    let batch = json!({"requests": [guess, guess, guess]});
    let through = (Method::POST, "/batch", &[("X-Forwarded-For", "203.0.113.7")][..], batch.clone());
    assert_eq!(statuses(&server, &[through]).await, [400]);
    // Nothing of it ran, but it was counted.
    let alone = json!({"username": "a", "password": "b"});
    let next = (Method::POST, "/login", &[("X-Forwarded-For", "203.0.113.7")][..], alone);
    assert_eq!(statuses(&server, &[next]).await, [429]);
    assert_eq!(statuses(&server, &[(Method::POST, "/batch", &[], batch)]).await, [200]);
}

#[actix_web::test]
async fn uploads_are_counted_downloads_are_not() {
    let options = json!({"fileUpload": {"enableForPublic": true}, "preserveFileName": true});
    let server = limited("/files/*path", json!({"includeInternalRequests": true}), options).await;
    let upload = || (Method::POST, "/files/a.txt", &[][..], json!("x"));
    assert_eq!(statuses(&server, &[upload(), upload(), upload()]).await, [201, 201, 429]);
    for method in [Method::GET, Method::HEAD] {
        let path = format!("/files/{APP_ID}/a.txt");
        let download = || (method.clone(), path.as_str(), &[][..], Value::Null);
        assert_eq!(statuses(&server, &[download(), download(), download()]).await, [200, 200, 200]);
    }
}

/// The page's button asks for the same mail.
#[actix_web::test]
async fn mails_are_counted_at_both_doors() {
    let internal = json!({"includeInternalRequests": true});
    let server = limited("/verificationEmailRequest", internal, with_mail(json!({}))).await;
    let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let url = server.url(&format!("/parse/apps/{APP_ID}/resend_verification_email"));
        let sent = http.post(url).header("Content-Type", "application/json").body(r#"{"username":"ann"}"#);
        statuses.push(sent.send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [303, 303, 400]);
}
