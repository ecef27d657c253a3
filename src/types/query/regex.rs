//! JavaScript regular expressions (with MongoDB's `imxsu` options and `\Q…\E`) rewritten for the
//! engines that run them: PostgreSQL's ARE, and Rust's `regex` or `fancy-regex` in memory.
//!
//! One scanner writes both dialects, so that a pattern means the same in a query and in a live
//! query: `\d \w \s \b` are ASCII as in JavaScript, `.` stops at line ends unless `s` is given, `^`
//! and `$` look at lines only with `m`. What a dialect cannot say is refused, never approximated.

mod class;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use super::RegexConstraint;
use crate::error::{Error, Result};

/// Who will run the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    Rust,
}

/// A pattern in the wanted dialect, options embedded at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    pub pattern: String,
    /// Look-around or back-references: beyond Rust's linear-time engine.
    pub needs_backtracking: bool,
}

const WORD: &str = "A-Za-z0-9_";
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
/// Largest repetition PostgreSQL can count to.
const MAX_REPEAT: u32 = 255;

fn refuse(reason: &str) -> Error {
    Error::invalid_query(format!("$regex is not supported: {reason}"))
}

/// # Errors
/// 102 when the pattern is not valid JavaScript or cannot be said in the dialect.
pub fn translate(regex: &RegexConstraint, dialect: Dialect) -> Result<Translated> {
    let chars = unquote(&regex.pattern);
    let mut scanner = Scanner {
        names: group_names(&chars),
        chars,
        at: 0,
        out: String::with_capacity(regex.pattern.len() + 16),
        dialect,
        dot_all: regex.options.contains('s'),
        extended: regex.options.contains('x'),
        unicode: regex.options.contains('u'),
        groups: Vec::new(),
        group_count: 0,
        looks: false,
        looks_capture: false,
        back_references: false,
    };
    let mut flags = String::new();
    if regex.options.contains('i') {
        flags.push('i');
    }
    if regex.options.contains('m') {
        flags.push(if dialect == Dialect::Postgres { 'w' } else { 'm' });
    }
    if !flags.is_empty() {
        let _ = write!(scanner.out, "(?{flags})");
    }
    scanner.run()?;
    if scanner.back_references && scanner.looks_capture && dialect == Dialect::Postgres {
        return Err(refuse("back-references together with groups inside look-around"));
    }
    Ok(Translated { needs_backtracking: scanner.looks || scanner.back_references, pattern: scanner.out })
}

/// One character of the pattern; quoted ones stand for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Char {
    Plain(char),
    Quoted(char),
}

/// Resolves `\Q…\E`; an unfinished quotation reaches to the end.
fn unquote(pattern: &str) -> Vec<Char> {
    let mut out = Vec::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    let mut quoting = false;
    while let Some(c) = rest.next() {
        if c == '\\' {
            match rest.peek() {
                Some('Q') if !quoting => {
                    rest.next();
                    quoting = true;
                    continue;
                }
                Some('E') => {
                    rest.next();
                    quoting = false;
                    continue;
                }
                Some(&next) if !quoting => {
                    rest.next();
                    out.extend([Char::Plain('\\'), Char::Plain(next)]);
                    continue;
                }
                _ => {}
            }
        }
        out.push(if quoting { Char::Quoted(c) } else { Char::Plain(c) });
    }
    out
}

/// Names of capturing groups by number; `None` for groups without one.
fn group_names(chars: &[Char]) -> Vec<Option<String>> {
    let mut names = Vec::new();
    let mut at = 0;
    let mut in_class = false;
    let plain = |at: usize| match chars.get(at) {
        Some(Char::Plain(c)) => Some(*c),
        _ => None,
    };
    while at < chars.len() {
        match plain(at) {
            Some('\\') => at += 1,
            Some('[') => in_class = true,
            Some(']') => in_class = false,
            Some('(') if !in_class => {
                if plain(at + 1) != Some('?') {
                    names.push(None);
                } else if plain(at + 2) == Some('<') && !matches!(plain(at + 3), Some('=' | '!')) {
                    let name = (at + 3..).map_while(plain).take_while(|c| *c != '>').collect();
                    names.push(Some(name));
                }
            }
            _ => {}
        }
        at += 1;
    }
    names
}

struct Scanner {
    chars: Vec<Char>,
    at: usize,
    out: String,
    dialect: Dialect,
    dot_all: bool,
    extended: bool,
    unicode: bool,
    names: Vec<Option<String>>,
    /// Open groups; true for look-around.
    groups: Vec<bool>,
    group_count: usize,
    looks: bool,
    looks_capture: bool,
    back_references: bool,
}

impl Scanner {
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
        if self.groups.is_empty() { Ok(()) } else { Err(refuse("a group is not closed")) }
    }

    fn plain(&mut self, c: char) -> Result<()> {
        match c {
            '\\' => return self.escape(),
            '[' => return self.class(),
            '(' => return self.open(),
            ')' => {
                if self.groups.pop().is_none() {
                    return Err(refuse("a group is closed that was not opened"));
                }
                self.out.push(')');
            }
            '.' if self.dot_all => self.any(),
            '.' => self.out.push_str(match self.dialect {
                Dialect::Postgres => r"[^\n\r\u2028\u2029]",
                Dialect::Rust => r"[^\n\r\x{2028}\x{2029}]",
            }),
            '|' | '^' | '$' | '*' | '+' | '?' => self.out.push(c),
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

    /// Any character at all, line ends included.
    fn any(&mut self) {
        // PostgreSQL's own dot crosses lines in the modes we use.
        self.out.push_str(if self.dialect == Dialect::Postgres { "." } else { "(?s:.)" });
    }

    fn never(&mut self) {
        self.out.push_str(if self.dialect == Dialect::Postgres { "(?!)" } else { r"[^\s\S]" });
    }

    fn literal(&mut self, c: char) -> Result<()> {
        if c == '\0' {
            return Err(refuse("the NUL character"));
        }
        if r"\.+*?()|[]{}^$".contains(c) {
            self.out.push('\\');
        }
        self.out.push(c);
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
        for bound in [low, high] {
            if !bound.is_empty() && bound.parse::<u32>().map_or(true, |n| n > MAX_REPEAT) {
                return Err(refuse("a repetition of more than 255"));
            }
        }
        let _ = write!(self.out, "{{{body}}}");
        self.at += ahead;
        Ok(())
    }

    fn open(&mut self) -> Result<()> {
        if self.peek(0) != Some('?') {
            return self.capture();
        }
        let (text, skip) = match (self.peek(1), self.peek(2)) {
            (Some(':'), _) => {
                self.groups.push(false);
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
        self.groups.push(true);
        Ok(())
    }

    fn capture(&mut self) -> Result<()> {
        self.group_count += 1;
        self.looks_capture |= self.groups.contains(&true);
        self.groups.push(false);
        self.out.push('(');
        Ok(())
    }

    fn escape(&mut self) -> Result<()> {
        let Some(c) = self.peek(0) else { return Err(refuse("it ends with a backslash")) };
        match c {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                self.at += 1;
                let set = self.shorthand_set(c.to_ascii_lowercase());
                let not = if c.is_ascii_uppercase() { "^" } else { "" };
                let _ = write!(self.out, "[{not}{set}]");
                Ok(())
            }
            'b' | 'B' => {
                self.at += 1;
                self.boundary(c == 'b');
                Ok(())
            }
            '1'..='9' => self.back_reference(),
            'k' if self.names.iter().any(Option::is_some) => self.named_reference(),
            _ => {
                let literal = self.escaped_char()?;
                self.literal(literal)
            }
        }
    }

    fn boundary(&mut self, at_edge: bool) {
        match (self.dialect, at_edge) {
            (Dialect::Rust, true) => self.out.push_str(r"(?-u:\b)"),
            (Dialect::Rust, false) => self.out.push_str(r"(?-u:\B)"),
            (Dialect::Postgres, at_edge) => {
                let (first, second) = if at_edge { ("!", "=") } else { ("=", "!") };
                let _ =
                    write!(self.out, "(?:(?<=[{WORD}])(?{first}[{WORD}])|(?<![{WORD}])(?{second}[{WORD}]))");
            }
        }
    }

    fn back_reference(&mut self) -> Result<()> {
        let mut digits = String::new();
        while let Some(c @ '0'..='9') = self.peek(0) {
            digits.push(c);
            self.at += 1;
        }
        self.reference_to(digits.parse().unwrap_or(usize::MAX))
    }

    fn named_reference(&mut self) -> Result<()> {
        self.at += 1;
        let mut name = String::new();
        if self.peek(0) == Some('<') {
            self.at += 1;
            while let Some(c) = self.peek(0) {
                self.at += 1;
                if c == '>' {
                    break;
                }
                name.push(c);
            }
        }
        let index = self.names.iter().position(|known| known.as_deref() == Some(&name));
        self.reference_to(index.map_or(usize::MAX, |index| index + 1))
    }

    fn reference_to(&mut self, group: usize) -> Result<()> {
        if group > self.group_count {
            return Err(refuse("a reference to a group that does not stand before it"));
        }
        self.back_references = true;
        let _ = write!(self.out, r"(?:\{group})");
        Ok(())
    }

    /// The character after a backslash, where it stands for one character.
    fn escaped_char(&mut self) -> Result<char> {
        let Some(next) = self.chars.get(self.at).copied() else {
            return Err(refuse("it ends with a backslash"));
        };
        self.at += 1;
        let (Char::Plain(c) | Char::Quoted(c)) = next;
        Ok(match c {
            't' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            '0' => '\0',
            'c' => match self.peek(0) {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    self.at += 1;
                    char::from(letter as u8 % 32)
                }
                _ => return Err(refuse("a bad control escape")),
            },
            'x' => self.hex(2).unwrap_or('x'),
            'u' if self.peek(0) == Some('{') && self.unicode => self.braced_hex()?,
            'u' => self.utf16()?,
            'p' | 'P' if self.unicode => return Err(refuse("Unicode property escapes")),
            other => other,
        })
    }

    fn hex_value(&self, ahead: usize, digits: usize) -> Option<u32> {
        (0..digits).try_fold(0, |value, n| Some(value * 16 + self.peek(ahead + n)?.to_digit(16)?))
    }

    fn hex(&mut self, digits: usize) -> Option<char> {
        let value = self.hex_value(0, digits)?;
        self.at += digits;
        char::from_u32(value)
    }

    fn braced_hex(&mut self) -> Result<char> {
        let bad = || refuse("a bad \\u escape");
        let mut value = 0_u32;
        self.at += 1;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            if c == '}' {
                return char::from_u32(value).ok_or_else(bad);
            }
            value = c.to_digit(16).filter(|_| value < 0x0100_0000).map(|d| value * 16 + d).ok_or_else(bad)?;
        }
        Err(bad())
    }

    /// `\uXXXX`, two of them for a surrogate pair.
    fn utf16(&mut self) -> Result<char> {
        let Some(high) = self.hex_value(0, 4) else { return Ok('u') };
        self.at += 4;
        if let Some(c) = char::from_u32(high) {
            return Ok(c);
        }
        if self.peek(0) == Some('\\')
            && self.peek(1) == Some('u')
            && let Some(low) = self.hex_value(2, 4)
        {
            let units = [high, low].map(|unit| u16::try_from(unit).unwrap_or_default());
            if let Some(Ok(c)) = char::decode_utf16(units).next() {
                self.at += 6;
                return Ok(c);
            }
        }
        Err(refuse("half of a surrogate pair"))
    }
}
