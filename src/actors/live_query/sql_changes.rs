//! Tells subscribers of what other programs change in SQL (`liveQuery.sqlChanges`), and keeps the log of events
//! short. Each server hears of such a change from the database and tells its own subscribers; nothing of it
//! goes over the bus.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::Value;

use super::LiveQueryHub;
use crate::live_query::event_log::{Captures, MOST_MISSED, entries, event};
use crate::operations::Services;
use crate::pubsub::Notice;
use crate::storage::live_log::{Entries, SQL_CHANGES};
use crate::types::ClassName;

/// How often classes without a table are tried again.
const RETRY: Duration = Duration::from_secs(2);
const CLEAN_EVERY: Duration = Duration::from_secs(60);
/// Told entries that are remembered, so that none is told twice.
const MOST_HEARD: usize = 10_000;

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
    let mut notices = services.pubsub.notices();
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
