//! [`Secret`]: a value that is compared in constant time and never printed.

use std::fmt;

use subtle::ConstantTimeEq;

/// Keys, passwords, URLs with passwords. `Debug` and `Display` show `<redacted>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: for the place that needs it, never for a message.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: AsRef<str>> Secret<T> {
    /// Whether `candidate` is the secret, in a time that tells nothing about where they differ.
    pub fn matches(&self, candidate: &str) -> bool {
        self.0.as_ref().as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}
