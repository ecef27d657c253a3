//! Errors say what the client did wrong, not what the server is made of.

use serde_json::{Value, json};

use super::injection::is_clean;
use crate::support::server::TestServer;
use crate::users_sign_up::sign_up;

/// Everything the database itself refuses.
#[actix_web::test]
async fn the_database_does_not_speak_to_clients() {
    let server = TestServer::with(json!({"allowCustomObjectId": true})).await;
    sign_up(&server.anonymous(), "ann").await;
    let client = server.anonymous();
    client.post("/classes/Thing", json!({"objectId": "x", "n": 1, "when": {"__type": "Date", "iso": "2001-01-01T00:00:00.000Z"}, "text": "a", "list": [1], "o": {}, "place": {"__type": "GeoPoint", "latitude": 1, "longitude": 2}})).await.ok();
    let long = "x".repeat(10_000);
    let writes = [
        json!({"objectId": "x"}),
        json!({"objectId": long}),
        json!({"n": 1e308}),
        json!({"n": "text"}),
        json!({"text": "zero\u{0}byte"}),
        json!({"when": {"__type": "Date", "iso": "99999-99-99"}}),
        json!({"place": {"__type": "GeoPoint", "latitude": 1000, "longitude": 2}}),
        json!({"shape": {"__type": "Polygon", "coordinates": [[0, 0], [0, 1]]}}),
        json!({long.as_str(): 1}),
    ];
    for body in writes {
        let answer = client.post("/classes/Thing", body.clone()).await;
        assert!(answer.status == 201 || is_clean(&answer), "{body} {}", answer.text);
    }
    for answer in [
        client.post("/users", json!({"username": "ann", "password": "x"})).await,
        client.post("/users", json!({"username": long, "password": "x"})).await,
        client.post("/users", json!({"username": "z\u{0}", "password": "x"})).await,
        client.post("/login", json!({"username": "z\u{0}", "password": "x"})).await,
        client.post("/login", json!({"username": long, "password": long})).await,
        server.session("r:'\"--").get("/users/me").await,
        client.get("/classes/Thing/%00").await,
        client.get(&format!("/classes/{long}")).await,
        client.get("/classes/Thing?limit=-1").await,
        client.get("/classes/Thing?limit=99999999999999999999").await,
        client.get("/classes/Thing?skip=1e300").await,
        client.put("/classes/Thing/x", json!({"n": {"__op": "Increment", "amount": 1e308}})).await,
        client.put("/classes/Thing/x", json!({"text": {"__op": "Increment", "amount": 1}})).await,
        client.put("/classes/Thing/x", json!({"o.a.b": {"__op": "Increment", "amount": 1}})).await,
    ] {
        assert!(is_clean(&answer), "{}", answer.text);
    }
    let conditions = [
        json!({"n": "text"}),
        json!({"n": {"$gt": "text"}}),
        json!({"when": {"$gt": 5}}),
        json!({"when": "x"}),
        json!({"text": {"$regex": "("}}),
        json!({"text": {"$regex": "a{1000000}"}}),
        json!({"text": {"$regex": "\\"}}),
        json!({"list": {"$all": [{"$regex": "("}]}}),
        json!({"o": {"$gt": 1}}),
        json!({"place": {"$gt": 1}}),
        json!({"text": {"$text": {"$search": {"$term": "a & | ! b:*"}}}}),
        json!({"text": "z\u{0}"}),
        json!({"n": {"$in": ["a", null, {}]}}),
        json!({"text": {"$in": [long]}}),
        json!({"place": {"$nearSphere": {"__type": "GeoPoint", "latitude": "a", "longitude": 1}}}),
        json!({"place": {"$geoWithin": {"$polygon": [[1, 2]]}}}),
        json!({"unknown": {"$gt": {}}}),
    ];
    for condition in conditions {
        let answer = client.find("Thing", json!({ "where": condition })).await;
        assert!(answer.status == 200 || is_clean(&answer), "{condition} {}", answer.text);
    }
}

/// What goes wrong inside: the client is told that something did, the log what.
#[actix_web::test]
async fn faults_are_not_described() {
    let server = TestServer::start().await;
    server.anonymous().post("/classes/Thing", json!({"n": 1})).await.ok();
    let database = server.database().connect().await;
    database
        .batch_execute(r#"ALTER TABLE "Thing" ADD CONSTRAINT hidden_rule CHECK ("n" < 100)"#)
        .await
        .unwrap();
    let answer = server.anonymous().post("/classes/Thing", json!({"n": 1000})).await;
    assert_eq!((answer.status, &answer.body["code"]), (500, &json!(1)));
    assert!(
        !answer.text.contains("hidden_rule") && !answer.text.to_lowercase().contains("constraint"),
        "{}",
        answer.text
    );
    let item = json!({"requests": [{"method": "POST", "path": "/parse/classes/Thing", "body": {"n": 1000}}]});
    let answer = server.anonymous().post("/batch", item).await;
    assert_eq!(answer.body[0]["error"]["code"], 1);
    assert!(!answer.text.contains("hidden_rule"), "{}", answer.text);
    database.batch_execute(r#"DROP TABLE "Thing""#).await.unwrap();
    let answer = server.anonymous().find("Thing", json!({"where": {"n": 1}})).await;
    assert!(!answer.text.contains("relation") && !answer.text.contains("Thing\\\""), "{}", answer.text);
}

/// Why somebody may not do something is for the log, unless the operator wants it told.
#[actix_web::test]
async fn refusals_are_not_explained() {
    for sanitize in [true, false] {
        let server = TestServer::with(
            json!({"enableSanitizedErrorResponse": sanitize, "allowClientClassCreation": false}),
        )
        .await;
        let closed = json!({"className": "Closed", "classLevelPermissions": {}});
        server.master().post("/schemas", closed).await.ok();
        let (_, token) = sign_up(&server.anonymous(), "ann").await;
        let session = server.session(&token);
        let answers = [
            session.get("/classes/Closed").await,
            session.get("/classes/Unknown").await,
            session.get("/classes/_JobStatus").await,
            session.get("/installations").await,
            session.post("/classes/Closed", json!({"a": 1})).await,
            session.post("/loginAs", json!({"userId": "x"})).await,
            session.find("_User", json!({"where": {"email": "x"}})).await,
            server.anonymous().get("/users/me").await,
        ];
        for answer in answers {
            let text = answer.body["error"].as_str().unwrap();
            assert_eq!(text == "Permission denied", sanitize, "{}", answer.text);
        }
        let master: Value = session.get("/schemas").await.body;
        assert_eq!(master["error"] == "Permission denied", sanitize, "{master}");
    }
}
