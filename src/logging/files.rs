//! Daily log files, one JSON document a line, written by threads of their own (crate `tracing-appender`).

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::layer::{Context, Layer};

use super::{Fields, name_of};
use crate::types::time::Millis;

/// Lines waiting for the disk; more are dropped, since nobody waits for a log.
const WAITING: usize = 4096;

pub(super) struct Files {
    info: Daily,
    errors: Daily,
}

impl Files {
    /// `None`, with a line on standard error, when the folder cannot be written to. `most`: how many files of
    /// each kind are kept.
    pub(super) fn open(folder: &Path, most: Option<usize>) -> Option<Self> {
        let open = |kind| Daily::open(folder, kind, most);
        let opened = open("info").and_then(|info| Ok(Self { info, errors: open("err")? }));
        opened.inspect_err(|error| eprintln!("WARNING: No log files in {}: {error}.", folder.display())).ok()
    }
}

impl<S: Subscriber> Layer<S> for Files {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        let mut line = Map::new();
        line.insert("level".into(), name_of(level).into());
        line.insert("message".into(), fields.message.into());
        line.insert("timestamp".into(), Millis::now().to_iso().into());
        line.extend(fields.others);
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        self.info.write(&text);
        if level == Level::ERROR {
            self.errors.write(&text);
        }
    }
}

/// Tells on standard error when lines cannot be written, and when they can again: the thread that writes tells nobody.
struct Told<W> {
    inner: W,
    folder: PathBuf,
    is_failing: bool,
}

impl<W: Write> Write for Told<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What was cut off in the middle shall not spoil the line that comes next.
        let ended = if self.is_failing { self.inner.write_all(b"\n") } else { Ok(()) };
        let written = ended.and_then(|()| self.inner.write(bytes));
        let folder = self.folder.display();
        match &written {
            Err(error) if !self.is_failing && error.kind() != io::ErrorKind::Interrupted => {
                eprintln!("WARNING: The log files in {folder} cannot be written: {error}.");
                self.is_failing = true;
            }
            Ok(_) if self.is_failing => {
                eprintln!("The log files in {folder} are written again.");
                self.is_failing = false;
            }
            _ => {}
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// One file a day, `parse-server.<kind>.<date>`.
struct Daily {
    lines: NonBlocking,
    /// Its end would end the thread that writes.
    _thread: WorkerGuard,
}

impl Daily {
    fn open(folder: &Path, kind: &str, most: Option<usize>) -> Result<Self, InitError> {
        let name = format!("parse-server.{kind}");
        let mut file = RollingFileAppender::builder().rotation(Rotation::DAILY).filename_prefix(name);
        if let Some(most) = most {
            // The appender makes room for one more file at each start, were it today's own that it removes.
            file = file.max_log_files(most.max(2));
        }
        let waiting = NonBlockingBuilder::default().buffered_lines_limit(WAITING).lossy(true);
        let file = Told { inner: file.build(folder)?, folder: folder.to_owned(), is_failing: false };
        let (lines, thread) = waiting.thread_name("log files").finish(file);
        Ok(Self { lines, _thread: thread })
    }

    fn write(&self, line: &str) {
        // A full queue drops the line and says nothing; an end of the thread is not told to anybody.
        let _ = self.lines.clone().write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_carry_the_date_and_errors_go_to_both() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("a/logs");
        let before = Millis::now().to_iso();
        let files = Files::open(&logs, None).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(files), || {
            tracing::info!(answer = 42, "plain");
            tracing::error!("bad");
        });
        // The subscriber is gone, and its guards waited for the disk.
        let after = Millis::now().to_iso();
        let read = |kind: &str| {
            let of = |iso: &str| logs.join(format!("parse-server.{kind}.{}", iso.get(..10).unwrap()));
            // Midnight may lie between.
            let text: String = [before.as_str(), &after]
                .map(of)
                .iter()
                .take(if before.get(..10) == after.get(..10) { 1 } else { 2 })
                .filter_map(|path| fs::read_to_string(path).ok())
                .collect();
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
        };
        let messages = |kind| read(kind).iter().map(|line| line["message"].clone()).collect::<Vec<_>>();
        assert_eq!(messages("info"), ["plain", "bad"]);
        assert_eq!(messages("err"), ["bad"]);
        let first = read("info").swap_remove(0);
        assert_eq!(first["level"], "info");
        assert_eq!(first["answer"], 42);
        assert!(first["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn only_so_many_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["2020-01-01", "2020-01-02", "2020-01-03"] {
            fs::write(folder.path().join(format!("parse-server.info.{name}")), "").unwrap();
        }
        fs::write(folder.path().join("something.else"), "").unwrap();
        drop(Files::open(folder.path(), Some(1)));
        let names = names(folder.path());
        assert_eq!(
            names.iter().filter(|name| name.starts_with("parse-server.info.")).count(),
            2,
            "{names:?}"
        );
        assert!(names.contains(&"something.else".to_owned()));
    }

    #[test]
    fn a_line_that_was_cut_off_spoils_no_other() {
        /// Takes so many bytes, and more only where there is room again.
        struct Disk(Vec<u8>, usize);
        impl Write for Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let room = self.1.saturating_sub(self.0.len()).min(bytes.len());
                if room == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.extend_from_slice(&bytes[..room]);
                Ok(room)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut file = Told { inner: Disk(Vec::new(), 4), folder: PathBuf::new(), is_failing: false };
        assert!(
            file.write_all(b"first\n").is_err() && file.write_all(b"second\n").is_err() && file.is_failing
        );
        file.inner.1 = 100;
        assert!(
            file.write_all(b"third\n").is_ok() && file.write_all(b"fourth\n").is_ok() && !file.is_failing
        );
        assert_eq!(String::from_utf8(file.inner.0).unwrap(), "firs\nthird\nfourth\n");
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Files::open(&file, None).is_none());
    }
}
