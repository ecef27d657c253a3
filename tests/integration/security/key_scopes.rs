//! What the read-only master key and the maintenance key must not do, route by route: a route that is
//! in the table of `http::routes` and not here fails the test until somebody has decided what it is.

use parsimony::cloud::Method;
use reqwest::Method as HttpMethod;
use serde_json::{Value, json};

use crate::support::server::{APP_ID, Client, MASTER_KEY, TestServer};
use crate::users_sign_up::sign_up;

const READ_ONLY: &str = "may-only-read";
const MAINTENANCE: &str = "may-maintain";

/// What a route is to somebody with the read-only master key.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Answered, and nothing changes.
    Reads,
    /// 119.
    Writes,
    /// Does the same for everybody: its effect comes from a password, a token or a mail address.
    Public,
}

use Kind::{Public, Reads, Writes};

/// Method, pattern, kind, body.
fn routes() -> Vec<(Method, &'static str, Kind, Value)> {
    use Method::{Delete, Get, Post, Put};
    let none = || json!({});
    let hook = || json!({"functionName": "made", "url": "http://127.0.0.1:9/"});
    let trigger = || json!({"className": "Thing", "triggerName": "beforeSave", "url": "http://127.0.0.1:9/"});
    vec![
        (Get, "/classes/:className", Reads, none()),
        (Get, "/classes/:className/:objectId", Reads, none()),
        (Post, "/classes/:className", Writes, json!({"n": 2})),
        (Put, "/classes/:className", Writes, json!({"n": 2, "where": {"n": 1}})),
        (Delete, "/classes/:className", Writes, json!({"where": {"n": 1}})),
        (Put, "/classes/:className/:objectId", Writes, json!({"n": 2})),
        (Delete, "/classes/:className/:objectId", Writes, none()),
        (
            Post,
            "/batch",
            Reads,
            json!({"requests": [
                {"method": "POST", "path": "/parse/classes/Thing", "body": {"n": 2}},
                {"method": "DELETE", "path": "/parse/schemas/Empty", "body": {}},
                {"method": "PUT", "path": "/parse/config", "body": {"params": {"a": 2}}},
            ]}),
        ),
        (Post, "/functions/:functionName", Public, none()),
        (Post, "/jobs/:jobName", Writes, none()),
        (Post, "/jobs", Writes, json!({"jobName": "anything"})),
        (Get, "/config", Reads, none()),
        (Put, "/config", Writes, json!({"params": {"a": 2}})),
        (Get, "/cloud_code/jobs", Reads, none()),
        (Get, "/cloud_code/jobs/data", Reads, none()),
        (Post, "/cloud_code/jobs", Writes, json!({"job_schedule": {"jobName": "anything"}})),
        (Put, "/cloud_code/jobs/:objectId", Writes, json!({"job_schedule": {"jobName": "anything"}})),
        (Delete, "/cloud_code/jobs/:objectId", Writes, none()),
        (Get, "/aggregate/:className", Reads, none()),
        (Get, "/schemas", Reads, none()),
        (Post, "/schemas", Writes, json!({"className": "Made"})),
        (Get, "/schemas/:className", Reads, none()),
        (Post, "/schemas/:className", Writes, none()),
        (Put, "/schemas/:className", Writes, json!({"fields": {"x": {"type": "String"}}})),
        (Delete, "/schemas/:className", Writes, none()),
        (Delete, "/purge/:className", Writes, none()),
        (Post, "/validate_purchase", Public, json!({"receipt": "x", "productIdentifier": "x"})),
        (Post, "/push", Writes, json!({"where": {}, "data": {"alert": "x"}})),
        (Post, "/push/opened", Public, none()),
        (Get, "/push_status", Reads, none()),
        (Get, "/push_status/:objectId", Reads, none()),
        (Put, "/push_status/:objectId", Writes, json!({"status": "paused"})),
        (Get, "/push_status/:objectId/report", Reads, none()),
        (Get, "/hooks/functions", Reads, none()),
        (Get, "/hooks/triggers", Reads, none()),
        (Get, "/hooks/functions/:functionName", Reads, none()),
        (Get, "/hooks/triggers/:className/:triggerName", Reads, none()),
        (Post, "/hooks/functions", Writes, hook()),
        (Post, "/hooks/triggers", Writes, trigger()),
        (Put, "/hooks/functions/:functionName", Writes, json!({"__op": "Delete"})),
        (Put, "/hooks/triggers/:className/:triggerName", Writes, json!({"url": "http://127.0.0.1:9/"})),
        (Post, "/events/AppOpened", Public, none()),
        (Post, "/events/:eventName", Public, none()),
        (Get, "/scriptlog", Reads, none()),
        (Get, "/openapi.json", Reads, none()),
        (Get, "/serverInfo", Reads, none()),
        (Get, "/graphql-config", Reads, none()),
        (Put, "/graphql-config", Writes, json!({"params": {"enabledForClasses": ["A"]}})),
        (Get, "/login", Public, none()),
        (Post, "/login", Public, none()),
        (Post, "/loginAs", Writes, json!({"userId": "USER"})),
        (Post, "/logout", Public, none()),
        (Get, "/users/me", Public, none()),
        (Get, "/sessions/me", Public, none()),
        (Get, "/verifyPassword", Public, none()),
        (Post, "/verifyPassword", Public, none()),
        (Post, "/requestPasswordReset", Public, none()),
        (Post, "/verificationEmailRequest", Public, none()),
        (Post, "/challenge", Public, none()),
        (Get, "/security", Reads, none()),
        (Post, "/upgradeToRevocableSession", Public, none()),
        (Get, "/users", Reads, none()),
        (Get, "/users/:objectId", Reads, none()),
        (Post, "/users", Writes, json!({"username": "new", "password": "secret"})),
        (Put, "/users/:objectId", Writes, json!({"n": 1})),
        (Delete, "/users/:objectId", Writes, none()),
        (Get, "/sessions", Reads, none()),
        (Get, "/sessions/:objectId", Reads, none()),
        (Post, "/sessions", Writes, none()),
        (Put, "/sessions/:objectId", Writes, json!({"n": 1})),
        (Delete, "/sessions/:objectId", Writes, none()),
        (Get, "/roles", Reads, none()),
        (Get, "/roles/:objectId", Reads, none()),
        (Post, "/roles", Writes, json!({"name": "new", "ACL": {}})),
        (Put, "/roles/:objectId", Writes, json!({"n": 1})),
        (Delete, "/roles/:objectId", Writes, none()),
        (Get, "/installations", Reads, none()),
        (Get, "/installations/:objectId", Reads, none()),
        (Post, "/installations", Writes, json!({"deviceType": "ios", "installationId": "new"})),
        (Put, "/installations/:objectId", Writes, json!({"n": 1})),
        (Delete, "/installations/:objectId", Writes, none()),
        (Get, "/push_audiences", Reads, none()),
        (Get, "/push_audiences/:objectId", Reads, none()),
        (Post, "/push_audiences", Writes, json!({"name": "new", "query": "{}"})),
        (Put, "/push_audiences/:objectId", Writes, json!({"name": "x"})),
        (Delete, "/push_audiences/:objectId", Writes, none()),
    ]
}

#[test]
fn every_route_is_classified() {
    let known: Vec<_> = routes().iter().map(|(method, pattern, ..)| (*method, *pattern)).collect();
    let there: Vec<_> = parsimony::http::table().map(|(method, pattern, _)| (method, pattern)).collect();
    for route in &there {
        assert!(
            known.contains(route),
            "{route:?} is new: say here what the read-only master key may do there"
        );
    }
    for route in &known {
        assert!(there.contains(route), "{route:?} is gone");
    }
}

fn options() -> Value {
    json!({"readOnlyMasterKey": READ_ONLY, "maintenanceKey": MAINTENANCE,
        "enableProductPurchaseLegacyApi": true})
}

/// One object of everything, and the ids that the routes' parameters take.
struct Stock {
    ids: Vec<(&'static str, String)>,
    user: String,
}

async fn stock(server: &TestServer) -> Stock {
    let master = server.master();
    let id = async |path: &str, body: Value| {
        master.post(path, body).await.ok()["objectId"].as_str().unwrap().to_owned()
    };
    let (user, token) = sign_up(&server.anonymous(), "ann").await;
    let session = server.session(&token).get("/sessions/me").await.ok();
    let ids = vec![
        ("/classes", id("/classes/Thing", json!({"n": 1})).await),
        ("/users", user.clone()),
        ("/sessions", session["objectId"].as_str().unwrap().to_owned()),
        ("/roles", id("/roles", json!({"name": "staff", "ACL": {}})).await),
        ("/installations", id("/installations", json!({"deviceType": "ios", "installationId": "i"})).await),
        ("/push_audiences", id("/push_audiences", json!({"name": "all", "query": "{}"})).await),
        ("/push_status", id("/classes/_PushStatus", json!({"status": "succeeded"})).await),
        ("/cloud_code", id("/classes/_JobSchedule", json!({"jobName": "x"})).await),
    ];
    master.post("/schemas", json!({"className": "Empty"})).await.ok();
    master.put("/config", json!({"params": {"a": 1}})).await.ok();
    master.post("/hooks/functions", json!({"functionName": "f", "url": "http://127.0.0.1:9/"})).await.ok();
    let hook = json!({"className": "Hooked", "triggerName": "beforeSave", "url": "http://127.0.0.1:9/"});
    master.post("/hooks/triggers", hook).await.ok();
    Stock { ids, user }
}

fn path_of(method: Method, pattern: &str, stock: &Stock) -> String {
    // A class that may be dropped is one without objects, one that may be made is none yet.
    let class = match (method, pattern) {
        (Method::Delete, "/schemas/:className") => "Empty",
        (Method::Post, "/schemas/:className") => "Made",
        (_, pattern) if pattern.starts_with("/hooks") => "Hooked",
        _ => "Thing",
    };
    let id = stock.ids.iter().find(|(prefix, _)| pattern.starts_with(prefix)).map_or("x", |(_, id)| id);
    pattern
        .replace(":className", class)
        .replace(":objectId", id)
        .replace(":functionName", "f")
        .replace(":triggerName", "beforeSave")
        .replace(":jobName", "anything")
        .replace(":eventName", "anything")
}

/// Everything that is stored, as one hash.
async fn contents(database: &tokio_postgres::Client) -> String {
    let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                  WHERE schemaname IN ('public', 'parsimony') ORDER BY 1";
    let mut all = String::new();
    for row in database.query(tables, &[]).await.unwrap() {
        let table: String = row.get(0);
        let sql =
            format!("SELECT coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '-') FROM {table} t");
        let hash: String = database.query_one(&sql, &[]).await.unwrap().get(0);
        all.push_str(&format!("{table} {hash}\n"));
    }
    all
}

fn http(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::GET,
        Method::Post => HttpMethod::POST,
        Method::Put => HttpMethod::PUT,
        Method::Delete => HttpMethod::DELETE,
    }
}

#[actix_web::test]
async fn the_read_only_key_writes_by_no_route() {
    let server = TestServer::with(options()).await;
    let stock = stock(&server).await;
    let database = server.database().connect().await;
    let by_header = server.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", READ_ONLY)]);
    let before = contents(&database).await;
    for (method, pattern, kind, mut body) in routes() {
        let path = path_of(method, pattern, &stock);
        if body["userId"] == "USER" {
            body["userId"] = stock.user.as_str().into();
        }
        // By its own method, and as the JavaScript SDK sends it.
        let mut wrapped = body.clone();
        let more =
            json!({"_method": http(method).as_str(), "_ApplicationId": APP_ID, "_MasterKey": READ_ONLY});
        wrapped.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let plain = if method == Method::Get { None } else { Some(body.to_string().into()) };
        let answers =
            [by_header.send(http(method), &path, plain).await, server.client(&[]).post(&path, wrapped).await];
        for answer in answers {
            match kind {
                // Refused earlier, since no such job is there to be scheduled.
                Writes if pattern.starts_with("/cloud_code") && method != Method::Delete => {
                    assert!([1, 119].contains(&answer.error().1), "{path} {}", answer.text);
                }
                Writes => assert_eq!(answer.error().1, 119, "{method:?} {path} {}", answer.text),
                Reads if pattern == "/security" => assert_eq!(answer.status, 409),
                Reads => assert_eq!(answer.status, 200, "{method:?} {path} {}", answer.text),
                // Needs mail to be set up.
                Public if pattern.ends_with("Reset") || pattern.ends_with("EmailRequest") => {}
                Public => assert_ne!(answer.status, 500, "{method:?} {path} {}", answer.text),
            }
            if pattern == "/batch" {
                let codes: Vec<&Value> =
                    answer.body.as_array().unwrap().iter().map(|item| &item["error"]["code"]).collect();
                assert_eq!(codes, [119, 119, 119], "{}", answer.text);
            }
        }
        assert_eq!(contents(&database).await, before, "{method:?} {path} changed something");
    }
    for (method, path) in [(HttpMethod::POST, "/files/a.txt"), (HttpMethod::DELETE, "/files/a.txt")] {
        let answer =
            by_header.send_with(method, path, Some("text".into()), &[("Content-Type", "text/plain")]).await;
        assert_eq!(answer.status, 403, "{path} {}", answer.text);
    }
    let transaction = json!({"transaction": true, "requests": [
        {"method": "POST", "path": "/parse/classes/Thing", "body": {"n": 2}}]});
    assert_ne!(by_header.post("/batch", transaction).await.status, 200);
    let basic = format!("Basic {}", base64(&format!("{APP_ID}:{READ_ONLY}")));
    let by_basic = server.client(&[("Authorization", &basic)]);
    assert_eq!(by_basic.post("/classes/Thing", json!({})).await.error().1, 119);
    assert_eq!(contents(&database).await, before);
}

/// Whoever may only read does not become, by what is read, somebody who may write.
#[actix_web::test]
async fn the_read_only_key_reads_no_tokens() {
    let server = TestServer::with(options()).await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    let reader = server.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", READ_ONLY)]);
    let sessions = reader.get("/sessions").await;
    let id = sessions.body["results"][0]["objectId"].as_str().expect("a session").to_owned();
    for path in
        ["/sessions".to_owned(), format!("/sessions/{id}"), "/classes/_Session?keys=sessionToken".into()]
    {
        let read = reader.get(&path).await;
        assert_eq!(read.status, 200, "{path} {}", read.text);
        assert!(read.text.contains(&id) && !read.text.contains(&token), "{path} {}", read.text);
        assert!(server.master().get(&path).await.text.contains(&token), "{path}");
    }
    let there = json!({"$exists": true});
    for (class, params) in [
        ("_Session", json!({"where": {"sessionToken": {"$regex": "^r"}}})),
        ("_Session", json!({"order": "sessionToken"})),
        (
            "_Session",
            json!({"where": {"user": {"$inQuery": {
            "className": "_User", "where": {"_perishable_token": there}}}}}),
        ),
        ("_User", json!({"where": {"_perishable_token": there}})),
        ("_User", json!({"where": {"$or": [{"_email_verify_token": there}]}})),
        ("_User", json!({"where": {"_password_history": there}})),
    ] {
        let refused = reader.find(class, params.clone()).await;
        assert_eq!(refused.error(), (400, 119, "Permission denied"), "{params}");
    }
    for (path, params) in [
        ("/aggregate/_Session", json!({"distinct": "sessionToken"})),
        ("/aggregate/_Session", json!({"pipeline": [{"$project": {"x": "$sessionToken"}}]})),
        ("/aggregate/_User", json!({"pipeline": [{"$match": {"_perishable_token": there}}]})),
        (
            "/aggregate/_User",
            json!({"pipeline": [{"$lookup": {
                "from": "_Session", "localField": "objectId", "foreignField": "user", "as": "x"}}]}),
        ),
    ] {
        let refused = reader.find_at(path, params.clone()).await;
        assert_ne!(refused.status, 200, "{params} {}", refused.text);
        assert!(!refused.text.contains(&token), "{params}");
    }
    let counted = reader.find_at("/aggregate/_User", json!({"pipeline": [{"$count": "n"}]})).await.ok();
    assert_eq!(counted["results"][0]["n"], 1);
}

/// Who reads the id of an anonymous user logs in as that user.
#[actix_web::test]
async fn the_read_only_key_reads_no_login_data() {
    let server = TestServer::with(options()).await;
    let anonymous = json!({"authData": {"anonymous": {"id": "victim-1"}}});
    let user = server.anonymous().post("/users", anonymous.clone()).await.ok();
    let id = user["objectId"].as_str().expect("a user");
    let pointer = json!({"__type": "Pointer", "className": "_User", "objectId": id});
    server.master().post("/classes/Door", json!({ "user": pointer })).await.ok();
    let reader = server.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", READ_ONLY)]);
    let shows =
        |class: &str| json!({"from": class, "localField": "user", "foreignField": "objectId", "as": "x"});
    for (path, params) in [
        ("/users", json!({})),
        ("/users", json!({"keys": "authData"})),
        (&*format!("/users/{id}"), json!({})),
        ("/classes/Door", json!({"include": "user"})),
        ("/aggregate/_User", json!({"pipeline": [{"$match": {"objectId": id}}]})),
        ("/aggregate/_User", json!({"pipeline": [{"$group": {"_id": null, "all": {"$push": "$$ROOT"}}}]})),
        ("/aggregate/Door", json!({"pipeline": [{"$lookup": shows("_User")}]})),
    ] {
        let read = reader.find_at(path, params.clone()).await;
        assert_eq!(read.status, 200, "{path} {params} {}", read.text);
        assert!(!read.text.contains("victim-1"), "{path} {params} {}", read.text);
        assert!(read.text.contains(id) || params["keys"] == "authData", "{path} {params} {}", read.text);
    }
    for (path, params) in [
        ("/users", json!({"where": {"authData.anonymous.id": {"$regex": "^v"}}})),
        ("/users", json!({"order": "authData"})),
        (
            "/classes/Door",
            json!({"where": {"user": {"$inQuery": {
            "className": "_User", "where": {"authData.anonymous.id": "victim-1"}}}}}),
        ),
        ("/aggregate/_User", json!({"distinct": "authData"})),
        ("/aggregate/_User", json!({"distinct": "authData.anonymous.id"})),
        ("/aggregate/_User", json!({"pipeline": [{"$match": {"authData.anonymous.id": "victim-1"}}]})),
    ] {
        let refused = reader.find_at(path, params.clone()).await;
        assert_eq!(refused.error().1, 119, "{path} {params} {}", refused.text);
    }
    for projected in ["$authData", "$authData.anonymous.id"] {
        let pipeline = json!({"pipeline": [{"$project": {"x": projected}}]});
        let read = reader.find_at("/aggregate/_User", pipeline).await;
        assert!(!read.text.contains("victim-1"), "{projected} {}", read.text);
    }
    // Nor does it log in as that user by itself.
    assert_ne!(reader.post("/users", anonymous).await.status, 200);
    let all = server.master().get("/users").await;
    assert!(all.text.contains("victim-1"), "{}", all.text);
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The counter-proof: what is refused above is no nonsense.
#[actix_web::test]
async fn the_master_key_writes_by_those_routes() {
    let server = TestServer::with(options()).await;
    let stock = stock(&server).await;
    let writes = routes().into_iter().filter(|(_, _, kind, _)| *kind == Writes);
    for (method, pattern, _, mut body) in writes {
        // Nothing to push to, no job to run.
        let needs_more = (pattern.starts_with("/push") && !pattern.starts_with("/push_"))
            || pattern.starts_with("/jobs")
            || pattern.starts_with("/cloud_code");
        if needs_more {
            continue;
        }
        let path = path_of(method, pattern, &stock);
        if body["userId"] == "USER" {
            body["userId"] = stock.user.as_str().into();
        }
        let answer = server.master().send(http(method), &path, Some(body.to_string().into())).await;
        // Later routes may find gone what earlier ones removed; none is refused.
        let code = answer.error().1;
        assert!(answer.status < 300 || [101, 103, 143].contains(&code), "{method:?} {path} {}", answer.text);
    }
}

#[actix_web::test]
async fn the_maintenance_key_is_no_master_key() {
    let server = TestServer::with(options()).await;
    let stock = stock(&server).await;
    let maintenance =
        server.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Maintenance-Key", MAINTENANCE)]);
    for (method, pattern, wants_master) in parsimony::http::table() {
        if wants_master {
            let path = path_of(method, pattern, &stock);
            let answer = maintenance.send(http(method), &path, Some("{}".into())).await;
            assert_eq!(
                (answer.status, &answer.body),
                (403, &json!({"error": "Permission denied"})),
                "{path}"
            );
        }
    }
    let answer = maintenance.post("/loginAs", json!({"userId": stock.user})).await;
    assert_eq!(answer.error().1, 119);
    // What it is for.
    let path = format!("/users/{}", stock.user);
    maintenance.put(&path, json!({"_failed_login_count": 3})).await.ok();
    assert_eq!(maintenance.get(&path).await.ok()["_failed_login_count"], 3);
    assert!(server.master().get(&path).await.ok().get("_failed_login_count").is_none());
}

/// Addresses from which keys are taken, behind a proxy that is believed and one that is not.
#[actix_web::test]
async fn nobody_forges_the_address_a_key_is_taken_from() {
    let keys = |trust: Value| {
        json!({"masterKeyIps": ["10.0.0.7"], "maintenanceKeyIps": ["10.0.0.7"], "maintenanceKey": MAINTENANCE,
            "readOnlyMasterKey": READ_ONLY, "readOnlyMasterKeyIps": ["10.0.0.7"], "trustProxy": trust})
    };
    let clients = |server: &TestServer| -> Vec<Client> {
        let app = ("X-Parse-Application-Id", APP_ID);
        vec![
            server.client(&[app, ("X-Parse-Master-Key", MASTER_KEY)]),
            server.client(&[app, ("X-Parse-Master-Key", READ_ONLY)]),
            server.client(&[app, ("X-Parse-Maintenance-Key", MAINTENANCE)]),
        ]
    };
    let status = async |client: &Client, headers: &[(&str, &str)]| {
        client.send_with(HttpMethod::GET, "/classes/Thing", None, headers).await.status
    };
    // No proxy is believed: what they say counts for nothing.
    let server = TestServer::with(keys(json!(false))).await;
    for client in clients(&server) {
        for header in ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP"] {
            assert_eq!(status(&client, &[(header, "10.0.0.7")]).await, 403, "{header}");
        }
    }
    // One is believed: it adds the address it saw, whatever came before.
    for trust in [json!(1), json!("loopback"), json!(["127.0.0.1"])] {
        let server = TestServer::with(keys(trust.clone())).await;
        for client in clients(&server) {
            let forwarded = |text: &'static str| [("X-Forwarded-For", text)];
            assert_eq!(status(&client, &forwarded("10.0.0.7")).await, 200, "{trust}");
            assert_eq!(status(&client, &forwarded("10.0.0.7, 203.0.113.5")).await, 403, "{trust}");
            assert_eq!(status(&client, &forwarded("203.0.113.5, 10.0.0.7")).await, 200, "{trust}");
            assert_eq!(status(&client, &forwarded("10.0.0.7, nonsense")).await, 403, "{trust}");
            assert_eq!(status(&client, &forwarded("::ffff:10.0.0.7")).await, 200, "{trust}");
            // A proxy that writes a line of its own below the client's.
            let two_lines = [("X-Forwarded-For", "10.0.0.7"), ("X-Forwarded-For", "203.0.113.5")];
            assert_eq!(status(&client, &two_lines).await, 403, "{trust}");
            assert_eq!(status(&client, &[]).await, 403, "{trust}");
        }
    }
    // A right key from a wrong place is not taken for a client either, wherever it is said.
    let server = TestServer::with(keys(json!(false))).await;
    let body = json!({"_ApplicationId": APP_ID, "_MasterKey": MASTER_KEY, "_method": "GET"});
    assert_eq!(server.client(&[]).post("/classes/Thing", body).await.status, 403);
    let basic = format!("Basic {}", base64(&format!("{APP_ID}:{MASTER_KEY}")));
    assert_eq!(server.client(&[("Authorization", &basic)]).get("/classes/Thing").await.status, 403);
    // A wrong key is none.
    let wrong = server.client(&[("X-Parse-Application-Id", APP_ID), ("X-Parse-Master-Key", "guess")]);
    assert_eq!(wrong.get("/classes/Thing").await.status, 200);
    assert_eq!(wrong.get("/schemas").await.status, 403);
}
