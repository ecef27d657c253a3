//! A database that answers slowly is not sent everything twice, and keeps its connections; one statement
//! in the way of others is still evaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parsimony::query::{Filter, FindHints, FindSpec};
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use parsimony::storage::{Session, StorageAdapter};
use parsimony::types::{ClassName, ClassSchema};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::database::TestDatabase;

/// Passes bytes on after a delay.
struct Proxy {
    port: u16,
    delay_ms: Arc<AtomicU64>,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    async fn before(uri: &url::Url) -> Self {
        let target = format!("{}:{}", uri.host_str().unwrap(), uri.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (delay_ms, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let (delay, count) = (delay_ms.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&target).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, Arc::default()));
                tokio::spawn(pass(from_server, to_client, delay.clone()));
            }
        });
        Self { port, delay_ms, connections }
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay_ms: Arc<AtomicU64>,
) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((at, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(at).await;
            let bytes: Vec<u8> = bytes;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let at = tokio::time::Instant::now() + Duration::from_millis(delay_ms.load(Ordering::SeqCst));
        if sender.send((at, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

struct Fixture {
    database: TestDatabase,
    proxy: Proxy,
    adapter: Arc<PostgresAdapter>,
    schema: Arc<ClassSchema>,
}

impl Fixture {
    async fn open() -> Self {
        let database = TestDatabase::empty().await;
        let mut uri = url::Url::parse(&database.uri).unwrap();
        let proxy = Proxy::before(&uri).await;
        uri.set_port(Some(proxy.port)).unwrap();
        let options = PostgresOptions { max: Some(6), workers: 1, ..PostgresOptions::new(uri.as_str()) };
        let adapter = PostgresAdapter::connect(options).await.unwrap();
        adapter.initialize().await.unwrap();
        let schema = ClassSchema::with_defaults(ClassName::known("Game"));
        let schema = Arc::new(adapter.create_class(&schema).await.unwrap());
        Self { database, proxy, adapter, schema }
    }

    async fn read(&self) {
        let ids = ["x".to_owned()];
        self.adapter.find_by_ids(&self.schema, &ids, None, None, &FindHints::default()).await.unwrap();
    }

    /// How often such a read was run.
    async fn calls(&self) -> i64 {
        let sql = r#"SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s
            JOIN pg_database d ON d.oid = s.dbid
            WHERE d.datname = current_database() AND query LIKE 'SELECT%FROM public."Game"%ANY%'"#;
        let client = self.database.connect().await;
        client.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await.unwrap();
        client.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn reads_are_sent_once(&self) {
        let (calls, connections) = (self.calls().await, self.proxy.connections.load(Ordering::SeqCst));
        for _ in 0..5 {
            join_all((0..20).map(|_| self.read())).await;
        }
        let calls = self.calls().await - calls;
        assert!((100..=110).contains(&calls), "{calls} statements for 100 reads");
        let opened = self.proxy.connections.load(Ordering::SeqCst) - connections;
        assert!(opened <= 4, "{opened} connections were opened");
    }
}

#[tokio::test]
async fn a_database_that_became_slow_is_not_asked_twice() {
    let fixture = Fixture::open().await;
    for _ in 0..10 {
        fixture.read().await;
    }
    fixture.proxy.delay_ms.store(400, Ordering::SeqCst);
    fixture.reads_are_sent_once().await;
}

#[tokio::test]
async fn nor_is_one_that_always_was() {
    let fixture = Fixture::open().await;
    fixture.proxy.delay_ms.store(400, Ordering::SeqCst);
    fixture.reads_are_sent_once().await;
}

/// A lock holds up one table's reads; those of another one get past them.
#[tokio::test]
async fn one_statement_in_the_way_is_evaded() {
    let fixture = Fixture::open().await;
    let other = ClassSchema::with_defaults(ClassName::known("Other"));
    let other = Arc::new(fixture.adapter.create_class(&other).await.unwrap());
    let ids = ["x".to_owned()];
    for _ in 0..40 {
        fixture.read().await;
    }
    let mut blocker = fixture.database.connect().await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute(r#"LOCK TABLE "Game" IN ACCESS EXCLUSIVE MODE"#).await.unwrap();
    let adapter = fixture.adapter.clone();
    let (held, schema) = (["x".to_owned()], fixture.schema.clone());
    let waiting = tokio::spawn(async move {
        adapter.find_by_ids(&schema, &held, None, None, &FindHints::default()).await.map(drop)
    });
    let hints = FindHints::default();
    let reads = (0..3).map(|_| fixture.adapter.find_by_ids(&other, &ids, None, None, &hints));
    let answers = tokio::time::timeout(Duration::from_secs(10), join_all(reads)).await.unwrap();
    assert!(answers.iter().all(Result::is_ok) && !waiting.is_finished());
    lock.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
}

/// However many reads take long: a write finds a connection.
#[tokio::test]
async fn long_reads_leave_connections_to_writes() {
    let fixture = Fixture::open().await;
    let other = ClassSchema::with_defaults(ClassName::known("Other"));
    let other = Arc::new(fixture.adapter.create_class(&other).await.unwrap());
    let mut blocker = fixture.database.connect().await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute(r#"LOCK TABLE "Game" IN ACCESS EXCLUSIVE MODE"#).await.unwrap();
    let all = FindSpec::new(Filter::all());
    let reads = join_all((0..40).map(|_| fixture.adapter.find(&fixture.schema, &all)));
    let at = "2026-01-02T03:04:05.006Z";
    let rows = [json!({"objectId": "a", "createdAt": at, "updatedAt": at}).as_object().unwrap().clone()];
    let write = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let written = fixture.adapter.create(&other, &rows);
        let written = tokio::time::timeout(Duration::from_secs(2), written).await;
        lock.commit().await.unwrap();
        written
    };
    let (_, written) = tokio::join!(reads, write);
    written.expect("a connection is left").unwrap();
}
