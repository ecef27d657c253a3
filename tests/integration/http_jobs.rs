//! Job schedules, run by real servers that share one database.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::http_cloud::folder_with;
use crate::support::server::{Client, TestServer};
use crate::support::wait;

/// Which server ran a job is told by a variable of its own.
const MAIN: &str = r#"
const server = Parse.Server.appName;
const note = request => new Parse.Object('Ran').save(
  { server, job: request.jobName, status: request.jobId, params: request.params }, { useMasterKey: true });
Parse.Cloud.job('note', async request => {
  await note(request);
  await request.message('noted');
});
Parse.Cloud.job('long', async request => {
  await note(request);
  while (await new Parse.Query('Stop').count({ useMasterKey: true }) === 0) {
    await new Promise(resolve => setTimeout(resolve, 50));
  }
});
"#;

async fn servers() -> (TestServer, TestServer, tempfile::TempDir) {
    let folder = folder_with(MAIN);
    let cloud = folder.path().join("main.js");
    let options = json!({"cloud": cloud, "jobSchedules": true, "appName": "one"});
    let one = TestServer::with(options).await;
    let uri = &one.database().uri;
    let options = json!({"cloud": cloud, "jobSchedules": true, "appName": "two", "databaseURI": uri});
    let two = TestServer::with(options).await;
    (one, two, folder)
}

async fn schedule(client: &Client, schedule: Value) -> String {
    let created = client.post("/cloud_code/jobs", json!({ "job_schedule": schedule })).await.ok();
    created["objectId"].as_str().unwrap().to_owned()
}

async fn results(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).await.ok()["results"].as_array().unwrap().clone()
}

#[actix_web::test]
async fn two_servers_run_each_due_time_once() {
    let (one, two, _folder) = servers().await;
    let master = one.master();
    let every_second = schedule(
        &master,
        json!({"jobName": "note", "cron": "* * * * * *", "params": "{\"a\":[1]}", "description": "often"}),
    )
    .await;
    // As the dashboard writes it: in the past by now, so due at once.
    let once = schedule(&two.master(), json!({"jobName": "note", "daysOfWeek": [1, 1, 1, 1, 1, 1, 1]})).await;
    let runs = wait::until_some("some runs", async || {
        let runs = results(&master, "/classes/_JobStatus?limit=1000&order=createdAt").await;
        (runs.len() >= 6 && runs.iter().all(|run| run["status"] == "succeeded")).then_some(runs)
    })
    .await;
    assert!(runs.iter().all(|run| run["source"] == "schedule" && run["message"] == "noted"), "{runs:?}");
    // No second was run twice: more runs than seconds between the first and the last would show it.
    master.delete(&format!("/cloud_code/jobs/{every_second}")).await.ok();
    let ran = results(&master, "/classes/Ran?limit=1000&order=createdAt").await;
    let single = ran.iter().filter(|run| run["params"] == json!({})).count();
    assert_eq!(single, 1, "{ran:?}");
    let mut by_second: BTreeMap<String, u32> = BTreeMap::new();
    let mut by_status: BTreeMap<String, u32> = BTreeMap::new();
    for run in ran.iter().filter(|run| run["params"] == json!({"a": [1]})) {
        *by_second.entry(run["createdAt"].as_str().unwrap()[..19].to_owned()).or_default() += 1;
        *by_status.entry(run["status"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let (first, last) = (by_second.first_key_value().unwrap().0, by_second.last_key_value().unwrap().0);
    let second =
        |text: &str| text[17..19].parse::<i32>().unwrap() + 60 * text[14..16].parse::<i32>().unwrap();
    let span = (second(last) - second(first)).rem_euclid(3600) + 1;
    let count: u32 = by_second.values().sum();
    assert!(i64::from(count) <= i64::from(span) + 1, "{count} runs in {span} s: {by_second:?}");
    assert!(by_status.values().all(|count| *count == 1), "{by_status:?}");
    let stored = master.get(&format!("/classes/_JobSchedule/{once}")).await.ok();
    assert!(stored["lastRun"].as_f64().unwrap() > 1.0e12, "{stored}");
}

#[actix_web::test]
async fn a_schedule_waits_for_its_own_run() {
    let (one, two, _folder) = servers().await;
    let master = one.master();
    let id = schedule(&master, json!({"jobName": "long"})).await;
    let ran = async |job: &str| {
        let runs = results(&master, "/classes/Ran?limit=1000").await;
        runs.into_iter().filter(|run| run["job"] == job).collect::<Vec<_>>()
    };
    wait::until_some("the run to begin", async || ran("long").await.pop()).await;
    // Due every second from now on, as another schedule that shows how time goes by.
    let often = json!({"job_schedule": {"jobName": "long", "cron": "* * * * * *"}});
    master.put(&format!("/cloud_code/jobs/{id}"), often).await.ok();
    schedule(&master, json!({"jobName": "note", "cron": "* * * * * *"})).await;
    wait::until_some("other runs", async || (ran("note").await.len() > 2).then_some(())).await;
    assert_eq!(ran("long").await.len(), 1, "it runs beside itself");
    master.post("/classes/Stop", json!({})).await.ok();
    wait::until_some("the next run", async || (ran("long").await.len() > 1).then_some(())).await;
    // The other server goes on alone.
    let before = ran("note").await.len();
    drop(two);
    wait::until_some("further runs", async || (ran("note").await.len() > before + 1).then_some(())).await;
}

#[actix_web::test]
async fn schedules_that_make_no_sense_are_refused() {
    let folder = folder_with(MAIN);
    let server = TestServer::with(json!({"cloud": folder.path().join("main.js")})).await;
    let master = server.master();
    let post = async |schedule: Value| {
        let body = json!({ "job_schedule": schedule });
        let answer = master.post("/cloud_code/jobs", body).await;
        let (status, code, text) = answer.error();
        (status, code, text.to_owned())
    };
    let text = "Cannot Schedule a job that is not deployed".to_owned();
    assert_eq!(post(json!({"jobName": "unknown"})).await, (500, 1, text));
    let (status, code, text) = post(json!({"jobName": "note", "cron": "now and then"})).await;
    assert_eq!((status, code), (400, 111));
    assert!(text.contains("now and then"), "{text}");
    assert_eq!(post(json!({"jobName": "note", "repeatMinutes": 5, "timeOfDay": "26:00"})).await.1, 111);
    // Off by default: stored, and not run.
    schedule(&master, json!({"jobName": "note"})).await;
    assert_eq!(results(&master, "/classes/_JobStatus").await, Vec::<Value>::new());
}
