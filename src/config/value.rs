//! Values that may be functions, and regular expressions from the configuration.

use std::fmt;

use fancy_regex::{Regex, RegexBuilder};
use serde_json::Value;

/// A function of a JavaScript configuration; the number is what the Cloud Code process knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallbackId(pub u64);

impl CallbackId {
    /// Reads `{"__callback": n}`, the form in which a function arrives in the raw options.
    pub fn from_json(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        if object.len() != 1 {
            return None;
        }
        object.get("__callback")?.as_u64().map(Self)
    }
}

/// An option that a JavaScript configuration may give as a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue<T> {
    Value(T),
    Callback(CallbackId),
}

impl<T> OptionValue<T> {
    /// The value, unless it is a function.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Callback(_) => None,
        }
    }

    pub fn callback(&self) -> Option<CallbackId> {
        match self {
            Self::Value(_) => None,
            Self::Callback(id) => Some(*id),
        }
    }
}

impl OptionValue<bool> {
    /// Whether the feature is on at all: `true`, or a function that decides each time.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Value(false))
    }
}

/// Steps a backtracking pattern may take before it is given up.
const BACKTRACK_LIMIT: usize = 100_000;

/// A regular expression of the configuration, in JavaScript's dialect as far as look-around and
/// back-references go. A pattern that takes too many steps has no answer, so the caller says by the
/// choice of method which side is safe.
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
    source: String,
}

impl Pattern {
    /// # Errors
    /// The text is not a regular expression.
    pub fn new(source: &str) -> Result<Self, Box<fancy_regex::Error>> {
        Self::compile(source, source)
    }

    /// The same, but the pattern has to match the whole text (`^(?:…)$` around it).
    ///
    /// # Errors
    /// The text is not a regular expression.
    pub fn whole(source: &str) -> Result<Self, Box<fancy_regex::Error>> {
        Self::compile(source, &format!("^(?:{source})$"))
    }

    /// What a configuration gives as an expression: text, or one with flags as a JavaScript configuration hands it
    /// over, `{"__regexp": [source, flags]}`. `None` for anything else.
    pub fn source_of(value: &Value) -> Option<String> {
        let regexp = match value {
            Value::String(text) => return Some(text.clone()),
            other => other.get("__regexp")?,
        };
        let source = regexp.get(0)?.as_str()?;
        // JavaScript's other flags say nothing about whether there is a match.
        let flags: String = regexp.get(1)?.as_str()?.chars().filter(|flag| "ims".contains(*flag)).collect();
        Some(if flags.is_empty() { source.to_owned() } else { format!("(?{flags}){source}") })
    }

    fn compile(source: &str, regex: &str) -> Result<Self, Box<fancy_regex::Error>> {
        let regex = RegexBuilder::new(&with_plain_classes(regex)).backtrack_limit(BACKTRACK_LIMIT).build()?;
        Ok(Self { regex, source: source.to_owned() })
    }

    /// Whether it matches somewhere in `text`; no when that cannot be told. For lists of what is allowed.
    pub fn allows(&self, text: &str) -> bool {
        self.regex.is_match(text).unwrap_or(false)
    }

    /// Whether it matches somewhere in `text`; yes when that cannot be told. For lists of what is refused.
    pub fn refuses(&self, text: &str) -> bool {
        self.regex.is_match(text).unwrap_or(true)
    }

    /// The pattern as it stands in the configuration.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// JavaScript's classes of characters in the words of this engine, to which `[`, `&` and `~` in a class may mean
/// sets; `[]` and `[^]` are none and all.
fn with_plain_classes(source: &str) -> String {
    let mut written = String::with_capacity(source.len());
    let mut chars = source.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                written.push(c);
                written.extend(chars.next());
            }
            '[' if in_class => written.push_str(r"\["),
            '&' | '~' if in_class => {
                written.push('\\');
                written.push(c);
            }
            '[' => {
                let is_negated = chars.next_if_eq(&'^').is_some();
                if chars.next_if_eq(&']').is_some() {
                    written.push_str(if is_negated { r"[\s\S]" } else { r"[^\s\S]" });
                    continue;
                }
                written.push_str(if is_negated { "[^" } else { "[" });
                in_class = true;
            }
            ']' => {
                written.push(c);
                in_class = false;
            }
            _ => written.push(c),
        }
    }
    written
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.regex.as_str() == other.regex.as_str()
    }
}
