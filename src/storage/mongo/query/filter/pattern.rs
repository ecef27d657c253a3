//! Regular expressions in the syntax of MongoDB's engine.

use std::fmt::Write as _;

use crate::query::RegexConstraint;
use crate::query::regex::{Dialect, WORD, translate};
use crate::storage::{StorageError, StorageResult};

/// Perl's syntax as MongoDB's engine reads it, in words that others read alike.
struct Pcre;

impl Dialect for Pcre {
    fn multi_line(&self) -> char {
        'm'
    }

    fn any_but_line_ends(&self) -> &'static str {
        "[^\n\r\u{2028}\u{2029}]"
    }

    fn any(&self) -> &'static str {
        r"[\s\S]"
    }

    fn never(&self) -> &'static str {
        r"(?!)"
    }

    fn boundary(&self, at_edge: bool, out: &mut String) {
        let (first, second) = if at_edge { ("!", "=") } else { ("=", "!") };
        let _ = write!(out, "(?:(?<=[{WORD}])(?{first}[{WORD}])|(?<![{WORD}])(?{second}[{WORD}]))");
    }

    fn escape_in_class(&self, c: char, out: &mut String) {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }

    fn refers_to_groups_inside_looks(&self) -> bool {
        true
    }
}

/// # Errors
/// `Refused` (102) for what is no expression.
pub fn regex(regex: &RegexConstraint) -> StorageResult<String> {
    Ok(translate(regex, &Pcre).map_err(StorageError::Refused)?.pattern)
}

/// The text itself, as an expression.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_ascii_punctuation() && c != '_' {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
