//! The log of the process: text or JSON on standard output, daily files, and the most recent lines kept
//! in memory for `GET /scriptlog`.
//!
//! `server` sets it up once; everybody else writes to it through `tracing`. parse-server's `logsFolder`
//! files keep their names, `parse-server.info.<date>` and `parse-server.err.<date>`.

mod files;
mod recent;

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogLevel, LoggingConfig};

pub use recent::{Presence, Query, recent};

/// Sets up the log of this process. Later calls change nothing, so that tests may start many servers.
pub fn init(config: &LoggingConfig) {
    let level = filter(config.effective_level());
    let console = if config.silent { LevelFilter::OFF } else { level };
    let terminal = match config.format {
        LogFormat::Json => tracing_subscriber::fmt::layer().json().flatten_event(true).boxed(),
        LogFormat::Text if std::io::stdout().is_terminal() => {
            tracing_subscriber::fmt::layer().with_target(false).boxed()
        }
        // Colours are for terminals: in a file or a pipe they are noise.
        LogFormat::Text => tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).boxed(),
    };
    let files =
        config.logs_folder.as_deref().and_then(|folder| files::Files::open(folder, config.max_log_files));
    let targets = |level: LevelFilter| {
        let others = level.min(LevelFilter::WARN);
        Targets::new().with_default(others).with_target("parsimony", level)
    };
    let ready = tracing_subscriber::registry()
        .with(terminal.with_filter(targets(console)))
        .with(files.with_filter(targets(level)))
        .with(recent::Recent.with_filter(targets(level)))
        .try_init();
    if ready.is_err() {
        tracing::debug!("the log was set up before");
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Silent => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Verbose | LogLevel::Silly => LevelFilter::TRACE,
    }
}

/// Collects an event's text and its other fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: serde_json::Map<String, serde_json::Value>,
}

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.insert(field.name().to_owned(), text.into());
        }
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else if field.name() == "meta"
            && let Ok(serde_json::Value::Object(meta)) = serde_json::from_str(value)
        {
            // What application code gave its logger: fields of the line.
            self.others.extend(meta);
        } else {
            self.others.insert(field.name().to_owned(), value.into());
        }
    }

    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &tracing::field::Field, value: i64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &tracing::field::Field, value: bool) {
        self.others.insert(field.name().to_owned(), value.into());
    }
}

/// parse-server's name of a level.
fn name_of(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG => "debug",
        tracing::Level::TRACE => "verbose",
    }
}
