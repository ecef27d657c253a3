//! Names that come from clients: fields, paths, sort keys, operands. None may become SQL, and no answer
//! may show any.

use serde_json::{Value, json};

use crate::support::server::{Answer, TestServer};
use crate::users_sign_up::sign_up;

/// Each would do something as a piece of SQL.
const HOSTILE: [&str; 16] = [
    "a\"; DROP TABLE \"Target\"; --",
    "a'; DROP TABLE \"Target\"; --",
    "a\" = 1 OR 1=1 --",
    "a') OR ('1'='1",
    "a::int",
    "a->>'b'",
    "a\\'; SELECT 1 --",
    "$1",
    "a b",
    "a\u{0}b",
    "a/**/b",
    "a\n--",
    "%27%22",
    "a;b",
    "pg_sleep(3)",
    "(SELECT version())",
];

/// Nothing a database, a library or a file path would say.
pub fn is_clean(answer: &Answer) -> bool {
    let text = answer.text.to_lowercase();
    let leaks = [
        "syntax error",
        "postgres",
        "relation \\\"",
        "column \\\"",
        "sqlstate",
        "diesel",
        "select ",
        "insert into",
        "pg_",
        "src/",
        ".rs:",
        "panicked",
        "tokio",
        "duplicate key",
        "constraint",
        "backtrace",
    ];
    answer.status != 500 && leaks.iter().all(|leak| !text.contains(leak))
}

#[track_caller]
fn assert_clean(answer: &Answer, attack: &str) {
    assert_ne!(answer.status, 500, "{attack}: {}", answer.text);
    // Objects hold what was stored in them.
    if answer.status < 400 {
        return;
    }
    // What the client itself said may come back to it.
    let escaped = json!(attack).to_string().to_lowercase();
    let text =
        answer.text.to_lowercase().replace(escaped.trim_matches('"'), "").replace(&attack.to_lowercase(), "");
    let rest = Answer { status: answer.status, body: Value::Null, text, headers: answer.headers.clone() };
    assert!(is_clean(&rest), "{attack}: {}", answer.text);
}

#[actix_web::test]
async fn names_are_never_sql() {
    let server = TestServer::start().await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    let row = json!({"a": 1, "o": {"k": 1}, "list": [1], "text": "x", "owner": null});
    let id =
        server.anonymous().post("/classes/Target", row).await.ok()["objectId"].as_str().unwrap().to_owned();
    let path = format!("/classes/Target/{id}");
    for client in [server.session(&token), server.master()] {
        for name in HOSTILE {
            let dotted = format!("o.{name}");
            for key in [name, dotted.as_str()] {
                let answers = [
                    client.find("Target", json!({"where": {key: 1}})).await,
                    client.find("Target", json!({"where": {key: {"$exists": true}}})).await,
                    client.find("Target", json!({"where": {"$or": [{key: "x"}]}})).await,
                    client.find("Target", json!({"order": key})).await,
                    client.find("Target", json!({"order": format!("-{key},a")})).await,
                    client.find("Target", json!({"keys": key})).await,
                    client.find("Target", json!({"excludeKeys": key})).await,
                    client.find("Target", json!({"include": key})).await,
                    client.find("Target", json!({"redirectClassNameForKey": key})).await,
                    client.find("Target", json!({"where": {"a": {"$select":
                        {"query": {"className": "Target", "where": {}}, "key": key}}}})).await,
                    client.find("Target", json!({"where": {"$relatedTo":
                        {"object": {"__type": "Pointer", "className": "Target", "objectId": id}, "key": key}}})).await,
                    client.put(&path, json!({key: {"__op": "Increment", "amount": 1}})).await,
                    client.put(&path, json!({key: {"__op": "Add", "objects": [1]}})).await,
                    client.put(&path, json!({key: {"__op": "Delete"}})).await,
                    client.put(&path, json!({key: "value"})).await,
                    client.put(&path, json!({"o": {key: "value"}})).await,
                    client.post("/classes/Target", json!({key: 1})).await,
                    client.post("/classes/Target", json!({"o": {"deep": {key: 1}}})).await,
                ];
                for answer in answers {
                    assert_clean(&answer, key);
                }
            }
            let found = client.find(name, json!({})).await;
            assert!(found.status < 500, "{name} {}", found.text);
            for body in [
                json!({"where": {"a": {"$inQuery": {"className": name, "where": {}}}}}),
                json!({"where": {"a": {"$inQuery": {"className": "Target", "where": {name: 1}}}}}),
                json!({"where": {"o": {"__type": "Pointer", "className": name, "objectId": name}}}),
                json!({"where": {"text": {"$text": {"$search": {"$term": name}}}}}),
                json!({"where": {"text": {"$text": {"$search": {"$term": "x", "$language": name}}}}}),
                json!({"where": {"text": {"$regex": name, "$options": "i"}}}),
                json!({"where": {"text": name, "objectId": name}}),
                json!({"where": {"text": {"$in": [name]}, "createdAt": {"$gt": {"__type": "Date", "iso": name}}}}),
            ] {
                let answer = client.find("Target", body).await;
                assert_clean(&answer, name);
            }
            let link = json!({"link": {"__type": "Pointer", "className": name, "objectId": "x"}});
            assert_clean(&client.post("/classes/Target", link).await, name);
        }
    }
    let row = server.master().get(&path).await.ok();
    assert_eq!(row["objectId"], id.as_str());
    // What such a name may be: a value.
    let value = json!({"text": HOSTILE[0], "o": {"quote'\"": HOSTILE[1]}});
    server.session(&token).put(&path, value).await.ok();
    let found = server.anonymous().find("Target", json!({"where": {"text": HOSTILE[0]}})).await.ok();
    assert_eq!(found["results"][0]["o"]["quote'\""], HOSTILE[1]);
    let nested =
        server.anonymous().find("Target", json!({"where": {"o.quote": {"$exists": false}}})).await.ok();
    assert!(!nested["results"].as_array().unwrap().is_empty());
}

#[actix_web::test]
async fn names_in_pipelines_are_never_sql() {
    let server = TestServer::start().await;
    server.anonymous().post("/classes/Target", json!({"a": 1, "o": {"k": 1}, "list": [1]})).await.ok();
    let master = server.master();
    for name in HOSTILE {
        let field = format!("${name}");
        for pipeline in [
            json!([{"$group": {"_id": field}}]),
            json!([{"$group": {"_id": null, name: {"$sum": 1}}}]),
            json!([{"$group": {"_id": {name: "$a"}, "n": {"$sum": field}}}]),
            json!([{"$group": {"_id": null, "n": {name: "$a"}}}]),
            json!([{"$match": {name: 1}}]),
            json!([{"$match": {format!("o.{name}"): 1}}]),
            json!([{"$project": {name: 1}}]),
            json!([{"$project": {"x": field}}]),
            json!([{"$project": {"x": {name: "$a"}}}]),
            json!([{"$addFields": {name: "$a"}}]),
            json!([{"$sort": {name: 1}}]),
            json!([{"$unwind": field}]),
            json!([{"$unset": name}]),
            json!([{"$count": name}]),
            json!([{"$lookup": {"from": name, "localField": name, "foreignField": name, "as": name}}]),
            json!([{name: {}}]),
        ] {
            let text: String =
                url::form_urlencoded::byte_serialize(pipeline.to_string().as_bytes()).collect();
            let answer = master.get(&format!("/aggregate/Target?pipeline={text}")).await;
            assert_ne!(answer.status, 500, "{pipeline} {}", answer.text);
        }
        let text: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let answer = master.get(&format!("/aggregate/Target?distinct={text}")).await;
        assert_ne!(answer.status, 500, "{name} {}", answer.text);
    }
    assert_eq!(master.find("Target", json!({})).await.ok()["results"].as_array().unwrap().len(), 1);
}

/// Names in schemas, permissions and configuration, which only a master writes and anybody causes to be read.
#[actix_web::test]
async fn names_in_schemas_are_never_sql() {
    let server = TestServer::start().await;
    let master = server.master();
    master.post("/schemas", json!({"className": "Target", "fields": {"a": {"type": "Number"}}})).await.ok();
    for name in HOSTILE {
        for answer in [
            master.post("/schemas", json!({"className": name})).await,
            master.put("/schemas/Target", json!({"fields": {name: {"type": "String"}}})).await,
            master
                .put("/schemas/Target", json!({"fields": {"p": {"type": "Pointer", "targetClass": name}}}))
                .await,
            master.put("/schemas/Target", json!({"indexes": {name: {"a": 1}}})).await,
            master.put("/schemas/Target", json!({"indexes": {"i": {name: 1}}})).await,
            master.put("/schemas/Target", json!({"classLevelPermissions": {"find": {name: true}}})).await,
            master
                .put("/schemas/Target", json!({"classLevelPermissions": {"protectedFields": {"*": [name]}}}))
                .await,
            master.put("/config", json!({"params": {name: 1}})).await,
            master.post("/hooks/functions", json!({"functionName": name, "url": name})).await,
            master.post("/roles", json!({"name": name, "ACL": {name: {"read": true}}})).await,
            server.anonymous().post("/functions/x", json!({name: 1})).await,
            server
                .anonymous()
                .post("/users", json!({"username": name, "password": name, "authData": {name: {"id": "x"}}}))
                .await,
        ] {
            assert_ne!(answer.status, 500, "{name} {}", answer.text);
        }
    }
    server.anonymous().post("/classes/Target", json!({"a": 1})).await.ok();
}
