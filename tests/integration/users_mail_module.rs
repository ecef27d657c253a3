//! A mail adapter that an application wrote itself: what it is given.

use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::support::wait;

const ADAPTER: &str = "
const fs = require('node:fs');
module.exports = options => {
  const note = (kind, { link, user, appName }) => fs.appendFileSync(options.file, JSON.stringify({
    kind, appName, linked: link.includes('token='), name: user.get('username'), email: user.getEmail(),
    class: user.className, secret: user.get('_hashed_password') || null,
  }) + '\\n');
  return {
    sendMail() {},
    sendVerificationEmail: mail => note('verify', mail),
    sendPasswordResetEmail: mail => note('reset', mail),
  };
};
";

#[actix_web::test]
async fn users_are_objects_of_the_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let (module, file) = (folder.path().join("mailer.js"), folder.path().join("mails"));
    std::fs::write(&module, ADAPTER).unwrap();
    let server = TestServer::with(json!({
        "appName": "App",
        "publicServerURL": "http://localhost:1/parse",
        "verifyUserEmails": true,
        "emailAdapter": {"module": module, "options": {"file": file}},
    }))
    .await;
    let client = server.anonymous();
    let user = json!({"username": "ann", "password": "p", "email": "ann@example.com"});
    assert_eq!(client.post("/users", user).await.status, 201);
    client.post("/requestPasswordReset", json!({"email": "ann@example.com"})).await.ok();
    let mails = wait::until_some("both mails", || async {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mails: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (mails.len() == 2).then_some(mails)
    })
    .await;
    for kind in ["verify", "reset"] {
        let mail = mails.iter().find(|mail| mail["kind"] == kind).unwrap();
        let expected = json!({
            "kind": kind, "appName": "App", "linked": true, "name": "ann", "email": "ann@example.com",
            "class": "_User", "secret": null,
        });
        assert_eq!(mail, &expected);
    }
}
