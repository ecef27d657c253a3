//! Whatever a client sends, its mistakes are its own: never a 5xx, never a panic, and the server goes
//! on serving.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Client, TestServer};

/// Any JSON, with names that the API itself gives a meaning among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        odd_text().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((odd_key(), inner), 0..4)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z]{0,8}",
        prop::sample::select(vec![
            "",
            "\"",
            "'",
            "a\"b",
            "a'b; DROP TABLE x",
            "$1",
            "\\",
            "\u{0}",
            "a.b",
            "..",
            "%",
            "Date",
            "Pointer",
            "GeoPoint",
            "File",
            "Bytes",
            "Polygon",
            "Relation",
            "Object",
            "Increment",
            "Add",
            "AddUnique",
            "Remove",
            "Delete",
            "AddRelation",
            "Batch",
            "2020-01-01T00:00:00.000Z",
            "not a date",
            "_User",
        ])
        .prop_map(str::to_owned),
    ]
}

fn odd_key() -> impl Strategy<Value = String> {
    prop_oneof![
        odd_text(),
        "[a-z]{1,3}",
        prop::sample::select(vec![
            "__type",
            "__op",
            "className",
            "objectId",
            "amount",
            "objects",
            "ops",
            "iso",
            "latitude",
            "longitude",
            "coordinates",
            "name",
            "url",
            "base64",
            "ACL",
            "createdAt",
            "updatedAt",
            "_rperm",
            "$gt",
            "$in",
            "$ne",
            "$or",
            "$and",
            "$nor",
            "$regex",
            "$options",
            "$exists",
            "$all",
            "$inQuery",
            "$select",
            "$relatedTo",
            "$nearSphere",
            "$maxDistance",
            "$within",
            "$geoWithin",
            "$text",
            "$search",
            "where",
            "key",
            "query",
            "$containedBy",
            "$eq",
            "$relativeTime",
            "a.b",
            "a.0",
            "length",
            "__proto__",
            "constructor",
        ])
        .prop_map(str::to_owned),
    ]
}

/// Sends what `make` builds of each input; every answer must be below 500.
async fn try_inputs<S>(
    client: &Client,
    cases: u32,
    strategy: S,
    send: impl AsyncFn(&Client, S::Value) -> (u16, String),
) where
    S: Strategy,
    S::Value: Clone + std::fmt::Debug,
{
    let inputs = RefCell::new(Vec::new());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&strategy, |input| {
            inputs.borrow_mut().push(input);
            Ok(())
        })
        .unwrap();
    for input in inputs.into_inner() {
        let (status, text) = send(client, input.clone()).await;
        assert!(status < 500, "{status} {text} for {input:?}");
    }
    assert_eq!(client.get("/health").await.status, 200);
}

#[actix_web::test]
async fn bodies() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let body = prop::collection::vec((odd_key(), any_json()), 0..4);
    try_inputs(&client, 300, body, async |client, body| {
        let body = Value::Object(body.into_iter().collect());
        let answer = client.post("/classes/Fuzzed", body.clone()).await;
        if answer.status == 201 {
            let id = answer.body["objectId"].as_str().unwrap_or_default();
            let updated = client.put(&format!("/classes/Fuzzed/{id}"), body).await;
            return (updated.status, updated.text);
        }
        (answer.status, answer.text)
    })
    .await;
    assert!(client.get("/classes/Fuzzed").await.status < 500);
}

#[actix_web::test]
async fn queries() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let object = json!({
        "a": 1, "s": "text", "l": [1, "x", {"b": 1}], "o": {"b": {"c": 1}}, "t": true,
        "d": {"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"},
        "g": {"__type": "GeoPoint", "latitude": 1, "longitude": 2},
    });
    client.post("/classes/Asked", object).await.ok();
    let field = prop_oneof![
        prop::sample::select(vec!["a", "s", "l", "o", "o.b", "t", "d", "g"]).prop_map(str::to_owned),
        odd_key()
    ];
    let queries = (prop::collection::vec((field, any_json()), 0..3), odd_text(), odd_text(), any_json());
    try_inputs(&client, 400, queries, async |client, (filter, order, keys, limit)| {
        let filter = Value::Object(filter.into_iter().collect());
        let query = json!({"where": filter, "order": order, "keys": keys, "limit": limit, "count": 1});
        let answer = client.find("Asked", query).await;
        (answer.status, answer.text)
    })
    .await;
}

#[actix_web::test]
async fn paths() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let names = (odd_text(), odd_text(), prop::sample::select(vec!["GET", "PUT", "DELETE", "POST"]));
    try_inputs(&client, 300, names, async |client, (class, id, method)| {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let path = format!("/classes/{}/{}", encode(&class), encode(&id));
        let body = (method != "GET").then(|| "{\"a\":1}".into());
        let answer = client.send(Method::from_bytes(method.as_bytes()).unwrap(), &path, body).await;
        (answer.status, answer.text)
    })
    .await;
}

#[actix_web::test]
async fn bytes() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let bytes = prop::collection::vec(any::<u8>(), 0..64);
    let kinds = prop::sample::select(vec![
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin1",
        "nonsense",
    ]);
    try_inputs(&client, 300, (bytes, kinds), async |client, (bytes, kind)| {
        let headers = [("Content-Type", kind)];
        let answer = client.send_with(Method::POST, "/classes/Raw", Some(bytes.into()), &headers).await;
        (answer.status, answer.text)
    })
    .await;
}

#[actix_web::test]
async fn deep_json_in_a_large_body() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let answer = client.send(Method::POST, "/classes/Deep", Some(deep.into())).await;
    assert_eq!((answer.status, answer.body), (400, json!({"error": "JSON is nested too deeply"})));
    let large = json!({"a": "x".repeat(19 * 1024 * 1024)}).to_string();
    assert_eq!(client.send(Method::POST, "/classes/Large", Some(large.into())).await.status, 201);
    let larger = json!({"a": "x".repeat(21 * 1024 * 1024)}).to_string();
    // The server may close the connection while the rest is still being sent.
    let refused = client.send(Method::POST, "/classes/Large", Some(larger.into())).await;
    assert_eq!(
        (refused.status, refused.body),
        (413, json!({"code": 116, "error": "request entity too large"}))
    );
}
