//! A small HTTP server on loopback, and calls to it, for tests of the client and of the hub.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::WebhookClient;
use crate::cloud::FunctionCall;
use crate::error::Result;
use crate::outbound::{Outbound, Proxies, Settings};

/// Answers every request alike and keeps what was sent.
pub struct Server {
    pub url: String,
    pub requests: Arc<Mutex<Vec<(String, Value)>>>,
}

pub async fn serve(status: u16, answer: &'static str) -> Server {
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

pub fn client() -> WebhookClient {
    let outbound =
        Outbound::new(Settings { proxies: Proxies::new("", "", ""), ..Settings::default() }).unwrap();
    WebhookClient::new(outbound, Some("the-key")).unwrap()
}

pub fn function() -> FunctionCall {
    let params = json!({"a": 1}).as_object().cloned().unwrap();
    FunctionCall { name: "hello".into(), params, ..FunctionCall::default() }
}

pub fn text_of(result: Result<impl std::fmt::Debug>) -> (i32, String) {
    let error = result.unwrap_err();
    (error.code().unwrap().0, error.public_message(true).to_owned())
}
