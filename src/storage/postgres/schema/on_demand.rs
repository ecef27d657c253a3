//! Indexes that queries would have used: noted by reads, handed to whoever builds them (the class registry), each
//! once. Those of small tables are not worth it; whether a table has grown is looked at now and then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::storage::postgres::connection::control::ControlLane;
use crate::storage::postgres::sql::{Sql, WantedIndex, with_bytes};
use crate::storage::{IndexMap, IndexWishes, StorageResult};
use crate::types::ClassName;

/// Bytes of a table that is read faster than an index is made.
const SMALL_TABLE: i64 = 1 << 20;
/// A table that was small is looked at again after this.
const GROWTH: Duration = Duration::from_secs(60);
/// An index that was asked for, and is still not there, is asked for again after this.
const PATIENCE: Duration = Duration::from_secs(3600);

/// When an index is to be thought of again.
type Seen = Arc<Mutex<HashMap<WantedIndex, Instant>>>;

/// What reads found missing. Classes and fields exist, so there are no more of them than of these.
pub struct Wishes {
    seen: Seen,
    sender: UnboundedSender<WantedIndex>,
    /// Until somebody asks for it.
    receiver: Mutex<Option<UnboundedReceiver<WantedIndex>>>,
}

impl Wishes {
    /// `None` where nothing is built by itself (`databaseOptions.autoIndex: false`).
    pub fn new(auto_index: bool) -> Option<Self> {
        let (sender, receiver) = unbounded_channel();
        auto_index.then(|| Self { seen: Seen::default(), sender, receiver: Mutex::new(Some(receiver)) })
    }

    /// Called for every read that has any.
    pub fn note(&self, wanted: &[WantedIndex]) {
        let now = Instant::now();
        for index in wanted {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.get(index).is_some_and(|again| *again > now) {
                continue;
            }
            seen.insert(index.clone(), now + GROWTH);
            // Nobody builds any more: the server stops.
            let _ = self.sender.send(index.clone());
        }
    }

    /// The wishes, for the first who asks.
    pub fn take(&self, control: &Arc<ControlLane>) -> Option<Box<dyn IndexWishes>> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Box::new(Grown { receiver, seen: self.seen.clone(), control: control.clone() }))
    }
}

/// Wishes for tables that are large enough.
struct Grown {
    receiver: UnboundedReceiver<WantedIndex>,
    seen: Seen,
    control: Arc<ControlLane>,
}

#[async_trait]
impl IndexWishes for Grown {
    async fn next(&mut self) -> Option<(ClassName, IndexMap)> {
        loop {
            let wanted = self.receiver.recv().await?;
            match is_large(&self.control, &wanted.class).await {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    tracing::debug!(%error, class = %wanted.class, "the size of a table is not known: {error}");
                    continue;
                }
            }
            let columns = Map::from_iter([(wanted.field.to_string(), Value::String(wanted.kind.word()))]);
            let map = IndexMap::from_iter([(wanted.name(), Value::Object(columns))]);
            let class = wanted.class.clone();
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(wanted, Instant::now() + PATIENCE);
            return Some((class, map));
        }
    }
}

async fn is_large(control: &ControlLane, class: &ClassName) -> StorageResult<bool> {
    let conn = control.lock().await?;
    let mut sql = Sql::new("SELECT coalesce(pg_catalog.pg_table_size(to_regclass('public.' || quote_ident(");
    sql.push_text(class.as_str()).push_sql("))), 0)");
    let rows = sql.load(&conn).await?;
    conn.done();
    let size = rows.first().and_then(|row| with_bytes(row, 0, |bytes| bytes.try_into().ok())).flatten();
    Ok(size.map_or(0, i64::from_be_bytes) >= SMALL_TABLE)
}
