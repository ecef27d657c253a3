//! What is kept in memory of sessions and roles, and how servers tell each other of changes where their database cannot.

use serde_json::{Map, Value};

use crate::config::error::ConfigError;
use crate::config::reader::Reader;
use crate::config::secret::Secret;

#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Milliseconds until a cached principal is read again; 0: always.
    pub ttl_ms: u64,
    /// Most entries.
    pub max_size: usize,
    /// Redis of a `RedisCacheAdapter`: servers whose database carries no notices send them through it.
    pub redis: Option<Redis>,
}

#[derive(Clone, Debug)]
pub struct Redis {
    pub url: Secret<String>,
    /// Username, password, database and `socket.tls`, where the URL does not say them.
    pub options: Option<Secret<Map<String, Value>>>,
}

/// parse-server's own adapters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Null,
    Memory,
    Redis,
}

/// The adapter that the option names: by its name, or as the last part of the path of its module.
fn known(option: &Value) -> Option<Known> {
    let name = match option {
        Value::String(name) => Some(name.as_str()),
        Value::Object(all) => ["module", "class", "adapter"].iter().find_map(|key| all.get(*key)?.as_str()),
        _ => None,
    };
    let name = name?.trim_end_matches(".js").trim_end_matches("/index");
    match name.rsplit(['/', '\\']).next()? {
        "NullCacheAdapter" => Some(Known::Null),
        "InMemoryCacheAdapter" | "InMemoryCache" | "LRUCacheAdapter" | "LRUCache" => Some(Known::Memory),
        "RedisCacheAdapter" => Some(Known::Redis),
        _ => None,
    }
}

impl CacheConfig {
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let mut config = Self {
            ttl_ms: reader.required_whole("cacheTTL", 0)?,
            max_size: reader.required_whole("cacheMaxSize", 1)? as usize,
            redis: None,
        };
        let Some(option) = reader.raw("cacheAdapter") else { return Ok(config) };
        if !option.is_string() && !option.is_object() {
            let message = "Parse Server option cacheAdapter must be the name of a module, or an object.";
            return Err(ConfigError::new("cacheAdapter", message, None));
        }
        let options = option.get("options");
        match known(option) {
            Some(Known::Null) => config.ttl_ms = 0,
            Some(Known::Memory) => {
                let whole = |name: &str| options.and_then(|options| options.get(name)?.as_u64());
                config.ttl_ms = whole("ttl").unwrap_or(config.ttl_ms);
                let most = whole("maxSize").and_then(|size| usize::try_from(size).ok());
                config.max_size = most.filter(|size| *size > 0).unwrap_or(config.max_size);
            }
            Some(Known::Redis) => config.redis = Some(redis(options)),
            None => {}
        }
        Ok(config)
    }
}

/// A URL, or the options of the client.
fn redis(options: Option<&Value>) -> Redis {
    let url = options.and_then(|options| options.as_str().or_else(|| options.get("url")?.as_str()));
    Redis {
        url: Secret::new(url.unwrap_or("redis://localhost:6379").to_owned()),
        options: options.and_then(Value::as_object).cloned().map(Secret::new),
    }
}

/// A line about an adapter that is none of parse-server's, if one was set.
pub(in crate::config) fn unknown_adapter(options: &Map<String, Value>) -> Option<String> {
    let option = options.get("cacheAdapter").filter(|option| !option.is_null())?;
    known(option).is_none().then(|| {
        "cacheAdapter has no effect: the server keeps sessions and roles in its own memory. The adapters of \
         parse-server are known by their names."
            .to_owned()
    })
}
