//! From sources to a checked configuration.

use std::path::Path;

use serde_json::Value;

use super::cli::Invocation;
use super::error::ConfigError;
use super::source::{ConfigSource, EnvSource, FileSource, is_javascript, load_all};
use super::{AppConfig, Warnings, check, compat, development};

/// A configuration that was accepted, with what is to be said about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: AppConfig,
    /// Lines for the log, at level info.
    pub notices: Vec<String>,
    /// Lines for the log, at level warn.
    pub warnings: Warnings,
}

/// Reads command line, environment and file, in this order of precedence.
///
/// A JavaScript file is read through `javascript`, when the program has a way to run it.
///
/// # Errors
/// The first thing that stops the start, in one line.
pub async fn load(
    invocation: &Invocation,
    env: &EnvSource,
    javascript: Option<&dyn ConfigSource>,
) -> Result<Loaded, ConfigError> {
    let file = invocation.config_file.as_deref().map(FileSource::new);
    let mut sources: Vec<&dyn ConfigSource> = vec![&invocation.flags, env];
    match (&invocation.config_file, &file, javascript) {
        (Some(path), _, Some(javascript)) if is_javascript(path) => sources.push(javascript),
        (Some(path), _, None) if is_javascript(path) => return Err(no_javascript(path)),
        (_, Some(file), _) => sources.push(file),
        _ => {}
    }
    let mut raw = load_all(&sources).await?;
    let development = development::applies(&raw.options, invocation.config_file.is_some());
    if development {
        let data_dir = match raw.options.get("dataDir") {
            Some(Value::String(folder)) if !folder.is_empty() => folder.clone(),
            _ => "./data".to_owned(),
        };
        raw.notices.extend(development::apply(&mut raw.options, Path::new(&data_dir))?);
    }
    for name in ["appId", "masterKey"] {
        let value = raw.options.get(name).filter(|value| !value.is_null() && *value != "");
        if value.is_none() {
            return Err(ConfigError::new(name, "appId and masterKey are required", None));
        }
    }
    let (config, warnings) = AppConfig::from_options(&raw.options, development)?;
    raw.warnings.extend(warnings);
    raw.notices.push(compat::notice(&raw.options));
    if config.logging.verbose {
        raw.notices.extend(check::all_options(&raw.options));
    }
    Ok(Loaded { config, notices: raw.notices, warnings: raw.warnings })
}

fn no_javascript(path: &Path) -> ConfigError {
    let message = format!("{} is JavaScript, which this build cannot read.", path.display());
    ConfigError::general(message, "Give the options as a JSON or JSON5 file.")
}
