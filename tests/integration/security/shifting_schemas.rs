//! Fields come and go while two servers are busy with their class: nobody is told of a fault of the server.

use std::cell::Cell;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::support::server::{Client, TestServer};

const CHANGES: usize = 12;

async fn change_fields(client: &Client, done: &Cell<bool>) {
    for turn in 0..CHANGES {
        let ty = if turn % 2 == 0 { "Number" } else { "String" };
        let gone = json!({"className": "Game", "fields": {"moving": {"__op": "Delete"}}});
        client.put("/schemas/Game", gone).await.ok();
        let back = json!({"className": "Game", "fields": {"moving": {"type": ty}}});
        let answer = client.put("/schemas/Game", back).await;
        // A create may have been first, with its own idea of the type.
        assert!(answer.status < 500, "{}", answer.text);
    }
    done.set(true);
}

async fn use_class(client: &Client, number: usize, done: &Cell<bool>) -> usize {
    let mut requests = 0;
    while !done.get() {
        let moving: Value = if requests % 2 == 0 { json!(1) } else { json!("one") };
        let answers = [
            client.get("/classes/Game?limit=5").await,
            client.get("/classes/Game?limit=5&keys=name").await,
            client.post("/classes/Game", json!({"name": format!("n{number}")})).await,
            client.post("/classes/Game", json!({"name": "m", "moving": moving.clone()})).await,
            client.put("/classes/Game/fixed", json!({"name": "x"})).await,
            client.find("Game", json!({"where": json!({"moving": moving}).to_string(), "limit": 3})).await,
            client
                .post(
                    "/batch",
                    json!({"requests": (0..3).map(|_| json!({
                        "method": "POST", "path": "/parse/classes/Game", "body": {"name": "b"},
                    })).collect::<Vec<_>>()}),
                )
                .await,
            client
                .post(
                    "/batch",
                    json!({"transaction": true, "requests": (0..2).map(|_| json!({
                        "method": "POST", "path": "/parse/classes/Game", "body": {"name": "t"},
                    })).collect::<Vec<_>>()}),
                )
                .await,
            client.put("/classes/Game?where={\"name\":\"t\"}", json!({"name": "u"})).await,
            client.delete("/classes/Game?where={\"name\":\"u\"}").await,
            client.get("/aggregate/Game?pipeline=[{\"$group\":{\"_id\":\"$name\"}}]").await,
        ];
        for answer in answers {
            assert!(
                !answer.text.contains("does not suit") || answer.text.contains("moving"),
                "{}",
                answer.text
            );
            assert!(answer.status < 500, "{}", answer.text);
            assert!(!answer.text.contains("internal server error"), "{}", answer.text);
        }
        requests += 1;
    }
    requests
}

/// A class whose finds go through code, which sees each request once.
#[actix_web::test]
async fn finds_with_triggers_survive_changes_of_their_class() {
    let main = "Parse.Cloud.beforeFind('Game', ({ query }) => { query.exists('name'); });
                Parse.Cloud.afterFind('Game', ({ objects }) => objects);";
    let folder = crate::http_cloud::folder_with(main);
    let server = TestServer::with(json!({"cloud": folder.path().join("main.js")})).await;
    let master = server.master();
    for number in 0..5 {
        master.post("/classes/Game", json!({"name": "a", "moving": number})).await.ok();
    }
    let done = Cell::new(false);
    let find = async || {
        let mut rounds = 0;
        while !done.get() {
            let found = master.get("/classes/Game?limit=5").await.ok();
            assert_eq!(found["results"].as_array().map(Vec::len), Some(5));
            rounds += 1;
        }
        rounds
    };
    let (_, rounds) = join(change_fields(&master, &done), join_all([find(), find(), find()])).await;
    assert!(rounds.iter().all(|rounds| *rounds > 0));
}

#[actix_web::test]
async fn requests_survive_changes_of_their_class() {
    let first = TestServer::with(json!({"allowCustomObjectId": true})).await;
    let uri = first.database().uri.clone();
    let second = TestServer::with(json!({"allowCustomObjectId": true, "databaseURI": uri})).await;
    let master = first.master();
    master.post("/classes/Game", json!({"objectId": "fixed", "name": "a", "moving": 1})).await.ok();
    let done = Cell::new(false);
    let clients = [first.master(), second.master(), first.master(), second.master()];
    let traffic = join_all(clients.iter().enumerate().map(|(n, client)| use_class(client, n, &done)));
    let (_, rounds) = join(change_fields(&master, &done), traffic).await;
    assert!(rounds.iter().all(|rounds| *rounds > 0));
}

/// Each relation is a table.
#[actix_web::test]
async fn one_write_makes_a_bounded_number_of_relations() {
    let server = TestServer::start().await;
    let client = server.master();
    let user = json!({"__type": "Pointer", "className": "_User", "objectId": "u"});
    let body = |count: usize| {
        let add = json!({"__op": "AddRelation", "objects": [user]});
        let fields = (0..count).map(|n| (format!("r{n}"), add.clone()));
        Value::Object(fields.collect())
    };
    let answer = client.post("/classes/Wide", body(101)).await;
    assert_eq!(answer.error().1, 105, "{}", answer.text);
    client.post("/classes/Wide", body(3)).await.ok();
    let id = client.post("/classes/Wide", json!({})).await.ok()["objectId"].clone();
    let path = format!("/classes/Wide/{}", id.as_str().unwrap());
    assert_eq!(client.put(&path, body(104)).await.error().1, 105);
}
