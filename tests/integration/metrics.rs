//! The page of metrics: exact counts, the text format to the letter, who may read it, and that no name of a
//! client's makes it grow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::support::live::Live;
use crate::support::server::{APP_ID, MASTER_KEY, TestServer};
use crate::support::wait;

/// One sample: its labels in order of their names, and its value.
type Labels = BTreeMap<String, String>;

/// A page that was read to the letter.
struct Scrape {
    samples: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    /// Of Prometheus' text format, version 0.0.4, and nothing that it would have to guess.
    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line is not ended");
        let mut kinds: BTreeMap<String, String> = BTreeMap::new();
        let mut samples = BTreeMap::new();
        let mut helped = None;
        let mut current: Option<(String, String)> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(is_name(name) && !help.is_empty(), "{line}");
                helped = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(helped.take().as_deref(), Some(name), "{line}: its HELP is not before it");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}: twice");
                current = Some((name.to_owned(), kind.to_owned()));
            } else {
                let (name, labels, value) = sample(line);
                let (family, kind) = current.clone().unwrap_or_else(|| panic!("{line}: before any TYPE"));
                let suffixes: &[&str] =
                    if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(
                    suffixes.iter().any(|suffix| name == format!("{family}{suffix}")),
                    "{line}: stands in {family}"
                );
                assert_eq!(
                    name.ends_with("_bucket") && kind == "histogram",
                    labels.contains_key("le"),
                    "{line}"
                );
                if kind == "counter" {
                    assert!(name.ends_with("_total") && value >= 0.0, "{line}");
                }
                assert!(samples.insert((name, labels), value).is_none(), "{line}: twice");
            }
        }
        assert!(helped.is_none());
        let scrape = Self { samples };
        scrape.check_histograms(&kinds);
        scrape
    }

    /// Buckets grow up to the count, and the last one is it.
    fn check_histograms(&self, kinds: &BTreeMap<String, String>) {
        for family in kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((name, labels), value) in &self.samples {
                if *name == format!("{family}_bucket") {
                    let mut labels = labels.clone();
                    let bound = labels.remove("le").unwrap();
                    let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
                    series.entry(labels).or_default().push((bound, *value));
                }
            }
            assert!(!series.is_empty(), "{family} has no series");
            for (labels, mut buckets) in series {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(buckets.windows(2).all(|two| two[0].1 <= two[1].1), "{family} {labels:?}");
                let (bound, most) = *buckets.last().unwrap();
                assert!(bound.is_infinite(), "{family} {labels:?}: no +Inf");
                let of = |suffix: &str| self.samples[&(format!("{family}{suffix}"), labels.clone())];
                assert_eq!(of("_count"), most, "{family} {labels:?}");
                assert!(of("_sum") >= 0.0);
            }
        }
    }

    /// The sum of all samples of this name that have these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |known: &Labels| {
            labels.iter().all(|(label, value)| known.get(*label).is_some_and(|v| v == value))
        };
        let found = self.samples.iter().filter(|((known, of), _)| known == name && fits(of));
        found.map(|(_, value)| value).sum()
    }

    fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|(known, _)| known == name)
    }
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// `name{label="value",…} number`
fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, value) = rest.split_once("=\"").expect(line);
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let mut text = String::new();
            let mut chars = value.char_indices();
            rest = loop {
                match chars.next().expect(line) {
                    (at, '"') => break &value[at + 1..],
                    (_, '\\') => match chars.next().expect(line).1 {
                        'n' => text.push('\n'),
                        c @ ('"' | '\\') => text.push(c),
                        other => panic!("{line}: \\{other}"),
                    },
                    (_, c) => text.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), text).is_none(), "{line}: a label twice");
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.strip_prefix(',').expect(line);
        }
    }
    let value = rest.strip_prefix(' ').expect(line);
    assert!(!value.contains(' '), "{line}");
    (name.to_owned(), labels, value.parse().expect(line))
}

async fn scrape(server: &TestServer) -> Scrape {
    let answer = reqwest::Client::new()
        .get(server.url("/metrics"))
        .header("X-Parse-Master-Key", MASTER_KEY)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    Scrape::parse(&answer.text().await.unwrap())
}

const REQUESTS: &str = "parsimony_http_request_seconds_count";
const STATEMENTS: &str = "parsimony_database_statement_seconds_count";

#[actix_web::test]
async fn every_request_is_counted_once() {
    let server = TestServer::with(json!({ "metrics": true })).await;
    let master = server.master();
    master.post("/classes/Game", json!({ "n": 0 })).await.ok();
    let before = scrape(&server).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let made = master.post("/classes/Game", json!({ "n": n })).await.ok();
        ids.push(made["objectId"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        master.get(&format!("/classes/Game/{id}")).await.ok();
    }
    assert_eq!(master.get("/classes/Game/missing").await.status, 404);
    master.get("/classes/Game").await.ok();
    master.get("/classes/Game?count=1&limit=0").await.ok();
    assert_eq!(master.get("/nothing").await.status, 404);
    server.client(&[]).get("/health").await.ok();
    let after = scrape(&server).await;
    let grown = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    let requests = |method: &str, route: &str, status: &str| {
        grown(REQUESTS, &[("method", method), ("route", route), ("status", status)])
    };
    assert_eq!(requests("POST", "/classes/:className", "2xx"), 5.0);
    assert_eq!(requests("GET", "/classes/:className/:objectId", "2xx"), 5.0);
    assert_eq!(requests("GET", "/classes/:className/:objectId", "4xx"), 1.0);
    assert_eq!(requests("GET", "/classes/:className", "2xx"), 2.0);
    assert_eq!(requests("any", "/health", "2xx"), 1.0);
    assert_eq!(requests("any", "other", "4xx"), 1.0);
    // The scrape before was answered after its page was written.
    assert_eq!(requests("any", "/metrics", "2xx"), 1.0);
    assert_eq!(grown(REQUESTS, &[]), 16.0);
    let statements = |shape: &str| grown(STATEMENTS, &[("app", APP_ID), ("shape", shape)]);
    assert_eq!(statements("insert"), 5.0);
    assert_eq!(statements("count"), 1.0);
    assert_eq!(statements("find"), 7.0);
    assert!(grown("parsimony_http_body_bytes_total", &[("direction", "in")]) >= 5.0 * 7.0);
    assert!(grown("parsimony_http_body_bytes_total", &[("direction", "out")]) > 500.0);
    let reads = grown("parsimony_database_reads_total", &[]);
    assert!(reads >= 8.0, "{reads}");
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "parsimony_http_requests_in_flight",
        "parsimony_http_shed_total",
        "parsimony_http_connections",
        "parsimony_database_pool_connections",
        "parsimony_database_pool_waiting",
        "parsimony_database_shared_connections",
        "parsimony_database_errors_total",
        "parsimony_cache_lookups_total",
        "parsimony_mails_total",
        "parsimony_file_operations_total",
        "parsimony_classes_in_use",
        "parsimony_jobs_running",
    ] {
        assert!(after.has(name), "{name}");
    }
}

#[actix_web::test]
async fn what_is_refused_for_want_of_room_is_shed() {
    let rule = json!([{ "requestPath": "/functions/*path", "requestTimeWindow": 600_000, "requestCount": 1,
        "errorResponseMessage": "slow down", "includeInternalRequests": true }]);
    let server = TestServer::with(json!({ "metrics": true, "rateLimit": rule })).await;
    let nobody = server.anonymous();
    let before = scrape(&server).await;
    let statuses = [
        nobody.post("/functions/a", json!({})).await.status,
        nobody.post("/functions/a", json!({})).await.status,
        nobody.post("/functions/a", json!({})).await.status,
    ];
    assert_eq!(statuses, [400, 429, 429]);
    let after = scrape(&server).await;
    let shed = |scrape: &Scrape| scrape.sum("parsimony_http_shed_total", &[("status", "429")]);
    assert_eq!(shed(&after) - shed(&before), 2.0);
}

#[actix_web::test]
async fn files_and_sessions_and_live_queries() {
    let options =
        json!({ "metrics": true, "liveQuery": { "classNames": ["Chat"] }, "startLiveQueryServer": true });
    let server = TestServer::with(options).await;
    let master = server.master();
    let user = server.anonymous().post("/users", json!({ "username": "a", "password": "b" })).await.ok();
    let session = server.session(user["sessionToken"].as_str().unwrap());
    let before = scrape(&server).await;
    for _ in 0..8 {
        session.get("/users/me").await.ok();
    }
    let http = reqwest::Client::new();
    let stored = http
        .post(server.url("/parse/files/a.txt"))
        .header("X-Parse-Application-Id", APP_ID)
        .header("X-Parse-Master-Key", MASTER_KEY)
        .header("Content-Type", "text/plain")
        .body("12345")
        .send()
        .await
        .unwrap();
    let stored: serde_json::Value = stored.json().await.unwrap();
    let name = stored["name"].as_str().unwrap();
    let read = http.get(server.url(&format!("/parse/files/{APP_ID}/{name}"))).send().await.unwrap();
    assert_eq!(read.text().await.unwrap(), "12345");

    let mut client = Live::anonymous(&server).await;
    client.subscribe("Chat", json!({})).await;
    let mid = scrape(&server).await;
    assert_eq!(mid.sum("parsimony_live_query_subscriptions", &[]), 1.0);
    assert_eq!(mid.sum("parsimony_live_query_sockets", &[]), 1.0);
    for n in 0..3 {
        master.post("/classes/Chat", json!({ "n": n })).await.ok();
    }
    for _ in 0..3 {
        assert_eq!(client.hear().await["op"], "create");
    }
    wait::until_some("the events are worked off", async || {
        let events = scrape(&server).await.sum("parsimony_live_query_event_seconds_count", &[]);
        (events == 3.0).then_some(())
    })
    .await;
    let after = scrape(&server).await;
    let grown = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    assert_eq!(grown("parsimony_live_query_frames_total", &[]), 3.0);
    assert_eq!(grown("parsimony_live_query_dropped_events_total", &[]), 0.0);
    assert_eq!(grown("parsimony_cache_lookups_total", &[("cache", "session")]), 8.0);
    assert!(grown("parsimony_cache_lookups_total", &[("cache", "session"), ("outcome", "hit")]) >= 1.0);
    let store = [("store", "postgres")];
    assert_eq!(grown("parsimony_file_upload_seconds_count", &store), 1.0);
    assert_eq!(grown("parsimony_file_uploaded_bytes_total", &store), 5.0);
    assert_eq!(grown("parsimony_file_operations_total", &[("operation", "open")]), 1.0);
    drop(client);
    wait::until_some("the socket is gone", async || {
        (scrape(&server).await.sum("parsimony_live_query_sockets", &[]) == 0.0).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn names_of_clients_do_not_make_the_page_grow() {
    let server = TestServer::with(json!({ "metrics": true })).await;
    let master = server.master();
    master.post("/functions/unknown", json!({})).await;
    master.post("/classes/First", json!({})).await.ok();
    master.get("/classes/First").await.ok();
    server.client(&[]).get("/somewhere").await;
    let names = |scrape: &Scrape| scrape.samples.keys().cloned().collect::<BTreeSet<_>>();
    scrape(&server).await;
    let before = names(&scrape(&server).await);
    for n in 0..300 {
        master.post(&format!("/functions/unknown{n}"), json!({})).await;
        master.get(&format!("/classes/Class{n}")).await;
        server.client(&[]).get(&format!("/somewhere/{n}")).await;
    }
    for n in 0..30 {
        master.post(&format!("/classes/Made{n}"), json!({})).await.ok();
    }
    let after = scrape(&server).await;
    let fresh: Vec<_> = names(&after).difference(&before).map(|(name, _)| name.clone()).collect();
    // Making a class asks for its schema, for the first time perhaps.
    assert!(fresh.iter().all(|name| name.starts_with("parsimony_database_statement_seconds")), "{fresh:?}");
    assert!(!after.samples.keys().any(|(_, labels)| labels.values().any(|value| value.contains("Class2"))));
}

#[actix_web::test]
async fn who_may_read_it() {
    let off = TestServer::start().await;
    let http = reqwest::Client::new();
    let status = |url: String, headers: &[(&str, &str)]| {
        let request =
            headers.iter().fold(http.get(url), |request, (name, value)| request.header(*name, *value));
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(status(off.url("/metrics"), &[("X-Parse-Master-Key", MASTER_KEY)]).await, 404);

    let readers = json!({ "metrics": { "path": "/-/figures", "key": "of the watcher" }, "readOnlyMasterKey": "reader" });
    let server = TestServer::with(readers).await;
    let url = || server.url("/-/figures");
    assert_eq!(status(server.url("/metrics"), &[("X-Parse-Master-Key", MASTER_KEY)]).await, 404);
    assert_eq!(status(url(), &[]).await, 403);
    assert_eq!(status(url(), &[("X-Parse-Master-Key", "wrong")]).await, 403);
    assert_eq!(status(url(), &[("X-Parse-Master-Key", "reader")]).await, 403);
    assert_eq!(status(url(), &[("Authorization", "Bearer wrong")]).await, 403);
    assert_eq!(status(url(), &[("Authorization", "Bearer of the watcher")]).await, 200);
    assert_eq!(status(url(), &[("X-Parse-Master-Key", MASTER_KEY)]).await, 200);
    let posted = http.post(url()).header("X-Parse-Master-Key", MASTER_KEY).send().await.unwrap();
    assert_eq!(posted.status(), 404);

    // The master key counts from its addresses only, and who comes through a proxy is not this machine.
    let options = json!({
        "metrics": { "allowedNetworks": ["127.0.0.1"] }, "trustProxy": true, "masterKeyIps": ["10.0.0.1"],
    });
    let server = TestServer::with(options).await;
    let url = || server.url("/metrics");
    assert_eq!(status(url(), &[]).await, 200);
    let far = ("X-Forwarded-For", "192.0.2.1");
    assert_eq!(status(url(), &[far]).await, 403);
    assert_eq!(status(url(), &[far, ("X-Parse-Master-Key", MASTER_KEY)]).await, 403);
    let near = ("X-Forwarded-For", "10.0.0.1");
    assert_eq!(status(url(), &[near, ("X-Parse-Master-Key", MASTER_KEY)]).await, 200);
}

#[actix_web::test]
async fn a_port_of_its_own() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = TestServer::with(json!({ "metrics": { "port": port } })).await;
    let page = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(Scrape::parse(&page.text().await.unwrap()).has("parsimony_app_up"));
    assert_eq!(reqwest::get(format!("http://127.0.0.1:{port}/parse/health")).await.unwrap().status(), 404);
    assert_eq!(reqwest::get(server.url("/metrics")).await.unwrap().status(), 404);
    let taken = TestServer::try_with(json!({ "metrics": { "port": port } })).await;
    assert!(taken.is_err_and(|error| error.contains("already in use")));
}
