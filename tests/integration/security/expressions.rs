//! Expressions that a database would try for ever, however short they and the texts are.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::server::TestServer;

/// PostgreSQL tries every way of cutting a text for a back-reference, and took the whole of `statementTimeout` (30 s).
#[actix_web::test]
async fn back_references_are_given_up_soon() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    client.post("/classes/Text", json!({"text": "ab".repeat(6000)})).await.ok();
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

/// Whoever reads with the read-only key took all memory: a variable that is named twice stands for twice as much.
#[actix_web::test]
async fn variables_that_double_are_refused() {
    let server = TestServer::start().await;
    server.master().post("/classes/Text", json!({"n": 1})).await.ok();
    let nested = |levels: usize| {
        let twice = |inner| json!({"$let": {"vars": {"v": inner}, "in": {"$add": ["$$v", "$$v"]}}});
        (0..levels).fold(json!("$n"), |inner, _| twice(inner))
    };
    let pipeline = |levels| json!({"pipeline": [{"$project": {"x": nested(levels)}}]});
    let counted = server.master().find_at("/aggregate/Text", pipeline(4)).await.ok();
    assert_eq!(counted["results"][0]["x"], 16);
    let begun = Instant::now();
    let refused = server.master().find_at("/aggregate/Text", pipeline(25)).await;
    assert_eq!(refused.error(), (400, 102, "The pipeline is too complex"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// PostgreSQL writes columns of sub-selects out while it plans, and no time limit ends that: forty stages took all of
/// its machine's memory.
#[actix_web::test]
async fn stages_that_double_are_refused() {
    let server = TestServer::start().await;
    server.master().post("/classes/Text", json!({"n": 1})).await.ok();
    let stage = |number: usize| {
        let before = if number == 1 { "$n".to_owned() } else { format!("$a{}", number - 1) };
        let name = format!("a{number}");
        json!({"$addFields": {name: {"$add": [before, before]}}})
    };
    let pipeline = |stages: usize| json!({"pipeline": (1..=stages).map(stage).collect::<Vec<_>>()});
    let counted = server.master().find_at("/aggregate/Text", pipeline(10)).await.ok();
    assert_eq!(counted["results"][0]["a10"], 1024);
    let refused = server.master().find_at("/aggregate/Text", pipeline(40)).await;
    assert_eq!(refused.error(), (400, 102, "The pipeline is too complex"));
    // Stages that go on from fields of the class are as many as one likes.
    let plain = |number: usize| json!({"$addFields": {(format!("b{number}")): {"$add": ["$n", number]}}});
    let many = json!({"pipeline": (1..=60).map(plain).collect::<Vec<_>>()});
    let counted = server.master().find_at("/aggregate/Text", many).await.ok();
    assert_eq!(counted["results"][0]["b60"], 61);
}
