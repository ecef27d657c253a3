//! A transaction stands or falls as a whole, and its connection is not held for those who dawdle.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

use crate::http_cloud::folder_with;
use crate::support::server::{Client, TestServer};

fn item(method: &str, path: &str, body: Value) -> Value {
    json!({"method": method, "path": format!("/parse{path}"), "body": body})
}

fn transaction(items: Vec<Value>) -> Value {
    json!({"requests": items, "transaction": true})
}

async fn count(client: &Client, class: &str) -> u64 {
    client.get(&format!("/classes/{class}?count=1&limit=0")).await.ok()["count"].as_u64().unwrap()
}

#[actix_web::test]
async fn what_no_transaction_takes_back_is_refused_before_anything_runs() {
    let server = TestServer::start().await;
    let master = server.master();
    master.post("/classes/Kept", json!({"n": 1})).await.ok();
    let field = json!({"className": "Kept", "fields": {"more": {"type": "String"}}});
    let hook = json!({"functionName": "f", "url": "https://hooks.example/f"});
    let push = json!({"where": {}, "data": {"alert": "x"}});
    for permanent in [
        item("DELETE", "/purge/Kept", json!({})),
        item("delete", "/PURGE/Kept/", json!({})),
        item("POST", "/schemas/Fresh", json!({"className": "Fresh"})),
        item("POST", "/schemas", json!({"className": "Fresh"})),
        item("PUT", "/schemas/Kept", field),
        item("DELETE", "/schemas/Kept", json!({})),
        item("PUT", "/config", json!({"params": {"a": 1}})),
        item("POST", "/hooks/functions", hook.clone()),
        item("PUT", "/hooks/functions/f", hook),
        item("POST", "/push", push),
        item("POST", "/jobs/x", json!({})),
        item("POST", "/requestPasswordReset", json!({"email": "a@example.org"})),
    ] {
        let first = item("POST", "/classes/Kept", json!({"n": 2}));
        let failing = item("DELETE", "/classes/Kept/missing", json!({}));
        let answer = master.post("/batch", transaction(vec![first, permanent.clone(), failing])).await;
        let (status, code, text) = answer.error();
        // Some spellings lead nowhere.
        let is_refused = code == 119 && text.ends_with("is not allowed in a transaction.");
        assert!(status == 400 && (is_refused || code == 107), "{permanent}: {}", answer.text);
        assert_eq!(count(&master, "Kept").await, 1, "{permanent}");
    }
    let schemas = master.get("/schemas").await.ok().to_string();
    assert!(!schemas.contains("Fresh") && !schemas.contains("more"), "{schemas}");
    assert_eq!(master.get("/config").await.ok()["params"], json!({}));
    // Each alone, and outside of transactions, they are what they were.
    let answer = master.post("/batch", json!({"requests": [item("DELETE", "/purge/Kept", json!({}))]})).await;
    assert!(answer.body[0]["success"].is_object(), "{}", answer.text);
    assert_eq!(count(&master, "Kept").await, 0);
}

const CODE: &str = r#"
const master = { useMasterKey: true };
Parse.Cloud.define('save', async ({ params }) => {
  await new Parse.Object('Made', { n: params.n }).save(null, master);
  if (params.fails) throw 'no';
  return 'saved';
});
Parse.Cloud.beforeSave('Slow', () => new Promise(() => {}));
Parse.Cloud.beforeSave('Bound', () => new Promise(() => {}), { transaction: true });
Parse.Cloud.beforeSave('Dropping', async () => {
  await new Parse.Schema('Made').purge();
  throw 'no';
}, { transaction: true });
"#;

#[actix_web::test]
async fn what_a_function_saves_belongs_to_the_batch() {
    let folder = folder_with(CODE);
    let server = TestServer::with(json!({"cloud": folder.path().join("main.js")})).await;
    let master = server.master();
    let save = |body: Value| item("POST", "/functions/save", body);
    let failing = item("DELETE", "/classes/Made/missing", json!({}));
    let answer = master.post("/batch", transaction(vec![save(json!({"n": 1})), failing])).await;
    assert_eq!(answer.status, 500, "{}", answer.text);
    let fails = vec![save(json!({"n": 1})), save(json!({"n": 2, "fails": true}))];
    assert_eq!(master.post("/batch", transaction(fails)).await.status, 500);
    assert_eq!(count(&master, "Made").await, 0);
    let answers =
        master.post("/batch", transaction(vec![save(json!({"n": 1})), save(json!({"n": 2}))])).await.ok();
    assert_eq!(answers[1]["success"]["result"], "saved");
    assert_eq!(count(&master, "Made").await, 2);
    // A trigger inside a transaction cannot do it either.
    let refused = master.post("/classes/Dropping", json!({})).await;
    assert!(refused.error().2.contains("not allowed in a transaction"), "{}", refused.text);
    assert_eq!(count(&master, "Made").await, 2);
}

#[actix_web::test]
async fn overload_stays_overload() {
    let server = TestServer::with(json!({"databaseOptions": {"max": 3}})).await;
    let client = server.anonymous();
    client.post("/classes/Thing", json!({"n": 0})).await.ok();
    let blocker = server.database().connect().await;
    blocker.batch_execute(r#"BEGIN; LOCK TABLE "Thing" IN ACCESS EXCLUSIVE MODE"#).await.unwrap();
    let batch = transaction(vec![item("POST", "/classes/Thing", json!({"n": 1}))]);
    let mut batches: FuturesUnordered<_> = (0..10).map(|_| client.post("/batch", batch.clone())).collect();
    let first = batches.next().await.unwrap();
    blocker.batch_execute("ROLLBACK").await.unwrap();
    let mut answers: Vec<_> = batches.collect().await;
    answers.push(first);
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(!done.is_empty() && !refused.is_empty(), "{} done", done.len());
    for answer in refused {
        assert_eq!(
            (answer.status, answer.headers["retry-after"].as_str()),
            (503, Some("1")),
            "{}",
            answer.text
        );
        assert_eq!(answer.body["error"], "The server is overloaded.");
    }
    assert_eq!(count(&client, "Thing").await, 1 + done.len() as u64);
}

#[actix_web::test]
async fn code_that_never_answers_does_not_hold_a_transaction() {
    let folder = folder_with(CODE);
    let options = json!({
        "cloud": folder.path().join("main.js"), "databaseOptions": {"max": 3}, "cloudTransactionTimeout": 500,
    });
    let server = TestServer::with(options).await;
    let client = server.anonymous();
    client.post("/classes/Quick", json!({})).await.ok();
    let begun = Instant::now();
    let slow = transaction(vec![item("POST", "/classes/Slow", json!({}))]);
    let answer = client.post("/batch", slow).await;
    assert_eq!(answer.status, 500, "{}", answer.text);
    let refused = client.post("/classes/Bound", json!({})).await;
    assert!(refused.error().1 == 141 && refused.error().2.contains("did not answer"), "{}", refused.text);
    // Less than `cloudTimeout`, by far.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let quick = transaction(vec![item("POST", "/classes/Quick", json!({}))]);
    assert_eq!(client.post("/batch", quick).await.status, 200);
}
