//! Regular expressions in PostgreSQL's own syntax (ARE).

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::query::RegexConstraint;
use crate::query::regex::{Dialect, WORD, translate};
use crate::storage::postgres::sql::Sql;
use crate::storage::{StorageError, StorageResult};

/// Advanced regular expressions, as `~` reads them.
pub struct Are;

impl Dialect for Are {
    fn multi_line(&self) -> char {
        'w'
    }

    fn any_but_line_ends(&self) -> &'static str {
        r"[^\n\r\u2028\u2029]"
    }

    /// PostgreSQL's own dot crosses lines in the modes we use.
    fn any(&self) -> &'static str {
        "."
    }

    fn never(&self) -> &'static str {
        "(?!)"
    }

    fn boundary(&self, at_edge: bool, out: &mut String) {
        let (first, second) = if at_edge { ("!", "=") } else { ("=", "!") };
        let _ = write!(out, "(?:(?<=[{WORD}])(?{first}[{WORD}])|(?<![{WORD}])(?{second}[{WORD}]))");
    }

    fn escape_in_class(&self, c: char, out: &mut String) {
        let code = u32::from(c);
        let _ = if code > 0xffff { write!(out, r"\U{code:08x}") } else { write!(out, r"\u{code:04x}") };
    }

    fn refers_to_groups_inside_looks(&self) -> bool {
        false
    }
}

/// ` ~ $1`, the pattern translated.
///
/// # Errors
/// `Refused`, 102.
pub fn push_regex(sql: &mut Sql, regex: &RegexConstraint) -> StorageResult<()> {
    let translated = translate(regex, &Are).map_err(StorageError::Refused)?;
    sql.push_sql(" ~ ");
    sql.push_text(translated.pattern);
    if translated.refers_back {
        sql.hurry();
    }
    Ok(())
}
