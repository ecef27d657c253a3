//! The PostgreSQL store.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use parsimony::files::crypt::Key;
use parsimony::files::rotate::rotate_keys;
use parsimony::files::{FileError, FileStore, NewFile, WINDOW};
use parsimony::storage::StorageAdapter;
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use serde_json::json;

use super::{begin, conformance, content, names, not_found, put, read};
use crate::support::database::TestDatabase;
use crate::support::wait;

/// Content bytes of one row.
const CHUNK: usize = 4 * WINDOW;

struct Fixture {
    database: TestDatabase,
    adapter: Arc<PostgresAdapter>,
    /// As behind a pooler.
    unprepared: Arc<PostgresAdapter>,
}

impl Fixture {
    async fn new() -> Self {
        let database = TestDatabase::empty().await;
        let options = PostgresOptions { max: Some(8), workers: 1, ..PostgresOptions::new(&database.uri) };
        let adapter = PostgresAdapter::connect(options.clone()).await.unwrap();
        adapter.initialize().await.unwrap();
        let options = PostgresOptions { prepared_statements: false, ..options };
        Self { adapter, unprepared: PostgresAdapter::connect(options).await.unwrap(), database }
    }

    fn store(&self, app: &str, secret: Option<&str>) -> Arc<dyn FileStore> {
        self.store_with(app, secret, true)
    }

    fn store_with(&self, app: &str, secret: Option<&str>, prepared: bool) -> Arc<dyn FileStore> {
        let adapter = if prepared { &self.adapter } else { &self.unprepared };
        adapter.file_stores().unwrap().file_store(app, secret.map(Key::from_secret))
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM parsimony.{table}");
        self.database.connect().await.query_one(&sql, &[]).await.unwrap().get(0)
    }

    async fn run(&self, sql: &str) {
        self.database.connect().await.batch_execute(sql).await.unwrap();
    }

    async fn await_empty(&self) {
        wait::until_some("no rows left", || async {
            let left = self.count("file").await + self.count("file_chunk").await;
            (left == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let fixture = Fixture::new().await;
    conformance::run(&*fixture.store("app", None), 3 * CHUNK, 200).await;
    fixture.await_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_without_prepared_statements() {
    let fixture = Fixture::new().await;
    conformance::run(&*fixture.store_with("app", None, false), CHUNK + 1, 20).await;
    fixture.await_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_encrypted() {
    let fixture = Fixture::new().await;
    conformance::run(&*fixture.store("app", Some("s")), 3 * CHUNK, 50).await;
    fixture.await_empty().await;
}

#[tokio::test]
async fn exact_multiples_of_a_chunk() {
    let fixture = Fixture::new().await;
    for secret in [None, Some("s")] {
        let store = fixture.store("app", secret);
        for size in [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK] {
            let data = content(size);
            put(&*store, "a.bin", &data, CHUNK).await;
            assert!(read(&*store, "a.bin", None).await.unwrap() == data, "{size}");
        }
        store.delete("a.bin").await.unwrap();
    }
}

#[tokio::test]
async fn metadata_is_kept() {
    let fixture = Fixture::new().await;
    let store = fixture.store("app", None);
    let metadata = json!({"a": 1, "b": {"c": [true]}}).as_object().cloned().unwrap();
    for size in [10, 2 * CHUNK] {
        let file = NewFile {
            name: "a.txt".into(),
            content_type: Some("text/x".into()),
            metadata: metadata.clone(),
            tags: json!({"t": "u"}).as_object().cloned().unwrap(),
        };
        let mut upload = store.begin(file).await.unwrap();
        upload.write(content(size).into()).await.unwrap();
        upload.commit().await.unwrap();
        assert_eq!(store.metadata("a.txt").await.unwrap().as_ref(), Some(&metadata));
        assert_eq!(store.stat("a.txt").await.unwrap().content_type.as_deref(), Some("text/x"));
        assert_eq!(store.open("a.txt", None).await.unwrap().info.content_type.as_deref(), Some("text/x"));
    }
    assert!(not_found(store.metadata("none").await));
    let error = store.delete("none").await.unwrap_err();
    assert!(matches!(error, FileError::NotFound));
}

#[tokio::test]
async fn apps_do_not_see_each_other() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.store("one", None), fixture.store("two", None));
    put(&*one, "a.txt", b"one", 10).await;
    put(&*two, "a.txt", b"two", 10).await;
    assert_eq!(read(&*one, "a.txt", None).await.unwrap(), b"one");
    two.delete("a.txt").await.unwrap();
    assert_eq!(names(&*one).await, ["a.txt"]);
    assert!(not_found(two.stat("a.txt").await));
}

#[tokio::test]
async fn killed_uploads_are_swept() {
    let fixture = Fixture::new().await;
    let store = fixture.store("app", None);
    let mut upload = begin(&*store, "a.bin").await;
    upload.write(content(3 * CHUNK).into()).await.unwrap();
    std::mem::forget(upload);
    store.prepare().await.unwrap();
    assert_eq!(fixture.count("file").await, 1, "it may still be under way on another node");
    fixture.run("UPDATE parsimony.file SET touched_at = now() - interval '2 hours'").await;
    store.prepare().await.unwrap();
    fixture.await_empty().await;
}

#[tokio::test]
async fn an_upload_that_was_swept_cannot_commit() {
    let fixture = Fixture::new().await;
    let store = fixture.store("app", None);
    put(&*store, "a.bin", b"old", 10).await;
    let mut upload = begin(&*store, "a.bin").await;
    upload.write(content(2 * CHUNK + 5).into()).await.unwrap();
    fixture.run("DELETE FROM parsimony.file WHERE version IS NULL").await;
    assert!(upload.commit().await.is_err());
    assert_eq!(read(&*store, "a.bin", None).await.unwrap(), b"old");
    wait::until_some("its chunks are gone", || async {
        (fixture.count("file_chunk").await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn damage_is_noticed() {
    let fixture = Fixture::new().await;
    let data = content(3 * CHUNK + 100);
    let corrupt = |result: Result<Vec<u8>, _>| matches!(result, Err(FileError::Corrupt(_)));
    let damages = [
        "UPDATE parsimony.file_chunk SET data = overlay(data placing '\\x00' from 1000) WHERE number = 1",
        "UPDATE parsimony.file_chunk SET data = substr(data, 1, length(data) - 1) WHERE number = 2",
        "DELETE FROM parsimony.file_chunk WHERE number = 2",
        "UPDATE parsimony.file_chunk SET number = CASE number WHEN 1 THEN 102 WHEN 2 THEN 101 ELSE number END; \
         UPDATE parsimony.file_chunk SET number = number - 100 WHERE number > 100",
    ];
    for damage in damages {
        for secret in [None, Some("s")] {
            let store = fixture.store("app", secret);
            put(&*store, "a.bin", &data, 100_000).await;
            fixture.run(damage).await;
            assert!(corrupt(read(&*store, "a.bin", None).await), "{secret:?} {damage}");
        }
    }
    // Only an encrypted file notices these: cutting off whole chunks, and the hash with them.
    let cut = format!("UPDATE parsimony.file SET size = {}, digest = NULL", 2 * CHUNK);
    let store = fixture.store("app", Some("s"));
    put(&*store, "a.bin", &data, 100_000).await;
    fixture.run(&cut).await;
    assert!(corrupt(read(&*store, "a.bin", None).await));
    let other = fixture.store("app", Some("other"));
    put(&*store, "b.bin", b"secret", 10).await;
    assert!(corrupt(read(&*other, "b.bin", None).await));
    assert!(corrupt(read(&*fixture.store("app", None), "b.bin", None).await));
}

#[tokio::test]
async fn removal_during_a_download_is_an_error_not_a_short_file() {
    let fixture = Fixture::new().await;
    let store = fixture.store("app", None);
    put(&*store, "a.bin", &content(4 * CHUNK), CHUNK).await;
    let mut reader = store.open("a.bin", None).await.unwrap();
    reader.stream.try_next().await.unwrap();
    store.delete("a.bin").await.unwrap();
    let rest: Result<Vec<Bytes>, _> = reader.stream.try_collect().await;
    assert!(matches!(rest, Err(FileError::Corrupt(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_uploads_of_one_name_leave_one_of_them() {
    let fixture = Arc::new(Fixture::new().await);
    let (one, two) = (content(2 * CHUNK), content(2 * CHUNK + 1));
    for _ in 0..10 {
        let store = fixture.store("app", None);
        futures_util::future::join(put(&*store, "a.bin", &one, CHUNK), put(&*store, "a.bin", &two, CHUNK))
            .await;
        let got = read(&*store, "a.bin", None).await.unwrap();
        assert!(got == one || got == two);
        assert_eq!(names(&*store).await, ["a.bin"]);
        store.delete("a.bin").await.unwrap();
    }
    fixture.await_empty().await;
}

#[tokio::test]
async fn keys_rotate_and_runs_can_be_repeated() {
    let fixture = Fixture::new().await;
    let plain = fixture.store("app", None);
    let sizes = [0, 10, CHUNK, 2 * CHUNK + 7];
    let name = |size: usize| format!("{size}.bin");
    for size in sizes {
        put(&*plain, &name(size), &content(size), CHUNK).await;
    }
    let (one, two) = (fixture.store("app", Some("one")), fixture.store("app", Some("two")));
    // Files of before stay readable while a rotation is under way.
    assert!(read(&*one, &name(CHUNK), None).await.unwrap() == content(CHUNK));
    let counts = async |store: &Arc<dyn FileStore>, old: Option<&str>| {
        let old = old.map(Key::from_secret);
        let report = rotate_keys(&**store, None, old.as_ref(), |_| {}).await.unwrap();
        (report.rotated, report.failed)
    };
    assert_eq!(counts(&one, None).await, (4, 0));
    assert_eq!(counts(&one, None).await, (4, 0));
    assert_eq!(counts(&two, Some("wrong")).await, (0, 4));
    assert_eq!(counts(&two, Some("one")).await, (4, 0));
    for size in sizes {
        assert!(read(&*two, &name(size), None).await.unwrap() == content(size), "{size}");
    }
    assert_eq!(counts(&plain, Some("two")).await, (4, 0));
    for size in sizes {
        assert!(read(&*plain, &name(size), None).await.unwrap() == content(size), "{size}");
    }
    assert_eq!(fixture.count("file").await, 4);
    assert_eq!(fixture.count("file_chunk").await, 1 + 1 + 1 + 3);
}

#[tokio::test]
async fn a_store_that_is_away_says_so() {
    let fixture = Fixture::new().await;
    let store = fixture.store("app", None);
    put(&*store, "a.txt", b"x", 1).await;
    fixture.run("ALTER TABLE parsimony.file_chunk RENAME TO elsewhere").await;
    assert!(matches!(read(&*store, "a.txt", None).await, Err(FileError::Store(_))));
    let mut upload = begin(&*store, "b.txt").await;
    upload.write(Bytes::from_static(b"x")).await.unwrap();
    assert!(matches!(upload.commit().await, Err(FileError::Store(_))));
    fixture.run("ALTER TABLE parsimony.elsewhere RENAME TO file_chunk").await;
    assert_eq!(names(&*store).await, ["a.txt"]);
}
