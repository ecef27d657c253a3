//! The most recent lines, in memory: what `GET /scriptlog` answers from.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::{Fields, name_of};
use crate::types::app_scope::{self, AppNumber};
use crate::types::time::Millis;

/// Lines kept, and characters kept of each.
const LINES: usize = 2000;
const LENGTH: usize = 4000;

static LOG: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());

static APPS: AtomicUsize = AtomicUsize::new(0);

/// An application of this process, as long as it is there.
#[derive(Debug)]
pub struct Presence(AppNumber);

impl Presence {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        APPS.fetch_add(1, Ordering::Relaxed);
        Self(AppNumber::fresh())
    }

    pub fn number(&self) -> AppNumber {
        self.0
    }

    fn count() -> usize {
        APPS.load(Ordering::Relaxed)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        APPS.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Line {
    /// Whose line it is; of nobody's: the process's own.
    app: Option<AppNumber>,
    at: Millis,
    level: Level,
    message: String,
    fields: Map<String, Value>,
}

/// Which lines are wanted.
#[derive(Clone, Debug)]
pub struct Query {
    /// Lines of this application. Those of the process itself are for an application that has the process
    /// for itself: with several they may tell of another.
    pub app: AppNumber,
    /// `error` wants errors only, everything else all that is written.
    pub errors_only: bool,
    pub from: Millis,
    pub until: Millis,
    pub size: usize,
    pub ascending: bool,
}

/// `{timestamp, level, message, …}`, newest first unless ascending.
pub fn recent(query: &Query) -> Vec<Value> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let alone = Presence::count() <= 1;
    let wanted = |line: &&Line| {
        let is_theirs = line.app.map_or(alone, |app| app == query.app);
        let least = if query.errors_only { Level::ERROR } else { Level::TRACE };
        is_theirs && line.level <= least && line.at >= query.from && line.at <= query.until
    };
    let shown = |line: &Line| {
        let mut shown = Map::new();
        shown.insert("timestamp".into(), Value::String(line.at.to_iso()));
        shown.insert("level".into(), name_of(line.level).into());
        shown.insert("message".into(), line.message.as_str().into());
        for (key, value) in &line.fields {
            shown.entry(key.as_str()).or_insert_with(|| value.clone());
        }
        Value::Object(shown)
    };
    if query.ascending {
        log.iter().filter(wanted).take(query.size).map(shown).collect()
    } else {
        log.iter().rev().filter(wanted).take(query.size).map(shown).collect()
    }
}

pub(super) struct Recent;

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let end = fields.message.char_indices().nth(LENGTH).map(|(end, _)| end);
        fields.message.truncate(end.unwrap_or(fields.message.len()));
        let level = *event.metadata().level();
        let line = Line {
            app: app_scope::current(),
            at: Millis::now(),
            level,
            message: fields.message,
            fields: fields.others,
        };
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}
