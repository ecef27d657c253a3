//! Options from environment variables.

use std::collections::HashMap;

use futures_util::future::LocalBoxFuture;
use serde_json::Map;

use super::{ConfigSource, RawOptions, text};
use crate::config::error::ConfigError;
use crate::config::table::{self, Group, Kind};

/// Environment variables, given as pairs so that tests and several applications need no real ones.
/// Only variables of top-level options are read; empty ones count as not set.
#[derive(Clone, Debug)]
pub struct EnvSource {
    variables: HashMap<String, String>,
}

impl EnvSource {
    pub fn new<I, K, V>(variables: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<String>,
        V: Into<String>,
    {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { variables: variables.filter(|(_, value)| !value.is_empty()).collect() }
    }

    fn read(&self) -> Result<RawOptions, ConfigError> {
        let mut raw = RawOptions { options: Map::new(), ..RawOptions::default() };
        for option in table::options() {
            if let Some(group) = option.group {
                self.warn_about_nested(group, option.env, &mut raw.warnings);
            }
            let Some(value) = self.variables.get(option.env) else { continue };
            if option.kind == Kind::Bool && !matches!(value.as_str(), "true" | "1" | "false" | "0") {
                raw.warnings.push(format!(
                    "{} counts as false because it is neither true nor 1 (option {}).",
                    option.env, option.name
                ));
            }
            raw.options.insert(option.name.to_owned(), text::parse(option, option.name, value)?);
        }
        Ok(raw)
    }

    /// parse-server declares variables for the keys of groups and reads none of them; somebody who sets
    /// one should hear of it.
    fn warn_about_nested(&self, group: &Group, parent: &str, warnings: &mut Vec<String>) {
        for option in group.options {
            if !option.env.is_empty()
                && self.variables.contains_key(option.env)
                && table::find_env(option.env).is_none()
            {
                warnings.push(format!(
                    "{} is not read: give {}.{} in the configuration file, on the command line, or as JSON in {parent}.",
                    option.env, group.name, option.name
                ));
            }
        }
    }
}

impl ConfigSource for EnvSource {
    fn load(&self) -> LocalBoxFuture<'_, Result<RawOptions, ConfigError>> {
        Box::pin(async move { self.read() })
    }
}
