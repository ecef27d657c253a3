//! JavaScript regular expressions (with MongoDB's `imxsu` options and `\Q…\E`) rewritten for the
//! engines that run them: each says in its [`Dialect`] how it writes what JavaScript means.
//!
//! A pattern may begin with options of its own, `(?i)`, as MongoDB and PostgreSQL read them.
//!
//! One scanner writes all dialects, so that a pattern means the same in a query and in a live
//! query: `\d \w \s \b` are ASCII as in JavaScript, `.` stops at line ends unless `s` is given, `^`
//! and `$` look at lines only with `m`. What a dialect cannot say is refused, never approximated.
//!
//! The scanner reads each character once and counts, before anything is compiled, what the pattern would
//! cost ([`weight`]). A repetition needs something to repeat, so no pattern becomes one of PostgreSQL's
//! directors (`***=`, `***:`), which would choose another syntax.

mod class;
mod escape;
mod source;
mod weight;

use std::collections::HashMap;
use std::fmt::Write as _;

use self::source::{Char, group_names, leading_options, unquote};
use self::weight::Weight;
use super::RegexConstraint;
use crate::error::{Error, Result};
use crate::types::limits::MAX_REGEX_BYTES;

/// How an engine writes what is not written alike everywhere.
pub trait Dialect: Sync {
    /// The flag with which `^` and `$` look at lines.
    fn multi_line(&self) -> char;
    /// Any character but JavaScript's line terminators.
    fn any_but_line_ends(&self) -> &'static str;
    /// Any character at all, line ends included.
    fn any(&self) -> &'static str;
    /// Matches nothing.
    fn never(&self) -> &'static str;
    /// `\b`, or `\B` when not `at_edge`, of ASCII words.
    fn boundary(&self, at_edge: bool, out: &mut String);
    /// A character that is neither letter, digit nor `_`, inside a class.
    fn escape_in_class(&self, c: char, out: &mut String);
    /// Writes a class that has complements. Whether look-around was needed for it. Where a bracket expression holds
    /// no complements, alternatives or looks ahead say the same.
    fn class_with_complements(&self, set: &Set<'_>, out: &mut String) -> bool {
        let Some((last, others)) = set.complements.split_first() else { return false };
        if !set.negated {
            let mut branches: Vec<String> =
                set.complements.iter().map(|inner| format!("[^{inner}]")).collect();
            if !set.members.is_empty() {
                branches.push(format!("[{}]", set.members));
            }
            let _ = write!(out, "(?:{})", branches.join("|"));
            return false;
        }
        // Inside every named class, and outside the listed characters.
        out.push_str("(?:");
        if !set.members.is_empty() {
            let _ = write!(out, "(?![{}])", set.members);
        }
        for inner in others {
            let _ = write!(out, "(?=[{inner}])");
        }
        let _ = write!(out, "[{last}])");
        true
    }
    /// Whether back-references may stand beside groups that are captured inside look-around.
    fn refers_to_groups_inside_looks(&self) -> bool;
}

/// The members of a class, in the dialect: what is listed, and the sets whose complements are.
pub struct Set<'a> {
    pub negated: bool,
    pub members: &'a str,
    pub complements: &'a [String],
}

/// A pattern in the wanted dialect, options embedded at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    pub pattern: String,
    /// Look-around or back-references: beyond Rust's linear-time engine.
    pub needs_backtracking: bool,
    /// Back-references: engines that are quick otherwise try every way of cutting a text.
    pub refers_back: bool,
}

/// The characters of a word, as the members of a class.
pub const WORD: &str = "A-Za-z0-9_";
const DIGIT: &str = "0-9";
/// JavaScript's white space and line terminators.
const SPACE: &[(char, char)] = &[
    ('\t', '\r'),
    (' ', ' '),
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{feff}', '\u{feff}'),
];
/// Largest repetition that every engine counts to.
const MAX_REPEAT: u32 = 255;

fn refuse(reason: &str) -> Error {
    Error::invalid_query(format!("$regex is not supported: {reason}"))
}

/// # Errors
/// 102 for a pattern that is too long to be looked at.
pub fn check_length(pattern: &str) -> Result<()> {
    if pattern.len() > MAX_REGEX_BYTES {
        return Err(Error::invalid_query(format!("$regex must not exceed {MAX_REGEX_BYTES} bytes")));
    }
    Ok(())
}

/// # Errors
/// 102 when the pattern is not valid JavaScript or cannot be said in the dialect.
pub fn translate(regex: &RegexConstraint, dialect: &dyn Dialect) -> Result<Translated> {
    check_length(&regex.pattern)?;
    let mut chars = unquote(&regex.pattern);
    let mut options = regex.options.clone();
    if let Some((leading, length)) = leading_options(&chars) {
        options.push_str(&leading);
        chars.drain(..length);
    }
    let mut scanner = Scanner {
        names: group_names(&chars),
        chars,
        at: 0,
        out: String::with_capacity(regex.pattern.len() + 16),
        dialect,
        dot_all: options.contains('s'),
        extended: options.contains('x'),
        unicode: options.contains('u'),
        weight: Weight::new(),
        group_count: 0,
        looks: false,
        looks_capture: false,
        back_references: false,
    };
    let mut flags = String::new();
    if options.contains('i') {
        flags.push('i');
    }
    if options.contains('m') {
        flags.push(dialect.multi_line());
    }
    if !flags.is_empty() {
        let _ = write!(scanner.out, "(?{flags})");
    }
    scanner.run()?;
    if scanner.back_references && scanner.looks_capture && !dialect.refers_to_groups_inside_looks() {
        return Err(refuse("back-references together with groups inside look-around"));
    }
    Ok(Translated {
        needs_backtracking: scanner.looks || scanner.back_references,
        refers_back: scanner.back_references,
        pattern: scanner.out,
    })
}

struct Scanner<'d> {
    chars: Vec<Char>,
    at: usize,
    out: String,
    dialect: &'d dyn Dialect,
    dot_all: bool,
    extended: bool,
    unicode: bool,
    names: HashMap<String, usize>,
    weight: Weight,
    group_count: usize,
    looks: bool,
    looks_capture: bool,
    back_references: bool,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        match self.chars.get(self.at + ahead) {
            Some(Char::Plain(c)) => Some(*c),
            _ => None,
        }
    }

    fn run(&mut self) -> Result<()> {
        while let Some(next) = self.chars.get(self.at).copied() {
            self.at += 1;
            match next {
                Char::Quoted(c) => self.literal(c)?,
                Char::Plain(c) => self.plain(c)?,
            }
        }
        if self.weight.is_closed() { Ok(()) } else { Err(refuse("a group is not closed")) }
    }

    fn plain(&mut self, c: char) -> Result<()> {
        match c {
            '\\' => return self.escape(),
            '[' => return self.class(),
            '(' => return self.open(),
            ')' => {
                self.weight.close()?;
                self.out.push(')');
            }
            '.' => {
                self.weight.character()?;
                let dot = if self.dot_all { self.dialect.any() } else { self.dialect.any_but_line_ends() };
                self.out.push_str(dot);
            }
            '|' => {
                self.weight.alternative()?;
                self.out.push(c);
            }
            '^' | '$' => {
                self.weight.assertion(weight::ASSERTION)?;
                self.out.push(c);
            }
            '*' => return self.repetition("*", 0, None),
            '+' => return self.repetition("+", 1, None),
            '?' => return self.repetition("?", 0, Some(1)),
            '{' => return self.repeat(),
            '#' if self.extended => {
                while let Some(next) = self.chars.get(self.at) {
                    self.at += 1;
                    if *next == Char::Plain('\n') {
                        break;
                    }
                }
            }
            c if self.extended && c.is_whitespace() => {}
            c => return self.literal(c),
        }
        Ok(())
    }

    fn literal(&mut self, c: char) -> Result<()> {
        if c == '\0' {
            return Err(refuse("the NUL character"));
        }
        self.weight.character()?;
        if r"\.+*?()|[]{}^$".contains(c) {
            self.out.push('\\');
        }
        self.out.push(c);
        Ok(())
    }

    /// Writes a repetition of what stands before it, and the question mark that makes it lazy.
    fn repetition(&mut self, text: &str, low: u64, high: Option<u64>) -> Result<()> {
        self.weight.repeat(low, high)?;
        self.out.push_str(text);
        if self.peek(0) == Some('?') {
            self.at += 1;
            self.out.push('?');
        }
        Ok(())
    }

    /// `{n}`, `{n,}`, `{n,m}`; any other brace is a literal.
    fn repeat(&mut self) -> Result<()> {
        let mut ahead = 0;
        let mut body = String::new();
        while let Some(c) = self.peek(ahead) {
            ahead += 1;
            if c == '}' {
                break;
            }
            body.push(c);
            if body.len() > 12 {
                break;
            }
        }
        let (low, high) = body.split_once(',').unwrap_or((&body, &body));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let closed = ahead > 0 && self.peek(ahead - 1) == Some('}');
        if !closed || low.is_empty() || !digits(low) || !digits(high) {
            return self.literal('{');
        }
        let bound = |text: &str| match text.parse::<u32>() {
            Ok(n) if n <= MAX_REPEAT => Ok(u64::from(n)),
            _ => Err(refuse("a repetition of more than 255")),
        };
        let least = bound(low)?;
        let most = if high.is_empty() { None } else { Some(bound(high)?) };
        if most.is_some_and(|most| most < least) {
            return Err(refuse("a repetition whose bounds are out of order"));
        }
        self.at += ahead;
        self.repetition(&format!("{{{body}}}"), least, most)
    }

    fn open(&mut self) -> Result<()> {
        if self.peek(0) != Some('?') {
            return self.capture();
        }
        let (text, skip) = match (self.peek(1), self.peek(2)) {
            (Some(':'), _) => {
                self.weight.open(false)?;
                self.out.push_str("(?:");
                self.at += 2;
                return Ok(());
            }
            (Some('='), _) => ("(?=", 2),
            (Some('!'), _) => ("(?!", 2),
            (Some('<'), Some('=')) => ("(?<=", 3),
            (Some('<'), Some('!')) => ("(?<!", 3),
            (Some('<'), _) => {
                let close =
                    (2..).take_while(|n| self.peek(*n).is_some()).find(|n| self.peek(*n) == Some('>'));
                let Some(close) = close else { return Err(refuse("a group name is not closed")) };
                self.at += close + 1;
                return self.capture();
            }
            _ => return Err(refuse("an unknown kind of group")),
        };
        self.out.push_str(text);
        self.at += skip;
        self.looks = true;
        self.weight.open(true)?;
        Ok(())
    }

    fn capture(&mut self) -> Result<()> {
        self.group_count += 1;
        self.looks_capture |= self.weight.is_inside_look();
        self.weight.open(false)?;
        self.out.push('(');
        Ok(())
    }
}
