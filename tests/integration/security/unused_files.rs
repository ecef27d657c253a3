//! Files that `files gc` took for unused although something refers to them, in whatever form and place.

use std::time::Duration;

use parsimony::files::s3::{S3Credentials, S3Options, S3Store};
use parsimony::files::{FileStore, aside};
use parsimony::operations::files::gc::{self, Fate, Terms};
use parsimony::storage::StorageAdapter;
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::support::component;
use crate::support::server::{APP_ID, TestServer};

const FILES: usize = 14;

/// Uploads a file; its name and address.
async fn upload(server: &TestServer, name: &str) -> (String, String) {
    let url = server.url(&format!("/parse/files/{name}"));
    let request = reqwest::Client::new().post(url).header("X-Parse-Application-Id", APP_ID).body("x");
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let text = |key: &str| answer[key].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text("name"), text("url"))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Puts a name or address into every kind of place there is; the last two stand nowhere. All names.
async fn refer(server: &TestServer) -> Vec<String> {
    let (master, client) = (server.master(), server.anonymous());
    let mut files = Vec::new();
    for i in 0..FILES {
        files.push(upload(server, &format!("a file {i}.txt")).await);
    }
    let (name, url) = (|i: usize| files[i].0.as_str(), |i: usize| files[i].1.as_str());
    let note = async |text: String| client.post("/classes/Note", json!({ "text": text })).await.ok();
    note(format!("see {}", url(0))).await;
    note(format!("<img src=\"{}\" alt=''>", url(1).replace('_', "&#95;"))).await;
    note(format!("[x](files/{APP_ID}/{})", name(2))).await;
    note(format!("https://former.example.com/bucket/pre{}", encoded(name(3)))).await;
    note(json!({"json": {"url": url(4).replace('/', "\\/")}}).to_string()).await;
    let file = json!({"__type": "File", "name": name(5), "url": url(5)});
    client.post("/classes/Holder", json!({ "nested": [{"deep": file}] })).await.ok();
    let params = json!({"params": {"logo": url(6)}, "masterKeyOnly": {"logo": true}});
    master.put("/config", params).await.ok();
    let installation = json!({"deviceType": "ios", "installationId": "0123456789012", "badgeImage": url(7)});
    client.post("/installations", installation).await.ok();
    let field = json!({"fields": {"picture": {"type": "String", "defaultValue": name(8)}}});
    master.post("/schemas/Defaults", field).await.ok();
    let hook =
        json!({"functionName": "f", "url": format!("http://127.0.0.1:1/?picture={}", encoded(url(9)))});
    master.post("/hooks/functions", hook).await.ok();
    // What is in no schema, and other programs' tables.
    let database = server.database().connect().await;
    let own = format!(
        "ALTER TABLE \"Note\" ADD COLUMN own text; UPDATE \"Note\" SET own = '{}'; \
         CREATE TABLE articles (id int, bodies text[]); INSERT INTO articles VALUES (1, '{{\"{}\"}}')",
        name(10),
        url(11),
    );
    database.batch_execute(&own).await.unwrap();
    files.into_iter().map(|(name, _)| name).collect()
}

/// One run over everything that is there; the fates.
async fn run(server: &TestServer, store: &dyn FileStore, terms: &Terms) -> Vec<(String, Fate)> {
    let storage = PostgresAdapter::connect(PostgresOptions::new(&server.database().uri)).await.unwrap();
    let mut fates = Vec::new();
    let mut tell = |name: &str, _: u64, fate: Fate, outcome: parsimony::files::FileResult<()>| {
        outcome.unwrap();
        fates.push((name.to_owned(), fate));
    };
    gc::collect(&*storage, store, terms, &mut tell).await.unwrap();
    storage.close().await;
    fates.sort_by(|a, b| a.0.cmp(&b.0));
    fates
}

/// Whatever its age.
fn terms(keep: Duration) -> Terms {
    Terms { dry_run: false, grace: Duration::ZERO, keep }
}

async fn only_the_unused_go(server: &TestServer, store: &dyn FileStore) {
    let names = refer(server).await;
    let long = Duration::from_secs(3600);
    let mut unused: Vec<_> = names[12..].iter().map(|name| (name.clone(), Fate::Unused)).collect();
    unused.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(run(server, store, &Terms { dry_run: true, ..terms(long) }).await, unused);
    assert_eq!(run(server, store, &terms(long)).await, unused);
    // They wait for their removal, for a reference, or for somebody who asks.
    assert_eq!(run(server, store, &terms(long)).await, []);
    server.anonymous().post("/classes/Note", json!({ "text": names[12] })).await.ok();
    assert_eq!(run(server, store, &terms(long)).await, [(names[12].clone(), Fate::Restored)]);
    let asked = |name: &str| reqwest::get(server.url(&format!("/parse/files/{APP_ID}/{}", encoded(name))));
    let hidden = asked(&aside::aside(&names[13])).await.unwrap();
    assert_eq!(hidden.status(), 404);
    let restored = asked(&names[13]).await.unwrap();
    assert_eq!((restored.status().as_u16(), restored.text().await.unwrap().as_str()), (200, "x"));
    assert_eq!(run(server, store, &terms(long)).await, [(names[13].clone(), Fate::Unused)]);
    assert_eq!(run(server, store, &terms(Duration::ZERO)).await, [(names[13].clone(), Fate::Removed)]);
    assert_eq!(asked(&names[13]).await.unwrap().status(), 404);
    for name in &names[..13] {
        assert_eq!(asked(name).await.unwrap().status(), 200, "{name}");
    }
}

#[actix_web::test]
async fn references_to_files_that_the_store_serves_itself() {
    let bucket = format!("bucket-{:016x}", rand::random::<u64>());
    let endpoint = component("PARSIMONY_TEST_S3_ENDPOINT");
    let (key, secret) = ("test", "test-secret");
    let server = TestServer::with(json!({
        "fileUpload": {"enableForPublic": true},
        "filesAdapter": {"module": "@parse/s3-files-adapter", "options": {
            "bucket": bucket, "bucketPrefix": "pre", "region": "eu-west-1", "directAccess": true,
            "baseUrl": "https://cdn.example.com",
            "credentials": {"accessKeyId": key, "secretAccessKey": secret},
            "s3overrides": {"endpoint": endpoint, "forcePathStyle": true},
        }},
    }))
    .await;
    let store = S3Store::new(
        S3Options {
            bucket,
            bucket_prefix: "pre".into(),
            region: "eu-west-1".into(),
            credentials: Some(S3Credentials {
                access_key: key.into(),
                secret_key: secret.into(),
                session_token: None,
            }),
            endpoint: Some(endpoint),
            force_path_style: true,
            direct_access: true,
            ..S3Options::default()
        },
        parsimony::outbound::Outbound::for_tests(),
    )
    .unwrap();
    only_the_unused_go(&server, &store).await;
}

/// A folder of the folder adapter, removed however the test ends.
struct Folder(String);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(format!("./files/{}", self.0));
        // Other tests may have theirs beside it.
        let _ = std::fs::remove_dir("./files");
    }
}

#[actix_web::test]
async fn references_to_files_in_a_folder() {
    let folder = Folder(format!("gc-{:016x}", rand::random::<u64>()));
    let server = TestServer::with(json!({
        "fileUpload": {"enableForPublic": true},
        "filesAdapter": {"module": "@parse/fs-files-adapter", "options": {"filesSubDirectory": folder.0}},
    }))
    .await;
    let store = parsimony::files::fs::FsStore::new("./files", Some(&folder.0), None);
    only_the_unused_go(&server, &store).await;
}

#[actix_web::test]
async fn a_removed_file_leaves_nothing_set_aside() {
    let server = TestServer::with(json!({"fileUpload": {"enableForPublic": true}})).await;
    let (name, url) = upload(&server, "a.txt").await;
    let database = server.database().connect().await;
    let aside = "UPDATE parsimony.file SET name = '.unused/' || name";
    database.batch_execute(aside).await.unwrap();
    server.master().delete(&format!("/files/{name}")).await.ok();
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 404);
    let left = database.query_one("SELECT count(*) FROM parsimony.file", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
}
