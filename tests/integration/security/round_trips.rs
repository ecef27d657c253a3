//! Cloud Code between a client and the database: a trigger that changes nothing must not write anything
//! back, however stale its copy of the object.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::http_cloud::folder_with;
use crate::support::server::TestServer;

const MAIN: &str = r#"
const seen = [];
Parse.Cloud.define('seen', () => seen.splice(0));
Parse.Cloud.beforeSave('Empty', () => {});
Parse.Cloud.afterSave('Empty', request => { seen.push(request.object.toJSON()); });
Parse.Cloud.beforeSave('Marked', request => {
  const config = request.object.get('config');
  config.marks = { by: 'trigger' };
  request.object.set('config', config);
});
Parse.Cloud.beforeSave('Winner', request => { request.object.set('config.a', 'trigger'); });
Parse.Cloud.beforeSave('_User', () => {});
Parse.Cloud.beforeSave('_Installation', () => {});
Parse.Cloud.beforeSave('Constant', () => {}, { fields: { config: { constant: true } } });
"#;

async fn start() -> (TestServer, tempfile::TempDir) {
    let folder = folder_with(MAIN);
    let server = TestServer::with(json!({"cloud": folder.path().join("main.js")})).await;
    (server, folder)
}

async fn create(server: &TestServer, class: &str, object: Value) -> String {
    let made = server.master().post(&format!("/classes/{class}"), object).await.ok();
    format!("/classes/{class}/{}", made["objectId"].as_str().unwrap())
}

#[actix_web::test]
async fn a_trigger_that_changes_nothing_writes_nothing() {
    let (server, _folder) = start().await;
    let client = server.master();
    let path = create(&server, "Empty", json!({"config": {"a": {"b": 1, "e": 3}, "f": 4}})).await;
    client.post("/functions/seen", json!({})).await.ok();
    let saved =
        client.put(&path, json!({"config.a.e": 9, "config.n": {"__op": "Increment", "amount": 2}})).await;
    let saved = saved.ok();
    let expected = json!({"a": {"b": 1, "e": 9}, "f": 4, "n": 2});
    assert_eq!(saved["config"], expected, "{saved}");
    assert_eq!(client.get(&path).await.ok()["config"], expected);
    let seen = client.post("/functions/seen", json!({})).await.ok();
    assert_eq!(seen["result"][0]["config"], expected, "{seen}");
    client.put(&path, json!({"config.a.e": {"__op": "Delete"}, "config.f": 5})).await.ok();
    let expected = json!({"a": {"b": 1}, "f": 5, "n": 2});
    assert_eq!(client.get(&path).await.ok()["config"], expected);
    let seen = client.post("/functions/seen", json!({})).await.ok();
    assert_eq!(seen["result"][0]["config"], expected, "{seen}");
}

#[actix_web::test]
async fn parallel_changes_of_parts_all_stay() {
    let (server, _folder) = start().await;
    for class in ["Empty", "Marked"] {
        let client = server.master();
        let path = create(&server, class, json!({"config": {"first": 1}})).await;
        let writes = (0..20).map(|n| {
            let (client, path) = (&client, &path);
            async move { client.put(path, json!({format!("config.k{n}"): n})).await.ok() }
        });
        futures_util::future::join_all(writes).await;
        let config = client.get(&path).await.ok()["config"].as_object().cloned().unwrap();
        let expected = if class == "Empty" { 21 } else { 22 };
        assert_eq!(config.len(), expected, "{class}: {config:?}");
    }
}

#[actix_web::test]
async fn the_triggers_own_change_wins_and_is_told() {
    let (server, _folder) = start().await;
    let client = server.master();
    let path = create(&server, "Winner", json!({"config": {"b": 1}})).await;
    let saved = client.put(&path, json!({"config.a": "client", "config.c": 2})).await.ok();
    assert_eq!(saved["config"], json!({"a": "trigger", "b": 1, "c": 2}), "{saved}");
    assert_eq!(client.get(&path).await.ok()["config"], json!({"a": "trigger", "b": 1, "c": 2}));
    let path = create(&server, "Marked", json!({"config": {"b": 1}})).await;
    let batch = json!({"requests": [
        {"method": "PUT", "path": format!("/parse{path}"), "body": {"config.a.x": 1}},
        {"method": "PUT", "path": format!("/parse{path}"), "body": {"config.a.y": 2}},
    ]});
    client.post("/batch", batch).await.ok();
    let expected = json!({"a": {"x": 1, "y": 2}, "b": 1, "marks": {"by": "trigger"}});
    assert_eq!(client.get(&path).await.ok()["config"], expected);
}

#[actix_web::test]
async fn special_classes_and_validators_keep_parts() {
    let (server, _folder) = start().await;
    let client = server.master();
    let body = json!({"username": "u", "password": "p", "config": {"a": {"b": 1}, "c": 1}});
    let user = client.post("/users", body).await.ok();
    let path = format!("/users/{}", user["objectId"].as_str().unwrap());
    client.put(&path, json!({"config.a.d": 2})).await.ok();
    assert_eq!(client.get(&path).await.ok()["config"], json!({"a": {"b": 1, "d": 2}, "c": 1}));
    let body = json!({"deviceType": "ios", "installationId": "i1", "config": {"a": {"b": 1}, "c": 1}});
    let made = client.post("/installations", body).await.ok();
    let path = format!("/installations/{}", made["objectId"].as_str().unwrap());
    client.put(&path, json!({"config.a.d": 2})).await.ok();
    assert_eq!(client.get(&path).await.ok()["config"], json!({"a": {"b": 1, "d": 2}, "c": 1}));
    // Master calls skip validators.
    let path = create(&server, "Constant", json!({"config": {"a": 1, "n": 1}})).await;
    let body = json!({"config.a": 2, "config.n": {"__op": "Increment", "amount": 1}, "other": 1});
    server.anonymous().put(&path, body).await.ok();
    let stored = client.get(&path).await.ok();
    assert_eq!((&stored["config"], &stored["other"]), (&json!({"a": 1, "n": 1}), &json!(1)));
}

/// A hook that hands every object back as it came, and what it was sent.
async fn echo() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let into = into.clone();
            tokio::spawn(async move {
                let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
                let body: Value = loop {
                    let read = stream.read(&mut chunk).await.unwrap_or(0);
                    text.extend_from_slice(&chunk[..read]);
                    let whole = String::from_utf8_lossy(&text).into_owned();
                    let body =
                        whole.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                    if body.is_some() || read == 0 {
                        break body.unwrap_or_default();
                    }
                };
                let answer = json!({"success": body["object"]}).to_string();
                into.lock().unwrap().push(body);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    answer.len()
                );
                let _ = stream.write_all((head + &answer).as_bytes()).await;
            });
        }
    });
    (url, seen)
}

#[actix_web::test]
async fn a_hook_that_echoes_changes_nothing() {
    let server = TestServer::start().await;
    let client = server.master();
    let (url, seen) = echo().await;
    let object = json!({"n": 0, "gone": 1, "list": [1], "config": {"a": {"b": 1}}});
    let path = create(&server, "Echoed", object).await;
    let hook = json!({"className": "Echoed", "triggerName": "beforeSave", "url": url});
    client.post("/hooks/triggers", hook).await.ok();
    let body = json!({"gone": {"__op": "Delete"}, "list": {"__op": "Add", "objects": [2]}, "config.a.c": 2});
    client.put(&path, body).await.ok();
    let stored = client.get(&path).await.ok();
    assert_eq!(stored.get("gone"), None, "{stored}");
    assert_eq!((&stored["list"], &stored["config"]), (&json!([1, 2]), &json!({"a": {"b": 1, "c": 2}})));
    let shown = seen.lock().unwrap()[0]["object"].clone();
    assert_eq!(shown["gone"], json!({"__op": "Delete"}));
    assert_eq!(shown["list"], json!({"__op": "Add", "objects": [2]}));
    assert_eq!(shown["config"], json!({"a": {"b": 1, "c": 2}}));
    let increment = json!({"n": {"__op": "Increment", "amount": 1}});
    let writes = (0..8).map(|_| client.put(&path, increment.clone()));
    futures_util::future::join_all(writes).await.into_iter().for_each(|answer| {
        answer.ok();
    });
    assert_eq!(client.get(&path).await.ok()["n"], 8);
}
