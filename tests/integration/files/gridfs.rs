//! GridFS, as parse-server's `GridFSBucketAdapter` lays it out.

use std::sync::Arc;

use bytes::Bytes;
use mongodb::bson::{Document, doc};
use parsimony::files::crypt::Key;
use parsimony::files::rotate::rotate_keys;
use parsimony::files::{FileError, FileStore, NewFile};
use parsimony::storage::StorageAdapter;
use parsimony::storage::mongo::{MongoAdapter, MongoOptions};
use serde_json::json;

use super::{conformance, content, names, not_found, put, read};
use crate::support::mongo::TestMongo;
use crate::support::wait;

const CHUNK: usize = 255 * 1024;
/// More than a chunk, and more than the ranges of the suite reach.
const LARGE: usize = 300_000;

struct Fixture {
    database: mongodb::Database,
    adapter: Arc<MongoAdapter>,
}

impl Fixture {
    async fn new() -> Option<Self> {
        let database = TestMongo::empty()?;
        let adapter = MongoAdapter::connect(MongoOptions::new(&database.uri)).await.unwrap();
        Some(Self { database: database.database().await, adapter })
    }

    fn store(&self, secret: Option<&str>) -> Arc<dyn FileStore> {
        self.adapter.file_stores().unwrap().file_store("app", secret.map(Key::from_secret))
    }

    async fn count(&self, collection: &str) -> u64 {
        self.database.collection::<Document>(collection).count_documents(doc! {}).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(fixture) = Fixture::new().await else { return };
    conformance::run(&*fixture.store(None), LARGE, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_when_encrypted() {
    let Some(fixture) = Fixture::new().await else { return };
    conformance::run(&*fixture.store(Some("secret")), LARGE, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_those_of_drivers() {
    let Some(fixture) = Fixture::new().await else { return };
    let store = fixture.store(None);
    store.prepare().await.unwrap();
    let data = content(CHUNK + 7);
    let metadata = json!({"owner": "me"}).as_object().unwrap().clone();
    let file = NewFile { name: "a.bin".into(), metadata: metadata.clone(), ..NewFile::default() };
    let mut upload = store.begin(file).await.unwrap();
    upload.write(Bytes::from(data.clone())).await.unwrap();
    upload.commit().await.unwrap();
    let files = fixture.database.collection::<Document>("fs.files");
    let stored = files.find_one(doc! { "filename": "a.bin" }).await.unwrap().unwrap();
    assert_eq!(stored.get_i64("length").unwrap(), data.len() as i64);
    assert_eq!(stored.get_i32("chunkSize").unwrap(), CHUNK as i32);
    assert_eq!(stored.get_document("metadata").unwrap(), &doc! { "owner": "me" });
    assert_eq!(store.metadata("a.bin").await.unwrap(), Some(metadata));
    // The driver reads it.
    let bucket = fixture.database.gridfs_bucket(None);
    let mut stream = bucket.open_download_stream_by_name("a.bin").await.unwrap();
    let mut back = Vec::new();
    futures_util::AsyncReadExt::read_to_end(&mut stream, &mut back).await.unwrap();
    assert!(back == data);
    // And what the driver writes is read, newest first.
    for text in ["older", "newer"] {
        let mut upload = bucket.open_upload_stream("b.txt").await.unwrap();
        futures_util::AsyncWriteExt::write_all(&mut upload, text.as_bytes()).await.unwrap();
        futures_util::AsyncWriteExt::close(&mut upload).await.unwrap();
    }
    assert_eq!(read(&*store, "b.txt", None).await.unwrap(), b"newer");
    store.delete("b.txt").await.unwrap();
    assert!(not_found(store.stat("b.txt").await));
    assert_eq!((fixture.count("fs.files").await, fixture.count("fs.chunks").await), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_bytes_are_noticed_before_the_first_one_is_sent() {
    let Some(fixture) = Fixture::new().await else { return };
    let store = fixture.store(Some("secret"));
    put(&*store, "x.bin", &content(CHUNK * 2), CHUNK).await;
    let chunks = fixture.database.collection::<Document>("fs.chunks");
    let last = chunks.find_one(doc! { "n": 1 }).await.unwrap().unwrap();
    let mut bytes = last.get_binary_generic("data").unwrap().clone();
    bytes[9] ^= 1;
    let data = mongodb::bson::Binary { subtype: mongodb::bson::spec::BinarySubtype::Generic, bytes };
    chunks.update_one(doc! { "n": 1 }, doc! { "$set": { "data": data } }).await.unwrap();
    assert!(matches!(store.open("x.bin", None).await, Err(FileError::Corrupt(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated() {
    let Some(fixture) = Fixture::new().await else { return };
    let (plain, old, new) = (fixture.store(None), fixture.store(Some("old")), fixture.store(Some("new")));
    put(&*old, "a.txt", b"secret text", 4).await;
    let report = rotate_keys(&*new, None, Some(&Key::from_secret("old")), |_| {}).await.unwrap();
    assert_eq!((report.rotated, report.failed), (1, 0));
    assert_eq!(read(&*new, "a.txt", None).await.unwrap(), b"secret text");
    assert!(matches!(old.open("a.txt", None).await, Err(FileError::Corrupt(_))));
    let report = rotate_keys(&*new, None, Some(&Key::from_secret("old")), |_| {}).await.unwrap();
    assert_eq!((report.rotated, report.failed), (1, 0), "done before");
    let report = rotate_keys(&*plain, None, Some(&Key::from_secret("new")), |_| {}).await.unwrap();
    assert_eq!((report.rotated, report.failed), (1, 0));
    assert_eq!(read(&*plain, "a.txt", None).await.unwrap(), b"secret text");
    assert_eq!(names(&*plain).await, ["a.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_and_killed_uploads_leave_nothing() {
    let Some(fixture) = Fixture::new().await else { return };
    let store = fixture.store(None);
    store.prepare().await.unwrap();
    let mut upload = super::begin(&*store, "gone.bin").await;
    upload.write(Bytes::from(content(CHUNK * 3))).await.unwrap();
    assert!(fixture.count("fs.chunks").await > 0);
    drop(upload);
    let emptied = || async { (fixture.count("fs.chunks").await == 0).then_some(()) };
    wait::until_some("the chunks to go", emptied).await;
    // As a killed server leaves it.
    let id = mongodb::bson::oid::ObjectId::new();
    let chunk = doc! { "files_id": id, "n": 0, "data": "x" };
    fixture.database.collection::<Document>("fs.chunks").insert_one(chunk).await.unwrap();
    let noted = doc! { "_id": id, "touched": mongodb::bson::DateTime::from_millis(0) };
    fixture.database.collection::<Document>("_parsimony_uploads").insert_one(noted).await.unwrap();
    store.prepare().await.unwrap();
    assert_eq!((fixture.count("fs.chunks").await, fixture.count("_parsimony_uploads").await), (0, 0));
}
