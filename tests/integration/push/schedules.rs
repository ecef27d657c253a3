//! Pushes that are sent later, again and again, slowly, or not at all any more.

use std::time::Duration;

use serde_json::{Value, json};

use super::doubles::Doubles;
use super::node::{Node, install_many};
use super::{ios, start, token};
use crate::support::database::TestDatabase;
use crate::support::wait;

fn in_seconds(seconds: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now() + chrono::Duration::seconds(seconds)
}

#[tokio::test]
async fn a_time_is_kept_by_one_of_two_servers() {
    let (database, doubles, one) = start(json!({})).await;
    let two = Node::start(&database, &doubles, json!({}));
    one.install(ios(1)).await;
    let at = in_seconds(3).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let id = one.push(json!({"where": {}, "push_time": at, "data": {"alert": "later"}})).await;
    let status = two.status(&id).await;
    assert_eq!((&status["status"], &status["pushTime"]), (&json!("scheduled"), &json!(at)));
    assert_eq!(doubles.count(), 0);
    let status = two.until(&id, "succeeded").await;
    assert_eq!(status["numSent"], 1);
    assert!(chrono::Utc::now().to_rfc3339() >= at);
    assert_eq!(doubles.seen().len(), 1);
}

#[tokio::test]
async fn a_local_time_comes_to_each_zone_when_it_is_there() {
    let (_database, doubles, node) = start(json!({})).await;
    for (n, zone) in [(1, "Asia/Kolkata"), (2, "GMT+5:30"), (3, "America/New_York"), (4, "Nowhere/Land")] {
        let mut device = ios(n);
        device["timeZone"] = zone.into();
        node.install(device).await;
    }
    // In India it is that time in two seconds; in New York hours later; UTC too.
    let local = in_seconds(2) + chrono::Duration::minutes(330);
    let text = local.format("%Y-%m-%dT%H:%M:%S").to_string();
    let id = node.push(json!({"where": {}, "push_time": text, "data": {"alert": "good morning"}})).await;
    let status = wait::until_some("India to be reached", || async {
        let status = node.status(&id).await;
        (status["numSent"] == 2).then_some(status)
    })
    .await;
    assert_eq!(status["sentPerUTCOffset"], json!({"5:30": 2}), "{status}");
    assert_eq!(status["status"], "running");
    let mut reached: Vec<String> = doubles.ledger().into_keys().collect();
    reached.sort();
    assert_eq!(reached, [token(1), token(2)]);
    node.master.put(&format!("/parse/push_status/{id}"), json!({"status": "cancelled"})).await.ok();
    assert_eq!(node.status(&id).await["status"], "cancelled");
}

#[tokio::test]
async fn cron_is_kept_once_by_two_servers() {
    let (database, doubles, one) = start(json!({})).await;
    let _two = Node::start(&database, &doubles, json!({}));
    one.install(ios(1)).await;
    let id = one.push(json!({"where": {}, "cron": "* * * * * *", "data": {"alert": "tick"}})).await;
    wait::until_some("three times", || async { (doubles.seen().len() >= 3).then_some(()) }).await;
    one.master.put(&format!("/parse/push_status/{id}"), json!({"status": "cancelled"})).await.ok();
    let of = json!({"where": {"source": "schedule"}, "order": "pushTime"});
    let pushes = one.master.find_at("/parse/classes/_PushStatus", of).await.ok();
    let times: Vec<&str> =
        pushes["results"].as_array().unwrap().iter().map(|push| push["pushTime"].as_str().unwrap()).collect();
    let mut once = times.clone();
    once.dedup();
    assert_eq!(times, once, "each time once");
    let wrong = one.master.post("/parse/push", json!({"where": {}, "cron": "whenever", "data": {}})).await;
    assert_eq!(wrong.error().1, 115);
}

#[tokio::test]
async fn a_push_goes_slowly_is_held_and_goes_on() {
    let (database, doubles, node) = start(json!({})).await;
    install_many(&node, &database, 100).await;
    let id = node.push(json!({"where": {}, "rate": 10, "data": {"alert": "slowly"}})).await;
    wait::until_some("it to begin", || async { (doubles.count() >= 20).then_some(()) }).await;
    let change = async |status: &str| {
        node.master.put(&format!("/parse/push_status/{id}"), json!({"status": status})).await
    };
    change("paused").await.ok();
    assert_eq!(node.status(&id).await["status"], "paused");
    let held = doubles.count();
    assert!(held < 100);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(doubles.count() <= held + 10, "one page may have been under way");
    change("running").await.ok();
    let status = node.until(&id, "succeeded").await;
    assert_eq!(status["numSent"], 100);
    assert!(doubles.ledger().values().all(|count| *count == 1));
    assert_eq!(change("paused").await.error().1, 142);
    assert_eq!(change("nonsense").await.error().1, 107);
}

#[tokio::test]
async fn a_disabled_worker_leaves_pushes_to_others() {
    let database = TestDatabase::empty().await;
    let doubles = Doubles::start().await;
    let mut push = super::node::senders();
    push["queueOptions"] = json!({"disablePushWorker": true});
    let front = Node::start(&database, &doubles, json!({"push": push}));
    front.install(ios(1)).await;
    let id = front.push(json!({"where": {}, "data": {"alert": "hi"}})).await;
    let worker = Node::start(&database, &doubles, json!({}));
    assert_eq!(worker.until(&id, "succeeded").await["numSent"], 1);
    let _: Value = front.status(&id).await;
}

#[tokio::test]
async fn a_thousand_times_that_come_at_once_are_all_kept() {
    const PUSHES: usize = 1000;
    let (_database, doubles, node) = start(json!({})).await;
    node.install(ios(1)).await;
    let at = in_seconds(15).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let body = json!({"where": {}, "push_time": at, "data": {"alert": "now"}});
    let all: Vec<usize> = (0..PUSHES).collect();
    for chunk in all.chunks(50) {
        futures_util::future::join_all(chunk.iter().map(|_| node.push(body.clone()))).await;
    }
    // Each has its time: a busy machine sends a thousand in more than a minute.
    wait::until_some("the first half", || async { (doubles.count() >= PUSHES / 2).then_some(()) }).await;
    wait::until_some("all of them", || async { (doubles.count() >= PUSHES).then_some(()) }).await;
    let open = json!({"where": {"status": {"$ne": "succeeded"}}, "count": 1, "limit": 0});
    wait::until_some("their ends", || async {
        let left = node.master.find_at("/parse/classes/_PushStatus", open.clone()).await.ok();
        (left["count"] == 0).then_some(())
    })
    .await;
    assert_eq!(doubles.count(), PUSHES, "each once");
}
