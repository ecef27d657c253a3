//! A live-query client that speaks frames.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::server::{APP_ID, TestServer};
use super::wait::PATIENCE;

pub struct Live {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: i64,
}

impl Live {
    /// A socket on which nothing was said yet.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_at(address, "/").await
    }

    /// The same on a path.
    pub async fn open_at(address: SocketAddr, path: &str) -> Self {
        let (socket, _) = connect_async(format!("ws://{address}{path}")).await.unwrap();
        Self { socket, next: 1 }
    }

    /// Somebody without a session.
    pub async fn anonymous(server: &TestServer) -> Self {
        Self::connect(server, json!({})).await
    }

    /// With a session of the client's own.
    pub async fn session(server: &TestServer, token: &str) -> Self {
        Self::connect(server, json!({ "sessionToken": token })).await
    }

    /// Says `connect` with these keys besides the application's id.
    pub async fn connect(server: &TestServer, keys: Value) -> Self {
        Self::connect_to(server.address, keys).await
    }

    /// The same at another address than the server's own.
    pub async fn connect_to(address: SocketAddr, keys: Value) -> Self {
        let mut live = Self::open(address).await;
        let mut frame = json!({ "op": "connect", "applicationId": APP_ID });
        frame.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        live.say(frame).await;
        let answer = live.hear().await;
        assert_eq!(answer["op"], "connected", "{answer}");
        live
    }

    pub async fn say(&mut self, frame: Value) {
        self.send(Message::text(frame.to_string())).await;
    }

    /// Any frame.
    pub async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next text frame, read as JSON.
    pub async fn hear(&mut self) -> Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?} instead of a frame"),
        }
    }

    /// The next message that is neither ping nor pong; `None` once the connection has ended.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match message.expect("a frame in time") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// What `subscribe` is answered.
    pub async fn try_subscribe(&mut self, query: Value) -> Value {
        self.next += 1;
        self.say(json!({ "op": "subscribe", "requestId": self.next, "query": query })).await;
        self.hear().await
    }

    /// Subscribes; answers the request id.
    pub async fn subscribe(&mut self, class: &str, condition: Value) -> i64 {
        self.subscribe_with(json!({ "className": class, "where": condition })).await
    }

    /// Subscribes with a whole query.
    pub async fn subscribe_with(&mut self, query: Value) -> i64 {
        let answer = self.try_subscribe(query).await;
        assert_eq!(answer["op"], "subscribed", "{answer}");
        answer["requestId"].as_i64().unwrap()
    }

    /// Everything heard before an event about the object with this id.
    pub async fn hear_until(&mut self, fence: &str) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            let frame = self.hear().await;
            if frame["object"]["objectId"] == fence {
                return heard;
            }
            heard.push(frame);
        }
    }

    /// The socket itself, to misuse it.
    pub fn socket(&mut self) -> &mut WebSocketStream<MaybeTlsStream<TcpStream>> {
        &mut self.socket
    }
}
