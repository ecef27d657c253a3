//! Clients that hang up while their request is worked on, at one moment after another: what it wrote is there wholly
//! or not at all, no connection of the database stays inside a transaction, and every place is free again.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::server::{APP_ID, Client, MASTER_KEY, TestServer};
use crate::support::wait;

/// Moments at which a client goes, so far from each other.
const MOMENTS: u32 = 40;
const STEP: Duration = Duration::from_micros(150);

fn text(method: &str, path: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nX-Parse-Application-Id: {APP_ID}\r\nX-Parse-Master-Key: {MASTER_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn count(client: &Client, path: &str) -> i64 {
    client.get(&format!("{path}?count=1&limit=0")).await.ok()["count"].as_i64().unwrap()
}

/// Places that are taken, as the page of metrics counts them.
async fn in_flight(server: &TestServer) -> String {
    let page = reqwest::Client::builder().no_proxy().build().unwrap().get(server.url("/metrics"));
    let page = page.header("X-Parse-Application-Id", APP_ID).header("X-Parse-Master-Key", MASTER_KEY);
    let text = page.send().await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with("parsimony_http_requests_in_flight"));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(_, count)| count.to_owned()).collect()
}

#[actix_web::test]
async fn nothing_is_left_half_done() {
    let server = TestServer::with(json!({"metrics": {}, "mountGraphQL": true,
        "fileUpload": {"enableForPublic": true}}))
    .await;
    let master = server.master();
    let target = master.post("/classes/Target", json!({"n": 1})).await.ok()["objectId"].clone();
    master.post("/users", json!({"username": "u", "password": "p"})).await.ok();
    let pointer = json!({"__type": "Pointer", "className": "Target", "objectId": target});
    let relation = json!({"__op": "AddRelation", "objects": [pointer]});
    master.post("/classes/Owner", json!({"n": -1, "to": relation, "ptr": pointer})).await.ok();
    let both = |n: u32| {
        let one = |class: &str| json!({"method": "POST", "path": format!("/parse/classes/{class}"), "body": {"n": n}});
        json!({"transaction": true, "requests": [one("Left"), one("Right")]})
    };
    master.post("/batch", both(0)).await.ok();
    let kinds = |n: u32| {
        [
            text("POST", "/parse/classes/Owner", &json!({"n": n, "to": relation, "ptr": pointer})),
            text("POST", "/parse/batch", &both(n)),
            text(
                "POST",
                "/parse/classes/Owner",
                &json!({"_method": "GET", "include": "ptr", "count": 1,
                "where": {"to": {"$inQuery": {"className": "Target", "where": {"n": 1}}}}}),
            ),
            text(
                "POST",
                "/parse/aggregate/Owner",
                &json!({"_method": "GET", "pipeline": [{"$group": {"_id": "$n"}}]}),
            ),
            text("POST", "/parse/users", &json!({"username": format!("u{n}"), "password": "p"})),
            text("POST", "/parse/login", &json!({"username": "u", "password": "p"})),
            text("POST", "/parse/files/a.txt", &json!({"base64": "YQ==", "_ContentType": "text/plain"})),
            text("PUT", "/parse/schemas/Owner", &json!({"fields": {format!("f{n}"): {"type": "String"}}})),
            text(
                "POST",
                "/graphql",
                &json!({"query": format!(
                "mutation {{ createTarget(input: {{ fields: {{ n: {n} }} }}) {{ target {{ id n }} }} }}")}),
            ),
        ]
    };
    for n in 1..=MOMENTS {
        for kind in kinds(n) {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(kind.as_bytes()).unwrap();
            tokio::time::sleep(STEP * n).await;
            drop(stream);
        }
    }
    wait::until_some("the places to be free", async || {
        // Its own request is not one of the REST API.
        (in_flight(&server).await == "0").then_some(())
    })
    .await;
    let database = server.database().connect().await;
    wait::until_some("the transactions to end", async || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'";
        (database.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let lonely = r#"SELECT count(*) FROM "Owner" o WHERE NOT EXISTS (SELECT 1 FROM "_Join:to:Owner" j WHERE j."owningId" = o."objectId")"#;
    assert_eq!(database.query_one(lonely, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(count(&master, "/classes/Left").await, count(&master, "/classes/Right").await);
    assert!(count(&master, "/classes/Owner").await > 1);
    for n in 0..30 {
        master.post("/batch", both(1000 + n)).await.ok();
        master.get("/classes/Owner?include=ptr").await.ok();
    }
}
