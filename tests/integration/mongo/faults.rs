//! What goes wrong: the server is killed, or the database goes away, under a load of writes, transactions collide, and documents hold
//! what no Parse program writes.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, Document, Regex, Timestamp, doc, oid::ObjectId, spec::BinarySubtype,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::Fixture;
use crate::support::mongo::TestMongo;
use crate::support::server::{Client, TestServer};
use crate::support::wait;

/// The end of the year 9999, in milliseconds: SecantusDB takes no later date.
const FAR: i64 = 253_402_300_799_000;

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A SecantusDB of a test's own, to be killed.
struct Secantus {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Secantus {
    fn program() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/secantusd-py")
    }

    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        if !Self::program().exists() || std::env::var(TestMongo::VARIABLE).is_err() {
            eprintln!("SecantusDB is not installed: nothing is tested on it");
            return None;
        }
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let child = Self::spawn(folder.path(), port);
        Some(Self { child, folder, port })
    }

    fn spawn(folder: &std::path::Path, port: u16) -> Child {
        // It reads a configuration from where it is started.
        let child = Command::new(Self::program())
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--log-level",
                "WARNING",
                "--storage-path",
            ])
            .arg(folder.join("db"))
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait::until("SecantusDB", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        child
    }

    /// Asks it to end: killed outright, it forgets what it had answered a moment before.
    fn end(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = Self::spawn(self.folder.path(), self.port);
    }

    fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/faults", self.port)
    }
}

impl Drop for Secantus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program on this database; killed when dropped.
struct Program {
    child: Child,
    port: u16,
}

impl Program {
    fn start(uri: &str, port: u16, folder: &std::path::Path) -> Self {
        parsimony::tls::install_provider();
        let config = json!({
            "appId": "test", "masterKey": "master", "databaseURI": uri, "host": "127.0.0.1", "port": port,
            "logsFolder": null, "allowClientClassCreation": true, "verifyServerUrl": false,
        });
        let file = folder.join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_parsimony"))
            .arg(&file)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    fn client(&self) -> Client {
        Client::with(self.port, &[("X-Parse-Application-Id", "test"), ("X-Parse-Master-Key", "master")])
            .below("/parse")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn healthy(client: &Client) {
    wait::until_some("a healthy server", || async {
        let answer = client.try_send(Method::GET, "/classes/Ledger?limit=1", None).await?;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// What clients were told: objects that were made, and pairs that were made together.
#[derive(Default)]
struct Ledger {
    single: Vec<String>,
    pairs: Vec<i64>,
    /// Pairs of which nobody knows.
    unsure: Vec<i64>,
    increments: i64,
}

/// Writes until told to stop: objects, pairs in one transaction, and increments of one counter.
async fn writing(client: Client, counter: String, first: i64, stop: Arc<AtomicBool>) -> Ledger {
    let mut ledger = Ledger::default();
    let mut n = first;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        if let Some(answer) = client.try_send(Method::POST, "/classes/Ledger", Some(json!({ "n": n }))).await
            && answer.status == 201
        {
            ledger.single.push(answer.ok()["objectId"].as_str().unwrap().to_owned());
        }
        let create = json!({"method": "POST", "path": "/parse/classes/Pair", "body": {"n": n}});
        let both = json!({"transaction": true, "requests": [create, create]});
        match client.try_send(Method::POST, "/batch", Some(both)).await {
            Some(answer) if answer.status == 200 => ledger.pairs.push(n),
            _ => ledger.unsure.push(n),
        }
        let increment = json!({"n": {"__op": "Increment", "amount": 1}});
        if let Some(answer) =
            client.try_send(Method::PUT, &format!("/classes/Counter/{counter}"), Some(increment)).await
            && answer.status == 200
        {
            ledger.increments += 1;
        }
        tokio::task::yield_now().await;
    }
    ledger
}

async fn all_is_there(client: &Client, counter: &str, ledgers: &[Ledger]) {
    let (mut acknowledged, mut tries) = (0, 0);
    for ledger in ledgers {
        for id in &ledger.single {
            assert_eq!(client.get(&format!("/classes/Ledger/{id}")).await.status, 200, "{id} is lost");
        }
        for n in ledger.pairs.iter().chain(&ledger.unsure) {
            let found = client.find("Pair", json!({"where": {"n": n}, "count": 1})).await.ok();
            let count = found["count"].as_i64().unwrap();
            let told = ledger.pairs.contains(n);
            assert!(count == 2 || count == 0 && !told, "{count} of the pair {n}, told: {told}");
        }
        acknowledged += ledger.increments;
        tries += 1;
    }
    let count = client.get(&format!("/classes/Counter/{counter}")).await.ok()["n"].as_i64().unwrap();
    // One increment of each writer may have arrived without an answer, for each time that it was cut off.
    assert!(count >= acknowledged && count <= acknowledged + 3 * tries, "{count} of {acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_that_was_answered() {
    let Some(database) = TestMongo::empty() else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut program = Program::start(&database.uri, port, folder.path());
    let client = program.client();
    healthy(&client).await;
    let counter = client.post("/classes/Counter", json!({"n": 0})).await.ok();
    let counter = counter["objectId"].as_str().unwrap().to_owned();
    client.post("/classes/Pair", json!({"n": -1})).await.ok();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            tokio::spawn(writing(program.client(), counter.clone(), writer * 1_000_000, stop.clone()))
        })
        .collect();
    for _ in 0..2 {
        let before =
            client.find("Ledger", json!({"count": 1, "limit": 0})).await.ok()["count"].as_i64().unwrap();
        wait::until_some("writes", || async {
            let answer = client.try_send(Method::GET, "/classes/Ledger?count=1&limit=0", None).await?;
            (answer.ok()["count"].as_i64()? > before + 15).then_some(())
        })
        .await;
        drop(program);
        program = Program::start(&database.uri, port, folder.path());
        healthy(&client).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut ledgers = Vec::new();
    for writer in writers {
        ledgers.push(writer.await.unwrap());
    }
    assert!(ledgers.iter().map(|ledger| ledger.single.len()).sum::<usize>() > 30);
    all_is_there(&client, &counter, &ledgers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_and_comes_back_has_what_was_answered() {
    let Some(mut secantus) = Secantus::start() else { return };
    let options = json!({
        "databaseURI": secantus.uri(),
        "databaseOptions": {"serverSelectionTimeoutMS": 2000, "statementTimeout": 5000},
    });
    let server = TestServer::with(options).await;
    let client = server.master();
    client.post("/classes/Ledger", json!({"n": -1})).await.ok();
    let counter = client.post("/classes/Counter", json!({"n": 0})).await.ok();
    let counter = counter["objectId"].as_str().unwrap().to_owned();
    client.post("/classes/Pair", json!({"n": -1})).await.ok();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            tokio::spawn(writing(server.master(), counter.clone(), writer * 1_000_000, stop.clone()))
        })
        .collect();
    let before = client.find("Ledger", json!({"count": 1, "limit": 0})).await.ok()["count"].as_i64().unwrap();
    wait::until_some("writes", || async {
        let found = client.find("Ledger", json!({"count": 1, "limit": 0})).await;
        (found.ok()["count"].as_i64()? > before + 10).then_some(())
    })
    .await;
    secantus.end();
    // While it is away, requests end with an error, and the server stays.
    let refused = client.get("/classes/Ledger?limit=1").await;
    assert!(refused.status >= 500, "{refused:?}");
    assert_eq!(client.get("/health").await.status, 200);
    secantus.restart();
    healthy(&client).await;
    let again = client.post("/classes/Ledger", json!({"n": -2})).await;
    assert_eq!(again.status, 201);
    stop.store(true, Ordering::Relaxed);
    let mut ledgers = Vec::new();
    for writer in writers {
        ledgers.push(writer.await.unwrap());
    }
    all_is_there(&client, &counter, &ledgers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_collide_are_tried_again() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.master();
    let made = client.post("/classes/Shared", json!({"n": 0})).await.ok();
    let path = format!("/parse/classes/Shared/{}", made["objectId"].as_str().unwrap());
    client.post("/classes/Beside", json!({"n": -1})).await.ok();
    let one = |n: i64| {
        let requests = json!([
            {"method": "PUT", "path": path, "body": {"n": {"__op": "Increment", "amount": 1}}},
            {"method": "POST", "path": "/parse/classes/Beside", "body": {"n": n}},
        ]);
        client.post("/batch", json!({"transaction": true, "requests": requests}))
    };
    let answers = futures_util::future::join_all((0..8).map(one)).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let good = answers.len();
    let count = client.find("Beside", json!({"where": {"n": {"$gte": 0}}, "count": 1})).await.ok();
    let shared = client.find("Shared", json!({})).await.ok();
    assert_eq!((&count["count"], &shared["results"][0]["n"]), (&json!(good), &json!(good)));
}

/// Values that other programs may have written, none of which the schema speaks of.
fn foreign() -> Vec<(&'static str, Bson)> {
    let deep = (0..90).fold(Bson::Int32(1), |inner, _| Bson::Document(doc! { "d": inner }));
    vec![
        ("decimal", Bson::Decimal128("1.5".parse::<Decimal128>().unwrap())),
        ("long", Bson::Int64(i64::MAX)),
        ("nan", Bson::Double(f64::NAN)),
        ("infinity", Bson::Double(f64::INFINITY)),
        ("late", Bson::DateTime(DateTime::from_millis(FAR))),
        ("early", Bson::DateTime(DateTime::from_millis(-FAR / 10))),
        ("oid", Bson::ObjectId(ObjectId::new())),
        (
            "regex",
            Bson::RegularExpression(Regex {
                pattern: "a".try_into().unwrap(),
                options: "i".try_into().unwrap(),
            }),
        ),
        ("timestamp", Bson::Timestamp(Timestamp { time: 1, increment: 2 })),
        ("code", Bson::JavaScriptCode("1".to_owned())),
        ("symbol", Bson::Symbol("s".to_owned())),
        ("least", Bson::MinKey),
        ("most", Bson::MaxKey),
        ("binary", Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] })),
        (
            "document",
            Bson::Document(doc! { "a.b": 1, "$c": 2, "": 3, "__type": "Nothing", "__op": "Increment" }),
        ),
        (
            "list",
            Bson::Array(vec![Bson::Null, Bson::Double(f64::NAN), Bson::DateTime(DateTime::from_millis(FAR))]),
        ),
        ("pointer", Bson::String("no dollar".to_owned())),
        ("text", Bson::String("a\u{0}b".to_owned())),
        ("deep", deep),
        ("null", Bson::Null),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_other_programs_do_no_harm() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.master();
    let pointer = json!({"__type": "Pointer", "className": "Odd", "objectId": "none"});
    let typed = json!({
        "s": "x", "n": 1, "b": true, "o": {"k": 1}, "a": [1], "p": pointer,
        "d": {"__type": "Date", "iso": "2020-01-01T00:00:00.000Z"},
        "g": {"__type": "GeoPoint", "latitude": 1, "longitude": 2}, "f": {"__type": "File", "name": "f.txt"},
        "y": {"__type": "Bytes", "base64": "AAA="},
        "poly": {"__type": "Polygon", "coordinates": [[0, 0], [0, 1], [1, 1]]},
    });
    client.post("/classes/Odd", typed).await.ok();
    let now = DateTime::now();
    for (name, value) in foreign() {
        for column in ["s", "n", "b", "o", "a", "_p_p", "d", "g", "f", "y", "unknown"] {
            let row = doc! {
                "_id": format!("{name}:{column}"), "_created_at": now, "_updated_at": now, column: value.clone(),
            };
            fixture.collection("Odd").insert_one(row).await.unwrap();
        }
    }
    // Rows without dates, with dates that are none, with rights that are none.
    for row in [
        doc! { "_id": "bare" },
        doc! { "_id": "dates", "_created_at": "yesterday", "_updated_at": 5 },
        doc! { "_id": "far", "_created_at": DateTime::from_millis(FAR), "_updated_at": DateTime::from_millis(-FAR / 10) },
        doc! { "_id": "rights", "_rperm": "x", "_wperm": { "a": 1 }, "_acl": 5 },
    ] {
        fixture.collection("Odd").insert_one(row).await.unwrap();
    }
    let found = client.find("Odd", json!({"limit": 1000, "order": "objectId"})).await.ok();
    assert_eq!(found["results"].as_array().unwrap().len(), foreign().len() * 11 + 5);
    for (name, _) in foreign() {
        for column in ["s", "n", "b", "o", "a", "_p_p", "d", "g", "f", "y", "unknown"] {
            let path = format!("/classes/Odd/{name}:{column}");
            let field = if column == "_p_p" { "p" } else { column };
            assert_eq!(client.get(&path).await.status, 200, "{path}");
            assert_eq!(client.get(&format!("{path}?include=p&keys={field}")).await.status, 200, "{path}");
            for change in [
                json!({field: {"__op": "Increment", "amount": 1}}),
                json!({field: {"__op": "AddUnique", "objects": [1]}}),
                json!({field: {"__op": "Remove", "objects": [1]}}),
                json!({format!("{field}.k"): 5}),
                json!({"s": "set"}),
            ] {
                let changed = client.put(&path, change.clone()).await;
                assert!(changed.status < 500, "{path} {change}: {changed:?}");
            }
            if name != "null" {
                let changed = client.put(&path, json!({field: {"__op": "Delete"}})).await;
                assert!(changed.status < 500, "{path}: {changed:?}");
            }
        }
    }
    for condition in [
        json!({"n": {"$gt": 0}}),
        json!({"d": {"$lt": {"__type": "Date", "iso": "2030-01-01T00:00:00.000Z"}}}),
        json!({"s": {"$regex": "a"}}),
        json!({"p": {"$inQuery": {"className": "Odd", "where": {}}}}),
        json!({"o.k": 1}),
        json!({"s": {"$select": {"query": {"className": "Odd", "where": {}}, "key": "d"}}}),
    ] {
        let found = client.find("Odd", json!({"where": condition, "limit": 1000})).await;
        assert!(found.status < 500, "{condition}: {found:?}");
    }
    for key in ["s", "n", "d", "g", "p", "a", "o.k", "unknown"] {
        let distinct = client.get(&format!("/aggregate/Odd?distinct={key}")).await;
        assert!(distinct.status < 500, "{key}: {distinct:?}");
    }
    for id in ["bare", "dates", "far", "rights"] {
        assert_eq!(client.put(&format!("/classes/Odd/{id}"), json!({"s": "y"})).await.status, 200, "{id}");
        assert_eq!(client.delete(&format!("/classes/Odd/{id}")).await.status, 200, "{id}");
    }
    // Rights that cannot be read open nothing.
    let rights =
        doc! { "_id": "again", "_created_at": now, "_updated_at": now, "_rperm": "x", "_wperm": "y" };
    fixture.collection("Odd").insert_one(rights).await.unwrap();
    assert_eq!(fixture.server.anonymous().get("/classes/Odd/again").await.error().1, 101);
    assert_eq!(fixture.server.anonymous().put("/classes/Odd/again", json!({"s": "z"})).await.error().1, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn object_ids_of_older_imports_are_ids() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.master();
    client.post("/classes/Old", json!({"n": 0})).await.ok();
    client
        .post("/classes/Note", json!({"of": {"__type": "Pointer", "className": "Old", "objectId": "x"}}))
        .await
        .ok();
    let now = DateTime::now();
    let oid = ObjectId::new();
    let hex = oid.to_hex();
    fixture
        .collection("Old")
        .insert_one(doc! { "_id": oid, "_created_at": now, "_updated_at": now, "n": 1 })
        .await
        .unwrap();
    let pointing =
        doc! { "_id": "note", "_created_at": now, "_updated_at": now, "_p_of": format!("Old${hex}") };
    fixture.collection("Note").insert_one(pointing).await.unwrap();
    let path = format!("/classes/Old/{hex}");
    assert_eq!(client.get(&path).await.ok()["n"], 1);
    for condition in [json!({"objectId": hex}), json!({"objectId": {"$in": [hex, "x"]}})] {
        let found = client.find("Old", json!({"where": condition})).await.ok();
        assert_eq!(found["results"][0]["objectId"], hex.as_str(), "{condition}");
    }
    assert_eq!(client.put(&path, json!({"n": {"__op": "Increment", "amount": 4}})).await.ok()["n"], 5);
    let note = client.get("/classes/Note/note?include=of").await.ok();
    assert_eq!((&note["of"]["n"], &note["of"]["objectId"]), (&json!(5), &json!(hex)));
    let in_query = json!({"of": {"$inQuery": {"className": "Old", "where": {"n": 5}}}});
    assert_eq!(client.find("Note", json!({"where": in_query, "count": 1})).await.ok()["count"], 1);
    assert_eq!(client.delete(&path).await.status, 200);
    assert_eq!(client.get(&path).await.error().1, 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_told_by_any_index() {
    let Some(fixture) = Fixture::new(json!({})).await else { return };
    let client = fixture.server.master();
    client
        .post("/users", json!({"username": "ann", "password": "p", "email": "a@b.c", "badge": 7}))
        .await
        .ok();
    client.post("/classes/Once", json!({"code": "x"})).await.ok();
    for (collection, name, key) in
        [("_User", "one badge", doc! { "badge": 1 }), ("Once", "codes", doc! { "code": 1 })]
    {
        let index = doc! { "key": key, "name": name, "unique": true, "sparse": true };
        fixture.database.run_command(doc! { "createIndexes": collection, "indexes": [index] }).await.unwrap();
    }
    let taken = |body: Value| client.post("/users", body);
    assert_eq!(taken(json!({"username": "ann", "password": "p"})).await.error().1, 202);
    assert_eq!(taken(json!({"username": "bob", "password": "p", "email": "a@b.c"})).await.error().1, 203);
    assert_eq!(taken(json!({"username": "eve", "password": "p", "badge": 7})).await.error().1, 137);
    assert_eq!(client.post("/classes/Once", json!({"code": "x"})).await.error().1, 137);
    let many: Document = fixture.only("Once").await;
    let batch = json!({"requests": [
        {"method": "POST", "path": "/parse/classes/Once", "body": {"code": "y"}},
        {"method": "POST", "path": "/parse/classes/Once", "body": {"code": many.get_str("code").unwrap()}},
        {"method": "POST", "path": "/parse/classes/Once", "body": {"code": "z"}},
    ]});
    let answers = client.post("/batch", batch).await.ok();
    let codes: Vec<_> =
        answers.as_array().unwrap().iter().map(|answer| answer["error"]["code"].clone()).collect();
    assert_eq!(codes, [Value::Null, json!(137), Value::Null]);
}
