//! `_Installation`: ids, immutable fields and the merging of rows that are one device.

use serde_json::{Value, json};

use crate::support::server::{Client, TestServer};

async fn add(client: &Client, body: Value) -> String {
    client.post("/installations", body).await.ok()["objectId"].as_str().unwrap().to_owned()
}

async fn all(server: &TestServer) -> Vec<Value> {
    let found = server.master().get("/installations?order=createdAt").await.ok();
    found["results"].as_array().unwrap().clone()
}

#[actix_web::test]
async fn ids_and_types_are_asked_for() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let cases = [
        (
            json!({"deviceType": "ios"}),
            "at least one ID field (deviceToken, installationId) must be specified in this operation",
        ),
        (json!({"installationId": "a"}), "deviceType must be specified in this operation"),
    ];
    for (body, message) in cases {
        assert_eq!(client.post("/installations", body).await.error(), (400, 135, message));
    }
    let token = "ABCD".repeat(16);
    let id =
        add(&client, json!({"installationId": "UPPER", "deviceType": "ios", "deviceToken": token})).await;
    let row = client.get(&format!("/installations/{id}")).await.ok();
    assert_eq!(
        (row["installationId"].as_str(), &row["deviceToken"]),
        (Some("upper"), &json!(token.to_lowercase()))
    );
    assert_eq!(client.get("/installations").await.error(), (400, 119, "Permission denied"));
    assert_eq!(client.delete(&format!("/installations/{id}")).await.error(), (400, 119, "Permission denied"));
}

#[actix_web::test]
async fn some_fields_stay_as_they_are() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let id = add(&client, json!({"installationId": "a", "deviceType": "ios"})).await;
    let nameless = add(&client, json!({"deviceToken": "t", "deviceType": "android"})).await;
    let cases = [
        (
            &id,
            json!({"installationId": "b"}),
            (400, 136, "installationId may not be changed in this operation"),
        ),
        (&id, json!({"deviceType": "x"}), (400, 136, "deviceType may not be changed in this operation")),
        (
            &nameless,
            json!({"deviceToken": "u"}),
            (400, 136, "deviceToken may not be changed in this operation"),
        ),
    ];
    for (id, body, expected) in cases {
        assert_eq!(client.put(&format!("/installations/{id}"), body).await.error(), expected);
    }
    let missing = client.put("/installations/nobody", json!({"deviceToken": "x"})).await;
    assert_eq!(missing.error(), (404, 101, "Object not found for update."));
}

#[actix_web::test]
async fn a_known_installation_is_updated() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let id = add(&client, json!({"installationId": "a", "deviceType": "ios"})).await;
    let again =
        client.post("/installations", json!({"installationId": "a", "deviceToken": "t", "n": 1})).await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert!(again.body.get("updatedAt").is_some() && again.body.get("objectId").is_none());
    let rows = all(&server).await;
    assert_eq!((rows.len(), rows[0]["objectId"].as_str(), &rows[0]["n"]), (1, Some(id.as_str()), &json!(1)));
}

#[actix_web::test]
async fn a_device_token_belongs_to_one_installation() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    add(&client, json!({"installationId": "a", "deviceType": "ios", "deviceToken": "t"})).await;
    add(&client, json!({"installationId": "b", "deviceType": "ios", "deviceToken": "t"})).await;
    let rows = all(&server).await;
    assert_eq!((rows.len(), rows[0]["installationId"].as_str()), (1, Some("b")));
    let nameless = json!({"deviceType": "ios", "deviceToken": "t"});
    let updated = client.post("/installations", nameless).await;
    assert_eq!((updated.status, all(&server).await.len()), (200, 1));
}

#[actix_web::test]
async fn rows_that_are_one_device_are_merged() {
    for (priority, action, survivor, count) in [
        ("deviceToken", "delete", "token", 1),
        ("installationId", "delete", "id", 1),
        ("deviceToken", "update", "token", 2),
    ] {
        let options = json!({"installation": {
            "duplicateDeviceTokenMergePriority": priority, "duplicateDeviceTokenAction": action,
        }});
        let server = TestServer::with(options).await;
        let client = server.anonymous();
        let by_id = add(&client, json!({"installationId": "a", "deviceType": "ios"})).await;
        let by_token = add(&client, json!({"deviceToken": "t", "deviceType": "ios"})).await;
        let body = json!({"installationId": "a", "deviceToken": "t", "deviceType": "ios"});
        assert_eq!(client.post("/installations", body).await.status, 200);
        let rows = all(&server).await;
        assert_eq!(rows.len(), count, "{priority} {action}");
        let whole: Vec<&Value> = rows.iter().filter(|row| row["installationId"] == "a").collect();
        let expected = if survivor == "token" { &by_token } else { &by_id };
        assert_eq!(whole.len(), 1);
        assert_eq!(
            (whole[0]["objectId"].as_str(), &whole[0]["deviceToken"]),
            (Some(expected.as_str()), &json!("t"))
        );
    }
}
