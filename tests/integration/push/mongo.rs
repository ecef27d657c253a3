//! Pushes kept in MongoDB (SecantusDB).

use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};

use super::doubles::{Doubles, Reply};
use super::node::Node;
use super::{ios, token};
use crate::support::database::TestDatabase;
use crate::support::mongo::TestMongo;
use crate::support::wait;

/// A node on MongoDB. Its kind of database is the last option that counts.
struct OnMongo {
    mongo: TestMongo,
    unused: TestDatabase,
    doubles: Doubles,
}

impl OnMongo {
    async fn new() -> Option<Self> {
        let mongo = TestMongo::empty()?;
        Some(Self { mongo, unused: TestDatabase::empty().await, doubles: Doubles::start().await })
    }

    fn node(&self, mut more: Value) -> Node {
        more["databaseURI"] = self.mongo.uri.as_str().into();
        Node::start(&self.unused, &self.doubles, more)
    }

    async fn install_many(&self, node: &Node, count: i32) {
        node.install(json!({"deviceType": "embedded", "installationId": "none", "channels": ["x"], "badge": 0, "appIdentifier": "com.example.app"})).await;
        let now = DateTime::now();
        let row = |n: i32| {
            doc! {
                "_id": format!("row{n:07}"), "_created_at": now, "_updated_at": now, "installationId": format!("i{n}"),
                "deviceType": "ios", "deviceToken": format!("{n:064x}"), "appIdentifier": "com.example.app",
                "channels": ["all"], "badge": 0,
            }
        };
        let rows: Vec<Document> = (1..=count).map(row).collect();
        self.mongo.database().await.collection("_Installation").insert_many(rows).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "with counted badges SecantusDB takes longer than a lease: devices are sent to twice"]
async fn every_page_is_sent_once_and_badges_are_each_devices_own() {
    let Some(place) = OnMongo::new().await else { return };
    let node = place.node(json!({}));
    place.install_many(&node, 634).await;
    let status = node.send(json!({"channels": ["all"], "data": {"alert": "hi", "badge": "Increment"}})).await;
    assert_eq!((&status["numSent"], &status["sentPerType"]), (&json!(634), &json!({"ios": 634})));
    let ledger = place.doubles.ledger();
    assert_eq!(ledger.len(), 634);
    assert!(ledger.values().all(|count| *count == 1));
    assert!(place.doubles.seen().iter().all(|seen| seen.json()["aps"]["badge"] == 1));
}

#[tokio::test]
async fn two_servers_share_a_push_and_one_that_is_killed_loses_nobody() {
    const DEVICES: i32 = 1200;
    let Some(place) = OnMongo::new().await else { return };
    let (mut one, two) = (place.node(json!({})), place.node(json!({})));
    place.install_many(&one, DEVICES).await;
    place
        .doubles
        .script(|_| Some(Reply { delay: Duration::from_millis(40), ..Reply::new(200, json!(null)) }));
    let id = one.push(json!({"channels": ["all"], "data": {"alert": "hi"}})).await;
    wait::until_some("some of them", || async {
        (place.doubles.count() > DEVICES as usize / 5).then_some(())
    })
    .await;
    one.kill();
    let status = two.until(&id, "succeeded").await;
    let ledger = place.doubles.ledger();
    assert_eq!((ledger.len(), &status["numSent"]), (DEVICES as usize, &json!(DEVICES)));
    let repeats: usize = ledger.values().map(|count| count - 1).sum();
    assert!(repeats <= status["maybeRepeated"].as_u64().unwrap_or(0) as usize, "{repeats}");
}

#[tokio::test]
async fn results_reasons_opens_and_the_log_are_kept() {
    let Some(place) = OnMongo::new().await else { return };
    let node = place.node(json!({"push": super::with_log()}));
    node.install(ios(1)).await;
    node.install(ios(2)).await;
    place.doubles.script(|seen| seen.path.ends_with(&token(2)).then(|| Reply::apns(410, "Unregistered")));
    let status = node.send(json!({"where": {}, "data": {"alert": "hi"}})).await;
    assert_eq!((&status["numSent"], &status["numFailed"]), (&json!(1), &json!(1)), "{status}");
    let id = status["objectId"].as_str().unwrap();
    let report = node.report(id).await;
    assert_eq!(report["reasons"], json!({"Unregistered": 1}), "{report}");
    let found = node
        .master
        .find_at("/parse/classes/_Installation", json!({"where": {"installationId": "i2"}}))
        .await
        .ok();
    assert!(found["results"][0].get("deviceToken").is_none(), "{found}");
}

#[tokio::test]
async fn a_push_is_scheduled_repeated_and_cancelled() {
    let Some(place) = OnMongo::new().await else { return };
    let (one, two) = (place.node(json!({})), place.node(json!({})));
    one.install(ios(1)).await;
    let at = (chrono::Utc::now() + chrono::Duration::seconds(2))
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let later = one.push(json!({"where": {}, "push_time": at, "data": {"alert": "later"}})).await;
    assert_eq!(two.status(&later).await["status"], "scheduled");
    assert_eq!(two.until(&later, "succeeded").await["numSent"], 1);
    assert_eq!(place.doubles.seen().len(), 1);
    let never = (chrono::Utc::now() + chrono::Duration::hours(2))
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let never = one.push(json!({"where": {}, "push_time": never, "data": {"alert": "never"}})).await;
    two.master.put(&format!("/parse/push_status/{never}"), json!({"status": "cancelled"})).await.ok();
    assert_eq!(one.status(&never).await["status"], "cancelled");
    // Each second, once, whichever of the two does it.
    place.doubles.forget();
    let template = one.push(json!({"where": {}, "cron": "* * * * * *", "data": {"alert": "tick"}})).await;
    wait::until_some("three times", || async { (place.doubles.seen().len() >= 3).then_some(()) }).await;
    two.master.put(&format!("/parse/push_status/{template}"), json!({"status": "cancelled"})).await.ok();
    let of = json!({"where": {"source": "schedule"}, "order": "pushTime"});
    let pushes = one.master.find_at("/parse/classes/_PushStatus", of).await.ok();
    let times: Vec<&Value> =
        pushes["results"].as_array().unwrap().iter().map(|push| &push["pushTime"]).collect();
    let mut once = times.clone();
    once.dedup();
    assert_eq!(times, once, "each time once");
}
