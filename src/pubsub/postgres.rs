//! [`PubSub`] by PostgreSQL's LISTEN and NOTIFY, parse-server's own `schema.change` included. One listening
//! connection with reconnects, opened when somebody first listens. The connections are the storage's, which lends
//! them as a [`Channels`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{CAPACITY, Notice, PubSub};
use crate::error::Result;

/// parse-server's channel; its payload is `{"senderId": …}`.
const PARSE_CHANNEL: &str = "schema.change";
pub const OWN_CHANNEL: &str = "parsimony";
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// PostgreSQL refuses payloads of 8,000 bytes and more.
const MAX_PAYLOAD: usize = 7_900;

/// Channel and payload of one notification.
pub type Notification = (String, String);

/// A database's LISTEN and NOTIFY.
#[async_trait]
pub trait Channels: Send + Sync {
    /// What arrives on these channels from now on; ends when the connection does.
    ///
    /// # Errors
    /// When no connection can be opened.
    async fn listen(&self, channels: &[&str]) -> Result<BoxStream<'static, Notification>>;

    /// Sends all of them in one statement, outside any transaction.
    ///
    /// # Errors
    /// Database errors.
    async fn send(&self, notifications: &[(&'static str, String)]) -> Result<()>;
}

pub struct PostgresPubSub {
    sender_id: String,
    sender: broadcast::Sender<Notice>,
    channels: Arc<dyn Channels>,
    listener: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl PostgresPubSub {
    pub fn new(channels: Arc<dyn Channels>) -> Self {
        Self {
            sender_id: crate::types::names::random_alphanumeric(32),
            sender: broadcast::channel(CAPACITY).0,
            channels,
            listener: Mutex::new(None),
        }
    }

    /// The notifications that tell the others, for a transaction that sends them itself; none for what concerns
    /// only this server.
    pub fn notifications(&self, notice: &Notice) -> Vec<(&'static str, String)> {
        let Some(payload) = notice.encode(&self.sender_id, MAX_PAYLOAD) else { return Vec::new() };
        let mut all = vec![(OWN_CHANNEL, payload)];
        if matches!(notice, Notice::Schema { .. }) {
            // `by` lets our own servers know that they were told already.
            all.push((PARSE_CHANNEL, json!({ "senderId": self.sender_id, "by": OWN_CHANNEL }).to_string()));
        }
        all
    }
}

#[async_trait]
impl PubSub for PostgresPubSub {
    fn notices(&self) -> broadcast::Receiver<Notice> {
        let receiver = self.sender.subscribe();
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let running = listener.as_ref().is_some_and(|task| !task.is_finished());
        if !running && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (channels, sender) = (self.channels.clone(), self.sender.clone());
            *listener = Some(runtime.spawn(listen(channels, sender, self.sender_id.clone())));
        }
        receiver
    }

    async fn notify(&self, notice: Notice) -> Result<()> {
        match self.notifications(&notice) {
            none if none.is_empty() => Ok(()),
            notifications => self.channels.send(&notifications).await,
        }
    }

    fn close(&self) {
        if let Some(task) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Drop for PostgresPubSub {
    fn drop(&mut self) {
        self.close();
    }
}

/// `None`: our own, not for us, or not to be understood.
fn decode(channel: &str, payload: &str, own_id: &str) -> Option<Notice> {
    if channel == OWN_CHANNEL {
        return Notice::decode(payload, own_id);
    }
    let payload: Value = serde_json::from_str(payload).ok()?;
    let is_own = payload.get("senderId").is_some_and(|id| id == own_id);
    (!is_own && payload.get("by").is_none()).then_some(Notice::Schema { class: None })
}

async fn listen(channels: Arc<dyn Channels>, sender: broadcast::Sender<Notice>, own_id: String) {
    let mut pause = SHORTEST_PAUSE;
    let mut lost = false;
    loop {
        match channels.listen(&[PARSE_CHANNEL, OWN_CHANNEL]).await {
            Ok(mut arriving) => {
                pause = SHORTEST_PAUSE;
                if std::mem::take(&mut lost) {
                    tracing::info!("the listening database connection is back");
                }
                // Also the first time: something may have changed since the caller last looked.
                let _ = sender.send(Notice::Lost);
                while let Some((channel, payload)) = arriving.next().await {
                    if let Some(notice) = decode(&channel, &payload, &own_id) {
                        let _ = sender.send(notice);
                    }
                }
                lost = true;
                let _ = sender.send(Notice::Deaf);
                tracing::warn!("the listening database connection was lost");
            }
            Err(error) => tracing::debug!(%error, "the listening database connection cannot be opened"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::error::Error;
    use crate::types::ClassName;

    /// A database whose first connection cannot be opened, whose second ends after what it was given, and whose
    /// third stays.
    #[derive(Default)]
    struct Scripted {
        opened: Mutex<usize>,
        first: Vec<Notification>,
        sent: Mutex<Vec<(&'static str, String)>>,
    }

    #[async_trait]
    impl Channels for Scripted {
        async fn listen(&self, channels: &[&str]) -> Result<BoxStream<'static, Notification>> {
            assert_eq!(channels, [PARSE_CHANNEL, OWN_CHANNEL]);
            let mut opened = self.opened.lock().unwrap();
            *opened += 1;
            match *opened {
                1 => Err(Error::internal("away")),
                2 => Ok(stream::iter(self.first.clone()).boxed()),
                _ => Ok(stream::pending().boxed()),
            }
        }

        async fn send(&self, notifications: &[(&'static str, String)]) -> Result<()> {
            self.sent.lock().unwrap().extend_from_slice(notifications);
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_is_opened_again_and_receivers_are_told() {
        let other = PostgresPubSub::new(Arc::new(Scripted::default()));
        let arriving = other.notifications(&Notice::Schema { class: Some(ClassName::known("Game")) });
        let mut first: Vec<_> =
            arriving.into_iter().map(|(channel, payload)| (channel.to_owned(), payload)).collect();
        first.push((PARSE_CHANNEL.to_owned(), r#"{"senderId":"a parse-server"}"#.to_owned()));
        first.push((OWN_CHANNEL.to_owned(), "nonsense".to_owned()));
        let pubsub = PostgresPubSub::new(Arc::new(Scripted { first, ..Scripted::default() }));
        let mut notices = pubsub.notices();
        let mut heard = Vec::new();
        for _ in 0..5 {
            heard.push(notices.recv().await.unwrap());
        }
        let game = Notice::Schema { class: Some(ClassName::known("Game")) };
        // What one of ours said on parse-server's channel was heard on our own.
        assert_eq!(heard, [Notice::Lost, game, Notice::Schema { class: None }, Notice::Deaf, Notice::Lost]);
    }

    #[tokio::test]
    async fn parse_server_is_told_of_schemas_only() {
        let database = Arc::new(Scripted::default());
        let pubsub = PostgresPubSub::new(database.clone());
        for notice in [Notice::Schema { class: None }, Notice::Roles, Notice::Lost] {
            pubsub.notify(notice).await.unwrap();
        }
        let channels: Vec<_> = database.sent.lock().unwrap().iter().map(|(channel, _)| *channel).collect();
        assert_eq!(channels, [OWN_CHANNEL, PARSE_CHANNEL, OWN_CHANNEL]);
    }

    #[test]
    fn our_own_are_dropped_on_either_channel() {
        assert_eq!(decode(PARSE_CHANNEL, r#"{"senderId":"x"}"#, "me"), Some(Notice::Schema { class: None }));
        assert_eq!(decode(PARSE_CHANNEL, r#"{"senderId":"x","by":"parsimony"}"#, "me"), None);
        assert_eq!(decode(PARSE_CHANNEL, r#"{"senderId":"me"}"#, "me"), None);
        assert_eq!(decode(OWN_CHANNEL, "nonsense", "me"), None);
    }
}
