//! `parsimony migrate --follow`: the application writes on, and nothing of it is lost.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::{DateTime, Document, doc};
use parsimony::migrate::{self, Follow, Progress};
use serde_json::json;
use tokio::sync::watch;

use super::Fixture;
use super::migrate::{Place, moved};
use crate::support::database::TestDatabase;
use crate::support::mongo::TestMongo;
use crate::support::server::{Client, TestServer};
use crate::support::wait;

/// Objects that are there before anything is copied.
async fn many(fixture: &Fixture, count: i64) {
    fixture.server.master().post("/classes/Game", json!({"n": -1, "text": "first"})).await.ok();
    let rows = (0..count).map(|n| {
        let at = DateTime::from_millis(1_600_000_000_000 + n);
        doc! { "_id": format!("row{n:06}"), "_created_at": at, "_updated_at": at, "n": n, "text": format!("row {n}") }
    });
    fixture.collection("Game").insert_many(rows.collect::<Vec<Document>>()).await.unwrap();
}

/// One round of what applications do: creates, updates of old and new objects, deletes, relations, new fields and
/// classes, users, hooks.
async fn round(client: &Client, n: i64) {
    let made = client.post("/classes/Game", json!({"n": n, "text": format!("new {n}")})).await.ok();
    let id = made["objectId"].as_str().unwrap().to_owned();
    let old = format!("/classes/Game/row{:06}", (n * 37) % 400);
    // Gone since an earlier round, perhaps.
    client
        .put(&old, json!({"n": {"__op": "Increment", "amount": 1000}, "text": format!("changed {n}")}))
        .await;
    if n % 3 == 0 {
        client.delete(&format!("/classes/Game/row{:06}", (n * 53) % 400)).await;
    }
    if n % 4 == 0 {
        let pointer = json!({"__type": "Pointer", "className": "Game", "objectId": id});
        let add = json!({"friends": {"__op": "AddRelation", "objects": [pointer]}});
        let team = client.post("/classes/Team", add).await.ok();
        if n % 8 == 0 {
            let remove = json!({"friends": {"__op": "RemoveRelation", "objects": [pointer]}});
            client.put(&format!("/classes/Team/{}", team["objectId"].as_str().unwrap()), remove).await.ok();
        }
    }
    if n % 10 == 0 {
        let body = json!({ "x": n, format!("field{n}"): n });
        client.post(&format!("/classes/Late{}", n % 30), body).await.ok();
        client.post("/users", json!({"username": format!("user{n}"), "password": "secret"})).await.ok();
        client.put("/config", json!({"params": {"round": n}})).await.ok();
    }
}

/// Writes until told to stop; the number of rounds.
async fn writing(client: Client, stop: Arc<AtomicBool>) -> i64 {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        round(&client, n).await;
        n += 1;
    }
    n
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_meanwhile_arrives() {
    let Some(source) = TestMongo::empty() else { return };
    let target = TestDatabase::empty().await;
    let fixture = Fixture::on(&source, json!({})).await;
    many(&fixture, 2500).await;
    let (mongo, postgres) = (Place::mongo(&source.uri).await, Place::postgres(&target.uri).await);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(writing(fixture.server.master(), stop.clone()));
    let folder = tempfile::tempdir().unwrap();
    let (say, stopped) = watch::channel(false);
    let follow = Follow { state: folder.path().join("state.json"), stopped };
    let (mut ready, mut followed) = (None, 0);
    let outcome = {
        let (from, to) = (mongo.side(), postgres.side());
        let mut tell = |progress: Progress<'_>| match progress {
            Progress::Ready { .. } => {
                ready = Some(followed);
                // The application is stopped a little later: it has to be heard until then.
                let (stop, say) = (stop.clone(), say.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
                    stop.store(true, Ordering::Relaxed);
                    say.send(true).unwrap();
                });
            }
            Progress::Followed { changes, .. } => followed = changes,
            _ => {}
        };
        migrate::follow(&from, &to, follow, &mut tell).await
    };
    let rounds = writer.await.unwrap();
    let report = outcome.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(rounds > 5 && ready.is_some_and(|then| then < followed), "{rounds} {ready:?} {followed}");
    let compared = moved(&mongo, &postgres, true).await;
    assert!(compared.is_clean(), "{compared:?}");
    let server = TestServer::with(json!({"databaseURI": target.uri})).await;
    let of = |server: &TestServer| server.master();
    for class in ["Game", "Team", "_User"] {
        let count = async |client: Client| {
            client.find(class, json!({"count": 1, "limit": 0})).await.ok()["count"].clone()
        };
        assert_eq!(count(of(&server)).await, count(of(&fixture.server)).await, "{class}");
    }
    let login = server.anonymous().post("/login", json!({"username": "user0", "password": "secret"})).await;
    assert_eq!(login.status, 200);
    assert!(!folder.path().join("state.json").exists(), "nothing is left to go on from");
}

struct Run {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Run {
    fn start(folder: &Path, from: &str, to: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_parsimony"))
            .args(["--appId", "test", "--masterKey", "master", "migrate", "--follow", from, to])
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PARSE_SERVER_LOGS_FOLDER", "null")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (say, lines) = std::sync::mpsc::channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).for_each(|line| drop(say.send(line)));
        });
        Self { child, lines }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn state_of(folder: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let data = std::fs::read_dir(folder.join("data")).ok()?;
    let file = data
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ext| ext == "json"))?;
    let text = std::fs::read(&file).ok()?;
    Some((file, text))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_goes_on() {
    let Some(source) = TestMongo::empty() else { return };
    let target = TestDatabase::empty().await;
    let fixture = Fixture::on(&source, json!({})).await;
    many(&fixture, 6000).await;
    let folder = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(writing(fixture.server.master(), stop.clone()));
    for kills in 1..=5 {
        let mut run = Run::start(folder.path(), &source.uri, &target.uri);
        // Killed when so many steps more have been written down: in the copy first, among changes later.
        let (mut last, mut steps) = (state_of(folder.path()).map(|(_, text)| text), 0);
        wait::until("steps of the run", || {
            assert!(run.child.try_wait().unwrap().is_none(), "it ended by itself");
            let now = state_of(folder.path()).map(|(_, text)| text);
            if now != last {
                (last, steps) = (now, steps + 1);
            }
            steps >= kills * 2
        });
        drop(run);
    }
    let mut run = Run::start(folder.path(), &source.uri, &target.uri);
    let said = |what: &str| {
        let mut seen = Vec::new();
        loop {
            let line = run.lines.recv_timeout(wait::PATIENCE).unwrap_or_else(|_| panic!("{what}: {seen:?}"));
            seen.push(line.clone());
            if line.starts_with(what) {
                return;
            }
        }
    };
    tokio::task::block_in_place(|| said("READY"));
    stop.store(true, Ordering::Relaxed);
    let rounds = writer.await.unwrap();
    run.signal("USR1");
    tokio::task::block_in_place(|| said("Both sides hold the same"));
    assert!(run.child.wait().unwrap().success() && rounds > 5);
    let (mongo, postgres) = (Place::mongo(&source.uri).await, Place::postgres(&target.uri).await);
    let compared = moved(&mongo, &postgres, true).await;
    assert!(compared.is_clean(), "{compared:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_refuses_is_named_once() {
    let Some(source) = TestMongo::empty() else { return };
    let target = TestDatabase::empty().await;
    let fixture = Fixture::on(&source, json!({})).await;
    many(&fixture, 20).await;
    let (mongo, postgres) = (Place::mongo(&source.uri).await, Place::postgres(&target.uri).await);
    let at = DateTime::from_millis(1_600_000_000_000);
    let odd = doc! { "_id": "odd", "_created_at": at, "_updated_at": at, "text": "a\u{0}b" };
    fixture.collection("Game").insert_one(odd).await.unwrap();
    // Ids of older imports.
    let ids: Vec<Document> =
        (0..1500).map(|n| doc! { "_created_at": at, "_updated_at": at, "n": n }).collect();
    fixture.collection("Game").insert_many(ids).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (say, stopped) = watch::channel(false);
    say.send(true).unwrap();
    let follow = Follow { state: folder.path().join("state.json"), stopped };
    let report = migrate::follow(&mongo.side(), &postgres.side(), follow, &mut |_| {}).await.unwrap();
    let named: Vec<&String> = report.refused.first.iter().collect();
    assert!(named.len() == 1 && named[0].starts_with("Game odd: "), "{report:?}");
    let compared = moved(&mongo, &postgres, true).await;
    let of: Vec<&String> = compared.different.first.iter().collect();
    let counts = "Game: 1522 objects here, 1521 there";
    assert!(of.len() == 2 && of[0] == "Game odd: not there" && of[1] == counts, "{compared:?}");
}
