//! Pushes through the program itself: accepted, sent to doubles of the services, counted.

mod doubles;
mod faults;
#[cfg(feature = "mongo")]
mod mongo;
mod node;
mod schedules;

use std::time::Duration;

use serde_json::{Value, json};

use self::doubles::{APNS, Doubles, EXPO, FCM, OAUTH, Reply, SANDBOX};
use self::node::{Node, install_many};
use crate::support::database::TestDatabase;
use crate::support::wait;

/// A token of APNs.
fn token(n: u32) -> String {
    format!("{n:064x}")
}

fn ios(n: u32) -> Value {
    json!({"deviceType": "ios", "deviceToken": token(n), "appIdentifier": "com.example.app", "installationId": format!("i{n}")})
}

async fn start(more: Value) -> (TestDatabase, Doubles, Node) {
    let database = TestDatabase::empty().await;
    let doubles = Doubles::start().await;
    let node = Node::start(&database, &doubles, more);
    (database, doubles, node)
}

#[tokio::test]
async fn each_kind_of_device_has_its_service() {
    let (_database, doubles, node) = start(json!({})).await;
    node.install(ios(1)).await;
    node.install(json!({"deviceType": "tvos", "deviceToken": token(2), "appIdentifier": "com.example.app", "installationId": "t"})).await;
    node.install(json!({"deviceType": "android", "deviceToken": "fcm-1", "installationId": "a"})).await;
    node.install(
        json!({"deviceType": "ios", "pushType": "fcm", "deviceToken": "fcm-2", "installationId": "b"}),
    )
    .await;
    node.install(json!({"deviceType": "android", "pushType": "expo", "deviceToken": "ExponentPushToken[1]", "installationId": "e"})).await;
    node.install(json!({"deviceType": "web", "deviceToken": "{}", "installationId": "w"})).await;
    node.install(json!({"deviceType": "ios", "installationId": "without"})).await;
    let status = node
        .send(json!({
            "where": {}, "expiration_time": 4_000_000_000_u64, "collapse_id": "c",
            "data": {"alert": "hi", "title": "t", "badge": 7, "sound": "s", "custom": {"a": 1}},
        }))
        .await;
    assert_eq!(status["numSent"], 5.0 as i64);
    assert_eq!(status["sentPerType"], json!({"ios": 2, "tvos": 1, "android": 2}), "{status}");
    // The subscription is none.
    assert_eq!(status["failedPerType"], json!({"web": 1}));
    let apple = doubles.of(SANDBOX);
    assert_eq!(apple.len(), 2);
    for seen in &apple {
        assert_eq!(
            seen.json(),
            json!({"aps": {"alert": {"body": "hi", "title": "t"}, "badge": 7, "sound": "s"}, "custom": {"a": 1}})
        );
        for (name, value) in [
            ("apns-topic", "com.example.app"),
            ("apns-push-type", "alert"),
            ("apns-priority", "10"),
            ("apns-expiration", "4000000000"),
            ("apns-collapse-id", "c"),
        ] {
            assert_eq!(seen.headers[name], value);
        }
    }
    assert_eq!(apple[0].headers["authorization"], apple[1].headers["authorization"], "one token for a key");
    assert_eq!(doubles.of(OAUTH).len(), 1, "one token for all");
    let google = doubles.of(FCM);
    let android = &google[0].json()["message"]["android"];
    assert_eq!(android["priority"], "high");
    assert_eq!(android["ttl"], "2419200s");
    let data: Value = serde_json::from_str(android["data"]["data"].as_str().unwrap()).unwrap();
    assert_eq!(data, json!({"alert": "hi", "title": "t", "sound": "s", "custom": {"a": 1}}));
    let expo = doubles.of(EXPO);
    assert_eq!(expo[0].headers["authorization"], "Bearer expo-secret");
    assert_eq!(
        expo[0].json(),
        json!([{"to": "ExponentPushToken[1]", "body": "hi", "title": "t", "badge": 7, "sound": "s", "custom": {"a": 1}}])
    );
    assert!(doubles.of(APNS).is_empty());
}

#[tokio::test]
async fn the_status_is_parse_servers() {
    let (_database, _doubles, node) = start(json!({})).await;
    let nobody = node.send(json!({"channels": ["a"], "data": {"alert": "hi"}})).await;
    for (key, value) in [
        ("query", json!(r#"{"channels":{"$in":["a"]}}"#)),
        ("payload", json!(r#"{"alert":"hi"}"#)),
        ("source", json!("rest")),
        ("numSent", json!(0)),
        ("pushHash", json!("49f68a5c8493ec2c0bf489821c21fc3b")),
        ("ACL", json!({})),
    ] {
        assert_eq!(nobody[key], value, "{key}");
    }
    assert_eq!((&nobody["count"], &nobody["numFailed"]), (&Value::Null, &Value::Null));
    node.install(ios(1)).await;
    let one = node.send(json!({"where": {"deviceType": "ios"}, "data": {"alert": {"body": "x"}}})).await;
    assert_eq!((&one["numSent"], &one["count"]), (&json!(1), &Value::Null));
    // What can never be asked is found out afterwards, and told in the status.
    let id = node.push(json!({"where": {"deviceType": {"$foo": 1}}, "data": {"alert": "x"}})).await;
    let failed = node.until(&id, "failed").await;
    assert_eq!(failed["errorMessage"]["code"], 107, "{failed}");
    let id = node.push(json!({"where": null, "data": {"alert": "x"}})).await;
    let failed = node.until(&id, "failed").await;
    assert_eq!(
        (&failed["query"], &failed["errorMessage"]["code"]),
        (&json!("null"), &json!(102)),
        "{failed}"
    );
    let server = node.master.get("/parse/serverInfo").await.ok();
    assert_eq!(server["features"]["push"]["immediatePush"], true);
    assert_eq!(server["features"]["push"]["scheduledPush"], true);
}

#[tokio::test]
async fn what_parse_server_refuses_is_refused() {
    let (_database, doubles, node) = start(json!({"readOnlyMasterKey": "reader"})).await;
    let text = async |body: Value| {
        let answer = node.master.post("/parse/push", body).await;
        let (status, code, text) = answer.error();
        assert_eq!((status, code), (400, 115), "{}", answer.text);
        text.to_owned()
    };
    let both = text(json!({"where": {}, "channels": [], "data": {}})).await;
    assert_eq!(both, "Channels and query can not be set at the same time.");
    let neither = text(json!({"data": {}})).await;
    assert_eq!(neither, "Sending a push requires either \"channels\" or a \"where\" query.");
    let time = text(json!({"where": {}, "expiration_time": "x"})).await;
    assert_eq!(time, "x is not valid time.");
    let badge = text(json!({"where": {}, "data": {"badge": "x"}})).await;
    assert_eq!(badge, "Invalid value for badge, expected number or 'Increment' or {increment: number}");
    let reader = node.client(&[("X-Parse-Master-Key", "reader")]);
    assert_eq!(reader.post("/parse/push", json!({"where": {}, "data": {}})).await.error().1, 119);
    assert_eq!(node.client(&[]).post("/parse/push", json!({"where": {}, "data": {}})).await.status, 403);
    assert!(doubles.seen().is_empty());
}

#[tokio::test]
async fn every_page_is_sent_once_and_badges_are_each_devices_own() {
    let (database, doubles, node) = start(json!({})).await;
    install_many(&node, &database, 1234).await;
    let status = node.send(json!({"channels": ["all"], "data": {"alert": "hi", "badge": "Increment"}})).await;
    assert_eq!((&status["numSent"], &status["sentPerType"]), (&json!(1234), &json!({"ios": 1234})));
    let ledger = doubles.ledger();
    assert_eq!(ledger.len(), 1234);
    assert!(ledger.values().all(|count| *count == 1));
    assert!(doubles.seen().iter().all(|seen| seen.json()["aps"]["badge"] == 1));
    let client = database.connect().await;
    client
        .execute("UPDATE \"_Installation\" SET badge = 5 WHERE \"installationId\" = 'i7'", &[])
        .await
        .unwrap();
    doubles.forget();
    let increment = json!({"__op": "Increment", "amount": 2});
    node.send(json!({"where": {"installationId": {"$in": ["i7", "i8"]}}, "data": {"badge": increment}}))
        .await;
    let mut badges: Vec<i64> =
        doubles.seen().iter().map(|seen| seen.json()["aps"]["badge"].as_i64().unwrap()).collect();
    badges.sort_unstable();
    assert_eq!(badges, [3, 7]);
}

#[tokio::test]
async fn each_device_gets_its_language() {
    let (_database, doubles, node) = start(json!({})).await;
    for (n, locale) in [(1, "fr-CA"), (2, "de"), (3, "pt-BR")] {
        let mut device = ios(n);
        device["localeIdentifier"] = locale.into();
        node.install(device).await;
    }
    node.send(json!({"where": {}, "data": {"alert": "hi", "alert-fr": "salut", "title-pt": "olá"}})).await;
    let of = |n| {
        let seen = doubles.seen().into_iter().find(|seen| seen.token() == token(n)).unwrap();
        seen.json()["aps"]["alert"].clone()
    };
    assert_eq!([of(1), of(2), of(3)], [json!("salut"), json!("hi"), json!({"body": "hi", "title": "olá"})]);
}

#[tokio::test]
async fn dead_tokens_are_removed_unless_the_device_has_a_new_one() {
    let (database, doubles, node) = start(json!({"push": with_log()})).await;
    let gone = node.install(ios(1)).await;
    let renewed = node.install(ios(2)).await;
    let client = database.connect().await;
    let (client, id) = (std::sync::Arc::new(client), renewed.clone());
    doubles.script(move |seen| {
        if seen.token() == token(2) {
            // It registers anew while APNs still answers for the old token.
            let (client, id) = (client.clone(), id.clone());
            tokio::spawn(async move {
                let sql = "UPDATE \"_Installation\" SET \"deviceToken\" = 'abcdef01' WHERE \"objectId\" = $1";
                client.execute(sql, &[&id]).await.unwrap();
            });
            return Some(Reply { delay: Duration::from_millis(300), ..Reply::apns(410, "Unregistered") });
        }
        Some(Reply::apns(400, "BadDeviceToken"))
    });
    let status = node.send(json!({"where": {}, "data": {"alert": "hi"}})).await;
    assert_eq!((&status["numSent"], &status["numFailed"]), (&json!(0), &json!(2)));
    let token_of = async |id: &str| {
        node.master.get(&format!("/parse/classes/_Installation/{id}")).await.ok()["deviceToken"].clone()
    };
    assert_eq!(token_of(&gone).await, Value::Null);
    assert_eq!(token_of(&renewed).await, "abcdef01");
    let report = node.report(status["objectId"].as_str().unwrap()).await;
    assert_eq!(report["reasons"], json!({"BadDeviceToken": 1, "Unregistered": 1}));
    assert_eq!(report["deliveries"].as_array().unwrap().len(), 2, "{report}");
    assert!(!report.to_string().contains(&token(1)), "{report}");
}

fn with_log() -> Value {
    let mut push = node::senders();
    push["deliveryLog"] = true.into();
    push
}

#[tokio::test]
async fn what_may_pass_is_tried_again_when_the_service_says() {
    let (_database, doubles, node) = start(json!({"push": with_log()})).await;
    for n in 1..=4 {
        node.install(ios(n)).await;
    }
    let tries = std::sync::Mutex::new(std::collections::HashMap::<String, usize>::new());
    doubles.script(move |seen| {
        let mut tries = tries.lock().unwrap();
        let count = tries.entry(seen.token()).or_default();
        *count += 1;
        if *count > 1 {
            return None;
        }
        match seen.token().chars().last().unwrap() {
            '1' => Some(Reply::apns(429, "TooManyRequests")),
            '2' => Some(Reply {
                headers: vec![("retry-after", "1".into())],
                ..Reply::apns(503, "ServiceUnavailable")
            }),
            '3' => Some(Reply::apns(403, "ExpiredProviderToken")),
            _ => Some(Reply::apns(500, "InternalServerError")),
        }
    });
    let status = node.send(json!({"where": {}, "data": {"alert": "hi"}})).await;
    assert_eq!((&status["numSent"], &status["numFailed"]), (&json!(4), &Value::Null));
    let report = node.report(status["objectId"].as_str().unwrap()).await;
    assert_eq!(report["retried"], 3, "{report}");
    assert!(doubles.ledger().values().all(|count| *count == 2));
}

#[tokio::test]
async fn headers_cannot_be_smuggled_and_tokens_are_no_paths() {
    let (_database, doubles, node) = start(json!({})).await;
    node.install(ios(1)).await;
    let mut device = ios(2);
    device["deviceToken"] = "../../1/apps/com.example.app/channels".into();
    node.install(device).await;
    let smuggled =
        node.send(json!({"where": {}, "collapse_id": "a\r\nx-evil: 1", "data": {"alert": "hi"}})).await;
    assert_eq!(smuggled["numFailed"], 2);
    assert!(doubles.seen().is_empty());
    let status = node.send(json!({"where": {}, "data": {"alert": "hi"}})).await;
    assert_eq!((&status["numSent"], &status["numFailed"]), (&json!(1), &json!(1)));
    let bomb = json!({"where": {}, "data": {"alert": "x".repeat(100_000)}});
    assert_eq!(node.master.post("/parse/push", bomb).await.error().1, 115);
}

#[tokio::test]
async fn web_push_goes_to_public_addresses_and_opened_networks_only() {
    let keys = json!({
        "p256dh": "BMUOlpjGp9miUVIklF_h06uaOI6oYsqlWnvDXDb4QY2s6eK2b-5Y-n177--1tBu3ZUZM9bqWhE0H5XHN7uF1eXA",
        "auth": "qfc6b8VFJNzEl7MFQtCBZA",
    });
    let database = TestDatabase::empty().await;
    let doubles = Doubles::start().await;
    let device = |n: u32, endpoint: &str| {
        let subscription = json!({"endpoint": endpoint, "keys": keys}).to_string();
        json!({"deviceType": "web", "deviceToken": subscription, "installationId": format!("w{n}")})
    };
    let own = format!("https://127.0.0.1:{}/push/1", doubles.address.port());
    let closed = Node::start(&database, &doubles, json!({}));
    closed.install(device(1, &own)).await;
    closed.install(device(2, "http://127.0.0.1/plain")).await;
    closed.install(device(3, "https://169.254.169.254/latest")).await;
    let status = closed.send(json!({"where": {}, "data": {"alert": "hi"}})).await;
    assert_eq!((&status["numSent"], &status["numFailed"]), (&json!(0), &json!(3)));
    assert_eq!(doubles.count(), 0);
    drop(closed);
    let open = Node::start(&database, &doubles, json!({"outboundAllowedNetworks": ["127.0.0.0/8"]}));
    let status = open
        .send(json!({"where": {"installationId": "w1"}, "data": {"alert": "hi"}, "expiration_interval": 60}))
        .await;
    assert_eq!(status["numSent"], 1);
    let seen = &doubles.seen()[0];
    assert_eq!(seen.headers["content-encoding"], "aes128gcm");
    assert_eq!(seen.headers["urgency"], "normal");
    assert!(seen.headers["ttl"].parse::<u32>().unwrap() <= 60);
    assert!(seen.headers["authorization"].starts_with("vapid t=ey"));
    assert!(seen.body.len() > 86 + 16);
    doubles.script(|_| Some(Reply::new(410, Value::Null)));
    let status = open.send(json!({"where": {"installationId": "w1"}, "data": {"alert": "hi"}})).await;
    assert_eq!(status["failedPerType"], json!({"web": 1}));
    let left =
        open.master.find_at("/parse/classes/_Installation", json!({"where": {"installationId": "w1"}})).await;
    assert_eq!(left.ok()["results"][0]["deviceToken"], Value::Null);
}

#[tokio::test]
async fn an_opened_app_counts_once() {
    let (_database, _doubles, node) = start(json!({})).await;
    node.install(ios(1)).await;
    let status = node.send(json!({"where": {}, "data": {"alert": "hi"}})).await;
    let id = status["objectId"].as_str().unwrap().to_owned();
    let device = node.client(&[("X-Parse-Installation-Id", "i1")]);
    for _ in 0..2 {
        device.post("/parse/push/opened", json!({"pushId": id})).await.ok();
        device.post("/parse/events/AppOpened", json!({"push_hash": status["pushHash"]})).await.ok();
    }
    node.client(&[("X-Parse-Installation-Id", "nobody")])
        .post("/parse/push/opened", json!({"pushId": id}))
        .await
        .ok();
    assert_eq!(node.report(&id).await["opened"], 1);
    assert_eq!(node.client(&[]).post("/parse/push/opened", json!({"pushId": id})).await.error().1, 107);
    let _ = wait::PATIENCE;
}

#[tokio::test]
async fn an_audience_is_counted() {
    let (_database, _doubles, node) = start(json!({})).await;
    let made = node.master.post("/parse/push_audiences", json!({"name": "a", "query": "{}"})).await.ok();
    let id = made["objectId"].as_str().unwrap().to_owned();
    node.send(json!({"where": {}, "audience_id": id, "data": {"alert": "hi"}})).await;
    let audience = node.master.get(&format!("/parse/push_audiences/{id}")).await.ok();
    assert_eq!((&audience["timesUsed"], &audience["query"]), (&json!(1), &json!({})));
    assert_eq!(audience["lastUsed"]["__type"], "Date");
}
