//! What keeps requests off: rate limits, idempotency, the keyword denylist.

use serde_json::Value;

use crate::config::error::ConfigError;
use crate::config::path_pattern::PathPattern;
use crate::config::reader::Reader;
use crate::config::secret::Secret;
use crate::config::table;
use crate::config::value::Pattern;

/// One rule of `rateLimit`.
#[derive(Clone, Debug)]
pub struct RateLimitRule {
    pub request_path: PathPattern,
    /// Milliseconds.
    pub request_time_window_ms: f64,
    pub request_count: f64,
    /// Methods that are counted; `None` counts all.
    pub request_methods: Option<RequestMethods>,
    pub error_response_message: String,
    pub include_internal_requests: bool,
    pub include_master_key: bool,
    pub redis_url: Option<Secret<String>>,
    pub zone: RateLimitZone,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RequestMethods {
    List(Vec<String>),
    Pattern(Pattern),
}

impl RequestMethods {
    pub fn contains(&self, method: &str) -> bool {
        match self {
            Self::List(methods) => methods.iter().any(|listed| listed == method),
            Self::Pattern(pattern) => pattern.refuses(method),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateLimitZone {
    Ip,
    Session,
    User,
    Global,
}

impl RateLimitRule {
    pub(in crate::config) fn read_all(reader: Reader<'_>) -> Result<Vec<Self>, ConfigError> {
        match reader.raw("rateLimit") {
            None => Ok(Vec::new()),
            Some(rule @ Value::Object(_)) => Self::from_json(rule).map(|rule| vec![rule]),
            Some(Value::Array(rules)) => rules.iter().map(Self::from_json).collect(),
            Some(_) => Err(reader.fail("rateLimit", "rateLimit must be an array or object")),
        }
    }

    /// One rule, from the option or from a rule that Cloud Code gives with a function.
    ///
    /// # Errors
    /// parse-server's text about the first thing that is wrong.
    pub fn from_json(rule: &Value) -> Result<Self, ConfigError> {
        let Some(object) = rule.as_object() else {
            return Err(ConfigError::new("rateLimit", "rateLimit must be an array of objects", Some(rule)));
        };
        let rule = Reader::of_item(&table::RATE_LIMIT, object);
        if let Some(key) = rule.keys().find(|key| table::RATE_LIMIT.find(key).is_none()) {
            return Err(rule.fail(key, format!("Invalid rate limit option \"{key}\"")));
        }
        let request_path = match rule.raw("requestPath") {
            None => return Err(rule.fail("requestPath", "rateLimit.requestPath must be defined")),
            Some(Value::String(path)) => PathPattern::new(path).map_err(|reason| {
                let message = format!("rateLimit.requestPath \"{path}\" is not valid: {reason}");
                rule.fail("requestPath", message)
            })?,
            Some(_) => return Err(rule.fail("requestPath", "rateLimit.requestPath must be a string")),
        };
        let number = |name: &str| match rule.raw(name) {
            None => Err(rule.fail(name, format!("rateLimit.{name} must be defined"))),
            Some(value) => {
                value.as_f64().ok_or_else(|| rule.fail(name, format!("rateLimit.{name} must be a number")))
            }
        };
        Ok(Self {
            request_path,
            request_time_window_ms: number("requestTimeWindow")?,
            include_internal_requests: rule.bool_saying(
                "includeInternalRequests",
                "rateLimit.includeInternalRequests must be a boolean",
            )?,
            request_count: number("requestCount")?,
            request_methods: methods(rule)?,
            error_response_message: match rule.value("errorResponseMessage").as_deref() {
                Some(Value::String(text)) => text.clone(),
                _ => {
                    let message = "rateLimit.errorResponseMessage must be a string";
                    return Err(rule.fail("errorResponseMessage", message));
                }
            },
            include_master_key: rule.bool("includeMasterKey")?,
            redis_url: rule.secret("redisUrl")?,
            zone: match rule.value("zone").as_deref().and_then(Value::as_str) {
                Some("ip") => RateLimitZone::Ip,
                Some("session") => RateLimitZone::Session,
                Some("user") => RateLimitZone::User,
                Some("global") => RateLimitZone::Global,
                _ => {
                    let message = "rateLimit.zone must be one of global, session, user, or ip";
                    return Err(rule.fail("zone", message));
                }
            },
        })
    }
}

fn methods(rule: Reader<'_>) -> Result<Option<RequestMethods>, ConfigError> {
    let name = "requestMethods";
    match rule.raw(name) {
        None => Ok(None),
        Some(Value::Array(_)) => Ok(Some(RequestMethods::List(rule.texts(name)?))),
        Some(given) => Pattern::source_of(given)
            .and_then(|source| Pattern::new(&source).ok())
            .map(|pattern| Some(RequestMethods::Pattern(pattern)))
            .ok_or_else(|| {
                rule.fail(name, "rateLimit.requestMethods must be methods or a regular expression")
            }),
    }
}

/// Refuse requests whose id was already seen.
#[derive(Clone, Debug)]
pub struct IdempotencyConfig {
    /// Patterns that must match at the beginning of the path (without leading slash).
    pub paths: Vec<Pattern>,
    /// Seconds.
    pub ttl_s: f64,
}

impl IdempotencyConfig {
    /// Whether requests to this path (without leading slash) are checked.
    pub fn applies_to(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| pattern.refuses(path))
    }

    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let group = reader.group("idempotencyOptions")?;
        let ttl = group.value("ttl");
        let ttl_s = match ttl.as_deref().map(Value::as_f64) {
            Some(Some(seconds)) if seconds > 0.0 => seconds,
            Some(Some(_)) => {
                return Err(group.fail("ttl", "idempotency TTL value must be greater than 0 seconds"));
            }
            _ => return Err(group.fail("ttl", "idempotency TTL value must be a number")),
        };
        let message = "idempotency paths must be of an array of strings";
        let paths = group.texts_saying("paths", message)?.into_iter().map(|path| {
            let anchored = if path.starts_with('^') { path } else { format!("^{path}") };
            Pattern::new(&anchored).map_err(|_| group.fail("paths", message))
        });
        Ok(Self { paths: paths.collect::<Result<_, _>>()?, ttl_s })
    }
}

/// One entry of `requestKeywordDenylist`: what may not occur anywhere in written data.
#[derive(Clone, Debug)]
pub struct DeniedKeyword {
    /// As given, for the error text.
    pub entry: Value,
    key: Option<Denied>,
    value: Option<Denied>,
}

/// Expressions, and texts that are read as such, are for texts; everything else must be equal. Numbers and the like are
/// expressions for texts, too: `5` refuses `"5"`, as `new RegExp(5)` finds it.
#[derive(Clone, Debug)]
enum Denied {
    /// An expression without special characters, as most are: it is looked for in every key of every body.
    Word(String),
    Text(Pattern),
    Exactly(Value, Option<Pattern>),
}

impl Denied {
    fn new(value: &Value) -> Result<Self, Box<fancy_regex::Error>> {
        Ok(match (Pattern::source_of(value), value) {
            (_, Value::String(word)) if word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') => {
                Self::Word(word.clone())
            }
            (Some(source), _) => Self::Text(Pattern::new(&source)?),
            (None, Value::Array(_) | Value::Object(_)) => Self::Exactly(value.clone(), None),
            (None, other) => Self::Exactly(other.clone(), Some(Pattern::new(&other.to_string())?)),
        })
    }

    fn matches_text(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => text.contains(word.as_str()),
            Self::Text(pattern) | Self::Exactly(_, Some(pattern)) => {
                pattern.source() == text || pattern.refuses(text)
            }
            Self::Exactly(_, None) => false,
        }
    }
}

impl DeniedKeyword {
    /// Whether this key with a text as its value is refused.
    pub fn refuses_text(&self, key: &str, text: &str) -> bool {
        self.refuses(key, |value| value.matches_text(text))
    }

    /// Whether this key is refused with a value that is no text. Objects and arrays are equal to no
    /// entry, so `None` says that the value is one of them.
    pub fn refuses_scalar(&self, key: &str, scalar: Option<&Value>) -> bool {
        self.refuses(key, |value| match value {
            Denied::Exactly(exactly, _) => scalar == Some(exactly),
            Denied::Word(_) | Denied::Text(_) => false,
        })
    }

    /// Whether some value is refused under this key.
    pub fn looks_below(&self, key: &str) -> bool {
        self.key.as_ref().is_none_or(|denied| denied.matches_text(key))
    }

    fn refuses(&self, key: &str, value: impl Fn(&Denied) -> bool) -> bool {
        match (&self.key, &self.value) {
            (None, None) => false,
            (denied, wanted) => {
                denied.as_ref().is_none_or(|denied| denied.matches_text(key))
                    && wanted.as_ref().is_none_or(value)
            }
        }
    }

    pub(in crate::config) fn read_all(reader: Reader<'_>) -> Result<Vec<Self>, ConfigError> {
        let name = "requestKeywordDenylist";
        let value = reader.value(name);
        let message = "Parse Server option requestKeywordDenylist must be an array.";
        let list = value.as_deref().and_then(Value::as_array).ok_or_else(|| reader.fail(name, message))?;
        list.iter()
            .map(|entry| {
                let bad = || {
                    let message = "Parse Server option requestKeywordDenylist must contain objects with key, value or both, whose texts are regular expressions.";
                    reader.fail(name, message)
                };
                let object = entry.as_object().ok_or_else(bad)?;
                let part = |part: &str| object.get(part).map(Denied::new).transpose().map_err(|_| bad());
                Ok(Self { entry: entry.clone(), key: part("key")?, value: part("value")? })
            })
            .collect()
    }
}
