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
