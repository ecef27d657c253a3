//! Values that leave Cloud Code and come back into it keep their types; JSON that JavaScript reads is read.

use reqwest::Method;
use serde_json::{Value, json};

use crate::http_cloud::folder_with;
use crate::support::server::{APP_ID, TestServer};

const MAILER: &str = "
module.exports = () => ({
  sendMail(mail) {
    if (mail.subject === 'fails') throw new RangeError('no such mailbox');
    return {
      name: mail.user.get('username'), isUser: mail.user instanceof Parse.User, year: mail.when.getUTCFullYear(),
      bytes: Buffer.isBuffer(mail.attachments[0]) && mail.attachments[0].toString(), sent: new Date(5),
      to: mail.to, nothing: 'extra' in mail && mail.extra === undefined, odd: Number.isNaN(mail.odd),
    };
  },
  sendVerificationEmail() {},
  sendPasswordResetEmail() {},
});
";

const MAIN: &str = "
Parse.Cloud.define('mail', async ({ params }) => {
  const user = new Parse.User({ username: 'ann' });
  const mail = {
    to: 'a@b.c', subject: params.subject, user, when: new Date(0), attachments: [Buffer.from('hi')],
    extra: undefined, odd: NaN,
  };
  mail.itself = mail;
  try {
    const { sent, ...answer } = await Parse.Cloud.sendEmail(mail);
    return { ...answer, sent: sent instanceof Date && sent.getTime() };
  } catch (error) {
    return [error instanceof RangeError, error.message];
  }
});

class Basket {
  constructor() { this.items = []; }
  add(item) { this.items.push(item); return this; }
}
Parse.Cloud.beforeSave('Game', ({ object, context }) => {
  context.basket = new Basket().add('a');
  context.at = new Date(7);
  context.other = Parse.Object.fromJSON({ className: 'Other', objectId: 'o1', n: 1 });
});
Parse.Cloud.afterSave('Game', ({ context }) => {
  context.basket.add('b');
  seen.push([context.basket.items, context.at.getTime(), context.other.get('n'), context.sent ? context.sent.getTime() : 0]);
});
const seen = [];
Parse.Cloud.define('seen', () => seen);
Parse.Cloud.define('context', ({ context }) => Object.keys(context));
Parse.Cloud.define('save', async () => {
  await new Parse.Object('Game').save(null, { context: { sent: new Date(9) } });
  return seen.pop();
});
Parse.Cloud.define('half', () => ({ text: 'cut \\ud83d' }));
Parse.Cloud.define('saveHalf', async () => {
  const object = await new Parse.Object('Half').save({ text: 'cut \\ud83d' });
  return new Parse.Query('Half').equalTo('text', 'cut \\ufffd').count();
});
Parse.Cloud.beforeSave('Cut', ({ object }) => { object.set('text', 'cut \\ud83d'); });
";

async fn start() -> (TestServer, tempfile::TempDir) {
    let folder = folder_with(MAIN);
    let mailer = folder.path().join("mailer.js");
    std::fs::write(&mailer, MAILER).unwrap();
    let options = json!({"cloud": folder.path().join("main.js"), "emailAdapter": {"module": mailer}});
    (TestServer::with(options).await, folder)
}

#[actix_web::test]
async fn mails_and_contexts_keep_their_types() {
    let (server, _folder) = start().await;
    let client = server.anonymous();
    let answer = client.post("/functions/mail", json!({"subject": "s"})).await.ok();
    assert_eq!(
        answer["result"],
        json!({
            "name": "ann", "isUser": true, "year": 1970, "bytes": "hi", "to": "a@b.c", "nothing": true,
            "odd": true, "sent": 5,
        })
    );
    let failed = client.post("/functions/mail", json!({"subject": "fails"})).await.ok();
    assert_eq!(failed["result"], json!([true, "no such mailbox"]));

    assert_eq!(client.post("/classes/Game", json!({})).await.status, 201);
    let seen = client.post("/functions/seen", json!({})).await.ok();
    assert_eq!(seen["result"], json!([[["a", "b"], 7, 1, 0]]));
    let saved = client.post("/functions/save", json!({})).await.ok();
    assert_eq!(saved["result"], json!([["a", "b"], 7, 1, 9]));
}

/// A client cannot give what handlers keep for each other.
#[actix_web::test]
async fn contexts_of_clients_are_plain() {
    let (server, _folder) = start().await;
    let client = server.anonymous();
    let forged = json!({"a": 1, "__kept": {"id": "x", "value": {"b": {"__kept": ["date", 5]}}}});
    let headers = [("X-Parse-Cloud-Context", &*forged.to_string())];
    let answer = client.send_with(Method::POST, "/functions/context", Some("{}".into()), &headers).await;
    assert_eq!(answer.body["result"], json!(["a"]));
    // The way of the JavaScript SDK: no headers, all in the body.
    let body = json!({"_ApplicationId": APP_ID, "_context": forged});
    let sent = reqwest::Client::new().post(server.url("/parse/functions/context")).body(body.to_string());
    let answer: Value = serde_json::from_str(&sent.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(answer["result"], json!(["a"]));
}

#[actix_web::test]
async fn json_of_javascript_is_read_at_every_door() {
    let (server, _folder) = start().await;
    let client = server.anonymous();
    let body = r#"{"text": "hi \ud83d", "o": {"n": 3.0, "m": [1e2, -0.0, 1e400]}, "twice": 1, "twice": 2}"#;
    let made = client.send(Method::POST, "/classes/Odd", Some(body.into())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/classes/Odd/{}", made.body["objectId"].as_str().unwrap());
    let read = client.send(Method::GET, &path, None).await;
    assert_eq!(read.body["text"], "hi \u{fffd}");
    assert!(read.text.replace(' ', "").contains(r#""o":{"m":[100,0,null],"n":3}"#), "{}", read.text);
    assert_eq!(read.body["twice"], 2);
    let found = client.send(Method::GET, r#"/classes/Odd?where={"text":"hi%20\ud83d"}"#, None).await;
    assert_eq!(found.body["results"].as_array().map(Vec::len), Some(1), "{}", found.text);
    let batch = r#"{"requests":[{"method":"POST","path":"/parse/classes/Odd","body":{"text":"\ud83d"}}]}"#;
    let batch = client.send(Method::POST, "/batch", Some(batch.into())).await;
    assert!(batch.body[0]["success"]["objectId"].is_string(), "{}", batch.text);

    assert_eq!(client.post("/functions/half", json!({})).await.ok()["result"]["text"], "cut \u{fffd}");
    assert_eq!(client.post("/functions/saveHalf", json!({})).await.ok()["result"], 1);
    let cut = client.post("/classes/Cut", json!({})).await;
    assert_eq!(cut.status, 201, "{}", cut.text);
}

/// What is thrown and is no text comes to the client as it is.
#[actix_web::test]
async fn thrown_values_stay_what_they_are() {
    let folder = folder_with(
        "Parse.Cloud.define('object', () => { throw { errorMsg: 'm', errorCode: 5 }; });
        Parse.Cloud.define('number', async () => { throw 7; });
        Parse.Cloud.define('uncoded', () => { throw new Parse.Error(undefined, 'm'); });
        Parse.Cloud.define('deep', () => { throw new Parse.Error(4000, { a: [1] }); });
        Parse.Cloud.define('error', () => { throw new TypeError('plain'); });
        Parse.Cloud.define('message', () => { throw { message: 'm', code: 9 }; });
        Parse.Cloud.define('nested', () => Parse.Cloud.run('deep'));
        Parse.Cloud.beforeSave('Refused', () => { throw { errorMsg: 'm' }; });",
    );
    let server = TestServer::with(json!({"cloud": folder.path().join("main.js")})).await;
    let client = server.anonymous();
    for (name, body) in [
        ("object", json!({"code": 141, "error": {"errorMsg": "m", "errorCode": 5}})),
        ("number", json!({"code": 141, "error": 7})),
        ("uncoded", json!({"error": "m"})),
        ("deep", json!({"code": 4000, "error": {"a": [1]}})),
        ("error", json!({"code": 141, "error": "plain"})),
        ("message", json!({"code": 141, "error": "m"})),
        ("nested", json!({"code": 4000, "error": {"a": [1]}})),
    ] {
        let answer = client.post(&format!("/functions/{name}"), json!({})).await;
        assert_eq!((answer.status, &answer.body), (400, &body), "{name}");
    }
    let refused = json!({"code": 141, "error": {"errorMsg": "m"}});
    let answer = client.post("/classes/Refused", json!({})).await;
    assert_eq!(answer.body, refused);
    let batch = json!({"requests": [{"method": "POST", "path": "/parse/classes/Refused", "body": {}}]});
    assert_eq!(client.post("/batch", batch).await.body, json!([{"error": refused}]));
}
