//! The client against a small HTTP server on loopback.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::cloud::hub::CloudHub;
use crate::cloud::{CloudEngine, NoCloud};

/// Answers every request alike and keeps what was sent.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

async fn serve(status: u16, answer: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = Vec::new();
            let mut chunk = [0; 4096];
            let (head, body) = loop {
                let read = stream.read(&mut chunk).await.unwrap_or(0);
                text.extend_from_slice(&chunk[..read]);
                let whole = String::from_utf8_lossy(&text).into_owned();
                if let Some((head, body)) = whole.split_once("\r\n\r\n")
                    && (serde_json::from_str::<Value>(body).is_ok() || read == 0)
                {
                    break (head.to_lowercase(), serde_json::from_str(body).unwrap_or_default());
                }
            };
            seen.lock().unwrap().push((head, body));
            let length = answer.len();
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all((head + answer).as_bytes()).await;
        }
    });
    Server { url, requests }
}

fn client() -> WebhookClient {
    // Installed already when another test of this process was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    WebhookClient::new(Some("the-key")).unwrap()
}

fn function() -> FunctionCall {
    let params = json!({"a": 1}).as_object().cloned().unwrap();
    FunctionCall { name: "hello".into(), params, ..FunctionCall::default() }
}

fn text_of(result: Result<impl std::fmt::Debug>) -> (i32, String) {
    let error = result.unwrap_err();
    (error.code().unwrap().0, error.public_message(true).to_owned())
}

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

#[tokio::test]
async fn the_hub_calls_hooks_while_they_are_there() {
    let server = serve(200, r#"{"success": "from hook"}"#).await;
    let hub = CloudHub::new(Arc::new(NoCloud::default()), client());
    assert!(hub.registrations().function("hello").is_none());
    let target = HookTarget::Function("hello".into());
    hub.set_webhooks(vec![Hook { target, url: server.url.clone() }]);
    assert!(hub.registrations().function("hello").is_some());
    let answer = hub.run_function(function()).await.unwrap();
    assert_eq!(answer.result.unwrap().get(), r#""from hook""#);
    assert_eq!(hub.metrics()["hello"].count, 1);
    let mut deep = function();
    deep.scope.depth = 33;
    assert!(text_of(hub.run_function(deep).await).1.starts_with("Cloud Code calls are nested too deeply"));
    hub.set_webhooks(Vec::new());
    assert_eq!(text_of(hub.run_function(function()).await), (141, "Invalid function: \"hello\"".into()));
}
