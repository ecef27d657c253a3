//! Live queries tell nothing that a find would refuse, however they are asked, and hold against those
//! who want to wear the server out.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;

use super::dawdling::is_open;

use crate::live_query::{Nodes, id_of, live_options};
use crate::support::live::Live;
use crate::support::server::{Client, TestServer};
use crate::support::wait::{self, PATIENCE};
use crate::users_sign_up::sign_up;

pub fn pointer(class: &str, id: &str) -> Value {
    json!({ "__type": "Pointer", "className": class, "objectId": id })
}

pub async fn post(client: &Client, class: &str, body: Value) -> String {
    id_of(&client.post(&format!("/classes/{class}"), body).await.ok())
}

/// What is heard of a write for `acl` before a public one.
async fn heard_of(master: &Client, live: &mut Live, class: &str, acl: Value) -> Vec<Value> {
    post(master, class, json!({ "ACL": acl })).await;
    let fence = post(master, class, json!({})).await;
    live.hear_until(&fence).await
}

/// Rights that ended on one server end on the other: nothing that is written more than `within` later is heard.
async fn ends(master: &Client, live: &mut Live, class: &str, acl: &Value, within: Duration) {
    let since = Instant::now();
    loop {
        let late = since.elapsed() > within;
        let heard = !heard_of(master, live, class, acl.clone()).await.is_empty();
        assert!(!(heard && late), "still heard, {:?} later", since.elapsed());
        if late {
            return;
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[actix_web::test]
async fn rights_that_were_lost_anywhere_end_here() {
    let mut options = live_options(json!({}));
    // Nothing is forgotten by itself.
    options["cacheTTL"] = 600_000.into();
    let nodes = Nodes::two(options).await;
    let master = nodes.writer().master();
    let (ann, token) = sign_up(&nodes.writer().anonymous(), "ann").await;
    let users = json!({ "__op": "AddRelation", "objects": [pointer("_User", &ann)] });
    let role = json!({ "name": "staff", "ACL": {}, "users": users });
    let role = id_of(&master.post("/roles", role).await.ok());
    let mut live = Live::session(nodes.listener(), &token).await;
    live.subscribe("LiveRights", json!({})).await;
    let (staff, own) = (json!({ "role:staff": { "read": true } }), json!({ ann.as_str(): { "read": true } }));
    for acl in [&staff, &own] {
        assert_eq!(heard_of(&master, &mut live, "LiveRights", acl.clone()).await.len(), 1, "{acl}");
    }
    let remove = json!({ "users": { "__op": "RemoveRelation", "objects": [pointer("_User", &ann)] } });
    master.put(&format!("/roles/{role}"), remove).await.ok();
    ends(&master, &mut live, "LiveRights", &staff, SECOND).await;
    assert_eq!(heard_of(&master, &mut live, "LiveRights", own.clone()).await.len(), 1, "still her session");
    // A subscription's own session, here that of a user who logs out on the other server.
    nodes.writer().session(&token).post("/logout", json!({})).await.ok();
    ends(&master, &mut live, "LiveRights", &own, SECOND).await;
}

#[actix_web::test]
async fn sessions_that_are_removed_over_rest_end_within_a_second() {
    let mut options = live_options(json!({}));
    options["cacheTTL"] = 600_000.into();
    let nodes = Nodes::two(options).await;
    let master = nodes.writer().master();
    let (ann, token) = sign_up(&nodes.writer().anonymous(), "ann").await;
    let mut live = Live::session(nodes.listener(), &token).await;
    live.subscribe("LiveRevoked", json!({})).await;
    let own = json!({ ann.as_str(): { "read": true } });
    assert_eq!(heard_of(&master, &mut live, "LiveRevoked", own.clone()).await.len(), 1);
    let sessions = master.get("/sessions").await.ok();
    for session in sessions["results"].as_array().unwrap() {
        master.delete(&format!("/sessions/{}", session["objectId"].as_str().unwrap())).await.ok();
    }
    ends(&master, &mut live, "LiveRevoked", &own, SECOND).await;
}

/// Nobody tells of rows that others remove: `cacheTTL` bounds how long they count.
#[actix_web::test]
async fn sessions_that_are_removed_in_sql_end_with_the_cache() {
    let mut options = live_options(json!({}));
    options["cacheTTL"] = 700.into();
    let nodes = Nodes::one(options).await;
    let master = nodes.writer().master();
    let (ann, token) = sign_up(&nodes.writer().anonymous(), "ann").await;
    let mut live = Live::session(nodes.listener(), &token).await;
    live.subscribe("LiveRemoved", json!({})).await;
    let own = json!({ ann.as_str(): { "read": true } });
    assert_eq!(heard_of(&master, &mut live, "LiveRemoved", own.clone()).await.len(), 1);
    let postgres = nodes.writer().database().connect().await;
    postgres.execute("DELETE FROM \"_Session\"", &[]).await.unwrap();
    ends(&master, &mut live, "LiveRemoved", &own, SECOND).await;
}

pub async fn class_with(master: &Client, class: &str, permissions: Value) {
    let open = json!({ "*": true });
    let mut all = json!({ "find": open, "get": open, "count": open, "create": open, "update": open,
        "delete": open, "addField": open });
    all.as_object_mut().unwrap().extend(permissions.as_object().unwrap().clone());
    let fields =
        json!({ "secret": { "type": "String" }, "owner": { "type": "Pointer", "targetClass": "_User" } });
    let schema = json!({ "className": class, "fields": fields, "classLevelPermissions": all });
    let path = format!("/schemas/{class}");
    let there = master.get(&path).await.status == 200;
    let answer = if there { master.put(&path, schema).await } else { master.post(&path, schema).await };
    answer.ok();
}

#[actix_web::test]
async fn protected_fields_are_not_told_by_matching() {
    let server = TestServer::with(live_options(json!({}))).await;
    let master = server.master();
    class_with(&master, "LiveSecret", json!({ "protectedFields": { "*": ["secret"] } })).await;
    let mut live = Live::anonymous(&server).await;
    for query in [
        json!({ "where": { "secret": "x" } }),
        json!({ "where": { "secret": { "$regex": "^a" } } }),
        json!({ "where": { "$or": [{ "n": 1 }, { "secret": { "$exists": true } }] } }),
        json!({ "where": { "$nor": [{ "$and": [{ "secret": "x" }] }] } }),
        json!({ "where": { "secret.length": 1 } }),
        json!({ "where": {}, "watch": ["secret"] }),
        json!({ "where": {}, "watch": ["n", "secret.x"] }),
    ] {
        let mut query = query;
        query["className"] = "LiveSecret".into();
        let answer = live.try_subscribe(query.clone()).await;
        let told = (&answer["code"], &answer["error"], &answer["reconnect"]);
        assert_eq!(told, (&json!(119), &json!("Permission denied"), &json!(false)), "{query}");
    }
    let keyed = json!({ "className": "LiveSecret", "where": {}, "keys": ["secret", "n"] });
    live.subscribe_with(keyed).await;
    post(&master, "LiveSecret", json!({ "n": 1, "secret": "x" })).await;
    let frame = live.hear().await;
    assert_eq!((&frame["object"]["n"], &frame["object"]["secret"]), (&json!(1), &Value::Null));

    // A field that becomes protected while somebody asks for it.
    class_with(&master, "LiveLater", json!({})).await;
    live.subscribe("LiveLater", json!({ "secret": "x" })).await;
    let watching = json!({ "className": "LiveLater", "where": {}, "watch": ["secret"] });
    live.subscribe_with(watching).await;
    live.subscribe("LiveLater", json!({})).await;
    let id = post(&master, "LiveLater", json!({ "secret": "x" })).await;
    for _ in 0..3 {
        assert_eq!(live.hear().await["object"]["objectId"], id.as_str());
    }
    class_with(&master, "LiveLater", json!({ "protectedFields": { "*": ["secret"] } })).await;
    let id = post(&master, "LiveLater", json!({ "secret": "x" })).await;
    let frame = live.hear().await;
    assert_eq!((&frame["object"]["objectId"], &frame["object"]["secret"]), (&json!(id), &Value::Null));
    let fence = post(&master, "LiveLater", json!({})).await;
    assert!(live.hear_until(&fence).await.is_empty(), "the two that would tell the field");
}

/// What no answer shows is not told by matching either.
#[actix_web::test]
async fn hidden_columns_are_not_told_by_matching() {
    let server =
        TestServer::with(live_options(json!({ "liveQuery": { "classNames": ["Live.*", "_User"] } }))).await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    class_with(
        &server.master(),
        "LiveOwn",
        json!({ "protectedFields": { "*": [], "userField:owner": ["secret"] } }),
    )
    .await;
    let starts = json!({ "$regex": "^J" });
    for mut live in [Live::anonymous(&server).await, Live::session(&server, &token).await] {
        for (class, field) in [
            ("_User", "authData.mfa.secret"),
            ("_User", "authData"),
            ("_User", "_hashed_password"),
            ("_User", "_rperm"),
            ("_User", "sessionToken"),
            ("_User", "_email_verify_token"),
            ("LiveOwn", "_rperm"),
            ("LiveOwn", "_wperm"),
        ] {
            for query in [
                json!({ "where": { field: starts } }),
                json!({ "where": { "objectId": ann, field: starts } }),
                json!({ "where": { "$or": [{ "a": 1 }, { "$and": [{ field: { "$exists": true } }] }] } }),
                json!({ "where": {}, "watch": [field] }),
            ] {
                let mut query = query;
                query["className"] = class.into();
                let answer = live.try_subscribe(query.clone()).await;
                assert_eq!(answer["op"], "error", "{query}: {answer}");
            }
        }
    }
}

#[actix_web::test]
async fn class_permissions_hold_for_every_event() {
    let server = TestServer::with(live_options(json!({}))).await;
    let master = server.master();
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let closed = json!({ "find": {}, "get": {}, "readUserFields": ["owner"] });
    class_with(&master, "LiveOwned", closed).await;
    let mut live = Live::session(&server, &token).await;
    live.subscribe("LiveOwned", json!({})).await;
    let mut nobody = Live::anonymous(&server).await;
    // As in parse-server: whose objects they are is looked at when something happens.
    nobody.subscribe("LiveOwned", json!({})).await;
    post(&master, "LiveOwned", json!({ "n": 1 })).await;
    post(&master, "LiveOwned", json!({ "n": 2, "owner": pointer("_User", "another") })).await;
    let own = post(&master, "LiveOwned", json!({ "n": 3, "owner": pointer("_User", &ann) })).await;
    assert!(live.hear_until(&own).await.is_empty(), "not hers");

    class_with(&master, "LiveNobody", json!({ "find": {}, "get": {} })).await;
    let refused = nobody.try_subscribe(json!({ "className": "LiveNobody", "where": {} })).await;
    assert_eq!((&refused["op"], &refused["code"]), (&json!("error"), &json!(119)));
    class_with(&master, "LiveClosing", json!({})).await;
    nobody.subscribe("LiveClosing", json!({})).await;
    let id = post(&master, "LiveClosing", json!({})).await;
    assert_eq!(nobody.hear().await["object"]["objectId"], id.as_str());
    class_with(&master, "LiveClosing", json!({ "find": {}, "get": {} })).await;
    post(&master, "LiveClosing", json!({})).await;
    let frame = nobody.hear().await;
    assert_eq!(
        (&frame["op"], &frame["code"], &frame["object"]),
        (&json!("error"), &json!(119), &Value::Null)
    );
}

#[actix_web::test]
async fn sessions_are_ones_own_and_internal_classes_nobodys() {
    let classes = json!({ "classNames": ["_Session", "_GlobalConfig", "_Hooks", "_JobStatus", "_PushStatus",
        "_Idempotency", "_Installation", "_Role", "_User", "_Join:users:_Role"] });
    let server = TestServer::with(live_options(json!({ "liveQuery": classes }))).await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let (bob, _) = sign_up(&server.anonymous(), "bob").await;
    let mut live = Live::session(&server, &token).await;
    for class in ["_GlobalConfig", "_Hooks", "_JobStatus", "_PushStatus", "_Idempotency", "_Installation"] {
        let answer = live.try_subscribe(json!({ "className": class, "where": {} })).await;
        assert_eq!(answer["op"], "error", "{class}: {answer}");
    }
    // Whatever is asked, it is one's own.
    for condition in [json!({}), json!({ "user": pointer("_User", &bob) }), json!({ "objectId": "x" })] {
        live.subscribe("_Session", condition).await;
    }
    let mut nobody = Live::anonymous(&server).await;
    let refused = nobody.try_subscribe(json!({ "className": "_Session", "where": {} })).await;
    assert_eq!((&refused["code"], &refused["error"]), (&json!(209), &json!("Invalid session token")));
    let login = |name: &str| {
        let (client, body) = (server.anonymous(), json!({ "username": name, "password": "secret" }));
        async move { client.post("/login", body).await.ok() }
    };
    login("bob").await;
    login("ann").await;
    // Twice: two of the subscriptions have no other condition left.
    for _ in 0..2 {
        assert_eq!(live.hear().await["object"]["user"]["objectId"], ann.as_str());
    }
}

#[actix_web::test]
async fn bombs() {
    let options = json!({ "requestComplexity": { "queryDepth": 3 }, "liveQuery": { "classNames": ["Live.*"], "regexTimeout": 50 } });
    let server = TestServer::with(live_options(options)).await;
    let mut live = Live::anonymous(&server).await;
    let nested = |depth: usize| (0..depth).fold(json!({ "a": 1 }), |inner, _| json!({ "$or": [inner] }));
    let answer = live.try_subscribe(json!({ "className": "LiveBomb", "where": nested(40) })).await;
    let text = "Query condition nesting depth exceeds maximum allowed depth of 3";
    assert_eq!((&answer["code"], &answer["error"]), (&json!(102), &json!(text)));
    live.subscribe("LiveBomb", nested(2)).await;
    // Deeper than any text that is read: dropped as what is not JSON is.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    live.send(Message::text(deep.clone())).await;
    live.send(Message::text(format!(r#"{{"op":"subscribe","requestId":1,"query":{deep}}}"#))).await;
    let answer =
        live.try_subscribe(json!({ "className": "LiveBomb", "where": { "a": { "$regex": "[" } } })).await;
    assert_eq!(answer["code"], 102, "{answer}");

    for round in 0..20 {
        let pattern = format!("^(a+)+{round}$");
        live.subscribe("LiveRegex", json!({ "text": { "$regex": pattern } })).await;
    }
    let mut other = Live::anonymous(&server).await;
    other.subscribe("LiveOther", json!({})).await;
    let since = Instant::now();
    post(&server.master(), "LiveRegex", json!({ "text": "a".repeat(5_000) })).await;
    let id = post(&server.master(), "LiveOther", json!({})).await;
    assert_eq!(other.hear().await["object"]["objectId"], id.as_str());
    // Twenty times the limit, and the rest is this machine's.
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}

#[actix_web::test]
async fn too_long_too_many_and_silent() {
    let options = json!({ "liveQueryServerOptions": { "websocketTimeout": 200 } });
    let server = TestServer::with(live_options(options)).await;
    let mut long = Live::anonymous(&server).await;
    let frame = format!(r#"{{"op":"connect","applicationId":"{}"}}"#, "x".repeat(2 << 20));
    // Whoever is cut off may notice while it still sends.
    let _ = long.socket().send(Message::text(frame)).await;
    assert!(!matches!(long.next().await, Some(Message::Text(_))), "a frame of 2 MiB was read");

    // Nothing is said on it, though it answers pings.
    let mut silent = Live::open(server.address).await;
    let end = tokio::time::timeout(PATIENCE, silent.next()).await.expect("it is closed");
    assert!(matches!(end, Some(Message::Close(_)) | None), "{end:?}");

    // Said, but nothing is heard any more: no pong comes.
    let mut half = Live::anonymous(&server).await;
    let MaybeTlsStream::Plain(socket) = half.socket().get_ref() else { panic!("a plain socket") };
    let port = socket.local_addr().unwrap().port();
    wait::until_some("the half-open socket to be dropped", async || (!is_open(&server, port)).then_some(()))
        .await;
    let end = tokio::time::timeout(PATIENCE, half.socket().collect::<Vec<_>>()).await;
    assert!(end.is_ok(), "a half-open socket is dropped");

    let mut live = Live::anonymous(&server).await;
    let many = 10_000;
    for id in 0..=many {
        let query = json!({ "className": "LiveFlood", "where": { "n": id % 100 } });
        live.say(json!({ "op": "subscribe", "requestId": id, "query": query })).await;
        let answer = live.hear().await;
        let expected = if id < many { "subscribed" } else { "error" };
        assert_eq!(answer["op"], expected, "{answer}");
    }
    // One of them less, and there is room again.
    live.say(json!({ "op": "unsubscribe", "requestId": 5 })).await;
    assert_eq!(live.hear().await["op"], "unsubscribed");
    let query = json!({ "className": "LiveFlood", "where": {} });
    live.say(json!({ "op": "subscribe", "requestId": many, "query": query })).await;
    assert_eq!(live.hear().await["op"], "subscribed");
}
