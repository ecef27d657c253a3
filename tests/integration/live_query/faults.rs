//! What goes away comes back, and subscribers do not notice more than they must.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use super::{Nodes, id_of, live_options, through};
use crate::support::live::Live;
use crate::support::server::{Client, TestServer};
use crate::support::wait::PATIENCE;
use crate::users_redis::{Redis, free_port};

/// Writes until this subscriber to a whole class hears of it again.
async fn heard_again(master: &Client, class: &str, live: &mut Live) {
    let since = Instant::now();
    loop {
        let answer = master.post(&format!("/classes/{class}"), json!({})).await;
        let heard = tokio::time::timeout(Duration::from_millis(300), live.next()).await;
        if answer.status == 201 && matches!(heard, Ok(Some(Message::Text(_)))) {
            return;
        }
        assert!(!matches!(heard, Ok(None | Some(Message::Close(_)))), "the subscriber was thrown out");
        assert!(since.elapsed() < PATIENCE, "events do not resume");
    }
}

#[actix_web::test]
async fn redis_goes_and_comes_back() {
    let port = free_port();
    let mut redis = Redis::start(port);
    let nodes = Nodes::two(through(&redis)).await;
    let master = nodes.writer().master();
    let (mut far, mut near) =
        (Live::anonymous(nodes.listener()).await, Live::anonymous(nodes.writer()).await);
    for live in [&mut far, &mut near] {
        live.subscribe("LiveGone", json!({})).await;
        heard_again(&master, "LiveGone", live).await;
    }
    redis.stop();
    // Its own writes a server tells all the same.
    let id = id_of(&master.post("/classes/LiveGone", json!({})).await.ok());
    near.hear_until(&id).await;
    let _redis = Redis::start(port);
    heard_again(&master, "LiveGone", &mut far).await;
}

#[actix_web::test]
async fn postgresql_goes_and_comes_back() {
    let nodes = Nodes::two(json!({})).await;
    let master = nodes.writer().master();
    let mut far = Live::anonymous(nodes.listener()).await;
    far.subscribe("LiveGone", json!({})).await;
    heard_again(&master, "LiveGone", &mut far).await;
    let postgres = nodes.writer().database().connect().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended: i64 = postgres.query_one(end, &[]).await.unwrap().get(0);
    assert!(ended >= 2, "both listened");
    heard_again(&master, "LiveGone", &mut far).await;
    // New subscriptions too, whatever the other server knew before.
    far.subscribe("LiveAfter", json!({})).await;
    heard_again(&master, "LiveAfter", &mut far).await;
}

#[actix_web::test]
async fn who_never_reads_is_dropped() {
    let server = TestServer::with(live_options(json!({}))).await;
    let master = server.master();
    let mut lazy = Live::anonymous(&server).await;
    for _ in 0..20 {
        lazy.subscribe("LiveLazy", json!({})).await;
    }
    let mut keen = Live::anonymous(&server).await;
    keen.subscribe("LiveLazy", json!({})).await;
    let text = "x".repeat(100_000);
    // Far more than sockets' buffers hold besides what is kept for a client.
    for _ in 0..12 {
        let id = id_of(&master.post("/classes/LiveLazy", json!({ "text": text })).await.ok());
        keen.hear_until(&id).await;
    }
    let mut read = 0;
    let end = loop {
        match lazy.next().await {
            Some(Message::Text(text)) => read += text.len(),
            other => break other,
        }
    };
    assert!(read < 12 * 20 * text.len(), "everything was kept for it");
    if let Some(Message::Close(Some(frame))) = end {
        assert_eq!(u16::from(frame.code), 4008);
    }
    let id = id_of(&master.post("/classes/LiveLazy", json!({})).await.ok());
    keen.hear_until(&id).await;
}

/// The subscriptions of those who go are forgotten, however they go.
#[actix_web::test]
async fn nothing_is_left_of_those_who_went() {
    let server = TestServer::with(live_options(json!({}))).await;
    for round in 0..100 {
        let mut live = Live::anonymous(&server).await;
        for n in 0..10 {
            live.subscribe("LiveCycle", json!({ "n": n })).await;
        }
        for request in 2..7 {
            live.say(json!({ "op": "unsubscribe", "requestId": request })).await;
        }
        if round % 2 == 0 {
            // In the middle of a request.
            let query = json!({ "className": "LiveCycle", "where": {} });
            live.say(json!({ "op": "subscribe", "requestId": 99, "query": query })).await;
        }
    }
    forgotten(&server, "LiveCycle").await;
}

/// Until nobody listens to the class: then it is written without a look at the row before.
async fn forgotten(server: &TestServer, class: &str) {
    let (master, postgres) = (server.master(), server.database().connect().await);
    let id = id_of(&master.post(&format!("/classes/{class}"), json!({ "n": 0 })).await.ok());
    let last = format!(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE \
         'UPDATE public.\"{class}\"%' ORDER BY query_start DESC LIMIT 1"
    );
    crate::support::wait::until_some("everybody to be forgotten", async || {
        master.put(&format!("/classes/{class}/{id}"), json!({ "n": 1 })).await.ok();
        let row = postgres.query_one(&last, &[]).await.unwrap();
        (!row.get::<_, &str>(0).contains("FOR UPDATE")).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn who_takes_no_bytes_is_cut_off() {
    let hurry = json!({ "liveQueryServerOptions": { "websocketTimeout": 500 } });
    let server = TestServer::with(live_options(hurry)).await;
    let master = server.master();
    // Nobody polls it any more: neither frames nor pings are taken from the socket.
    let mut lazy = Live::anonymous(&server).await;
    for _ in 0..40 {
        lazy.subscribe("LiveDeaf", json!({})).await;
    }
    let text = "x".repeat(100_000);
    for _ in 0..8 {
        master.post("/classes/LiveDeaf", json!({ "text": text })).await.ok();
    }
    forgotten(&server, "LiveDeaf").await;
    drop(lazy);
}

/// Forwards both ways until it is told to stop, and then keeps both connections as they are.
async fn proxy(to: SocketAddr) -> (SocketAddr, tokio::sync::watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    actix_web::rt::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut stopped = stopped.clone();
            actix_web::rt::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                    _ = stopped.wait_for(|stopped| *stopped) => {}
                }
                std::future::pending::<()>().await;
            });
        }
    });
    (address, stop)
}

#[actix_web::test]
async fn half_open_sockets_are_closed_by_the_heartbeat() {
    let hurry = json!({ "liveQueryServerOptions": { "websocketTimeout": 500 } });
    let server = TestServer::with(live_options(hurry)).await;
    let (address, stop) = proxy(server.address).await;
    let mut through = Live::connect_to(address, json!({})).await;
    let mut direct = Live::anonymous(&server).await;
    through.subscribe("LiveHalf", json!({})).await;
    direct.subscribe("LiveWhole", json!({})).await;
    let answering = actix_web::rt::spawn(async move {
        let message = direct.next().await;
        (direct, message)
    });
    let id = id_of(&server.master().post("/classes/LiveHalf", json!({})).await.ok());
    through.hear_until(&id).await;
    stop.send_replace(true);
    forgotten(&server, "LiveHalf").await;
    // Whoever answers pings stays.
    server.master().post("/classes/LiveWhole", json!({})).await.ok();
    let (_, message) = answering.await.unwrap();
    assert!(matches!(message, Some(Message::Text(_))), "{message:?}");
}

/// JSON that looks like frames, more or less.
fn frames() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "connect",
            "subscribe",
            "update",
            "unsubscribe",
            "query",
            "LiveFuzz",
            "test"
        ])
        .prop_map(Value::from),
    ];
    let key = prop_oneof![
        4 => prop::sample::select(vec![
            "op", "requestId", "query", "className", "where", "keys", "watch", "applicationId", "sessionToken",
            "installationId", "$or", "$and", "$nor", "$in", "$gt", "$regex", "$options", "$exists", "$all",
            "$inQuery", "$within", "$geoWithin", "__type", "objectId", "ACL", "n",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,6}".prop_map(String::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

#[actix_web::test]
async fn malformed_frames_end_nobody() {
    let server = TestServer::with(live_options(json!({}))).await;
    let mut runner = TestRunner::new(Config::default());
    let mut live = Live::anonymous(&server).await;
    let mut bystander = Live::anonymous(&server).await;
    bystander.subscribe("LiveFuzz", json!({})).await;
    for round in 0..600_u32 {
        let value = frames().new_tree(&mut runner).unwrap().current();
        let frame = match round % 4 {
            // A query that gets as far as the matcher.
            0 => {
                json!({ "op": "subscribe", "requestId": round, "query": { "className": "LiveFuzz", "where": value } })
            }
            1 => {
                json!({ "op": "subscribe", "requestId": round, "query": { "className": "LiveFuzz", "where": { "n": value } } })
            }
            _ => value,
        };
        live.say(frame).await;
    }
    live.say(json!({ "op": "the end" })).await;
    loop {
        let frame = live.hear().await;
        if frame["error"] == "No enum match for: \"the end\"" {
            break;
        }
    }
    // Whatever was accepted is asked about this.
    let object = json!({ "n": [1, "x", { "a": null }], "ACL": { "*": { "read": true } } });
    let id = id_of(&server.master().post("/classes/LiveFuzz", object).await.ok());
    bystander.hear_until(&id).await;
    server.master().put(&format!("/classes/LiveFuzz/{id}"), json!({ "m": "x" })).await.ok();
    assert_eq!(bystander.hear().await["op"], "update");
}

/// The owner of a class publishes what was read while it works off the event that waits for the read.
#[actix_web::test]
async fn an_event_may_wait_until_its_class_was_read_again() {
    let options = live_options(json!({ "databaseOptions": { "schemaCacheTtl": 1 } }));
    let server = TestServer::with(options).await;
    let master = server.master();
    master.post("/classes/LiveStale", json!({ "n": 0 })).await.ok();
    let mut live = Live::anonymous(&server).await;
    live.subscribe("LiveStale", json!({})).await;
    for n in 1..20 {
        master.post("/classes/LiveStale", json!({ "n": n, format!("f{n}"): n })).await.ok();
        let frame = live.hear().await;
        assert_eq!((&frame["op"], &frame["object"]["n"]), (&json!("create"), &json!(n)));
    }
}
