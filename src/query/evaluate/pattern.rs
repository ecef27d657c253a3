//! Regular expressions of a filter, compiled once. Patterns without look-around and back-references
//! run in linear time; the others with a bound on backtracking, after which they do not match.

use std::collections::HashMap;

use crate::query::regex::{Dialect, translate};
use crate::query::{Constraint, Filter, RegexConstraint};

/// Steps of the backtracking engine before it gives up.
const BACKTRACK_LIMIT: usize = 100_000;
/// Bytes a compiled pattern may take.
const SIZE_LIMIT: usize = 1 << 20;
/// Bytes of what a compiled pattern keeps while it matches.
const CACHE_LIMIT: usize = 1 << 18;
/// Bytes of a usual one.
const SMALL: usize = 1 << 13;

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
            Some(Compiled::Backtracking(compiled)) => compiled.is_match(text).unwrap_or(false),
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
    let Ok(translated) = translate(regex, Dialect::Rust) else { return Compiled::Never };
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
