//! The client against a small HTTP server on loopback.

use tokio::net::TcpListener;

use super::loopback::{client, function, serve, text_of};
use super::*;
use crate::outbound::Settings;
use crate::tls::TrustStore;

#[tokio::test]
async fn functions_send_the_request_and_take_the_result() {
    let server = serve(200, r#"{"success": {"n": 2}}"#).await;
    let answer = client().run_function(&server.url, function()).await.unwrap();
    assert_eq!(answer.result.unwrap().get(), r#"{"n":2}"#);
    let requests = server.requests.lock().unwrap();
    let (head, body) = &requests[0];
    assert!(head.starts_with("post /hook"), "{head}");
    assert!(head.contains("x-parse-webhook-key: the-key"), "{head}");
    assert_eq!(
        *body,
        json!({"functionName": "hello", "params": {"a": 1}, "context": {}, "master": false,
            "isReadOnly": false, "headers": {}})
    );
}

#[tokio::test]
async fn answers_become_results_and_errors() {
    for (status, answer, text) in [
        (200, r#"{"error": "no"}"#, "no"),
        (200, r#"{"error": {"code": 5, "message": "worse"}}"#, "worse"),
        (200, r#"{"error": {"code": 5}}"#, r#"{"code":5}"#),
        (200, r#"{"error": 7}"#, "7"),
        (200, "<html>", "Malformed response"),
        (500, r#"{"success": 1}"#, "The webhook answered with status 500."),
        (404, "", "The webhook answered with status 404."),
    ] {
        let server = serve(status, answer).await;
        let result = client().run_function(&server.url, function()).await;
        assert_eq!(text_of(result), (141, text.to_owned()), "{answer}");
    }
    for answer in ["", "{}", r#"{"error": ""}"#] {
        let server = serve(200, answer).await;
        assert!(client().run_function(&server.url, function()).await.unwrap().result.is_none());
    }
    let gone = client().run_function("http://127.0.0.1:1/", function()).await;
    assert_eq!(text_of(gone), (141, "The webhook could not be reached.".into()));
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut call = function();
    call.scope.deadline = Some(Duration::from_millis(50));
    let late = client().run_function(&url, call).await;
    assert_eq!(text_of(late), (141, "The webhook did not answer in time.".into()));
}

#[tokio::test]
async fn triggers_show_the_pending_object_and_take_another() {
    let answer = r#"{"success": {"score": 9, "className": "Game", "createdAt": "x"}}"#;
    let server = serve(200, answer).await;
    let mut call = TriggerCall::new(TriggerKind::BeforeSave, "Game");
    call.object_id = Some("g1".into());
    call.original = Some(json!({"objectId": "g1", "score": 1}).into());
    call.data = Some(json!({"score": {"__op": "Increment", "amount": 2}}).into());
    let answer = client().run_trigger(&server.url, call).await.unwrap();
    assert_eq!(answer.replacement, Some(json!({"score": 9})));
    let requests = server.requests.lock().unwrap();
    let body = &requests[0].1;
    assert_eq!(body["triggerName"], "beforeSave");
    let increment = json!({"__op": "Increment", "amount": 2});
    assert_eq!(body["object"], json!({"objectId": "g1", "score": increment, "className": "Game"}));
    assert_eq!(body["original"], json!({"objectId": "g1", "score": 1, "className": "Game"}));
}

#[test]
fn what_was_taken_away_is_not_shown_after_the_save() {
    let mut call = TriggerCall::new(TriggerKind::AfterSave, "Game");
    call.data = Some(json!({"gone": {"__op": "Delete"}, "o.a": 1}).into());
    call.object = Some(json!({"o": {"a": 1, "b": 2}}).into());
    call.response = Some(json!({"objectId": "g1", "gone": {"__op": "Delete"}}).into());
    let body = trigger_body(call).unwrap();
    assert_eq!(body["object"], json!({"objectId": "g1", "o": {"a": 1, "b": 2}, "className": "Game"}));
}

#[test]
fn rows_are_read() {
    let row = |value: Value| Hook::from_row(value.as_object().unwrap());
    let function = row(json!({"functionName": "a", "url": "http://x"})).unwrap();
    assert_eq!(function.target, HookTarget::Function("a".into()));
    let trigger = row(json!({"className": "Game", "triggerName": "afterFind", "url": "http://x"})).unwrap();
    assert_eq!(trigger.target, HookTarget::Trigger { kind: TriggerKind::AfterFind, class: "Game".into() });
    assert_eq!(row(json!({"className": "Game", "triggerName": "constructor", "url": "http://x"})), None);
    assert_eq!(row(json!({"functionName": "a"})), None);
}

proptest::proptest! {
    /// A key either is a header in one line or is refused at the start.
    #[test]
    fn no_key_ends_a_line(key in proptest::string::string_regex("(\\PC|\r|\n|\\x00){0,30}").unwrap()) {
        let outbound = Outbound::new(Settings { trust: TrustStore::bundled(), ..Settings::default() }).unwrap();
        if let Ok(client) = WebhookClient::new(outbound, Some(&key)) {
            let value = client.key.unwrap();
            proptest::prop_assert!(value.is_sensitive() && !value.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        }
    }
}
