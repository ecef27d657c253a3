//! Pushes while servers die and services fail.

use std::time::Duration;

use serde_json::json;

use super::doubles::{Doubles, Reply};
use super::node::{Node, install_many};
use super::start;
use crate::support::database::TestDatabase;
use crate::support::wait;

/// Devices that one server has in hand at most.
const IN_HAND: usize = 2000;

#[tokio::test]
async fn a_killed_server_loses_nobody_and_repeats_at_most_what_it_had_in_hand() {
    const DEVICES: usize = 10_000;
    let (database, doubles, mut node) = start(json!({})).await;
    install_many(&node, &database, DEVICES as i64).await;
    doubles.script(|_| Some(Reply { delay: Duration::from_millis(40), ..Reply::new(200, json!(null)) }));
    let id = node.push(json!({"where": {}, "data": {"alert": "hi"}})).await;
    wait::until_some("half of them", || async { (doubles.count() > DEVICES / 3).then_some(()) }).await;
    node.kill();
    let node = Node::start(&database, &doubles, json!({}));
    let status = node.until(&id, "succeeded").await;
    let ledger = doubles.ledger();
    assert_eq!(ledger.len(), DEVICES, "every device");
    let repeats: usize = ledger.values().map(|count| count - 1).sum();
    assert!(repeats <= IN_HAND, "{repeats}");
    assert_eq!(status["numSent"], DEVICES);
    let admitted = status["maybeRepeated"].as_u64().unwrap_or(0) as usize;
    assert!(repeats <= admitted && admitted <= IN_HAND, "{repeats} of {admitted}");
}

#[tokio::test]
async fn two_servers_share_a_push() {
    let (database, doubles, one) = start(json!({})).await;
    let _two = Node::start(&database, &doubles, json!({}));
    install_many(&one, &database, 5000).await;
    let id = one.push(json!({"where": {}, "data": {"alert": "hi"}})).await;
    let status = one.until(&id, "succeeded").await;
    assert_eq!(status["numSent"], 5000);
    let ledger = doubles.ledger();
    assert_eq!(ledger.len(), 5000);
    assert!(ledger.values().all(|count| *count == 1));
}

#[tokio::test]
async fn a_service_that_is_down_is_waited_for() {
    let database = TestDatabase::empty().await;
    let doubles = Doubles::start().await;
    doubles.set_down(true);
    let node = Node::start(&database, &doubles, json!({}));
    install_many(&node, &database, 700).await;
    let id = node.push(json!({"where": {}, "data": {"alert": "hi"}})).await;
    wait::until_some("it to be tried", || async { (node.report(&id).await["retried"] != 0).then_some(()) })
        .await;
    doubles.set_down(false);
    let status = node.until(&id, "succeeded").await;
    assert_eq!((&status["numSent"], &status["numFailed"]), (&json!(700), &json!(null)));
    assert!(doubles.ledger().values().all(|count| *count == 1));
}

#[tokio::test]
async fn an_installation_that_goes_while_it_is_sent_to_harms_nobody() {
    let (database, doubles, node) = start(json!({})).await;
    install_many(&node, &database, 20).await;
    let client = std::sync::Arc::new(database.connect().await);
    let tries = std::sync::atomic::AtomicUsize::new(0);
    doubles.script(move |_| {
        if tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
            let client = client.clone();
            tokio::spawn(async move { client.execute("DELETE FROM \"_Installation\"", &[]).await.unwrap() });
            return Some(Reply {
                delay: Duration::from_millis(300),
                ..Reply::apns(503, "ServiceUnavailable")
            });
        }
        None
    });
    let status = node.send(json!({"where": {}, "data": {"alert": "hi"}})).await;
    assert_eq!((&status["numSent"], &status["numFailed"]), (&json!(19), &json!(1)));
}
