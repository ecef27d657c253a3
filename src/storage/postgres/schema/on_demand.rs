//! Indexes that queries would have used: noted by reads, handed to whoever builds them (the class registry), each
//! once. Those of small tables are not worth it; whether a table has grown is looked at now and then.
//!
//! Anybody may ask, in any language, and every index makes each write dearer: so a class gets a few of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::storage::postgres::connection::control::ControlLane;
use crate::storage::postgres::schema::table as schema_table;
use crate::storage::postgres::sql::{ON_DEMAND, Sql, WantedIndex, with_bytes};
use crate::storage::{IndexMap, IndexWishes, StorageResult};
use crate::types::ClassName;

/// Bytes of a table that is read faster than an index is made.
const SMALL_TABLE: i64 = 1 << 20;
/// A table that was small is looked at again after this.
const GROWTH: Duration = Duration::from_secs(60);
/// An index that was asked for, and is still not there, is asked for again after this.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Wishes that are remembered; what is more is not looked at.
const MOST_SEEN: usize = 10_000;

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
            if seen.len() >= MOST_SEEN {
                seen.retain(|_, again| *again > now);
                if seen.len() >= MOST_SEEN {
                    return;
                }
            }
            seen.insert(index.clone(), now + GROWTH);
            // Nobody builds any more: the server stops.
            let _ = self.sender.send(index.clone());
        }
    }

    /// The wishes, for the first who asks.
    pub fn take(&self, control: &Arc<ControlLane>) -> Option<Box<dyn IndexWishes>> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Box::new(Grown {
            receiver,
            seen: self.seen.clone(),
            control: control.clone(),
            sizes: HashMap::new(),
            asked: HashMap::new(),
        }))
    }
}

/// Wishes for tables that are large enough.
struct Grown {
    receiver: UnboundedReceiver<WantedIndex>,
    seen: Seen,
    control: Arc<ControlLane>,
    /// Whether a table was large, and until when that counts.
    sizes: HashMap<ClassName, (bool, Instant)>,
    /// What was asked for already.
    asked: HashMap<ClassName, HashSet<WantedIndex>>,
}

impl Grown {
    async fn is_large(&mut self, class: &ClassName) -> StorageResult<bool> {
        let now = Instant::now();
        if let Some((is_large, _)) = self.sizes.get(class).filter(|(_, until)| *until > now) {
            return Ok(*is_large);
        }
        let is_large = is_large(&self.control, class).await?;
        self.sizes.insert(class.clone(), (is_large, now + GROWTH));
        Ok(is_large)
    }

    /// Whether the class gets one more, counting what other servers and earlier lives of this one built too.
    async fn has_room(&mut self, wanted: &WantedIndex) -> StorageResult<bool> {
        let built = built(&self.control, &wanted.class).await?;
        let asked = self.asked.entry(wanted.class.clone()).or_default();
        let mut names: HashSet<String> = asked.iter().map(WantedIndex::name).collect();
        names.extend(built);
        let name = wanted.name();
        let has_room = names.contains(&name) || wanted.fits_beside(names.iter().map(String::as_str));
        if has_room {
            asked.insert(wanted.clone());
        }
        Ok(has_room)
    }

    async fn is_worth_it(&mut self, wanted: &WantedIndex) -> StorageResult<bool> {
        Ok(self.is_large(&wanted.class).await? && self.has_room(wanted).await?)
    }
}

#[async_trait]
impl IndexWishes for Grown {
    async fn next(&mut self) -> Option<(ClassName, IndexMap)> {
        loop {
            let wanted = self.receiver.recv().await?;
            match self.is_worth_it(&wanted).await {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    tracing::debug!(%error, class = %wanted.class, "what a class has is not known: {error}");
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

/// Indexes of the class that were built on demand, by their names in its map.
async fn built(control: &ControlLane, class: &ClassName) -> StorageResult<Vec<String>> {
    let conn = control.lock().await?;
    let stored = schema_table::load_raw(&conn, class, false).await?;
    conn.done();
    let schema = stored.map(|json| schema_table::decode(class.clone(), &json));
    let names = schema.into_iter().flat_map(|schema| schema.indexes.into_iter().map(|(name, _)| name));
    Ok(names.filter(|name| name.starts_with(ON_DEMAND)).collect())
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
