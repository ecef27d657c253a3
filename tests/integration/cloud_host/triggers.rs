//! Triggers of objects, queries, files, the config and live queries.

use parsimony::cloud::{
    CONFIG_CLASS, CONNECT_CLASS, Caller, CloudEngine, FILE_CLASS, FilePayload, LiveQueryPayload, Payload,
    TriggerAnswer, TriggerCall, TriggerKind,
};
use serde_json::{Value, json};

use super::{App, object, seen};

fn save(kind: TriggerKind, original: Option<Value>, data: Value) -> TriggerCall {
    let mut call = TriggerCall::new(kind, "Game");
    if original.is_some() {
        call.object_id = Some("g1".into());
    }
    call.original = original.map(Payload::from);
    call.data = Some(data.into());
    call
}

fn stored() -> Value {
    json!({"objectId": "g1", "score": 1, "name": "old", "createdAt": "2024-01-01T00:00:00.000Z",
        "updatedAt": "2024-01-01T00:00:00.000Z"})
}

#[actix_web::test]
async fn before_save_changes_what_is_written() {
    let app = App::new(
        "Parse.Cloud.beforeSave('Game', ({object, original, context, master}) => {
            context.seen = {isNew: object.isNew(), dirty: object.dirtyKeys(), score: object.get('score'),
                before: original && original.get('score'), master, proto: Object.getPrototypeOf(context)};
            if (object.get('score') > 100) throw new Parse.Error(1234, 'too much');
            object.set('checked', true);
            if (original) object.unset('name');
        });",
    )
    .start()
    .await;
    let created = app.trigger(save(TriggerKind::BeforeSave, None, json!({"score": 5}))).await.unwrap();
    assert_eq!(Value::from(created.object.unwrap()), json!({"score": 5, "checked": true}));
    let seen_by_handler = &created.context.unwrap()["seen"];
    assert_eq!(
        *seen_by_handler,
        json!({"isNew": true, "dirty": ["score"], "score": 5, "master": false, "proto": null})
    );
    let increment = json!({"score": {"__op": "Increment", "amount": 2}});
    let updated =
        app.trigger(save(TriggerKind::BeforeSave, Some(stored()), increment.clone())).await.unwrap();
    assert_eq!(
        updated.fields_changed(increment.as_object().unwrap()).collect::<Vec<_>>(),
        ["checked", "name", "objectId"]
    );
    assert_eq!(
        Value::from(updated.object.unwrap()),
        json!({"score": {"__op": "Increment", "amount": 2}, "checked": true, "name": {"__op": "Delete"},
            "objectId": "g1"})
    );
    let seen_by_handler = &updated.context.unwrap()["seen"];
    assert_eq!(seen_by_handler["score"], 3);
    assert_eq!(seen_by_handler["before"], 1);
    let refused = app.trigger(save(TriggerKind::BeforeSave, None, json!({"score": 500}))).await;
    assert_eq!(seen(&refused.unwrap_err()), (1234, "too much".into()));
}

#[actix_web::test]
async fn after_save_sees_the_saved_object() {
    let app = App::new(
        "Parse.Cloud.afterSave('Game', ({object, original, context}) => {
            context.seen = [object.id, object.get('score'), object.dirty(), object.existed(),
                original ? original.get('score') : null];
            if (object.get('score') === 7) return {replaced: true};
            object.set('extra', 'yes');
        });",
    )
    .start()
    .await;
    let mut call = save(TriggerKind::AfterSave, None, json!({"score": 5}));
    call.response = Some(json!({"objectId": "g2", "createdAt": "2024-01-01T00:00:00.000Z"}).into());
    let answer = app.trigger(call).await.unwrap();
    assert_eq!(answer.context.unwrap()["seen"], json!(["g2", 5, false, false, null]));
    let object = answer.object.unwrap();
    assert_eq!(object["extra"], "yes");
    assert!(answer.replacement.is_none());

    let mut call =
        save(TriggerKind::AfterSave, Some(stored()), json!({"score": {"__op": "Increment", "amount": 6}}));
    call.response = Some(json!({"score": 7, "updatedAt": "2024-01-02T00:00:00.000Z"}).into());
    let answer = app.trigger(call).await.unwrap();
    assert_eq!(answer.context.unwrap()["seen"], json!(["g1", 7, false, true, 1]));
    assert_eq!(answer.replacement, Some(json!({"replaced": true})));
}

#[actix_web::test]
async fn deletes_and_logins_get_their_object() {
    let app = App::new(
        "const note = name => ({object, context, triggerName}) => {
            context.note = [name, triggerName, object.className, object.id];
            if (object.get('locked')) throw 'locked';
        };
        Parse.Cloud.beforeDelete('Game', note('bd'));
        Parse.Cloud.afterDelete('Game', note('ad'));
        Parse.Cloud.beforeLogin(note('bl'));
        Parse.Cloud.afterLogin(Parse.User, note('al'));
        Parse.Cloud.afterLogout(r => { if (r.object.get('locked')) throw undefined; });
        Parse.Cloud.beforePasswordResetRequest(note('pr'));",
    )
    .start()
    .await;
    let mut call = TriggerCall::new(TriggerKind::BeforeDelete, "Game");
    call.object = Some(stored().into());
    let answer = app.trigger(call.clone()).await.unwrap();
    assert_eq!(answer.context.unwrap()["note"], json!(["bd", "beforeDelete", "Game", "g1"]));
    call.object = Some(json!({"objectId": "g1", "locked": true}).into());
    assert_eq!(seen(&app.trigger(call).await.unwrap_err()), (141, "locked".into()));
    let mut call = TriggerCall::new(TriggerKind::BeforeLogin, "_User");
    call.object = Some(json!({"objectId": "u1", "locked": true}).into());
    assert_eq!(seen(&app.trigger(call).await.unwrap_err()), (141, "locked".into()));
    let mut call = TriggerCall::new(TriggerKind::AfterLogout, "_Session");
    call.object = Some(json!({"objectId": "s1", "locked": true}).into());
    assert_eq!(seen(&app.trigger(call).await.unwrap_err()), (141, "Script failed. Unknown error.".into()));
    let registrations = app.engine.registrations();
    assert!(registrations.has_trigger(TriggerKind::AfterLogin, "_User"));
    assert!(registrations.has_trigger(TriggerKind::BeforePasswordResetRequest, "_User"));
    assert!(!registrations.has_trigger(TriggerKind::AfterDelete, "Other"));
}

#[actix_web::test]
async fn before_find_changes_or_answers_the_query() {
    let app = App::new(
        "Parse.Cloud.beforeFind('Game', r => {
            const mode = r.query.toJSON().where.mode;
            if (mode === 'mutate') { r.query.equalTo('owner', 'me'); r.query.limit(5); }
            if (mode === 'new') return new Parse.Query('Game').greaterThan('score', 3);
            if (mode === 'one') { const o = new Parse.Object('Game'); o.set('made', 1); return o; }
            if (mode === 'many') return [Parse.Object.fromJSON({className: 'Game', objectId: 'g1'})];
            if (mode === 'none') return [];
            r.readPreference = 'SECONDARY';
            r.context.count = [r.count, r.isGet];
        });",
    )
    .start()
    .await;
    let find = |mode: &str| {
        let mut call = TriggerCall::new(TriggerKind::BeforeFind, "Game");
        call.query = Some(json!({"where": {"mode": mode}, "limit": 100, "redirect": "kept"}));
        call.is_get = true;
        call
    };
    let answer = app.trigger(find("mutate")).await.unwrap();
    let query = Value::from(answer.query.unwrap());
    assert_eq!(query, json!({"where": {"mode": "mutate", "owner": "me"}, "limit": 5, "redirect": "kept"}));
    assert_eq!(answer.read_preference.as_deref(), Some("SECONDARY"));
    assert_eq!(answer.context.unwrap()["count"], json!([false, true]));
    assert!(answer.objects.is_none());
    let answer = app.trigger(find("new")).await.unwrap();
    assert_eq!(answer.query.unwrap()["where"], json!({"score": {"$gt": 3}}));
    let answer = app.trigger(find("one")).await.unwrap();
    assert_eq!(objects(answer), [json!({"made": 1, "className": "Game"})]);
    let answer = app.trigger(find("many")).await.unwrap();
    assert_eq!(objects(answer)[0]["objectId"], "g1");
    assert_eq!(objects(app.trigger(find("none")).await.unwrap()), Vec::<Value>::new());
}

#[actix_web::test]
async fn after_find_changes_results() {
    let app = App::new(
        "Parse.Cloud.afterFind('Game', r => {
            if (r.query.toJSON().where.keep) { r.objects[0].set('seen', true); return; }
            return r.objects.filter(o => o.get('score') > 1);
        }, {skipWithMasterKey: true});",
    )
    .start()
    .await;
    let find = |filter: Value| {
        let mut call = TriggerCall::new(TriggerKind::AfterFind, "Game");
        call.query = Some(json!({"where": filter}));
        call.objects = Some(json!([stored(), {"objectId": "g2", "score": 2}]).into());
        call
    };
    let kept = objects(app.trigger(find(json!({"keep": true}))).await.unwrap());
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0]["seen"], true);
    assert_eq!(kept[0]["createdAt"], "2024-01-01T00:00:00.000Z");
    let filtered = objects(app.trigger(find(json!({}))).await.unwrap());
    assert_eq!(filtered, [json!({"objectId": "g2", "score": 2, "className": "Game"})]);
    let mut call = find(json!({}));
    call.caller = Caller { master: true, ..Caller::default() };
    let skipped = app.trigger(call).await.unwrap();
    assert!(skipped.unchanged && skipped.objects.is_none(), "the server's own bytes serve");
}

fn objects(answer: TriggerAnswer) -> Vec<Value> {
    assert!(!answer.unchanged);
    answer.read_objects().unwrap().unwrap()
}

#[actix_web::test]
async fn validators_of_triggers_look_at_the_object() {
    let app = App::new(
        "Parse.Cloud.beforeSave('Game', () => {}, {
            fields: {
                score: {required: true, type: Number},
                state: {default: 'open', constant: true},
            },
        });",
    )
    .start()
    .await;
    let missing = app.trigger(save(TriggerKind::BeforeSave, None, json!({}))).await.unwrap_err();
    assert_eq!(seen(&missing), (142, "Validation failed. Please specify data for score.".into()));
    let created = app
        .trigger(save(TriggerKind::BeforeSave, None, json!({"score": 1, "state": "closed"})))
        .await
        .unwrap();
    assert_eq!(created.object.unwrap()["state"], "open");
    let original = json!({"objectId": "g1", "score": 1, "state": "open"});
    let updated =
        app.trigger(save(TriggerKind::BeforeSave, Some(original), json!({"state": "closed"}))).await.unwrap();
    assert_eq!(updated.object.unwrap().get("state"), None);
}

#[actix_web::test]
async fn file_triggers_change_the_file() {
    let app = App::new(
        "Parse.Cloud.beforeSave(Parse.File, ({file, fileSize, context}) => {
            if (file.name() === 'bad') throw 'bad file';
            if (file.name() === 'odd') throw undefined;
            if (file.name() === 'other') return new Parse.File('new.txt', {base64: 'bmV3'});
            file.addMetadata('size', fileSize);
            file.addTag('noContext', String(context === undefined));
            file.setDirectory('docs');
        });
        Parse.Cloud.afterFind(Parse.File, r => { r.forceDownload = true; r.responseHeaders['X-A'] = 'b'; });",
    )
    .start()
    .await;
    let upload = |name: &str| {
        let mut call = TriggerCall::new(TriggerKind::BeforeSave, FILE_CLASS);
        call.file = Some(FilePayload {
            name: name.into(),
            data: Some("aGVsbG8=".into()),
            content_type: Some("text/plain".into()),
            file_size: Some(5),
            ..FilePayload::default()
        });
        call
    };
    let file = app.trigger(upload("a.txt")).await.unwrap().file.unwrap();
    assert_eq!(file.metadata["size"], 5);
    assert_eq!(file.tags["noContext"], "true");
    assert_eq!(file.directory.as_deref(), Some("docs"));
    assert_eq!(file.data, None, "unchanged content does not travel back");
    let file = app.trigger(upload("other")).await.unwrap().file.unwrap();
    assert_eq!((file.name.as_str(), file.data.as_deref()), ("new.txt", Some("bmV3")));
    assert_eq!(seen(&app.trigger(upload("bad")).await.unwrap_err()), (130, "bad file".into()));
    assert_eq!(
        seen(&app.trigger(upload("odd")).await.unwrap_err()),
        (130, "Could not store file: odd.".into())
    );
    let mut call = upload("a.txt");
    call.kind = TriggerKind::AfterFind;
    let file = app.trigger(call).await.unwrap().file.unwrap();
    assert!(file.force_download);
    assert_eq!(file.response_headers["X-A"], "b");
}

#[actix_web::test]
async fn config_and_live_query_triggers_run() {
    let app = App::new(
        "Parse.Cloud.beforeSave(Parse.Config, ({object, original}) => {
            if (object.get('n') < original.get('n')) throw new Error('only up');
        });
        Parse.Cloud.beforeConnect(r => { if (r.event !== 'connect' || !r.useMasterKey) throw 'no'; });
        Parse.Cloud.beforeSubscribe('Game', ({query, requestId}) => query.equalTo('n', requestId));
        Parse.Cloud.afterLiveQueryEvent('Game', r => {
            r.sendEvent = r.event !== 'leave';
            r.object.set('seen', r.clients);
        });
        let events = [];
        Parse.Cloud.onLiveQueryEvent(({event}) => events.push(event));
        Parse.Cloud.define('events', () => events);",
    )
    .start()
    .await;
    let mut call = TriggerCall::new(TriggerKind::BeforeSave, CONFIG_CLASS);
    call.object = Some(json!({"n": 2}).into());
    call.original = Some(json!({"n": 1}).into());
    app.trigger(call.clone()).await.unwrap();
    call.object = Some(json!({"n": 0}).into());
    assert_eq!(seen(&app.trigger(call).await.unwrap_err()), (141, "only up".into()));

    let mut call = TriggerCall::new(TriggerKind::BeforeConnect, CONNECT_CLASS);
    call.live = Some(LiveQueryPayload {
        event: Some("connect".into()),
        use_master_key: Some(true),
        ..LiveQueryPayload::default()
    });
    app.trigger(call.clone()).await.unwrap();
    call.live = None;
    assert_eq!(seen(&app.trigger(call).await.unwrap_err()), (141, "no".into()));

    let mut call = TriggerCall::new(TriggerKind::BeforeSubscribe, "Game");
    call.query = Some(json!({"where": {"a": 1}, "className": "Game"}));
    call.live = Some(LiveQueryPayload { request_id: Some(7.into()), ..LiveQueryPayload::default() });
    let query = app.trigger(call).await.unwrap().query.unwrap();
    assert_eq!(Value::from(query), json!({"where": {"a": 1, "n": 7}, "className": "Game"}));

    let mut call = TriggerCall::new(TriggerKind::AfterEvent, "Game");
    call.object = Some(stored().into());
    call.live = Some(LiveQueryPayload {
        event: Some("leave".into()),
        clients: Some(3),
        ..LiveQueryPayload::default()
    });
    let answer = app.trigger(call).await.unwrap();
    assert_eq!(answer.send_event, Some(false));
    assert_eq!(answer.object.unwrap()["seen"], 3);

    assert!(app.engine.registrations().observes_live_query());
    let mut call = TriggerCall::new(TriggerKind::OnLiveQueryEvent, "");
    call.live = Some(LiveQueryPayload { event: Some("ws_connect".into()), ..LiveQueryPayload::default() });
    app.trigger(call).await.unwrap();
    assert_eq!(app.call("events", json!({})).await.unwrap(), json!(["ws_connect"]));
    assert!(object(json!({})).is_empty());
}
