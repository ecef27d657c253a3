//! Which event a write is for a subscriber, every situation there is: what matched and what could be
//! read before and after, and whether a watched field changed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Nodes, through};
use crate::support::live::Live;
use crate::support::server::Client;
use crate::users_redis::{Redis, free_port};
use crate::users_sign_up::sign_up;

#[derive(Clone, Copy, Debug)]
struct State {
    matches: bool,
    readable: bool,
}

const STATES: [State; 4] = [
    State { matches: false, readable: false },
    State { matches: false, readable: true },
    State { matches: true, readable: false },
    State { matches: true, readable: true },
];

/// A write to an object of its own.
#[derive(Clone, Copy, Debug)]
struct Case {
    before: Option<State>,
    /// `None`: the object is deleted.
    after: Option<State>,
    watched_changes: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for watched_changes in [false, true] {
        for after in STATES {
            let befores = STATES.map(Some).into_iter().chain([None]);
            cases.extend(befores.map(|before| Case { before, after: Some(after), watched_changes }));
        }
    }
    cases.extend(STATES.map(|before| Case { before: Some(before), after: None, watched_changes: false }));
    cases
}

/// Event, `n` of the object, `n` of the original: 1 before the write, 2 after it.
type Told = (String, i64, Option<i64>);

/// As the protocol's description has it: O and C say whether the subscriber's query matched and the
/// object was readable, before and now.
fn expected(case: Case, watches: bool) -> Option<Told> {
    let holds = |state: Option<State>| state.is_some_and(|state| state.matches && state.readable);
    let told = |event: &str, object, original| Some((event.to_owned(), object, original));
    let Some(after) = case.after else {
        return holds(case.before).then(|| told("delete", 1, None)).flatten();
    };
    let unwatched = watches && !case.watched_changes;
    match (holds(case.before), holds(case.after), case.before) {
        (true, true, _) if unwatched => None,
        (true, true, _) => told("update", 2, Some(1)),
        // Who may not read the new state is shown the one before, twice.
        (true, false, _) => told("leave", if after.readable { 2 } else { 1 }, Some(1)),
        // Who could not read the state before is not shown it.
        (false, true, Some(before)) => told("enter", 2, before.readable.then_some(1)),
        (false, true, None) if unwatched => None,
        (false, true, None) => told("create", 2, None),
        (false, false, _) => None,
    }
}

struct Audience<'a> {
    /// An ACL that lets the subscriber read.
    readable: Value,
    token: Option<&'a str>,
}

fn body(case: usize, n: i64, state: State, audience: &Audience<'_>) -> Value {
    let acl = if state.readable { audience.readable.clone() } else { json!({ "nobody": { "read": true } }) };
    let room = if state.matches { "in" } else { "out" };
    json!({ "case": case, "n": n, "room": room, "ACL": acl })
}

async fn walk_through(nodes: &Nodes, class: &str, audience: &Audience<'_>) {
    let master = nodes.writer().master();
    let cases = cases();
    let mut ids = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let Some(before) = case.before else {
            ids.push(None);
            continue;
        };
        let created = master.post(&format!("/classes/{class}"), body(index, 1, before, audience)).await.ok();
        ids.push(Some(created["objectId"].as_str().unwrap().to_owned()));
    }
    let mut live = match audience.token {
        Some(token) => Live::session(nodes.listener(), token).await,
        None => Live::anonymous(nodes.listener()).await,
    };
    let query = json!({ "className": class, "where": { "room": "in" } });
    let plain = live.subscribe_with(query.clone()).await;
    let mut watching = query;
    watching["watch"] = json!(["watched"]);
    let watching = live.subscribe_with(watching).await;
    for (index, case) in cases.iter().enumerate() {
        write(&master, class, index, *case, ids[index].as_deref(), audience).await;
    }
    let fence = json!({ "room": "in", "watched": "fence", "ACL": audience.readable });
    let fence = master.post(&format!("/classes/{class}"), fence).await.ok();
    let fence = fence["objectId"].as_str().unwrap();
    // One for each subscription.
    let mut heard = live.hear_until(fence).await;
    heard.extend(live.hear_until(fence).await);

    let mut told: BTreeMap<(usize, i64), Vec<Told>> = BTreeMap::new();
    for frame in heard {
        let n = |state: &Value| state["n"].as_i64();
        let case = frame["object"]["case"].as_u64().unwrap() as usize;
        let event = frame["op"].as_str().unwrap().to_owned();
        let entry = told.entry((case, frame["requestId"].as_i64().unwrap())).or_default();
        entry.push((event, n(&frame["object"]).unwrap(), n(&frame["original"])));
    }
    for (index, case) in cases.iter().enumerate() {
        for (request, watches) in [(plain, false), (watching, true)] {
            let got = told.remove(&(index, request)).unwrap_or_default();
            let wanted: Vec<Told> = expected(*case, watches).into_iter().collect();
            assert_eq!(got, wanted, "{case:?}, watching: {watches}");
        }
    }
    assert!(told.is_empty(), "{told:?}");
}

async fn write(
    master: &Client,
    class: &str,
    index: usize,
    case: Case,
    id: Option<&str>,
    audience: &Audience<'_>,
) {
    let path = match id {
        Some(id) => format!("/classes/{class}/{id}"),
        None => format!("/classes/{class}"),
    };
    let Some(after) = case.after else {
        master.delete(&path).await.ok();
        return;
    };
    let mut body = body(index, 2, after, audience);
    if case.watched_changes {
        body["watched"] = "changed".into();
    }
    match id {
        Some(_) => master.put(&path, body).await.ok(),
        None => master.post(&path, body).await.ok(),
    };
}

#[actix_web::test]
async fn every_situation_on_one_node() {
    let nodes = Nodes::one(json!({})).await;
    let anyone = Audience { readable: json!({ "*": { "read": true } }), token: None };
    walk_through(&nodes, "LivePublic", &anyone).await;
    let (ann, token) = sign_up(&nodes.writer().anonymous(), "ann").await;
    let her = Audience { readable: json!({ ann.as_str(): { "read": true } }), token: Some(&token) };
    walk_through(&nodes, "LiveOwn", &her).await;
    let users = json!({ "__op": "AddRelation", "objects": [
        { "__type": "Pointer", "className": "_User", "objectId": ann },
    ]});
    let role = json!({ "name": "staff", "ACL": {}, "users": users });
    nodes.writer().master().post("/roles", role).await.ok();
    let staff = Audience { readable: json!({ "role:staff": { "read": true } }), token: Some(&token) };
    walk_through(&nodes, "LiveRole", &staff).await;
}

#[actix_web::test]
async fn every_situation_between_two_nodes() {
    let nodes = Nodes::two(json!({})).await;
    let anyone = Audience { readable: json!({ "*": { "read": true } }), token: None };
    walk_through(&nodes, "LivePublic", &anyone).await;
    let (ann, token) = sign_up(&nodes.writer().anonymous(), "ann").await;
    let her = Audience { readable: json!({ ann.as_str(): { "read": true } }), token: Some(&token) };
    walk_through(&nodes, "LiveOwn", &her).await;
}

#[actix_web::test]
async fn every_situation_through_redis() {
    let redis = Redis::start(free_port());
    let nodes = Nodes::two(through(&redis)).await;
    let anyone = Audience { readable: json!({ "*": { "read": true } }), token: None };
    walk_through(&nodes, "LivePublic", &anyone).await;
}
