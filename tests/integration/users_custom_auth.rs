//! A login provider that an application wrote itself.

use serde_json::{Value, json};

use crate::support::server::TestServer;

const ADAPTER: &str = "
module.exports = {
  validateAppId() {},
  validateAuthData(authData, options) {
    if (authData.secret !== options.secret) {
      throw new Error('wrong secret');
    }
    return { save: { id: authData.id, kept: true }, response: { hello: authData.id } };
  },
  challenge(challengeData) {
    return { echo: challengeData.word };
  },
  afterFind(authData, options, request) {
    return request.master ? undefined : { shown: authData.id };
  },
};
";

#[actix_web::test]
async fn an_adapter_decides_about_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("acme.js");
    std::fs::write(&module, ADAPTER).unwrap();
    let server = TestServer::with(json!({"auth": {"acme": {"module": module, "secret": "s"}}})).await;
    let client = server.anonymous();
    let sign = async |secret: &str| {
        client.post("/users", json!({"authData": {"acme": {"id": "a", "secret": secret}}})).await
    };
    assert_eq!(sign("x").await.error(), (400, 141, "wrong secret"));
    let created = sign("s").await;
    assert_eq!((created.status, &created.body["authDataResponse"]), (201, &json!({"acme": {"hello": "a"}})));
    let id = created.body["objectId"].as_str().unwrap().to_owned();
    let path = format!("/users/{id}");
    let stored = server.master().get(&path).await.ok();
    assert_eq!(stored["authData"], json!({"acme": {"id": "a", "kept": true}}));
    let token = created.body["sessionToken"].as_str().unwrap();
    let own = server.session(token).get(&path).await.ok();
    assert_eq!(own["authData"], json!({"acme": {"shown": "a"}}));
    let again = sign("s").await;
    assert_eq!((again.status, again.body["objectId"].as_str()), (200, Some(id.as_str())));
    assert_eq!(sign("x").await.error(), (400, 141, "wrong secret"));
    let data = json!({"acme": {"id": "a", "secret": "s"}});
    let challenge = json!({"challengeData": {"acme": {"word": "w"}}, "authData": data});
    let answer: Value = client.post("/challenge", challenge).await.ok();
    assert_eq!(answer, json!({"challengeData": {"acme": {"echo": "w"}}}));
}

const TOLD: &str = "
const seen = (request, more) => ({
  ...more,
  context: typeof request.context, trigger: String(request.triggerName), object: typeof request.object,
  hidden: request.original ? Object.keys(request.original.attributes).filter(key => /^_|password/.test(key)) : 'nobody',
});
module.exports = {
  validateAuthData(authData, options, request) { return { response: seen(request) }; },
  challenge(challengeData, authData, options, request) { return seen(request, { data: typeof authData }); },
  afterFind(authData, options, request) { return { id: authData.id, asker: request.user && request.user.id }; },
};
";

#[actix_web::test]
async fn an_adapter_is_told_of_no_trigger_and_of_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("acme.js");
    std::fs::write(&module, TOLD).unwrap();
    let server = TestServer::with(json!({"auth": {"acme": {"module": module}}})).await;
    let body = json!({"username": "ann", "password": "p", "authData": {"acme": {"id": "a"}}});
    let made = server.anonymous().post("/users", body.clone()).await.ok();
    let told =
        json!({"context": "undefined", "trigger": "undefined", "object": "object", "hidden": "nobody"});
    assert_eq!(made["authDataResponse"]["acme"], told);
    let back = server.anonymous().post("/login", body).await.ok();
    assert_eq!(back["authDataResponse"]["acme"]["hidden"], json!([]));
    assert_eq!(back["authData"]["acme"], json!({"id": "a", "asker": made["objectId"]}));
    let challenge = async |more: Value| {
        let mut body = json!({"challengeData": {"acme": {"word": "w"}}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.anonymous().post("/challenge", body).await.ok()["challengeData"]["acme"].clone()
    };
    let by_nobody = challenge(json!({})).await;
    assert_eq!((&by_nobody["data"], &by_nobody["object"]), (&json!("undefined"), &json!("undefined")));
    let by_data = challenge(json!({"authData": {"acme": {"id": "a"}}})).await;
    assert_eq!((&by_data["data"], &by_data["hidden"]), (&json!("object"), &json!([])));
    let by_password = challenge(json!({"username": "ann", "password": "p"})).await;
    assert_eq!((&by_password["object"], &by_password["hidden"]), (&json!("object"), &json!([])));
}
