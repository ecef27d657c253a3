//! Functions, jobs and validators.

use std::sync::Arc;

use parsimony::cloud::{Caller, CloudEngine, FunctionCall, JobCall};
use serde_json::{Value, json};

use super::{App, object, seen};

fn as_user(name: &str, params: Value) -> FunctionCall {
    let user = json!({"objectId": "u1", "username": "ann", "sessionToken": "r:1", "level": 3});
    FunctionCall {
        name: name.into(),
        params: object(params),
        caller: Caller {
            user: Some(Arc::new(user)),
            roles: Some(Arc::new(vec!["role:editor".into()])),
            installation_id: Some("inst".into()),
            ip: Some("127.0.0.1".into()),
            headers: Arc::new(object(json!({"x-test": "yes"}))),
            ..Caller::default()
        },
        context: object(json!({"a": 1})),
        ..FunctionCall::default()
    }
}

fn as_master(name: &str, params: Value) -> FunctionCall {
    FunctionCall {
        name: name.into(),
        params: object(params),
        caller: Caller { master: true, ..Caller::default() },
        ..FunctionCall::default()
    }
}

#[actix_web::test]
async fn the_request_carries_what_handlers_know() {
    let app = App::new(
        "Parse.Cloud.define('look', r => ({
            params: r.params, master: r.master, readOnly: r.isReadOnly, ip: r.ip, name: r.functionName,
            user: r.user.id, isUser: r.user instanceof Parse.User, token: r.user.getSessionToken(),
            level: r.user.get('level'), installation: r.installationId, header: r.headers['x-test'],
            context: r.context, appId: r.config.appId, log: typeof r.log.info,
        }));",
    )
    .start()
    .await;
    let seen = app.run(as_user("look", json!({"n": 1}))).await.unwrap();
    assert_eq!(
        seen,
        json!({
            "params": {"n": 1}, "master": false, "readOnly": false, "ip": "127.0.0.1", "name": "look",
            "user": "u1", "isUser": true, "token": "r:1", "level": 3, "installation": "inst",
            "header": "yes", "context": {"a": 1}, "appId": "test-app", "log": "function",
        })
    );
}

#[actix_web::test]
async fn parameters_are_decoded_and_results_encoded() {
    let app = App::new(
        "Parse.Cloud.define('types', ({params}) => ({
            date: params.date instanceof Date && params.date.getTime() === 0,
            pointer: params.list[0].p instanceof Parse.Object && params.list[0].p.id,
            file: params.file instanceof Parse.File && params.file.url(),
            plain: Object.getPrototypeOf(params.plain) === Object.prototype,
            polluted: params.plain.polluted === undefined,
        }));
        Parse.Cloud.define('results', () => {
            const game = Parse.Object.fromJSON({className: 'Game', objectId: 'g1', score: 1});
            return {at: new Date(0), game, geo: new Parse.GeoPoint(1, 2), missing: undefined, none: null};
        });
        Parse.Cloud.define('nothing', () => {});
        Parse.Cloud.define('null', () => null);
        Parse.Cloud.define('upload', ({params: {doc}}) =>
            [Buffer.isBuffer(doc.data), doc.data.toString(), doc.filename]);",
    )
    .start()
    .await;
    let params = json!({
        "date": {"__type": "Date", "iso": "1970-01-01T00:00:00.000Z"},
        "list": [{"p": {"__type": "Pointer", "className": "Game", "objectId": "g9"}}],
        "file": {"__type": "File", "name": "a.txt", "url": "http://localhost/a.txt"},
        "plain": {"__proto__": {"polluted": true}, "x": 1},
    });
    assert_eq!(
        app.call("types", params).await.unwrap(),
        json!({"date": true, "pointer": "g9", "file": "http://localhost/a.txt", "plain": true, "polluted": true})
    );
    let results = app.call("results", json!({})).await.unwrap();
    assert_eq!(results["at"], json!({"__type": "Date", "iso": "1970-01-01T00:00:00.000Z"}));
    assert_eq!(
        results["game"],
        json!({"__type": "Object", "className": "Game", "objectId": "g1", "score": 1})
    );
    assert_eq!(results["none"], Value::Null);
    let nothing = app.engine.run_function(as_master("nothing", json!({}))).await.unwrap();
    assert!(nothing.result.is_none());
    let null = app.engine.run_function(as_master("null", json!({}))).await.unwrap();
    assert_eq!(null.result.unwrap().get(), "null");
    let mut upload = as_master("upload", json!({"doc": {"filename": "a.txt", "contentType": "text/plain"}}));
    upload.uploads.push(("doc".into(), "hello".into()));
    assert_eq!(app.run(upload).await.unwrap(), json!([true, "hello", "a.txt"]));
}

#[actix_web::test]
async fn what_is_thrown_becomes_code_and_text() {
    let app = App::new(
        "const cases = {
            parse: () => new Parse.Error(101, 'gone'),
            string: () => 'text',
            error: () => new Error('broken'),
            object: () => ({code: 7, message: 'plain'}),
            nothing: () => undefined,
        };
        for (const name of Object.keys(cases)) {
            Parse.Cloud.define(name, () => { throw cases[name](); });
            Parse.Cloud.define('async-' + name, async () => { throw cases[name](); });
        }",
    )
    .start()
    .await;
    for (name, code, text) in [
        ("parse", 101, "gone"),
        ("string", 141, "text"),
        ("error", 141, "broken"),
        ("object", 141, "plain"),
        ("nothing", 141, "Script failed."),
    ] {
        for name in [name.to_owned(), format!("async-{name}")] {
            let error = app.call(&name, json!({})).await.unwrap_err();
            assert_eq!(seen(&error), (code, text.to_owned()), "{name}");
        }
    }
    let error = app.call("absent", json!({})).await.unwrap_err();
    assert_eq!(seen(&error), (141, "Invalid function: \"absent\"".into()));
}

#[actix_web::test]
async fn handlers_with_two_parameters_answer_like_express() {
    let app = App::new(
        "Parse.Cloud.define('ok', (request, response) => {
            response.status(201).header('X-A', 'b').success({done: true});
        });
        Parse.Cloud.define('error', (request, response) => response.status(418).error('no tea'));
        Parse.Cloud.define('returned', async (request, response) => 'value');
        Parse.Cloud.define('twice', (request, response) => {
            response.success(1);
            try { response.error('x'); } catch (error) { globalThis.second = error.message; }
        });
        Parse.Cloud.define('second', () => globalThis.second);",
    )
    .start()
    .await;
    let answer = app.engine.run_function(as_master("ok", json!({}))).await.unwrap();
    assert_eq!(answer.status, Some(201));
    assert_eq!(answer.headers, [("X-A".to_owned(), "b".to_owned())]);
    assert_eq!(answer.result.unwrap().get(), r#"{"done":true}"#);
    assert_eq!(seen(&app.call("error", json!({})).await.unwrap_err()), (141, "no tea".into()));
    assert_eq!(app.call("returned", json!({})).await.unwrap(), "value");
    assert_eq!(app.call("twice", json!({})).await.unwrap(), 1);
    assert_eq!(
        app.call("second", json!({})).await.unwrap(),
        "Cannot call error() after response has already been sent. Make sure to call success() or error() \
         only once per cloud function execution."
    );
}

#[actix_web::test]
async fn validators_refuse_with_their_texts() {
    let app = App::new(
        "const define = (name, validator) => Parse.Cloud.define(name, r => r.params, validator);
        define('user', {requireUser: true});
        define('master', {requireMaster: true});
        define('any', {requireAnyUserRoles: ['admin', 'editor']});
        define('all', {requireAllUserRoles: () => ['admin', 'editor']});
        define('keys', {requireUserKeys: ['level', 'phone']});
        define('keyOptions', {requireUserKeys: {level: {options: v => v > 5, error: 'too low'}}});
        define('list', {fields: ['a']});
        define('typed', {fields: {n: {type: Number, required: true, options: [1, 2]}}});
        define('fallback', {fields: {n: {default: 4}}});
        define('checked', {fields: {n: {options: v => v < 10}}});
        define('function', ({params}) => { if (!params.ok) throw 'not ok'; });
        define('strict', {requireUser: true, validateMasterKey: true});",
    )
    .start()
    .await;
    let refused = [
        (as_master("strict", json!({})), "Validation failed. Please login to continue."),
        (as_user("any", json!({})), ""),
        (as_user("all", json!({})), "Validation failed. User does not match all the required roles."),
        (as_user("keys", json!({})), "Validation failed. Please set data for phone on your account."),
        (as_user("keyOptions", json!({})), "too low"),
        (as_user("master", json!({})), "Validation failed. Master key is required to complete this request."),
        (as_user("list", json!({})), "Validation failed. Please specify data for a."),
        (as_user("typed", json!({})), "Validation failed. Please specify data for n."),
        (as_user("typed", json!({"n": "1"})), "Validation failed. Invalid type for n. Expected: number"),
        (as_user("typed", json!({"n": 3})), "Validation failed. Invalid option for n. Expected: 1, 2"),
        (as_user("checked", json!({"n": 11})), "Validation failed. Invalid value for n."),
        (as_user("function", json!({})), "not ok"),
        (as_user("user", json!({})), ""),
        (as_user("typed", json!({"n": 2})), ""),
        (as_master("list", json!({})), ""),
        (as_master("function", json!({"ok": 1})), ""),
    ];
    for (call, text) in refused {
        let name = call.name.clone();
        match app.run(call).await {
            Ok(_) => assert_eq!(text, "", "{name}"),
            Err(error) => assert_eq!(seen(&error), (142, text.to_owned()), "{name}"),
        }
    }
    assert_eq!(app.run(as_user("fallback", json!({}))).await.unwrap(), json!({"n": 4}));
    let anonymous = app.call("user", json!({})).await.unwrap_err();
    assert_eq!(seen(&anonymous), (142, "Validation failed. Please login to continue.".into()));
    let registrations = app.engine.registrations();
    assert!(registrations.function("any").unwrap().needs_roles);
    assert!(!registrations.function("user").unwrap().needs_roles);
}

#[actix_web::test]
async fn jobs_report_and_end() {
    let app = App::new(
        "Parse.Cloud.job('nightly', async r => {
            await r.message('half way');
            return `${r.jobName} ${r.jobId} ${r.params.n}`;
        });
        Parse.Cloud.job('broken', () => { throw new Error('no luck'); });
        Parse.Cloud.job('silent', () => 5);",
    )
    .start()
    .await;
    let job = |name: &str| JobCall {
        name: name.into(),
        job_id: "j1".into(),
        params: object(json!({"n": 3})),
        ..JobCall::default()
    };
    assert_eq!(app.engine.run_job(job("nightly")).await.unwrap().as_deref(), Some("nightly j1 3"));
    assert_eq!(*app.server.messages.lock().unwrap(), [("j1".to_owned(), json!("half way"))]);
    assert_eq!(app.engine.run_job(job("silent")).await.unwrap(), None);
    assert_eq!(seen(&app.engine.run_job(job("broken")).await.unwrap_err()), (141, "no luck".into()));
    assert_eq!(seen(&app.engine.run_job(job("absent")).await.unwrap_err()), (141, "Invalid job.".into()));
    assert_eq!(app.engine.registrations().job_names().collect::<Vec<_>>(), ["nightly", "broken", "silent"]);
}
