//! Logs and the security check.

use std::path::PathBuf;

use serde_json::Value;

use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::value::CallbackId;

/// parse-server's levels, from the most important on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    Silent,
    Error,
    Warn,
    Info,
    Debug,
    Verbose,
    Silly,
}

const LEVELS: [(&str, LogLevel); 7] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("verbose", LogLevel::Verbose),
    ("silly", LogLevel::Silly),
    ("silent", LogLevel::Silent),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug)]
pub struct LoggingConfig {
    pub format: LogFormat,
    /// `None` when not set: info, or verbose with `verbose`.
    pub level: Option<LogLevel>,
    pub verbose: bool,
    pub silent: bool,
    /// Folder of log files; `None` writes none.
    pub logs_folder: Option<PathBuf>,
    /// How many daily files of each kind are kept; `None` keeps all.
    pub max_log_files: Option<usize>,
    pub levels: LogLevels,
}

/// Levels at which certain events are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevels {
    pub cloud_function_error: LogLevel,
    pub cloud_function_success: LogLevel,
    pub signup_username_taken: LogLevel,
    pub trigger_after: LogLevel,
    pub trigger_before_error: LogLevel,
    pub trigger_before_success: LogLevel,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityConfig {
    pub enable_check: bool,
    pub enable_check_log: bool,
    /// Classes of the JavaScript configuration, in the place of the server's own checks.
    pub check_groups: Vec<CallbackId>,
}

impl LoggingConfig {
    /// The least level that is written: to files and `/scriptlog`, and to the console unless it is `silent`.
    pub fn effective_level(&self) -> LogLevel {
        match self.level {
            Some(level) => level,
            None if self.verbose => LogLevel::Verbose,
            None => LogLevel::Info,
        }
    }

    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let json = reader.bool("jsonLogs")?;
        let format = match reader.text("logFormat")?.as_deref() {
            None | Some("") if json => LogFormat::Json,
            None | Some("" | "text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(_) => {
                return Err(reader.fail("logFormat", "Parse Server option logFormat must be text or json."));
            }
        };
        let level = match reader.raw("logLevel") {
            None => None,
            Some(value) => Some(level_of(value).ok_or_else(|| level_error(reader, "logLevel"))?),
        };
        let logs_folder = match reader.given("logsFolder") {
            Some(Value::Null) => None,
            _ => reader.text("logsFolder")?.filter(|folder| folder != "null" && !folder.is_empty()),
        };
        Ok(Self {
            format,
            level,
            verbose: reader.bool("verbose")?,
            silent: reader.bool("silent")?,
            logs_folder: logs_folder.map(PathBuf::from),
            max_log_files: max_log_files(reader)?,
            levels: LogLevels::read(reader)?,
        })
    }
}

/// A number of files, or of days (`14d`), which is the same for daily files.
fn max_log_files(reader: Reader<'_>) -> Result<Option<usize>, ConfigError> {
    const WRONG: &str = "maxLogFiles must be a number of files, or of days as in 14d.";
    let number = match reader.raw("maxLogFiles") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.strip_suffix('d').unwrap_or(text).parse().ok(),
        Some(value) => value.as_u64(),
    };
    match number.and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0) {
        Some(number) => Ok(Some(number)),
        None => Err(reader.fail("maxLogFiles", WRONG)),
    }
}

fn level_of(value: &Value) -> Option<LogLevel> {
    let name = value.as_str()?;
    LEVELS.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
}

fn level_error(reader: Reader<'_>, name: &str) -> ConfigError {
    let names = LEVELS.map(|(name, _)| format!("\"{name}\"")).join(",");
    reader.fail(name, format!("'{name}' must be one of [{names}]"))
}

impl LogLevels {
    fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let group = reader.group("logLevels")?;
        let level = |name: &str| {
            let value = group.value(name);
            value.as_deref().and_then(level_of).ok_or_else(|| level_error(group, name))
        };
        Ok(Self {
            cloud_function_error: level("cloudFunctionError")?,
            cloud_function_success: level("cloudFunctionSuccess")?,
            signup_username_taken: level("signupUsernameTaken")?,
            trigger_after: level("triggerAfter")?,
            trigger_before_error: level("triggerBeforeError")?,
            trigger_before_success: level("triggerBeforeSuccess")?,
        })
    }
}

fn check_groups(group: Reader<'_>) -> Result<Vec<CallbackId>, ConfigError> {
    let name = "checkGroups";
    let given: Vec<&Value> = match group.raw(name) {
        None => Vec::new(),
        Some(Value::Array(groups)) => groups.iter().collect(),
        Some(Value::Object(groups)) => groups.values().collect(),
        Some(_) => return Err(group.fail(name, "security.checkGroups must be an array of check groups.")),
    };
    let ids = given.into_iter().map(|value| {
        CallbackId::from_json(value).ok_or_else(|| {
            let text = "security.checkGroups must hold classes, in a configuration file that is JavaScript.";
            group.fail(name, text)
        })
    });
    ids.collect()
}

impl SecurityConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let group = reader.group("security")?;
        Ok(Self {
            enable_check: group.bool("enableCheck")?,
            enable_check_log: group.bool("enableCheckLog")?,
            check_groups: check_groups(group)?,
        })
    }
}
