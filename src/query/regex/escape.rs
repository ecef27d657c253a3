//! What follows a backslash.

use std::fmt::Write as _;

use super::source::Char;
use super::{Scanner, refuse, weight};
use crate::error::Result;

impl Scanner<'_> {
    pub(super) fn escape(&mut self) -> Result<()> {
        let Some(c) = self.peek(0) else { return Err(refuse("it ends with a backslash")) };
        match c {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' => {
                self.at += 1;
                self.weight.character()?;
                let set = self.shorthand_set(c.to_ascii_lowercase());
                let not = if c.is_ascii_uppercase() { "^" } else { "" };
                let _ = write!(self.out, "[{not}{set}]");
                Ok(())
            }
            'b' | 'B' => {
                self.at += 1;
                self.weight.assertion(weight::BOUNDARY)?;
                self.dialect.boundary(c == 'b', &mut self.out);
                Ok(())
            }
            '1'..='9' => self.back_reference(),
            'k' if !self.names.is_empty() => self.named_reference(),
            _ => {
                let literal = self.escaped_char()?;
                self.literal(literal)
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
        let group = self.names.get(&name).copied();
        self.reference_to(group.unwrap_or(usize::MAX))
    }

    fn reference_to(&mut self, group: usize) -> Result<()> {
        if group > self.group_count {
            return Err(refuse("a reference to a group that does not stand before it"));
        }
        self.weight.back_reference()?;
        self.back_references = true;
        let _ = write!(self.out, r"(?:\{group})");
        Ok(())
    }

    /// The character after a backslash, where it stands for one character.
    pub(super) fn escaped_char(&mut self) -> Result<char> {
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
