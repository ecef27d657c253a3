//! The pattern before it is scanned: quotations resolved, named groups counted.

use std::collections::HashMap;

/// One character of the pattern; quoted ones stand for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Char {
    Plain(char),
    Quoted(char),
}

/// Resolves `\Q…\E`; an unfinished quotation reaches to the end.
pub fn unquote(pattern: &str) -> Vec<Char> {
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

/// The options that a pattern begins with (`(?i)`), and how many characters say them.
pub fn leading_options(chars: &[Char]) -> Option<(String, usize)> {
    let plain = |at: usize| match chars.get(at) {
        Some(Char::Plain(c)) => Some(*c),
        _ => None,
    };
    if plain(0) != Some('(') || plain(1) != Some('?') {
        return None;
    }
    let options: String = (2..).map_while(plain).take_while(|c| "imsx".contains(*c)).collect();
    let end = 2 + options.len();
    (!options.is_empty() && plain(end) == Some(')')).then_some((options, end + 1))
}

/// The numbers of the capturing groups that have a name.
pub fn group_names(chars: &[Char]) -> HashMap<String, usize> {
    let mut names = HashMap::new();
    let mut count = 0;
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
                    count += 1;
                } else if plain(at + 2) == Some('<') && !matches!(plain(at + 3), Some('=' | '!')) {
                    count += 1;
                    let name: String = (at + 3..).map_while(plain).take_while(|c| *c != '>').collect();
                    // Goes on behind the name: no character is part of two.
                    at += 2 + name.chars().count();
                    names.entry(name).or_insert(count);
                }
            }
            _ => {}
        }
        at += 1;
    }
    names
}
