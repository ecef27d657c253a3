//! Routes of operators: config, hooks, jobs, schemas, logs.

use serde_json::json;

use crate::support::server::TestServer;

#[actix_web::test]
async fn global_config() {
    let server = TestServer::start().await;
    let (client, master) = (server.anonymous(), server.master());
    assert_eq!(client.get("/config").await.ok(), json!({"params": {}}));
    let sent =
        json!({"params": {"a": 1, "b.c": {"d": [1]}, "secret": "x"}, "masterKeyOnly": {"secret": true}});
    assert_eq!(master.put("/config", sent).await.ok(), json!({"result": true}));
    assert_eq!(
        client.get("/config").await.ok(),
        json!({"params": {"a": 1, "b.c": {"d": [1]}}, "masterKeyOnly": {"a": false, "b.c": false}})
    );
    assert_eq!(master.get("/config").await.ok()["params"]["secret"], "x");
    master.put("/config", json!({"params": {"a": {"__op": "Delete"}, "e": null}})).await.ok();
    let left = master.get("/config").await.ok();
    assert_eq!(left["params"].get("a"), None);
    assert_eq!(left["params"]["secret"], "x");
    assert_eq!(client.put("/config", json!({"params": {}})).await.status, 403);
    for nothing in [json!({}), json!({"params": {}}), json!({"params": 5})] {
        assert_eq!(master.put("/config", nothing).await.error().1, 107);
    }
}

/// A class that was deleted and made again is there for every worker, at once.
#[actix_web::test]
async fn a_class_comes_back() {
    let server = TestServer::start().await;
    let (client, master) = (server.anonymous(), server.master());
    for round in 0..4 {
        client.post("/classes/Phoenix", json!({"round": round})).await.ok();
        let every_worker = (0..8).map(|_| client.find("Phoenix", json!({})));
        for found in futures_util::future::join_all(every_worker).await {
            assert_eq!(found.ok()["results"].as_array().unwrap().len(), 1, "round {round}");
        }
        master.delete("/purge/Phoenix").await.ok();
        master.delete("/schemas/Phoenix").await.ok();
        assert_eq!(client.find("Phoenix", json!({})).await.ok()["results"], json!([]));
    }
}

#[actix_web::test]
async fn hooks() {
    let server = TestServer::start().await;
    let master = server.master();
    let function = json!({"functionName": "f", "url": "https://hooks.example/f"});
    assert_eq!(master.post("/hooks/functions", function.clone()).await.ok(), function);
    assert_eq!(
        master.post("/hooks/functions", function.clone()).await.error(),
        (400, 143, "function name: f already exists")
    );
    let trigger = json!({"className": "C", "triggerName": "beforeSave", "url": "https://hooks.example/t"});
    assert_eq!(master.post("/hooks/triggers", trigger.clone()).await.ok(), trigger);
    assert_eq!(
        master.post("/hooks/triggers", trigger.clone()).await.error(),
        (400, 143, "class C already has trigger beforeSave")
    );
    for bad in [
        json!({}),
        json!({"functionName": "g"}),
        json!({"className": "C", "triggerName": "never", "url": "u"}),
    ] {
        assert_eq!(master.post("/hooks/triggers", bad).await.error(), (400, 143, "invalid hook declaration"));
    }
    for (class, kind, text) in [
        ("_PushStatus", "beforeSave", "Only afterSave is allowed on _PushStatus"),
        ("_Session", "beforeSave", "Only the afterLogout trigger is allowed for the _Session class."),
        ("C", "afterLogout", "Only the _Session class is allowed for the afterLogout trigger."),
        (
            "C",
            "beforeLogin",
            "Only the _User class is allowed for the beforeLogin, afterLogin, and beforePasswordResetRequest triggers",
        ),
    ] {
        let hook = json!({"className": class, "triggerName": kind, "url": "u"});
        assert_eq!(master.post("/hooks/triggers", hook).await.error(), (400, 143, text));
    }
    assert_eq!(master.get("/hooks/functions").await.ok(), json!([function]));
    assert_eq!(master.get("/hooks/triggers").await.ok(), json!([trigger]));
    assert_eq!(master.get("/hooks/functions/f").await.ok(), function);
    assert_eq!(master.get("/hooks/functions/g").await.error(), (400, 143, "no function named: g is defined"));
    assert_eq!(
        master.get("/hooks/triggers/D/beforeSave").await.error(),
        (400, 143, "class D does not exist")
    );
    let moved = master.put("/hooks/functions/f", json!({"url": "https://other.example/f"})).await.ok();
    assert_eq!(moved["url"], "https://other.example/f");
    assert_eq!(master.put("/hooks/functions/f", json!({"__op": "Delete"})).await.ok(), json!({}));
    assert_eq!(
        master.put("/hooks/functions/f", json!({"__op": "Delete"})).await.error(),
        (404, 101, "Object not found.")
    );
    assert_eq!(master.get("/hooks/functions").await.ok(), json!([]));
    assert_eq!(server.anonymous().get("/hooks/functions").await.status, 403);
}

#[actix_web::test]
async fn functions_and_jobs_that_nobody_defined() {
    let server = TestServer::start().await;
    assert_eq!(
        server.anonymous().post("/functions/f", json!({})).await.error(),
        (400, 141, "Invalid function: \"f\"")
    );
    assert_eq!(server.master().post("/jobs/j", json!({})).await.error(), (400, 141, "Invalid job."));
    assert_eq!(
        server.master().post("/jobs", json!({"jobName": "j"})).await.error(),
        (400, 141, "Invalid job.")
    );
    assert_eq!(server.anonymous().post("/jobs/j", json!({})).await.status, 403);
    assert_eq!(server.master().get("/cloud_code/jobs").await.ok(), json!([]));
    assert_eq!(server.master().get("/cloud_code/jobs/data").await.ok(), json!({"in_use": [], "jobs": []}));
    let schedule = json!({"job_schedule": {"jobName": "j"}});
    assert_eq!(
        server.master().post("/cloud_code/jobs", schedule).await.error(),
        (500, 1, "Cannot Schedule a job that is not deployed")
    );
}

#[actix_web::test]
async fn schemas_and_purge() {
    let server = TestServer::start().await;
    let master = server.master();
    let made = master.post("/schemas/S", json!({"fields": {"a": {"type": "String"}}})).await.ok();
    assert_eq!(made["fields"]["a"], json!({"type": "String"}));
    assert_eq!(master.get("/schemas/S").await.ok()["className"], "S");
    master.post("/classes/S", json!({"a": "x"})).await.ok();
    assert_eq!(master.delete("/schemas/S").await.error().1, 255);
    assert_eq!(master.delete("/purge/S").await.ok(), json!({}));
    assert_eq!(master.delete("/schemas/S").await.ok(), json!({}));
    assert_eq!(master.get("/schemas/S").await.error(), (400, 103, "Class S does not exist."));
    assert_eq!(
        master.post("/schemas", json!({"fields": {}})).await.error(),
        (400, 135, "POST /schemas needs a class name.")
    );
}

#[actix_web::test]
async fn audiences_show_their_query_parsed() {
    let server = TestServer::start().await;
    let master = server.master();
    let made = master.post("/push_audiences", json!({"name": "n", "query": "{\"a\":1}"})).await.ok();
    let path = format!("/push_audiences/{}", made["objectId"].as_str().unwrap());
    assert_eq!(master.get(&path).await.ok()["query"], json!({"a": 1}));
    assert_eq!(master.get("/push_audiences").await.ok()["results"][0]["query"], json!({"a": 1}));
    assert_eq!(master.delete(&path).await.ok(), json!({}));
}

#[actix_web::test]
async fn events_are_swallowed() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    assert_eq!(client.post("/events/AppOpened", json!({"at": {}})).await.ok(), json!({}));
    assert_eq!(client.post("/events/search", json!({"dimensions": {"a": "b"}})).await.ok(), json!({}));
    assert_eq!(
        client.post("/validate_purchase", json!({"receipt": "r"})).await.error(),
        (400, 107, "missing receipt or productIdentifier")
    );
}
