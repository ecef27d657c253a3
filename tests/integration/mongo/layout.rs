//! What is stored, document by document.

use mongodb::bson::{Bson, Document, doc};
use serde_json::json;

use super::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_stored_as_parse_server_stores_them() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.master();
    let body = json!({
        "n": 1, "f": 1.5, "s": "text", "b": true, "nothing": null,
        "at": {"__type": "Date", "iso": "2020-02-03T04:05:06.789Z"},
        "owner": {"__type": "Pointer", "className": "_User", "objectId": "u1"},
        "place": {"__type": "GeoPoint", "latitude": 10, "longitude": -20.5},
        "pic": {"__type": "File", "name": "a.png"},
        "raw": {"__type": "Bytes", "base64": "AAE="},
        "list": [{"__type": "Date", "iso": "2020-02-03T04:05:06.789Z"}],
        "ACL": {"u1": {"read": true, "write": true}, "*": {"read": true}},
    });
    let created = client.post("/classes/Game", body).await.ok();
    let stored = fixture.only("Game").await;
    let at = mongodb::bson::DateTime::from_millis(1_580_702_706_789);
    for (key, value) in [
        ("_id", Bson::from(created["objectId"].as_str().unwrap())),
        ("n", 1.into()),
        ("f", 1.5.into()),
        ("at", at.into()),
        ("_p_owner", "_User$u1".into()),
        ("place", Bson::from(vec![Bson::Double(-20.5), Bson::Int32(10)])),
        ("pic", "a.png".into()),
        ("list", Bson::from(vec![Bson::from(at)])),
        ("_acl", doc! { "u1": { "r": true, "w": true }, "*": { "r": true } }.into()),
    ] {
        assert_eq!(stored.get(key), Some(&value), "{key} of {stored}");
    }
    assert!(matches!(stored.get("raw"), Some(Bson::Binary(_))));
    assert!(matches!(stored.get("_created_at"), Some(Bson::DateTime(_))));
    assert!(stored.get("owner").is_none() && stored.get("createdAt").is_none());
    let schema = fixture.collection("_SCHEMA").find_one(doc! { "_id": "Game" }).await.unwrap().unwrap();
    for (field, ty) in [("n", "number"), ("owner", "*_User"), ("place", "geopoint"), ("createdAt", "date")] {
        assert_eq!(schema.get_str(field).unwrap(), ty);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_programs_stored_is_read() {
    let Some(test) = crate::support::mongo::TestMongo::empty() else { return };
    let database = test.database().await;
    let at = mongodb::bson::DateTime::from_millis(1_000);
    let schema = doc! {
        "_id": "Old", "objectId": "string", "createdAt": "string", "updatedAt": "string",
        "n": "number", "owner": "*_User", "o": "map", "_metadata": { "class_permissions": { "find": { "*": true } } },
    };
    database.collection::<Document>("_SCHEMA").insert_one(schema).await.unwrap();
    let native = mongodb::bson::oid::ObjectId::parse_str("0123456789abcdef01234567").unwrap();
    let rows = [
        doc! { "_id": native, "_created_at": at, "_updated_at": at, "n": 5_i64, "_p_owner": "Other$x" },
        doc! { "_id": "b", "_created_at": at, "_updated_at": at, "n": "text", "o": { "a": [1] }, "_p_zzz": "A$b" },
    ];
    database.collection::<Document>("Old").insert_many(rows).await.unwrap();
    let fixture = Fixture::on(&test, json!({})).await;
    let client = fixture.server.master();
    let found = client.get("/classes/Old?order=objectId").await.ok();
    let found = found["results"].as_array().unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    let by = |id: &str| found.iter().find(|row| row["objectId"] == id).unwrap_or_else(|| panic!("{found:?}"));
    let imported = by("0123456789abcdef01234567");
    assert_eq!((&imported["n"], &imported["owner"]["className"]), (&json!(5), &json!("Other")));
    assert_eq!(by("b")["n"], "text");
    assert!(by("b").get("zzz").is_none());
    let one = client.get("/classes/Old/0123456789abcdef01234567").await.ok();
    assert_eq!(one["n"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_relations_are_stored_as_parse_server_stores_them() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.anonymous();
    let user = client.post("/users", json!({"username": "a", "password": "p", "email": "a@b.c"})).await.ok();
    let stored = fixture.only("_User").await;
    assert!(stored.get_str("_hashed_password").unwrap().starts_with("$2"));
    assert!(stored.get("password").is_none() && stored.get("sessionToken").is_none());
    let session = fixture.only("_Session").await;
    assert_eq!(session.get_str("_session_token").unwrap(), user["sessionToken"]);
    let pointer = format!("_User${}", user["objectId"].as_str().unwrap());
    assert_eq!(session.get_str("_p_user").unwrap(), pointer);
    let master = fixture.server.master();
    let member = json!({"__type": "Pointer", "className": "_User", "objectId": user["objectId"]});
    let role = json!({
        "name": "Admins", "ACL": {"*": {"read": true}},
        "users": {"__op": "AddRelation", "objects": [member]},
    });
    let role = master.post("/roles", role).await.ok();
    let join = fixture.only("_Join:users:_Role").await;
    assert_eq!(join.get_str("owningId").unwrap(), role["objectId"]);
    assert_eq!(join.get_str("relatedId").unwrap(), user["objectId"]);
}
