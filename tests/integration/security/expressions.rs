//! Expressions that a database would try for ever, however short they and the texts are.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::server::TestServer;

/// PostgreSQL tries every way of cutting a text for a back-reference, and took the whole of `statementTimeout` (30 s).
#[actix_web::test]
async fn back_references_are_given_up_soon() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    client.post("/classes/Text", json!({"text": "ab".repeat(1000)})).await.ok();
    let never = json!({"text": {"$regex": r"(?:(.)\1)*$"}});
    let below = |operator: &str| json!({"text": {operator: {"className": "Text", "where": never}}});
    for condition in [
        never.clone(),
        json!({"$or": [never, {"text": "other"}]}),
        json!({"text": {"$select": {"key": "text", "query": {"className": "Text", "where": never}}}}),
        below("$notInQuery"),
    ] {
        for more in [json!({}), json!({"count": 1, "limit": 0})] {
            let mut params = json!({ "where": condition });
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let begun = Instant::now();
            let answer = client.find("Text", params).await;
            let took = begun.elapsed();
            // What compares a text with pointers need not look at all.
            assert!(answer.status == 200 || answer.error().1 == 124, "{condition} {}", answer.text);
            assert!(took < Duration::from_secs(20), "{condition} {took:?}");
        }
    }
    let refused = client.find("Text", json!({ "where": never })).await;
    assert_eq!(refused.error(), (400, 124, "The request took too long"));
    // Those that are quick are answered, and connections are as good as before.
    for _ in 0..20 {
        let found = client.find("Text", json!({"where": {"text": {"$regex": r"^(.)(.)\1\2"}}})).await.ok();
        assert_eq!(found["results"].as_array().map(Vec::len), Some(1));
    }
}

#[actix_web::test]
async fn no_back_reference_holds_a_transaction() {
    let server = TestServer::start().await;
    server.anonymous().post("/classes/Text", json!({"text": "aa"})).await.ok();
    let read_by = |pattern: &str| {
        let condition = json!({"text": {"$regex": pattern}});
        let item = json!({"method": "GET", "path": "/parse/classes/Text", "body": {"where": condition}});
        json!({"transaction": true, "requests": [item]})
    };
    let refused = server.anonymous().post("/batch", read_by(r"(.)\1")).await;
    assert!(refused.status != 200 && !refused.text.contains("success"), "{}", refused.text);
    let answered = server.anonymous().post("/batch", read_by("a")).await;
    assert!(answered.status == 200 && answered.text.contains("success"), "{}", answered.text);
}
