//! A pooled connection while something is under way on it. Whoever holds one may be dropped at any await
//! (a client that went away, a sibling that failed): then the connection goes back to the pool only after
//! what runs on it has ended and what is open on it was rolled back.

use std::time::Duration;

use super::error::boxed;
use super::pooled::{PgConn, Pooled};
use crate::storage::postgres::command;
use crate::storage::{StorageError, StorageResult};

/// How long a statement that nobody waits for may go on by itself before it is cancelled.
const GRACE: Duration = Duration::from_millis(100);
/// After that, how long until the connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Recovers the connection unless it is [`Held::released`].
pub struct Held(Option<Pooled>);

impl Held {
    pub fn new(conn: Pooled) -> Self {
        Self(Some(conn))
    }

    /// # Errors
    /// Never, as long as it is held.
    pub fn conn(&self) -> StorageResult<&PgConn> {
        self.0.as_deref().ok_or_else(|| StorageError::Other(boxed("the connection was given back")))
    }

    /// Everything that was sent has been answered, and nothing is open.
    pub fn released(mut self) {
        self.0 = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            recover(conn);
        }
    }
}

/// Ends whatever is under way on the connection, which is closed if that cannot be done.
pub fn recover(conn: Pooled) {
    conn.set_dirty(true);
    // Dropped outside a runtime, it is closed, which rolls back too.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if !conn.may_recover() {
        return;
    }
    runtime.spawn(async move {
        let clean = {
            let mut ending = std::pin::pin!(command(&conn, "ROLLBACK"));
            match tokio::time::timeout(GRACE, &mut ending).await {
                Ok(ended) => ended.is_ok(),
                Err(_) => {
                    let cancelled = async {
                        conn.cancel().await;
                        ending.await.is_ok()
                    };
                    tokio::time::timeout(PATIENCE, cancelled).await.unwrap_or(false)
                }
            }
        };
        if clean {
            conn.set_dirty(false);
        }
    });
}
