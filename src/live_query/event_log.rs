//! Changes that the database writes down itself: those that other programs make in SQL
//! (`liveQuery.sqlChanges`), and the log from which clients resume when this process has nothing for them
//! (`liveQuery.eventLog`). Here classes are captured, and what was written is read.
//!
//! A class is captured from its first subscription on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::AppConfig;
use crate::operations::Services;
use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::storage::live_log::{Capture, Entries, LogEntry};
use crate::types::{ClassName, Object};

/// Entries are written before their transactions are committed: so much earlier than an event that a
/// client saw there may be others that it did not see.
const LONGEST_TRANSACTION_US: i64 = 10_000_000;
/// More than this is not replayed: a find is cheaper.
pub const MOST_MISSED: usize = 5_000;
/// Without a log entries only live until every server has read them.
const UNTIL_READ: Duration = Duration::from_secs(300);

pub struct Captures {
    pub wanted: Option<Capture>,
    pub retention: Duration,
    captured: Mutex<HashSet<ClassName>>,
}

impl Captures {
    pub fn new(config: &AppConfig) -> Self {
        let live = &config.live_query;
        let wanted = match live.event_log_s {
            Some(_) => Some(Capture::All),
            None => live.sql_changes.then_some(Capture::Others),
        };
        let retention = live.event_log_s.map_or(UNTIL_READ, Duration::from_secs);
        Self { wanted, retention, captured: Mutex::default() }
    }

    /// Begins to capture the class unless that is done.
    pub async fn ensure(&self, services: &Services, class: &ClassName) {
        let Some((wanted, log)) = self.wanted.zip(services.storage.live_log()) else { return };
        if self.captured.lock().unwrap_or_else(PoisonError::into_inner).contains(class) {
            return;
        }
        match log.capture(class, wanted).await {
            Ok(true) => {
                self.captured.lock().unwrap_or_else(PoisonError::into_inner).insert(class.clone());
            }
            // Its first object makes the table.
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, class = %class, "changes in SQL are not captured"),
        }
    }

    pub fn forget(&self, class: &ClassName) {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).remove(class);
    }
}

pub async fn entries(services: &Services, class: &ClassName, which: Entries) -> Option<Vec<LogEntry>> {
    let snapshot = services.classes.admit(class).await.ok()??;
    match services.storage.live_log()?.entries(&snapshot.schema, which).await {
        Ok(entries) => Some(entries),
        Err(error) => {
            tracing::warn!(%error, class = %class, "written events could not be read");
            None
        }
    }
}

pub fn event(class: &ClassName, entry: LogEntry) -> Option<ObjectEvent> {
    let public = |mut object: Object| {
        object.retain(|key, value| !key.starts_with('_') && !value.is_null());
        object.insert("className".to_owned(), class.as_str().into());
        Arc::new(object)
    };
    let (kind, object, original) = match (entry.before, entry.after) {
        (before, Some(after)) => (ObjectEventKind::Saved, public(after), before.map(public)),
        (Some(before), None) => (ObjectEventKind::Deleted, public(before), None),
        (None, None) => return None,
    };
    let stamp = u64::try_from(entry.micros).unwrap_or_default();
    Some(ObjectEvent { class: class.clone(), kind, object, original, stamp, permissions: None })
}

/// What the log has after an event that a client saw at this time, whichever server told it: some of it may be told
/// twice. `None` when that is not all.
pub async fn missed(
    services: &Services,
    class: &ClassName,
    after_micros: i64,
) -> Option<Vec<(i64, ObjectEvent)>> {
    let retention = Duration::from_secs(services.config.live_query.event_log_s?);
    let from = after_micros.saturating_sub(LONGEST_TRANSACTION_US);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if from < 0
        || after_micros
            > i64::try_from(now.as_micros()).unwrap_or(i64::MAX).saturating_add(LONGEST_TRANSACTION_US)
    {
        return None;
    }
    match services.storage.live_log()?.covers(class, after_micros, retention).await {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => {
            tracing::warn!(%error, class = %class, "the log of events could not be read");
            return None;
        }
    }
    let which = Entries::Since { micros: from, most: MOST_MISSED + 1 };
    let found = entries(services, class, which).await?;
    if found.len() > MOST_MISSED {
        return None;
    }
    let events = found.into_iter().filter_map(|entry| Some((entry.micros, event(class, entry)?)));
    Some(events.collect())
}
