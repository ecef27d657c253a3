//! A batch, another spelling or another method is no way past a limit, a list or a right.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{APP_ID, TestServer};
use crate::users_sign_up::sign_up;

fn limit(path: &str, count: u64, more: Value) -> Value {
    let mut rule = json!({"requestPath": path, "requestTimeWindow": 600_000, "requestCount": count,
        "includeInternalRequests": true});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "rateLimit": rule })
}

fn batch(items: Vec<Value>) -> Value {
    json!({ "requests": items })
}

fn login_item(password: &str) -> Value {
    json!({"method": "POST", "path": "/parse/login", "body": {"username": "ann", "password": password}})
}

#[actix_web::test]
async fn guesses_in_a_batch_are_counted() {
    let server = TestServer::with(limit("/login", 3, json!({"requestMethods": ["POST"]}))).await;
    sign_up(&server.anonymous(), "ann").await;
    let client = server.anonymous();
    // All of them are refused when one is too many: no guess of these is answered.
    let guesses: Vec<Value> = (0..20).map(|n| login_item(&format!("guess{n}"))).collect();
    assert_eq!(client.post("/batch", batch(guesses)).await.error(), (400, 100, "Too many requests."));
    assert_eq!(client.post("/login", json!({"username": "ann", "password": "x"})).await.status, 429);
    // Fewer than the limit are answered.
    let server = TestServer::with(limit("/login", 3, json!({"requestMethods": ["POST"]}))).await;
    sign_up(&server.anonymous(), "ann").await;
    let answer = server.anonymous().post("/batch", batch(vec![login_item("x"), login_item("secret")])).await;
    assert_eq!(answer.body[0]["error"]["code"], 101, "{}", answer.text);
    assert!(answer.body[1]["success"]["sessionToken"].is_string(), "{}", answer.text);
}

#[actix_web::test]
async fn every_spelling_is_counted() {
    for path in [
        "/functions/x",
        "/functions/x/",
        "/FUNCTIONS/x",
        "//functions/x",
        "/functions/%78",
        "/function%73/x",
        "/functions/x?a=1",
        "/functions/x?_method=GET",
    ] {
        let server = TestServer::with(limit("/functions/x", 1, json!({}))).await;
        let client = server.anonymous();
        assert_eq!(client.post("/functions/x", json!({})).await.error().1, 141);
        let again = client.post(path, json!({})).await;
        // A spelling that leads nowhere does no harm.
        assert!(matches!(again.status, 404 | 429), "{path} {}", again.text);
    }
    for path in [
        "/parse/functions/x",
        "/parse/functions/x/",
        "/parse/FUNCTIONS/x",
        "/parse//functions/x",
        "/parse/./functions/x",
        "/parse/a/../functions/x",
        "/parse/functions/%78",
        "/parse/functions/x?a=1",
    ] {
        let server = TestServer::with(limit("/functions/x", 1, json!({}))).await;
        let client = server.anonymous();
        assert_eq!(client.post("/functions/x", json!({})).await.error().1, 141);
        let item = json!({"method": "POST", "path": path, "body": {}});
        let answer = client.post("/batch", batch(vec![item])).await;
        // With a question mark it is the name of another function.
        let is_other = path.contains('?') && answer.text.contains("Invalid function");
        assert!([100, 107].contains(&answer.error().1) || is_other, "{path} {}", answer.text);
    }
    // The JavaScript SDK's form is the same request.
    let server = TestServer::with(limit("/classes/*path", 1, json!({"requestMethods": "GET"}))).await;
    let sdk = json!({"_ApplicationId": APP_ID, "_method": "GET"});
    assert_eq!(server.client(&[]).post("/classes/A", sdk.clone()).await.status, 200);
    assert_eq!(server.client(&[]).post("/classes/A", sdk).await.status, 429);
    assert_eq!(server.anonymous().get("/classes/A").await.status, 429);
    // Made-up sessions are no new callers.
    let server = TestServer::with(limit("/functions/x", 1, json!({"zone": "session"}))).await;
    let statuses: Vec<u16> = {
        let mut all = Vec::new();
        for token in ["r:1", "r:2", "r:3"] {
            all.push(server.session(token).post("/functions/x", json!({})).await.status);
        }
        all
    };
    assert_eq!(statuses, [400, 429, 429]);
}

#[actix_web::test]
async fn a_batch_holds_no_batch() {
    let server = TestServer::start().await;
    let inner = batch(vec![json!({"method": "POST", "path": "/parse/classes/A", "body": {}})]);
    for (method, path) in [
        ("POST", "/parse/batch"),
        ("post", "/parse/batch"),
        ("POST", "/parse/batch/"),
        ("POST", "/parse/BATCH"),
        ("POST", "/parse//batch"),
        ("POST", "/parse/x/../batch"),
        ("POST", "/parse/./batch"),
        ("POST", "/parse/%62atch"),
        ("POST", "/parse/batch?x=1"),
    ] {
        let item = json!({"method": method, "path": path, "body": inner});
        let answer = server.anonymous().post("/batch", batch(vec![item])).await;
        assert_eq!(answer.error().1, 107, "{method} {path} {}", answer.text);
    }
    assert_eq!(server.anonymous().get("/classes/A").await.ok()["results"], json!([]));
    let item = json!({"method": "POST", "path": "/parse/classes/A", "body": {}});
    let many = server.anonymous().post("/batch", batch(vec![item.clone(); 101])).await;
    assert_eq!(many.error().1, 107, "{}", many.text);
    assert_eq!(server.anonymous().post("/batch", batch(vec![item.clone(); 100])).await.status, 200);
    assert_eq!(server.master().post("/batch", batch(vec![item; 101])).await.status, 200);
}

#[actix_web::test]
async fn items_have_the_rights_of_the_batch() {
    let server = TestServer::with(
        json!({"readOnlyMasterKey": "reads", "routeAllowList": ["batch", "classes/Open(/.*)?", "users"]}),
    )
    .await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    // What an item says of itself changes nothing.
    let claims = json!({"_MasterKey": "master", "_SessionToken": token, "_ApplicationId": APP_ID, "_method": "DELETE"});
    let with = |path: String, body: Value| {
        let mut body = body;
        body.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        json!({"method": "PUT", "path": path, "body": body, "headers": {"X-Parse-Master-Key": "master"},
            "sessionToken": token, "useMasterKey": true})
    };
    let server2 = TestServer::with(json!({"readOnlyMasterKey": "reads"})).await;
    let (id2, token2) = sign_up(&server2.anonymous(), "ann").await;
    let (other2, _) = sign_up(&server2.anonymous(), "bob").await;
    for target in [&id2, &other2] {
        let item = with(format!("/parse/users/{target}"), json!({"n": 1}));
        let answer = server2.anonymous().post("/batch", batch(vec![item])).await;
        assert!(answer.body[0]["error"]["code"].is_i64(), "{}", answer.text);
    }
    let own = json!({"method": "PUT", "path": format!("/parse/users/{id2}"), "body": {"n": 1}});
    let foreign = json!({"method": "PUT", "path": format!("/parse/users/{other2}"), "body": {"n": 1}});
    let deletion = json!({"method": "DELETE", "path": format!("/parse/users/{other2}"), "body": {}});
    let answer = server2.session(&token2).post("/batch", batch(vec![own, foreign, deletion])).await;
    assert!(answer.body[0]["success"]["updatedAt"].is_string(), "{}", answer.text);
    assert_eq!(answer.body[1]["error"]["code"], 206, "{}", answer.text);
    assert_eq!(answer.body[2]["error"]["code"], 206, "{}", answer.text);
    // Routes that are not on the list are on none in a batch.
    for path in [
        "/parse/users/me",
        "/parse/classes/Closed",
        "/parse/classes/Open/../Closed",
        "/parse/login",
        "/parse/%75sers/me",
    ] {
        let item = json!({"method": "GET", "path": path, "body": {}});
        let answer = server.session(&token).post("/batch", batch(vec![item])).await;
        assert!(answer.status == 400 && [107, 119].contains(&answer.error().1), "{path} {}", answer.text);
    }
    let open = json!({"method": "POST", "path": "/parse/classes/Open", "body": {"n": 1}});
    let answer = server.session(&token).post("/batch", batch(vec![open])).await;
    assert!(answer.body[0]["success"]["objectId"].is_string(), "{}", answer.text);
    for path in
        ["/classes/Closed", "/classes/Open/../Closed", "/classes/%4Fpen%2F..%2FClosed", "/classes/Open%3Fx"]
    {
        let answer = server.anonymous().send(Method::GET, path, None).await;
        assert!(answer.status >= 400 || answer.body["results"] == json!([]), "{path} {}", answer.text);
    }
}

#[actix_web::test]
async fn limits_on_queries_hold_in_items_too() {
    let server = TestServer::start().await;
    let mut deep = json!({"n": 1});
    for _ in 0..12 {
        deep = json!({"$or": [deep]});
    }
    let item = json!({"method": "GET", "path": "/parse/classes/A", "body": {"where": deep}});
    let answer = server.anonymous().post("/batch", batch(vec![item])).await;
    assert_eq!(answer.body[0]["error"]["code"], 102, "{}", answer.text);
    let include = ["a"; 12].join(".");
    let item = json!({"method": "GET", "path": "/parse/classes/A", "body": {"include": include}});
    let answer = server.anonymous().post("/batch", batch(vec![item])).await;
    assert_eq!(answer.body[0]["error"]["code"], 102, "{}", answer.text);
}
