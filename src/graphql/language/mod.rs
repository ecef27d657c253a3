//! GraphQL's language: lexer, parser, syntax tree, and values as text. What is wrong with a document is said in the
//! words of graphql-js, which clients see. Knows no schema.

pub mod ast;
mod lexer;
mod parser;
pub mod print;

pub use parser::parse;

/// What is wrong with the text of a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub message: String,
    pub at: ast::Offset,
}

/// Line and column of an offset, counted from one; columns count UTF-16 units, as JavaScript does.
pub fn location(source: &str, at: ast::Offset) -> (u32, u32) {
    Lines::of(source).location(at)
}

/// Bytes after which the units of a text are noted.
const STRIDE: usize = 256;

/// Where the lines of a text begin. It is read once, however many places are asked for.
pub struct Lines<'s> {
    source: &'s str,
    /// Offsets of lines.
    starts: Vec<usize>,
    /// UTF-16 units before each stride.
    units: Vec<usize>,
}

impl<'s> Lines<'s> {
    pub fn of(source: &'s str) -> Self {
        let (mut starts, mut units) = (vec![0], Vec::with_capacity(source.len() / STRIDE + 1));
        let mut count = 0;
        for (index, c) in source.char_indices() {
            // A character may reach over the end of a stride.
            while units.len() * STRIDE <= index {
                units.push(count);
            }
            count += c.len_utf16();
            let ends = match c {
                '\n' => true,
                // A carriage return alone ends a line too.
                '\r' => source.as_bytes().get(index + 1) != Some(&b'\n'),
                _ => false,
            };
            if ends {
                starts.push(index + 1);
            }
        }
        Self { source, starts, units }
    }

    fn units_before(&self, at: usize) -> usize {
        let mut stride = (at / STRIDE).min(self.units.len().saturating_sub(1));
        let mut from = stride * STRIDE;
        while !self.source.is_char_boundary(from) {
            from += 1;
        }
        if from > at {
            stride = stride.saturating_sub(1);
            from = stride * STRIDE;
            while !self.source.is_char_boundary(from) {
                from += 1;
            }
        }
        let noted = self.units.get(stride).copied().unwrap_or_default();
        noted + self.source.get(from..at).map_or(0, |rest| rest.encode_utf16().count())
    }

    pub fn location(&self, at: ast::Offset) -> (u32, u32) {
        let mut at = (at as usize).min(self.source.len());
        while !self.source.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line)).copied().unwrap_or_default();
        let column = self.units_before(at).saturating_sub(self.units_before(start));
        let short = |count: usize| u32::try_from(count).unwrap_or(u32::MAX - 1);
        (short(line), short(column) + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Read from the beginning.
    fn counted(source: &str, at: usize) -> (u32, u32) {
        let (mut line, mut column) = (1, 1);
        let mut rest = source[..at].chars().peekable();
        while let Some(c) = rest.next() {
            let next = rest.peek().copied().or_else(|| source[at..].chars().next());
            if c == '\n' || (c == '\r' && next != Some('\n')) {
                (line, column) = (line + 1, 1);
            } else {
                column += c.len_utf16() as u32;
            }
        }
        (line, column)
    }

    proptest! {
        #[test]
        fn places_are_those_that_counting_finds(source in "[a\u{e4}\u{20ac}\u{1f600}\r\n ]{0,900}") {
            let lines = Lines::of(&source);
            for (at, _) in source.char_indices() {
                prop_assert_eq!(lines.location(at as u32), counted(&source, at));
            }
        }
    }
}
