//! LISTEN/NOTIFY: what servers tell each other about schemas, roles and sessions, and parse-server's
//! own `schema.change`. One listening connection with reconnects, opened when somebody first listens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::connect::Connector;
use super::control::ControlLane;
use crate::storage::postgres::command;
use crate::storage::postgres::sql::Sql;
use crate::storage::{Notice, StorageResult};
use crate::types::ClassName;

/// parse-server's channel; its payload is `{"senderId": …}`.
const PARSE_CHANNEL: &str = "schema.change";
const OWN_CHANNEL: &str = "parsimony";
/// Notices a slow receiver may lag behind; then it sees `Lagged` and must assume anything.
const CAPACITY: usize = 8192;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// PostgreSQL refuses payloads of 8,000 bytes and more.
const MAX_PAYLOAD: usize = 7_900;

pub struct Notices {
    sender_id: String,
    sender: broadcast::Sender<Notice>,
    connector: Arc<Connector>,
    listener: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Notices {
    pub fn new(connector: Arc<Connector>) -> Self {
        Self {
            sender_id: crate::types::names::random_alphanumeric(32),
            sender: broadcast::channel(CAPACITY).0,
            connector,
            listener: Mutex::new(None),
        }
    }

    /// A stream of other servers' notices; starts the listener when none runs.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        let receiver = self.sender.subscribe();
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let running = listener.as_ref().is_some_and(|task| !task.is_finished());
        if !running && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (connector, sender) = (self.connector.clone(), self.sender.clone());
            *listener = Some(runtime.spawn(listen(connector, sender, self.sender_id.clone())));
        }
        receiver
    }

    /// The statement that tells the others, at the commit of the transaction it is part of; `None` for
    /// what concerns only this server.
    pub fn statement(&self, notice: &Notice) -> Option<Sql> {
        let payload = encode(notice, &self.sender_id)?;
        let mut sql = Sql::new("SELECT pg_notify(");
        sql.push_text(OWN_CHANNEL).push_sql(", ").push_text(payload).push_sql(")");
        if matches!(notice, Notice::Schema { .. }) {
            // `by` lets our own servers know that they were told already.
            let payload = json!({ "senderId": self.sender_id, "by": OWN_CHANNEL }).to_string();
            sql.push_sql(", pg_notify(").push_text(PARSE_CHANNEL).push_sql(", ").push_text(payload);
            sql.push_sql(")");
        }
        Some(sql)
    }

    /// Tells the others, outside any transaction.
    ///
    /// # Errors
    /// Database errors.
    pub async fn notify(&self, control: &ControlLane, notice: &Notice) -> StorageResult<()> {
        let Some(sql) = self.statement(notice) else { return Ok(()) };
        let conn = control.lock().await?;
        sql.execute(&conn).await?;
        conn.done();
        Ok(())
    }

    pub fn close(&self) {
        if let Some(task) = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.close();
    }
}

fn encode(notice: &Notice, sender_id: &str) -> Option<String> {
    let mut payload = match notice {
        Notice::Schema { class } => json!({ "kind": "schema", "value": class.as_deref() }),
        Notice::Roles => json!({ "kind": "roles" }),
        Notice::Session { token_hash } => json!({ "kind": "session", "value": token_hash }),
        Notice::User { user_id } => json!({ "kind": "user", "value": user_id }),
        Notice::Other { channel, payload } => {
            json!({ "kind": "other", "channel": channel, "value": payload })
        }
        // A matter between the listener and its own receivers.
        Notice::Lost | Notice::Deaf => return None,
    };
    payload["senderId"] = sender_id.into();
    let text = payload.to_string();
    if text.len() > MAX_PAYLOAD {
        // Whoever is told that something was lost looks again for itself.
        return Some(json!({ "kind": "lost", "senderId": sender_id }).to_string());
    }
    Some(text)
}

/// `None`: our own, not for us, or not to be understood.
fn decode(channel: &str, payload: &str, own_id: &str) -> Option<Notice> {
    let payload: Value = serde_json::from_str(payload).ok()?;
    if payload.get("senderId").is_some_and(|id| id == own_id) {
        return None;
    }
    if channel == PARSE_CHANNEL {
        return payload.get("by").is_none().then_some(Notice::Schema { class: None });
    }
    let value = || payload.get("value").and_then(Value::as_str).map(str::to_owned);
    Some(match payload.get("kind").and_then(Value::as_str)? {
        "schema" => Notice::Schema { class: value().as_deref().and_then(ClassName::valid) },
        "roles" => Notice::Roles,
        "session" => Notice::Session { token_hash: value()? },
        "user" => Notice::User { user_id: value()? },
        "other" => Notice::Other {
            channel: payload.get("channel").and_then(Value::as_str)?.to_owned(),
            payload: value()?,
        },
        "lost" => Notice::Lost,
        _ => return None,
    })
}

async fn listen(connector: Arc<Connector>, sender: broadcast::Sender<Notice>, own_id: String) {
    let mut pause = Duration::from_millis(100);
    let mut lost = false;
    loop {
        match open(&connector).await {
            Ok(mut conn) => {
                pause = Duration::from_millis(100);
                if std::mem::take(&mut lost) {
                    tracing::info!("the listening database connection is back");
                }
                // Also the first time: something may have changed since the caller last looked.
                let _ = sender.send(Notice::Lost);
                let mut stream = std::pin::pin!(conn.notifications_stream());
                while let Some(Ok(notification)) = stream.next().await {
                    if let Some(notice) = decode(&notification.channel, &notification.payload, &own_id) {
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

async fn open(connector: &Connector) -> StorageResult<AsyncPgConnection> {
    let conn = connector.connect_listening().await?;
    command(&conn, &format!(r#"LISTEN "{PARSE_CHANNEL}"; LISTEN "{OWN_CHANNEL}""#)).await?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_survive_the_wire_and_our_own_are_dropped() {
        let all = [
            Notice::Schema { class: Some(ClassName::known("Game")) },
            Notice::Schema { class: None },
            Notice::Roles,
            Notice::Session { token_hash: "h".into() },
            Notice::User { user_id: "u".into() },
            Notice::Other { channel: "c".into(), payload: "p".into() },
        ];
        for notice in all {
            let text = encode(&notice, "me").unwrap();
            assert_eq!(decode(OWN_CHANNEL, &text, "you").as_ref(), Some(&notice));
            assert_eq!(decode(OWN_CHANNEL, &text, "me"), None);
        }
        assert_eq!(decode(PARSE_CHANNEL, r#"{"senderId":"x"}"#, "me"), Some(Notice::Schema { class: None }));
        assert_eq!(decode(PARSE_CHANNEL, r#"{"senderId":"x","by":"parsimony"}"#, "me"), None);
        assert_eq!(decode(OWN_CHANNEL, "nonsense", "me"), None);
    }

    #[test]
    fn long_payloads_become_a_loss() {
        let notice = Notice::Other { channel: "c".into(), payload: "p".repeat(9000) };
        assert_eq!(decode(OWN_CHANNEL, &encode(&notice, "me").unwrap(), "you"), Some(Notice::Lost));
    }
}
