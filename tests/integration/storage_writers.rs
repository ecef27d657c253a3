//! Writes that share connections: each has its own outcome, and one that waits holds up few others.

use std::sync::Arc;
use std::time::Duration;

use parsimony::query::Filter;
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use parsimony::storage::{Returning, Session, StorageAdapter, StorageError, WriteFilter};
use parsimony::types::{ClassName, ClassSchema, Field, FieldName, FieldType, Object, ObjectId, Update};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::database::TestDatabase;
use crate::support::wait;

struct Fixture {
    database: TestDatabase,
    adapter: Arc<PostgresAdapter>,
    schema: Arc<ClassSchema>,
}

impl Fixture {
    /// Six connections for the one thread, two of them for reads that share.
    async fn open() -> Self {
        let database = TestDatabase::empty().await;
        let options = PostgresOptions { max: Some(6), workers: 1, ..PostgresOptions::new(&database.uri) };
        let adapter = PostgresAdapter::connect(options).await.unwrap();
        adapter.initialize().await.unwrap();
        let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
        schema.fields.insert(FieldName::known("score"), Field::of(FieldType::Number));
        let schema = Arc::new(adapter.create_class(&schema).await.unwrap());
        Self { database, adapter, schema }
    }

    fn create(&self, id: String) -> impl Future<Output = Result<(), StorageError>> + use<> {
        let (adapter, schema) = (self.adapter.clone(), self.schema.clone());
        async move { adapter.create(&schema, &[row(&id)]).await }
    }

    fn update(&self, id: &str, score: i64) -> impl Future<Output = Result<u64, StorageError>> + use<> {
        let (adapter, schema) = (self.adapter.clone(), self.schema.clone());
        let target = WriteFilter { filter: Filter::by_id(&ObjectId::new(id).unwrap()), writers: None };
        let update = Update::default().set(FieldName::known("score"), json!(score));
        async move { Ok(adapter.update(&schema, &target, &update, Returning::default()).await?.count) }
    }

    async fn number(&self, query: &str) -> i64 {
        self.database.connect().await.query_one(query, &[]).await.unwrap().get(0)
    }
}

fn row(id: &str) -> Object {
    let at = "2026-01-02T03:04:05.006Z";
    json!({"objectId": id, "createdAt": at, "updatedAt": at}).as_object().unwrap().clone()
}

#[tokio::test]
async fn a_refused_write_concerns_nobody_else() {
    let fixture = Fixture::open().await;
    let mut tasks = JoinSet::new();
    // Every id twice, side by side: one of the two is refused.
    for n in 0..100 {
        tasks.spawn(fixture.create(format!("id{}", n / 2)));
    }
    let outcomes = tasks.join_all().await;
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let refused: Vec<_> = refused.map(|error| matches!(error, StorageError::Duplicate { .. })).collect();
    assert_eq!(refused, [true; 50]);
    assert_eq!(fixture.number(r#"SELECT count(*) FROM "Game""#).await, 50);
    // Far fewer connections than writes.
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND pid <> pg_backend_pid()";
    assert!(fixture.number(connections).await <= 7);
}

#[tokio::test]
async fn nobody_queues_behind_a_write_that_waits() {
    let fixture = Fixture::open().await;
    fixture.create("locked".to_owned()).await.unwrap();
    let mut blocker = fixture.database.connect().await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute(r#"UPDATE "Game" SET "score" = 1"#).await.unwrap();
    let mut waiting = JoinSet::new();
    for n in 0..2 {
        waiting.spawn(fixture.update("locked", n));
    }
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait::until_some("both updates wait", || async { (fixture.number(blocked).await == 2).then_some(()) })
        .await;
    // The bound after which nobody joins them, twice.
    tokio::time::sleep(Duration::from_millis(40)).await;
    let mut tasks = JoinSet::new();
    for n in 0..60 {
        tasks.spawn(fixture.create(format!("free{n}")));
    }
    let done = tokio::time::timeout(Duration::from_secs(10), tasks.join_all()).await;
    assert!(done.expect("writes that wait for nothing are answered").iter().all(Result::is_ok));
    assert!(waiting.try_join_next().is_none());
    lock.commit().await.unwrap();
    let counts: Vec<_> = waiting.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(counts, [1, 1]);
}
