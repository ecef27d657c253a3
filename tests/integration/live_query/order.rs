//! Nobody is left with an older state of an object, whichever server and worker wrote it.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Nodes, id_of, through};
use crate::support::live::Live;
use crate::support::server::TestServer;
use crate::users_redis::{Redis, free_port};

const WRITES: usize = 60;

/// Both nodes write one object at once; subscribers of both end with its last state.
async fn race(nodes: &Nodes) {
    let masters = [nodes.writer().master(), nodes.listener().master()];
    let id = id_of(&masters[0].post("/classes/LiveRace", json!({ "n": 0, "low": true })).await.ok());
    let path = format!("/classes/LiveRace/{id}");
    let mut subscribers = Vec::new();
    for node in [nodes.writer(), nodes.listener()] {
        let mut live = Live::anonymous(node).await;
        let all = live.subscribe("LiveRace", json!({})).await;
        let low = live.subscribe("LiveRace", json!({ "low": true })).await;
        subscribers.push((live, all, low));
    }
    // Who matches changes with every write, and what the last one leaves behind nobody knows before.
    let writes = (0..WRITES).map(|index| {
        let (master, path) = (&masters[index % 2], &path);
        async move {
            let body =
                json!({ "n": { "__op": "Increment", "amount": 1 }, "by": index, "low": index % 3 == 0 });
            master.put(path, body).await.ok();
        }
    });
    join_all(writes).await;
    let stored = masters[0].get(&path).await.ok();
    assert_eq!(stored["n"], WRITES);
    let fence = id_of(&masters[1].post("/classes/LiveRace", json!({ "low": true })).await.ok());
    for (live, all, low) in &mut subscribers {
        let mut last = Value::Null;
        let mut holds = true;
        let (mut heard, mut fences) = (0, 0);
        // The fence may overtake what another server still has to tell.
        while heard < WRITES || fences < 2 {
            let frame = live.hear().await;
            if frame["object"]["objectId"] == fence {
                fences += 1;
            } else if frame["op"] == "create" {
                // Still under way when the subscription was opened.
                assert_eq!(frame["object"]["n"], 0);
            } else if frame["requestId"] == *all {
                assert_eq!(frame["op"], "update");
                assert!(frame["object"]["n"].as_i64() >= last["n"].as_i64(), "back from {last} to {frame}");
                last = frame["object"].clone();
                heard += 1;
            } else {
                assert_eq!(frame["requestId"], *low);
                holds = frame["op"] != "leave";
            }
        }
        // The two queries hear of one write in two frames: the second may still be on its way.
        let query = json!({ "className": "LiveRace", "where": { "nothing": true } });
        let mut frame = live.try_subscribe(query).await;
        while frame["op"] != "subscribed" {
            assert_eq!(frame["requestId"], *low, "{frame}");
            holds = frame["op"] != "leave";
            frame = live.hear().await;
        }
        assert_eq!((&last["n"], &last["by"]), (&stored["n"], &stored["by"]));
        assert_eq!(holds, stored["low"], "last known of the query");
    }
}

#[actix_web::test]
async fn two_nodes_write_one_object() {
    race(&Nodes::two(json!({})).await).await;
}

#[actix_web::test]
async fn two_nodes_write_one_object_through_redis() {
    let redis = Redis::start(free_port());
    race(&Nodes::two(through(&redis)).await).await;
}

/// A subscription that was answered misses nothing that any other server writes from then on.
#[actix_web::test]
async fn a_subscription_counts_from_its_answer() {
    let nodes = Nodes::two(json!({})).await;
    let master = nodes.writer().master();
    let mut live = Live::anonymous(nodes.listener()).await;
    for round in 0..20 {
        let class = format!("LiveRound{round}");
        // The schema is not what is looked at here.
        master.post(&format!("/schemas/{class}"), json!({ "className": class })).await.ok();
        live.subscribe(&class, json!({})).await;
        let id = id_of(&master.post(&format!("/classes/{class}"), json!({})).await.ok());
        assert!(live.hear_until(&id).await.is_empty());
    }
}

/// What does not fit into one notification of PostgreSQL arrives whole.
#[actix_web::test]
async fn long_objects_reach_the_other_node() {
    let nodes = Nodes::two(json!({})).await;
    let master = nodes.writer().master();
    let mut live = Live::anonymous(nodes.listener()).await;
    live.subscribe("LiveLong", json!({ "on": true })).await;
    let mut told = HashSet::new();
    for length in [3_000, 5_900, 6_500, 7_200, 40_000] {
        let text = "\"q\\".repeat(length / 3);
        let id = id_of(&master.post("/classes/LiveLong", json!({ "on": true, "text": text })).await.ok());
        let path = format!("/classes/LiveLong/{id}");
        master.put(&path, json!({ "on": false })).await.ok();
        master.put(&path, json!({ "on": true })).await.ok();
        master.delete(&path).await.ok();
        for op in ["create", "leave", "enter", "delete"] {
            let frame = live.hear().await;
            assert_eq!(
                (frame["op"].as_str(), frame["object"]["text"].as_str()),
                (Some(op), Some(text.as_str()))
            );
        }
        told.insert(id);
    }
    assert_eq!(told.len(), 5);
}

/// Several workers of one server.
#[actix_web::test]
async fn one_node_writes_one_object_at_once() {
    let server: TestServer = TestServer::with(super::live_options(json!({}))).await;
    let master = server.master();
    let id = id_of(&master.post("/classes/LiveOne", json!({ "n": 0 })).await.ok());
    let path = format!("/classes/LiveOne/{id}");
    let mut live = Live::anonymous(&server).await;
    live.subscribe("LiveOne", json!({})).await;
    join_all((0..WRITES).map(|_| master.put(&path, json!({ "n": { "__op": "Increment", "amount": 1 } }))))
        .await;
    let mut last = 0;
    for _ in 0..WRITES {
        let n = live.hear().await["object"]["n"].as_u64().unwrap();
        assert!(n >= last);
        last = n;
    }
    assert_eq!(last as usize, WRITES);
}
