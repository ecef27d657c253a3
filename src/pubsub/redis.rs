//! Redis: how a client of it is made from URL and options, and [`PubSub`] by one of its channels for storages that
//! cannot tell other servers anything themselves.
//!
//! While Redis is away notices are lost, and every server hears of that when it is back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisResult, TlsCertificates};
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use super::{CAPACITY, Notice, PubSub};
use crate::config::Secret;
use crate::error::{Error, Result};
use crate::tls::TrustStore;
use crate::types::names::random_alphanumeric;

const RETRY: Duration = Duration::from_secs(1);
/// Redis takes far more; a notice is short.
const MAX_PAYLOAD: usize = 1024 * 1024;

/// A client for the URL. What it does not say may be in `redisOptions`, under the names of the npm client:
/// `username`, `password`, `database`, `socket.tls`.
///
/// # Errors
/// When the URL is none.
pub fn client(url: &str, options: Option<&Secret<Map<String, Value>>>) -> Result<redis::Client> {
    let none = Map::new();
    let options = options.map_or(&none, Secret::expose);
    let tls = options.get("socket").and_then(|socket| socket.get("tls")).is_some_and(|tls| tls == true);
    let secured = url.strip_prefix("redis://").filter(|_| tls).map(|rest| format!("rediss://{rest}"));
    let info = secured.as_deref().unwrap_or(url).into_connection_info().map_err(Error::internal)?;
    let text = |key: &str| options.get(key).and_then(Value::as_str);
    let mut login = info.redis_settings().clone();
    if let Some(username) = text("username").filter(|_| login.username().is_none()) {
        login = login.set_username(username);
    }
    if let Some(password) = text("password").filter(|_| login.password().is_none()) {
        login = login.set_password(password);
    }
    if let Some(database) = options.get("database").and_then(Value::as_i64).filter(|_| login.db() == 0) {
        login = login.set_db(database);
    }
    let info = info.set_redis_settings(login);
    // The compiled-in roots are the crate's own choice.
    let trusted = TrustStore::system().pem().filter(|_| matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
    let client = match trusted {
        Some(pem) => {
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.into_bytes()) };
            redis::Client::build_with_tls(info, certificates)
        }
        None => redis::Client::open(info),
    };
    client.map_err(Error::internal)
}

/// The crate gives up after half a second; what is published may wait longer for a busy Redis than be sent twice.
pub fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_response_timeout(Some(Duration::from_secs(10)))
}

pub struct RedisPubSub {
    node: String,
    channel: String,
    client: redis::Client,
    sender: broadcast::Sender<Notice>,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    listener: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl RedisPubSub {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: &str, options: Option<&Secret<Map<String, Value>>>, app_id: &str) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            node: random_alphanumeric(32),
            channel: format!("{app_id}parsimonyNotices"),
            client: client(url, options)?,
            sender: broadcast::channel(CAPACITY).0,
            connection: tokio::sync::Mutex::default(),
            listener: Mutex::new(None),
        }))
    }

    async fn publish(&self, payload: &str) -> RedisResult<()> {
        // Held while it is sent: notices arrive in the order in which they were told.
        let mut connection = self.connection.lock().await;
        let mut open = match connection.take() {
            Some(open) => open,
            None => self.client.get_multiplexed_async_connection_with_config(&patient()).await?,
        };
        redis::cmd("PUBLISH").arg(&self.channel).arg(payload).query_async::<i64>(&mut open).await?;
        *connection = Some(open);
        Ok(())
    }
}

#[async_trait]
impl PubSub for RedisPubSub {
    fn notices(&self) -> broadcast::Receiver<Notice> {
        let receiver = self.sender.subscribe();
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let running = listener.as_ref().is_some_and(|task| !task.is_finished());
        if !running && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (client, channel) = (self.client.clone(), self.channel.clone());
            *listener = Some(runtime.spawn(listen(client, channel, self.sender.clone(), self.node.clone())));
        }
        receiver
    }

    async fn notify(&self, notice: Notice) -> Result<()> {
        let Some(payload) = notice.encode(&self.node, MAX_PAYLOAD) else { return Ok(()) };
        if self.publish(&payload).await.is_err() {
            // The connection may have broken long before.
            self.publish(&payload).await.map_err(Error::internal)?;
        }
        Ok(())
    }

    fn close(&self) {
        if let Some(task) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Drop for RedisPubSub {
    fn drop(&mut self) {
        self.close();
    }
}

async fn listen(client: redis::Client, channel: String, sender: broadcast::Sender<Notice>, own_id: String) {
    let mut deaf = false;
    loop {
        let mut heard = false;
        let ended = listen_once(&client, &channel, &sender, &own_id, || heard = true).await;
        if heard || !deaf {
            let error = ended.err().map(|error| error.to_string());
            tracing::warn!(error, "Redis is away: this server does not hear what others change");
            // Nobody need be listening.
            let _ = sender.send(Notice::Deaf);
            deaf = true;
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn listen_once(
    client: &redis::Client,
    channel: &str,
    sender: &broadcast::Sender<Notice>,
    own_id: &str,
    listening: impl FnOnce(),
) -> RedisResult<()> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(channel).await?;
    listening();
    // Also the first time: something may have changed since the caller last looked.
    let _ = sender.send(Notice::Lost);
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        let Ok(payload) = message.get_payload::<String>() else { continue };
        if let Some(notice) = Notice::decode(&payload, own_id) {
            let _ = sender.send(notice);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_say_what_the_url_does_not() {
        let login = |url: &str, options: Value| {
            let options = Secret::new(options.as_object().unwrap().clone());
            let client = client(url, Some(&options)).unwrap();
            let info = client.get_connection_info().clone();
            let tls = matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
            let login = info.redis_settings();
            (login.username().map(str::to_owned), login.password().map(str::to_owned), login.db(), tls)
        };
        let all =
            json!({"username": "u", "password": "p", "database": 3, "socket": {"tls": true}, "name": "x"});
        let (u, p) = (Some("u".to_owned()), Some("p".to_owned()));
        assert_eq!(login("redis://h", all.clone()), (u, p, 3, true));
        let own = (Some("a".to_owned()), Some("b".to_owned()), 2, false);
        assert_eq!(login("redis://a:b@h/2", json!({"username": "u", "password": "p", "database": 3})), own);
        assert_eq!(login("redis://h", json!({})), (None, None, 0, false));
        assert!(client("nonsense", None).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_url_and_no_option_panics(url in "(rediss?|unix|http)://\\PC{0,40}", text in "\\PC{0,20}", tls in proptest::bool::ANY) {
            let options = json!({"username": text, "password": text, "socket": {"tls": tls}});
            let options = Secret::new(options.as_object().unwrap().clone());
            let _ = client(&url, Some(&options));
        }
    }
}
