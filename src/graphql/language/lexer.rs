//! Text to tokens, one at a time.

use super::SyntaxError;
use super::ast::Offset;

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    End,
    /// `!`, `$`, `&`, `(`, `)`, `...`, `:`, `=`, `@`, `[`, `]`, `{`, `|`, `}`
    Sign(&'static str),
    Name(String),
    Int(String),
    Float(String),
    Text(String),
    Block(String),
}

#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Kind,
    pub at: Offset,
}

impl Token {
    /// As error texts name it.
    pub fn shown(&self) -> String {
        match &self.kind {
            Kind::End => "<EOF>".to_owned(),
            Kind::Sign(sign) => format!("\"{sign}\""),
            Kind::Name(text) => format!("Name \"{text}\""),
            Kind::Int(text) => format!("Int \"{text}\""),
            Kind::Float(text) => format!("Float \"{text}\""),
            Kind::Text(text) => format!("String \"{text}\""),
            Kind::Block(text) => format!("BlockString \"{text}\""),
        }
    }
}

pub struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    pub fn new(source: &'s str) -> Self {
        Self { source, at: 0 }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn fail<T>(&self, at: usize, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { message: message.into(), at: offset(at) })
    }

    /// The character at an offset, as error texts show it.
    fn shown(&self, at: usize) -> String {
        match self.source.get(at..).and_then(|rest| rest.chars().next()) {
            None => "<EOF>".to_owned(),
            Some('"') => "'\"'".to_owned(),
            Some(c) if (' '..='~').contains(&c) => format!("\"{c}\""),
            Some(c) => format!("U+{:04X}", u32::from(c)),
        }
    }

    /// # Errors
    /// For characters that begin nothing, and for numbers and texts that are none.
    pub fn next(&mut self) -> Result<Token, SyntaxError> {
        self.skip();
        let start = self.at;
        let Some(byte) = self.byte(0) else {
            return Ok(Token { kind: Kind::End, at: offset(start) });
        };
        let sign = match byte {
            b'!' => "!",
            b'$' => "$",
            b'&' => "&",
            b'(' => "(",
            b')' => ")",
            b':' => ":",
            b'=' => "=",
            b'@' => "@",
            b'[' => "[",
            b']' => "]",
            b'{' => "{",
            b'|' => "|",
            b'}' => "}",
            b'.' if self.rest().starts_with("...") => "...",
            _ => "",
        };
        if !sign.is_empty() {
            self.at += sign.len();
            return Ok(Token { kind: Kind::Sign(sign), at: offset(start) });
        }
        let kind = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let length =
                    self.rest().bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                let name = self.rest().get(..length).unwrap_or_default().to_owned();
                self.at += length;
                Kind::Name(name)
            }
            b'0'..=b'9' | b'-' => self.number()?,
            b'"' if self.rest().starts_with("\"\"\"") => self.block()?,
            b'"' => self.text()?,
            b'\'' => {
                let message =
                    "Unexpected single quote character ('), did you mean to use a double quote (\")?";
                return self.fail(start, message);
            }
            _ => return self.fail(start, format!("Unexpected character: {}.", self.shown(start))),
        };
        Ok(Token { kind, at: offset(start) })
    }

    fn skip(&mut self) {
        loop {
            match self.byte(0) {
                Some(b' ' | b'\t' | b'\n' | b'\r' | b',') => self.at += 1,
                Some(0xEF) if self.rest().starts_with('\u{feff}') => self.at += '\u{feff}'.len_utf8(),
                Some(b'#') => {
                    let length = self.rest().bytes().take_while(|b| *b != b'\n' && *b != b'\r').count();
                    self.at += length;
                }
                _ => return,
            }
        }
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        if !self.byte(0).is_some_and(|b| b.is_ascii_digit()) {
            let shown = self.shown(self.at);
            return self.fail(self.at, format!("Invalid number, expected digit but got: {shown}."));
        }
        while self.byte(0).is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.at;
        let mut is_float = false;
        if self.byte(0) == Some(b'-') {
            self.at += 1;
        }
        if self.byte(0) == Some(b'0') {
            self.at += 1;
            if self.byte(0).is_some_and(|b| b.is_ascii_digit()) {
                let shown = self.shown(self.at);
                return self.fail(self.at, format!("Invalid number, unexpected digit after 0: {shown}."));
            }
        } else {
            self.digits()?;
        }
        if self.byte(0) == Some(b'.') {
            is_float = true;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            is_float = true;
            self.at += 1;
            if matches!(self.byte(0), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if self.byte(0).is_some_and(|b| b == b'.' || b == b'_' || b.is_ascii_alphabetic()) {
            let shown = self.shown(self.at);
            return self.fail(self.at, format!("Invalid number, expected digit but got: {shown}."));
        }
        let text = self.source.get(start..self.at).unwrap_or_default().to_owned();
        Ok(if is_float { Kind::Float(text) } else { Kind::Int(text) })
    }

    fn text(&mut self) -> Result<Kind, SyntaxError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return self.fail(self.at, "Unterminated string.");
            };
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(Kind::Text(text));
                }
                '\n' | '\r' => return self.fail(self.at, "Unterminated string."),
                '\\' => self.escape(&mut text)?,
                c => {
                    text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), SyntaxError> {
        let start = self.at;
        let simple = match self.byte(1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let braced = self.byte(2) == Some(b'{');
                let read = if braced { self.braced_unicode() } else { self.fixed_unicode() };
                let Some((c, length)) = read else {
                    let length = if braced { self.braced_length() } else { 6 };
                    let shown: String = self.rest().chars().take(length).collect();
                    return self.fail(start, format!("Invalid Unicode escape sequence: \"{shown}\"."));
                };
                text.push(c);
                self.at += length;
                return Ok(());
            }
            _ => {
                let shown: String = self.rest().chars().take(2).collect();
                return self.fail(start, format!("Invalid character escape sequence: \"{shown}\"."));
            }
        };
        text.push(simple);
        self.at += 2;
        Ok(())
    }

    fn hex(&self, from: usize, length: usize) -> Option<u32> {
        let text = self.source.get(self.at + from..self.at + from + length)?;
        text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok()).flatten()
    }

    fn fixed_unicode(&self) -> Option<(char, usize)> {
        let code = self.hex(2, 4)?;
        if let Some(c) = char::from_u32(code) {
            return Some((c, 6));
        }
        // The first half of a pair.
        if (0xD800..0xDC00).contains(&code) && self.rest().get(6..8) == Some("\\u") {
            let low = self.hex(8, 4).filter(|low| (0xDC00..0xE000).contains(low))?;
            let whole = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            return char::from_u32(whole).map(|c| (c, 12));
        }
        None
    }

    fn braced_unicode(&self) -> Option<(char, usize)> {
        let digits = self.rest().bytes().skip(3).take_while(u8::is_ascii_hexdigit).count();
        if digits == 0 || digits > 8 || self.byte(3 + digits) != Some(b'}') {
            return None;
        }
        char::from_u32(self.hex(3, digits)?).map(|c| (c, digits + 4))
    }

    fn braced_length(&self) -> usize {
        let until = self.rest().chars().take(12).position(|c| c == '}' || c == '"');
        until.map_or(12, |end| end + 1)
    }

    fn block(&mut self) -> Result<Kind, SyntaxError> {
        self.at += 3;
        let mut lines = vec![String::new()];
        let push = |lines: &mut Vec<String>, c: char| {
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
        };
        loop {
            let rest = self.rest();
            if rest.starts_with("\"\"\"") {
                self.at += 3;
                return Ok(Kind::Block(dedented(lines)));
            }
            if rest.starts_with("\\\"\"\"") {
                for _ in 0..3 {
                    push(&mut lines, '"');
                }
                self.at += 4;
                continue;
            }
            match rest.chars().next() {
                None => return self.fail(self.at, "Unterminated string."),
                Some('\r') if rest.starts_with("\r\n") => {
                    lines.push(String::new());
                    self.at += 2;
                }
                Some('\n' | '\r') => {
                    lines.push(String::new());
                    self.at += 1;
                }
                Some(c) => {
                    push(&mut lines, c);
                    self.at += c.len_utf8();
                }
            }
        }
    }
}

fn offset(at: usize) -> Offset {
    Offset::try_from(at).unwrap_or(Offset::MAX)
}

/// A block string without the indentation that all its lines but the first share, and without empty lines at
/// both ends.
fn dedented(lines: Vec<String>) -> String {
    let indent_of = |line: &String| line.bytes().take_while(|b| *b == b' ' || *b == b'\t').count();
    let is_blank = |line: &String| indent_of(line) == line.len();
    let common = lines.iter().skip(1).filter(|line| !is_blank(line)).map(indent_of).min().unwrap_or(0);
    let first = lines.iter().position(|line| !is_blank(line));
    let last = lines.iter().rposition(|line| !is_blank(line));
    let (Some(first), Some(last)) = (first, last) else { return String::new() };
    let kept = lines.iter().enumerate().skip(first).take(last + 1 - first);
    let cut =
        kept.map(|(index, line)| if index == 0 { line } else { line.get(common..).unwrap_or_default() });
    cut.collect::<Vec<&str>>().join("\n")
}
