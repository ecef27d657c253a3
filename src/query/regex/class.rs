//! Character classes, `[…]` and the shorthands that may stand in them.

use std::fmt::Write as _;

use super::{Char, DIGIT, SPACE, Scanner, Set, WORD, refuse};
use crate::error::Result;

/// A member of a character class.
enum Member {
    One(char),
    /// `d`, `w`, `s` or their capital negations.
    Shorthand(char),
}

impl Scanner<'_> {
    pub(super) fn shorthand_set(&self, which: char) -> String {
        match which {
            'd' => DIGIT.to_owned(),
            'w' => WORD.to_owned(),
            _ => {
                let mut set = String::new();
                for (first, last) in SPACE {
                    self.push_in_class(*first, &mut set);
                    if first != last {
                        set.push('-');
                        self.push_in_class(*last, &mut set);
                    }
                }
                set
            }
        }
    }

    fn push_in_class(&self, c: char, set: &mut String) {
        if c.is_alphanumeric() || c == '_' {
            set.push(c);
        } else {
            self.dialect.escape_in_class(c, set);
        }
    }

    pub(super) fn class(&mut self) -> Result<()> {
        let negated = self.peek(0) == Some('^');
        if negated {
            self.at += 1;
        }
        let mut set = String::new();
        let mut negations: Vec<char> = Vec::new();
        let mut positive: Vec<char> = Vec::new();
        loop {
            let Some(member) = self.class_member()? else { break };
            match member {
                Member::Shorthand(c) => {
                    let known = if c.is_ascii_uppercase() { &mut negations } else { &mut positive };
                    // Each says its set once.
                    if !known.contains(&c.to_ascii_lowercase()) {
                        known.push(c.to_ascii_lowercase());
                        if c.is_ascii_lowercase() {
                            set.push_str(&self.shorthand_set(c));
                        }
                    }
                }
                Member::One(first) => {
                    let is_range = self.peek(0) == Some('-') && !matches!(self.peek(1), None | Some(']'));
                    if !is_range {
                        self.push_in_class(first, &mut set);
                        continue;
                    }
                    self.at += 1;
                    match self.class_member()? {
                        Some(Member::One(last)) if first <= last => {
                            self.push_in_class(first, &mut set);
                            set.push('-');
                            self.push_in_class(last, &mut set);
                        }
                        Some(Member::One(_)) => return Err(refuse("a range out of order")),
                        _ => return Err(refuse("a range that ends with a class")),
                    }
                }
            }
        }
        self.weight.character()?;
        self.push_class(negated, &set, &positive, &negations);
        Ok(())
    }

    /// The next member; `None` at the closing bracket.
    fn class_member(&mut self) -> Result<Option<Member>> {
        let Some(next) = self.chars.get(self.at).copied() else {
            return Err(refuse("a character class is not closed"));
        };
        self.at += 1;
        Ok(match next {
            Char::Plain(']') => None,
            Char::Plain('\\') => Some(match self.peek(0) {
                Some(c @ ('d' | 'D' | 'w' | 'W' | 's' | 'S')) => {
                    self.at += 1;
                    Member::Shorthand(c)
                }
                Some('b') => {
                    self.at += 1;
                    Member::One('\u{8}')
                }
                Some('-') => {
                    self.at += 1;
                    Member::One('-')
                }
                _ => match self.escaped_char()? {
                    '\0' => return Err(refuse("the NUL character")),
                    c => Member::One(c),
                },
            }),
            Char::Plain(c) | Char::Quoted(c) => Some(Member::One(c)),
        })
    }

    fn push_class(&mut self, negated: bool, set: &str, positive: &[char], negations: &[char]) {
        let everything = positive.iter().any(|c| negations.contains(c));
        if everything || (set.is_empty() && negations.is_empty()) {
            // `[^]` and `[\s\S]` are anything, `[]` and `[^\s\S]` nothing.
            if everything == negated {
                self.out.push_str(self.dialect.never());
            } else {
                self.out.push_str(self.dialect.any());
            }
            return;
        }
        let not = if negated { "^" } else { "" };
        if negations.is_empty() {
            let _ = write!(self.out, "[{not}{set}]");
            return;
        }
        let complements: Vec<String> = negations.iter().map(|c| self.shorthand_set(*c)).collect();
        let set = Set { negated, members: set, complements: &complements };
        self.looks |= self.dialect.class_with_complements(&set, &mut self.out);
    }
}
