//! What Cloud Code can do to its host, and what callers then see.

use std::time::{Duration, Instant};

use parsimony::cloud::{CloudEngine, CloudState, FunctionCall, Scope, TriggerCall, TriggerKind};
use parsimony::error::Result;
use serde_json::{Value, json};

use super::{App, Running, object, seen, until};

const LOST: &str = "Cloud Code stopped while it ran this call.";

const FAULTS: &str = "
    const fs = require('fs');
    const note = text => fs.appendFileSync('notes', text + '\\n');
    Parse.Cloud.define('ok', () => process.pid);
    Parse.Cloud.define('note', ({params}) => note(params.text));
    Parse.Cloud.define('exit', () => { note('exit'); process.exit(0); });
    Parse.Cloud.define('throws later', () => {
        setTimeout(() => { throw new Error('nobody catches this'); }, 5);
        return new Promise(() => {});
    });
    Parse.Cloud.define('rejects later', () => {
        Promise.reject(new Error('nobody handles this'));
        return new Promise(() => {});
    });
    Parse.Cloud.define('loop', () => { note('loop'); for (;;) {} });
    Parse.Cloud.define('allocate', () => { const all = []; for (;;) all.push(new Array(100000).fill(1.5)); });
    Parse.Cloud.define('buffers', async () => {
        const all = [];
        for (;;) {
            all.push(Buffer.alloc(64 * 1048576, 1));
            await new Promise(done => setTimeout(done, 20));
        }
    });
    Parse.Cloud.define('never', () => new Promise(() => {}));
    Parse.Cloud.define('big', () => 'x'.repeat(10 * 1024 * 1024));
    Parse.Cloud.define('cut', () => {
        for (const handle of process._getActiveHandles()) {
            if (handle.constructor.name === 'Socket' && !handle.remoteAddress && handle.fd === undefined) {}
            if (typeof handle.destroy === 'function' && handle.connecting === false) handle.destroy();
        }
        return new Promise(() => {});
    });
    Parse.Cloud.beforeSave('Game', ({object}) => {
        note('beforeSave');
        if (object.get('exit')) process.exit(1);
    });
";

async fn start() -> Running {
    App::new(FAULTS)
        .with(|options| {
            options.stall_timeout = Duration::from_millis(600);
            options.memory_limit_mb = Some(192);
        })
        .start()
        .await
}

async fn pid(app: &Running) -> Value {
    app.call("ok", json!({})).await.unwrap()
}

/// The call fails with the text for lost calls, and the next one works on another process.
async fn is_replaced(app: &Running, name: &str) {
    let before = pid(app).await;
    let error = app.call(name, json!({})).await.unwrap_err();
    assert_eq!(seen(&error), (141, LOST.into()), "{name}");
    let lost = Instant::now();
    assert_ne!(pid(app).await, before, "{name}");
    println!("{name}: the next call worked after {} ms", lost.elapsed().as_millis());
}

#[actix_web::test]
async fn a_host_that_ends_is_replaced() {
    let app = start().await;
    for name in ["exit", "throws later", "rejects later", "cut"] {
        is_replaced(&app, name).await;
    }
    let mut call = TriggerCall::new(TriggerKind::BeforeSave, "Game");
    call.data = Some(json!({"exit": true}).into());
    assert_eq!(seen(&app.trigger(call).await.unwrap_err()), (141, LOST.into()));
    let mut call = TriggerCall::new(TriggerKind::BeforeSave, "Game");
    call.data = Some(json!({"exit": false}).into());
    assert!(app.trigger(call).await.unwrap().object.is_some());
    assert_eq!(app.read("notes"), "exit\nbeforeSave\nbeforeSave\n", "nothing runs twice");
}

#[actix_web::test]
async fn a_host_that_stalls_is_replaced() {
    let app = start().await;
    is_replaced(&app, "loop").await;
    assert_eq!(app.read("notes"), "loop\n");
}

#[actix_web::test]
async fn a_host_that_loads_slowly_is_left_alone() {
    let slow = "
        const end = Date.now() + 1500;
        while (Date.now() < end);
        Parse.Cloud.define('ok', () => 'loaded');
        Parse.Cloud.define('loop', () => { for (;;) {} });
    ";
    let app = App::new(slow).with(|options| options.stall_timeout = Duration::from_millis(300)).start().await;
    assert_eq!(app.call("ok", json!({})).await.unwrap(), "loaded");
    assert_eq!(seen(&app.call("loop", json!({})).await.unwrap_err()), (141, LOST.into()));
}

#[actix_web::test]
async fn a_host_that_takes_too_much_memory_is_replaced() {
    let app = start().await;
    is_replaced(&app, "allocate").await;
    is_replaced(&app, "buffers").await;
}

#[actix_web::test]
async fn a_deadline_ends_the_waiting_only() {
    let app = start().await;
    let before = pid(&app).await;
    let call = FunctionCall {
        name: "never".into(),
        scope: Scope { deadline: Some(Duration::from_millis(200)), ..Scope::default() },
        ..FunctionCall::default()
    };
    let begun = Instant::now();
    let error = app.run(call).await.unwrap_err();
    assert_eq!(seen(&error), (141, "Cloud Code did not answer within 0.2 s.".into()));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(pid(&app).await, before);
}

#[actix_web::test]
async fn large_results_pass() {
    let app = start().await;
    let big = app.call("big", json!({})).await.unwrap();
    assert_eq!(big.as_str().map(str::len), Some(10 * 1024 * 1024));
    let text = "y".repeat(3_000_000);
    app.call("note", json!({"text": text})).await.unwrap();
    assert_eq!(app.read("notes").len(), 3_000_001);
}

/// Calls behind one that never lets go have not begun: they run on the next host, once.
#[actix_web::test]
async fn unbegun_calls_run_on_the_next_host() {
    let app = start().await;
    let names = ["loop", "note", "note", "note"];
    let calls = names.iter().enumerate().map(|(index, name)| {
        let call = FunctionCall {
            name: (*name).into(),
            params: object(json!({"text": format!("note {index}")})),
            ..FunctionCall::default()
        };
        app.run(call)
    });
    let answers: Vec<Result<Value>> = futures_util::future::join_all(calls).await;
    assert_eq!(seen(answers[0].as_ref().unwrap_err()), (141, LOST.into()));
    for answer in &answers[1..] {
        assert_eq!(*answer.as_ref().unwrap(), Value::Null);
    }
    assert_eq!(app.read("notes"), "loop\nnote 1\nnote 2\nnote 3\n");
}

#[actix_web::test]
async fn other_hosts_go_on() {
    let app = App::new(FAULTS)
        .with(|options| {
            options.workers = 2;
            options.stall_timeout = Duration::from_secs(2);
        })
        .start()
        .await;
    assert_eq!(app.engine.pids().len(), 2);
    let looping = app.call("loop", json!({}));
    let others = async {
        until("the loop has begun", || app.exists("notes")).await;
        let begun = Instant::now();
        for _ in 0..20 {
            pid(&app).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    };
    let (looped, ()) = futures_util::future::join(looping, others).await;
    assert_eq!(seen(&looped.unwrap_err()), (141, LOST.into()));
    until("both hosts are there", || app.engine.pids().len() == 2).await;
}

/// While no host lives, a trigger waits; it is never taken for absent.
#[actix_web::test]
async fn triggers_wait_for_the_next_host() {
    let app = start().await;
    let exit = app.call("exit", json!({}));
    let save = async {
        until("the host is gone", || app.engine.state() == CloudState::Recovering).await;
        let mut call = TriggerCall::new(TriggerKind::BeforeSave, "Game");
        call.data = Some(json!({"n": 1}).into());
        app.trigger(call).await
    };
    let (exited, saved) = futures_util::future::join(exit, save).await;
    assert!(exited.is_err());
    assert!(saved.unwrap().object.is_some());
    assert_eq!(app.read("notes"), "exit\nbeforeSave\n");
}

#[actix_web::test]
async fn a_full_line_refuses() {
    let app = App::new(FAULTS)
        .with(|options| {
            options.max_in_flight = 1;
            options.max_waiting = 1;
        })
        .start()
        .await;
    let never = || FunctionCall {
        name: "never".into(),
        scope: Scope { deadline: Some(Duration::from_millis(500)), ..Scope::default() },
        ..FunctionCall::default()
    };
    let (first, second, third) =
        futures_util::future::join3(app.run(never()), app.run(never()), app.run(never())).await;
    assert_eq!(first.unwrap_err().status(), 400);
    assert_eq!(second.unwrap_err().status(), 400);
    assert_eq!(third.unwrap_err().status(), 503);
    // A nested call does not wait behind the calls it is a part of.
    let nested = FunctionCall {
        name: "ok".into(),
        scope: Scope { depth: 1, ..Scope::default() },
        ..FunctionCall::default()
    };
    let (_, nested) = futures_util::future::join(app.run(never()), app.run(nested)).await;
    assert!(nested.is_ok());
}

#[actix_web::test]
async fn a_call_costs_little() {
    let app = App::new("Parse.Cloud.define('echo', r => r.params);").start().await;
    for _ in 0..200 {
        app.call("echo", json!({"n": 1})).await.unwrap();
    }
    let mut times = Vec::new();
    for _ in 0..500 {
        let begun = Instant::now();
        app.call("echo", json!({"n": 1})).await.unwrap();
        times.push(begun.elapsed());
    }
    times.sort();
    println!("echo p50 {} us, p99 {} us", times[250].as_micros(), times[495].as_micros());
    assert!(times[250] < Duration::from_millis(20), "{:?}", times[250]);
}
