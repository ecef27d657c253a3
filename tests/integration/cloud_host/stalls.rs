//! A host that stands still costs its own calls alone.

use std::time::Duration;

use futures_util::future::{join, join_all, join3};
use parsimony::cloud::{AdapterCall, CloudEngine, FunctionCall, JobCall, Scope, TriggerCall, TriggerKind};
use parsimony::error::Result;
use serde_json::{Value, json};

use super::{App, Running, object, seen, until};

const SPINS: &str = "
    const fs = require('fs');
    const note = text => fs.appendFileSync('notes', text + '\\n');
    const spin = name => { note(name); for (;;) {} };
    Parse.Cloud.define('pid', () => process.pid);
    Parse.Cloud.define('note', ({params}) => note(params.text));
    Parse.Cloud.define('slow', async () => {
        note('slow');
        while (!fs.existsSync('stop')) await new Promise(done => setTimeout(done, 5));
    });
    Parse.Cloud.define('spin', () => spin('spin'));
    Parse.Cloud.define('until', ({params}) => {
        note('until');
        while (!fs.existsSync(params.file));
        return process.pid;
    });
    Parse.Cloud.define('checked', () => 1, () => spin('validator'));
    Parse.Cloud.beforeSave('Game', () => spin('trigger'));
    Parse.Cloud.job('job', () => spin('job'));
";

fn with_deadline(name: &str, deadline: Duration) -> FunctionCall {
    FunctionCall {
        name: name.into(),
        scope: Scope { deadline: Some(deadline), ..Scope::default() },
        params: object(json!({"file": "stop", "text": name})),
        ..FunctionCall::default()
    }
}

/// How often each line was noted.
fn count(app: &Running, line: &str) -> usize {
    app.read("notes").lines().filter(|noted| *noted == line).count()
}

#[actix_web::test]
async fn calls_behind_a_spin_succeed() {
    // Far below the default of `cloudStallTimeout`.
    let app =
        App::new(SPINS).with(|options| options.call_timeout = Some(Duration::from_secs(2))).start().await;
    let meanwhile = async {
        until("it spins", || app.exists("notes")).await;
        app.call("note", json!({"text": "meanwhile"})).await
    };
    let (spun, behind, meanwhile) =
        join3(app.call("spin", json!({})), app.call("note", json!({"text": "behind"})), meanwhile).await;
    assert_eq!(spun.as_ref().unwrap_err().code().map(|code| code.0), Some(141));
    assert_eq!(behind.unwrap(), Value::Null);
    assert_eq!(meanwhile.unwrap(), Value::Null);
    app.call("note", json!({"text": "next"})).await.unwrap();
    for line in ["spin", "behind", "meanwhile", "next"] {
        assert_eq!(count(&app, line), 1, "{line}: {}", app.read("notes"));
    }
}

#[actix_web::test]
async fn whatever_spins_the_next_call_succeeds() {
    let app = App::new(SPINS)
        .file("mailer.js", "module.exports = {sendMail() { for (;;) {} }};")
        .with(|options| {
            options.call_timeout = Some(Duration::from_secs(2));
            options.stall_timeout = Duration::from_millis(600);
            options.adapters = vec![("emailAdapter".into(), json!({"module": "./mailer.js"}))];
        })
        .start()
        .await;
    let next = async |text: &str| {
        let called = app.call("note", json!({"text": text})).await;
        assert_eq!(called.unwrap(), Value::Null, "{text}");
    };
    let lost = |result: Result<()>| assert_eq!(seen(&result.unwrap_err()).0, 141);

    let save = TriggerCall::new(TriggerKind::BeforeSave, "Game");
    let (spun, ()) = join(app.trigger(save), next("after a trigger")).await;
    lost(spun.map(drop));
    let job = JobCall { name: "job".into(), job_id: "j1".into(), ..JobCall::default() };
    let (spun, ()) = join(app.engine.run_job(job), next("after a job")).await;
    lost(spun.map(drop));
    let (spun, ()) = join(app.call("checked", json!({})), next("after a validator")).await;
    lost(spun.map(drop));
    let mail = AdapterCall {
        adapter: "emailAdapter".into(),
        method: "sendMail".into(),
        args: Vec::new(),
        deadline: None,
    };
    let (spun, ()) = join(app.engine.call_adapter(mail), next("after a mail")).await;
    lost(spun.map(drop));
    for line in ["trigger", "job", "validator", "after a trigger", "after a job", "after a mail"] {
        assert_eq!(count(&app, line), 1, "{line}: {}", app.read("notes"));
    }
}

/// The early notice alone: no host is replaced here.
#[actix_web::test]
async fn another_host_takes_over_what_has_not_begun() {
    let app = App::new(SPINS)
        .with(|options| {
            options.workers = 2;
            options.stall_timeout = Duration::ZERO;
        })
        .start()
        .await;
    let before = app.engine.pids();
    let others = async {
        let texts: Vec<_> = (0..20).map(|n| format!("note {n}")).collect();
        let calls = texts.iter().map(|text| app.call("note", json!({"text": text})));
        let answers = tokio::time::timeout(Duration::from_secs(20), join_all(calls)).await;
        app.write("stop", "");
        for answer in answers.expect("they do not wait for the spin") {
            answer.unwrap();
        }
        for text in texts {
            assert_eq!(count(&app, &text), 1, "{text}");
        }
    };
    let (spun, ()) = join(app.run(with_deadline("until", Duration::from_secs(60))), others).await;
    let pid = spun.unwrap();
    assert_eq!(count(&app, "until"), 1);
    assert_eq!(app.engine.pids(), before, "no host was replaced");
    // The host that stood still is given calls again.
    let mut seen_again = false;
    for _ in 0..200 {
        let pids = join_all((0..4).map(|_| app.call("pid", json!({})))).await;
        seen_again = pids.into_iter().any(|found| found.unwrap() == pid);
        if seen_again {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(seen_again);
}

/// With one host, calls wait in the server's line, and their time begins when the host goes on.
#[actix_web::test]
async fn a_pause_costs_nobody_behind_it_a_deadline() {
    let app = App::new(SPINS)
        .with(|options| {
            options.call_timeout = Some(Duration::from_millis(1200));
            options.stall_timeout = Duration::ZERO;
        })
        .start()
        .await;
    let before = app.engine.pids();
    for round in 1..=2 {
        let slow = app.run(with_deadline("slow", Duration::from_secs(60)));
        let spin = async {
            until("the slow call has begun", || count(&app, "slow") == round).await;
            app.run(with_deadline("until", Duration::from_secs(60))).await
        };
        let behind = async {
            until("it spins", || count(&app, "until") == round).await;
            let held = app.call("note", json!({"text": "held"}));
            let impatient = async {
                let error = app.run(with_deadline("note", Duration::from_millis(1500))).await.unwrap_err();
                app.write("stop", "");
                seen(&error)
            };
            join(held, impatient).await
        };
        let (slow, spun, (held, impatient)) = join3(slow, spin, behind).await;
        assert_eq!(impatient, (141, "Cloud Code did not answer within 1.5 s.".into()));
        assert_eq!(slow.unwrap(), Value::Null, "what had begun goes on");
        assert!(spun.is_ok());
        assert_eq!(held.unwrap(), Value::Null);
        assert_eq!(count(&app, "held"), round);
        assert_eq!(count(&app, "slow"), round, "nothing begins twice");
        app.remove("stop");
    }
    assert_eq!(count(&app, "note"), 0, "a call that nobody waits for does not begin");
    assert_eq!(app.engine.pids(), before);
}
