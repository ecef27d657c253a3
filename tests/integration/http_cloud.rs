//! Cloud Code through a real server: functions, triggers, jobs and what SDK calls may do.
//!
//! Needs `node` and the npm package `parse`, as `cloud_host` does.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::support::wait;

const MAIN: &str = r#"
Parse.Cloud.define('echo', request => request.params);
Parse.Cloud.define('nothing', () => {});
Parse.Cloud.define('whoami', request => ({
  master: request.master, user: request.user ? 'user' : 'nobody', context: request.context,
  header: request.headers['x-mine'] || null, installation: request.installationId || null,
}));
Parse.Cloud.define('fails', () => { throw new Parse.Error(4242, 'told so'); });
Parse.Cloud.define('file', request => ({
  name: request.params.f.filename, text: Buffer.from(request.params.f.data).toString(), plain: request.params.a,
}));
Parse.Cloud.define('logIn', async request => {
  const made = await new Parse.User().signUp({ username: 'made', password: 'by code' });
  const user = await Parse.User.logIn('made', 'by code');
  return [made.getSessionToken() === undefined, user.getSessionToken(), request.installationId === undefined];
});
Parse.Cloud.define('save', async request => {
  const object = new Parse.Object('Guarded');
  return (await object.save({ by: 'function' }, { useMasterKey: request.params.master === true })).id;
});
Parse.Cloud.define('batch', async () => {
  const objects = [1, 2, 3].map(n => new Parse.Object('Many', { n }));
  await Parse.Object.saveAll(objects, { useMasterKey: true });
  return new Parse.Query('Many').count({ useMasterKey: true });
});
Parse.Cloud.beforeSave('Checked', request => {
  if (request.object.get('n') < 0) throw 'negative';
  request.object.set('seen', true);
});
Parse.Cloud.job('work', async request => {
  request.message('half done');
  await new Parse.Object('Worked').save({ by: request.params.by }, { useMasterKey: true });
  return 'all done';
});
Parse.Cloud.afterSave('Answered', request => {
  switch (request.object.get('kind')) {
    case 'array': return [1, { a: 1 }];
    case 'objects': return [request.object];
    case 'date': return new Date(0);
    case 'empty': return {};
    case 'text': return 'ignored';
    case 'other': return new Parse.Object('Other', { a: 1, p: Parse.Object.createWithoutData('x') });
    default: return undefined;
  }
});
Parse.Cloud.beforeSave('Listed', request => { request.object.addUnique('marks', 'm'); });
Parse.Cloud.afterSave('Listed', request => { request.object.set('shown', request.object.get('tags')); });
Parse.Cloud.afterSave('_Role', request => { request.object.set('heard', request.object.getName()); });
Parse.Cloud.beforeSave(Parse.Config, request => { if (request.params === 1) throw 'no'; });
"#;

/// A server with the code above, and the folder the code is in.
async fn start() -> (TestServer, tempfile::TempDir) {
    let folder = folder_with(MAIN);
    let server = TestServer::with(json!({"cloud": folder.path().join("main.js")})).await;
    (server, folder)
}

pub fn folder_with(main: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("main.js"), main).unwrap();
    std::os::unix::fs::symlink(node_modules(), folder.path().join("node_modules")).unwrap();
    folder
}

fn node_modules() -> PathBuf {
    std::env::var_os("PARSIMONY_TEST_NODE_MODULES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules"), PathBuf::from)
}

#[actix_web::test]
async fn functions() {
    let (server, _folder) = start().await;
    let client = server.anonymous();
    let result =
        async |name: &str, params: Value| client.post(&format!("/functions/{name}"), params).await.ok();
    assert_eq!(
        result("echo", json!({"a": [1, {"b": null}]})).await,
        json!({"result": {"a": [1, {"b": null}]}})
    );
    assert_eq!(result("nothing", json!({})).await, json!({}));
    assert_eq!(client.post("/functions/fails", json!({})).await.error(), (400, 4242, "told so"));
    let with_query = client.post("/functions/echo?c=1&d[e]=f", json!({"a": 1})).await.ok();
    assert_eq!(with_query["result"], json!({"a": 1, "c": "1", "d": {"e": "f"}}));
    let headers =
        [("X-Mine", "yes"), ("X-Parse-Installation-Id", "inst"), ("X-Parse-Cloud-Context", r#"{"k":1}"#)];
    let who = client.send_with(Method::POST, "/functions/whoami", Some("{}".into()), &headers).await.ok();
    assert_eq!(
        who["result"],
        json!({"master": false, "user": "nobody", "context": {"k": 1}, "header": "yes", "installation": "inst"})
    );
    let kind = [("Content-Type", "multipart/form-data; boundary=X")];
    let form = "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nplain\r\n--X\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n--X--\r\n";
    let file = client.send_with(Method::POST, "/functions/file", Some(form.into()), &kind).await.ok();
    assert_eq!(file["result"], json!({"name": "f.txt", "text": "content", "plain": "plain"}));
}

#[actix_web::test]
async fn sdk_calls_have_the_rights_they_name() {
    let (server, _folder) = start().await;
    let master = server.master();
    let closed = json!({"classLevelPermissions": {"create": {}, "find": {}, "get": {}}});
    master.post("/schemas/Guarded", closed).await.ok();
    // The caller's master key is not handed on.
    let refused = master.post("/functions/save", json!({})).await;
    assert_eq!(refused.error(), (400, 119, "Permission denied"));
    let saved = server.anonymous().post("/functions/save", json!({"master": true})).await.ok();
    let id = saved["result"].as_str().unwrap();
    assert_eq!(master.get(&format!("/classes/Guarded/{id}")).await.ok()["by"], "function");
    assert_eq!(server.anonymous().post("/functions/batch", json!({})).await.ok(), json!({"result": 3}));
}

#[actix_web::test]
async fn code_logs_users_in() {
    let (server, _folder) = start().await;
    let result = server.master().post("/functions/logIn", json!({})).await.ok();
    let [no_token, token, no_installation] = &result["result"].as_array().unwrap()[..] else {
        panic!("{result}")
    };
    assert_eq!((no_token, no_installation), (&json!(true), &json!(true)));
    let me = server.session(token.as_str().unwrap()).get("/users/me").await.ok();
    assert_eq!(me["username"], "made");
}

#[actix_web::test]
async fn triggers_run_in_batches_too() {
    let (server, _folder) = start().await;
    let item = |n: i32| json!({"method": "POST", "path": "/parse/classes/Checked", "body": {"n": n}});
    let batch = json!({"requests": [item(1), item(-1), item(2)]});
    let answers = server.anonymous().post("/batch", batch).await.ok();
    assert_eq!(answers[0]["success"]["seen"], true);
    assert_eq!(answers[1]["error"], json!({"code": 141, "error": "negative"}));
    assert_eq!(answers[2]["success"]["seen"], true);
}

#[actix_web::test]
async fn what_after_save_returns_is_the_answer() {
    let (server, _folder) = start().await;
    let client = server.anonymous();
    let save = async |kind: &str| client.post("/classes/Answered", json!({ "kind": kind })).await.ok();
    assert_eq!(save("array").await, json!([1, {"a": 1}]));
    assert_eq!(save("objects").await[0]["kind"], "objects");
    assert_eq!(save("date").await, "1970-01-01T00:00:00.000Z");
    assert_eq!(save("empty").await, json!({}));
    assert!(save("text").await["createdAt"].is_string());
    assert_eq!(save("other").await, json!({"a": 1}), "of an SDK object, what the client can use");
    let id = save("plain").await["objectId"].as_str().unwrap().to_owned();
    let path = format!("/classes/Answered/{id}");
    assert_eq!(client.put(&path, json!({"kind": "array"})).await.ok(), json!([1, {"a": 1}]));
    let item = json!({"method": "POST", "path": "/parse/classes/Answered", "body": {"kind": "array"}});
    let batch = client.post("/batch", json!({ "requests": [item] })).await.ok();
    assert_eq!(batch, json!([{"success": [1, {"a": 1}]}]));
}

#[actix_web::test]
async fn answers_hold_what_the_client_cannot_know() {
    let (server, _folder) = start().await;
    let client = server.anonymous();
    let target = json!({"__type": "Pointer", "className": "Other", "objectId": "abcdefghij"});
    let add = json!({"__op": "AddRelation", "objects": [target]});
    let data = json!({"tags": ["x", "y"], "o": {"k": 1}, "n": 1.0, "friends": add, "p": target});
    let mut created = client.post("/classes/Listed", data).await.ok();
    let id = created["objectId"].take().as_str().unwrap().to_owned();
    assert!(created.as_object_mut().unwrap().remove("createdAt").is_some());
    let friends = json!({"__type": "Relation", "className": "Other"});
    let marks = json!(["m"]);
    assert_eq!(created, json!({"objectId": null, "friends": friends, "marks": marks, "shown": ["x", "y"]}));
    let update = async |data: Value| {
        let mut answer = client.put(&format!("/classes/Listed/{id}"), data).await.ok();
        let answer = answer.as_object_mut().unwrap();
        assert!(answer.shift_remove("updatedAt").is_some());
        assert_eq!(answer.shift_remove("shown"), Some(json!(["x", "y"])), "the trigger sees the whole list");
        Value::Object(answer.clone())
    };
    // An SDK needs the outcome of its own operators; of the trigger's, only news.
    let unchanged = json!({"tags": {"__op": "AddUnique", "objects": ["x"]}});
    assert_eq!(update(unchanged).await, json!({"tags": ["x", "y"]}));
    assert_eq!(update(json!({"o.k": 2})).await, json!({"o": {"k": 2}}));
    assert_eq!(update(json!({"n": 1, "p": target})).await, json!({}));
    let more = json!({"pals": {"__op": "AddRelation", "objects": [target]}});
    assert_eq!(update(more).await, json!({"pals": friends}));

    let role = json!({"name": "r", "ACL": {}, "users": {"__op": "AddRelation", "objects": [
        {"__type": "Pointer", "className": "_User", "objectId": "abcdefghij"}]}});
    let role = server.master().post("/roles", role).await.ok();
    assert_eq!(role["heard"], "r");
    assert_eq!(role["users"], json!({"__type": "Relation", "className": "_User"}));
}

#[actix_web::test]
async fn jobs_leave_their_status() {
    let (server, _folder) = start().await;
    let master = server.master();
    let started = master.post("/jobs/work", json!({"by": "job"})).await;
    let id = started.headers["x-parse-job-status-id"].as_str().unwrap().to_owned();
    assert_eq!(started.ok(), json!({}));
    let status = wait::until_some("the job to end", async || {
        let status = master.get(&format!("/classes/_JobStatus/{id}")).await.ok();
        (status["status"] != "running").then_some(status)
    })
    .await;
    assert_eq!(status["status"], "succeeded", "{status}");
    assert_eq!(status["message"], "all done");
    assert_eq!((&status["jobName"], &status["source"]), (&json!("work"), &json!("api")));
    // As parse-server's rows.
    assert!(status.get("params").is_none() && status.get("updatedAt").is_none(), "{status}");
    assert_eq!(master.get("/classes/Worked").await.ok()["results"][0]["by"], "job");
    assert_eq!(master.get("/cloud_code/jobs/data").await.ok()["jobs"], json!(["work"]));
    assert_eq!(server.anonymous().get(&format!("/classes/_JobStatus/{id}")).await.error().1, 119);
}

#[actix_web::test]
async fn code_that_cannot_be_loaded_stops_the_start() {
    let folder = folder_with("this is no JavaScript");
    let outcome = TestServer::try_with(json!({"cloud": folder.path().join("main.js")})).await;
    let error = outcome.err().unwrap();
    assert!(error.contains("main.js"), "{error}");
}
