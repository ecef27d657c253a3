//! Rights of those for whom triggers run, and what must be heard of a write that is committed.

use serde_json::json;

use crate::http_cloud::folder_with;
use crate::live_query::live_options;
use crate::support::live::Live;
use crate::support::server::TestServer;
use crate::support::wait;
use crate::users_sign_up::sign_up;

const MAIN: &str = r#"
const seen = [];
Parse.Cloud.define('seen', () => seen.splice(0));
for (const kind of ['beforeSave', 'afterSave', 'beforeDelete', 'afterDelete']) {
  Parse.Cloud[kind]('Owned', request => {
    const { object, original } = request;
    if (kind === 'beforeSave' && object.get('back')) object.revert('back');
    seen.push([kind, object.get('text') || null, original ? original.get('text') : null]);
  });
}
Parse.Cloud.afterSave('_User', request => { seen.push(['user', request.object.get('username')]); });
"#;

async fn start(more: serde_json::Value) -> (TestServer, tempfile::TempDir) {
    let folder = folder_with(MAIN);
    let mut options = live_options(more);
    options["cloud"] = json!(folder.path().join("main.js"));
    (TestServer::with(options).await, folder)
}

#[actix_web::test]
async fn triggers_run_for_those_who_may_write() {
    let (server, _folder) = start(json!({})).await;
    let master = server.master();
    let (reader, reads) = sign_up(&server.anonymous(), "reader").await;
    let (writer, writes) = sign_up(&server.anonymous(), "writer").await;
    let object = json!({"text": "t", "back": "b", "ACL": {
        reader.as_str(): {"read": true},
        writer.as_str(): {"write": true},
    }});
    let seen = async || master.post("/functions/seen", json!({})).await.ok()["result"].clone();
    let made = master.post("/classes/Owned", object).await.ok();
    let path = format!("/classes/Owned/{}", made["objectId"].as_str().unwrap());
    seen().await;
    let reader = server.session(&reads);
    assert_eq!(reader.delete(&path).await.error(), (404, 101, "Object not found for delete."));
    assert_eq!(reader.put(&path, json!({"text": "x"})).await.error().1, 101);
    assert_eq!(seen().await, json!([]));
    let writer = server.session(&writes);
    assert_eq!(writer.get(&path).await.status, 404);
    let saved = writer.put(&path, json!({"text": "u", "back": "x"})).await.ok();
    // What stays stored is not for who may not read it.
    assert_eq!(saved.get("back"), None, "{saved}");
    assert_eq!(seen().await, json!([["beforeSave", "u", "t"], ["afterSave", "u", "t"]]));
    writer.delete(&path).await.ok();
    assert_eq!(seen().await, json!([["beforeDelete", "u", null], ["afterDelete", "u", null]]));
}

#[actix_web::test]
async fn a_user_who_was_stored_is_told() {
    let (server, _folder) = start(json!({
        "liveQuery": {"classNames": ["_User"]},
        "liveQueryServerOptions": {"keyPairs": {"masterKey": "liveMaster", "restAPIKey": "any"}},
    }))
    .await;
    let master = server.master();
    sign_up(&server.anonymous(), "first").await;
    let fields = json!({"need": {"type": "String", "required": true}});
    let mut live = Live::connect(&server, json!({"masterKey": "liveMaster"})).await;
    live.subscribe("_User", json!({})).await;
    // No session can be made any more, so that every sign-up fails after its user was stored.
    master.put("/schemas/_Session", json!({"className": "_Session", "fields": fields})).await.ok();
    let user = json!({"username": "ann", "password": "p"});
    assert_eq!(server.anonymous().post("/users", user).await.error().1, 142);
    let heard = live.hear().await;
    assert_eq!((&heard["op"], &heard["object"]["username"]), (&json!("create"), &json!("ann")), "{heard}");
    wait::until_some("afterSave", || async {
        let seen = master.post("/functions/seen", json!({})).await.ok();
        seen["result"].as_array().unwrap().contains(&json!(["user", "ann"])).then_some(())
    })
    .await;
}

const MAILER: &str = "
const fs = require('node:fs');
module.exports = options => ({
  sendMail() {},
  sendVerificationEmail() {},
  sendPasswordResetEmail: ({ user }) => fs.appendFileSync(options.file, user.get('username') + '\\n'),
});
";

#[actix_web::test]
async fn a_name_does_not_stop_the_mails_of_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let (module, file) = (folder.path().join("mailer.js"), folder.path().join("mails"));
    std::fs::write(&module, MAILER).unwrap();
    let server = TestServer::with(json!({
        "appName": "App", "publicServerURL": "http://localhost:1/parse",
        "emailAdapter": {"module": module, "options": {"file": file}},
    }))
    .await;
    let client = server.anonymous();
    let victim = json!({"username": "victim", "password": "p", "email": "victim@example.com"});
    client.post("/users", victim).await.ok();
    client.post("/users", json!({"username": "victim@example.com", "password": "p"})).await.ok();
    client.post("/requestPasswordReset", json!({"email": "victim@example.com"})).await.ok();
    let mails = wait::until_some("a mail", || async {
        std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))
    })
    .await;
    assert_eq!(mails, "victim\n");
}
