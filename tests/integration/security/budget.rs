//! Answers that multiply: shared objects that an include shows again and again, batches of large finds, results
//! of code. Each is refused in plain words, and the server's memory stays small.

use serde_json::{Value, json};

use crate::http_cloud::folder_with;
use crate::http_process::Program;
use crate::support::database::TestDatabase;
use crate::support::server::{Client, TestServer};

/// A chain of objects, each of which points `width` times at the next one.
fn chain(width: usize) -> Vec<Value> {
    (0..7)
        .map(|level| {
            let next =
                json!({"__type": "Pointer", "className": "Node", "objectId": format!("n{}", level + 1)});
            let links: Vec<_> = if level < 6 { vec![next; width] } else { Vec::new() };
            json!({"objectId": format!("n{level}"), "level": level, "links": links})
        })
        .collect()
}

const DEEP: &str =
    "/parse/classes/Node?include=links.links.links.links.links.links&where=%7B%22level%22%3A0%7D";

#[actix_web::test]
async fn an_include_that_multiplies_is_refused_in_little_memory() {
    for width in [10, 18] {
        let database = TestDatabase::empty().await;
        let program = Program::on_free_port(&database, &json!({"allowCustomObjectId": true}));
        program.until_healthy();
        let client = Client::at(program.port());
        for node in chain(width) {
            client.post("/parse/classes/Node", node).await.ok();
        }
        let shallow =
            client.get("/parse/classes/Node?include=links.links&where=%7B%22level%22%3A0%7D").await.ok();
        assert_eq!(shallow["results"][0]["links"][0]["links"][0]["level"], 2);
        let before = program.peak_memory_kib();
        for _ in 0..4 {
            let refused = client.get(DEEP).await;
            let text = "The response exceeds the limit of 100000 objects.";
            assert_eq!(refused.error(), (400, 102, text));
        }
        let grown = program.peak_memory_kib().saturating_sub(before);
        // Nothing of the answer is written for it.
        assert!(grown < 12 * 1024, "{width}: {grown} KiB more");
        client.get("/parse/classes/Node/n0").await.ok();
    }
}

/// Weighed before it is written: not one object more or less than is shown. 5,461 objects are written on a thread of
/// their own.
#[actix_web::test]
async fn an_include_is_weighed_to_the_object() {
    for (most, is_answered) in [(5461, true), (5460, false)] {
        let complexity = json!({"requestComplexity": {"responseObjects": most}, "allowCustomObjectId": true});
        let server = TestServer::with(complexity).await;
        let client = server.anonymous();
        for node in chain(4) {
            client.post("/classes/Node", node).await.ok();
        }
        let include = "include=links.links.links.links.links.links";
        for path in [
            format!("/classes/Node?{include}&where=%7B%22level%22%3A0%7D"),
            format!("/classes/Node/n0?{include}"),
        ] {
            let answer = client.get(&path).await;
            if is_answered {
                assert_eq!(answer.status, 200, "{}", answer.text.get(..200).unwrap_or_default());
                assert_eq!(answer.text.matches("\"objectId\"").count(), 5461, "{path}");
                assert_eq!(answer.text.matches("\"level\":6").count(), 4096, "{path}");
            } else {
                let text = "The response exceeds the limit of 5460 objects.";
                assert_eq!(answer.error(), (400, 102, text), "{path}");
            }
        }
    }
}

async fn with_large_objects(options: Value) -> (TestServer, Vec<String>) {
    let server = TestServer::with(options).await;
    let mut paths = Vec::new();
    for n in 0..10 {
        let body = json!({"n": n, "text": "x".repeat(5000)});
        let made = server.anonymous().post("/classes/Large", body).await.ok();
        paths.push(format!("/parse/classes/Large/{}", made["objectId"].as_str().unwrap()));
    }
    (server, paths)
}

fn small() -> Value {
    json!({"requestComplexity": {"responseBytes": 20_000, "masterResponseBytes": 40_000}})
}

const TOO_LONG: &str = "The response exceeds the limit of 20000 bytes.";

#[actix_web::test]
async fn the_items_of_a_batch_share_one_budget() {
    let (server, paths) = with_large_objects(small()).await;
    let (client, master) = (server.anonymous(), server.master());
    assert_eq!(client.get("/classes/Large?limit=3").await.status, 200);
    assert_eq!(client.get("/classes/Large").await.error(), (400, 102, TOO_LONG));
    let gets: Vec<_> = paths.iter().map(|path| json!({"method": "GET", "path": path})).collect();
    let answer = client.post("/batch", json!({"requests": gets})).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.len() < 22_000, "{} bytes", answer.text.len());
    let items = answer.body.as_array().unwrap();
    let refused: Vec<_> = items.iter().filter_map(|item| item.get("error")).collect();
    assert!((6..10).contains(&refused.len()), "{} refused", refused.len());
    assert!(refused.iter().all(|error| **error == json!({"code": 102, "error": TOO_LONG})), "{refused:?}");
    // All or nothing, in the same words.
    let refused = client.post("/batch", json!({"requests": gets, "transaction": true})).await;
    assert_eq!(refused.error(), (400, 102, TOO_LONG));
    // The master key has more, not everything.
    assert_eq!(master.get("/classes/Large?limit=6").await.status, 200);
    assert_eq!(master.get("/classes/Large").await.error().1, 102);
    let pipeline = "%5B%7B%22%24sort%22%3A%7B%22n%22%3A1%7D%7D%5D";
    assert_eq!(master.get(&format!("/aggregate/Large?pipeline={pipeline}")).await.error().1, 102);
    // A write that is done is no failure.
    let mut writes = gets;
    let path = paths.first().unwrap();
    writes.push(json!({"method": "PUT", "path": path, "body": {"n": {"__op": "Increment", "amount": 100}}}));
    let answer = client.post("/batch", json!({"requests": writes})).await;
    assert!(answer.body[10]["success"]["updatedAt"].is_string(), "{}", answer.text);
}

#[actix_web::test]
async fn objects_are_counted_before_they_are_read() {
    let (server, _) = with_large_objects(json!({"requestComplexity": {"responseObjects": 5}})).await;
    let client = server.anonymous();
    assert_eq!(client.get("/classes/Large?limit=5").await.status, 200);
    let text = "The response exceeds the limit of 5 objects.";
    assert_eq!(client.get("/classes/Large?limit=6").await.error(), (400, 102, text));
    assert_eq!(client.get("/classes/Large?limit=1000000000").await.error(), (400, 102, text));
    assert_eq!(client.get("/classes/Large?limit=0&count=1").await.ok()["count"], 10);
    assert_eq!(server.master().get("/classes/Large").await.ok()["results"].as_array().unwrap().len(), 10);
}

const CODE: &str = r#"
Parse.Cloud.define('long', () => 'x'.repeat(50000));
Parse.Cloud.define('short', () => 'x');
Parse.Cloud.afterFind('Swollen', ({ objects }) => {
  for (const object of objects) object.set('text', 'x'.repeat(50000));
  return objects;
});
Parse.Cloud.afterFind('Plain', ({ objects }) => objects);
"#;

#[actix_web::test]
async fn what_code_answers_is_counted_too() {
    let folder = folder_with(CODE);
    let mut options = small();
    options["cloud"] = json!(folder.path().join("main.js"));
    let server = TestServer::with(options).await;
    let client = server.anonymous();
    assert_eq!(client.post("/functions/short", json!({})).await.ok()["result"], "x");
    assert_eq!(client.post("/functions/long", json!({})).await.error(), (400, 102, TOO_LONG));
    client.post("/classes/Swollen", json!({})).await.ok();
    assert_eq!(client.get("/classes/Swollen").await.error(), (400, 102, TOO_LONG));
    // What passes through a trigger is counted once.
    client.post("/classes/Plain", json!({"text": "x".repeat(15_000)})).await.ok();
    assert_eq!(client.get("/classes/Plain").await.status, 200);
    client.post("/classes/Plain", json!({"text": "x".repeat(15_000)})).await.ok();
    assert_eq!(client.get("/classes/Plain").await.error(), (400, 102, TOO_LONG));
}
