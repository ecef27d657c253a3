//! The queue of work: one suite over both adapters, and what several servers and open transactions make of it
//! on a real database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parsimony::storage::memory::MemoryAdapter;
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};
use parsimony::storage::{
    Begun, Claimed, Enqueue, NewWork, Retry, StorageAdapter, Wanted, WorkQueue, WorkState,
};
use parsimony::types::time::Millis;
use serde_json::{Value, json};

use crate::support::database::TestDatabase;
use crate::support::wait;

const LONG: Duration = Duration::from_secs(600);
const APP: &str = "app";

fn at(minutes: i64) -> Millis {
    Millis(Millis::now().0 + minutes * 60_000)
}

async fn claim(
    work: &dyn WorkQueue,
    holder: &str,
    queues: &[&str],
    most: usize,
    lease: Duration,
) -> Vec<Claimed> {
    let holder: Arc<str> = holder.into();
    let wanted = Wanted { app: APP, queues, keys: None, holder: &holder, lease, most };
    work.claim(&wanted).await.unwrap()
}

async fn state(work: &dyn WorkQueue, id: i64) -> WorkState {
    work.item(id).await.unwrap().unwrap().state
}

/// Until somebody else may have it, since its lease was of no length.
async fn taken_over(work: &dyn WorkQueue, holder: &str, queue: &str) -> Claimed {
    wait::until_some("the lease to run out", async || claim(work, holder, &[queue], 1, LONG).await.pop())
        .await
}

async fn conforms(storage: &dyn StorageAdapter) {
    let work = storage.work_queue().unwrap();
    order_and_shares(work).await;
    leases(work).await;
    retries(work).await;
    what_must_not_be_repeated(work).await;
    cancelling_and_forgetting(work).await;
    with_a_transaction(storage).await;
    items_that_come_back(work).await;
}

async fn order_and_shares(work: &dyn WorkQueue) {
    let item = |queue: &str, priority: i32, n: i32| NewWork { priority, ..NewWork::new(queue, json!(n)) };
    let mut items: Vec<_> = (0..6).map(|n| item("many", 0, n)).collect();
    items.push(item("many", 5, 6));
    items.push(item("few", 0, 7));
    items.push(NewWork { run_at: Some(at(60)), ..item("many", 9, 8) });
    let ids = work.enqueue(APP, &items).await.unwrap();
    assert_eq!(ids.len(), 9);
    assert!(ids.iter().all(Option::is_some), "{ids:?}");
    // Both queues are served, the one with a single item too, and its rest goes to the other.
    let got = claim(work, "a", &["many", "few"], 4, LONG).await;
    let mut got: Vec<i64> = got.iter().map(|claimed| claimed.item.payload.as_i64().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, [0, 1, 6, 7]);
    assert!(claim(work, "a", &["other"], 4, LONG).await.is_empty());
    let next = work.next_due(APP, &["many"]).await.unwrap().unwrap();
    assert!(next < at(1));
    let rest = claim(work, "b", &["many"], 100, LONG).await;
    let order: Vec<i64> = rest.iter().map(|claimed| claimed.item.payload.as_i64().unwrap()).collect();
    assert_eq!(order, [2, 3, 4, 5], "in order, and not what is due later");
    assert!(work.next_due(APP, &["many"]).await.unwrap().unwrap() > at(50));
}

async fn leases(work: &dyn WorkQueue) {
    let keyed = NewWork { key: Some("k".into()), ..NewWork::new("leases", json!({"a": 1})) };
    let id = work.enqueue(APP, std::slice::from_ref(&keyed)).await.unwrap()[0].unwrap();
    assert_eq!(work.enqueue(APP, std::slice::from_ref(&keyed)).await.unwrap(), [None], "one of its key");
    // Whoever dies before it begins leaves it to others, and comes too late.
    let [dead] = &claim(work, "la", &["leases"], 5, Duration::ZERO).await[..] else { panic!() };
    assert_eq!((dead.item.id, &dead.item.payload), (id, &json!({"a": 1})));
    let second = taken_over(work, "lb", "leases").await;
    assert_eq!(second.lease.attempt, 2);
    assert!(!work.begin(&dead.lease, &json!(1), LONG).await.unwrap());
    assert_eq!(work.complete(std::slice::from_ref(&dead.lease), None).await.unwrap(), 0);
    // Renewed, it stays; another holder's renewal does not count.
    assert_eq!(work.renew(APP, "lb", &[id], LONG).await.unwrap(), [id]);
    assert!(work.renew(APP, "la", &[id], LONG).await.unwrap().is_empty());
    assert!(work.renew(APP, "lb", &[], LONG).await.unwrap().is_empty(), "what nobody works at");
    assert!(claim(work, "lc", &["leases"], 5, LONG).await.is_empty());
    assert!(work.release(&second.lease).await.unwrap());
    let [third] = &claim(work, "lc", &["leases"], 5, LONG).await[..] else { panic!() };
    assert_eq!(work.complete(std::slice::from_ref(&third.lease), Some(&json!({"r": 2}))).await.unwrap(), 1);
    let done = work.item(id).await.unwrap().unwrap();
    assert_eq!((done.state, done.outcome), (WorkState::Done, Some(json!({"r": 2}))));
    assert_eq!(work.enqueue(APP, &[keyed]).await.unwrap(), [None], "not even when it has ended");
}

async fn retries(work: &dyn WorkQueue) {
    let until = |deadline: Millis| Retry::Until { deadline, pause: Duration::from_millis(20) };
    let new = |deadline| NewWork { retry: until(deadline), ..NewWork::new("retries", Value::Null) };
    let id = work.enqueue(APP, &[new(at(60))]).await.unwrap()[0].unwrap();
    let first = claim(work, "a", &["retries"], 1, LONG).await.pop().unwrap();
    assert!(work.begin(&first.lease, &json!({"sent": 3}), LONG).await.unwrap());
    let next = work.fail(&first.lease, &json!("no")).await.unwrap().unwrap();
    assert!(next <= Millis(Millis::now().0 + 1000));
    let second = taken_over(work, "b", "retries").await;
    // It goes on where the first one was.
    assert_eq!((second.item.progress.clone(), second.lease.attempt), (Some(json!({"sent": 3})), 2));
    // A holder that dies in the middle is followed by another one.
    assert!(work.begin(&second.lease, &json!({"sent": 5}), Duration::ZERO).await.unwrap());
    let third = taken_over(work, "c", "retries").await;
    assert_eq!(third.item.progress, Some(json!({"sent": 5})));
    work.complete(std::slice::from_ref(&third.lease), None).await.unwrap();
    assert_eq!(state(work, id).await, WorkState::Done);
    // No attempt after the deadline.
    let id = work.enqueue(APP, &[new(Millis(Millis::now().0 + 5_000))]).await.unwrap()[0].unwrap();
    let mut only = claim(work, "a", &["retries"], 1, LONG).await.pop().unwrap();
    only.lease.pause = Some(Duration::from_secs(60));
    assert_eq!(work.fail(&only.lease, &json!("no")).await.unwrap(), None);
    assert_eq!(state(work, id).await, WorkState::Failed);
    let id = work.enqueue(APP, &[new(Millis(Millis::now().0 - 1))]).await.unwrap()[0].unwrap();
    assert!(claim(work, "a", &["retries"], 1, LONG).await.is_empty());
    let lost = work.lost(APP, &["retries"]).await.unwrap();
    assert_eq!(lost.iter().map(|item| item.id).collect::<Vec<_>>(), [id]);
}

async fn what_must_not_be_repeated(work: &dyn WorkQueue) {
    let begun = Begun { holder: "a".into(), lease: Duration::ZERO, progress: json!({"status": "s"}) };
    let new = NewWork { begun: Some(begun), ..NewWork::new("once", Value::Null) };
    let id = work.enqueue(APP, &[new]).await.unwrap()[0].unwrap();
    let lost = wait::until_some("it to be lost", async || {
        assert!(claim(work, "b", &["once"], 1, LONG).await.is_empty());
        assert!(work.lost("other", &["once"]).await.unwrap().is_empty());
        work.lost(APP, &["once"]).await.unwrap().pop()
    })
    .await;
    assert_eq!((lost.id, lost.progress), (id, Some(json!({"status": "s"}))));
    assert!(work.lost(APP, &["once"]).await.unwrap().is_empty(), "told once");
    assert_eq!(state(work, id).await, WorkState::Failed);
}

async fn cancelling_and_forgetting(work: &dyn WorkQueue) {
    let new = |key: &str| NewWork { key: Some(key.into()), ..NewWork::new("cancel", Value::Null) };
    work.enqueue(APP, &[new("1"), new("2"), new("3")]).await.unwrap();
    let running = claim(work, "a", &["cancel"], 1, LONG).await.pop().unwrap();
    assert_eq!(work.cancel(APP, "cancel", Some(&["3".to_owned()])).await.unwrap(), 1);
    assert_eq!(work.cancel(APP, "cancel", None).await.unwrap(), 2);
    // Whoever runs it hears of that when it renews, and has no say any more.
    assert!(!work.renew(APP, "a", &[running.item.id], LONG).await.unwrap().contains(&running.item.id));
    assert!(!work.begin(&running.lease, &Value::Null, LONG).await.unwrap());
    assert!(claim(work, "a", &["cancel"], 5, LONG).await.is_empty());
    assert_eq!(work.forget(APP, "cancel", LONG).await.unwrap(), 0);
    let forgotten = wait::until_some("their time to be over", async || {
        let count = work.forget(APP, "cancel", Duration::ZERO).await.unwrap();
        (count > 0).then_some(count)
    });
    assert!(forgotten.await > 0);
}

async fn with_a_transaction(storage: &dyn StorageAdapter) {
    let work = storage.work_queue().unwrap();
    let new = |key: &str| NewWork { key: Some(key.into()), ..NewWork::new("tx", Value::Null) };
    let rolled_back = storage.begin().await.unwrap();
    rolled_back.work().unwrap().enqueue(APP, &[new("1")]).await.unwrap();
    rolled_back.rollback().await.unwrap();
    let dropped = storage.begin().await.unwrap();
    dropped.work().unwrap().enqueue(APP, &[new("1")]).await.unwrap();
    drop(dropped);
    let open = storage.begin().await.unwrap();
    let ids = open.work().unwrap().enqueue(APP, &[new("1"), new("2")]).await.unwrap();
    assert!(claim(work, "a", &["tx"], 5, LONG).await.is_empty(), "not before the commit");
    open.commit().await.unwrap();
    let claimed = claim(work, "a", &["tx"], 5, LONG).await;
    assert_eq!(claimed.iter().map(|claimed| Some(claimed.item.id)).collect::<Vec<_>>(), ids);
}

/// As job schedules do.
async fn items_that_come_back(work: &dyn WorkQueue) {
    let known = async |list: &[(&str, Millis)]| {
        let list: Vec<_> = list.iter().map(|(key, since)| ((*key).to_owned(), *since)).collect();
        work.marks(APP, "back", &list).await.unwrap()
    };
    // Written long before anybody ran schedules: up to now it counts as run.
    let marks = known(&[("old", Millis(0)), ("new", at(5))]).await;
    assert!(marks["old"].run_at > at(-1) && marks["old"].run_at <= at(1), "{marks:?}");
    assert!(marks["new"].run_at > at(4) && !marks["old"].is_open, "{marks:?}");
    assert_eq!(known(&[("old", Millis(0)), ("new", Millis(0))]).await, marks);

    let due = Millis(marks["old"].run_at.0 + 1);
    wait::until_some("the due time", async || (Millis::now() >= due).then_some(())).await;
    assert!(work.again(APP, "back", "old", due).await.unwrap());
    assert!(!work.again(APP, "back", "old", due).await.unwrap(), "one of those who ask");
    assert!(known(&[("old", Millis(0))]).await["old"].is_open);
    let holder: Arc<str> = "a".into();
    let keys = ["other".to_owned()];
    let others =
        Wanted { app: APP, queues: &["back"], keys: Some(&keys), holder: &holder, lease: LONG, most: 9 };
    assert!(work.claim(&others).await.unwrap().is_empty());
    let mine = claim(work, "a", &["back"], 9, LONG).await.pop().unwrap();
    assert!(work.begin(&mine.lease, &json!({"status": "s"}), LONG).await.unwrap());
    assert!(!work.again(APP, "back", "old", at(20)).await.unwrap(), "under way");
    assert!(!known(&[("old", Millis(0))]).await["old"].is_open);
    work.complete(std::slice::from_ref(&mine.lease), None).await.unwrap();
    assert!(!work.again(APP, "back", "old", due).await.unwrap(), "was run");
    assert!(work.again(APP, "back", "old", at(20)).await.unwrap());
    assert!(claim(work, "b", &["back"], 9, LONG).await.is_empty(), "not yet");
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&*MemoryAdapter::new()).await;
}

async fn adapter(database: &TestDatabase, prepared_statements: bool) -> Arc<PostgresAdapter> {
    let options = PostgresOptions { prepared_statements, ..PostgresOptions::new(&database.uri) };
    PostgresAdapter::connect(options).await.unwrap()
}

async fn postgres() -> (TestDatabase, Arc<PostgresAdapter>) {
    let database = TestDatabase::empty().await;
    let adapter = adapter(&database, true).await;
    adapter.initialize().await.unwrap();
    (database, adapter)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_conforms() {
    let (_database, adapter) = postgres().await;
    conforms(&*adapter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_conforms_without_prepared_statements() {
    let (database, _) = postgres().await;
    conforms(&*adapter(&database, false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_server_held_is_done_by_another() {
    let (database, one) = postgres().await;
    let two = adapter(&database, true).await;
    let retry = Retry::Until { deadline: at(60), pause: Duration::from_millis(1) };
    let items: Vec<_> = (0..20).map(|n| NewWork { retry, ..NewWork::new("push", json!(n)) }).collect();
    one.enqueue(APP, &items).await.unwrap();
    let lease = Duration::from_millis(300);
    let held = claim(&*one, "one", &["push"], 20, lease).await;
    assert_eq!(held.len(), 20);
    // It dies: nobody renews, nobody gives back.
    one.close().await;
    drop(one);
    assert!(claim(&*two, "two", &["push"], 20, LONG).await.is_empty(), "before the lease has run out");
    let taken = wait::until_some("the leases to run out", async || {
        let taken = claim(&*two, "two", &["push"], 20, LONG).await;
        (!taken.is_empty()).then_some(taken)
    })
    .await;
    assert_eq!(taken.len(), 20);
    let leases: Vec<_> = taken.into_iter().map(|claimed| claimed.lease).collect();
    assert_eq!(two.complete(&leases, None).await.unwrap(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_claimers_do_ten_thousand_items_once_each() {
    const ITEMS: usize = 10_000;
    let (database, writer) = postgres().await;
    let items: Vec<_> = (0..ITEMS).map(|n| NewWork::new(format!("q{}", n % 3), json!(n))).collect();
    let ids = writer.enqueue(APP, &items).await.unwrap();
    assert_eq!(ids.iter().flatten().count(), ITEMS);
    let claimers = (0..4).map(|n| {
        let uri = database.uri.clone();
        tokio::spawn(async move {
            let adapter = PostgresAdapter::connect(PostgresOptions::new(&uri)).await.unwrap();
            let mut done = Vec::new();
            loop {
                let claimed = claim(&*adapter, &format!("claimer {n}"), &["q0", "q1", "q2"], 90, LONG).await;
                if claimed.is_empty() {
                    return done;
                }
                let leases: Vec<_> = claimed.iter().map(|claimed| claimed.lease.clone()).collect();
                assert_eq!(adapter.complete(&leases, None).await.unwrap(), leases.len());
                done.extend(claimed.into_iter().map(|claimed| claimed.item.payload.as_u64().unwrap()));
            }
        })
    });
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    let mut workers = 0;
    for done in futures_util::future::join_all(claimers).await {
        let done = done.unwrap();
        workers += usize::from(!done.is_empty());
        done.into_iter().for_each(|n| *times.entry(n).or_default() += 1);
    }
    assert_eq!(times.len(), ITEMS);
    assert!(times.values().all(|count| *count == 1));
    assert!(workers > 1, "they share the work");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_before_are_taken_over() {
    let (database, _) = postgres().await;
    let client = database.connect().await;
    // As the database was before the migration.
    let down = include_str!("../../migrations/2026-11-28-000500_work/down.sql");
    let up = include_str!("../../migrations/2026-11-28-000500_work/up.sql");
    client.batch_execute(down).await.unwrap();
    let rows = "INSERT INTO parsimony.job_run (app, schedule, due, server, lease_until, status) VALUES \
        ('app', '', '2026-01-01', NULL, NULL, NULL), \
        ('app', 'ended', '2026-01-02', 'a', NULL, 'old'), \
        ('app', 'begun', '2026-01-03', 'a', now() - interval '1 minute', 'status'), \
        ('app', 'claimed', '2026-01-04', 'a', now() - interval '1 minute', NULL)";
    client.batch_execute(rows).await.unwrap();
    client.batch_execute(up).await.unwrap();
    let adapter = adapter(&database, true).await;
    let keys: Vec<_> = ["ended", "begun", "claimed"].map(|key| (key.to_owned(), at(0))).into();
    let marks = adapter.marks(APP, "schedule", &keys).await.unwrap();
    let due = |day: &str| Millis::parse(&format!("2026-01-{day}T00:00:00.000Z")).unwrap();
    assert_eq!((marks["ended"].run_at, marks["ended"].is_open), (due("02"), false));
    assert_eq!((marks["begun"].run_at, marks["begun"].is_open), (due("03"), false));
    assert_eq!((marks["claimed"].run_at, marks["claimed"].is_open), (due("04"), true));
    let lost = adapter.lost(APP, &["schedule"]).await.unwrap();
    assert_eq!(
        lost.iter().map(|item| item.progress.clone()).collect::<Vec<_>>(),
        [Some(json!({"status": "status"}))]
    );
    let claimed = claim(&*adapter, "b", &["schedule"], 9, LONG).await;
    assert_eq!(claimed.iter().map(|c| c.item.key.as_deref()).collect::<Vec<_>>(), [Some("claimed")]);
}

#[cfg(feature = "mongo")]
#[tokio::test(flavor = "multi_thread")]
async fn mongo_conforms() {
    use parsimony::storage::mongo::{MongoAdapter, MongoOptions};
    let Some(database) = crate::support::mongo::TestMongo::empty() else { return };
    let adapter = MongoAdapter::connect(MongoOptions::new(&database.uri)).await.unwrap();
    adapter.initialize().await.unwrap();
    conforms(&*adapter).await;
}
