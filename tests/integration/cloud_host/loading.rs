//! How applications are found and loaded, and what refuses to load.

use parsimony::cloud::node::NodeEngine;
use parsimony::cloud::{
    AdapterArg, AdapterCall, CallbackId, CloudEngine, CloudState, TriggerCall, TriggerKind,
};
use serde_json::{Value, json};

use super::{App, node_modules, object, seen, until};

#[actix_web::test]
async fn modules_folders_and_late_starts_load() {
    let esm = App::empty()
        .file("package.json", r#"{"type": "module"}"#)
        .file("cloud/other.js", "export const answer = await Promise.resolve(42);")
        .file(
            "cloud/main.js",
            "import {answer} from './other.js';
             import Imported from 'parse/node';
             Parse.Cloud.define('answer', () => [answer, Imported === Parse]);",
        )
        .start()
        .await;
    assert_eq!(esm.call("answer", json!({})).await.unwrap(), json!([42, true]));

    let mjs = App::empty()
        .file("cloud/main.mjs", "await null; Parse.Cloud.define('a', () => import.meta.url.slice(-8));")
        .with(|options| options.cloud = Some("./cloud/main.mjs".into()))
        .start()
        .await;
    assert_eq!(mjs.call("a", json!({})).await.unwrap(), "main.mjs");

    for (files, path) in [
        (vec![("cloud/index.js", "Parse.Cloud.define('a', () => 1)")], "cloud"),
        (vec![("cloud/main.js", "Parse.Cloud.define('a', () => 1)")], "./cloud"),
        (
            vec![
                ("cloud/package.json", r#"{"main": "start.js", "type": "module"}"#),
                ("cloud/start.js", "import 'node:fs'; Parse.Cloud.define('a', () => 1)"),
            ],
            "cloud",
        ),
    ] {
        let mut app = App::empty().with(|options| options.cloud = Some(path.into()));
        for (name, text) in files {
            app = app.file(name, text);
        }
        assert_eq!(app.start().await.call("a", json!({})).await.unwrap(), 1);
    }

    let late = App::new("setTimeout(() => Parse.Cloud.define('late', () => 'here'), 50);").start().await;
    until("the function is there", || late.engine.registrations().function("late").is_some()).await;
    assert_eq!(late.call("late", json!({})).await.unwrap(), "here");
}

#[actix_web::test]
async fn typescript_loads_where_node_runs_it() {
    let loaded = App::empty()
        .file("cloud/main.ts", "const n: number = 1; (globalThis as any).Parse.Cloud.define('a', () => n);")
        .with(|options| options.cloud = Some("cloud/main.ts".into()))
        .try_start()
        .await;
    match loaded {
        Ok(app) => assert_eq!(app.call("a", json!({})).await.unwrap(), 1),
        Err(error) => {
            assert!(error.to_string().contains("is TypeScript"), "{error}");
            assert!(error.to_string().contains("NODE_OPTIONS=\"--import tsx\""), "{error}");
        }
    }
}

/// What `tsx` and its kind do, for one line of TypeScript.
const STRIPPER: &str = "
    const fs = require('fs');
    require('module')._extensions['.ts'] = (module, file) =>
        module._compile(fs.readFileSync(file, 'utf8').replace(': number', '').replace(' as any', ''), file);
";

#[actix_web::test]
async fn typescript_loads_with_what_is_preloaded() {
    let app = |text: &str| {
        let app = App::empty().file("cloud/main.ts", text).file("strip.cjs", STRIPPER);
        app.with(|options| {
            options.cloud = Some("cloud/main.ts".into());
            options.env.push(("NODE_OPTIONS".into(), "--require ./strip.cjs".into()));
        })
    };
    let good = "const n: number = 2; (globalThis as any).Parse.Cloud.define('a', () => n);";
    assert_eq!(app(good).start().await.call("a", json!({})).await.unwrap(), 2);
    let error = app("interface What {}; let n: What;").try_start().await.err().unwrap();
    let node_runs_it = !error.to_string().contains("is TypeScript");
    assert!(node_runs_it || error.to_string().contains("(Unexpected"), "{error}");
}

/// What npm's parse-server does with the SDK when it is loaded.
const PEER: &str = "
    const Parse = require('parse/node');
    const lost = () => { throw new Error('lost'); };
    Object.assign(Parse.Cloud, { define: lost, beforeSave: lost, sendEmail: lost, extra: lost });
    Object.defineProperty(Parse, 'Server', { get: lost, set: lost, configurable: true });
    global.Parse = Parse;
    exports.helper = () => 'helps';
";

#[actix_web::test]
async fn the_package_parse_server_may_be_loaded_for_its_helpers() {
    let rest =
        "Parse.Cloud.define('a', () => [helper(), typeof Parse.Server, Parse.Cloud.extra === undefined]);";
    for (name, import) in [
        ("cloud/main.js", "const { helper } = require('parse-server');"),
        ("cloud/main.mjs", "import peer from 'parse-server'; const { helper } = peer;"),
        ("cloud/main.js", "const { helper } = require('parse-server/index.js');"),
    ] {
        let app = App::empty()
            .file("cloud/node_modules/parse-server/index.js", PEER)
            .file(name, &format!("{import} {rest}"))
            .with(|options| options.cloud = Some(name.into()));
        let app = app.start().await;
        assert_eq!(app.call("a", json!({})).await.unwrap(), json!(["helps", "object", true]), "{import}");
    }
}

#[actix_web::test]
async fn modules_may_await_at_their_top_level() {
    let text = "
        import { setTimeout as sleep } from 'node:timers/promises';
        import { twice } from './lib/twice.js';
        import Parse from 'parse/node';
        await sleep(20);
        const { default: named } = await import('./lib/named.cjs');
        Parse.Cloud.define('a', () => [twice(2), named, Parse === globalThis.Parse, import.meta.url.endsWith('main.js')]);
    ";
    let package = r#"{"type": "module"}"#;
    let app = App::empty()
        .file("cloud/package.json", package)
        .file("cloud/main.js", text)
        .file("cloud/lib/twice.js", "export const twice = n => n * 2;")
        .file("cloud/lib/named.cjs", "module.exports = 'common';")
        .with(|options| options.cloud = Some("cloud/main.js".into()));
    let app = app.start().await;
    assert_eq!(app.call("a", json!({})).await.unwrap(), json!([4, "common", true, true]));
}

#[actix_web::test]
async fn the_environment_arrives_unchanged() {
    let app = App::new(
        "Parse.Cloud.define('env', () => ({
            own: process.env.OWN, options: process.env.NODE_OPTIONS, cwd: process.cwd(),
            preloaded: globalThis.preloaded, argv: process.argv.length,
        }));",
    )
    .file("preload.js", "globalThis.preloaded = true;");
    let folder = app.path().canonicalize().unwrap();
    let options = format!("--require {}", folder.join("preload.js").display());
    let app = app
        .with(|run| run.env = vec![("OWN".into(), "x".into()), ("NODE_OPTIONS".into(), options.clone())])
        .start()
        .await;
    assert_eq!(
        app.call("env", json!({})).await.unwrap(),
        json!({"own": "x", "options": options, "cwd": folder, "preloaded": true, "argv": 2})
    );
}

#[actix_web::test]
async fn no_other_sdk_takes_the_place_of_the_host_s() {
    let app = App::new(
        "const wanted = globalThis.Parse;
         const node = require('parse/node');
         const nested = require('./library');
         Parse = {Cloud: {define() {}}};
         global.Parse = nested.browser;
         Parse.Cloud.define('same', () => [Parse === wanted, node === wanted, nested.node === wanted,
            nested.browser === wanted, nested.browser.name]);",
    )
    .file("cloud/library.js", "exports.node = require('parse/node'); exports.browser = require('parse');")
    .file("cloud/node_modules/parse/package.json", r#"{"name": "parse", "main": "index.js"}"#)
    .file("cloud/node_modules/parse/index.js", "module.exports = {name: 'old browser build'};")
    .start()
    .await;
    assert_eq!(
        app.call("same", json!({})).await.unwrap(),
        json!([true, true, true, false, "old browser build"])
    );
}

#[actix_web::test]
async fn registration_errors_stop_the_start() {
    for (code, text) in [
        ("Parse.Cloud.beforeSave('_PushStatus', () => {})", "Only afterSave is allowed on _PushStatus"),
        (
            "Parse.Cloud.beforeLogin('Game', () => {})",
            "Only the _User class is allowed for the beforeLogin, afterLogin, and \
             beforePasswordResetRequest triggers",
        ),
        (
            "Parse.Cloud.afterLogout('Game', () => {})",
            "Only the _Session class is allowed for the afterLogout trigger.",
        ),
        (
            "Parse.Cloud.beforeSave(Parse.Session, () => {})",
            "Only the afterLogout trigger is allowed for the _Session class.",
        ),
        (
            "Parse.Cloud.define('a', () => {}, {requiresUser: true})",
            "requiresUser is not a supported parameter for Cloud Function validations.",
        ),
        (
            "Parse.Cloud.define('a', () => {}, {requireUser: 'yes'})",
            "Invalid type for Cloud Function validation key requireUser. Expected boolean, actual string",
        ),
        (
            "Parse.Cloud.define('a', () => {}, {fields: {b: {requird: true}}})",
            "requird is not a supported parameter for Cloud Function validations.",
        ),
        (
            "Parse.Cloud.define('a', () => {}, {rateLimit: {requestCunt: 1}})",
            "Invalid rate limit option \"requestCunt\"",
        ),
        ("throw new Error('does not load')", "does not load"),
        ("require('./absent')", "Cannot find module './absent'"),
        ("process.exit(3)", "exit status: 3"),
    ] {
        let Err(error) = App::new(code).try_start().await else { panic!("{code} loaded") };
        assert!(error.to_string().contains(text), "{code}: {error}");
    }
    let Err(error) = App::empty().try_start().await else { panic!("nothing loaded") };
    assert!(error.to_string().contains("Cannot find module 'cloud/main.js'"), "{error}");
    let Err(error) = App::new("").with(|run| run.node = "no-such-node".into()).try_start().await else {
        panic!("started without Node.js")
    };
    assert!(error.to_string().contains("`no-such-node` was not found"), "{error}");
}

#[actix_web::test]
async fn registrations_list_everything() {
    let app = App::new(
        "Parse.Cloud.define('name.space', () => 'dotted');
         Parse.Cloud.define(\"it's\", () => 1);
         Parse.Cloud.define('limited', () => 1,
            {rateLimit: {requestTimeWindow: 1000, requestCount: 3, zone: Parse.Server.RateLimitZone.user}});
         Parse.Cloud.beforeSave(Parse.User, () => {}, {rateLimit: {requestCount: 1}});
         Parse.Cloud.beforeFind('Game', () => {}, {requireAnyUserRoles: ['a']});
         Parse.Cloud.beforeDelete(Parse.Object.extend('Thing'), () => {});",
    )
    .start()
    .await;
    assert_eq!(app.engine.state(), CloudState::Ready);
    assert_eq!(app.call("name.space", json!({})).await.unwrap(), "dotted");
    let registrations = app.engine.registrations();
    assert_eq!(registrations.function_names().collect::<Vec<_>>(), ["limited", "name.space"]);
    assert!(registrations.has_trigger(TriggerKind::BeforeSave, "_User"));
    assert!(registrations.has_trigger(TriggerKind::BeforeDelete, "Thing"));
    assert!(registrations.trigger(TriggerKind::BeforeFind, "Game").unwrap().needs_roles);
    assert_eq!(
        registrations.rate_limits,
        [
            json!({"requestPath": "/functions/limited", "requestTimeWindow": 1000, "requestCount": 3,
                "zone": "user"}),
            json!({"requestPath": "/users/_User{/*id}", "requestMethods": ["POST", "PUT"],
                "requestCount": 1}),
        ]
    );
}

#[actix_web::test]
async fn a_reload_takes_over_without_losing_calls() {
    let app = App::new(
        "Parse.Cloud.define('version', () => 1);
         Parse.Cloud.define('slow', async () => {
             require('fs').writeFileSync('begun', '');
             while (!require('fs').existsSync('go')) await new Promise(done => setTimeout(done, 10));
             return 'old code';
         });",
    )
    .start()
    .await;
    let before = app.engine.pids();
    let slow = app.call("slow", json!({}));
    let reload = async {
        until("the slow call has begun", || app.exists("begun")).await;
        app.write("cloud/main.js", "syntax error");
        assert!(app.engine.reload().await.is_err());
        assert_eq!(app.call("version", json!({})).await.unwrap(), 1);
        app.write("cloud/main.js", "Parse.Cloud.define('version', () => 2);");
        app.engine.reload().await.unwrap();
        assert_eq!(app.call("version", json!({})).await.unwrap(), 2);
        app.write("go", "");
    };
    let (slow, ()) = futures_util::future::join(slow, reload).await;
    assert_eq!(slow.unwrap(), "old code");
    assert_ne!(app.engine.pids(), before);
    let error = app.call("slow", json!({})).await.unwrap_err();
    assert_eq!(seen(&error), (141, "Invalid function: \"slow\"".into()));
    app.engine.shutdown().await;
    assert!(app.engine.pids().is_empty());
    assert!(app.call("version", json!({})).await.is_err());
}

#[actix_web::test]
async fn configuration_files_give_options_and_callbacks() {
    let app = App::empty()
        .file(
            "config.js",
            "class Mailer {
                constructor(options) { this.options = options; }
                sendMail(mail) { return [this.options.from, mail.to]; }
             }
             module.exports = async () => ({
                appId: 'from-config',
                cloud: Parse => Parse.Cloud.define('inline', () => 'inline'),
                passwordPolicy: {validatorPattern: /^.{8,}$/, validatorCallback: p => p !== 'password'},
                masterKey: async () => 'computed',
                emailAdapter: {module: Mailer, options: {from: 'a@b.c'}},
                verifyUserEmails: r => r.object.get('email') !== undefined && r.master === false,
             });",
        )
        .with(|options| {
            options.config_file = Some("config.js".into());
            options.cloud = None;
        });
    let config = NodeEngine::read_config(&app.options).await.unwrap();
    assert_eq!(config["appId"], "from-config");
    assert_eq!(config["passwordPolicy"]["validatorPattern"], "^.{8,}$");
    let callback = |value: &Value| CallbackId::from_option(value).unwrap();
    let password = callback(&config["passwordPolicy"]["validatorCallback"]);
    let (master, verify) = (callback(&config["masterKey"]), callback(&config["verifyUserEmails"]));
    let mailer = config["emailAdapter"].clone();
    let cloud = config["cloud"].clone();
    let app = app
        .with(|options| {
            options.cloud = Some(cloud);
            options.adapters = vec![("emailAdapter".into(), mailer)];
        })
        .start()
        .await;
    assert_eq!(app.call("inline", json!({})).await.unwrap(), "inline");
    let call = async |id, args| app.engine.call_callback(id, args).await.unwrap();
    assert_eq!(call(password, vec![AdapterArg::Json("password".into())]).await, false);
    assert_eq!(call(password, vec![AdapterArg::Json("better".into())]).await, true);
    assert_eq!(call(master, vec![]).await, "computed");
    let mut request = TriggerCall::new(TriggerKind::BeforeSave, "_User");
    request.data = Some(json!({"email": "x@y.z"}).into());
    assert_eq!(call(verify, vec![AdapterArg::Request(Box::new(request))]).await, true);
    assert!(app.engine.registrations().adapter("emailAdapter").unwrap().methods.contains("sendMail"));
    let sent = app
        .engine
        .call_adapter(AdapterCall {
            adapter: "emailAdapter".into(),
            method: "sendMail".into(),
            args: vec![AdapterArg::Json(json!({"to": "d@e.f"}))],
            deadline: None,
        })
        .await
        .unwrap();
    assert_eq!(sent, json!(["a@b.c", "d@e.f"]));
}

#[actix_web::test]
async fn adapter_modules_come_in_every_form() {
    let app = App::new("")
        .file(
            "object.js",
            "module.exports = {
                policy: 'solo',
                validateAuthData(data, options) {
                    if (data.id === 'bad') throw new Parse.Error(101, 'not you');
                    return {save: {id: data.id, key: options.key}};
                },
             };",
        )
        .file(
            "class.mjs",
            "export default class Provider {
                validateAuthData(data, options, request) { return [data.id, request.object.get('n')]; }
             }",
        )
        .with(|options| {
            options.adapters = vec![
                ("auth.object".into(), json!({"module": "./object.js", "key": "k"})),
                ("auth.class".into(), json!({"module": "./class.mjs"})),
            ];
        })
        .start()
        .await;
    let registrations = app.engine.registrations();
    assert_eq!(registrations.adapter("auth.object").unwrap().properties["policy"], "solo");
    assert!(registrations.adapter("auth.class").unwrap().methods.contains("validateAuthData"));
    let validate = async |adapter: &str, id: &str| {
        let mut request = TriggerCall::new(TriggerKind::BeforeSave, "_User");
        request.data = Some(json!({"n": 4}).into());
        let args = vec![
            AdapterArg::Json(json!({"id": id})),
            AdapterArg::Options,
            AdapterArg::Request(Box::new(request)),
        ];
        let method = "validateAuthData".into();
        app.engine.call_adapter(AdapterCall { adapter: adapter.into(), method, args, deadline: None }).await
    };
    assert_eq!(validate("auth.object", "a").await.unwrap(), json!({"save": {"id": "a", "key": "k"}}));
    assert_eq!(seen(&validate("auth.object", "bad").await.unwrap_err()), (101, "not you".into()));
    assert_eq!(validate("auth.class", "b").await.unwrap(), json!(["b", 4]));
    assert!(node_modules().exists());
    assert!(object(json!({})).is_empty());
}
