//! Values sent in pieces, each of them harmless: what is stored in the end is what the rules judge.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Client, TestServer};
use crate::users_sign_up::sign_up;

/// A private file, and a user who has never seen its address.
async fn private_file(server: &TestServer) -> (String, Client) {
    let headers = [("Content-Type", "text/plain"), ("X-Parse-File-Private", "true")];
    let master = server.master();
    let saved = master.send_with(Method::POST, "/files/a.txt", Some("secret".into()), &headers);
    let name = saved.await.ok()["name"].as_str().unwrap().to_owned();
    let (_, token) = sign_up(&server.anonymous(), "eve").await;
    (name, server.session(&token))
}

async fn server() -> TestServer {
    TestServer::with(json!({
        "fileUpload": {"allowedFileUrlDomains": ["localhost", "127.0.0.1"]},
        "privateFiles": {"secret": "sixteen characters"},
    }))
    .await
}

/// Keys with `$` or dots are refused wherever they would come to lie.
#[actix_web::test]
async fn nested_keys_are_judged_where_they_are_stored() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let made = client.post("/classes/Bag", json!({"o": {"a": [{"b": 1}]}, "list": [{"x": 1}]})).await.ok();
    let path = format!("/classes/Bag/{}", made["objectId"].as_str().unwrap());
    for body in [
        json!({"o": {"$a": 1}}),
        json!({"o": {"b": {"$where": 1}}}),
        json!({"o": {"b": {"__op": "x", "$where": 1}}}),
        json!({"o": {"b": [{"__op": "Delete", "c.d": 1}]}}),
        json!({"o.$a": 1}),
        json!({"o.a.$[].b": 2}),
        json!({"list.0.$x": {"__op": "Increment", "amount": 1}}),
        json!({"o.$where.x": {"__op": "Delete"}}),
    ] {
        let answers =
            [client.put(&path, body.clone()).await, client.post("/classes/Bag", body.clone()).await];
        for answer in answers {
            assert_eq!((answer.status, answer.error().1), (400, 121), "{body} {}", answer.text);
        }
    }
    let stored = client.get(&path).await.ok();
    assert_eq!((&stored["o"], &stored["list"]), (&json!({"a": [{"b": 1}]}), &json!([{"x": 1}])));
}

#[actix_web::test]
async fn private_files_are_not_put_together() {
    let server = server().await;
    let (name, eve) = private_file(&server).await;
    let object = json!({
        "o": {"f": {"name": name}, "g": {"__type": "File", "name": "open.txt"}},
        "list": [{"__type": "File", "name": "open.txt"}],
    });
    let made = eve.post("/classes/Mine", object).await.ok();
    let path = format!("/classes/Mine/{}", made["objectId"].as_str().unwrap());
    let file = json!({"__type": "File", "name": name});
    let attacks = [
        json!({"o.f.__type": "File", "o.f.name": name}),
        json!({"o.f.__type": "File"}),
        json!({"o.f.__type": {"__op": "SetOnInsert", "amount": "File"}}),
        json!({"o.f": file}),
        json!({"o.g.name": name}),
        json!({"list.0.name": name}),
        json!({"list.0": file}),
        json!({"o.g.url": "http://evil.example/a"}),
        json!({"list": {"__op": "Add", "objects": [file]}}),
        json!({"o.list": {"__op": "AddUnique", "objects": [[file]]}}),
        json!({"o.deep": {"er": [file]}}),
    ];
    for body in &attacks {
        let answer = eve.put(&path, body.clone()).await;
        assert_eq!(answer.status / 100, 4, "{body} {}", answer.text);
        let batch = json!({"requests": [{"method": "PUT", "path": format!("/parse{path}"), "body": body}]});
        let answer = eve.post("/batch", batch).await;
        assert!(answer.text.contains("error"), "{body} {}", answer.text);
        // As a new object.
        let answer = eve.post("/classes/Mine", body.clone()).await;
        assert!(answer.status / 100 == 4 || !answer.text.contains(&name), "{body} {}", answer.text);
    }
    let whole = eve.find("Mine", json!({})).await;
    assert!(!whole.text.contains("signature="), "{}", whole.text);
    // Other doors into rows of one's own.
    for (door, body) in [
        ("/sessions", json!({"f": {"a": file}})),
        ("/installations", json!({"deviceType": "ios", "installationId": "i", "f": {"a": file}})),
        (
            "/users",
            json!({"authData": {"anonymous": {"id": "0f1a2b3c-0000-4000-8000-000000000000", "f": file}}}),
        ),
    ] {
        let answer = eve.post(door, body).await;
        assert!(!answer.text.contains("signature=") && answer.status / 100 == 4, "{door} {}", answer.text);
    }
    // Plain values of these names are nobody's business, and whoever has the address may refer to it.
    eve.put(&path, json!({"o.f.name": "private", "o.f.url": "http://elsewhere.example"})).await.ok();
    let stored = server.master().get(&path).await.ok();
    assert_eq!(stored["o"]["f"], json!({"name": "private", "url": "http://elsewhere.example"}));
}

#[actix_web::test]
async fn keywords_hold_at_every_door() {
    let server = TestServer::start().await;
    let (client, master) = (server.anonymous(), server.master());
    let made = client.post("/classes/Any", json!({"o": {"a": 1}})).await.ok();
    let path = format!("/classes/Any/{}", made["objectId"].as_str().unwrap());
    for body in [
        json!({"o.constructor": 1}),
        json!({"o.__proto__": {}}),
        json!({"o.a.__proto__.x": 1}),
        json!({"o.a.constructor": {"__op": "Increment", "amount": 1}}),
        json!({"o._bsontype": "Code"}),
        json!({"o.a": {"__op": "Add", "objects": [{"__proto__": {}}]}}),
    ] {
        assert_eq!(client.put(&path, body.clone()).await.error().1, 105, "{body}");
        assert_eq!(client.post("/classes/Any", body.clone()).await.error().1, 105, "{body}");
    }
    let nasty: Value = serde_json::from_str(r#"{"a": {"__proto__": {}}}"#).unwrap();
    let field = json!({"type": "Object", "defaultValue": nasty});
    for (method, door, body) in [
        (Method::PUT, "/config", json!({"params": {"x": nasty}})),
        (Method::POST, "/schemas/Fresh", json!({"className": "Fresh", "fields": {"f": field}})),
        (Method::PUT, "/schemas/Any", json!({"className": "Any", "fields": {"f": field}})),
        (Method::POST, "/hooks/functions", json!({"functionName": "f", "url": "http://x", "more": nasty})),
        (Method::POST, "/push_audiences", json!({"name": "n", "query": "{}", "more": nasty})),
        (Method::POST, "/push", json!({"data": nasty, "where": {}})),
        (Method::POST, "/jobs/any", json!({"p": nasty})),
        (Method::POST, "/classes/Any", json!({})),
    ] {
        let answer = match door {
            "/classes/Any" => {
                let context = nasty.to_string();
                let context = [("X-Parse-Cloud-Context", context.as_str())];
                master.send_with(method, door, Some("{}".into()), &context).await
            }
            _ => master.send(method, door, Some(body.to_string().into())).await,
        };
        assert_eq!(answer.error().1, 105, "{door} {}", answer.text);
    }
}

#[actix_web::test]
async fn operators_do_not_hide_values_from_the_rules() {
    let server = TestServer::start().await;
    let (client, master) = (server.anonymous(), server.master());
    let on_insert = |value: Value| json!({"__op": "SetOnInsert", "amount": value});
    sign_up(&client, "ann").await;
    let taken = client.post("/users", json!({"username": on_insert(json!("ANN")), "password": "p"})).await;
    assert_eq!(taken.error().1, 202, "{}", taken.text);
    let wrong = json!({"username": "bob", "password": "p", "email": on_insert(json!("no address"))});
    assert_eq!(client.post("/users", wrong).await.error().1, 125);
    let fields = json!({"must": {"type": "String", "required": true}, "peers": {"type": "Relation", "targetClass": "Strict"}});
    master.post("/schemas/Strict", json!({"className": "Strict", "fields": fields})).await.ok();
    for nothing in [on_insert(Value::Null), on_insert(json!("")), json!({"__op": "Batch", "ops": []})] {
        assert_eq!(client.post("/classes/Strict", json!({"must": nothing})).await.error().1, 142);
    }
    let pointer = |class: &str| json!({"__type": "Pointer", "className": class, "objectId": "x"});
    let mixed = json!({"__op": "AddRelation", "objects": [pointer("Strict"), pointer("_User")]});
    let batch = json!({"__op": "Batch", "ops": [mixed]});
    for op in [mixed, batch] {
        let answer = client.post("/classes/Strict", json!({"must": "a", "peers": op})).await;
        assert_eq!(answer.error().1, 111, "{}", answer.text);
    }
    for path in ["ACL.*", "ACL.x.read"] {
        let answer = client.post("/classes/Fresh", json!({path: {"read": true}})).await;
        assert_eq!(answer.status / 100, 4, "{path} {}", answer.text);
    }
}
