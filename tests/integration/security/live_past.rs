//! States of the past: what somebody may not see of an object is told neither as its state before nor
//! as something missed.

use serde_json::{Value, json};

use super::live_query::{class_with, pointer, post};
use crate::live_query::live_options;
use crate::support::live::Live;
use crate::support::server::TestServer;
use crate::users_sign_up::sign_up;

#[actix_web::test]
async fn a_new_owner_is_not_told_what_the_last_one_had() {
    let server = TestServer::with(live_options(json!({}))).await;
    let master = server.master();
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let (bob, bobs) = sign_up(&server.anonymous(), "bob").await;
    let owners = json!({ "pointerFields": ["owner"] });
    class_with(&master, "LiveOwned", json!({ "find": owners, "get": owners })).await;
    let id =
        post(&master, "LiveOwned", json!({ "n": 1, "secret": "bob's", "owner": pointer("_User", &bob) }))
            .await;
    let mut live = Live::session(&server, &token).await;
    live.subscribe("LiveOwned", json!({})).await;
    live.subscribe("LiveOwned", json!({ "objectId": id })).await;
    live.subscribe_with(json!({ "className": "LiveOwned", "where": { "n": 2 }, "watch": ["secret"] })).await;
    let mut before = Live::session(&server, &bobs).await;
    before.subscribe("LiveOwned", json!({})).await;
    let change = json!({ "n": 2, "secret": "ann's", "owner": pointer("_User", &ann) });
    master.put(&format!("/classes/LiveOwned/{id}"), change).await.ok();
    for _ in 0..3 {
        let frame = live.hear().await;
        assert_eq!((&frame["op"], &frame["object"]["secret"]), (&json!("enter"), &json!("ann's")));
        assert_eq!(frame["original"], Value::Null, "{frame}");
    }
    // Both states are hers from now on.
    master.put(&format!("/classes/LiveOwned/{id}"), json!({ "secret": "new" })).await.ok();
    let frame = live.hear().await;
    assert_eq!((&frame["op"], &frame["original"]["secret"]), (&json!("update"), &json!("ann's")));
    // Who lost it hears nothing of what it became.
    let fence = post(&master, "LiveOwned", json!({ "owner": pointer("_User", &bob) })).await;
    assert!(before.hear_until(&fence).await.is_empty());
}

/// Somebody who listens to a class from now on, and the id of its newest event.
async fn newest(server: &TestServer, keys: Value, class: &str) -> (Live, String) {
    let mut keys = keys;
    keys["resumeAfter"] = "".into();
    let mut live = Live::connect(server, keys).await;
    let answer = live.try_subscribe(json!({ "className": class, "where": {}, "keys": ["n"] })).await;
    let id = answer["eventId"].as_str().unwrap().to_owned();
    (live, id)
}

/// What is said to somebody who comes back, and what follows until the fence.
async fn missed(server: &TestServer, keys: Value, class: &str, after: &str) -> (Value, Vec<Value>) {
    let mut keys = keys;
    keys["resumeAfter"] = after.into();
    let mut live = Live::connect(server, keys).await;
    let answer = live.try_subscribe(json!({ "className": class, "where": {} })).await;
    let fence = post(&server.master(), class, json!({})).await;
    (answer["resumed"].clone(), live.hear_until(&fence).await)
}

#[actix_web::test]
async fn what_is_private_by_now_is_not_replayed() {
    for log in [false, true] {
        let options = json!({ "liveQuery": { "classNames": ["Live.*"], "eventLog": log } });
        let server = TestServer::with(live_options(options)).await;
        let master = server.master();
        let (ann, token) = sign_up(&server.anonymous(), "ann").await;
        master.post("/classes/LivePast", json!({ "n": 0 })).await.ok();
        let (_watcher, start) = newest(&server, json!({}), "LivePast").await;
        // Public once, somebody's own by now.
        let own = json!({ ann.as_str(): { "read": true } });
        let id = post(&master, "LivePast", json!({ "n": 1, "text": "secret" })).await;
        master.put(&format!("/classes/LivePast/{id}"), json!({ "ACL": own })).await.ok();
        let nobody = missed(&server, json!({}), "LivePast", &start).await;
        assert_eq!(nobody, (json!(false), vec![]), "the client is to ask anew");
        let (resumed, frames) = missed(&server, json!({ "sessionToken": token }), "LivePast", &start).await;
        assert_eq!(resumed, true);
        assert!(frames.iter().any(|frame| frame["object"]["text"] == "secret"), "it is hers");

        // Private before it was deleted.
        let (_watcher, start) = newest(&server, json!({}), "LivePast").await;
        let id = post(&master, "LivePast", json!({ "n": 2, "text": "secret" })).await;
        master.put(&format!("/classes/LivePast/{id}"), json!({ "ACL": {} })).await.ok();
        master.delete(&format!("/classes/LivePast/{id}")).await.ok();
        assert_eq!(missed(&server, json!({}), "LivePast", &start).await, (json!(false), vec![]));

        // Private from the beginning: nothing that could be missed.
        let (_watcher, start) = newest(&server, json!({}), "LiveFresh").await;
        let id = post(&master, "LiveFresh", json!({ "n": 3, "ACL": {} })).await;
        master.put(&format!("/classes/LiveFresh/{id}"), json!({ "n": 4 })).await.ok();
        let shown = post(&master, "LiveFresh", json!({ "n": 5 })).await;
        let (resumed, frames) = missed(&server, json!({}), "LiveFresh", &start).await;
        assert_eq!(
            (resumed, frames.last().map(|frame| &frame["object"]["objectId"])),
            (json!(true), Some(&json!(shown)))
        );
        assert!(
            frames.iter().all(|frame| frame["object"]["n"] != 3 && frame["object"]["n"] != 4),
            "{frames:?}"
        );
    }
}

/// A pointer that named the caller then, or names them now, is not enough: it takes both.
#[actix_web::test]
async fn owners_of_then_and_of_now() {
    let server = TestServer::with(live_options(json!({}))).await;
    let master = server.master();
    let (ann, anns) = sign_up(&server.anonymous(), "ann").await;
    let (bob, bobs) = sign_up(&server.anonymous(), "bob").await;
    let owners = json!({ "pointerFields": ["owner"] });
    class_with(&master, "LiveHanded", json!({ "find": owners, "get": owners })).await;
    let (_watcher, start) = newest(&server, json!({ "sessionToken": anns }), "LiveHanded").await;
    let body = json!({ "secret": "bob's", "owner": pointer("_User", &bob) });
    let id = post(&master, "LiveHanded", body).await;
    let path = format!("/classes/LiveHanded/{id}");
    master.put(&path, json!({ "secret": "ann's", "owner": pointer("_User", &ann) })).await.ok();
    let resume = async |token: &str| {
        let mut live = Live::connect(&server, json!({ "sessionToken": token, "resumeAfter": start })).await;
        let answer = live.try_subscribe(json!({ "className": "LiveHanded", "where": {} })).await;
        (live, answer["resumed"].clone())
    };
    let (mut live, resumed) = resume(&anns).await;
    assert_eq!(resumed, true);
    let frame = live.hear().await;
    assert_eq!((&frame["op"], &frame["object"]["secret"]), (&json!("enter"), &json!("ann's")));
    assert_eq!(frame["original"], Value::Null);
    let (_, resumed) = resume(&bobs).await;
    assert_eq!(resumed, false, "bob's state is ann's object by now");
}
