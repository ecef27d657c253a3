//! What application code asks of the server through the SDK.

use parsimony::cloud::{CloudEngine, FunctionCall, Method, Scope, TransactionId};
use parsimony::error::{Error, ErrorCode};
use serde_json::{Value, json};

use super::{App, object, seen};

#[actix_web::test]
async fn requests_carry_only_what_the_call_gives() {
    let app = App::new(
        "Parse.Cloud.define('query', async ({user}) => {
            const query = new Parse.Query('Game').equalTo('a', 1).include('owner');
            await query.find();
            await query.find({useMasterKey: true});
            await query.find({sessionToken: 'r:2', installationId: 'mine', context: {c: 1}});
            return new Parse.Query('Game').get('g1').then(o => o.get('score'));
        });",
    )
    .respond(|_| Ok(json!({"results": [{"objectId": "g1", "score": 9}]})))
    .start()
    .await;
    let call = FunctionCall {
        name: "query".into(),
        scope: Scope { transaction: Some(TransactionId(8)), depth: 2, deadline: None },
        ..FunctionCall::default()
    };
    assert_eq!(app.run(call).await.unwrap(), 9);
    let requests = app.server.requests.lock().unwrap();
    let first = &requests[0];
    assert_eq!((first.method, first.path.as_str()), (Method::Get, "/classes/Game"));
    assert_eq!(first.data["where"], json!({"a": 1}));
    assert_eq!(first.data["include"], "owner");
    assert!(!first.use_master_key);
    assert_eq!((first.session_token.as_deref(), first.installation_id.as_str()), (None, "cloud"));
    assert_eq!((first.transaction, first.depth), (Some(TransactionId(8)), 3));
    assert!(requests[1].use_master_key);
    assert_eq!(requests[2].session_token.as_deref(), Some("r:2"));
    assert_eq!(requests[2].installation_id, "mine");
    assert_eq!(Value::from(requests[2].context.clone()), json!({"c": 1}));
}

#[actix_web::test]
async fn writes_batches_and_errors_reach_the_sdk() {
    let app = App::new(
        "Parse.Cloud.define('save', async () => {
            const game = new Parse.Object('Game', {score: 1});
            await game.save(null, {context: {from: 'cloud'}});
            return [game.id, game.existed()];
        });
        Parse.Cloud.define('all', async () => {
            const games = [1, 2].map(score => new Parse.Object('Game', {score}));
            await Parse.Object.saveAll(games, {useMasterKey: true});
            return games.map(game => game.id);
        });
        Parse.Cloud.define('fails', async () => {
            try { await new Parse.Query('Secret').find(); } catch (e) {
                return [e instanceof Parse.Error, e.code, e.message];
            }
        });
        Parse.Cloud.define('passes', () => new Parse.Query('Secret').find());
        Parse.Cloud.define('context', async () => {
            await new Parse.Query('Game').find({context: {f: () => 1}});
        });
        Parse.Cloud.define('run', () => Parse.Cloud.run('other', {at: new Date(0)}));
        Parse.Cloud.define('job', () => Parse.Cloud.startJob('nightly', {}));
        Parse.Cloud.define('mail', () => Parse.Cloud.sendEmail({to: 'a@b.c'}));
        Parse.Cloud.define('server', () => {
            Parse.Server = {...Parse.Server, appName: 'Renamed'};
            return [Parse.Server.appId, Parse.Server.appName, Parse.Server.RateLimitZone.ip];
        });",
    )
    .respond(|request| match request.path.as_str() {
        "/classes/Game" if request.method == Method::Post => {
            Ok(json!({"objectId": "g7", "createdAt": "2024-01-01T00:00:00.000Z"}))
        }
        "/batch" => Ok(json!([
            {"success": {"objectId": "b1", "createdAt": "2024-01-01T00:00:00.000Z"}},
            {"success": {"objectId": "b2", "createdAt": "2024-01-01T00:00:00.000Z"}},
        ])),
        "/classes/Secret" => Err(Error::parse(ErrorCode::OPERATION_FORBIDDEN, "not allowed")),
        "/functions/other" => Ok(json!({"result": {"__type": "Date", "iso": "1970-01-01T00:00:00.000Z"}})),
        _ => Ok(json!({})),
    })
    .start()
    .await;
    assert_eq!(app.call("save", json!({})).await.unwrap(), json!(["g7", false]));
    assert_eq!(app.call("all", json!({})).await.unwrap(), json!(["b1", "b2"]));
    assert_eq!(app.call("fails", json!({})).await.unwrap(), json!([true, 119, "not allowed"]));
    assert_eq!(seen(&app.call("passes", json!({})).await.unwrap_err()), (119, "not allowed".into()));
    let (code, text) = seen(&app.call("context", json!({})).await.unwrap_err());
    assert!(code == 162 && text.starts_with("Context contains non-cloneable values: "), "{code} {text}");
    assert_eq!(
        app.call("run", json!({})).await.unwrap(),
        json!({"__type": "Date", "iso": "1970-01-01T00:00:00.000Z"})
    );
    assert_eq!(app.call("job", json!({})).await.unwrap(), "job1");
    assert_eq!(app.call("mail", json!({})).await.unwrap(), Value::Null);
    // Beside the texts the mail holds what only JavaScript reads.
    let mails = app.server.mails.lock().unwrap().clone();
    assert_eq!((mails.len(), &mails[0]["to"]), (1, &json!("a@b.c")));
    assert_eq!(app.call("server", json!({})).await.unwrap(), json!(["test-app", "Renamed", "ip"]));
    let requests = app.server.requests.lock().unwrap();
    let batch = requests.iter().find(|request| request.path == "/batch").unwrap();
    assert_eq!(batch.data["requests"].as_array().unwrap().len(), 2);
    assert!(batch.use_master_key);
    let saved = requests.iter().find(|request| request.method == Method::Post).unwrap();
    assert_eq!(saved.data, json!({"score": 1}));
    assert_eq!(Value::from(saved.context.clone()), json!({"from": "cloud"}));
}

#[actix_web::test]
async fn code_may_use_the_server_while_it_loads() {
    let app = App::empty()
        .file(
            "cloud/main.mjs",
            "const found = await new Parse.Query('Game').find();
             Parse.Cloud.define('found', () => found.length);",
        )
        .with(|options| options.cloud = Some("cloud/main.mjs".into()))
        .respond(|_| Ok(json!({"results": [{"objectId": "g1"}]})))
        .start()
        .await;
    assert_eq!(app.call("found", json!({})).await.unwrap(), 1);
}

#[actix_web::test]
async fn nesting_has_a_limit() {
    let app = App::new("Parse.Cloud.define('deep', () => 1);").start().await;
    let call = |depth| FunctionCall {
        name: "deep".into(),
        params: object(json!({})),
        scope: Scope { depth, ..Scope::default() },
        ..FunctionCall::default()
    };
    assert!(app.engine.run_function(call(32)).await.is_ok());
    let error = app.engine.run_function(call(33)).await.unwrap_err();
    assert_eq!(seen(&error), (141, "Cloud Code calls are nested too deeply (limit 32).".into()));
}
