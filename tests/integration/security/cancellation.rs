//! Requests that go away at any moment: whatever they were doing happened wholly or not at all, and what
//! they used is as good as new. Every kind is dropped after its first poll, its second, and so on.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use parsimony::query::{Constraint, Filter, FindHints, FindSpec, Operand, RegexConstraint};
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use parsimony::storage::{Related, Returning, Session, StorageAdapter, WriteFilter};
use parsimony::types::update::RelationChange;
use parsimony::types::{ClassName, ClassSchema, Field, FieldName, FieldType, Object, ObjectId, Update};
use serde_json::json;

use crate::support::database::TestDatabase;
use crate::support::wait;

const MAX: u32 = 6;
/// More polls than any request takes.
const POLLS: usize = 60;

struct Fixture {
    database: TestDatabase,
    adapter: Arc<PostgresAdapter>,
    schema: Arc<ClassSchema>,
}

type Request<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

fn row(id: &str) -> Object {
    let at = "2026-01-02T03:04:05.006Z";
    json!({"objectId": id, "createdAt": at, "updatedAt": at, "score": 1}).as_object().unwrap().clone()
}

fn id(text: &str) -> ObjectId {
    ObjectId::new(text).unwrap()
}

impl Fixture {
    async fn open(prepared_statements: bool) -> Self {
        let database = TestDatabase::empty().await;
        let options = PostgresOptions {
            max: Some(MAX),
            workers: 1,
            prepared_statements,
            ..PostgresOptions::new(&database.uri)
        };
        let adapter = PostgresAdapter::connect(options).await.unwrap();
        adapter.initialize().await.unwrap();
        let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
        schema.fields.insert(FieldName::known("score"), Field::of(FieldType::Number));
        schema.fields.insert(FieldName::known("title"), Field::of(FieldType::String));
        let friends = FieldType::Relation(ClassName::known("_User"));
        schema.fields.insert(FieldName::known("friends"), Field::of(friends));
        let schema = Arc::new(adapter.create_class(&schema).await.unwrap());
        adapter.create(&schema, &[row("there")]).await.unwrap();
        Self { database, adapter, schema }
    }

    /// A request of each kind; those that write, write objects named after `turn`.
    fn request(&self, kind: usize, turn: usize) -> Option<Request<'_>> {
        let (adapter, schema) = (&*self.adapter, &self.schema);
        let by_id = WriteFilter { filter: Filter::by_id(&id("there")), writers: None };
        let all = WriteFilter { filter: Filter::all(), writers: None };
        let both = Returning { before: true, after: true, written_only: false };
        let name = format!("k{kind}t{turn}");
        let related = move |owner: &str| Related {
            owner: id(owner),
            changes: vec![RelationChange {
                field: FieldName::known("friends"),
                add: vec![id("m")],
                remove: vec![],
            }],
        };
        let set = |value: usize| Update::default().set(FieldName::known("score"), json!(value));
        Some(match kind {
            0 => Box::pin(async move { drop(adapter.find(schema, &FindSpec::new(Filter::all())).await) }),
            1 => Box::pin(async move {
                let pattern = RegexConstraint { pattern: "a".into(), options: String::new() };
                let filter = Filter::field(FieldName::known("title"), Constraint::Regex(pattern));
                drop(adapter.count(schema, &FindSpec::new(filter)).await);
            }),
            2 => Box::pin(async move {
                let ids = ["there".to_owned()];
                drop(adapter.find_by_ids(schema, &ids, None, None, &FindHints::default()).await);
            }),
            3 => Box::pin(async move { drop(adapter.create(schema, &[row(&name)]).await) }),
            4 => Box::pin(async move {
                let rows = [row(&format!("{name}a")), row(&format!("{name}b"))];
                drop(adapter.create(schema, &rows).await);
            }),
            5 => Box::pin(async move { drop(adapter.update(schema, &by_id, &set(turn), both).await) }),
            6 => Box::pin(async move { drop(adapter.update(schema, &all, &set(turn), both).await) }),
            7 => Box::pin(async move {
                drop(adapter.create_related(schema, &row(&name), &related(&name)).await);
            }),
            8 => Box::pin(async move {
                let related = related("there");
                drop(adapter.update_related(schema, &by_id, &set(turn), both, &related).await);
            }),
            9 => Box::pin(async move {
                let Ok(open) = adapter.begin().await else { return };
                drop(open.create(schema, &[row(&format!("{name}a"))]).await);
                drop(open.create(schema, &[row(&format!("{name}b"))]).await);
                drop(open.commit().await);
            }),
            10 => Box::pin(async move {
                let none =
                    WriteFilter { filter: Filter::eq("title", Operand::Text("x".into())), writers: None };
                drop(adapter.delete(schema, &none, true).await);
            }),
            _ => return None,
        })
    }

    async fn number(&self, sql: &str) -> i64 {
        self.database.connect().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Nothing runs, nothing is open, and no more connections are there than may be.
    async fn settles(&self, what: &str) {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'";
        wait::until_some(what, || async { (self.number(busy).await == 0).then_some(()) }).await;
        // As many transactions as may be open, each on a connection that is in none.
        let mut open = Vec::new();
        for _ in 0..MAX / 3 {
            open.push(self.adapter.begin().await.unwrap());
        }
        for transaction in open {
            transaction.find(&self.schema, &FindSpec::new(Filter::all())).await.unwrap();
            transaction.rollback().await.unwrap();
        }
    }
}

/// Polls so many times, then drops. `true` when it was done before.
async fn dropped_after(polls: usize, mut request: Request<'_>) -> bool {
    let mut polled = 0;
    poll_fn(|cx| {
        polled += 1;
        match request.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if polled >= polls => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn every_kind_at_every_poll(prepared_statements: bool) {
    let fixture = Fixture::open(prepared_statements).await;
    for kind in 0.. {
        let mut turn = 0;
        for polls in 1..POLLS {
            turn += 1;
            let Some(request) = fixture.request(kind, turn) else { return };
            if dropped_after(polls, request).await {
                break;
            }
            assert!(polls + 1 < POLLS, "kind {kind} never ends");
        }
        fixture.settles(&format!("kind {kind}")).await;
        let halves = r#"SELECT count(*) FROM "Game" a WHERE "objectId" ~ 'a$' AND NOT EXISTS
            (SELECT FROM "Game" b WHERE b."objectId" = left(a."objectId", -1) || 'b')"#;
        assert_eq!(fixture.number(halves).await, 0, "kind {kind}");
        if kind >= 7 {
            let alone = r#"SELECT (SELECT count(*) FROM "Game" WHERE "objectId" ~ '^k7')
                - (SELECT count(*) FROM "_Join:friends:Game" WHERE "owningId" ~ '^k7')"#;
            assert_eq!(fixture.number(alone).await, 0);
        }
    }
}

#[tokio::test]
async fn dropped_requests_leave_nothing_half_done() {
    every_kind_at_every_poll(true).await;
}

#[tokio::test]
async fn nor_do_they_behind_a_pooler() {
    every_kind_at_every_poll(false).await;
}

/// A statement that nobody waits for any more does not keep a connection for as long as it likes.
#[tokio::test]
async fn a_long_statement_ends_with_its_request() {
    let fixture = Fixture::open(true).await;
    let mut blocker = fixture.database.connect().await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute(r#"LOCK TABLE "Game" IN ACCESS EXCLUSIVE MODE"#).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..2 * MAX {
        let request = fixture.request(0, 0).unwrap();
        let waits = wait::until_some("the statement waits", || async {
            (fixture.number(waiting).await > 0).then_some(())
        });
        tokio::select! {
            () = request => panic!("the table is locked"),
            () = waits => {}
        }
        wait::until_some("no statement waits", || async {
            (fixture.number(waiting).await == 0).then_some(())
        })
        .await;
    }
    lock.commit().await.unwrap();
    fixture.settles("after the lock").await;
}
