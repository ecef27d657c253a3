//! Names that PostgreSQL has taken, as classes, fields and indexes: never an error of the server's.

use serde_json::{Value, json};

use crate::support::server::TestServer;

#[actix_web::test]
async fn no_field_is_called_as_a_system_column() {
    let server = TestServer::start().await;
    for client in [server.anonymous(), server.master()] {
        for name in ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"] {
            for class in ["Fresh", "Known", "_User"] {
                server.master().post("/classes/Known", json!({"a": 1})).await.ok();
                let body = json!({ name: 1, "username": name, "password": "p" });
                let made = client.post(&format!("/classes/{class}"), body).await;
                assert_eq!(made.error().1, 105, "{class}.{name} {}", made.text);
            }
            let id = server.master().post("/classes/Known", json!({"a": 1})).await.ok();
            let path = format!("/classes/Known/{}", id["objectId"].as_str().unwrap());
            for value in [json!(1), json!({"__op": "Increment", "amount": 1}), json!({"x": 1})] {
                assert_eq!(client.put(&path, json!({ name: value })).await.error().1, 105);
            }
            for query in [
                json!({"where": {name: 1}}),
                json!({"where": {name: {"$exists": true}}}),
                json!({"order": name}),
                json!({"keys": name}),
                json!({"include": name}),
                json!({"distinct": name}),
            ] {
                let found = client.find("Known", query.clone()).await;
                assert!(found.status < 500, "{query} {}", found.text);
                assert!(!found.text.contains(&format!("\"{name}\":")), "{}", found.text);
            }
        }
    }
    for name in ["ctid", "tableoid"] {
        for path in ["/schemas/Known", "/schemas/Other"] {
            let body = json!({"fields": {name: {"type": "Number"}}});
            let method = if path.ends_with("Known") { reqwest::Method::PUT } else { reqwest::Method::POST };
            let answer = server.master().send(method, path, Some(body.to_string().into())).await;
            assert_eq!(answer.error().1, 105, "{}", answer.text);
        }
    }
}

#[actix_web::test]
async fn classes_may_be_called_as_system_tables() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    for class in
        ["pg_class", "pg_shadow", "pg_settings", "pg_attribute", "pg_stat_activity", "pg_type", "user"]
    {
        let path = format!("/classes/{class}");
        let none = client.find(class, json!({})).await.ok();
        assert_eq!(none["results"], json!([]), "{class}");
        let made = client.post(&path, json!({"relname": "mine", "n": 1})).await.ok();
        let one = format!("{path}/{}", made["objectId"].as_str().unwrap());
        client.put(&one, json!({"n": {"__op": "Increment", "amount": 2}, "more": [1]})).await.ok();
        let link = json!({"__op": "AddRelation", "objects": [{"__type": "Pointer", "className": class, "objectId": "x"}]});
        client.put(&one, json!({ "links": link })).await.ok();
        let found = client.find(class, json!({"where": {"relname": "mine"}, "count": 1})).await.ok();
        assert_eq!((&found["count"], &found["results"][0]["n"]), (&json!(1), &json!(3)), "{class}");
        let inner = json!({"where": {"x": {"$inQuery": {"className": class, "where": {"n": 3}}}}});
        client.find("Any", inner).await.ok();
        let pipeline = "?pipeline=[{\"$group\":{\"_id\":null,\"sum\":{\"$sum\":\"$n\"}}}]";
        let sum = server.master().get(&format!("/aggregate/{class}{pipeline}")).await.ok();
        assert_eq!(sum["results"][0]["sum"], 3, "{class}");
        server.master().put(&format!("/schemas/{class}"), json!({"indexes": {"by_n": {"n": 1}}})).await.ok();
        client.delete(&one).await.ok();
        server.master().delete(&format!("/schemas/{class}")).await.ok();
    }
    // The tables of the same names were never meant.
    let sql = server.database().connect().await;
    let rows = sql.query("SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'mine'", &[]).await.unwrap();
    assert!(rows.is_empty());
}

#[actix_web::test]
async fn classes_cannot_be_called_as_an_index() {
    let server = TestServer::start().await;
    server.master().post("/classes/Game", json!({"score": 1})).await.ok();
    server.master().put("/schemas/Game", json!({"indexes": {"by_score": {"score": 1}}})).await.ok();
    let sql = server.database().connect().await;
    sql.batch_execute("CREATE VIEW a_view AS SELECT 1 AS one; CREATE SEQUENCE a_sequence").await.unwrap();
    for class in ["by_score", "Game_pkey", "case_insensitive_email", "a_view", "a_sequence"] {
        let made = server.anonymous().post(&format!("/classes/{class}"), json!({"a": 1})).await;
        assert_eq!(made.error().1, 103, "{class} {}", made.text);
        let made = server.master().post(&format!("/schemas/{class}"), json!({})).await;
        assert_eq!(made.error().1, 103, "{class} {}", made.text);
        assert!(server.anonymous().find(class, json!({})).await.status < 500);
    }
}

/// With the master key, by every route that leads to a class.
#[actix_web::test]
async fn no_system_class_is_an_error_of_the_server() {
    let server = TestServer::start().await;
    let master = server.master();
    server.anonymous().post("/users", json!({"username": "u", "password": "p"})).await.ok();
    server
        .master()
        .post("/classes/Game", json!({"a": {"__type": "Pointer", "className": "_Hooks", "objectId": "x"}}))
        .await
        .ok();
    let pointer = |class: &str| json!({"__type": "Pointer", "className": class, "objectId": "x"});
    let mut faults = Vec::new();
    for class in [
        "_Hooks",
        "_GlobalConfig",
        "_GraphQLConfig",
        "_Join:users:_Role",
        "_Join:none:Game",
        "_SCHEMA",
        "_Audience",
        "_Idempotency",
        "_JobSchedule",
        "_JobStatus",
        "_PushStatus",
        "_Product",
        "_Session",
        "_Installation",
        "_Role",
    ] {
        let path = format!("/classes/{class}");
        let find = |params: Value| (class.to_owned(), params);
        let mut answers = Vec::new();
        for (of, params) in [
            find(json!({})),
            find(json!({"where": {"objectId": "x"}})),
            find(json!({"where": {"objectId": {"$in": ["x"]}}, "order": "-createdAt,objectId", "count": 1})),
            find(json!({"where": {"ACL": 1}, "keys": "url,objectId", "excludeKeys": "createdAt"})),
            find(
                json!({"where": {"updatedAt": {"$gt": {"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"}}}}),
            ),
            find(json!({"include": "*", "limit": 3, "skip": 1, "explain": false})),
            find(json!({"distinct": "objectId"})),
            find(json!({"where": {"$relatedTo": {"object": pointer(class), "key": "users"}}})),
            ("Game".to_owned(), json!({"where": {"a": {"$inQuery": {"className": class, "where": {}}}}})),
            (
                "Game".to_owned(),
                json!({"where": {"a": {"$notInQuery": {"className": class, "where": {"objectId": "x"}}}}}),
            ),
            (
                "Game".to_owned(),
                json!({"where": {"a": {"$select": {"query": {"className": class, "where": {}}, "key": "objectId"}}}}),
            ),
            (
                "Game".to_owned(),
                json!({"where": {"a": {"$dontSelect": {"query": {"className": class, "where": {}}, "key": "createdAt"}}}}),
            ),
            ("Game".to_owned(), json!({"include": "a,a.b"})),
        ] {
            answers.push((params.to_string(), master.find(&of, params).await));
        }
        answers.push(("get".into(), master.get(&format!("{path}/x")).await));
        for body in [
            json!({}),
            json!({"url": "http://127.0.0.1:9/", "functionName": "f", "name": "n", "ACL": {}, "reqId": "r"}),
            json!({"params": {"a": 1}, "owningId": "x", "relatedId": "y", "link": pointer("_User")}),
            json!({"objectId": "x", "users": {"__op": "AddRelation", "objects": [pointer("_User")]}}),
        ] {
            answers.push((format!("post {body}"), master.post(&path, body.clone()).await));
            answers.push((format!("put {body}"), master.put(&format!("{path}/x"), body.clone()).await));
            let batch = json!({"requests": [
                {"method": "POST", "path": format!("/parse{path}"), "body": body},
                {"method": "PUT", "path": format!("/parse{path}/x"), "body": body},
                {"method": "DELETE", "path": format!("/parse{path}/x"), "body": {}},
            ]});
            let answer = master.post("/batch", batch.clone()).await;
            if answer.text.contains("\"code\":1,") {
                faults.push(format!("{class} {batch}: {}", answer.text));
            }
            answers.push((batch.to_string(), answer));
        }
        answers.push(("delete".into(), master.delete(&format!("{path}/x")).await));
        for stage in [
            "[{\"$match\":{\"objectId\":\"x\"}}]",
            "[{\"$group\":{\"_id\":\"$objectId\"}}]",
            "[{\"$sort\":{\"createdAt\":1}}]",
            "[{\"$project\":{\"updatedAt\":1}}]",
        ] {
            answers.push((stage.into(), master.get(&format!("/aggregate/{class}?pipeline={stage}")).await));
        }
        answers.push(("explain".into(), master.find(class, json!({"explain": true})).await));
        answers.push(("get schema".into(), master.get(&format!("/schemas/{class}")).await));
        for body in [
            json!({}),
            json!({"fields": {"extra": {"type": "String"}}}),
            json!({"indexes": {"i": {"objectId": 1}}}),
            json!({"classLevelPermissions": {"find": {}}}),
        ] {
            answers.push((
                format!("put schema {body}"),
                master.put(&format!("/schemas/{class}"), body.clone()).await,
            ));
            answers.push((
                format!("post schema {body}"),
                master.post(&format!("/schemas/{class}"), body.clone()).await,
            ));
        }
        answers.push(("purge".into(), master.delete(&format!("/purge/{class}")).await));
        answers.push(("delete schema".into(), master.delete(&format!("/schemas/{class}")).await));
        answers.push(("find".into(), master.find(class, json!({})).await));
        for (what, answer) in answers {
            if answer.status >= 500 {
                faults.push(format!("{class} {what}: {} {}", answer.status, answer.text));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // What lives in those tables works as before.
    master.put("/config", json!({"params": {"a": 1}})).await.ok();
    assert_eq!(master.get("/config").await.ok()["params"]["a"], 1);
    master.post("/hooks/functions", json!({"functionName": "g", "url": "http://127.0.0.1:9/"})).await.ok();
    master.post("/push_audiences", json!({"name": "n", "query": "{}"})).await.ok();
    master.post("/roles", json!({"name": "r", "ACL": {}})).await.ok();
    server.anonymous().post("/login", json!({"username": "u", "password": "p"})).await.ok();
}

/// Their schemas are fixed and their tables the server's own.
#[actix_web::test]
async fn the_schemas_of_the_servers_own_tables_stay() {
    let server = TestServer::start().await;
    let master = server.master();
    master.put("/config", json!({"params": {"a": 1}})).await.ok();
    for class in [
        "_GlobalConfig",
        "_Hooks",
        "_GraphQLConfig",
        "_JobStatus",
        "_PushStatus",
        "_JobSchedule",
        "_Audience",
        "_Idempotency",
        "_Join:users:_Role",
    ] {
        let path = format!("/schemas/{class}");
        let gone = master.delete(&path).await;
        assert_eq!(gone.error().1, 103, "{class} {}", gone.text);
        for body in
            [json!({}), json!({"fields": {"x": {"type": "String"}}}), json!({"classLevelPermissions": {}})]
        {
            let changed = master.put(&path, body).await;
            assert_eq!(changed.error().1, 103, "{class} {}", changed.text);
        }
    }
    assert_eq!(master.get("/config").await.ok()["params"]["a"], 1);
    master.put("/config", json!({"params": {"a": 2}})).await.ok();
    let sql = server.database().connect().await;
    let columns = "SELECT 1 FROM information_schema.columns WHERE column_name = 'x'";
    assert!(sql.query(columns, &[]).await.unwrap().is_empty());
}

/// What no object could have is no default either: every later create would fail.
#[actix_web::test]
async fn defaults_are_values_that_an_object_may_have() {
    let server = TestServer::start().await;
    let master = server.master();
    let date = |iso: &str| json!({"__type": "Date", "iso": iso});
    let polygon = |points: Value| json!({"__type": "Polygon", "coordinates": points});
    let cases = [
        ("Date", date("never"), 111),
        ("Date", date("2020-13-45T00:00:00.000Z"), 111),
        ("GeoPoint", json!({"__type": "GeoPoint", "latitude": 91, "longitude": 0}), 111),
        ("GeoPoint", json!({"__type": "GeoPoint", "latitude": 0, "longitude": 1e9}), 111),
        ("Polygon", polygon(json!([])), 111),
        ("Polygon", polygon(json!([[0, 0], [1, 1]])), 111),
        ("Polygon", polygon(json!([[0, 0], [0, 1], [1, "x"]])), 111),
        ("Object", json!({"$where": 1}), 121),
        ("Object", json!({"a": {"b.c": 1}}), 121),
        ("Array", json!([{"$x": 1}]), 121),
    ];
    master
        .post(
            "/schemas/There",
            json!({"fields": {"d": {"type": "Date"}, "g": {"type": "GeoPoint"},
        "p": {"type": "Polygon"}, "o": {"type": "Object"}, "a": {"type": "Array"}}}),
        )
        .await
        .ok();
    for (number, (ty, default, code)) in cases.into_iter().enumerate() {
        let field = json!({"type": ty, "defaultValue": default});
        let made = master.post(&format!("/schemas/New{number}"), json!({"fields": {"x": field}})).await;
        assert_eq!((made.status, made.error().1), (400, code), "{ty} {default} {}", made.text);
        assert_eq!(master.get(&format!("/schemas/New{number}")).await.error().1, 103);
        if ty != "GeoPoint" {
            let added = master.put("/schemas/There", json!({"fields": {format!("x{number}"): field}})).await;
            assert_eq!((added.status, added.error().1), (400, code), "{ty} {default} {}", added.text);
        }
        let name = &ty.to_lowercase()[..1];
        let set = master.put("/schemas/There", json!({"fields": {name: field}})).await;
        assert_eq!((set.status, set.error().1), (400, code), "{ty} {default} {}", set.text);
        server.anonymous().post("/classes/There", json!({})).await.ok();
    }
    let good = json!({"fields": {"d": {"type": "Date", "defaultValue": date("2020-01-01T00:00:00.000Z")},
        "p": {"type": "Polygon", "defaultValue": polygon(json!([[0, 0], [0, 1], [1, 1]]))}}});
    master.put("/schemas/There", good).await.ok();
    let made = server.anonymous().post("/classes/There", json!({})).await.ok();
    assert_eq!(made["d"], date("2020-01-01T00:00:00.000Z"));
}
