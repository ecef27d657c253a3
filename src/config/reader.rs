//! [`Reader`]: typed access to a group of raw options, with the table's defaults and exact errors.
//! The sections are built with it, once, at the start.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::error::ConfigError;
use super::secret::Secret;
use super::table::{self, Group, OptionDef};
use super::value::{CallbackId, OptionValue};

type Result<T> = std::result::Result<T, ConfigError>;

/// Reads one level of options: the top, or one group.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    raw: Option<&'a Map<String, Value>>,
    group: Option<&'static Group>,
}

impl<'a> Reader<'a> {
    pub fn new(raw: &'a Map<String, Value>) -> Self {
        Self { raw: Some(raw), group: None }
    }

    /// A reader of one object of a list such as `rateLimit`.
    pub fn of_item(group: &'static Group, raw: &'a Map<String, Value>) -> Self {
        Self { raw: Some(raw), group: Some(group) }
    }

    fn def(&self, name: &str) -> Option<&'static OptionDef> {
        match self.group {
            Some(group) => group.find(name),
            None => table::find(name),
        }
    }

    pub fn path(&self, name: &str) -> String {
        match self.group {
            Some(group) => format!("{}.{name}", group.name),
            None => name.to_owned(),
        }
    }

    /// What was set; null counts as not set.
    pub fn raw(&self, name: &str) -> Option<&'a Value> {
        self.raw?.get(name).filter(|value| !value.is_null())
    }

    /// What was set, null included.
    pub fn given(&self, name: &str) -> Option<&'a Value> {
        self.raw?.get(name)
    }

    /// What was set, else the default.
    pub fn value(&self, name: &str) -> Option<Cow<'a, Value>> {
        debug_assert!(self.def(name).is_some(), "{} is not in the option table", self.path(name));
        match self.raw(name) {
            Some(value) => Some(Cow::Borrowed(value)),
            None => self.def(name)?.default_value().map(Cow::Owned),
        }
    }

    pub fn fail(&self, name: &str, message: impl Into<String>) -> ConfigError {
        ConfigError::new(&self.path(name), message, self.raw(name))
    }

    fn wrong_type(&self, name: &str, wanted: &str) -> ConfigError {
        self.fail(name, format!("Parse Server option {} must be {wanted}.", self.path(name)))
    }

    pub fn bool(&self, name: &str) -> Result<bool> {
        self.bool_or(name, || self.wrong_type(name, "a boolean"))
    }

    /// A boolean whose error has a text of its own.
    pub fn bool_saying(&self, name: &str, message: &str) -> Result<bool> {
        self.bool_or(name, || self.fail(name, message))
    }

    fn bool_or(&self, name: &str, error: impl Fn() -> ConfigError) -> Result<bool> {
        match self.value(name).as_deref() {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(error()),
        }
    }

    /// A boolean or a function.
    pub fn callable_bool(&self, name: &str) -> Result<OptionValue<bool>> {
        match self.callback(name) {
            Some(id) => Ok(OptionValue::Callback(id)),
            None => self
                .bool_or(name, || self.wrong_type(name, "a boolean or a function"))
                .map(OptionValue::Value),
        }
    }

    pub fn callback(&self, name: &str) -> Option<CallbackId> {
        self.raw(name).and_then(CallbackId::from_json)
    }

    pub fn text(&self, name: &str) -> Result<Option<String>> {
        match self.value(name).as_deref() {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value.clone())),
            Some(_) => Err(self.wrong_type(name, "a string")),
        }
    }

    /// Text that an option with a default always has.
    pub fn required_text(&self, name: &str) -> Result<String> {
        self.text(name).map(Option::unwrap_or_default)
    }

    /// A secret; empty text counts as not set.
    pub fn secret(&self, name: &str) -> Result<Option<Secret<String>>> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()).map(Secret::new))
    }

    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        match self.value(name).as_deref() {
            None => Ok(None),
            Some(Value::Number(value)) => Ok(value.as_f64()),
            Some(_) => Err(self.wrong_type(name, "a number")),
        }
    }

    /// A whole number of at least `least`.
    pub fn whole(&self, name: &str, least: u64) -> Result<Option<u64>> {
        let Some(value) = self.number(name)? else { return Ok(None) };
        // 2^53: beyond it JSON numbers are no longer exact.
        if value.fract() != 0.0 || value < least as f64 || value > 9_007_199_254_740_992.0 {
            return Err(self.wrong_type(name, &format!("a whole number of at least {least}")));
        }
        Ok(Some(value as u64))
    }

    /// A whole number that an option with a default always has.
    pub fn required_whole(&self, name: &str, least: u64) -> Result<u64> {
        self.whole(name, least).map(Option::unwrap_or_default)
    }

    /// A list of texts; empty when not set and without default.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        self.texts_saying(
            name,
            &format!("Parse Server option {} must be an array of strings.", self.path(name)),
        )
    }

    pub fn texts_saying(&self, name: &str, message: &str) -> Result<Vec<String>> {
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| self.fail(name, message))?;
        list.iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| self.fail(name, message)))
            .collect()
    }

    pub fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.object_saying(name, &format!("Parse Server option {} must be an object.", self.path(name)))
    }

    pub fn object_saying(&self, name: &str, message: &str) -> Result<Option<&'a Map<String, Value>>> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(self.fail(name, message)),
        }
    }

    /// The options below `name`; all defaults when it is not set.
    pub fn group(&self, name: &str) -> Result<Reader<'a>> {
        let message = format!("Parse Server option {} must be an object.", self.path(name));
        self.group_saying(name, &message)
    }

    /// The options below `name`, which may also be `true`: all defaults.
    pub fn group_or_flag(&self, name: &str) -> Result<Reader<'a>> {
        match self.raw(name) {
            Some(Value::Bool(_)) => {
                Ok(Reader { raw: None, group: self.def(name).and_then(|option| option.group) })
            }
            _ => self.group(name),
        }
    }

    pub fn group_saying(&self, name: &str, message: &str) -> Result<Reader<'a>> {
        let raw = self.object_saying(name, message)?;
        Ok(Reader { raw, group: self.def(name).and_then(|option| option.group) })
    }

    /// Every key that was set, for the groups that allow no others.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.raw.into_iter().flat_map(|map| map.keys().map(String::as_str))
    }

    pub fn is_set(&self) -> bool {
        self.raw.is_some()
    }
}
