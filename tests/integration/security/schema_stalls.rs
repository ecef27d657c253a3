//! Schema changes that wait for somebody else, and schemas that cannot be read: nobody else waits, and
//! permissions that were taken away stay away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::server::{Client, TestServer};
use crate::support::wait::until_some;

/// Two servers on one database.
async fn two() -> (TestServer, TestServer) {
    let one = TestServer::start().await;
    let two = TestServer::with(json!({"databaseURI": one.database().uri})).await;
    (one, two)
}

async fn until_code(client: &Client, class: &str, code: i64) {
    until_some("the answer of the new permissions", async || {
        let answer = client.find(class, json!({})).await;
        (answer.error().1 == code).then_some(())
    })
    .await;
}

fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}

const BUILDS: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND state = 'active' AND query LIKE 'CREATE INDEX CONCURRENTLY%'";
const INVALID: &str = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";

#[actix_web::test]
async fn a_slow_index_build_holds_up_nobody() {
    let (here, there) = two().await;
    let master = here.master();
    for class in ["Big", "Open"] {
        master.post(&format!("/classes/{class}"), json!({"a": 1})).await.ok();
    }
    assert_eq!(there.anonymous().find("Open", json!({})).await.status, 200);
    let mut sql = here.database().connect().await;
    let writer = here.database().connect().await;
    writer.batch_execute("BEGIN; UPDATE \"Big\" SET a = 2").await.unwrap();
    let put = |server: &TestServer| {
        let master = server.master();
        spawn(async move { master.put("/schemas/Big", json!({"indexes": {"by_a": {"a": 1}}})).await })
    };
    let (first, second) = (put(&here), put(&there));
    until_some("the build", async || {
        (sql.query_one(BUILDS, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    // New fields of other classes, on both servers, and another index.
    for server in [&here, &there] {
        let began = Instant::now();
        let name = format!("f{}", server.address.port());
        server.master().post("/classes/Open", json!({ name: true })).await.ok();
        server.master().put("/schemas/Open", json!({"fields": {"x": {"type": "Number"}}})).await;
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    master.put("/schemas/Open", json!({"indexes": {"open_a": {"a": 1}}})).await.ok();
    // Permissions, from one server to the other.
    there.master().put("/schemas/Open", json!({"classLevelPermissions": {"find": {}}})).await.ok();
    until_code(&here.anonymous(), "Open", 119).await;
    assert!(!first.is_finished() && !second.is_finished(), "the build waited for the writer");
    let shown = master.get("/schemas/Big").await.ok();
    assert!(shown["indexes"].get("by_a").is_none(), "{shown}");
    writer.batch_execute("COMMIT").await.unwrap();
    for answer in [first.await.unwrap(), second.await.unwrap()] {
        assert_eq!(answer.ok()["indexes"]["by_a"], json!({"a": 1}));
    }
    let invalid: i64 = sql.query_one(INVALID, &[]).await.unwrap().get(0);
    assert_eq!(invalid, 0);
    let transaction = sql.transaction().await.unwrap();
    let built =
        transaction.query("SELECT 1 FROM pg_indexes WHERE tablename = 'Big' AND indexname = 'by_a'", &[]);
    assert_eq!(built.await.unwrap().len(), 1);
}

/// The build holds the table's lock against every new column, and waits for whoever read before it.
#[actix_web::test]
async fn a_new_field_goes_before_an_index_build() {
    let server = TestServer::start().await;
    let master = server.master();
    master.post("/classes/Big", json!({"a": 1})).await.ok();
    let sql = server.database().connect().await;
    let reader = server.database().connect().await;
    reader.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM \"_User\"").await.unwrap();
    let builder = server.master();
    let build =
        spawn(async move { builder.put("/schemas/Big", json!({"indexes": {"by_a": {"a": 1}}})).await });
    let waits = "SELECT count(*) FROM pg_stat_progress_create_index \
        WHERE datname = current_database() AND phase = 'waiting for old snapshots'";
    until_some("the build to wait", async || {
        (sql.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    let made = server.anonymous().post("/classes/Big", json!({"a": 2, "fresh": true})).await.ok();
    let id = made["objectId"].as_str().unwrap();
    assert_eq!(master.get(&format!("/classes/Big/{id}")).await.ok()["fresh"], json!(true));
    assert!(!build.is_finished(), "the build waits for the reader");
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(build.await.unwrap().ok()["indexes"]["by_a"], json!({"a": 1}));
    assert_eq!(sql.query_one(INVALID, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[actix_web::test]
async fn a_field_that_waits_for_a_lock_holds_up_no_other_class() {
    let server = TestServer::start().await;
    for class in ["Big", "Open"] {
        server.master().post(&format!("/classes/{class}"), json!({"a": 1})).await.ok();
    }
    let writer = server.database().connect().await;
    writer.batch_execute("BEGIN; UPDATE \"Big\" SET a = 2").await.unwrap();
    let master = server.master();
    let stuck = spawn(async move { master.post("/classes/Big", json!({"b": 1})).await });
    let watcher = server.database().connect().await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE%'";
    until_some("the wait for the table", async || {
        (watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    for n in 0..3 {
        server.master().post("/classes/Open", json!({ format!("f{n}"): true })).await.ok();
        let clp = json!({"classLevelPermissions": {"find": {"*": true}, "count": {}}});
        server.master().put("/schemas/Open", clp).await.ok();
    }
    assert!(!stuck.is_finished(), "the others did not wait for the stuck one");
    writer.batch_execute("COMMIT").await.unwrap();
    stuck.await.unwrap().ok();
}

#[actix_web::test]
async fn a_build_that_breaks_leaves_nothing_and_can_be_repeated() {
    let server = TestServer::start().await;
    server.master().post("/classes/Big", json!({"a": 1, "b": 2})).await.ok();
    let sql = server.database().connect().await;
    let writer = server.database().connect().await;
    writer.batch_execute("BEGIN; UPDATE \"Big\" SET a = 2").await.unwrap();
    let master = server.master();
    let body = json!({"indexes": {"by_a": {"a": 1}, "by_b": {"b": 1}}});
    let again = body.clone();
    let put = spawn(async move { master.put("/schemas/Big", body).await });
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
        AND pid <> pg_backend_pid() AND query LIKE 'CREATE INDEX CONCURRENTLY%'";
    until_some("the index that is being built", async || {
        let begun: i64 = sql.query_one(INVALID, &[]).await.unwrap().get(0);
        (begun > 0).then_some(())
    })
    .await;
    sql.query_one(kill, &[]).await.unwrap();
    writer.batch_execute("COMMIT").await.unwrap();
    let answer = put.await.unwrap();
    // The server's fault, whether the last word of the connection was heard or not.
    assert!([1, 124].contains(&answer.error().1), "{}", answer.text);
    until_some("nothing is left", async || {
        let left: i64 = sql.query_one(INVALID, &[]).await.unwrap().get(0);
        (left == 0).then_some(())
    })
    .await;
    let shown = server.master().get("/schemas/Big").await.ok();
    assert!(shown["indexes"].get("by_a").is_none(), "{shown}");
    let built = server.master().put("/schemas/Big", again).await.ok();
    assert_eq!(built["indexes"]["by_b"], json!({"b": 1}));
    // The same name with other columns is refused, also by whoever loses a race.
    let other = json!({"indexes": {"by_a": {"b": 1}}});
    assert_eq!(server.master().put("/schemas/Big", other).await.error().1, 102);
}

#[actix_web::test]
async fn an_abandoned_index_goes_at_the_next_start() {
    let server = TestServer::start().await;
    server.master().post("/classes/Big", json!({"a": 1})).await.ok();
    let sql = server.database().connect().await;
    sql.batch_execute(
        "CREATE INDEX left_over ON \"Big\" (a); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'left_over'::regclass",
    )
    .await
    .unwrap();
    let _other = TestServer::with(json!({"databaseURI": server.database().uri})).await;
    until_some("the invalid index goes", async || {
        let left: i64 = sql.query_one(INVALID, &[]).await.unwrap().get(0);
        (left == 0).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn index_names_of_any_length_and_widths_beyond_the_database() {
    let server = TestServer::start().await;
    let fields: serde_json::Map<String, Value> =
        (0..40).map(|n| (format!("f{n}"), json!({"type": "Number"}))).collect();
    server.master().post("/schemas/Wide", json!({ "fields": fields })).await.ok();
    let wide: serde_json::Map<String, Value> = (0..40).map(|n| (format!("f{n}"), json!(1))).collect();
    let refused = server.master().put("/schemas/Wide", json!({"indexes": {"wide": wide}})).await;
    assert_eq!(refused.error().1, 102, "{}", refused.text);
    for name in ["x".repeat(70), "x".repeat(71), String::new(), "Wide".into(), "pg_class".into(), "\"".into()]
    {
        let made = server.master().put("/schemas/Wide", json!({"indexes": {&name: {"f1": 1}}})).await.ok();
        assert_eq!(made["indexes"][&name], json!({"f1": 1}), "{name}");
    }
    let gone = json!({"indexes": {"x".repeat(70): {"__op": "Delete"}, "x".repeat(71): {"__op": "Delete"}, "pg_class": {"__op": "Delete"}}});
    server.master().put("/schemas/Wide", gone).await.ok();
    let sql = server.database().connect().await;
    let left = sql.query("SELECT 1 FROM pg_indexes WHERE tablename = 'Wide'", &[]).await.unwrap();
    assert_eq!(left.len(), 4, "the primary key and three others");
}

/// What another server would have done: closes the class, and tells.
fn close(class: &str) -> String {
    format!(
        "UPDATE \"_SCHEMA\" SET schema = jsonb_set(schema, '{{classLevelPermissions}}', '{{\"find\": {{}}}}') \
         WHERE \"className\" = '{class}'; "
    )
}

fn tell(class: &str) -> String {
    format!(
        "SELECT pg_notify('parsimony', '{{\"kind\":\"schema\",\"value\":\"{class}\",\"senderId\":\"x\"}}'); "
    )
}

#[actix_web::test]
async fn permissions_that_cannot_be_read_are_not_replaced_by_old_ones() {
    let server = TestServer::start().await;
    server.master().post("/classes/Open", json!({"a": 1})).await.ok();
    let anonymous = server.anonymous();
    assert_eq!(anonymous.find("Open", json!({})).await.status, 200);
    let sql = server.database().connect().await;
    let away = "ALTER TABLE \"_SCHEMA\" RENAME TO \"_AWAY\"; COMMIT";
    sql.batch_execute(&format!("BEGIN; {}{}{away}", close("Open"), tell("Open"))).await.unwrap();
    until_some("the notice", async || (anonymous.find("Open", json!({})).await.status != 200).then_some(()))
        .await;
    for _ in 0..10 {
        assert_eq!(anonymous.find("Open", json!({})).await.status, 500);
    }
    sql.batch_execute("ALTER TABLE \"_AWAY\" RENAME TO \"_SCHEMA\"").await.unwrap();
    // No further notice comes.
    until_code(&anonymous, "Open", 119).await;
}

#[actix_web::test]
async fn a_server_that_hears_nothing_reads_permissions_for_each_request() {
    let server = TestServer::start().await;
    server.master().post("/classes/Open", json!({"a": 1})).await.ok();
    let anonymous = server.anonymous();
    assert_eq!(anonymous.find("Open", json!({})).await.status, 200);
    let database = server.database();
    let (sql, admin) = (database.connect().await, crate::support::database::admin().await);
    let listening =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    until_some("it listens", async || {
        (sql.query_one(listening, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    let allow = |on: bool| format!("ALTER DATABASE \"{}\" WITH ALLOW_CONNECTIONS {on}", database.name);
    admin.batch_execute(&allow(false)).await.unwrap();
    let kill = listening.replace("count(*)", "count(pg_terminate_backend(pid))");
    sql.query_one(&kill, &[]).await.unwrap();
    sql.batch_execute(&close("Open")).await.unwrap();
    until_code(&anonymous, "Open", 119).await;
    admin.batch_execute(&allow(true)).await.unwrap();
    until_some("it listens again", async || {
        (sql.query_one(listening, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    assert_eq!(anonymous.find("Open", json!({})).await.error().1, 119);
}

#[actix_web::test]
async fn a_change_is_told_with_its_commit() {
    let (here, there) = two().await;
    here.master().post("/classes/Open", json!({"a": 1})).await.ok();
    assert_eq!(there.anonymous().find("Open", json!({})).await.status, 200);
    // The connection that would tell is gone after every change.
    here.master().put("/schemas/Open", json!({"classLevelPermissions": {"find": {}}})).await.ok();
    until_code(&there.anonymous(), "Open", 119).await;
}

#[actix_web::test]
async fn schema_cache_ttl_bounds_how_old_permissions_get() {
    let server = TestServer::with(json!({"databaseOptions": {"schemaCacheTtl": 1}})).await;
    server.master().post("/classes/Open", json!({"a": 1})).await.ok();
    let anonymous = server.anonymous();
    assert_eq!(anonymous.find("Open", json!({})).await.status, 200);
    // As by a program that tells nobody.
    server.database().connect().await.batch_execute(&close("Open")).await.unwrap();
    until_code(&anonymous, "Open", 119).await;
}

#[actix_web::test]
async fn max_time_ends_slow_operations() {
    let server = TestServer::with(json!({"databaseOptions": {"maxTimeMS": 200}})).await;
    server.master().post("/classes/Open", json!({"a": 1})).await.ok();
    let sql = server.database().connect().await;
    sql.batch_execute("BEGIN; LOCK TABLE \"Open\" IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let began = Instant::now();
    for params in [json!({}), json!({"count": 1, "limit": 0})] {
        let answer = server.master().find("Open", params).await;
        assert_eq!(answer.error().1, 124, "{}", answer.text);
    }
    // The server's own limit for statements is 30 s.
    assert!(began.elapsed() < Duration::from_secs(20));
    sql.batch_execute("COMMIT").await.unwrap();
    server.master().find("Open", json!({})).await.ok();
}
