//! Transactions that span a write and what its triggers save.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::http_cloud::folder_with;
use crate::support::server::{Client, TestServer};
use crate::support::wait;

const MAIN: &str = r#"
const master = { useMasterKey: true };
const inside = { transaction: true };
const entry = (what, extra) => new Parse.Object('Entry', { what, ...extra }).save(null, master);
const after = [];
let commit;
const committed = new Promise(resolve => { commit = resolve; });
Parse.Cloud.define('commit', () => commit());

// One transaction: the order, what both triggers save, and what those saves cause.
Parse.Cloud.beforeSave('Order', async ({ object }) => {
  await entry('before', { order: object.get('name') });
  if (object.get('fails') === 'before') throw 'before fails';
  if (object.get('fails') === 'exit') process.exit(3);
  if (object.get('fails') === 'late') {
    committed.then(() => entry('late')).catch(error => after.push(`refused: ${error.message}`));
  }
}, inside);
Parse.Cloud.afterSave('Order', async ({ object }) => {
  const seen = await new Parse.Query('Order').equalTo('objectId', object.id).count(master);
  await entry(`after ${seen}`);
  if (object.get('fails') === 'after') throw 'after fails';
}, inside);
Parse.Cloud.beforeSave('Entry', ({ object }) => { object.set('checked', true); });
Parse.Cloud.afterSave('Entry', async ({ object }) => { after.push(object.get('what')); });
Parse.Cloud.define('afterSaves', () => after.splice(0));

// Outside: the save stands whatever afterSave does.
Parse.Cloud.beforeSave('Half', () => entry('half'), inside);
Parse.Cloud.afterSave('Half', async ({ object }) => {
  after.push(`half ${await new Parse.Query('Half').count(master)}`);
  throw 'too late';
});

// Refused writes that the code goes on after, one by one and side by side.
Parse.Cloud.beforeSave('Careful', async ({ object }) => {
  const unique = name => new Parse.Object('Unique', { name }).save(null, master).then(() => 'saved', error => error.code);
  const codes = [await unique('a'), await unique('a')];
  codes.push(...await Promise.all([unique('b'), unique('a'), unique('b'), unique('c')]));
  codes.push(await new Parse.Query('Unique').matches('name', '(').find(master).then(() => 'found', error => error.code));
  await entry('still here');
  object.set('codes', codes);
  if (object.get('fails')) throw 'no';
}, inside);

Parse.Cloud.beforeDelete('Account', async ({ object }) => {
  await entry('removed');
  if (object.get('kept')) throw 'stays';
}, inside);

// Everything a nested save may do: new classes, new fields, batches, functions.
Parse.Cloud.beforeSave('Wide', async ({ object }) => {
  const n = object.get('n');
  await Parse.Object.saveAll([1, 2, 3].map(i => new Parse.Object('Entry', { what: `w${i}`, [`field${n}`]: i })), master);
  await new Parse.Object(`Fresh${n}`, { n }).save(null, master);
  await Parse.Cloud.run('nested', {}, master);
  if (object.get('fails')) throw 'no';
}, inside);
Parse.Cloud.define('nested', () => entry('by function'));

Parse.Cloud.beforeSave('Counted', async ({ object }) => {
  const counter = Parse.Object.extend('Counter').createWithoutData(object.get('counter'));
  counter.increment('n');
  await counter.save(null, master);
  await new Promise(resolve => setTimeout(resolve, 5));
  await entry('counted');
}, inside);
"#;

async fn start(options: Value) -> (TestServer, tempfile::TempDir) {
    let folder = folder_with(MAIN);
    let mut all = json!({"cloud": folder.path().join("main.js"), "liveQuery": {"classNames": ["Order"]}});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    (TestServer::with(all).await, folder)
}

async fn entries(client: &Client) -> Vec<String> {
    let found = client.get("/classes/Entry?order=createdAt&limit=1000").await.ok();
    let list = found["results"].as_array().unwrap();
    assert!(list.iter().all(|entry| entry["checked"] == true), "nested triggers run: {found}");
    list.iter().map(|entry| entry["what"].as_str().unwrap().to_owned()).collect()
}

async fn count(client: &Client, class: &str) -> u64 {
    client.get(&format!("/classes/{class}?count=1&limit=0")).await.ok()["count"].as_u64().unwrap()
}

async fn after_saves(client: &Client) -> Value {
    client.post("/functions/afterSaves", json!({})).await.ok()["result"].clone()
}

#[actix_web::test]
async fn a_save_and_what_its_triggers_save_stand_or_fall_together() {
    let (server, _folder) = start(json!({})).await;
    let master = server.master();
    let created = server.anonymous().post("/classes/Order", json!({"name": "x"})).await;
    assert_eq!(created.status, 201);
    assert_eq!(entries(&master).await, ["before", "after 1"]);
    assert_eq!(after_saves(&master).await, json!(["before", "after 1"]), "after the commit");

    for (fails, text) in [("before", "before fails"), ("after", "after fails")] {
        let refused = server.anonymous().post("/classes/Order", json!({"name": "y", "fails": fails})).await;
        assert_eq!(refused.error(), (400, 141, text));
    }
    // An update is rolled back too.
    let id = created.ok()["objectId"].as_str().unwrap().to_owned();
    let path = format!("/classes/Order/{id}");
    assert_eq!(master.put(&path, json!({"name": "z", "fails": "after"})).await.error().1, 141);
    assert_eq!(master.get(&path).await.ok()["name"], "x");
    assert_eq!(count(&master, "Order").await, 1);
    assert_eq!(entries(&master).await.len(), 2);
    assert_eq!(after_saves(&master).await, json!([]), "nothing was heard of what was rolled back");
}

#[actix_web::test]
async fn a_host_that_dies_half_way_leaves_nothing() {
    let (server, _folder) = start(json!({})).await;
    let master = server.master();
    let lost = master.post("/classes/Order", json!({"name": "x", "fails": "exit"})).await;
    assert_eq!(lost.error(), (400, 141, "Cloud Code stopped while it ran this call."));
    assert_eq!(count(&master, "Order").await + count(&master, "Entry").await, 0);
    master.post("/classes/Order", json!({"name": "y"})).await.ok();
    assert_eq!(entries(&master).await, ["before", "after 1"]);
}

#[actix_web::test]
async fn what_did_not_ask_for_it_runs_after_the_commit() {
    let (server, _folder) = start(json!({})).await;
    let master = server.master();
    master.post("/classes/Half", json!({})).await.ok();
    assert_eq!(entries(&master).await, ["half"]);
    assert_eq!(after_saves(&master).await, json!(["half", "half 1"]));
    // A save that nobody waited for comes too late.
    master.post("/classes/Order", json!({"fails": "late"})).await.ok();
    master.post("/functions/commit", json!({})).await.ok();
    let told = wait::until_some("the late save", async || {
        let told = after_saves(&master).await;
        let told = told.as_array().unwrap().iter().filter_map(Value::as_str);
        told.map(str::to_owned).find(|what| what.starts_with("refused"))
    })
    .await;
    assert!(told.contains("The transaction of this trigger has ended"), "{told}");
}

#[actix_web::test]
async fn refused_writes_leave_the_transaction_open() {
    let (server, _folder) = start(json!({})).await;
    let master = server.master();
    master.post("/classes/Unique", json!({"name": "x"})).await.ok();
    let index = r#"CREATE UNIQUE INDEX ON "Unique" (name)"#;
    server.database().connect().await.batch_execute(index).await.unwrap();
    let refused = master.post("/classes/Careful", json!({"fails": true})).await;
    assert_eq!(refused.error(), (400, 141, "no"));
    assert_eq!((count(&master, "Unique").await, count(&master, "Entry").await), (1, 0));

    let saved = master.post("/classes/Careful", json!({})).await.ok();
    let codes = saved["codes"].as_array().unwrap();
    assert_eq!(codes[..2], [json!("saved"), json!(137)]);
    let of = |wanted: Value| codes[2..6].iter().filter(|code| **code == wanted).count();
    assert_eq!((of(json!("saved")), of(json!(137))), (2, 2), "{codes:?}");
    assert!(codes[6].is_number(), "{codes:?}");
    assert_eq!((count(&master, "Unique").await, entries(&master).await), (4, vec!["still here".to_owned()]));

    // In a batch's transaction, too.
    let item = json!({"method": "POST", "path": "/parse/classes/Careful", "body": {}});
    let batch = json!({"requests": [item, item], "transaction": true});
    let answers = master.post("/batch", batch).await.ok();
    assert_eq!(answers[1]["success"]["codes"][0], 137, "{answers}");
    assert_eq!(count(&master, "Careful").await, 3);
}

#[actix_web::test]
async fn deletes() {
    let (server, _folder) = start(json!({})).await;
    let master = server.master();
    let path = async |body: Value| {
        let created = master.post("/classes/Account", body).await.ok();
        format!("/classes/Account/{}", created["objectId"].as_str().unwrap())
    };
    let kept = path(json!({"kept": true})).await;
    assert_eq!(master.delete(&kept).await.error(), (400, 141, "stays"));
    assert_eq!((count(&master, "Account").await, count(&master, "Entry").await), (1, 0));
    let gone = path(json!({})).await;
    master.delete(&gone).await.ok();
    assert_eq!((count(&master, "Account").await, count(&master, "Entry").await), (1, 1));
}

#[actix_web::test]
async fn schema_changes_batches_and_functions_inside() {
    let (server, _folder) = start(json!({})).await;
    let master = server.master();
    master.post("/classes/Entry", json!({"what": "first"})).await.ok();
    master.post("/classes/Wide", json!({"n": 1})).await.ok();
    let found = master.get(r#"/classes/Entry?where={"field1":2}"#).await.ok();
    assert_eq!(found["results"][0]["what"], "w2", "{found}");
    assert_eq!(master.post("/classes/Wide", json!({"n": 2, "fails": true})).await.error(), (400, 141, "no"));
    let mut all = entries(&master).await;
    all.sort();
    assert_eq!(all, ["by function", "first", "w1", "w2", "w3"]);
    // Batches: a trigger that asks joins the batch's own transaction.
    let item = |body: Value| json!({"method": "POST", "path": "/parse/classes/Wide", "body": body});
    let batch = |items: Value| json!({"requests": items, "transaction": true});
    master.post("/batch", batch(json!([item(json!({"n": 3})), item(json!({"n": 4, "fails": true}))]))).await;
    assert_eq!(entries(&master).await.len(), 5, "rolled back as a whole");
    master.post("/batch", batch(json!([item(json!({"n": 5})), item(json!({"n": 6}))]))).await.ok();
    assert_eq!(entries(&master).await.len(), 13);
}

#[actix_web::test]
async fn more_transactions_than_connections_all_end() {
    let (server, _folder) = start(json!({"databaseOptions": {"max": 4}})).await;
    let master = server.master();
    let counter = master.post("/classes/Counter", json!({"n": 0})).await.ok()["objectId"].clone();
    let path = format!("/classes/Counter/{}", counter.as_str().unwrap());
    // All of them want the same row, inside and outside of transactions.
    let saves = (0..40).map(|_| master.post("/classes/Counted", json!({ "counter": counter })));
    let increments = (0..40).map(|_| master.put(&path, json!({"n": {"__op": "Increment", "amount": 1}})));
    let (saved, incremented) = futures_util::join!(join_all(saves), join_all(increments));
    for answer in saved.into_iter().chain(incremented) {
        answer.ok();
    }
    assert_eq!(master.get(&path).await.ok()["n"], 80);
    assert_eq!(count(&master, "Entry").await, 40);
}
