//! The same at the doors: what is beyond a limit, or what PostgreSQL cannot say, is a Parse error, at once, for
//! the master key as well; what programs ask for works.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::injection::is_clean;
use crate::support::server::{APP_ID, Answer, TestServer};

/// The code of a 400, with which nothing internal is told.
fn code(answer: &Answer) -> i64 {
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(is_clean(answer), "{}", answer.text);
    answer.error().1
}

fn joined(count: usize, name: impl Fn(usize) -> String) -> String {
    (0..count).map(name).collect::<Vec<_>>().join(",")
}

#[actix_web::test]
async fn lists_of_names() {
    let server = TestServer::start().await;
    server.anonymous().post("/classes/A", json!({"a": 1})).await.ok();
    for client in [server.anonymous(), server.master()] {
        let deep = "a.".repeat(4_000) + "a";
        let many = joined(100_000, |n| format!("a{n}"));
        for key in ["keys", "excludeKeys", "include", "order"] {
            for list in [&deep, &many] {
                let body = json!({"_method": "GET", key: list});
                assert_eq!(code(&client.post("/classes/A", body).await), 102, "{key}");
            }
            if key != "order" {
                let body = json!({"_method": "GET", key: many});
                assert_eq!(code(&client.post("/classes/A/x", body).await), 102, "{key}");
            }
        }
        let fair = joined(900, |n| format!("a{n}"));
        let order = joined(100, |n| format!("a{n}"));
        let body = json!({"_method": "GET", "keys": fair, "excludeKeys": fair, "order": order});
        client.post("/classes/A", body).await.ok();
    }
}

#[actix_web::test]
async fn conditions() {
    let server = TestServer::start().await;
    let point = json!({"__type": "GeoPoint", "latitude": 1, "longitude": 1});
    let object = json!({"s": "a", "n": 1, "o": {"a": 1}, "l": [1], "g": point,
        "at": {"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"}});
    server.anonymous().post("/classes/A", object).await.ok();
    let early = json!({"__type": "Date", "iso": "-4800-01-01T00:00:00.000Z"});
    let names: Vec<String> = (0..60_000).map(|n| format!("a{n}")).collect();
    for client in [server.anonymous(), server.master()] {
        for condition in [
            json!({"s": {"$regex": "(".repeat(400_000)}}),
            json!({"s": {"$regex": "((a*){100}){10}"}}),
            json!({"s": {"$regex": "a?".repeat(4_000)}}),
            json!({"s": {"$regex": "***=a"}}),
            json!({"s": {"$regex": "***:a"}}),
            json!({"l": {"$regex": "***=a"}}),
            json!({"s": {"$text": {"$search": {"$term": "coffee ".repeat(150_000)}}}}),
            json!({"at": {"$gt": early}}),
            json!({"at": early}),
            json!({"at": {"$in": [early]}}),
            json!({"createdAt": {"$lte": early}}),
            json!({"s": {"$in": names}}),
            json!({"o.a": {"$all": names}}),
            json!({"$or": names.iter().map(|name| json!({"s": name})).collect::<Vec<_>>()}),
        ] {
            assert_eq!(code(&client.find("A", json!({"where": condition})).await), 102);
        }
        let long = format!("o.{}", "a".repeat(5_000));
        assert_eq!(code(&client.find("A", json!({"where": {long: 1}})).await), 105);
        let fair = &names[..20_000];
        for condition in [
            json!({"s": {"$in": fair}}),
            json!({"n": {"$nin": fair}}),
            json!({"$or": fair[..1_000].iter().map(|name| json!({"s": name})).collect::<Vec<_>>()}),
            json!({"o.a": {"$all": fair[..2_000]}}),
            json!({"s": {"$text": {"$search": {"$term": "a b -c -d \"a\""}}}}),
            json!({"at": {"$lt": {"__type": "Date", "iso": "+300000-01-01T00:00:00.000Z"}}}),
            json!({"at": {"$lt": "-4800-01-01T00:00:00.000Z"}}),
        ] {
            client.find("A", json!({"where": condition, "limit": 1})).await.ok();
        }
        let found = client.find("A", json!({"where": {"s": {"$in": ["b", "a"]}}})).await.ok();
        assert_eq!(found["results"].as_array().map(Vec::len), Some(1));
    }
}

#[actix_web::test]
async fn writes() {
    let server = TestServer::with(json!({"allowClientClassCreation": true})).await;
    let client = server.anonymous();
    let pointer = |n: usize| json!({"__type": "Pointer", "className": "B", "objectId": format!("b{n}")});
    let relation =
        |op: &str, count: usize| json!({"__op": op, "objects": (0..count).map(pointer).collect::<Vec<_>>()});
    let made = client
        .post("/classes/A", json!({"o": {"x": 1}, "l": [], "r": relation("AddRelation", 1)}))
        .await
        .ok();
    let path = format!("/classes/A/{}", made["objectId"].as_str().expect("an id"));
    // Large, and fast.
    for op in ["AddRelation", "RemoveRelation"] {
        client.put(&path, json!({"r": relation(op, 50_000)})).await.ok();
    }
    let numbers: Vec<u32> = (0..50_000).collect();
    for (op, left) in [("AddUnique", 50_000), ("AddUnique", 50_000), ("Remove", 0)] {
        let answer = client.put(&path, json!({"l": {"__op": op, "objects": numbers}})).await.ok();
        assert_eq!(answer["l"].as_array().map(Vec::len), Some(left), "{op}");
    }
    // Beyond.
    let dotted: Value = (0..20_000).map(|n| (format!("o.a{n}"), Value::from(n))).collect();
    let wide: Value = (0..2_000).map(|n| (format!("f{n}"), Value::from(true))).collect();
    let deep = json!({(format!("o{}", ".a".repeat(4_000))): 1});
    for (body, expected) in [
        (json!({"r": relation("AddRelation", 50_001)}), 107),
        (json!({"l": {"__op": "Add", "objects": (0..50_001).collect::<Vec<_>>()}}), 107),
        (dotted, 107),
        (wide.clone(), 107),
        (deep, 105),
        (json!({"r": null}), 111),
        (json!({"r": {"__op": "Delete"}}), 111),
        (json!({"o": {"__op": "AddRelation", "objects": [{"objectId": "x"}]}}), 111),
        (json!({"nosuch": {"__op": "AddRelation", "objects": [{"objectId": "x"}]}}), 111),
        (json!({"at": {"__type": "Date", "iso": "-4800-01-01T00:00:00.000Z"}}), 111),
        (json!({"at": {"__type": "Date", "iso": "+300000-01-01T00:00:00.000Z"}}), 111),
    ] {
        assert_eq!(code(&client.put(&path, body.clone()).await), expected);
        if expected != 111 {
            assert_eq!(code(&client.post("/classes/New", body).await), expected);
        }
    }
    let providers: Value = (0..20_000).map(|n| (format!("p{n}"), Value::Null)).collect();
    let user = json!({"username": "ann", "password": "x", "authData": providers});
    assert_eq!(code(&client.post("/users", user).await), 107);
    let params: Value = (0..20_000).map(|n| (format!("p{n}"), Value::from(n))).collect();
    assert_eq!(code(&server.master().put("/config", json!({"params": params})).await), 107);
    let half: Value = (0..1_000).map(|n| (format!("f{n}"), Value::from(true))).collect();
    let other: Value = (0..1_000).map(|n| (format!("g{n}"), Value::from(true))).collect();
    client.post("/classes/Wide", half).await.ok();
    assert_eq!(code(&client.post("/classes/Wide", other).await), 105);
    let fields: Value = (0..1_600).map(|n| (format!("f{n}"), json!({"type": "Number"}))).collect();
    let schema = json!({"className": "Schema", "fields": fields});
    assert_eq!(code(&server.master().post("/schemas/Schema", schema).await), 105);
    let some: Value = (0..500).map(|n| (format!("o.a{n}"), Value::from(n))).collect();
    client.put(&path, some).await.ok();
    assert_eq!(client.get(&path).await.ok()["o"]["a499"], 499);
}

#[actix_web::test]
async fn multipart_bodies() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    for boundary in ["-".repeat(60_000), "-".repeat(71)] {
        let kind = format!("multipart/form-data; boundary={boundary}");
        let body = "-".repeat(1_000_000);
        let headers = [("Content-Type", kind.as_str())];
        let answer = client.send_with(Method::POST, "/functions/x", Some(body.into()), &headers).await;
        assert!(matches!(answer.status, 400 | 431), "{}", answer.text);
    }
}

#[actix_web::test]
async fn several_origins_vary() {
    let vary = async |origins: Value| {
        let server = TestServer::with(json!({"allowOrigin": origins})).await;
        let request =
            reqwest::Client::new().get(server.url("/parse/classes/A")).header("Origin", "https://b.example");
        let request = request.header("X-Parse-Application-Id", APP_ID);
        let response = request.send().await.expect("an answer");
        let header =
            |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap_or_default().to_owned());
        (header("vary"), header("access-control-allow-origin"))
    };
    let both = json!(["https://a.example", "https://b.example"]);
    assert_eq!(vary(both).await, (Some("Origin".into()), Some("https://b.example".into())));
    assert_eq!(vary(json!(["https://a.example"])).await, (None, Some("https://a.example".into())));
}
