//! [`ConfigError`]: why the configuration stops the start, in one line.

use std::fmt;

use serde_json::Value;

use super::table;

/// One line that names option, value and remedy. The message is parse-server's where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Dotted path of the option; empty when it concerns none.
    pub option: String,
    /// What is wrong, for example `Default limit must be a number.`.
    pub message: String,
    /// The value as JSON, shortened; `<redacted>` for secrets, `None` when it is not set.
    pub value: Option<String>,
    pub remedy: String,
}

/// Longest value that a message repeats, in characters.
const SHOWN: usize = 120;

impl ConfigError {
    /// An error about an option; what to do comes from the option table.
    pub fn new(option: &str, message: impl Into<String>, value: Option<&Value>) -> Self {
        Self {
            option: option.to_owned(),
            message: message.into(),
            value: value.map(|value| shown(option, value)),
            remedy: remedy(option, value.is_some()),
        }
    }

    /// An error that has its own remedy.
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// An error about the configuration as a whole.
    pub fn general(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { option: String::new(), message: message.into(), value: None, remedy: remedy.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        if !self.option.is_empty() {
            line = format!("{}: ", self.option);
        }
        line.push_str(&self.message);
        if !line.ends_with(['.', '!']) {
            line.push('.');
        }
        if !self.option.is_empty() {
            match &self.value {
                Some(value) => line.push_str(&format!(" It is {value}.")),
                None => line.push_str(" It is not set."),
            }
        }
        line.push(' ');
        line.push_str(&self.remedy);
        // Names, values and messages of the system come from outside and may contain line breaks.
        f.write_str(&line.replace(['\n', '\r'], " "))
    }
}

impl std::error::Error for ConfigError {}

/// The value for a message: JSON, shortened, never a secret or something that contains one.
pub(super) fn shown(path: &str, value: &Value) -> String {
    if is_secret(path) {
        return "<redacted>".to_owned();
    }
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain("…".chars()).collect()
}

/// Whether the option, one above it or one below it is a secret.
pub(super) fn is_secret(path: &str) -> bool {
    let mut upto = String::new();
    for part in path.split('.') {
        if !upto.is_empty() {
            upto.push('.');
        }
        upto.push_str(part);
        if table::find_path(&upto).is_some_and(|option| option.secret) {
            return true;
        }
    }
    table::find_path(path).is_some_and(contains_secret)
}

fn contains_secret(option: &table::OptionDef) -> bool {
    option.secret || option.group.is_some_and(|group| group.options.iter().any(contains_secret))
}

fn remedy(path: &str, is_set: bool) -> String {
    let Some(top) = path.split(['.', '[']).next().and_then(table::find) else {
        return "Correct or remove it.".to_owned();
    };
    let wanted = match table::find_path(path) {
        Some(option) if option.default.is_empty() => format!(" ({})", option.kind.label()),
        Some(option) => format!(" ({}, default {})", option.kind.label(), option.default),
        None => String::new(),
    };
    let todo = if is_set { "Correct or remove" } else { "Set" };
    format!("{todo} {path}{wanted} in the configuration file, with --{} or with {}.", top.name, top.env)
}
