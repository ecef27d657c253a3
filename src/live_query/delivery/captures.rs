//! Changes that the database writes down itself: those that other programs make in SQL
//! (`liveQuery.sqlChanges`), which are told like any others, and the log from which clients resume
//! when this process has nothing for them (`liveQuery.eventLog`).
//!
//! A class is captured from its first subscription on. Each server hears of a change in SQL from the
//! database and tells its own subscribers; nothing of it goes over the bus.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::config::AppConfig;
use crate::live_query::LiveQueryHub;
use crate::live_query::matching::ring::EventId;
use crate::operations::Services;
use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::storage::Notice;
use crate::storage::live_log::{Capture, Entries, LogEntry, SQL_CHANGES};
use crate::types::{ClassName, Object};

/// How often classes without a table are tried again.
const RETRY: Duration = Duration::from_secs(2);
const CLEAN_EVERY: Duration = Duration::from_secs(60);
/// Entries are written before their transactions are committed: so much earlier than an event that a
/// client saw there may be others that it did not see.
const LONGEST_TRANSACTION_US: i64 = 10_000_000;
/// More than this is not replayed: a find is cheaper.
const MOST_MISSED: usize = 5_000;
/// Told entries that are remembered, so that none is told twice.
const MOST_HEARD: usize = 10_000;
/// Without a log entries only live until every server has read them.
const UNTIL_READ: Duration = Duration::from_secs(300);

pub struct Captures {
    wanted: Option<Capture>,
    retention: Duration,
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

    fn forget(&self, class: &ClassName) {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).remove(class);
    }
}

/// Starts what the options ask for. Without them takes away what an earlier start left behind.
pub fn start(hub: Weak<LiveQueryHub>, captures: Arc<Captures>, services: Arc<Services>) {
    if services.storage.live_log().is_none() {
        return;
    }
    if captures.wanted.is_none() {
        actix::spawn(async move {
            let Some(log) = services.storage.live_log() else { return };
            if let Err(error) = log.release().await {
                tracing::warn!(%error, "triggers of live queries could not be removed");
            }
        });
        return;
    }
    actix::spawn(keep_capturing(hub.clone(), captures.clone(), services.clone()));
    actix::spawn(clean(hub.clone(), captures.retention, services.clone()));
    if services.config.live_query.sql_changes {
        actix::spawn(listen(hub, captures, services));
    }
}

async fn keep_capturing(hub: Weak<LiveQueryHub>, captures: Arc<Captures>, services: Arc<Services>) {
    loop {
        tokio::time::sleep(RETRY).await;
        let Some(hub) = hub.upgrade() else { return };
        for class in hub.live_classes() {
            captures.ensure(&services, &class).await;
        }
    }
}

async fn clean(hub: Weak<LiveQueryHub>, retention: Duration, services: Arc<Services>) {
    while hub.strong_count() > 0 {
        if let Some(log) = services.storage.live_log()
            && let Err(error) = log.forget(retention).await
        {
            tracing::debug!(%error, "old live query events could not be removed");
        }
        tokio::time::sleep(CLEAN_EVERY).await;
    }
}

async fn listen(hub: Weak<LiveQueryHub>, captures: Arc<Captures>, services: Arc<Services>) {
    use tokio::sync::broadcast::error::RecvError;
    let mut notices = services.storage.notices();
    let mut heard = Heard::default();
    // Whether something may have been missed: also at the start, to learn where the log stands.
    let mut behind = true;
    loop {
        if behind && let Some(hub) = hub.upgrade() {
            behind = !catch_up(&hub, &services, &mut heard).await;
        }
        let next = if behind {
            match tokio::time::timeout(RETRY, notices.recv()).await {
                Ok(next) => next,
                Err(_) => continue,
            }
        } else {
            notices.recv().await
        };
        let notice = match next {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => {
                behind = true;
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let Some(hub) = hub.upgrade() else { return };
        match notice {
            Notice::Other { channel, payload } if channel == SQL_CHANGES => {
                if let Some((class, id)) = read_reference(&payload) {
                    behind |= !tell(&hub, &services, &mut heard, &class, id).await;
                }
            }
            // The listening connection is there (again).
            Notice::Lost => behind = true,
            // A class that was dropped and made again has no trigger.
            Notice::Schema { class: Some(class) } => captures.forget(&class),
            _ => {}
        }
    }
}

/// Which entries of the log were told, or concerned nobody here. Numbers are given out before their
/// transactions are committed, so the newest does not say it all.
#[derive(Default)]
struct Heard {
    /// Whatever is not newer is past.
    floor: Option<i64>,
    ids: BTreeSet<i64>,
}

impl Heard {
    fn knows(&self, id: i64) -> bool {
        self.floor.is_some_and(|floor| id <= floor) || self.ids.contains(&id)
    }

    fn note(&mut self, id: i64) {
        self.ids.insert(id);
        if self.ids.len() > MOST_HEARD
            && let Some(oldest) = self.ids.pop_first()
        {
            self.floor = self.floor.max(Some(oldest));
        }
    }
}

/// Tells what nobody has notified this server of; false when that has to be tried again.
async fn catch_up(hub: &LiveQueryHub, services: &Services, heard: &mut Heard) -> bool {
    let Some(log) = services.storage.live_log() else { return true };
    let Some(floor) = heard.floor else {
        heard.floor = log.newest().await.ok();
        return heard.floor.is_some();
    };
    let entries = match log.others_after(floor, MOST_HEARD + MOST_MISSED).await {
        Ok(entries) => entries,
        Err(error) => {
            tracing::debug!(%error, "changes in SQL cannot be caught up with yet");
            return false;
        }
    };
    let missed: Vec<_> = entries.into_iter().filter(|(id, _)| !heard.knows(*id)).collect();
    if missed.len() > MOST_MISSED {
        tracing::warn!("too many changes in SQL were missed: they are not told");
        missed.iter().for_each(|(id, _)| heard.note(*id));
        hub.may_have_missed();
        return true;
    }
    for (id, class) in missed {
        let Some(class) = ClassName::valid(&class) else { continue };
        if !tell(hub, services, heard, &class, id).await {
            return false;
        }
    }
    true
}

fn read_reference(payload: &str) -> Option<(ClassName, i64)> {
    let payload: Value = serde_json::from_str(payload).ok()?;
    Some((ClassName::valid(payload.get("class")?.as_str()?)?, payload.get("id")?.as_i64()?))
}

/// False when the entry could not be read.
async fn tell(
    hub: &LiveQueryHub,
    services: &Services,
    heard: &mut Heard,
    class: &ClassName,
    id: i64,
) -> bool {
    if heard.ids.contains(&id) {
        return true;
    }
    if hub.config().live_query.publishes(class) && hub.has_subscribers(class) {
        let Some(entries) = entries(services, class, Entries::One(id)).await else { return false };
        if let Some(event) = entries.into_iter().next().and_then(|entry| event(class, entry)) {
            hub.deliver(event);
        }
    }
    heard.note(id);
    true
}

async fn entries(services: &Services, class: &ClassName, which: Entries) -> Option<Vec<LogEntry>> {
    let snapshot = services.classes.admit(class).await.ok()??;
    match services.storage.live_log()?.entries(&snapshot.schema, which).await {
        Ok(entries) => Some(entries),
        Err(error) => {
            tracing::warn!(%error, class = %class, "written events could not be read");
            None
        }
    }
}

fn event(class: &ClassName, entry: LogEntry) -> Option<ObjectEvent> {
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

/// What the log has after an event that a client saw, whichever server told it: some of it may be told
/// twice. `None` when that is not all.
pub async fn missed(
    services: &Services,
    class: &ClassName,
    after: &EventId,
) -> Option<Vec<(EventId, ObjectEvent)>> {
    let retention = Duration::from_secs(services.config.live_query.event_log_s?);
    let from = after.micros.saturating_sub(LONGEST_TRANSACTION_US);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if from < 0
        || after.micros
            > i64::try_from(now.as_micros()).unwrap_or(i64::MAX).saturating_add(LONGEST_TRANSACTION_US)
    {
        return None;
    }
    match services.storage.live_log()?.covers(class, after.micros, retention).await {
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
    let events = found.into_iter().filter_map(|entry| {
        let id = EventId { node: "log".to_owned(), number: 0, micros: entry.micros };
        Some((id, event(class, entry)?))
    });
    Some(events.collect())
}
