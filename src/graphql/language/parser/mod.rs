//! Tokens to the syntax tree: executable documents, and the definitions that a schema is written in.

mod document;
mod schema;
mod value;

use super::SyntaxError;
use super::ast::{Document, Name};
use super::lexer::{Kind, Lexer, Token};

/// Brackets within brackets. What is deeper is refused: everything that walks a tree does so by calling itself.
const DEEPEST: u32 = 200;

type Parsed<T> = Result<T, SyntaxError>;

/// # Errors
/// `Syntax Error: …`, with the place.
pub fn parse(source: &str) -> Parsed<Document> {
    let parsed = (|| {
        let mut lexer = Lexer::new(source);
        let token = lexer.next()?;
        let mut parser = Parser { lexer, token, ahead: None, depth: 0 };
        let mut document = Document::default();
        loop {
            document.definitions.push(parser.definition()?);
            if parser.token.kind == Kind::End {
                return Ok(document);
            }
        }
    })();
    parsed.map_err(|error: SyntaxError| SyntaxError {
        message: format!("Syntax Error: {}", error.message),
        at: error.at,
    })
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    token: Token,
    /// The token after the current one, where it was looked at.
    ahead: Option<Token>,
    depth: u32,
}

impl Parser<'_> {
    fn advance(&mut self) -> Parsed<Token> {
        let next = match self.ahead.take() {
            Some(token) => token,
            None => self.lexer.next()?,
        };
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn look_ahead(&mut self) -> Parsed<&Token> {
        if self.ahead.is_none() {
            self.ahead = Some(self.lexer.next()?);
        }
        Ok(self.ahead.as_ref().unwrap_or(&self.token))
    }

    fn fail<T>(&self, message: String) -> Parsed<T> {
        Err(SyntaxError { message, at: self.token.at })
    }

    fn unexpected<T>(&self, token: &Token) -> Parsed<T> {
        Err(SyntaxError { message: format!("Unexpected {}.", token.shown()), at: token.at })
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.token.kind, Kind::Sign(found) if found == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token.kind, Kind::Name(name) if name == word)
    }

    fn skip(&mut self, sign: &str) -> Parsed<bool> {
        let found = self.is(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn skip_word(&mut self, word: &str) -> Parsed<bool> {
        let found = self.is_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, sign: &str) -> Parsed<Token> {
        if self.is(sign) {
            return self.advance();
        }
        self.fail(format!("Expected \"{sign}\", found {}.", self.token.shown()))
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.skip_word(word)? {
            return Ok(());
        }
        self.fail(format!("Expected \"{word}\", found {}.", self.token.shown()))
    }

    fn name(&mut self) -> Parsed<Name> {
        if !matches!(self.token.kind, Kind::Name(_)) {
            return self.fail(format!("Expected Name, found {}.", self.token.shown()));
        }
        match self.advance()? {
            Token { kind: Kind::Name(text), at } => Ok(Name { text, at }),
            token => self.unexpected(&token),
        }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEEPEST {
            return self.fail("The document is nested too deeply.".to_owned());
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// At least one item between two signs.
    fn many<T>(&mut self, open: &str, close: &str, item: fn(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect(open)?;
        let mut items = Vec::new();
        loop {
            items.push(item(self)?);
            if self.skip(close)? {
                return Ok(items);
            }
        }
    }

    /// The same, where it may be absent.
    fn optional_many<T>(
        &mut self,
        open: &str,
        close: &str,
        item: fn(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        if self.is(open) { self.many(open, close, item) } else { Ok(Vec::new()) }
    }
}

#[cfg(test)]
mod tests;
