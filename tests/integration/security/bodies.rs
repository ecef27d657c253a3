//! JSON whose values take many times their text in memory: counted, and refused, before it is read.

use reqwest::Method;
use serde_json::json;

use crate::http_process::Program;
use crate::support::database::TestDatabase;
use crate::support::server::{Client, TestServer};

/// Bytes of a body, below `maxUploadSize`.
const LENGTH: usize = 18_000_000;

#[actix_web::test]
async fn too_many_values_are_refused_in_little_memory() {
    let database = TestDatabase::empty().await;
    let program = Program::on_free_port(&database, &json!({}));
    program.until_healthy();
    let client = Client::at(program.port());
    client.post("/parse/classes/A", json!({"n": 1})).await.ok();
    let before = program.peak_memory_kib();
    for element in ["0,", "[],", "{},", "\"\",", "[0],"] {
        let list_of = |length: usize| format!("[{}0]", element.repeat(length / element.len()));
        // JSON in a text within JSON, which takes a backslash for each quote.
        let text = format!("{{\"n\":{}}}", list_of(LENGTH / 2));
        let condition = json!({"where": text, "_method": "GET"});
        let refused = client.post("/parse/classes/A", condition).await;
        assert_eq!(refused.status, 400, "{element} {}", refused.text.get(..200).unwrap_or_default());
        let list = list_of(LENGTH);
        for body in [format!("{{\"a\":{list}}}"), list] {
            let refused = client.send(Method::POST, "/parse/classes/A", Some(body.into())).await;
            let text = "The body holds more than 1000000 values.";
            assert_eq!(refused.error(), (413, 116, text), "{element}");
        }
    }
    let grown = program.peak_memory_kib().saturating_sub(before);
    // Little more than the text: the values would take a gigabyte.
    assert!(grown < 150 * 1024, "{grown} KiB more");
    client.get("/parse/classes/A?limit=1").await.ok();
}

#[actix_web::test]
async fn long_bodies_of_few_values_are_taken() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    // What looks like values within a text is none.
    let text = ",[{\"\\".repeat(500_000);
    let made = client.post("/classes/A", json!({ "text": text, "list": vec![1; 100_000] })).await.ok();
    let path = format!("/classes/A/{}", made["objectId"].as_str().unwrap());
    let found = client.get(&path).await.ok();
    assert!(found["text"] == text.as_str(), "the text is another one");
    assert_eq!(found["list"].as_array().unwrap().len(), 100_000);
    // What is no JSON is told, however long it is.
    let broken = format!("{{\"a\":\"{}", "x".repeat(1_000_000));
    let refused = client.send(Method::POST, "/classes/A", Some(broken.into())).await;
    assert_eq!(refused.error(), (400, 0, "Unexpected end of JSON input"));
}

/// The condition behind a cursor holds its values once for each key of the order: of long ones it would be hundreds of
/// megabytes.
#[actix_web::test]
async fn cursors_of_long_values_are_refused() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    for (class, length, is_taken) in [("Short", 1_000, true), ("Long", 100_000, false)] {
        for n in 0..2 {
            client.post(&format!("/classes/{class}"), json!({"text": "x".repeat(length), "n": n})).await.ok();
        }
        let first = json!({"order": "text,n", "limit": 1, "cursor": true});
        let cursor = client.find(class, first).await.ok()["cursor"].clone();
        let next = json!({"order": "text,n", "limit": 1, "after": cursor});
        let answer = client.find(class, next).await;
        if is_taken {
            assert_eq!(answer.ok()["results"][0]["n"], 1);
        } else {
            let text = "Invalid value for after: not a cursor of this order";
            assert_eq!(answer.error(), (400, 102, text));
        }
    }
}
