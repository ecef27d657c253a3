//! `/batch`, with and without a transaction, and idempotency.

use serde_json::{Value, json};

use crate::support::server::{Client, TestServer};

fn create(class: &str, body: Value) -> Value {
    json!({"method": "POST", "path": format!("/parse/classes/{class}"), "body": body})
}

async fn count(client: &Client, class: &str) -> i64 {
    let found = client.find(class, json!({"count": 1, "limit": 0})).await.ok();
    found["count"].as_i64().unwrap()
}

#[actix_web::test]
async fn answers_come_in_order_each_with_its_own_outcome() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let kept = client.post("/classes/B", json!({"n": 0})).await.ok();
    let id = kept["objectId"].as_str().unwrap();
    let answer = client
        .post(
            "/batch",
            json!({"requests": [
                create("B", json!({"n": 1})),
                {"method": "GET", "path": format!("/parse/classes/B/{id}")},
                create("B", json!({"n": "text"})),
                {"method": "PUT", "path": format!("/parse/classes/B/{id}"), "body": {"n": {"__op": "Increment", "amount": 5}}},
                {"method": "DELETE", "path": "/parse/classes/B/missing"},
                create("B", json!({"n": 2})),
                {"method": "GET", "path": "/parse/schemas"},
            ]}),
        )
        .await
        .ok();
    assert!(answer[0]["success"]["objectId"].is_string(), "{answer}");
    assert_eq!(answer[1]["success"]["objectId"], id);
    assert_eq!(answer[2]["error"]["code"], 111);
    assert_eq!(answer[3]["success"]["n"], 5);
    assert_eq!(answer[4]["error"], json!({"code": 101, "error": "Object not found."}));
    assert!(answer[5]["success"]["objectId"].is_string());
    assert_eq!(answer[6]["error"], json!({"error": "Permission denied"}));
    assert_eq!(count(&client, "B").await, 3);
}

#[actix_web::test]
async fn many_creates_keep_their_order() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let requests: Vec<_> =
        (0..60).map(|n| create(if n % 2 == 0 { "Even" } else { "Odd" }, json!({"n": n}))).collect();
    let answers = client.post("/batch", json!({"requests": requests})).await.ok();
    for (n, answer) in answers.as_array().unwrap().iter().enumerate() {
        let class = if n % 2 == 0 { "Even" } else { "Odd" };
        let id = answer["success"]["objectId"].as_str().unwrap();
        assert_eq!(client.get(&format!("/classes/{class}/{id}")).await.ok()["n"], n);
    }
}

#[actix_web::test]
async fn malformed_batches_are_refused_as_a_whole() {
    let server = TestServer::with(json!({"requestComplexity": {"batchRequestLimit": 3}})).await;
    let client = server.anonymous();
    let refused = async |requests: Value| {
        let answer = client.post("/batch", json!({"requests": requests})).await;
        let (status, code, text) = answer.error();
        assert_eq!((status, code), (400, 107), "{}", answer.text);
        text.to_owned()
    };
    assert_eq!(refused(json!({})).await, "requests must be an array");
    assert_eq!(refused(json!([1])).await, "batch request path must be a string");
    assert_eq!(refused(json!([{"method": "GET"}])).await, "batch request path must be a string");
    assert_eq!(
        refused(json!([{"method": "GET", "path": "/classes/A"}])).await,
        "cannot route batch path /classes/A"
    );
    assert_eq!(
        refused(json!([{"method": "POST", "path": "/parse/x/../batch"}])).await,
        "nested batch requests are not allowed"
    );
    for other in ["/parse/batch/", "/parse/BATCH", "/parse//batch"] {
        let requests = json!([{"method": "post", "path": other}]);
        assert_eq!(refused(requests).await, "nested batch requests are not allowed", "{other}");
    }
    for (method, text) in [(json!("PATCH"), "PATCH"), (json!("get"), "get"), (Value::Null, "null")] {
        let requests = json!([create("A", json!({})), {"method": method, "path": "/parse/classes/A"}]);
        assert_eq!(refused(requests).await, format!("cannot route {text} /classes/A"));
    }
    assert_eq!(
        refused(json!([create("A", json!({})), {"path": "/parse/nowhere"}])).await,
        "cannot route undefined /nowhere"
    );
    assert_eq!(count(&client, "A").await, 0);
    let four = json!([
        create("A", json!({})),
        create("A", json!({})),
        create("A", json!({})),
        create("A", json!({}))
    ]);
    assert_eq!(
        refused(four.clone()).await,
        "Batch request contains 4 sub-requests, which exceeds the limit of 3."
    );
    assert_eq!(server.master().post("/batch", json!({"requests": four})).await.status, 200);
}

#[actix_web::test]
async fn a_transaction_is_all_or_nothing() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let seed = client.post("/classes/T", json!({"n": 0})).await.ok();
    let id = seed["objectId"].as_str().unwrap().to_owned();
    let path = format!("/parse/classes/T/{id}");
    let good = json!({"transaction": true, "requests": [
        create("T", json!({"n": 1})),
        {"method": "PUT", "path": path, "body": {"n": {"__op": "Increment", "amount": 1}}},
        create("T", json!({"n": 2, "fresh": "field"})),
    ]});
    let answers = client.post("/batch", good).await.ok();
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert_eq!(count(&client, "T").await, 3);
    let bad = json!({"transaction": true, "requests": [
        create("T", json!({"n": 3})),
        {"method": "PUT", "path": path, "body": {"n": {"__op": "Increment", "amount": 1}}},
        create("T", json!({"n": "text"})),
    ]});
    let refused = client.post("/batch", bad).await;
    assert_eq!(refused.status, 500);
    assert_eq!(refused.body, json!({"code": 1, "message": "Internal server error."}));
    assert_eq!(count(&client, "T").await, 3);
    assert_eq!(client.get(&format!("/classes/T/{id}")).await.ok()["n"], 1);
}

#[actix_web::test]
async fn transactions_on_one_object_do_not_lose_updates() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let seed = client.post("/classes/T", json!({"n": 0})).await.ok();
    let path = format!("/parse/classes/T/{}", seed["objectId"].as_str().unwrap());
    let add = json!({"method": "PUT", "path": path, "body": {"n": {"__op": "Increment", "amount": 1}}});
    let batch = json!({"transaction": true, "requests": [add, add]});
    let running = (0..8).map(|_| client.post("/batch", batch.clone()));
    let answers = futures_util::future::join_all(running).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let found = client.get("/classes/T").await.ok();
    assert_eq!(found["results"][0]["n"], 16);
}

#[actix_web::test]
async fn a_request_id_counts_once() {
    let server =
        TestServer::with(json!({"idempotencyOptions": {"paths": ["classes/Once"], "ttl": 300}})).await;
    let database = server.database().connect().await;
    let post = async |path: &str, id: &str| {
        let headers = [("X-Parse-Request-Id", id)];
        let body = json!({"a": 1}).to_string().into();
        server.anonymous().send_with(reqwest::Method::POST, path, Some(body), &headers).await
    };
    assert_eq!(post("/classes/Once", "one").await.status, 201);
    assert_eq!(post("/classes/Once", "one").await.error(), (400, 159, "Duplicate request"));
    assert_eq!(post("/classes/Once", "two").await.status, 201);
    assert_eq!(post("/classes/Often", "one").await.status, 201);
    assert_eq!(post("/classes/Often", "one").await.status, 201);
    // What ran out is no duplicate.
    let aged = r#"UPDATE "_Idempotency" SET expire = now() - interval '1 second' WHERE "reqId" LIKE 'one:%'"#;
    assert_eq!(database.execute(aged, &[]).await.unwrap(), 1);
    assert_eq!(post("/classes/Once", "one").await.status, 201);
    assert_eq!(post("/classes/Once", "one").await.status, 400);
    // Nobody uses up the ids of somebody else.
    let (_, ann) = crate::users_sign_up::sign_up(&server.anonymous(), "ann").await;
    let (_, bob) = crate::users_sign_up::sign_up(&server.anonymous(), "bob").await;
    let here = server.client(&[("X-Parse-Application-Id", "test"), ("X-Parse-Installation-Id", "here")]);
    for client in [server.master(), server.session(&ann), server.session(&bob), here] {
        for status in [201, 400] {
            let headers = [("X-Parse-Request-Id", "one")];
            let body = json!({"a": 1}).to_string().into();
            let answer = client.send_with(reqwest::Method::POST, "/classes/Once", Some(body), &headers).await;
            assert_eq!(answer.status, status, "{}", answer.text);
        }
    }
}
