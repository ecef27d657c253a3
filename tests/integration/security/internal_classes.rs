//! The server's own classes and join tables, by every way that leads to a class.

use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::users_sign_up::sign_up;

/// Closed for clients altogether.
const CLOSED: [&str; 10] = [
    "_JobStatus",
    "_PushStatus",
    "_Hooks",
    "_GlobalConfig",
    "_GraphQLConfig",
    "_JobSchedule",
    "_Audience",
    "_Idempotency",
    "_Join:users:_Role",
    "_Join:roles:_Role",
];

fn pointer(class: &str, id: &str) -> Value {
    json!({"__type": "Pointer", "className": class, "objectId": id})
}

#[actix_web::test]
async fn closed_classes_have_no_side_door() {
    let server = TestServer::start().await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let member = json!({"__op": "AddRelation", "objects": [pointer("_User", &ann)]});
    let role = json!({"name": "staff", "ACL": {}, "users": member});
    let role = server.master().post("/roles", role).await.ok()["objectId"].as_str().unwrap().to_owned();
    server.master().post("/classes/_JobStatus", json!({"jobName": "hush"})).await.ok();
    server.master().post("/push_audiences", json!({"name": "hush", "query": "{}"})).await.ok();
    server
        .master()
        .put("/config", json!({"params": {"hush": 1}, "masterKeyOnly": {"hush": true}}))
        .await
        .ok();
    let hook = json!({"functionName": "hush", "url": "http://127.0.0.1:9/"});
    server.master().post("/hooks/functions", hook).await.ok();
    server.anonymous().post("/classes/Post", json!({"title": "x"})).await.ok();
    for client in [server.anonymous(), server.session(&token)] {
        for class in CLOSED {
            let encoded = class.replace('_', "%5F").replace(':', "%3A");
            for class in [class, encoded.as_str()] {
                let path = format!("/classes/{class}");
                let body = json!({"owningId": role, "relatedId": ann, "name": "x"});
                for answer in [
                    client.get(&path).await,
                    client.get(&format!("{path}/1")).await,
                    client.get(&format!("{path}?count=1&limit=0")).await,
                    client.post(&path, body.clone()).await,
                    client.put(&format!("{path}/1"), body.clone()).await,
                    client.delete(&format!("{path}/1")).await,
                ] {
                    // A class name that the router does not know is no way in either.
                    let code = answer.error().1;
                    assert!(
                        answer.status >= 400 && [101, 103, 107, 119].contains(&code),
                        "{path} {}",
                        answer.text
                    );
                }
            }
            for operation in ["$inQuery", "$notInQuery"] {
                let inner = json!({"where": {"link": {operation: {"className": class, "where": {}}}}});
                assert_eq!(client.find("Post", inner.clone()).await.error().1, 119, "{inner}");
            }
            for operation in ["$select", "$dontSelect"] {
                let inner = json!({"where": {"title": {operation:
                    {"query": {"className": class, "where": {}}, "key": "name"}}}});
                assert_eq!(client.find("Post", inner.clone()).await.error().1, 119, "{inner}");
            }
            let related = json!({"where": {"$relatedTo": {"object": pointer(class, "1"), "key": "users"}}});
            let found = client.find("_User", related).await;
            assert!(found.status != 200 || found.body["results"] == json!([]), "{class} {}", found.text);
            let items: Vec<Value> = ["GET", "POST"]
                .map(|method| json!({"method": method, "path": format!("/parse/classes/{class}"), "body": {}}))
                .into_iter()
                .chain([json!({"method": "DELETE", "path": format!("/parse/x/../classes/./{class}/1"), "body": {}})])
                .collect();
            let batch = client.post("/batch", json!({ "requests": items })).await;
            for item in batch.body.as_array().unwrap() {
                assert_eq!(item["error"]["code"], 119, "{class} {}", batch.text);
            }
            assert_eq!(client.get(&format!("/aggregate/{class}")).await.status, 403);
            assert_eq!(client.delete(&format!("/purge/{class}")).await.status, 403);
            assert_eq!(client.get(&format!("/schemas/{class}")).await.status, 403);
        }
        let config = client.get("/config").await;
        assert!(!config.text.contains("hush"), "{}", config.text);
    }
    // A schema made by a client, by naming a class in a pointer or a relation.
    for class in ["_Hooks", "_GlobalConfig", "_Join:users:_Role"] {
        let link = json!({"link": pointer(class, "1"), "links": {"__op": "AddRelation", "objects": [pointer(class, "1")]}});
        let made = server.anonymous().post("/classes/Link", link).await;
        if made.status == 201 {
            let shown = server.anonymous().find("Link", json!({"include": "link"})).await;
            assert!(!shown.text.contains("hush") && !shown.text.contains(&ann), "{}", shown.text);
            // A pointer redirects nowhere, a relation to a class that is closed.
            let by_pointer =
                server.anonymous().find("Link", json!({"redirectClassNameForKey": "link"})).await;
            assert_eq!(by_pointer.ok()["results"][0]["className"], "Link");
            let redirected = json!({"redirectClassNameForKey": "links"});
            assert_eq!(server.anonymous().find("Link", redirected).await.error().1, 119, "{class}");
            let inner = json!({"where": {"x": {"$inQuery":
                {"className": "Link", "redirectClassNameForKey": "links", "where": {}}}}});
            assert_eq!(server.anonymous().find("Post", inner).await.error().1, 119);
            server.master().delete("/purge/Link").await.ok();
            server.master().delete("/schemas/Link").await.ok();
        }
    }
    // The counter-proof.
    let master = server.master();
    assert_eq!(master.get("/classes/_JobStatus").await.ok()["results"][0]["jobName"], "hush");
    assert_eq!(master.get("/config").await.ok()["params"]["hush"], 1);
}

#[actix_web::test]
async fn nobody_makes_himself_a_member() {
    let server = TestServer::with(json!({"allowCustomObjectId": true})).await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let role =
        server.master().post("/roles", json!({"name": "admins", "ACL": {"*": {"read": true}}})).await.ok();
    let role = role["objectId"].as_str().unwrap();
    let secret = json!({"ACL": {"role:admins": {"read": true}}, "word": "hush"});
    server.master().post("/classes/Secret", secret).await.ok();
    let session = server.session(&token);
    let member = json!({"__op": "AddRelation", "objects": [pointer("_User", &ann)]});
    let attempts = [
        session.put(&format!("/roles/{role}"), json!({"users": member})).await,
        session.put(&format!("/classes/_Role/{role}"), json!({"users": member})).await,
        session.post("/classes/_Join:users:_Role", json!({"owningId": role, "relatedId": ann})).await,
        session
            .post("/roles", json!({"name": "admins", "ACL": {"*": {"read": true}}, "users": member}))
            .await,
        session.post("/roles", json!({"objectId": role, "name": "x", "ACL": {}, "users": member})).await,
        session.delete(&format!("/roles/{role}")).await,
    ];
    for answer in attempts {
        assert!(answer.status >= 400, "{}", answer.text);
    }
    // A relation of the same name in a class of one's own leads to a table of its own.
    server.anonymous().post("/classes/Club", json!({"users": member})).await.ok();
    assert_eq!(session.get("/classes/Secret").await.ok()["results"], json!([]));
    server.master().put(&format!("/roles/{role}"), json!({ "users": member })).await.ok();
    assert_eq!(session.get("/classes/Secret").await.ok()["results"][0]["word"], "hush");
}

/// An id that reads like a role's entry in an ACL, or like everybody's, would have its rights.
#[actix_web::test]
async fn an_id_is_no_role() {
    let server = TestServer::with(json!({"allowCustomObjectId": true})).await;
    server.master().post("/roles", json!({"name": "admins", "ACL": {}})).await.ok();
    let secret = json!({"ACL": {"role:admins": {"read": true, "write": true}}, "word": "hush"});
    server.master().post("/classes/Secret", secret).await.ok();
    for id in ["role:admins", "role:", "role:x"] {
        let body = json!({"username": format!("u{id}"), "password": "secret", "objectId": id});
        for path in ["/users", "/classes/_User"] {
            assert_eq!(
                server.anonymous().post(path, body.clone()).await.error(),
                (400, 119, "Permission denied")
            );
        }
        let batch = json!({"requests": [{"method": "POST", "path": "/parse/users", "body": body}]});
        let answer = server.anonymous().post("/batch", batch).await;
        assert_eq!(answer.body[0]["error"]["code"], 119, "{}", answer.text);
        let anonymous = json!({"authData": {"anonymous": {"id": id}}, "objectId": id});
        assert_eq!(server.anonymous().post("/users", anonymous).await.error().1, 119);
    }
    for id in ["*", "requiresAuthentication", "pointerFields", "authenticated"] {
        let body = json!({"username": format!("u{id}"), "password": "secret", "objectId": id});
        let made = server.anonymous().post("/users", body).await;
        if made.status == 201 {
            let session = server.session(made.body["sessionToken"].as_str().unwrap());
            let found = session.get("/classes/Secret").await;
            assert!(!found.text.contains("hush"), "{id} {}", found.text);
        }
    }
    // A row that another program wrote.
    let (id, token) = sign_up(&server.anonymous(), "eve").await;
    let database = server.database().connect().await;
    let sql = format!(
        r#"UPDATE "_User" SET "objectId" = 'role:admins' WHERE "objectId" = '{id}';
           UPDATE "_Session" SET "user" = 'role:admins' WHERE "user" = '{id}'"#
    );
    database.batch_execute(&sql).await.unwrap();
    let answer = server.session(&token).get("/classes/Secret").await;
    assert_eq!((answer.status, &answer.body), (500, &json!({"code": 1, "error": "Invalid object ID."})));
    let login = json!({"username": "eve", "password": "secret"});
    let answer = server.anonymous().post("/login", login).await;
    assert!(!answer.text.contains("hush"));
    if let Some(token) = answer.body["sessionToken"].as_str() {
        assert_eq!(server.session(token).get("/classes/Secret").await.status, 500);
    }
    // What an id may be.
    let body = json!({"username": "fay", "password": "secret", "objectId": "fay-1"});
    assert_eq!(server.anonymous().post("/users", body).await.ok()["objectId"], "fay-1");
}

#[actix_web::test]
async fn sessions_of_others_are_reached_by_no_way() {
    let server = TestServer::start().await;
    let (_, ann) = sign_up(&server.anonymous(), "ann").await;
    let (bob, bobs) = sign_up(&server.anonymous(), "bob").await;
    let row = server.session(&bobs).get("/sessions/me").await.ok()["objectId"].as_str().unwrap().to_owned();
    let to_session = pointer("_Session", &row);
    server
        .anonymous()
        .post("/classes/Link", json!({"session": to_session, "word": bobs, "list": [to_session]}))
        .await
        .ok();
    let relation = json!({"sessions": {"__op": "AddRelation", "objects": [to_session]}});
    let relation = server.anonymous().post("/classes/Bag", relation).await;
    let without_list = json!({"include": "session,session.user"});
    for client in [server.session(&ann), server.anonymous()] {
        let answers = [
            client.find("Link", without_list.clone()).await,
            client.find("Link", json!({"includeAll": true, "keys": "session,list"})).await,
            client.find("Link", json!({"keys": "session.sessionToken"})).await,
            client.get(&format!("/sessions/{row}")).await,
            client.get(&format!("/classes/_Session/{row}")).await,
            client.find("_Session", json!({"where": {"objectId": row}})).await,
            client.find("_Session", json!({"where": {"sessionToken": {"$regex": "^r:"}}})).await,
            client.find("_Session", json!({"where": {"$or": [{"user": pointer("_User", &bob)}]}})).await,
            client.find("Link", json!({"redirectClassNameForKey": "session", "where": {}})).await,
            client.find("Bag", json!({"redirectClassNameForKey": "sessions", "where": {}})).await,
            client.put(&format!("/sessions/{row}"), json!({"x": 1})).await,
            client.delete(&format!("/sessions/{row}")).await,
            client.delete(&format!("/classes/_Session/{row}")).await,
        ];
        for answer in answers {
            let shown = answer.text.replace(&format!("\"word\":\"{bobs}\""), "");
            assert!(!shown.contains(&bobs), "{}", answer.text);
        }
        // The word is bob's token: a sub-query over sessions must not tell.
        for inner in [
            json!({"where": {"session": {"$inQuery": {"className": "_Session", "where": {"sessionToken": bobs}}}}}),
            json!({"where": {"word": {"$select": {"query": {"className": "_Session", "where": {}}, "key": "sessionToken"}}}}),
        ] {
            let found = client.find("Link", inner.clone()).await;
            assert!(found.status != 200 || found.body["results"] == json!([]), "{inner} {}", found.text);
        }
        if relation.status == 201 {
            let bag = relation.body["objectId"].as_str().unwrap();
            let related =
                json!({"where": {"$relatedTo": {"object": pointer("Bag", bag), "key": "sessions"}}});
            let found = client.find("_Session", related).await;
            assert!(found.status != 200 || found.body["results"] == json!([]), "{}", found.text);
        }
    }
    assert_eq!(server.session(&bobs).get("/users/me").await.ok()["username"], "bob");
    let own = server.session(&bobs).find("Link", json!({"include": "session"})).await.ok();
    assert_eq!(own["results"][0]["session"]["objectId"], row.as_str());
}

#[actix_web::test]
async fn a_pipeline_of_the_master_does_not_show_hashes() {
    let server = TestServer::start().await;
    let (id, _) = sign_up(&server.anonymous(), "ann").await;
    server.anonymous().post("/classes/Post", json!({"author": pointer("_User", &id)})).await.ok();
    let pipelines = [
        ("_User", json!([{"$match": {}}])),
        ("_User", json!([{"$project": {"_hashed_password": 1, "password": 1, "h": "$_hashed_password"}}])),
        ("_User", json!([{"$group": {"_id": "$_hashed_password"}}])),
        (
            "Post",
            json!([{"$lookup": {"from": "_User", "localField": "author", "foreignField": "objectId", "as": "u"}}]),
        ),
        (
            "Post",
            json!([{"$lookup": {"from": "_Session", "localField": "author", "foreignField": "user", "as": "u"}}]),
        ),
        ("_User", json!([{"$match": {"_hashed_password": {"$regex": "^."}}}, {"$out": "Copy"}])),
        ("_User", json!([{"$merge": {"into": "Copy"}}])),
    ];
    for (class, pipeline) in pipelines {
        let text = url::form_urlencoded::byte_serialize(pipeline.to_string().as_bytes()).collect::<String>();
        let answer = server.master().get(&format!("/aggregate/{class}?pipeline={text}")).await;
        assert!(!answer.text.contains("$2b$") && answer.status != 500, "{pipeline} {}", answer.text);
    }
    for field in ["_hashed_password", "password"] {
        let answer = server.master().get(&format!("/aggregate/_User?distinct={field}")).await;
        assert!(!answer.text.contains("$2b$") && answer.status != 500, "{field} {}", answer.text);
    }
    assert_eq!(server.master().get("/schemas/Copy").await.status, 400);
}
