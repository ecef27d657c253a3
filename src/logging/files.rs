//! Daily log files, one JSON document a line, written by a thread of their own.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::{Fields, name_of};
use crate::types::time::Millis;

/// Lines waiting for the disk; more are dropped, since nobody waits for a log.
const WAITING: usize = 4096;

pub(super) struct Files {
    lines: SyncSender<Line>,
}

struct Line {
    at: Millis,
    is_error: bool,
    text: String,
}

impl Files {
    /// `None`, with a line on standard error, when the folder cannot be written to.
    pub(super) fn open(folder: &Path) -> Option<Self> {
        let probe = || {
            fs::create_dir_all(folder)?;
            Writer::open(folder, "info", &day_of(Millis::now())).map(drop)
        };
        let opened = probe().and_then(|()| {
            let (lines, waiting) = sync_channel(WAITING);
            let folder = folder.to_owned();
            std::thread::Builder::new().name("log files".into()).spawn(move || write(&folder, &waiting))?;
            Ok(Self { lines })
        });
        opened.inspect_err(|error| eprintln!("WARNING: No log files in {}: {error}.", folder.display())).ok()
    }
}

impl<S: Subscriber> Layer<S> for Files {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let at = Millis::now();
        let level = *event.metadata().level();
        let mut line = Map::new();
        line.insert("level".into(), name_of(level).into());
        line.insert("message".into(), fields.message.into());
        line.insert("timestamp".into(), at.to_iso().into());
        line.extend(fields.others);
        let text = Value::Object(line).to_string();
        match self.lines.try_send(Line { at, is_error: level == Level::ERROR, text }) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

fn write(folder: &Path, lines: &Receiver<Line>) {
    let mut writers: [Option<Writer>; 2] = [None, None];
    while let Ok(line) = lines.recv() {
        let day = day_of(line.at);
        for (writer, kind) in writers.iter_mut().zip(["info", "err"]) {
            if kind == "err" && !line.is_error {
                continue;
            }
            if writer.as_ref().is_none_or(|writer| writer.day != day) {
                *writer = Writer::open(folder, kind, &day).ok();
            }
            if let Some(open) = writer
                && writeln!(open.file, "{}", line.text).is_err()
            {
                *writer = None;
            }
        }
    }
}

struct Writer {
    day: String,
    file: File,
}

impl Writer {
    fn open(folder: &Path, kind: &str, day: &str) -> std::io::Result<Self> {
        let path: PathBuf = folder.join(format!("parse-server.{kind}.{day}"));
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { day: day.to_owned(), file })
    }
}

/// `2026-01-31`
fn day_of(at: Millis) -> String {
    at.to_iso().chars().take(10).collect()
}
