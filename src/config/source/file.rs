//! Options from a JSON or JSON5 file.

use std::path::{Path, PathBuf};

use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};

use super::{ConfigSource, RawOptions, text};
use crate::config::error::ConfigError;
use crate::config::table;

/// A file with an object of options, or with `{"apps": [options]}`.
#[derive(Clone, Debug)]
pub struct FileSource {
    path: PathBuf,
}

impl FileSource {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn read(&self) -> Result<RawOptions, ConfigError> {
        let shown = self.path.display();
        let text = std::fs::read_to_string(&self.path).map_err(|error| {
            let message = format!("The configuration file {shown} cannot be read: {error}.");
            ConfigError::general(message, "Give the path of a JSON or JSON5 file, or leave it out.")
        })?;
        let value: Value =
            serde_json::from_str(&text).or_else(|_| json5::from_str(&text)).map_err(|error| {
                let message = format!("The configuration file {shown} is not valid: {error}.");
                ConfigError::general(message, "Write it as JSON or JSON5.")
            })?;
        Ok(RawOptions {
            options: single_app(value)?,
            notices: vec![format!("Configuration loaded from {shown}")],
            warnings: Vec::new(),
        })
    }
}

impl ConfigSource for FileSource {
    fn load(&self) -> LocalBoxFuture<'_, Result<RawOptions, ConfigError>> {
        Box::pin(async move { self.read() })
    }
}

/// The options in the content of a configuration file: the object itself, or the only entry of `apps`.
///
/// # Errors
/// `Multiple apps are not supported`, something that is no object, or a value that cannot be parsed.
pub fn single_app(content: Value) -> Result<Map<String, Value>, ConfigError> {
    let wrong = || {
        let message = "The configuration file must contain an object of options, or {\"apps\": [options]}.";
        ConfigError::general(message, "Put the options into one object.")
    };
    let Value::Object(mut object) = content else { return Err(wrong()) };
    let options = match object.remove("apps") {
        None | Some(Value::Null) => object,
        Some(Value::Array(mut apps)) if apps.len() == 1 => match apps.remove(0) {
            Value::Object(options) => options,
            _ => return Err(wrong()),
        },
        Some(Value::Array(apps)) if apps.len() > 1 => {
            let remedy = format!("apps has {} entries: start one server for each.", apps.len());
            return Err(ConfigError::general("Multiple apps are not supported", remedy));
        }
        Some(_) => return Err(wrong()),
    };
    let coerced = options.into_iter().map(|(name, value)| match table::find(&name) {
        Some(option) => Ok((name, text::coerce(option, value)?)),
        None => Ok((name, value)),
    });
    coerced.collect()
}

/// Whether the path is a JavaScript configuration, which only the Cloud Code process can read.
pub fn is_javascript(path: &Path) -> bool {
    matches!(path.extension().and_then(|extension| extension.to_str()), Some("js" | "mjs" | "cjs"))
}
