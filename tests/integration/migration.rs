//! What an application that moves over would trip on: each value here is npm parse-server's.

use serde_json::{Value, json};

use crate::http_cloud::folder_with;
use crate::support::live::Live;
use crate::support::server::{APP_ID, TestServer};

/// PHP writes an empty map as `[]`.
#[actix_web::test]
async fn empty_lists_are_empty_maps() {
    let server = TestServer::start().await;
    let master = server.master();
    let lists = json!({"className": "Php", "fields": [], "indexes": [], "classLevelPermissions": []});
    let made = master.post("/schemas/Php", lists.clone()).await.ok();
    assert_eq!(made["className"], "Php");
    master.put("/schemas/Php", lists).await.ok();
    let permissions = json!({
        "find": [], "get": {"*": true}, "addField": [], "protectedFields": [], "ACL": [], "readUserFields": [],
    });
    let changed = master.put("/schemas/Php", json!({ "classLevelPermissions": permissions })).await.ok();
    let shown = &changed["classLevelPermissions"];
    assert_eq!(
        (&shown["find"], &shown["addField"], &shown["get"]),
        (&json!({}), &json!({}), &json!({"*": true}))
    );
    let refused = json!({"classLevelPermissions": {"find": [1]}});
    assert_eq!(master.put("/schemas/Php", refused).await.error().1, 107);
    assert_eq!(master.put("/schemas/Php", json!({"indexes": ["a"]})).await.error().1, 102);

    let client = server.anonymous();
    client.post("/classes/Other", json!({"n": 1})).await.ok();
    assert_eq!(client.find("Other", json!({"where": []})).await.ok()["results"].as_array().unwrap().len(), 1);
    let pointer = client.post("/classes/Other", json!({"n": 2})).await.ok();
    let pointer = json!({"__type": "Pointer", "className": "Other", "objectId": pointer["objectId"]});
    client.post("/classes/Holder", json!({ "p": pointer })).await.ok();
    let inner = json!({"where": {"p": {"$inQuery": {"className": "Other", "where": []}}}});
    assert_eq!(client.find("Holder", inner).await.ok()["results"].as_array().unwrap().len(), 1);
    // Nobody's object, as `{}` makes it.
    let closed = client.post("/classes/Other", json!({"ACL": [], "n": 3})).await.ok();
    let path = format!("/classes/Other/{}", closed["objectId"].as_str().unwrap());
    assert_eq!(client.get(&path).await.error().1, 101);
    assert_eq!(master.get(&path).await.ok()["n"], 3);
}

#[actix_web::test]
async fn who_may_not_add_fields_is_told_so_first() {
    let server = TestServer::start().await;
    let permissions = json!({"create": {"*": true}, "find": {"*": true}, "addField": {}});
    let class = json!({"fields": {"n": {"type": "Number"}}, "classLevelPermissions": permissions});
    server.master().post("/schemas/Closed", class).await.ok();
    let client = server.anonymous();
    for body in [
        json!({"other": 1, "n": "text"}),
        json!({"n": "text", "other": {"__type": "Nonsense"}}),
        json!({"other.a": 1, "n": []}),
    ] {
        let refused = client.post("/classes/Closed", body.clone()).await;
        assert_eq!(refused.error().1, 119, "{body}: {}", refused.text);
    }
    assert_eq!(client.post("/classes/Closed", json!({"n": "text"})).await.error().1, 111);
    assert_eq!(
        client.post("/classes/Closed", json!({"n": "x", "gone": {"__op": "Delete"}})).await.error().1,
        111
    );
    client.post("/classes/Closed", json!({"n": 1})).await.ok();
}

#[actix_web::test]
async fn durations_may_be_fractions() {
    let server = TestServer::with(json!({"sessionLength": 0.5})).await;
    let made = server.anonymous().post("/users", json!({"username": "a", "password": "p"})).await.ok();
    let sessions = server.master().get("/sessions").await.ok();
    let session = &sessions["results"][0];
    let at = |value: &Value| chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
    let length = at(&session["expiresAt"]["iso"]) - at(&session["createdAt"]);
    assert!((300..700).contains(&length.num_milliseconds()), "{length} of {made}");
}

/// beforeFind of a class runs for aggregates, for the sub-queries of a `distinct`, and of a subscription.
#[actix_web::test]
async fn before_find_runs_for_every_query() {
    let folder = folder_with(
        "Parse.Cloud.beforeFind('Guarded', request => {
           if (request.query.toJSON().where.stop) throw 'stopped';
           request.query.equalTo('open', true);
         });
         Parse.Cloud.beforeFind('Denied', () => { throw new Parse.Error(4711, 'not you'); });",
    );
    let server = TestServer::with(json!({
        "cloud": folder.path().join("main.js"),
        "liveQuery": {"classNames": ["Holder"]},
        "startLiveQueryServer": true,
    }))
    .await;
    let master = server.master();
    for open in [true, false] {
        let made = master.post("/classes/Guarded", json!({"open": open, "n": 1})).await.ok();
        let pointer = json!({"__type": "Pointer", "className": "Guarded", "objectId": made["objectId"]});
        master.post("/classes/Holder", json!({"p": pointer, "open": open})).await.ok();
    }
    master.post("/classes/Denied", json!({"n": 1})).await.ok();
    let denied = master.get("/aggregate/Denied?$match={%22n%22:1}").await;
    assert_eq!(denied.error().1, 4711, "{}", denied.text);
    assert_eq!(master.get("/aggregate/Denied?distinct=n").await.error().1, 4711);
    assert_eq!(master.get("/aggregate/Guarded?distinct=open").await.ok()["results"], json!([true]));
    let inner = r#"{"p":{"$inQuery":{"className":"Guarded","where":{"n":1}}}}"#;
    let path = format!("/aggregate/Holder?distinct=open&where={}", inner.replace('"', "%22"));
    assert_eq!(master.get(&path).await.ok()["results"], json!([true]));

    let mut live = Live::connect(&server, json!({"applicationId": APP_ID})).await;
    let stopped = json!({"className": "Holder", "where":
        {"p": {"$inQuery": {"className": "Guarded", "where": {"stop": true}}}}});
    let refused = live.try_subscribe(stopped).await;
    assert_eq!((&refused["op"], &refused["error"]), (&json!("error"), &json!("stopped")), "{refused}");
}

/// Who may not ask a class at all learns that, and not how its sub-query is wrong.
#[actix_web::test]
async fn rights_come_before_mistakes_in_sub_queries() {
    let server = TestServer::start().await;
    let fields = json!({"secret": {"type": "String"}, "n": {"type": "Number"}});
    let hidden = json!({"find": {"*": true}, "get": {"*": true}, "protectedFields": {"*": ["secret"]}});
    server
        .master()
        .post("/schemas/Hidden", json!({"fields": fields, "classLevelPermissions": hidden}))
        .await
        .ok();
    server.master().post("/schemas/Shut", json!({"classLevelPermissions": {"find": {}}})).await.ok();
    server.master().post("/schemas/Outer", json!({})).await.ok();
    let client = server.anonymous();
    for (class, inner) in [
        ("Hidden", json!({"secret": {"$regex": 5}})),
        ("Hidden", json!({"$or": [{"n": 1}, {"secret": {"$nonsense": 5}}]})),
        ("Shut", json!({"n": {"$nonsense": 5}})),
    ] {
        for operator in ["$inQuery", "$notInQuery"] {
            let condition = json!({"p": {operator: {"className": class, "where": inner}}});
            let refused = client.find("Outer", json!({ "where": condition })).await;
            assert_eq!(refused.error().1, 119, "{condition}: {}", refused.text);
        }
    }
    let wrong = json!({"p": {"$inQuery": {"className": "Hidden", "where": {"n": {"$nonsense": 5}}}}});
    assert_eq!(client.find("Outer", json!({ "where": wrong })).await.error().1, 107);
}

#[actix_web::test]
async fn analytics_events_reach_the_adapter() {
    let folder = folder_with("");
    let adapter = "module.exports = {
      appOpened: (parameters, req) => ({ opened: parameters.at, ip: req.ip }),
      trackEvent: async (name, parameters, req) => {
        if (name === 'fails') throw new Error('no');
        return { name, dimensions: parameters.dimensions, master: req.auth.isMaster };
      },
    };";
    std::fs::write(folder.path().join("analytics.js"), adapter).unwrap();
    let server = TestServer::with(json!({"analyticsAdapter": folder.path().join("analytics.js")})).await;
    let client = server.anonymous();
    let opened = client.post("/events/AppOpened", json!({"at": 7})).await.ok();
    assert_eq!(opened, json!({"opened": 7, "ip": "127.0.0.1"}));
    let event = json!({"dimensions": {"a": "b"}});
    let expected = json!({"name": "played", "dimensions": {"a": "b"}, "master": false});
    assert_eq!(client.post("/events/played", event).await.ok(), expected);
    assert_eq!(client.post("/events/fails", json!({})).await.ok(), json!({}));
}

/// As the REST guide writes them.
#[actix_web::test]
async fn files_by_their_name_pass_through_triggers() {
    let folder = folder_with(
        "Parse.Cloud.beforeSave('Named', request => {
           const file = request.object.get('f');
           request.object.set('seen', [file.name(), file.url().endsWith('/x.txt')]);
         });
         Parse.Cloud.beforeSave('Quiet', () => {});
         Parse.Cloud.afterSave('Quiet', () => {});",
    );
    let server = TestServer::with(json!({"cloud": folder.path().join("main.js")})).await;
    let client = server.anonymous();
    for class in ["Named", "Quiet", "Plain"] {
        let file = json!({"__type": "File", "name": "x.txt"});
        let made = client.post(&format!("/classes/{class}"), json!({"f": file, "list": [file]})).await.ok();
        let path = format!("/classes/{class}/{}", made["objectId"].as_str().unwrap());
        client.put(&path, json!({"n": 1})).await.ok();
        let stored = client.get(&path).await.ok();
        assert_eq!(stored["f"]["name"], "x.txt", "{class}: {stored}");
        assert!(stored["f"]["url"].as_str().unwrap().ends_with("/files/test/x.txt"), "{class}: {stored}");
        if class == "Named" {
            assert_eq!(stored["seen"], json!(["x.txt", true]));
        }
    }
}

/// Ids and names that are no texts are stored as the texts of these; a pointer without an id is none.
#[actix_web::test]
async fn odd_ids_of_pointers() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let pointer = |id: Value| json!({"__type": "Pointer", "className": "Other", "objectId": id});
    for (id, stored) in [(json!(5), "5"), (json!(true), "true"), (json!("a b"), "a b")] {
        let made = client.post("/classes/Odd", json!({"p": pointer(id.clone())})).await.ok();
        let path = format!("/classes/Odd/{}", made["objectId"].as_str().unwrap());
        assert_eq!(client.get(&path).await.ok()["p"], pointer(stored.into()), "{id}");
        let found = client.find("Odd", json!({"where": {"p": pointer(id.clone())}})).await.ok();
        assert_eq!(found["results"][0]["objectId"], made["objectId"], "{id}");
    }
    let none = json!({"p": {"__type": "Pointer", "className": "Other"}});
    let made = client.post("/classes/Odd", none.clone()).await.ok();
    let path = format!("/classes/Odd/{}", made["objectId"].as_str().unwrap());
    assert!(client.get(&path).await.ok().get("p").is_none());
    client.put(&path, json!({"p": pointer("x".into())})).await.ok();
    client.put(&path, none).await.ok();
    assert!(client.get(&path).await.ok().get("p").is_none());
    let made = client.post("/classes/Odd", json!({"f": {"__type": "File", "name": 5}})).await.ok();
    let path = format!("/classes/Odd/{}", made["objectId"].as_str().unwrap());
    assert_eq!(client.get(&path).await.ok()["f"]["name"], "5");
}

/// The peer's own log lines of requests, for the dashboard and PHP's ParseLogs.
#[actix_web::test]
async fn requests_are_in_the_log_at_level_verbose() {
    let folder = tempfile::tempdir().unwrap();
    let options = json!({"verbose": true, "silent": true, "logsFolder": folder.path()});
    let database = crate::support::database::TestDatabase::empty().await;
    let mut program = crate::http_process::Program::on_free_port(&database, &options);
    program.until_healthy();
    let client = crate::support::server::Client::at(program.port());
    let user = json!({"username": "seen", "password": "unseen-secret"});
    let made = client.post("/parse/users", user).await.ok();
    client.get("/parse/login?username=seen&password=unseen-secret").await.ok();
    client.get("/parse/classes/Logged?where=%7B%22a%22%3A1%7D").await.ok();
    let master = [("X-Parse-Master-Key", "master")];
    let lines =
        client.send_with(reqwest::Method::GET, "/parse/scriptlog?n=100&level=info", None, &master).await.ok();
    let messages: Vec<_> =
        lines.as_array().unwrap().iter().filter_map(|line| line["message"].as_str()).collect();
    let has = |start: &str| messages.iter().any(|message| message.starts_with(start));
    assert!(has("REQUEST for [POST] /parse/users: {"), "{messages:#?}");
    assert!(has("RESPONSE from [POST] /parse/users: {"), "{messages:#?}");
    assert!(has("REQUEST for [GET] /parse/login?username=********&password=********: {}"), "{messages:#?}");
    let line = lines.as_array().unwrap().iter().find(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("REQUEST for [GET] /parse/classes/Logged"))
    });
    let line = line.unwrap_or_else(|| panic!("{messages:#?}"));
    assert_eq!((&line["method"], &line["level"]), (&json!("GET"), &json!("verbose")));
    assert_eq!(line["url"], "/parse/classes/Logged?where=%7B%22a%22%3A1%7D");
    assert_eq!(line["headers"]["x-parse-application-id"], "test");
    assert!(
        !lines.to_string().contains("unseen-secret")
            && !lines.to_string().contains(made["sessionToken"].as_str().unwrap()),
        "{lines}"
    );
    let console = program.stop();
    assert!(!console.contains("REQUEST"), "{console}");
    let files = std::fs::read_dir(folder.path()).unwrap();
    let text: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(text.contains("REQUEST for [POST] /parse/users") && !text.contains("unseen-secret"));
}

/// Classes in the place of the server's own checks, as parse-server's `CheckGroup`.
#[actix_web::test]
async fn security_checks_of_the_application() {
    let code = "
      class Doors {
        name() { return 'House'; }
        checks() {
          const check = (title, state) => ({ title, warning: 'Open.', solution: 'Close it.', checkState: () => state });
          return [check('Door', 'success'), check('Window', this.state)];
        }
        async run() { this.state = 'fail'; }
      }
      options.security = { enableCheck: true, checkGroups: [Doors] };";
    let database = crate::support::database::TestDatabase::empty().await;
    let program = crate::http_process::Program::on_free_port(&database, &json!({ "javascript": code }));
    program.until_healthy();
    let client = crate::support::server::Client::at(program.port());
    let master = [("X-Parse-Master-Key", "master")];
    let report = client.send_with(reqwest::Method::GET, "/parse/security", None, &master).await.ok();
    let window = json!({"title": "Window", "state": "fail", "warning": "Open.", "solution": "Close it."});
    let house =
        json!({"name": "House", "state": "fail", "checks": [{"title": "Door", "state": "success"}, window]});
    assert_eq!(report["report"], json!({"version": "1.0.0", "state": "fail", "groups": [house]}));
}
