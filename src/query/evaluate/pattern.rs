//! Regular expressions of a filter, compiled once. Patterns without look-around and back-references
//! run in linear time; the others with a bound on backtracking and on the text, beyond which they do not match.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::query::regex::{Dialect, Set, translate};
use crate::query::{Constraint, Filter, RegexConstraint};

/// Steps of the backtracking engine before it gives up.
const BACKTRACK_LIMIT: usize = 10_000;
/// Bytes of the longest text that it is tried on: one step, as a look at what is ahead, may read all of it. Both
/// together are a tenth of a second, as `regexTimeout` is in parse-server.
const LONGEST_TEXT: usize = 4 * 1024;
/// Bytes a compiled pattern may take.
const SIZE_LIMIT: usize = 1 << 20;
/// Bytes of what a compiled pattern keeps while it matches.
const CACHE_LIMIT: usize = 1 << 18;
/// Bytes of a usual one.
const SMALL: usize = 1 << 13;

/// The syntax of `regex` and `fancy-regex`.
pub struct Rust;

impl Dialect for Rust {
    fn multi_line(&self) -> char {
        'm'
    }

    fn any_but_line_ends(&self) -> &'static str {
        r"[^\n\r\x{2028}\x{2029}]"
    }

    fn any(&self) -> &'static str {
        "(?s:.)"
    }

    fn never(&self) -> &'static str {
        r"[^\s\S]"
    }

    fn boundary(&self, at_edge: bool, out: &mut String) {
        out.push_str(if at_edge { r"(?-u:\b)" } else { r"(?-u:\B)" });
    }

    fn escape_in_class(&self, c: char, out: &mut String) {
        let _ = write!(out, r"\x{{{:x}}}", u32::from(c));
    }

    fn class_with_complements(&self, set: &Set<'_>, out: &mut String) -> bool {
        let nested: String = set.complements.iter().map(|inner| format!("[^{inner}]")).collect();
        let _ = write!(out, "[{}{}{nested}]", if set.negated { "^" } else { "" }, set.members);
        false
    }

    fn refers_to_groups_inside_looks(&self) -> bool {
        true
    }
}

#[derive(Debug)]
enum Compiled {
    Linear(regex::Regex),
    Backtracking(fancy_regex::Regex),
    /// Refused or too large: matches nothing.
    Never,
}

#[derive(Debug, Default)]
pub(crate) struct Regexes(HashMap<(String, String), Compiled>);

impl Regexes {
    pub(super) fn of(filter: &Filter) -> Self {
        let mut regexes = Self::default();
        regexes.collect(filter);
        regexes
    }

    fn collect(&mut self, filter: &Filter) {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                parts.iter().for_each(|part| self.collect(part));
            }
            Filter::Field { constraints, .. } => {
                for constraint in constraints {
                    if let Constraint::Regex(regex) = constraint {
                        let key = (regex.pattern.clone(), regex.options.clone());
                        self.0.entry(key).or_insert_with(|| compile(regex));
                    }
                }
            }
            Filter::RelatedTo(_) => {}
        }
    }

    /// A pattern that can match nothing, because it is none.
    pub(super) fn broken(&self) -> Option<&str> {
        let broken = self.0.iter().find(|(_, compiled)| matches!(compiled, Compiled::Never));
        broken.map(|((pattern, _), _)| pattern.as_str())
    }

    /// Bytes they take, roughly.
    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(|((pattern, _), compiled)| 2 * pattern.len() + weight(compiled)).sum()
    }

    pub(super) fn is_match(&self, regex: &RegexConstraint, text: &str) -> bool {
        match self.0.get(&(regex.pattern.clone(), regex.options.clone())) {
            Some(Compiled::Linear(compiled)) => compiled.is_match(text),
            Some(Compiled::Backtracking(compiled)) => {
                text.len() <= LONGEST_TEXT && compiled.is_match(text).unwrap_or(false)
            }
            Some(Compiled::Never) | None => false,
        }
    }
}

/// The smallest of a few bounds that the expression keeps to: a short pattern may take a lot.
fn weight(compiled: &Compiled) -> usize {
    let Compiled::Linear(regex) = compiled else { return SMALL };
    let fits = |limit: &usize| regex::RegexBuilder::new(regex.as_str()).size_limit(*limit).build().is_ok();
    [SMALL, 8 * SMALL, 32 * SMALL].into_iter().find(fits).unwrap_or(SIZE_LIMIT)
}

fn compile(regex: &RegexConstraint) -> Compiled {
    let Ok(translated) = translate(regex, &Rust) else { return Compiled::Never };
    if !translated.needs_backtracking {
        let compiled = regex::RegexBuilder::new(&translated.pattern)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(CACHE_LIMIT)
            .build();
        return compiled.map_or(Compiled::Never, Compiled::Linear);
    }
    fancy_regex::RegexBuilder::new(&translated.pattern)
        .backtrack_limit(BACKTRACK_LIMIT)
        .delegate_size_limit(SIZE_LIMIT)
        .build()
        .map_or(Compiled::Never, Compiled::Backtracking)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::types::FieldName;

    #[test]
    fn looking_ahead_from_every_place_of_a_long_text_ends() {
        let regex = RegexConstraint { pattern: "(?=.*b)c".to_owned(), options: String::new() };
        let filter = Filter::field(FieldName::known("text"), Constraint::Regex(regex.clone()));
        let regexes = Regexes::of(&filter);
        assert!(regexes.is_match(&regex, "a cb"));
        let begun = Instant::now();
        assert!(!regexes.is_match(&regex, &"a".repeat(20_000_000)));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
