//! The HTTP front: CORS, credentials in every form, bodies, error shapes, health.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{APP_ID, MASTER_KEY, TestServer};

#[actix_web::test]
async fn health_and_server_info() {
    let server = TestServer::start().await;
    let nobody = server.client(&[]);
    assert_eq!(nobody.get("/health").await.ok(), json!({"status": "ok"}));
    let answer = nobody.post("/health", json!({})).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"status":"ok"}"#));
    assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");

    let info = server.master().get("/serverInfo").await.ok();
    assert_eq!(info["parseServerVersion"], "9.10.0");
    let refused = server.anonymous().get("/serverInfo").await;
    assert_eq!((refused.status, refused.body), (403, json!({"error": "Permission denied"})));
}

#[actix_web::test]
async fn cors_is_on_every_answer() {
    let server = TestServer::with(json!({
        "allowOrigin": ["https://a.example", "https://b.example"],
        "allowHeaders": ["X-Mine"],
    }))
    .await;
    let client = server.client(&[("Origin", "https://b.example")]);
    let preflight = client.send(Method::OPTIONS, "/classes/A", None).await;
    assert_eq!((preflight.status, preflight.text.as_str()), (200, "OK"));
    let refused = client.get("/classes/A").await;
    assert_eq!((refused.status, &refused.body), (403, &json!({"error": "unauthorized"})));
    for answer in [preflight, refused] {
        assert_eq!(answer.headers["access-control-allow-origin"], "https://b.example");
        assert_eq!(answer.headers["access-control-allow-methods"], "GET,PUT,POST,DELETE,OPTIONS");
        let allowed = answer.headers["access-control-allow-headers"].as_str().unwrap();
        assert!(allowed.ends_with("Cache-Control, X-Mine"), "{allowed}");
    }
    let other = server.client(&[("Origin", "https://c.example")]).get("/health").await;
    assert_eq!(other.headers["access-control-allow-origin"], "https://a.example");
}

#[actix_web::test]
async fn unknown_routes_are_express_pages() {
    let server = TestServer::start().await;
    let answer = server.anonymous().get("/nothing<x>").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text.contains("<pre>Cannot GET /parse/nothing%3Cx%3E</pre>"), "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(server.anonymous().send(Method::PATCH, "/classes/A", None).await.status, 404);
    assert_eq!(server.client(&[]).get("/nothing").await.status, 403);
    let outside = reqwest::get(server.url("/other")).await.unwrap();
    assert_eq!(outside.status(), 404);
}

#[actix_web::test]
async fn the_sdk_form_of_credentials() {
    let server = TestServer::start().await;
    let sdk = server.client(&[]);
    let form = |extra: Value| {
        let mut body = json!({"_ApplicationId": APP_ID, "_ClientVersion": "js8.6.2", "_InstallationId": "i"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let text = [("Content-Type", "text/plain")];
    let post = async |path: &str, body: Value| {
        sdk.send_with(Method::POST, path, Some(body.to_string().into()), &text).await
    };
    let created = post("/classes/Sdk", form(json!({"a": 1}))).await;
    assert_eq!(created.status, 201);
    let id = created.body["objectId"].as_str().unwrap().to_owned();
    let got = post(&format!("/classes/Sdk/{id}"), form(json!({"_method": "GET"}))).await.ok();
    assert_eq!(got["a"], 1);
    assert_eq!(got.get("_ClientVersion"), None);
    let found =
        post("/classes/Sdk", form(json!({"_method": "get", "where": {"a": 1}, "limit": 5}))).await.ok();
    assert_eq!(found["results"].as_array().unwrap().len(), 1);
    let info = form(json!({"_method": "GET", "_MasterKey": MASTER_KEY}));
    assert_eq!(post("/serverInfo", info).await.status, 200);
    for bad in [
        json!({"_InstallationId": 1}),
        json!({"_SessionToken": {}}),
        json!({"_MasterKey": ["master"]}),
        json!({"_ContentType": true}),
        json!({"_ApplicationId": "other"}),
    ] {
        let answer = post("/classes/Sdk", form(bad.clone())).await;
        assert_eq!((answer.status, answer.body), (403, json!({"error": "unauthorized"})), "{bad}");
    }
    let context = post("/classes/Sdk", form(json!({"_context": "[]"}))).await;
    assert_eq!(context.error(), (400, 107, "Invalid object for context."));
}

#[actix_web::test]
async fn keys() {
    let server = TestServer::with(json!({
        "restAPIKey": "rest",
        "javascriptKey": "js",
        "readOnlyMasterKey": "reader",
        "maintenanceKey": "maintenance",
        "maintenanceKeyIps": ["10.0.0.1"],
    }))
    .await;
    let with = |headers: &[(&str, &str)]| {
        let mut all = vec![("X-Parse-Application-Id", APP_ID)];
        all.extend_from_slice(headers);
        server.client(&all)
    };
    assert_eq!(with(&[]).get("/classes/A").await.status, 403);
    assert_eq!(with(&[("X-Parse-REST-API-Key", "js")]).get("/classes/A").await.status, 403);
    assert_eq!(with(&[("X-Parse-REST-API-Key", "rest")]).get("/classes/A").await.status, 200);
    assert_eq!(with(&[("X-Parse-Javascript-Key", "js")]).get("/classes/A").await.status, 200);
    assert_eq!(with(&[("X-Parse-Master-Key", MASTER_KEY)]).get("/serverInfo").await.status, 200);
    let reader = with(&[("X-Parse-Master-Key", "reader")]);
    assert_eq!(reader.get("/serverInfo").await.status, 200);
    let refused = reader.put("/config", json!({"params": {}})).await;
    assert_eq!(refused.error(), (400, 119, "Permission denied"));
    // A right key from a wrong address is refused, not taken for no key.
    let away = with(&[("X-Parse-Maintenance-Key", "maintenance"), ("X-Parse-REST-API-Key", "rest")]);
    assert_eq!(away.get("/classes/A").await.status, 403);
}

#[actix_web::test]
async fn basic_authorization() {
    use base64::Engine;
    let server = TestServer::with(json!({"javascriptKey": "js"})).await;
    let basic = |text: &str| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        server.client(&[("Authorization", &format!("Basic {encoded}"))])
    };
    assert_eq!(basic("test:master").get("/serverInfo").await.status, 200);
    assert_eq!(basic("test:javascript-key=js").get("/classes/A").await.status, 200);
    for wrong in ["test:wrong", "other:master", "test:master:x", "test"] {
        assert_eq!(basic(wrong).get("/serverInfo").await.status, 403, "{wrong}");
    }
}

#[actix_web::test]
async fn addresses_behind_a_proxy() {
    let options = json!({"masterKeyIps": ["9.9.9.9"], "trustProxy": "loopback"});
    let server = TestServer::with(options).await;
    let from = async |address: &str| {
        let forwarded = [("X-Forwarded-For", address)];
        server.master().send_with(Method::GET, "/serverInfo", None, &forwarded).await.status
    };
    assert_eq!(from("9.9.9.9").await, 200);
    assert_eq!(from("8.8.8.8").await, 403);
    assert_eq!(from("9.9.9.9, 8.8.8.8").await, 403);
    assert_eq!(server.master().get("/serverInfo").await.status, 403);
}

#[actix_web::test]
async fn bodies_that_are_refused() {
    let server = TestServer::with(json!({"maxUploadSize": "1kb"})).await;
    let client = server.anonymous();
    let post = async |body: Vec<u8>| client.send(Method::POST, "/classes/A", Some(body.into())).await;
    for (body, status) in [
        (b"{\"a\":".to_vec(), 400),
        (b"\"text\"".to_vec(), 400),
        (b"{\"a\": NaN}".to_vec(), 400),
        (vec![b'['; 1000], 400),
        (vec![b' '; 2000], 413),
    ] {
        let answer = post(body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        // SDKs are told what is too large; of what is no JSON parse-server tells no code either.
        assert_eq!(answer.body.get("code"), (status == 413).then_some(&json!(116)));
        assert!(answer.body["error"].is_string());
    }
    assert_eq!(post(vec![b' '; 2000]).await.body["error"], "request entity too large");
    // Invalid UTF-8 is replaced, as Node does.
    assert_eq!(post(b"{\"a\":\"\xff\"}".to_vec()).await.status, 201);
    // Nothing of this harmed the connection or the server.
    assert_eq!(post(b"{\"a\":\"x\"}".to_vec()).await.status, 201);
}

#[actix_web::test]
async fn a_body_without_length_is_limited_while_it_arrives() {
    let server = TestServer::with(json!({"maxUploadSize": "1kb"})).await;
    let chunks = futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100])));
    let body = reqwest::Body::wrap_stream(chunks);
    let answer = server.anonymous().send(Method::POST, "/classes/A", Some(body)).await;
    assert_eq!(
        (answer.status, answer.body),
        (413, json!({"code": 116, "error": "request entity too large"}))
    );
}

#[actix_web::test]
async fn the_list_of_allowed_routes() {
    let server = TestServer::with(json!({"routeAllowList": ["classes/Open(/.*)?", "health", "batch"]})).await;
    let client = server.anonymous();
    assert_eq!(client.get("/classes/Open").await.status, 200);
    assert_eq!(client.get("/classes/Shut").await.error(), (400, 119, "Permission denied"));
    assert_eq!(server.master().get("/classes/Shut").await.status, 200);
    let batch = json!({"requests": [
        {"method": "GET", "path": "/parse/classes/Open"},
        {"method": "GET", "path": "/parse/classes/Shut"},
    ]});
    assert_eq!(client.post("/batch", batch).await.error(), (400, 119, "Permission denied"));
}

#[actix_web::test]
async fn double_slashes_and_letter_case() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    for path in ["//classes/A", "/CLASSES/A", "/classes/A/"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
}

#[actix_web::test]
async fn two_applications_in_one_process() {
    let second = json!({"appId": "second", "masterKey": "other"});
    let server = TestServer::with_apps(vec![json!({}), second]).await;
    let first = server.anonymous();
    let second = server.client(&[("X-Parse-Application-Id", "second")]);
    first.post("/classes/Own", json!({"of": "first"})).await.ok();
    second.post("/classes/Own", json!({"of": "second"})).await.ok();
    let all = second.get("/classes/Own").await.ok();
    assert_eq!(all["results"].as_array().unwrap().len(), 1);
    assert_eq!(all["results"][0]["of"], "second");
    let wrong = [("X-Parse-Application-Id", "second"), ("X-Parse-Master-Key", MASTER_KEY)];
    assert_eq!(server.client(&wrong).get("/serverInfo").await.status, 403);
    let right = [("X-Parse-Application-Id", "second"), ("X-Parse-Master-Key", "other")];
    assert_eq!(server.client(&right).get("/serverInfo").await.status, 200);
}

/// More writes than there are connections, while none comes free: refused in time and in plain words;
/// those that hold a connection go on.
#[actix_web::test]
async fn an_exhausted_pool_refuses() {
    let server = TestServer::with(json!({"databaseOptions": {"max": 3}})).await;
    server.anonymous().post("/classes/Thing", json!({"n": 0})).await.ok();
    let blocker = server.database().connect().await;
    blocker.batch_execute(r#"BEGIN; LOCK TABLE "Thing" IN ACCESS EXCLUSIVE MODE"#).await.unwrap();
    let client = server.anonymous();
    let refused = tokio::sync::Notify::new();
    let (client, refusal) = (&client, &refused);
    let writes = (0..20).map(|n| async move {
        let answer = client.post("/classes/Thing", json!({ "n": n })).await;
        if answer.status == 503 {
            refusal.notify_one();
        }
        answer
    });
    let writes = futures_util::future::join_all(writes);
    // The connections' holders wait for this.
    let unblock = async {
        refusal.notified().await;
        blocker.batch_execute("ROLLBACK").await.unwrap();
    };
    let (answers, ()) = futures_util::future::join(writes, unblock).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
    assert!(!refused.is_empty() && refused.len() < answers.len(), "{} refused", refused.len());
    for answer in refused {
        assert_eq!(
            (answer.status, &answer.body),
            (503, &json!({"code": 100, "error": "The server is overloaded."}))
        );
        assert_eq!(answer.headers["retry-after"], "1");
    }
    let stored = client.find("Thing", json!({"count": 1, "limit": 0})).await.ok();
    let written = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(stored["count"], written + 1);
}
