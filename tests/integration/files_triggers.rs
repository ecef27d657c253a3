//! Triggers of files, through a real Node.js host.

use std::path::Path;

use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::support::server::{APP_ID, MASTER_KEY, TestServer};
use crate::support::wait;

const CLOUD: &str = r"
const text = words => ({ base64: Buffer.from(words).toString('base64') });
Parse.Cloud.beforeSave(Parse.File, async request => {
  const { file } = request;
  switch (file.name()) {
    case 'refused.txt': throw new Parse.Error(142, 'not this one');
    case 'thrown.txt': throw 'in words';
    case 'broken.txt': return undefined.anything;
    case 'replaced.txt': return new Parse.File('other.txt', text('by the trigger'), 'text/plain');
    case 'elsewhere.txt':
      return Parse.File.fromJSON({ __type: 'File', name: 'else.txt', url: 'https://cdn.example/else.txt' });
    case 'described.txt':
      file.addMetadata('seen', Buffer.from(await file.getData(), 'base64').toString());
      file.addMetadata('size', request.fileSize);
      file.addMetadata('master', request.master);
      file.setDirectory('of/trigger');
      break;
    case 'streamed.txt':
      file.addMetadata('stream', request.stream);
      file.addMetadata('size', request.fileSize);
      break;
  }
});
Parse.Cloud.afterSave(Parse.File, async ({ file, fileSize }) => {
  if (file.name().includes('unhappy')) throw new Parse.Error(143, 'too late');
  const row = new Parse.Object('Saved');
  await row.save({ name: file.name(), url: file.url(), fileSize }, { useMasterKey: true });
});
Parse.Cloud.beforeFind(Parse.File, ({ file }) => {
  if (file.name() === 'alias.txt') return { file: new Parse.File('target.txt') };
  if (file.name() === 'secret.txt') throw new Parse.Error(101, 'nothing to see');
  if (file.name() === 'odd.txt') throw new Error('odd');
});
Parse.Cloud.afterFind(Parse.File, async request => {
  const name = request.file.name();
  if (name === 'headers.txt') request.responseHeaders = { 'X-Mine': 'yes', 'Content-Length': '1' };
  if (name === 'forced.txt') request.forceDownload = true;
  if (name === 'changed.txt') {
    const stored = Buffer.from(await request.file.getData(), 'base64').toString();
    return { file: new Parse.File('changed.txt', text(stored.toUpperCase()), 'text/plain') };
  }
});
Parse.Cloud.beforeDelete(Parse.File, ({ file }) => {
  if (file.name() === 'kept.txt') throw new Parse.Error(119, 'stays');
});
Parse.Cloud.afterDelete(Parse.File, async ({ file }) => {
  await new Parse.Object('Deleted').save({ name: file.name() }, { useMasterKey: true });
});
";

/// A server with those triggers that keeps the names of files.
async fn start(folder: &Path) -> TestServer {
    let main = folder.join("main.js");
    std::fs::write(&main, CLOUD).unwrap();
    let server = TestServer::with(json!({
        "cloud": main, "preserveFileName": true, "fileUpload": {"enableForPublic": true},
    }))
    .await;
    let nobody = server.client(&[]);
    wait::until_some("Cloud Code to be loaded", || async {
        (nobody.get("/health").await.status == 200).then_some(())
    })
    .await;
    server
}

async fn put(server: &TestServer, name: &str, body: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let url = server.url(&format!("/parse/files/{name}"));
    let mut request = Client::new().post(url).header("X-Parse-Application-Id", APP_ID).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(server: &TestServer, name: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Client::new().get(server.url(&format!("/parse/files/{APP_ID}/{name}")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn saved(server: &TestServer, name: &str) -> Value {
    let found = server.master().find("Saved", json!({"where": {"name": name}})).await.ok();
    found["results"][0].clone()
}

#[actix_web::test]
async fn before_and_after_save() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let refused = |code: i64, text: &str| (400, json!({"code": code, "error": text}));
    assert_eq!(put(&server, "refused.txt", "x", &[]).await, refused(142, "not this one"));
    assert_eq!(put(&server, "thrown.txt", "x", &[]).await, refused(130, "in words"));
    assert_eq!(put(&server, "broken.txt", "x", &[]).await.1["code"], 130);
    assert_eq!(get(&server, "refused.txt", &[]).await.status(), 404);

    let (status, body) = put(&server, "replaced.txt", "x", &[]).await;
    assert_eq!((status, &body["name"]), (201, &json!("other.txt")));
    assert_eq!(get(&server, "other.txt", &[]).await.text().await.unwrap(), "by the trigger");
    assert_eq!(saved(&server, "other.txt").await["fileSize"], 14);

    let (status, body) = put(&server, "elsewhere.txt", "x", &[]).await;
    assert_eq!((status, body), (201, json!({"name": "else.txt", "url": "https://cdn.example/else.txt"})));
    assert_eq!(get(&server, "elsewhere.txt", &[]).await.status(), 404);

    let master = ("X-Parse-Master-Key", MASTER_KEY);
    let (status, body) = put(&server, "described.txt", "the content", &[master]).await;
    assert_eq!((status, &body["name"]), (201, &json!("of/trigger/described.txt")));
    let metadata =
        get(&server, "metadata/of/trigger/described.txt", &[]).await.json::<Value>().await.unwrap();
    assert_eq!(metadata, json!({"metadata": {"seen": "the content", "size": 11, "master": true}}));
    let row = saved(&server, "of/trigger/described.txt").await;
    assert_eq!((&row["url"], &row["fileSize"]), (&body["url"], &json!(11)));

    let stream = ("X-Parse-Upload-Mode", "stream");
    assert_eq!(put(&server, "streamed.txt", "12345", &[stream]).await.0, 201);
    let metadata = get(&server, "metadata/streamed.txt", &[]).await.json::<Value>().await.unwrap();
    assert_eq!(metadata, json!({"metadata": {"stream": true, "size": 5}}));
    assert_eq!(get(&server, "streamed.txt", &[]).await.text().await.unwrap(), "12345");

    assert_eq!(put(&server, "unhappy.txt", "x", &[]).await, refused(143, "too late"));
}

#[actix_web::test]
async fn before_and_after_find() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for name in ["target.txt", "headers.txt", "forced.txt", "changed.txt", "secret.txt", "odd.txt"] {
        assert_eq!(put(&server, name, &format!("this is {name}"), &[]).await.0, 201);
    }
    assert_eq!(get(&server, "alias.txt", &[]).await.text().await.unwrap(), "this is target.txt");
    let answer = get(&server, "secret.txt", &[]).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"code": 101, "error": "nothing to see"}));
    let answer = get(&server, "odd.txt", &[]).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], 141);
    assert_eq!(get(&server, "metadata/secret.txt", &[]).await.status(), 403);

    let answer = get(&server, "headers.txt", &[]).await;
    assert_eq!(answer.headers()["x-mine"], "yes");
    assert_eq!(answer.headers()["content-length"], "19");
    assert_eq!(answer.text().await.unwrap(), "this is headers.txt");
    let answer = get(&server, "forced.txt", &[]).await;
    assert_eq!(answer.headers()["content-disposition"], "attachment;filename=forced.txt");
    let answer = get(&server, "changed.txt", &[]).await;
    assert_eq!(answer.text().await.unwrap(), "THIS IS CHANGED.TXT");
    // Of a part the trigger sees the name, not the content.
    let part = get(&server, "headers.txt", &[("Range", "bytes=0-3")]).await;
    assert_eq!((part.status().as_u16(), &part.headers()["x-mine"]), (206, &"yes".parse().unwrap()));
    assert_eq!(part.text().await.unwrap(), "this");
}

#[actix_web::test]
async fn before_and_after_delete() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for name in ["kept.txt", "gone.txt"] {
        assert_eq!(put(&server, name, "x", &[]).await.0, 201);
    }
    let master = server.master();
    assert_eq!(master.delete("/files/kept.txt").await.error(), (400, 119, "stays"));
    assert_eq!(get(&server, "kept.txt", &[]).await.status(), 200);
    assert_eq!(master.delete("/files/gone.txt").await.status, 200);
    let found = master.find("Deleted", json!({})).await.ok();
    assert_eq!(found["results"][0]["name"], "gone.txt");
}
