//! Several applications in one process know nothing of each other.

use parsimony::config::AppConfig;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::live_query::live_options;
use crate::support::live::Live;
use crate::support::server::{Client, MASTER_KEY, TestServer};

fn second(more: Value) -> Value {
    let mut options = json!({ "appId": "second", "masterKey": "other" });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

/// Says `connect` on this path as this application.
async fn connect(server: &TestServer, path: &str, app: &str) -> (Live, Value) {
    let mut live = Live::open_at(server.address, path).await;
    live.say(json!({ "op": "connect", "applicationId": app })).await;
    let answer = live.hear().await;
    (live, answer)
}

#[actix_web::test]
async fn sockets_belong_to_the_application_they_name() {
    let other = second(live_options(json!({})));
    let server = TestServer::with_apps(vec![live_options(json!({})), other]).await;
    let as_second = server.client(&[("X-Parse-Application-Id", "second"), ("X-Parse-Master-Key", "other")]);
    for path in ["/", "/parse", "/anything"] {
        let (mut first, answer) = connect(&server, path, "test").await;
        assert_eq!(answer["op"], "connected", "{path}: {answer}");
        let (mut other, answer) = connect(&server, path, "second").await;
        assert_eq!(answer["op"], "connected", "{path}: {answer}");
        let (mut nobody, answer) = connect(&server, path, "third").await;
        assert_eq!((&answer["op"], &answer["code"]), (&json!("error"), &json!(4)), "{path}: {answer}");
        let refused = nobody.try_subscribe(json!({ "className": "LiveOwn", "where": {} })).await;
        assert_eq!((&refused["op"], &refused["code"]), (&json!("error"), &json!(2)));
        for live in [&mut first, &mut other] {
            live.subscribe("LiveOwn", json!({})).await;
        }
        as_second.post("/classes/LiveOwn", json!({ "of": "second" })).await.ok();
        server.master().post("/classes/LiveOwn", json!({ "of": "first" })).await.ok();
        assert_eq!(first.hear().await["object"]["of"], "first");
        assert_eq!(other.hear().await["object"]["of"], "second");
        // Once it is somebody's, it stays theirs.
        first.say(json!({ "op": "connect", "applicationId": "second" })).await;
        assert_eq!(first.hear().await["code"], 4);
    }
}

#[actix_web::test]
async fn a_mount_without_live_queries_takes_no_sockets() {
    let serving = live_options(json!({ "mountPath": "/one" }));
    let silent = second(json!({ "mountPath": "/two" }));
    let server = TestServer::with_apps(vec![serving, silent]).await;
    assert!(connect_async(format!("ws://{}/two", server.address)).await.is_err());
    let (_, answer) = connect(&server, "/one", "second").await;
    assert_eq!(answer["code"], 4, "{answer}");
    assert_eq!(connect(&server, "/one", "test").await.1["op"], "connected");
}

/// One application alone is not compared, as in parse-server.
#[actix_web::test]
async fn a_process_of_one_application_takes_any_name() {
    let server = TestServer::with(live_options(json!({}))).await;
    assert_eq!(connect(&server, "/", "whatever").await.1["op"], "connected");
}

/// What clients are counted for is each application's own.
#[actix_web::test]
async fn limits_are_each_applications_own() {
    let narrow = json!({ "liveQueryServerOptions": { "maxConnectionsPerAddress": 1 } });
    let server = TestServer::with_apps(vec![live_options(json!({})), second(live_options(narrow))]).await;
    let (_one, answer) = connect(&server, "/", "second").await;
    assert_eq!(answer["op"], "connected");
    let (mut more, answer) = connect(&server, "/", "second").await;
    assert_eq!((&answer["code"], &answer["error"]), (&json!(155), &json!("Too many sockets are open")));
    more.send(Message::Ping(Vec::new().into())).await;
    let (_first, answer) = connect(&server, "/", "test").await;
    assert_eq!(answer["op"], "connected");
}

#[actix_web::test]
async fn the_log_is_each_applications_own() {
    parsimony::logging::init(&AppConfig::for_tests(json!({ "logsFolder": null })).logging);
    let server = TestServer::with_apps(vec![json!({}), second(json!({}))]).await;
    let log = async |id: &str, key: &str| {
        let client = server.client(&[("X-Parse-Application-Id", id), ("X-Parse-Master-Key", key)]);
        client.get("/scriptlog?size=2000").await.ok().to_string()
    };
    let as_second = server.client(&[("X-Parse-Application-Id", "second"), ("X-Parse-Master-Key", "other")]);
    // Both write lines of the audit log, in writes that go on by themselves.
    server.master().post("/schemas", json!({ "className": "OfTheFirst" })).await.ok();
    as_second.post("/schemas", json!({ "className": "OfTheSecond" })).await.ok();
    let body = json!({ "username": "anne", "password": "secret" });
    as_second.post("/users", body).await.ok();
    // A key that is refused is told to the application it was for.
    let wrong = server.client(&[("X-Parse-Application-Id", "second"), ("X-Parse-Master-Key", MASTER_KEY)]);
    assert_eq!(wrong.get("/serverInfo").await.status, 403);
    let (first, second) = (log("test", MASTER_KEY).await, log("second", "other").await);
    assert!(first.contains("OfTheFirst") && !first.contains("OfTheSecond"), "{first}");
    assert!(second.contains("OfTheSecond") && !second.contains("OfTheFirst"), "{second}");
    assert!(first.contains("Parsimony serves test on") && !first.contains("serves second on"), "{first}");
    assert!(second.contains("Parsimony serves second on") && !second.contains("serves test on"));
}

/// The mount says whose key a header without an application shows, and the body whose data is asked for.
#[actix_web::test]
async fn a_key_of_one_application_opens_no_other() {
    let first = json!({ "mountPath": "/one", "maintenanceKey": "may-maintain" });
    let server = TestServer::with_apps(vec![first, second(json!({ "mountPath": "/two" }))]).await;
    let port = server.address.port();
    let user = json!({ "username": "anne", "password": "secret" });
    for (app, mount) in [("test", "/one"), ("second", "/two")] {
        let client = Client::with(port, &[("X-Parse-Application-Id", app)]);
        client.post(&format!("{mount}/users"), user.clone()).await.ok();
    }
    let keeper = Client::with(port, &[("X-Parse-Maintenance-Key", "may-maintain")]);
    let read = async |app: &str| {
        keeper.post("/one/classes/_User", json!({ "_ApplicationId": app, "_method": "GET" })).await.ok()
    };
    assert_eq!(read("test").await["results"][0]["username"], "anne");
    assert_eq!(read("second").await["results"], json!([]));
    let body = json!({ "_ApplicationId": "second", "base64": "YWJj" });
    assert_eq!(keeper.post("/one/files/a.txt", body).await.error().1, 130);
}
