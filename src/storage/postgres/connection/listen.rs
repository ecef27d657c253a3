//! The connections that [`PostgresPubSub`](crate::pubsub::postgres::PostgresPubSub) listens and speaks on, and the
//! statement by which a transaction tells the other servers itself.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::connect::Connector;
use super::control::ControlLane;
use crate::error::Result;
use crate::pubsub::postgres::{Channels, Notification};
use crate::storage::StorageError;
use crate::storage::postgres::command;
use crate::storage::postgres::sql::Sql;

pub struct DatabaseChannels {
    connector: Arc<Connector>,
    control: Arc<ControlLane>,
}

impl DatabaseChannels {
    /// Listens on a connection of its own; speaks on the control connection.
    pub fn new(connector: Arc<Connector>, control: Arc<ControlLane>) -> Self {
        Self { connector, control }
    }
}

#[async_trait]
impl Channels for DatabaseChannels {
    async fn listen(&self, channels: &[&str]) -> Result<BoxStream<'static, Notification>> {
        let conn = self.connector.connect_listening().await?;
        let all: Vec<String> = channels.iter().map(|channel| format!(r#"LISTEN "{channel}""#)).collect();
        command(&conn, &all.join("; ")).await?;
        let arriving = stream::unfold(conn, |mut conn| async {
            let next = Box::pin(conn.notifications_stream()).next().await?.ok()?;
            Some(((next.channel, next.payload), conn))
        });
        Ok(arriving.boxed())
    }

    async fn send(&self, notifications: &[(&'static str, String)]) -> Result<()> {
        let Some(sql) = statement(notifications) else { return Ok(()) };
        let conn = self.control.lock().await?;
        sql.execute(&conn).await.map_err(StorageError::from)?;
        conn.done();
        Ok(())
    }
}

/// Tells the others, at the commit of the transaction it is part of; `None` when there is nothing to tell.
pub fn statement(notifications: &[(&'static str, String)]) -> Option<Sql> {
    if notifications.is_empty() {
        return None;
    }
    let mut sql = Sql::new("SELECT ");
    for (number, (channel, payload)) in notifications.iter().enumerate() {
        sql.push_sql(if number == 0 { "pg_notify(" } else { ", pg_notify(" });
        sql.push_text(*channel).push_sql(", ").push_text(payload.clone()).push_sql(")");
    }
    Some(sql)
}
