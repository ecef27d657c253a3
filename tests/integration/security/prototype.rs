//! Keys that mean something to JavaScript, and the list of keywords nobody may store.

use serde_json::{Value, json};

use crate::support::server::{APP_ID, TestServer};
use crate::users_sign_up::sign_up;

const KEYS: [&str; 3] = ["__proto__", "constructor", "prototype"];

#[actix_web::test]
async fn keywords_are_refused_however_deep() {
    let server = TestServer::start().await;
    let (id, token) = sign_up(&server.anonymous(), "ann").await;
    let session = server.session(&token);
    let object = session.post("/classes/Thing", json!({"o": {"a": 1}, "list": []})).await.ok();
    let path = format!("/classes/Thing/{}", object["objectId"].as_str().unwrap());
    for key in ["__proto__", "constructor"] {
        for data in [
            json!({key: {"admin": true}}),
            json!({"o": {key: {"admin": true}}}),
            json!({"o": {"deep": [{"er": {key: 1}}]}}),
            json!({"list": [[[{key: null}]]]}),
            json!({format!("o.{key}.admin"): true}),
            json!({format!("o.{key}"): {"__op": "Delete"}}),
            json!({"list": {"__op": "Add", "objects": [{key: 1}]}}),
            json!({"list": {"__op": "AddUnique", "objects": [{"x": {key: 1}}]}}),
            json!({"o": {"__op": "SetOnInsert", "amount": {key: 1}}}),
            json!({"_bsontype": "Code", "code": "delete Object.prototype"}),
            json!({"o": {"_bsontype": "Code", "code": "x"}}),
        ] {
            for answer in [
                session.post("/classes/Thing", data.clone()).await,
                session.put(&path, data.clone()).await,
                session.put(&format!("/users/{id}"), data.clone()).await,
                server.master().put(&path, data.clone()).await,
            ] {
                assert_eq!(answer.error().1, 105, "{data} {}", answer.text);
            }
            let batch =
                json!({"requests": [{"method": "PUT", "path": format!("/parse{path}"), "body": data}]});
            assert_eq!(session.post("/batch", batch).await.body[0]["error"]["code"], 105, "{data}");
        }
        let user = json!({"username": "new", "password": "secret", key: {"admin": true}});
        assert_eq!(server.anonymous().post("/users", user).await.error().1, 105);
        let auth_data = json!({"authData": {"anonymous": {"id": "x", key: {"admin": true}}}});
        assert_eq!(server.anonymous().post("/users", auth_data).await.error().1, 105);
        let installation = json!({"deviceType": "ios", "installationId": "x", "o": {key: 1}});
        assert_eq!(server.anonymous().post("/installations", installation).await.error().1, 105);
    }
    assert_eq!(session.get(&path).await.ok()["o"], json!({"a": 1}));
    session.put(&path, json!({"o": {"proto": 1, "construct": 2}})).await.ok();
}

#[actix_web::test]
async fn queries_and_names_are_not_confused_by_them() {
    let server = TestServer::start().await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    server.anonymous().post("/classes/Thing", json!({"o": {"a": 1}})).await.ok();
    for client in [server.session(&token), server.anonymous()] {
        for key in KEYS {
            for params in [
                json!({"where": {key: 1}}),
                json!({"where": {key: {"$exists": true}}}),
                json!({"where": {format!("o.{key}"): 1}}),
                json!({"where": {"o": {key: 1}}}),
                json!({"order": key, "keys": key, "include": key, "excludeKeys": key}),
                json!({"where": {"o": {"$inQuery": {"className": key, "where": {}}}}}),
                json!({"redirectClassNameForKey": key}),
                json!({key: {"limit": 1}, "where": {}}),
            ] {
                let answer = client.find("Thing", params.clone()).await;
                assert!(answer.status < 500, "{params} {}", answer.text);
                assert!(!answer.text.contains("admin"), "{}", answer.text);
            }
            for path in [
                format!("/classes/{key}"),
                format!("/classes/{key}/{key}"),
                format!("/schemas/{key}"),
                format!("/functions/{key}"),
                format!("/users/{key}"),
                format!("/hooks/functions/{key}"),
                format!("/{key}"),
                format!("/classes/Thing?{key}[admin]=1"),
                format!("/users?where[{key}]=1"),
            ] {
                let answer = client.get(&path).await;
                assert!(answer.status < 500, "{path} {}", answer.text);
                let answer = client.post(&path, json!({"a": 1})).await;
                assert!(answer.status < 500, "{path} {}", answer.text);
            }
            let headers = [("X-Parse-Cloud-Context", format!(r#"{{"{key}": {{"admin": true}}}}"#))];
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = client.send_with(reqwest::Method::GET, "/classes/Thing", None, &headers).await;
            assert!(answer.status < 500, "{}", answer.text);
            for credentials in [
                json!({"_ApplicationId": key, "_method": "GET"}),
                json!({"_ApplicationId": APP_ID, "_method": key}),
                json!({"_ApplicationId": APP_ID, "_method": "GET", key: {"_MasterKey": "master"}}),
            ] {
                let answer = server.client(&[]).post("/classes/Thing", credentials.clone()).await;
                assert!(answer.status < 500, "{credentials} {}", answer.text);
            }
            let provider = json!({"authData": {key: {"id": "x"}}});
            let answer = client.post("/users", provider).await;
            assert!((400..500).contains(&answer.status), "{key} {}", answer.text);
            let acl = json!({"ACL": {key: {"read": true}}});
            let answer = client.post("/classes/Thing", acl).await;
            assert!(answer.status < 500, "{key} {}", answer.text);
        }
    }
}

#[actix_web::test]
async fn an_operator_s_own_list_is_kept() {
    let list = json!([{"key": "^forbid"}, {"value": "^evil"}, {"key": "number", "value": 5}]);
    let server = TestServer::with(json!({ "requestKeywordDenylist": list })).await;
    let client = server.anonymous();
    let refused = [
        json!({"forbidden": 1}),
        json!({"a": {"forbidMe": 1}}),
        json!({"a": "evil plan"}),
        json!({"a": [["evil"]]}),
        json!({"a": {"b": [{"c": "evil"}]}}),
        json!({"a": {"number": 5}}),
    ];
    for data in refused {
        let answer = client.post("/classes/Thing", data.clone()).await;
        assert_eq!(answer.error().1, 105, "{data} {}", answer.text);
        assert!(answer.text.contains("Prohibited keyword in request data:"), "{}", answer.text);
    }
    for data in [json!({"a": 1}), json!({"b": "not evil"}), json!({"number": 6})] {
        client.post("/classes/Thing", data).await.ok();
    }
    let read: Value = client.find("Thing", json!({"where": {"forbidden": 1}})).await.ok();
    assert_eq!(read["results"], json!([]));
}
