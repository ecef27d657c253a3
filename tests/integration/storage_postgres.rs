//! What only a real PostgreSQL can show: the layout, several servers and many clients at once, lost
//! connections, notices.

use std::sync::Arc;
use std::time::Duration;

use parsimony::pubsub::Notice;
use parsimony::query::{Filter, FindSpec, Operand, ReadPreference};
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use parsimony::storage::{
    Returning, Session, StartupIndexes, StorageAdapter, StorageError, StorageResult, WriteFilter,
};
use parsimony::types::update::Op;
use parsimony::types::{ClassName, ClassSchema, Field, FieldName, FieldType, Object, ObjectId, Update};
use serde_json::{Value, json};

use crate::support::database::TestDatabase;
use crate::support::wait;

fn options(database: &TestDatabase) -> PostgresOptions {
    PostgresOptions::new(&database.uri)
}

async fn open(database: &TestDatabase) -> Arc<PostgresAdapter> {
    let adapter = PostgresAdapter::connect(options(database)).await.unwrap();
    adapter.initialize().await.unwrap();
    adapter
}

fn game() -> ClassSchema {
    let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
    schema.fields.insert(FieldName::known("score"), Field::of(FieldType::Number));
    schema.fields.insert(FieldName::known("title"), Field::of(FieldType::String));
    schema
}

fn row(id: &str) -> Object {
    let at = "2026-01-02T03:04:05.006Z";
    json!({"objectId": id, "createdAt": at, "updatedAt": at}).as_object().unwrap().clone()
}

fn number(name: String) -> (FieldName, Field) {
    (FieldName::valid(&name).unwrap(), Field::of(FieldType::Number))
}

fn by_id(id: &str) -> WriteFilter {
    WriteFilter { filter: Filter::by_id(&ObjectId::new(id).unwrap()), writers: None }
}

async fn texts(database: &TestDatabase, query: &str) -> Vec<String> {
    let rows = database.connect().await.query(query, &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect()
}

#[tokio::test]
async fn the_layout_is_parse_servers() {
    let database = TestDatabase::empty().await;
    let adapter = open(&database).await;
    adapter.ensure_indexes(&StartupIndexes::default(), &["anonymous".into(), "o'auth".into()]).await.unwrap();
    let tables = texts(
        &database,
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename COLLATE \"C\"",
    )
    .await;
    let expected = [
        "_Audience",
        "_GlobalConfig",
        "_GraphQLConfig",
        "_Hooks",
        "_Idempotency",
        "_JobSchedule",
        "_JobStatus",
        "_Join:roles:_Role",
        "_Join:users:_Role",
        "_PushStatus",
        "_Role",
        "_SCHEMA",
        "_User",
    ];
    assert_eq!(tables, expected);
    let columns = texts(
        &database,
        "SELECT column_name || ' ' || data_type FROM information_schema.columns \
         WHERE table_name = '_User' ORDER BY column_name COLLATE \"C\"",
    )
    .await;
    let expected = [
        "_account_lockout_expires_at timestamp with time zone",
        "_email_verify_token text",
        "_email_verify_token_expires_at timestamp with time zone",
        "_failed_login_count double precision",
        "_hashed_password text",
        "_password_changed_at timestamp with time zone",
        "_password_history jsonb",
        "_perishable_token text",
        "_perishable_token_expires_at timestamp with time zone",
        "_rperm ARRAY",
        "_wperm ARRAY",
        "authData jsonb",
        "createdAt timestamp with time zone",
        "email text",
        "emailVerified boolean",
        "objectId text",
        "updatedAt timestamp with time zone",
        "username text",
    ];
    assert_eq!(columns, expected);
    let indexes = texts(
        &database,
        "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'public' AND tablename = '_User' \
         ORDER BY indexname COLLATE \"C\"",
    )
    .await;
    let expected = [
        "_User_pkey",
        "_User_unique_authData_anonymous_id",
        "_User_unique_authData_o'auth_id",
        "_User_unique_email",
        "_User_unique_username",
        "_email_verify_token",
        "_perishable_token",
        "case_insensitive_email",
        "case_insensitive_username",
        "parsimony_User_spelling_unique_email",
        "parsimony_User_spelling_unique_username",
    ];
    assert_eq!(indexes, expected);
    let stored =
        texts(&database, r#"SELECT "schema"::text FROM "_SCHEMA" WHERE "className" = '_Role'"#).await;
    let stored: Value = serde_json::from_str(&stored[0]).unwrap();
    assert_eq!(
        stored,
        json!({"className": "_Role", "fields": {
            "objectId": {"type": "String"}, "createdAt": {"type": "Date"}, "updatedAt": {"type": "Date"},
            "_rperm": {"type": "Array", "contents": {"type": "String"}},
            "_wperm": {"type": "Array", "contents": {"type": "String"}},
            "name": {"type": "String"},
            "users": {"type": "Relation", "targetClass": "_User"},
            "roles": {"type": "Relation", "targetClass": "_Role"}}})
    );
    let own = texts(
        &database,
        "SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' ORDER BY 1",
    )
    .await;
    assert_eq!(own, ["parsimony", "public"]);
    // Again, and from a second server: nothing changes, nothing fails.
    adapter.initialize().await.unwrap();
    let second = open(&database).await;
    second.ensure_indexes(&StartupIndexes::default(), &["anonymous".into()]).await.unwrap();
}

#[tokio::test]
async fn functions_do_what_parse_server_expects() {
    let database = TestDatabase::empty().await;
    let _adapter = open(&database).await;
    let cases = [
        (r#"public.array_remove('[1,"a",{"k":1}]'::jsonb, '["a"]'::jsonb)"#, r#"[1, {"k": 1}]"#),
        (r#"array_add('["a"]', '["a"]')"#, r#"["a", "a"]"#),
        (r#"jsonb_array_length(array_add_unique('["a","b"]', '["b","c"]'))"#, "3"),
        (r#"array_contains('["a","b"]', '["z","b"]')"#, "true"),
        (r#"array_contains_all('["a","b"]', '["a","b"]')"#, "true"),
        (r#"array_contains_all('["a"]', '["a","b"]')"#, "false"),
        (r#"array_contains_all('["a"]', '[]')"#, "false"),
        (r#"array_contains_all_regex('["abc","x"]', '["ab%"]')"#, "true"),
        (r#"json_object_set_key('{"a":1}', 'b', '{"c":2}'::jsonb)"#, r#"{"a": 1, "b": {"c": 2}}"#),
        ("coalesce(idempotency_delete_expired_records()::text, '')", ""),
        (r#"parsimony.array_add_unique('["b","a"]', '["c","a","c"]')"#, r#"["b", "a", "c"]"#),
        (r#"parsimony.json_set(NULL, '{a,0}', '1')"#, r#"{"a": {"0": 1}}"#),
    ];
    for (call, expected) in cases {
        assert_eq!(texts(&database, &format!("SELECT ({call})::text")).await, [expected], "{call}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_and_two_servers_make_the_same_class_and_fields() {
    let database = TestDatabase::empty().await;
    // Both start on the empty database at once.
    let (one, two) = tokio::join!(open(&database), open(&database));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40_usize {
        let adapter = if n % 2 == 0 { one.clone() } else { two.clone() };
        tasks.spawn(async move {
            adapter.create_class(&game()).await?;
            let fields = [number(format!("shared{}", n % 5)), number(format!("own{n}"))];
            let schema = Arc::new(adapter.add_fields(&ClassName::known("Game"), &fields).await?);
            let mut object = row(&format!("id{n}"));
            object.insert(format!("own{n}"), n.into());
            adapter.create(&schema, &[object]).await
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap().unwrap();
    }
    let schema = Arc::new(one.load_schema(&ClassName::known("Game")).await.unwrap().unwrap());
    assert_eq!(schema.fields.keys().filter(|name| name.starts_with("own")).count(), 40);
    assert_eq!(two.count(&schema, &FindSpec::new(Filter::all())).await.unwrap(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transactions_that_add_fields_never_hang() {
    let database = TestDatabase::empty().await;
    let adapter = open(&database).await;
    let schema = Arc::new(adapter.create_class(&game()).await.unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (adapter, schema) = (adapter.clone(), schema.clone());
        tasks.spawn(async move {
            // Writes first, so that every transaction holds a lock the others' DDL waits for.
            for attempt in 0.. {
                let open = adapter.begin().await?;
                let outcome: StorageResult<()> = async {
                    open.create(&schema, &[row(&format!("tx{n}"))]).await?;
                    open.add_fields(&schema.name, &[number(format!("tx{n}"))]).await.map(|_| ())
                }
                .await;
                match outcome {
                    Ok(()) => return open.commit().await,
                    Err(StorageError::Conflict(_)) if attempt < 50 => {
                        open.rollback().await?;
                        tokio::time::sleep(Duration::from_millis(20 * (n + 1))).await;
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
    }
    for n in 0..12 {
        let (adapter, schema) = (adapter.clone(), schema.clone());
        tasks.spawn(async move {
            adapter.add_fields(&schema.name, &[number(format!("plain{n}"))]).await?;
            adapter.create(&schema, &[row(&format!("plain{n}"))]).await
        });
    }
    let all = async {
        while let Some(outcome) = tasks.join_next().await {
            outcome.unwrap().unwrap();
        }
    };
    tokio::time::timeout(wait::PATIENCE, all).await.expect("a transaction hangs");
    let schema = Arc::new(adapter.load_schema(&schema.name).await.unwrap().unwrap());
    assert_eq!(adapter.count(&schema, &FindSpec::new(Filter::all())).await.unwrap(), 18);
    assert_eq!(schema.fields.keys().filter(|f| f.starts_with("tx") || f.starts_with("plain")).count(), 18);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn increments_of_many_clients_add_up_and_stamps_follow_them() {
    let database = TestDatabase::empty().await;
    let adapter = open(&database).await;
    let schema = Arc::new(adapter.create_class(&game()).await.unwrap());
    adapter.create(&schema, &[row("one")]).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (adapter, schema) = (adapter.clone(), schema.clone());
        tasks.spawn(async move {
            let update = Update { ops: vec![(FieldName::known("score").into(), Op::Increment(1.0))] };
            let returning = Returning { before: true, after: true, written_only: false };
            let changed = adapter.update(&schema, &by_id("one"), &update, returning).await.unwrap();
            let score = |set: Option<parsimony::types::RowSet>| {
                set.unwrap().first().unwrap().to_object().get("score").and_then(Value::as_i64).unwrap_or(0)
            };
            (changed.stamp, score(changed.before), score(changed.after))
        });
    }
    let mut seen = tasks.join_all().await;
    seen.sort_unstable();
    let expected: Vec<_> = (0..50).map(|n| (n, n + 1)).collect();
    assert_eq!(seen.iter().map(|(_, before, after)| (*before, *after)).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn unique_indexes_name_what_they_refuse() {
    let database = TestDatabase::empty().await;
    let adapter = open(&database).await;
    adapter.ensure_indexes(&StartupIndexes::default(), &["google".into()]).await.unwrap();
    let user = Arc::new(adapter.load_schema(&ClassName::known("_User")).await.unwrap().unwrap());
    let with = |id: &str, extra: Value| {
        let mut object = row(id);
        object.extend(extra.as_object().unwrap().clone());
        object
    };
    let auth = json!({"authData": {"google": {"id": "7"}}});
    adapter.create(&user, &[with("a", json!({"username": "x", "email": "m@x"}))]).await.unwrap();
    adapter.create(&user, &[with("g", auth.clone())]).await.unwrap();
    let refused = async |object| match adapter.create(&user, &[object]).await {
        Err(StorageError::Duplicate { field, provider }) => (field, provider),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(with("b", json!({"username": "x"}))).await, (Some("username".into()), None));
    assert_eq!(refused(with("b", json!({"email": "m@x"}))).await, (Some("email".into()), None));
    assert_eq!(refused(with("b", auth)).await, (None, Some("google".into())));
    assert_eq!(refused(row("a")).await, (Some("objectId".into()), None));
}

#[tokio::test]
async fn requests_after_lost_connections_work_at_once() {
    let database = TestDatabase::empty().await;
    let adapter = open(&database).await;
    let schema = Arc::new(adapter.create_class(&game()).await.unwrap());
    adapter.create(&schema, &[row("a")]).await.unwrap();
    let find = FindSpec::new(Filter::eq("objectId", Operand::Text("a".into())));
    let all = FindSpec::new(Filter::all());
    for round in 0..3 {
        // Fill the lanes, then cut every connection of this database but the cutter's.
        for _ in 0..10 {
            assert_eq!(adapter.find(&schema, &find).await.unwrap().len(), 1);
            adapter.count(&schema, &all).await.unwrap();
        }
        let cutter = database.connect().await;
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(cutter.query_one(cut, &[]).await.unwrap().get::<_, i64>(0) > 0);
        // The sockets' ends have to arrive; then no request may fail.
        tokio::time::sleep(Duration::from_millis(20)).await;
        adapter.create(&schema, &[row(&format!("after{round}"))]).await.unwrap();
        assert_eq!(adapter.find(&schema, &find).await.unwrap().len(), 1);
        assert_eq!(adapter.count(&schema, &all).await.unwrap(), round + 2);
        adapter.add_fields(&schema.name, &[number(format!("n{round}"))]).await.unwrap();
    }
}

#[tokio::test]
async fn an_exhausted_pool_answers_after_its_deadline() {
    let database = TestDatabase::empty().await;
    let options =
        PostgresOptions { max: Some(1), acquire_timeout: Duration::from_millis(200), ..options(&database) };
    let adapter = PostgresAdapter::connect(options).await.unwrap();
    adapter.initialize().await.unwrap();
    let open = adapter.begin().await.unwrap();
    let schema = Arc::new(game());
    let waiting = adapter.find(&schema, &FindSpec::new(Filter::all())).await;
    assert!(matches!(waiting, Err(StorageError::Exhausted)), "{waiting:?}");
    open.rollback().await.unwrap();
    assert_eq!(adapter.find(&schema, &FindSpec::new(Filter::all())).await.unwrap().len(), 0);
}

#[tokio::test]
async fn slow_statements_end_with_their_timeout() {
    let database = TestDatabase::empty().await;
    let options =
        PostgresOptions { statement_timeout: Some(Duration::from_millis(150)), ..options(&database) };
    let adapter = PostgresAdapter::connect(options).await.unwrap();
    adapter.initialize().await.unwrap();
    let schema = Arc::new(adapter.create_class(&game()).await.unwrap());
    adapter.create(&schema, &[row("a")]).await.unwrap();
    let mut blocker = database.connect().await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute(r#"UPDATE "Game" SET "score" = 1"#).await.unwrap();
    let update = Update::default().set(FieldName::known("score"), json!(2));
    let blocked = adapter.update(&schema, &by_id("a"), &update, Returning::default()).await;
    assert!(matches!(blocked, Err(StorageError::Timeout)), "{blocked:?}");
}

#[tokio::test]
async fn a_dropped_request_does_not_cut_its_write() {
    let database = TestDatabase::empty().await;
    let adapter = open(&database).await;
    let schema = Arc::new(adapter.create_class(&game()).await.unwrap());
    adapter.create(&schema, &[row("warm")]).await.unwrap();
    // Two rows: what is not one statement on a shared connection runs in a task.
    let rows = [row("kept"), row("other")];
    // Polled once: the task is on its way, then nobody waits for it any more.
    let _ = tokio::time::timeout(Duration::ZERO, adapter.create(&schema, &rows)).await;
    let find = FindSpec::new(Filter::eq("objectId", Operand::Text("kept".into())));
    let ask = || async { (adapter.find(&schema, &find).await.unwrap().len() == 1).then_some(()) };
    wait::until_some("the write to be done", ask).await;
}

#[tokio::test]
async fn servers_hear_each_other_and_parse_server() {
    let database = TestDatabase::empty().await;
    let (one, two) = (open(&database).await, open(&database).await);
    let pubsub = one.pubsub().unwrap();
    let mut heard = two.pubsub().unwrap().notices();
    let mut own = pubsub.notices();
    assert_eq!(heard.recv().await.unwrap(), Notice::Lost, "the listener is there");
    assert_eq!(own.recv().await.unwrap(), Notice::Lost);
    let class = Some(ClassName::known("Game"));
    pubsub.notify(Notice::Schema { class: class.clone() }).await.unwrap();
    pubsub.notify(Notice::Session { token_hash: "abc".into() }).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), Notice::Schema { class });
    assert_eq!(heard.recv().await.unwrap(), Notice::Session { token_hash: "abc".into() });
    let parse_server = database.connect().await;
    parse_server.batch_execute(r#"NOTIFY "schema.change", '{"senderId":"other"}'"#).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), Notice::Schema { class: None });
    assert_eq!(own.recv().await.unwrap(), Notice::Schema { class: None }, "its own were filtered");
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    parse_server.query(cut, &[]).await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), Notice::Deaf, "nothing is heard for a while");
    assert_eq!(heard.recv().await.unwrap(), Notice::Lost, "the caches must forget");
    two.close().await;
    assert!(matches!(two.ping().await, Err(StorageError::Unavailable(_))));
}

#[tokio::test]
async fn plans_survive_a_column_of_another_type() {
    let database = TestDatabase::empty().await;
    let adapter = open(&database).await;
    let mut schema = Arc::new(adapter.create_class(&game()).await.unwrap());
    adapter.create(&schema, &[row("a")]).await.unwrap();
    let find = FindSpec::new(Filter::eq("objectId", Operand::Text("a".into())));
    let touch = |value: Value| Update::default().set(FieldName::known("title"), value);
    let after = Returning { after: true, ..Returning::default() };
    for round in 0..4 {
        // Often enough that every connection prepares them.
        for _ in 0..8 {
            adapter.find(&schema, &find).await.unwrap();
            adapter.update(&schema, &by_id("a"), &touch(Value::Null), after).await.unwrap();
        }
        adapter.delete_fields(&schema.name, &[FieldName::known("title")]).await.unwrap();
        let ty = if round % 2 == 0 { FieldType::Number } else { FieldType::String };
        let field = (FieldName::known("title"), Field::of(ty));
        schema = Arc::new(adapter.add_fields(&schema.name, &[field]).await.unwrap());
    }
}

#[tokio::test]
async fn reads_that_prefer_secondaries_go_to_replicas() {
    // Two databases that differ stand for a primary and a replica.
    let (primary, replica) = (TestDatabase::empty().await, TestDatabase::empty().await);
    let far = open(&replica).await;
    let schema = Arc::new(far.create_class(&game()).await.unwrap());
    far.create(&schema, &[row("far")]).await.unwrap();
    let options = PostgresOptions { read_uris: vec![replica.uri.clone()], ..options(&primary) };
    let adapter = PostgresAdapter::connect(options).await.unwrap();
    adapter.initialize().await.unwrap();
    let mut spec = FindSpec::new(Filter::all());
    for (preference, expected) in [
        (ReadPreference::Primary, 0),
        (ReadPreference::Secondary, 1),
        (ReadPreference::PrimaryPreferred, 0),
        (ReadPreference::Nearest, 1),
    ] {
        spec.hints.read_preference = preference;
        assert_eq!(adapter.find(&schema, &spec).await.unwrap().len(), expected, "{preference:?}");
    }
}

#[tokio::test]
async fn names_and_values_that_do_not_fit_are_refused() {
    let database = TestDatabase::empty().await;
    let adapter = open(&database).await;
    adapter.ensure_indexes(&StartupIndexes::default(), &[]).await.unwrap();
    let long = "L".repeat(64);
    let class = ClassSchema::with_defaults(ClassName::valid(&long).unwrap());
    assert!(matches!(adapter.create_class(&class).await, Err(StorageError::Refused(_))));
    let schema = Arc::new(adapter.create_class(&game()).await.unwrap());
    let field = number(long);
    assert!(matches!(adapter.add_fields(&schema.name, &[field]).await, Err(StorageError::Refused(_))));
    let user = Arc::new(adapter.load_schema(&ClassName::known("_User")).await.unwrap().unwrap());
    let mut object = row("u");
    // Random, because PostgreSQL would compress anything else into the page.
    let name = parsimony::types::names::random_alphanumeric(9000);
    object.insert("username".into(), name.into());
    let refused = adapter.create(&user, &[object]).await;
    assert!(matches!(refused, Err(StorageError::Refused(_))), "{refused:?}");
    for (column, value) in [
        ("title", json!("nul \0 inside")),
        ("title", json!(5)),
        ("score", json!("5")),
        ("createdAt", json!("-200000-01-01T00:00:00.000Z")),
    ] {
        let mut object = row("x");
        object.insert(column.into(), value);
        let refused = adapter.create(&schema, &[object]).await;
        assert!(matches!(refused, Err(StorageError::Refused(_))), "{column}: {refused:?}");
    }
}

#[tokio::test]
async fn a_database_of_parse_server_gains_indexes_and_loses_nothing() {
    let database = TestDatabase::empty().await;
    let client = database.connect().await;
    let made = r#"CREATE TABLE "_SCHEMA" ("className" varchar(120), "schema" jsonb, "isParseClass" bool,
            PRIMARY KEY ("className"));
        CREATE TABLE "_User" ("objectId" text, "createdAt" timestamptz, "updatedAt" timestamptz,
            "username" text, "email" text, "_rperm" text[], "_wperm" text[], "_hashed_password" text,
            PRIMARY KEY ("objectId"));
        CREATE TABLE "_Join:users:_Role" ("relatedId" varchar(120), "owningId" varchar(120),
            PRIMARY KEY ("relatedId", "owningId"));
        CREATE TABLE "_Session" ("objectId" text PRIMARY KEY, "sessionToken" text, "user" text);
        INSERT INTO "_SCHEMA" VALUES ('_User', '{"className":"_User","fields":{"objectId":{"type":"String"},
            "createdAt":{"type":"Date"},"updatedAt":{"type":"Date"},"username":{"type":"String"},
            "email":{"type":"String"},"_hashed_password":{"type":"String"}},"unknown":{"kept":1}}', true);
        INSERT INTO "_User" VALUES ('u1', now(), now(), 'ann', NULL, NULL, NULL, 'hash')"#;
    client.batch_execute(made).await.unwrap();
    let adapter = open(&database).await;
    let user = Arc::new(adapter.load_schema(&ClassName::known("_User")).await.unwrap().unwrap());
    // Columns that a newer version has were added, so the whole row can be read.
    let rows = adapter.find(&user, &FindSpec::new(Filter::all())).await.unwrap();
    assert_eq!(rows.first().unwrap().text("username"), Some("ann"));
    let kept = r#"SELECT "schema"->>'unknown' FROM "_SCHEMA" WHERE "className" = '_User'"#;
    assert_eq!(texts(&database, kept).await, [r#"{"kept": 1}"#]);
    let own = "SELECT indexname::text FROM pg_indexes WHERE indexname LIKE 'parsimony%' AND tablename IN \
               ('_Session', '_Join:users:_Role') ORDER BY indexname COLLATE \"C\"";
    assert!(texts(&database, own).await.is_empty(), "built after start");
    let (second, options) = (open(&database).await, StartupIndexes::default());
    let (one, two) =
        tokio::join!(adapter.ensure_indexes(&options, &[]), second.ensure_indexes(&options, &[]));
    one.unwrap();
    two.unwrap();
    let names = texts(&database, own).await;
    assert_eq!(names.len(), 3);
    assert!(names.contains(&"parsimony_Session_sessionToken".to_owned()), "{names:?}");
}
