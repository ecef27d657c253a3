//! The page of a development server, the front of the dashboard, and that a production server has neither.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::server::{MASTER_KEY, TestServer};

const KEY: &str = "nobody-reads-this";

/// A server as `parsimony` without any configuration is one, but for its database.
async fn development() -> TestServer {
    TestServer::developing(json!({ "appId": "it's <mine>", "masterKey": KEY })).await
}

async fn get(url: &str, headers: &[(&str, &str)]) -> (StatusCode, reqwest::header::HeaderMap, String) {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request =
        headers.iter().fold(client.get(url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    (answer.status(), answer.headers().clone(), answer.text().await.unwrap())
}

#[actix_web::test]
async fn the_page_is_right_for_this_server() {
    let server = development().await;
    let (status, headers, page) = get(&server.url("/"), &[]).await;
    assert_eq!(status, 200);
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
    assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("{{"), "{page}");
    assert!(page.contains(&format!("curl -X POST http://{}/parse/classes/GameScore", server.address)));
    assert!(page.contains("it&#39;s &lt;mine&gt;") && !page.contains("it's <mine>"));
    assert!(!page.contains(KEY) && !page.contains("X-Parse-Master-Key"), "{page}");
    // By whatever name it was called.
    let (_, _, page) = get(&server.url("/"), &[("Host", "box.local:99")]).await;
    assert!(page.contains("Parse.serverURL = 'http://box.local:99/parse'"), "{page}");
    let (_, _, page) = get(&server.url("/"), &[("Host", "x';alert(1)")]).await;
    assert!(!page.contains("alert"), "{page}");
    // Whatever it names is there, and comes from here.
    let (_, _, page) = get(&server.url("/"), &[]).await;
    let links: Vec<&str> =
        page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.len() > 10, "{links:?}");
    for link in links {
        assert!(link.starts_with('/'), "{link}");
        assert_eq!(get(&server.url(link), &[]).await.0, 200, "{link}");
    }
    assert!(!page.contains("/dashboard\""));
    assert_eq!(page.contains("OpenAPI"), page.contains("openapi.json"));
    assert_eq!(get(&server.url("/start/docs/nothing.md"), &[]).await.0, 404);
    let posted = reqwest::Client::new().post(server.url("/")).send().await.unwrap();
    assert_eq!(posted.status(), 404);
}

#[actix_web::test]
async fn a_server_in_production_answers_as_parse_server() {
    let server = TestServer::start().await;
    for path in ["/", "/start/style.css", "/dashboard", "/metrics"] {
        let (status, headers, page) = get(&server.url(path), &[]).await;
        assert_eq!(status, 404, "{path}");
        assert!(page.contains(&format!("<pre>Cannot GET {path}</pre>")), "{page}");
        assert_eq!(headers["content-security-policy"], "default-src 'none'");
    }
}

#[actix_web::test]
async fn the_master_key_goes_to_this_machine_or_over_tls() {
    let users = json!([{ "user": "admin", "pass": "a password" }]);
    let server = TestServer::with(json!({ "dashboard": { "users": users }, "trustProxy": 1 })).await;
    let url = server.url("/dashboard/login");
    let (status, headers, page) = get(&url, &[]).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("login.bundle.js"), "{page}");
    assert!(headers.get("access-control-allow-origin").is_none());
    assert_eq!(headers["cache-control"], "no-store");
    let cookie = headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("parse_dash=") && cookie.contains("HttpOnly") && !cookie.contains("Secure"));
    for (headers, wanted) in [
        (vec![("Host", "app.example.com")], 403),
        (vec![("X-Forwarded-For", "192.0.2.1")], 403),
        (vec![("X-Forwarded-Proto", "http")], 403),
        (vec![("Host", "app.example.com"), ("X-Forwarded-Proto", "https")], 200),
    ] {
        let (status, answered, page) = get(&url, &headers).await;
        assert_eq!(status, wanted, "{headers:?}: {page}");
        if wanted == 403 {
            assert!(page.contains("not encrypted"), "{page}");
            assert_eq!(answered["content-security-policy"], "default-src 'none'");
        } else {
            assert!(answered["set-cookie"].to_str().unwrap().ends_with("; Secure"));
        }
    }
    // Nobody gets the keys without a log-in, and only what is below its path is the dashboard's.
    let (status, _, text) = get(&server.url("/dashboard/parse-dashboard-config.json"), &[]).await;
    assert_eq!(status, 401, "{text}");
    assert!(!text.contains(MASTER_KEY));
    assert_eq!(get(&server.url("/dashboards"), &[]).await.0, 404);
    let body = vec![b'x'; 2 * 1024 * 1024];
    let large = reqwest::Client::new().post(server.url("/dashboard/login")).body(body).send().await.unwrap();
    assert_eq!(large.status(), 413);

    // Of a peer that is not believed these headers say nothing, but that it is a proxy.
    let users = json!([{ "user": "admin", "pass": "a password" }]);
    let server = TestServer::with(json!({ "dashboard": { "users": users } })).await;
    let url = server.url("/dashboard/login");
    assert_eq!(get(&url, &[("X-Forwarded-Proto", "https")]).await.0, 403);
    assert_eq!(get(&url, &[]).await.0, 200);
}
