//! Every way in which objects are written is heard of, after its commit; a class that nobody publishes
//! or listens to costs no more than any other.

use serde_json::{Value, json};

use super::{id_of, live_options, outline};
use crate::http_cloud::folder_with;
use crate::support::live::Live;
use crate::support::server::{Client, TestServer};
use crate::support::wait;

async fn fence(master: &Client, class: &str, live: &mut Live) -> Vec<Value> {
    let fence = id_of(&master.post(&format!("/classes/{class}"), json!({ "n": 0 })).await.ok());
    live.hear_until(&fence).await
}

fn batch(transaction: bool, requests: &[(&str, &str, Value)]) -> Value {
    let requests: Vec<Value> = requests
        .iter()
        .map(
            |(method, path, body)| json!({ "method": method, "path": format!("/parse{path}"), "body": body }),
        )
        .collect();
    json!({ "transaction": transaction, "requests": requests })
}

#[actix_web::test]
async fn single_writes_batches_and_transactions() {
    let server = TestServer::with(live_options(json!({}))).await;
    let master = server.master();
    let mut live = Live::anonymous(&server).await;
    live.subscribe("LiveDoor", json!({})).await;
    let id = id_of(&master.post("/classes/LiveDoor", json!({ "n": 1 })).await.ok());
    let path = format!("/classes/LiveDoor/{id}");
    master.put(&path, json!({ "n": { "__op": "Increment", "amount": 1 } })).await.ok();
    let other = json!({ "__op": "AddRelation", "objects": [
        { "__type": "Pointer", "className": "LiveDoor", "objectId": "other" },
    ]});
    master.put(&path, json!({ "friends": other })).await.ok();
    master.put(&path, json!({ "n": 3, "gone": 1 })).await.ok();
    master.put(&path, json!({ "gone": { "__op": "Delete" } })).await.ok();
    let heard = fence(&master, "LiveDoor", &mut live).await;
    assert_eq!(outline(&heard), [("create", 1), ("update", 2), ("update", 2), ("update", 3), ("update", 3)]);
    assert_eq!(heard[2]["object"]["friends"], json!({ "__type": "Relation", "className": "LiveDoor" }));
    assert_eq!((&heard[3]["object"]["gone"], &heard[4]["object"]["gone"]), (&json!(1), &Value::Null));
    for frame in &heard {
        let object = &frame["object"];
        assert!(object["createdAt"].is_string() && object["updatedAt"].is_string(), "{object}");
        assert_eq!(object["className"], "LiveDoor");
    }

    let mixed = [
        ("POST", "/classes/LiveDoor", json!({ "n": 4 })),
        ("PUT", path.as_str(), json!({ "n": 5 })),
        ("DELETE", path.as_str(), json!({})),
    ];
    master.post("/batch", batch(false, &mixed[..2])).await.ok();
    let mut heard = outline(&fence(&master, "LiveDoor", &mut live).await)
        .iter()
        .map(|(op, n)| format!("{op} {n}"))
        .collect::<Vec<_>>();
    heard.sort();
    assert_eq!(heard, ["create 4", "update 5"]);
    master.post("/batch", batch(false, &mixed[2..])).await.ok();
    let many: Vec<_> = (10..15).map(|n| ("POST", "/classes/LiveDoor", json!({ "n": n }))).collect();
    master.post("/batch", batch(false, &many)).await.ok();
    let heard = fence(&master, "LiveDoor", &mut live).await;
    assert_eq!(outline(&heard)[0], ("delete", 5));
    assert_eq!(outline(&heard)[1..], (10..15).map(|n| ("create", n)).collect::<Vec<_>>()[..]);

    let id = id_of(&heard[1]["object"]);
    let path = format!("/classes/LiveDoor/{id}");
    let good = [
        ("POST", "/classes/LiveDoor", json!({ "n": 20 })),
        ("PUT", path.as_str(), json!({ "n": 21 })),
        ("PUT", path.as_str(), json!({ "n": 22 })),
        ("DELETE", path.as_str(), json!({})),
    ];
    let mut bad = good.to_vec();
    bad.push(("PUT", "/classes/LiveDoor/nowhere", json!({ "n": 1 })));
    let refused = master.post("/batch", batch(true, &bad)).await;
    assert!(refused.status >= 400, "{}", refused.text);
    assert!(fence(&master, "LiveDoor", &mut live).await.is_empty(), "rolled back");
    master.post("/batch", batch(true, &good)).await.ok();
    let heard = fence(&master, "LiveDoor", &mut live).await;
    assert_eq!(outline(&heard), [("create", 20), ("update", 21), ("update", 22), ("delete", 22)]);

    master.delete("/purge/LiveDoor").await.ok();
    assert!(fence(&master, "LiveDoor", &mut live).await.is_empty(), "as parse-server: a purge is silent");
}

#[actix_web::test]
async fn writes_by_query_and_files() {
    let server = TestServer::with(live_options(json!({}))).await;
    let master = server.master();
    let mut live = Live::anonymous(&server).await;
    live.subscribe("LiveMany", json!({})).await;
    for n in 1..=3 {
        master.post("/classes/LiveMany", json!({ "n": n, "ACL": { "*": { "read": true } } })).await.ok();
    }
    fence(&master, "LiveMany", &mut live).await;
    let condition = "where=%7B%22n%22%3A%7B%22%24gt%22%3A1%7D%7D";
    let add = json!({ "n": { "__op": "Increment", "amount": 10 } });
    assert_eq!(master.put(&format!("/classes/LiveMany?{condition}"), add).await.ok(), json!({ "count": 2 }));
    let heard = fence(&master, "LiveMany", &mut live).await;
    let mut told: Vec<_> =
        heard.iter().map(|frame| (frame["original"]["n"].as_i64(), frame["object"]["n"].as_i64())).collect();
    told.sort_unstable();
    assert_eq!(told, [(Some(2), Some(12)), (Some(3), Some(13))]);
    assert!(heard[0]["object"]["updatedAt"].is_string());
    master.delete(&format!("/classes/LiveMany?{condition}")).await.ok();
    let mut heard = fence(&master, "LiveMany", &mut live).await;
    heard.sort_by_key(|frame| frame["object"]["n"].as_i64());
    assert_eq!(outline(&heard), [("delete", 12), ("delete", 13)]);

    // A file that has no URL yet crashes parse-server.
    let file = json!({ "__type": "File", "name": "a.txt" });
    let id = id_of(&master.post("/classes/LiveMany", json!({ "file": file })).await.ok());
    let frame = live.hear().await;
    assert_eq!(frame["object"]["objectId"], id.as_str());
    assert_eq!(frame["object"]["file"]["name"], "a.txt");
}

#[actix_web::test]
async fn users_sessions_and_installations() {
    let options = json!({ "liveQuery": { "classNames": ["_User", "_Session", "_Installation"] },
        "liveQueryServerOptions": { "keyPairs": { "masterKey": "liveMaster", "restAPIKey": "any" } },
        "enforcePrivateUsers": false });
    let server = TestServer::with(live_options(options)).await;
    let mut live = Live::connect(&server, json!({ "masterKey": "liveMaster" })).await;
    live.subscribe("_User", json!({})).await;
    let mut anyone = Live::connect(&server, json!({ "restAPIKey": "any" })).await;
    anyone.subscribe("_User", json!({})).await;
    let body = json!({ "username": "ann", "password": "secret", "email": "ann@example.org",
        "authData": { "anonymous": { "id": "anon-1" } } });
    let user = server.anonymous().post("/users", body).await.ok();
    let (id, token) = (id_of(&user), user["sessionToken"].as_str().unwrap());
    let frame = live.hear().await;
    assert_eq!((&frame["op"], &frame["object"]["username"]), (&json!("create"), &json!("ann")));
    assert_eq!(frame["object"]["email"], "ann@example.org");
    assert_eq!(frame["object"]["authData"]["anonymous"]["id"], "anon-1");
    let shown = anyone.hear().await;
    assert_eq!(shown["object"]["objectId"], id.as_str());
    for hidden in ["email", "authData", "password", "sessionToken", "_hashed_password", "_email_verify_token"]
    {
        assert_eq!(shown["object"][hidden], Value::Null, "{shown}");
        assert!(frame["object"].get(hidden).is_none() || ["email", "authData"].contains(&hidden), "{frame}");
    }
    server.session(token).put(&format!("/users/{id}"), json!({ "nick": "A" })).await.ok();
    let frame = live.hear().await;
    assert_eq!((&frame["op"], &frame["object"]["nick"]), (&json!("update"), &json!("A")));
    assert!(frame["original"].get("nick").is_none());

    let mut own = Live::connect(&server, json!({ "restAPIKey": "any", "sessionToken": token })).await;
    own.subscribe("_Session", json!({})).await;
    server.anonymous().post("/login", json!({ "username": "ann", "password": "secret" })).await.ok();
    let frame = own.hear().await;
    assert_eq!((&frame["op"], &frame["object"]["user"]["objectId"]), (&json!("create"), &json!(id)));

    let mut phones = Live::connect(&server, json!({ "masterKey": "liveMaster" })).await;
    phones.subscribe("_Installation", json!({ "deviceType": "ios" })).await;
    let phone = json!({ "deviceType": "ios", "installationId": "phone-1", "deviceToken": "t1" });
    server.anonymous().post("/installations", phone).await.ok();
    let frame = phones.hear().await;
    assert_eq!((&frame["op"], &frame["object"]["installationId"]), (&json!("create"), &json!("phone-1")));
}

#[actix_web::test]
async fn cloud_code_writes() {
    let folder = folder_with(
        "Parse.Cloud.define('save', async request => {
            const object = new Parse.Object('LiveCloud');
            const options = request.params.master ? { useMasterKey: true } : { sessionToken: request.user.getSessionToken() };
            await object.save({ n: 1 }, options);
            await object.save({ n: 2 }, options);
            await object.destroy(options);
        });
        Parse.Cloud.beforeSave('LiveCloud', request => { request.object.set('seen', true); });
        Parse.Cloud.afterSave('LiveOuter', () => new Parse.Object('LiveCloud').save({ n: 7 }, { useMasterKey: true }));",
    );
    let server = TestServer::with(live_options(json!({ "cloud": folder.path().join("main.js") }))).await;
    let (_, token) = crate::users_sign_up::sign_up(&server.anonymous(), "ann").await;
    let mut live = Live::anonymous(&server).await;
    live.subscribe("LiveCloud", json!({ "seen": true })).await;
    for (client, master) in [(server.master(), true), (server.session(&token), false)] {
        client.post("/functions/save", json!({ "master": master })).await.ok();
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(live.hear().await);
        }
        assert_eq!(outline(&heard), [("create", 1), ("update", 2), ("delete", 2)]);
    }
    server.anonymous().post("/classes/LiveOuter", json!({})).await.ok();
    assert_eq!(outline(&[live.hear().await]), [("create", 7)]);
}

/// The last statement that wrote the class, as PostgreSQL saw it.
async fn last_update(postgres: &tokio_postgres::Client, class: &str) -> String {
    let rows = postgres
        .query(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE $1 \
             ORDER BY query_start DESC LIMIT 1",
            &[&format!("UPDATE public.\"{class}\"%")],
        )
        .await
        .unwrap();
    rows[0].get(0)
}

#[actix_web::test]
async fn nobody_pays_for_what_nobody_hears() {
    let server = TestServer::with(live_options(json!({}))).await;
    let master = server.master();
    let postgres = server.database().connect().await;
    let mut live = Live::anonymous(&server).await;
    for class in ["Silent", "LiveUnheard", "LiveHeard"] {
        if class == "LiveHeard" {
            live.subscribe(class, json!({})).await;
        }
        let id = id_of(&master.post(&format!("/classes/{class}"), json!({ "n": 0 })).await.ok());
        let path = format!("/classes/{class}/{id}");
        // A server that has just started does not know yet who listens elsewhere.
        let query = wait::until_some("a statement of the expected form", async || {
            master.put(&path, json!({ "n": 1 })).await.ok();
            let query = last_update(&postgres, class).await;
            (query.contains("FOR UPDATE") == (class == "LiveHeard")).then_some(query)
        })
        .await;
        assert_eq!(query.contains("RETURNING"), class == "LiveHeard", "{query}");
    }
}
