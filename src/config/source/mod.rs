//! Where options come from: configuration file, environment, command line; and which of them wins.

mod env;
mod file;
mod text;

use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};

use super::error::ConfigError;

pub use env::EnvSource;
pub use file::{FileSource, is_javascript, single_app};
pub use text::parse as parse_text;

/// Raw options of one source: JSON by option name; functions are `{"__callback": n}`.
#[derive(Clone, Debug, Default)]
pub struct RawOptions {
    pub options: Map<String, Value>,
    /// Lines for the log, for example where they were read.
    pub notices: Vec<String>,
    /// Things that look like mistakes.
    pub warnings: Vec<String>,
}

/// Something that options are read from. Asynchronous because a JavaScript configuration has to start a
/// process first.
pub trait ConfigSource {
    /// # Errors
    /// The source cannot be read, or a value in it cannot be parsed.
    fn load(&self) -> LocalBoxFuture<'_, Result<RawOptions, ConfigError>>;
}

/// Options that are already at hand, such as those of the command line. Dotted names
/// (`liveQuery.classNames`) set one key of an option and leave its other keys as they are.
impl ConfigSource for Map<String, Value> {
    fn load(&self) -> LocalBoxFuture<'_, Result<RawOptions, ConfigError>> {
        let options = self.clone();
        Box::pin(async move { Ok(RawOptions { options, ..RawOptions::default() }) })
    }
}

/// Reads all sources and joins them; the earlier wins, option by option.
///
/// # Errors
/// The first error of a source.
pub async fn load_all(sources: &[&dyn ConfigSource]) -> Result<RawOptions, ConfigError> {
    let mut all = RawOptions::default();
    let mut dotted = Vec::new();
    for source in sources {
        let loaded = source.load().await?;
        all.notices.extend(loaded.notices);
        all.warnings.extend(loaded.warnings);
        for (name, value) in loaded.options {
            if name.contains('.') {
                dotted.push((name, value));
            } else {
                all.options.entry(name).or_insert(value);
            }
        }
    }
    // From the weakest to the strongest, so that the strongest stays.
    for (name, value) in dotted.into_iter().rev() {
        set_dotted(&mut all.options, &name, value)?;
    }
    Ok(all)
}

fn set_dotted(options: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), ConfigError> {
    let Some((group, key)) = name.split_once('.') else {
        options.insert(name.to_owned(), value);
        return Ok(());
    };
    let entry = options.entry(group).or_insert(Value::Null);
    if entry.is_null() {
        *entry = Value::Object(Map::new());
    }
    match entry {
        Value::Object(object) => set_dotted(object, key, value),
        other => {
            let message = format!("Parse Server option {group} must be an object.");
            Err(ConfigError::new(group, message, Some(other)))
        }
    }
}
