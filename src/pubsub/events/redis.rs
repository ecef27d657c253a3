//! Redis pub/sub in parse-server's channels and message layout, so that its servers and ours may share
//! one bus: `<appId>afterSave` and `<appId>afterDelete` carry `{currentParseObject,
//! originalParseObject?, classLevelPermissions?}`. Our own messages carry two keys more, which parse-server
//! ignores: `node`, by which we know them again, and `stamp`, the order of writes to one object.
//!
//! While Redis is away subscribers stay connected and hear of this server's own writes.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

use super::outgoing::{Message, Outgoing};
use super::{Audience, EventBus, ObjectEvent, ObjectEventKind};
use crate::config::{AppConfig, Secret};
use crate::error::Result;
use crate::pubsub::redis::{client, patient};
use crate::types::names::random_alphanumeric;
use crate::types::{ClassName, Object};

/// Channel of our own: a server threw events away that others were to hear.
const MISSED: &str = "parsimonyMissed";
const RETRY: Duration = Duration::from_secs(1);
/// How long a subscription waits for the server to listen.
const LISTENING: Duration = Duration::from_millis(500);

/// Which halves of the bus cannot reach Redis; one outage is told once.
#[derive(Default)]
struct Health {
    broken: AtomicU8,
}

const PUBLISHING_HALF: u8 = 1;
const LISTENING_HALF: u8 = 2;

impl Health {
    fn lost(&self, half: u8, error: &redis::RedisError) {
        if self.broken.fetch_or(half, Ordering::Relaxed) == 0 {
            tracing::warn!(%error, "Redis is away: servers do not hear of each other's live query events");
        }
    }

    fn back(&self, halves: u8) {
        if self.broken.load(Ordering::Relaxed) & halves != 0
            && self.broken.fetch_and(!halves, Ordering::Relaxed) & !halves == 0
        {
            tracing::info!("Redis is back: servers hear of each other's live query events again");
        }
    }
}

pub struct RedisBus {
    node: String,
    app_id: String,
    audience: Weak<dyn Audience>,
    outgoing: Outgoing<String>,
    /// Whether messages of others are heard.
    listening: watch::Sender<bool>,
}

impl RedisBus {
    /// Publishes where the live queries' options say, and listens where those of the live-query server say; either
    /// may be missing.
    ///
    /// # Errors
    /// When a URL is none.
    pub fn start(audience: &Weak<dyn Audience>, config: &AppConfig) -> Result<Arc<Self>> {
        let url = |secret: &Option<Secret<String>>| secret.as_ref().map(|url| url.expose().clone());
        let publish_url = url(&config.live_query.redis_url);
        let listen_url = url(&config.live_query_server.redis_url);
        let (publishing, hearing) =
            (&config.live_query.redis_options, &config.live_query_server.redis_options);
        let (outgoing, queue) = Outgoing::new();
        let bus = Arc::new(Self {
            node: random_alphanumeric(12),
            app_id: config.app_id.clone(),
            audience: audience.clone(),
            outgoing,
            listening: watch::Sender::new(listen_url.is_none()),
        });
        let health: Arc<Health> = Arc::default();
        if let Some(url) = &publish_url {
            let client = client(url, publishing.as_ref())?;
            tokio::task::spawn_local(publish(client, queue, health.clone(), Arc::downgrade(&bus)));
        }
        if let Some(url) = &listen_url {
            // Whoever hears it again can be told again, if it is the same one.
            let halves = if publish_url.as_ref() == Some(url) {
                LISTENING_HALF | PUBLISHING_HALF
            } else {
                LISTENING_HALF
            };
            let client = client(url, hearing.as_ref())?;
            tokio::task::spawn_local(listen(client, bus.clone(), (health, halves)));
        }
        Ok(bus)
    }

    /// A file without its URL, inside an Object or Array field, ends parse-server's process.
    fn complete_files(&self, value: &mut Value) {
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.complete_files(element)),
            Value::Object(object) => {
                if object.get("__type").is_some_and(|tag| tag == "File") && !object.contains_key("url") {
                    let name = object.get("name").and_then(Value::as_str).unwrap_or_default();
                    if let Some(audience) = self.audience.upgrade() {
                        object.insert("url".to_owned(), audience.file_url(name).into());
                    }
                }
                object.values_mut().for_each(|value| self.complete_files(value));
            }
            _ => {}
        }
    }

    fn channel(&self, name: &str) -> String {
        format!("{}{name}", self.app_id)
    }
}

#[async_trait(?Send)]
impl EventBus for RedisBus {
    /// The layout knows no interest: whatever is published goes out.
    fn is_wanted(&self, _: &ClassName) -> bool {
        !self.outgoing.is_closed()
    }

    fn publish(&self, event: &ObjectEvent) {
        let full = |object: &Object| {
            let mut object = object.clone();
            object.insert("__type".to_owned(), "Object".into());
            object.insert("className".to_owned(), event.class.as_str().into());
            let mut object = Value::Object(object);
            self.complete_files(&mut object);
            object
        };
        let mut message = Map::new();
        message.insert("currentParseObject".to_owned(), full(&event.object));
        if let Some(original) = &event.original {
            message.insert("originalParseObject".to_owned(), full(original));
        }
        if let Some(permissions) = &event.permissions {
            message.insert("classLevelPermissions".to_owned(), Value::Object(permissions.as_ref().clone()));
        }
        message.insert("node".to_owned(), json!(self.node));
        message.insert("stamp".to_owned(), json!(event.stamp));
        let name = match event.kind {
            ObjectEventKind::Saved => "afterSave",
            ObjectEventKind::Deleted => "afterDelete",
        };
        self.outgoing.event(vec![(self.channel(name), Value::Object(message).to_string())]);
    }

    /// Nothing is announced, but whoever subscribed is to hear what follows.
    async fn listen_to(&self, _: &ClassName) {
        let mut listening = self.listening.subscribe();
        // While Redis is away nobody waits longer than this.
        let _ = tokio::time::timeout(LISTENING, listening.wait_for(|listening| *listening)).await;
    }

    fn roles_changed(&self, user_ids: &[String]) {
        for user in user_ids {
            let message = json!({ "userId": user, "node": self.node }).to_string();
            self.outgoing.tell(self.channel("clearCache"), message);
        }
    }
}

/// One task, one connection: messages leave in order. A message that finds Redis away is lost.
async fn publish(
    client: redis::Client,
    mut queue: mpsc::Receiver<Message<String>>,
    health: Arc<Health>,
    bus: Weak<RedisBus>,
) {
    let mut connection: Option<redis::aio::MultiplexedConnection> = None;
    while let Some(message) = queue.recv().await {
        let (channel, message) = (&message.channel, &message.payload);
        let mut sent = send(&client, &mut connection, channel, message).await;
        if sent.is_err() {
            // The connection may have broken long before.
            sent = send(&client, &mut connection, channel, message).await;
        }
        match sent {
            Ok(()) => {
                health.back(PUBLISHING_HALF);
                if let Some(bus) = bus.upgrade().filter(|bus| bus.outgoing.has_lost()) {
                    bus.outgoing.tell(bus.channel(MISSED), json!({ "node": bus.node }).to_string());
                }
            }
            Err(error) => health.lost(PUBLISHING_HALF, &error),
        }
    }
}

async fn send(
    client: &redis::Client,
    connection: &mut Option<redis::aio::MultiplexedConnection>,
    channel: &str,
    message: &str,
) -> redis::RedisResult<()> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => client.get_multiplexed_async_connection_with_config(&patient()).await?,
    };
    redis::cmd("PUBLISH").arg(channel).arg(message).query_async::<i64>(&mut open).await?;
    *connection = Some(open);
    Ok(())
}

async fn listen(client: redis::Client, bus: Arc<RedisBus>, (health, halves): (Arc<Health>, u8)) {
    while bus.audience.strong_count() > 0 {
        let ended = listen_once(&client, &bus, || health.back(halves)).await;
        bus.listening.send_replace(false);
        match ended {
            Ok(()) if bus.audience.strong_count() == 0 => return,
            Ok(()) => {
                let gone = redis::RedisError::from((redis::ErrorKind::Io, "the connection ended"));
                health.lost(LISTENING_HALF, &gone);
            }
            Err(error) => health.lost(LISTENING_HALF, &error),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn listen_once(client: &redis::Client, bus: &RedisBus, listening: impl Fn()) -> redis::RedisResult<()> {
    let mut subscription = client.get_async_pubsub().await?;
    for name in ["afterSave", "afterDelete", "clearCache", MISSED] {
        subscription.subscribe(bus.channel(name)).await?;
    }
    listening();
    bus.listening.send_replace(true);
    if let Some(audience) = bus.audience.upgrade() {
        audience.may_have_missed();
    }
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        let channel = message.get_channel_name().to_owned();
        let Ok(payload) = message.get_payload::<String>() else { continue };
        let Some(audience) = bus.audience.upgrade() else { return Ok(()) };
        if channel == bus.channel(MISSED) {
            audience.may_have_missed();
            continue;
        }
        if channel == bus.channel("clearCache") {
            // Our own servers told each other already.
            let ours = |message: &Value| message.get("node").is_some();
            if !serde_json::from_str(&payload).is_ok_and(|message| ours(&message)) {
                audience.roles_changed().await;
            }
            continue;
        }
        let deleted = channel == bus.channel("afterDelete");
        if let Some(event) = read(&payload, deleted, &bus.node) {
            audience.deliver(event);
        }
    }
    Ok(())
}

fn read(payload: &str, deleted: bool, own_node: &str) -> Option<ObjectEvent> {
    let mut message: Map<String, Value> = serde_json::from_str(payload).ok()?;
    if message.get("node").and_then(Value::as_str) == Some(own_node) {
        return None;
    }
    let stamp = message.get("stamp").and_then(Value::as_u64).unwrap_or_default();
    let mut object = |key: &str| match message.remove(key) {
        Some(Value::Object(mut object)) => {
            object.shift_remove("__type");
            Some(object)
        }
        _ => None,
    };
    let current = object("currentParseObject")?;
    let original = object("originalParseObject");
    Some(ObjectEvent {
        class: ClassName::valid(current.get("className")?.as_str()?)?,
        kind: if deleted { ObjectEventKind::Deleted } else { ObjectEventKind::Saved },
        object: Arc::new(current),
        original: original.map(Arc::new),
        stamp,
        permissions: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_parse_servers_messages() {
        let message = json!({
            "currentParseObject": {"__type": "Object", "className": "Game", "objectId": "g1", "score": 2},
            "originalParseObject": {"__type": "Object", "className": "Game", "objectId": "g1", "score": 1},
        });
        let event = read(&message.to_string(), false, "me").expect("an event");
        assert_eq!(event.class, "Game");
        assert_eq!(event.object.get("score"), Some(&json!(2)));
        assert!(event.original.is_some() && !event.object.contains_key("__type"));
        let own = json!({"node": "me", "currentParseObject": {"className": "Game"}});
        assert!(read(&own.to_string(), false, "me").is_none());
        assert!(read("nonsense", false, "me").is_none());
    }
}
