//! What one client, or one address, may take from live queries: it is refused what is beyond, the others
//! are not, and what it gives back is there again.

use std::collections::HashSet;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::http_cloud::folder_with;
use crate::live_query::live_options;
use crate::support::live::Live;
use crate::support::server::TestServer;
use crate::support::wait::PATIENCE;
use crate::users_sign_up::sign_up;

fn limited(limits: Value) -> Value {
    live_options(json!({ "liveQueryServerOptions": limits }))
}

/// A query that takes at least so many bytes.
fn large(bytes: usize) -> Value {
    json!({ "className": "LiveLarge", "where": { "text": "x".repeat(bytes) } })
}

/// How many of these are taken until one is refused; what is said then.
async fn until_refused(live: &mut Live, query: impl Fn(usize) -> Value) -> (usize, Value) {
    for taken in 0..20_000 {
        let answer = live.try_subscribe(query(taken)).await;
        if answer["op"] == "error" {
            return (taken, answer);
        }
    }
    panic!("nothing was refused");
}

fn text_of(answer: &Value) -> (i64, &str) {
    (answer["code"].as_i64().unwrap(), answer["error"].as_str().unwrap())
}

#[actix_web::test]
async fn memory_is_bounded_for_a_subscription_a_client_an_address_and_all() {
    let server = TestServer::with(limited(json!({
        "maxSubscriptionBytes": 100_000, "maxClientBytes": 300_000, "maxAddressBytes": 450_000,
    })))
    .await;
    let mut one = Live::anonymous(&server).await;
    let answer = one.try_subscribe(large(100_000)).await;
    assert_eq!(text_of(&answer), (155, "A subscription may take 100000 bytes"));
    // Small as text, large in memory.
    let many = json!({ "className": "LiveLarge", "where": { "n": { "$in": vec![1; 10_000] } } });
    assert_eq!(text_of(&one.try_subscribe(many).await).0, 155);
    let (taken, answer) = until_refused(&mut one, |_| large(40_000)).await;
    assert!((2..=4).contains(&taken), "{taken}");
    assert_eq!(text_of(&answer), (155, "The subscriptions of this client take too much memory"));
    let mut two = Live::anonymous(&server).await;
    let (taken, answer) = until_refused(&mut two, |_| large(40_000)).await;
    assert!((1..=4).contains(&taken), "{taken}");
    assert_eq!(text_of(&answer), (155, "The subscriptions of this address take too much memory"));
    // What ends, or is replaced, makes room.
    one.say(json!({ "op": "unsubscribe", "requestId": 4 })).await;
    assert_eq!(one.hear().await["op"], "unsubscribed");
    assert_eq!(two.try_subscribe(large(40_000)).await["op"], "subscribed");
    for _ in 0..20 {
        let query = large(10_000);
        two.say(json!({ "op": "update", "requestId": 2, "query": query })).await;
        assert_eq!(two.hear().await["op"], "subscribed");
    }
    drop(one);
    // The end of a connection is noticed a moment later.
    let mut three = Live::anonymous(&server).await;
    let freed = async { while three.try_subscribe(large(45_000)).await["op"] == "error" {} };
    tokio::time::timeout(PATIENCE, freed).await.expect("what was held is given back");
}

#[actix_web::test]
async fn every_invented_class_is_charged() {
    let server = TestServer::with(limited(json!({ "maxClientBytes": 1_000_000 }))).await;
    let mut live = Live::anonymous(&server).await;
    let (taken, answer) =
        until_refused(&mut live, |n| json!({ "className": format!("LiveMade{n}"), "where": {} })).await;
    assert!(taken < 300, "{taken} classes");
    assert_eq!(text_of(&answer).0, 155);
    // Of a class that is listened to there is room for more.
    assert_eq!(
        live.try_subscribe(json!({ "className": "LiveMade0", "where": {} })).await["op"],
        "subscribed"
    );
}

#[actix_web::test]
async fn what_is_refused_holds_nothing() {
    let server = TestServer::with(limited(json!({ "maxClientBytes": 100_000 }))).await;
    let mut live = Live::anonymous(&server).await;
    for n in 0..100 {
        let broken = json!({ "className": format!("LiveBroken{n}"), "where": { "a": { "$regex": "[" } } });
        assert_eq!(live.try_subscribe(broken).await["op"], "error");
        assert_eq!(live.try_subscribe(large(200_000)).await["op"], "error");
    }
    for n in 0..100 {
        let class = format!("LiveEnded{n}");
        let id = live.subscribe(&class, json!({ "n": n })).await;
        live.say(json!({ "op": "unsubscribe", "requestId": id })).await;
        assert_eq!(live.hear().await["op"], "unsubscribed");
    }
    assert_eq!(live.try_subscribe(large(45_000)).await["op"], "subscribed");
}

/// Each regular expression takes what it takes compiled, not what its text says.
#[actix_web::test]
async fn large_expressions_weigh_what_they_take() {
    let server = TestServer::with(limited(json!({ "maxClientBytes": 4_000_000 }))).await;
    let mut live = Live::anonymous(&server).await;
    let pattern = |n| json!({ "className": "LiveRegex", "where": { "a": { "$regex": format!("^{n}{}", "[a-z]{250}".repeat(4)) } } });
    let (taken, answer) = until_refused(&mut live, pattern).await;
    assert!(taken < 100, "{taken}");
    assert_eq!(text_of(&answer).0, 155);
}

#[actix_web::test]
async fn sub_queries_of_one_shut_out_nobody() {
    let server = TestServer::with(live_options(json!({}))).await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    server.master().post("/classes/LiveInner", json!({ "n": 1 })).await.ok();
    let asking = |n: usize| {
        let inner = json!({ "className": "LiveInner", "where": { "n": n } });
        json!({ "className": "LiveOuter", "where": { "to": { "$inQuery": inner } } })
    };
    let mut greedy = Live::anonymous(&server).await;
    let (taken, answer) = until_refused(&mut greedy, asking).await;
    assert!((10..200).contains(&taken), "{taken}");
    let text = "Too many different live queries with sub-queries of one client are open on class LiveOuter";
    assert_eq!(text_of(&answer), (155, text));
    // A query that is there already costs nothing more.
    let mut other = Live::anonymous(&server).await;
    assert_eq!(other.try_subscribe(asking(0)).await["op"], "subscribed");
    // Not even all sockets of an address shut out somebody who is logged in.
    let mut sockets = Vec::new();
    let mut next = 1_000;
    let refused = loop {
        let mut more = Live::anonymous(&server).await;
        let (taken, _) = until_refused(&mut more, |n| asking(next + n)).await;
        next += 1_000;
        sockets.push(more);
        if taken == 0 {
            break sockets.len();
        }
        assert!(sockets.len() < 20);
    };
    assert!(refused > 1, "more than one socket of an address is served");
    let mut ann = Live::session(&server, &token).await;
    assert_eq!(ann.try_subscribe(asking(900)).await["op"], "subscribed");
    drop(sockets);
    drop(greedy);
    let mut late = Live::anonymous(&server).await;
    let freed = async { while late.try_subscribe(asking(950)).await["op"] == "error" {} };
    tokio::time::timeout(PATIENCE, freed).await.expect("what was held is given back");
}

async fn status(server: &TestServer) -> u16 {
    match connect_async(format!("ws://{}/", server.address)).await {
        Ok(_) => 101,
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{other}"),
    }
}

#[actix_web::test]
async fn sockets_are_bounded() {
    for (limits, refusal) in [
        (json!({ "maxConnectionsPerAddress": 3 }), 429),
        (json!({ "maxConnections": 3, "maxConnectionsPerAddress": 100 }), 503),
    ] {
        let server = TestServer::with(limited(limits)).await;
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(Live::anonymous(&server).await);
        }
        assert_eq!(status(&server).await, refusal);
        server.anonymous().get("/health").await.ok();
        drop(open.pop());
        let freed = async { while status(&server).await != 101 {} };
        tokio::time::timeout(PATIENCE, freed).await.expect("a socket that ended makes room");
    }
}

#[actix_web::test]
async fn forwarded_addresses_count_behind_a_trusted_proxy_only() {
    for (trust, others) in [(json!(1), 101), (json!(false), 429)] {
        let options =
            json!({ "liveQueryServerOptions": { "maxConnectionsPerAddress": 1 }, "trustProxy": trust });
        let server = TestServer::with(live_options(options)).await;
        let mut open = Vec::new();
        for (address, expected) in [("10.1.1.1", 101), ("10.1.1.1", 429), ("10.1.1.2", others)] {
            let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(
                format!("ws://{}/", server.address),
            )
            .unwrap();
            request.headers_mut().insert("X-Forwarded-For", address.parse().unwrap());
            let status = match connect_async(request).await {
                Ok((socket, _)) => {
                    open.push(socket);
                    101
                }
                Err(Error::Http(response)) => response.status().as_u16(),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(status, expected, "{address}, trusting {trust}");
        }
    }
}

/// The code with which the socket is closed.
async fn closed(live: &mut Live) -> u16 {
    loop {
        match live.next().await {
            Some(Message::Close(Some(frame))) => return frame.code.into(),
            Some(Message::Text(_)) => {}
            other => panic!("{other:?} instead of a close frame"),
        }
    }
}

#[actix_web::test]
async fn what_breaks_the_protocol_is_closed_at_once() {
    let server = TestServer::with(live_options(json!({}))).await;
    let header = |first: u8, length: u64| {
        let mut bytes = vec![first, 0x80 | 127];
        bytes.extend(length.to_be_bytes());
        bytes
    };
    for (bytes, code) in [
        // Headers alone: what they announce never comes.
        (header(0x89, 126), 1002),
        (header(0x8a, 1 << 20), 1002),
        (header(0x88, 1 << 40), 1002),
        (vec![0x09, 0x80, 0, 0, 0, 0], 1002),
        (header(0x81, 2 << 20), 1009),
        (header(0x82, u64::MAX), 1009),
        // Not masked, reserved bits, a continuation of nothing.
        (vec![0x81, 0x00], 1002),
        (vec![0xf1, 0x80, 0, 0, 0, 0], 1002),
        (vec![0x80, 0x80, 0, 0, 0, 0], 1002),
        // One message in parts without end.
        ([vec![0x01, 0x80, 0, 0, 0, 0], [0x00, 0x80, 0, 0, 0, 0].repeat(5_000)].concat(), 1008),
    ] {
        let mut live = Live::anonymous(&server).await;
        // It may be closed while this is still sent.
        let _ = live.socket().get_mut().write_all(&bytes).await;
        let _ = live.socket().get_mut().flush().await;
        assert_eq!(closed(&mut live).await, code, "{:?}", &bytes[..bytes.len().min(10)]);
    }
    let mut live = Live::anonymous(&server).await;
    live.subscribe("LiveStill", json!({})).await;
    server.anonymous().post("/classes/LiveStill", json!({})).await.ok();
    assert_eq!(live.hear().await["op"], "create");
}

#[actix_web::test]
async fn a_flood_of_pings_is_not_answered() {
    let server = TestServer::with(live_options(json!({}))).await;
    let mut usual = Live::anonymous(&server).await;
    for _ in 0..20 {
        usual.send(Message::Ping(b"are you there".to_vec().into())).await;
    }
    usual.subscribe("LivePing", json!({})).await;
    let mut flood = Live::anonymous(&server).await;
    for _ in 0..2_000 {
        let _ = flood.socket().feed(Message::Ping(vec![1; 100].into())).await;
    }
    let _ = flood.socket().flush().await;
    assert_eq!(closed(&mut flood).await, 1008);
    server.anonymous().post("/classes/LivePing", json!({})).await.ok();
    assert_eq!(usual.hear().await["op"], "create");
}

/// Ids of a server are one's own to keep and nobody's to make.
#[actix_web::test]
async fn ids_cannot_be_made() {
    let server = TestServer::with(live_options(json!({}))).await;
    let mut live = Live::connect(&server, json!({ "resumeAfter": "" })).await;
    let mut seen = HashSet::new();
    let answer = live.try_subscribe(json!({ "className": "LiveIds", "where": {} })).await;
    let id = answer["eventId"].as_str().unwrap().to_owned();
    seen.insert(id.clone());
    server.anonymous().post("/classes/LiveIds", json!({ "n": 1 })).await.ok();
    seen.insert(live.hear().await["eventId"].as_str().unwrap().to_owned());
    assert_eq!(seen.len(), 2);
    let (sealed, rest) = id.split_once('-').unwrap();
    let mut changed = sealed.as_bytes().to_vec();
    changed[10] = if changed[10] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for forged in [
        format!("{changed}-{rest}"),
        format!("-{rest}"),
        rest.to_owned(),
        format!("{}-0-0", "A".repeat(100)),
        "node-0-1700000000000000".to_owned(),
    ] {
        let mut other = Live::connect(&server, json!({ "resumeAfter": forged })).await;
        let answer = other.try_subscribe(json!({ "className": "LiveIds", "where": {} })).await;
        assert_eq!(answer["resumed"], false, "{forged}: {answer}");
    }
    // What follows the seal says nothing.
    let mut other = Live::connect(&server, json!({ "resumeAfter": format!("{sealed}-0-0") })).await;
    let answer = other.try_subscribe(json!({ "className": "LiveIds", "where": {} })).await;
    assert_eq!(answer["resumed"], true, "{answer}");
    assert_eq!(other.hear().await["object"]["n"], 1);
}

/// More happens than can be told: whoever listens hears that something is missing, and what comes later.
#[actix_web::test]
async fn lost_events_are_said_to_be_lost() {
    let folder = folder_with(
        "Parse.Cloud.afterLiveQueryEvent('Flood', async () => {
           while (await new Parse.Query('Open').count() === 0) await new Promise(go => setTimeout(go, 20));
         });",
    );
    let server = TestServer::with(json!({
        "cloud": folder.path().join("main.js"), "cloudTimeout": 0, "startLiveQueryServer": true, "liveQuery": {"classNames": ["Flood"]},
    }))
    .await;
    let mut live = Live::anonymous(&server).await;
    live.subscribe_with(json!({"className": "Flood", "where": {}, "keys": ["n"]})).await;
    let client = server.anonymous();
    // Each is held until the handler of the first has ended; they may be 16 MiB together.
    for n in 0..24 {
        client.post("/classes/Flood", json!({"n": n, "text": "x".repeat(1 << 20)})).await.ok();
    }
    client.post("/classes/Open", json!({})).await.ok();
    let lost = loop {
        let frame = live.hear().await;
        if frame["op"] == "error" {
            break frame;
        }
    };
    assert_eq!(lost["code"], 155, "{lost}");
    let text = "Events of class Flood were lost: more happened than could be told.";
    assert_eq!((lost["error"].as_str(), &lost["reconnect"]), (Some(text), &json!(false)));
    client.post("/classes/Flood", json!({"n": 99})).await.ok();
    let later = live.hear().await;
    assert_eq!((&later["op"], &later["object"]["n"]), (&json!("create"), &json!(99)));
}
