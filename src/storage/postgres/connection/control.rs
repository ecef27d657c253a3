//! The connection for schema changes and notices.

use std::ops::Deref;
use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::PoolableConnection;

use super::connect::Connector;
use crate::storage::StorageResult;

/// The connection for schema changes and notices: outside the lanes, so that open transactions cannot
/// keep it from those who need it. One at a time; opened when first needed.
pub struct ControlLane {
    connector: Arc<Connector>,
    conn: tokio::sync::Mutex<Option<AsyncPgConnection>>,
}

impl ControlLane {
    pub fn new(connector: Arc<Connector>) -> Self {
        Self { connector, conn: tokio::sync::Mutex::new(None) }
    }

    pub fn connector(&self) -> &Arc<Connector> {
        &self.connector
    }

    /// The connection, for the holder alone.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be opened.
    pub async fn lock(&self) -> StorageResult<Control<'_>> {
        let mut place = self.conn.lock().await;
        let mut kept = place.take();
        let conn = match kept.take_if(|conn| !conn.is_broken()) {
            Some(conn) => conn,
            None => self.connector.connect().await?,
        };
        Ok(Control { place, conn })
    }

    pub async fn close(&self) {
        self.conn.lock().await.take();
    }
}

/// Holder of the control connection. Dropped without [`Control::done`] (an error, a cancelled
/// future), the connection is closed, which ends whatever was open on it.
pub struct Control<'a> {
    place: tokio::sync::MutexGuard<'a, Option<AsyncPgConnection>>,
    conn: AsyncPgConnection,
}

impl Control<'_> {
    /// Gives the connection back in a clean state.
    pub fn done(mut self) {
        *self.place = Some(self.conn);
    }
}

impl Deref for Control<'_> {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &AsyncPgConnection {
        &self.conn
    }
}
