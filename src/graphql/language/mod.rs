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
    let at = (at as usize).min(source.len());
    let before = source.get(..at).unwrap_or(source);
    let (mut line, mut start) = (1, 0);
    let bytes = before.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let ends = match byte {
            b'\n' => true,
            // A carriage return alone ends a line too.
            b'\r' => source.as_bytes().get(index + 1) != Some(&b'\n'),
            _ => false,
        };
        if ends {
            line += 1;
            start = index + 1;
        }
    }
    let column = before.get(start..).map_or(0, |rest| rest.encode_utf16().count());
    (line, u32::try_from(column).unwrap_or(u32::MAX - 1) + 1)
}
