//! One entry of the option `auth`, as the built-in providers read it.

use chrono::TimeDelta;
use serde_json::Value;

use super::env::text;
use super::openid::keys::DEFAULT_AGE;
use crate::types::Object;

/// The settings of one provider; empty where the app has none.
pub struct Settings<'a> {
    /// The provider's name, as users have it in `authData`.
    pub name: &'a str,
    entry: Option<&'a Value>,
    /// Option `enableInsecureAuthAdapters`.
    pub insecure_adapters: bool,
}

impl<'a> Settings<'a> {
    pub fn new(name: &'a str, entry: Option<&'a Value>, insecure_adapters: bool) -> Self {
        Self { name, entry: entry.filter(|entry| !entry.is_null()), insecure_adapters }
    }

    /// Whether there is an entry at all.
    pub fn is_given(&self) -> bool {
        self.entry.is_some()
    }

    /// The entries of a provider that may have several.
    pub fn entries(&self) -> &'a [Value] {
        match self.entry {
            Some(Value::Array(all)) => all,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        }
    }

    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.entry?.get(key).filter(|value| !value.is_null())
    }

    pub fn object(&self, key: &str) -> Option<&'a Object> {
        self.value(key)?.as_object()
    }

    /// A text that is not empty.
    pub fn text(&self, key: &str) -> Option<String> {
        text(self.value(key))
    }

    /// Texts of a list, or the one text there is.
    pub fn texts(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Value::Array(all)) => all.iter().filter_map(|one| text(Some(one))).collect(),
            one => text(one).into_iter().collect(),
        }
    }

    pub fn is_on(&self, key: &str) -> bool {
        self.value(key) == Some(&Value::Bool(true))
    }

    /// A number of seconds above 0.
    pub fn seconds(&self, key: &str) -> Option<TimeDelta> {
        let given = self.value(key).and_then(Value::as_f64).filter(|seconds| *seconds > 0.0);
        given.and_then(|seconds| TimeDelta::try_milliseconds((seconds * 1000.0) as i64))
    }

    /// `enableInsecureAuth`: tokens of which nobody knows for whom they were made count.
    pub fn allows_insecure(&self) -> bool {
        self.is_on("enableInsecureAuth")
    }

    /// `cacheMaxAge`, in milliseconds.
    pub fn key_age(&self) -> TimeDelta {
        let given = self.value("cacheMaxAge").and_then(Value::as_i64).filter(|age| *age > 0);
        given.and_then(TimeDelta::try_milliseconds).unwrap_or(DEFAULT_AGE)
    }
}
