//! Tokens to the syntax tree: executable documents, and the definitions that a schema is written in.

use super::SyntaxError;
use super::ast::{
    Argument, Definition, Directive, DirectiveDefinition, Document, EnumValueDefinition, Field,
    FieldDefinition, Fragment, Inline, InputDefinition, Name, ObjectField, Offset, Operation, OperationKind,
    Selection, SelectionSet, Spread, Type, TypeBody, TypeDefinition, Value, ValueKind, VariableDefinition,
};
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

    // ---- documents -------------------------------------------------------------------------------

    fn definition(&mut self) -> Parsed<Definition> {
        if self.is("{") {
            return self.operation().map(Definition::Operation);
        }
        let described = matches!(self.token.kind, Kind::Text(_) | Kind::Block(_));
        let keyword = if described { self.look_ahead()?.clone() } else { self.token.clone() };
        if described && keyword.kind == Kind::Sign("{") {
            let message = "Unexpected description, descriptions are not supported on shorthand queries.";
            return self.fail(message.to_owned());
        }
        let Kind::Name(word) = &keyword.kind else { return self.unexpected(&keyword) };
        match word.as_str() {
            "schema" | "scalar" | "type" | "interface" | "union" | "enum" | "input" | "directive" => {
                self.type_system(false)
            }
            "query" | "mutation" | "subscription" => {
                self.description()?;
                self.operation().map(Definition::Operation)
            }
            "fragment" => {
                self.description()?;
                self.fragment().map(Definition::Fragment)
            }
            _ if described => {
                let message = "Unexpected description, only GraphQL definitions support descriptions.";
                self.fail(message.to_owned())
            }
            "extend" => self.type_system(true),
            _ => self.unexpected(&keyword),
        }
    }

    fn operation(&mut self) -> Parsed<Operation> {
        let at = self.token.at;
        if self.is("{") {
            let selection = self.selection_set()?;
            let (name, variables, directives) = (None, Vec::new(), Vec::new());
            return Ok(Operation { at, kind: OperationKind::Query, name, variables, directives, selection });
        }
        let kind = self.operation_kind()?;
        let name = match self.token.kind {
            Kind::Name(_) => Some(self.name()?),
            _ => None,
        };
        let variables = self.optional_many("(", ")", Self::variable)?;
        let directives = self.directives(false)?;
        let selection = self.selection_set()?;
        Ok(Operation { at, kind, name, variables, directives, selection })
    }

    fn operation_kind(&mut self) -> Parsed<OperationKind> {
        if !matches!(self.token.kind, Kind::Name(_)) {
            return self.fail(format!("Expected Name, found {}.", self.token.shown()));
        }
        let token = self.advance()?;
        match &token.kind {
            Kind::Name(word) if word == "query" => Ok(OperationKind::Query),
            Kind::Name(word) if word == "mutation" => Ok(OperationKind::Mutation),
            Kind::Name(word) if word == "subscription" => Ok(OperationKind::Subscription),
            _ => self.unexpected(&token),
        }
    }

    fn variable(&mut self) -> Parsed<VariableDefinition> {
        let at = self.token.at;
        self.expect("$")?;
        let name = self.name()?;
        self.expect(":")?;
        let ty = self.ty()?;
        let default = if self.skip("=")? { Some(self.value(true)?) } else { None };
        let directives = self.directives(true)?;
        Ok(VariableDefinition { at, name, ty, default, directives })
    }

    fn selection_set(&mut self) -> Parsed<SelectionSet> {
        let at = self.token.at;
        let items = self.deeper(|parser| parser.many("{", "}", Self::selection))?;
        Ok(SelectionSet { at, items })
    }

    fn selection(&mut self) -> Parsed<Selection> {
        if !self.is("...") {
            return self.field().map(Selection::Field);
        }
        let at = self.advance()?.at;
        let has_condition = self.skip_word("on")?;
        if !has_condition && matches!(self.token.kind, Kind::Name(_)) {
            let name = self.name()?;
            let directives = self.directives(false)?;
            return Ok(Selection::Spread(Spread { at, name, directives }));
        }
        let condition = if has_condition { Some(self.name()?) } else { None };
        let directives = self.directives(false)?;
        let selection = self.selection_set()?;
        Ok(Selection::Inline(Inline { at, condition, directives, selection }))
    }

    fn field(&mut self) -> Parsed<Field> {
        let first = self.name()?;
        let at = first.at;
        let (alias, name) = if self.skip(":")? { (Some(first), self.name()?) } else { (None, first) };
        let arguments = self.arguments(false)?;
        let directives = self.directives(false)?;
        let selection = if self.is("{") { Some(self.selection_set()?) } else { None };
        Ok(Field { at, alias, name, arguments, directives, selection })
    }

    fn arguments(&mut self, constant: bool) -> Parsed<Vec<Argument>> {
        let item = if constant { Self::constant_argument } else { Self::argument };
        self.optional_many("(", ")", item)
    }

    fn argument(&mut self) -> Parsed<Argument> {
        let name = self.name()?;
        self.expect(":")?;
        Ok(Argument { at: name.at, name, value: self.value(false)? })
    }

    fn constant_argument(&mut self) -> Parsed<Argument> {
        let name = self.name()?;
        self.expect(":")?;
        Ok(Argument { at: name.at, name, value: self.value(true)? })
    }

    fn fragment(&mut self) -> Parsed<Fragment> {
        let at = self.token.at;
        self.expect_word("fragment")?;
        if self.is_word("on") {
            let token = self.token.clone();
            return self.unexpected(&token);
        }
        let name = self.name()?;
        self.expect_word("on")?;
        let condition = self.name()?;
        let directives = self.directives(false)?;
        let selection = self.selection_set()?;
        Ok(Fragment { at, name, condition, directives, selection })
    }

    fn directives(&mut self, constant: bool) -> Parsed<Vec<Directive>> {
        let mut directives = Vec::new();
        while self.is("@") {
            let at = self.advance()?.at;
            let name = self.name()?;
            directives.push(Directive { at, name, arguments: self.arguments(constant)? });
        }
        Ok(directives)
    }

    // ---- values and types ------------------------------------------------------------------------

    fn value(&mut self, constant: bool) -> Parsed<Value> {
        let at = self.token.at;
        let kind = match &self.token.kind {
            Kind::Sign("[") => self.deeper(|parser| parser.list(constant))?,
            Kind::Sign("{") => self.deeper(|parser| parser.object(constant))?,
            Kind::Sign("$") if constant => {
                let dollar = self.advance()?;
                if let Kind::Name(name) = &self.token.kind {
                    let message = format!("Unexpected variable \"${name}\" in constant value.");
                    return Err(SyntaxError { message, at: dollar.at });
                }
                return self.unexpected(&dollar);
            }
            Kind::Sign("$") => {
                self.advance()?;
                ValueKind::Variable(self.name()?.text)
            }
            Kind::Sign(_) | Kind::End => {
                let token = self.token.clone();
                return self.unexpected(&token);
            }
            _ => match self.advance()?.kind {
                Kind::Int(text) => ValueKind::Int(text),
                Kind::Float(text) => ValueKind::Float(text),
                Kind::Text(text) => ValueKind::Text { text, block: false },
                Kind::Block(text) => ValueKind::Text { text, block: true },
                Kind::Name(word) => match word.as_str() {
                    "true" => ValueKind::Boolean(true),
                    "false" => ValueKind::Boolean(false),
                    "null" => ValueKind::Null,
                    _ => ValueKind::Enum(word),
                },
                Kind::Sign(_) | Kind::End => ValueKind::Null,
            },
        };
        Ok(Value { at, kind })
    }

    fn list(&mut self, constant: bool) -> Parsed<ValueKind> {
        self.expect("[")?;
        let mut items = Vec::new();
        while !self.skip("]")? {
            items.push(self.value(constant)?);
        }
        Ok(ValueKind::List(items))
    }

    fn object(&mut self, constant: bool) -> Parsed<ValueKind> {
        self.expect("{")?;
        let mut fields = Vec::new();
        while !self.skip("}")? {
            let name = self.name()?;
            self.expect(":")?;
            fields.push(ObjectField { at: name.at, name, value: self.value(constant)? });
        }
        Ok(ValueKind::Object(fields))
    }

    fn ty(&mut self) -> Parsed<Type> {
        let at = self.token.at;
        let inner = if self.skip("[")? {
            let inner = self.deeper(Self::ty)?;
            self.expect("]")?;
            Type::List(Box::new(inner), at)
        } else {
            Type::Named(self.name()?)
        };
        Ok(if self.skip("!")? { Type::NonNull(Box::new(inner)) } else { inner })
    }

    // ---- schemas ---------------------------------------------------------------------------------

    fn description(&mut self) -> Parsed<Option<String>> {
        if !matches!(self.token.kind, Kind::Text(_) | Kind::Block(_)) {
            return Ok(None);
        }
        Ok(match self.advance()?.kind {
            Kind::Text(text) | Kind::Block(text) => Some(text),
            _ => None,
        })
    }

    fn type_system(&mut self, extends: bool) -> Parsed<Definition> {
        let at = self.token.at;
        let description = self.description()?;
        if extends {
            self.expect_word("extend")?;
        }
        let keyword = self.name()?;
        match keyword.text.as_str() {
            "schema" => {
                self.directives(true)?;
                let roots = self.optional_many("{", "}", |parser| {
                    let kind = parser.operation_kind()?;
                    parser.expect(":")?;
                    Ok((kind, parser.name()?))
                })?;
                return Ok(Definition::Schema { at, roots });
            }
            "directive" if !extends => return self.directive_definition(at, description),
            _ => {}
        }
        let name = match keyword.text.as_str() {
            "scalar" | "type" | "interface" | "union" | "enum" | "input" => self.name()?,
            _ => return self.unexpected(&Token { kind: Kind::Name(keyword.text), at: keyword.at }),
        };
        let mut interfaces = Vec::new();
        if matches!(keyword.text.as_str(), "type" | "interface") && self.skip_word("implements")? {
            self.skip("&")?;
            loop {
                interfaces.push(self.name()?);
                if !self.skip("&")? {
                    break;
                }
            }
        }
        let directives = self.directives(true)?;
        let body = match keyword.text.as_str() {
            "type" => {
                TypeBody::Object { interfaces, fields: self.optional_many("{", "}", Self::field_definition)? }
            }
            "interface" => {
                let fields = self.optional_many("{", "}", Self::field_definition)?;
                TypeBody::Interface { interfaces, fields }
            }
            "union" => TypeBody::Union(self.members()?),
            "enum" => TypeBody::Enum(self.optional_many("{", "}", |parser| {
                let description = parser.description()?;
                let name = parser.name()?;
                Ok(EnumValueDefinition { description, name, directives: parser.directives(true)? })
            })?),
            "input" => TypeBody::Input(self.optional_many("{", "}", Self::input_definition)?),
            _ => TypeBody::Scalar,
        };
        Ok(Definition::Type(TypeDefinition { at, extends, description, name, directives, body }))
    }

    fn members(&mut self) -> Parsed<Vec<Name>> {
        let mut members = Vec::new();
        if self.skip("=")? {
            self.skip("|")?;
            loop {
                members.push(self.name()?);
                if !self.skip("|")? {
                    break;
                }
            }
        }
        Ok(members)
    }

    fn field_definition(&mut self) -> Parsed<FieldDefinition> {
        let description = self.description()?;
        let name = self.name()?;
        let arguments = self.optional_many("(", ")", Self::input_definition)?;
        self.expect(":")?;
        let ty = self.ty()?;
        Ok(FieldDefinition { description, name, arguments, ty, directives: self.directives(true)? })
    }

    fn input_definition(&mut self) -> Parsed<InputDefinition> {
        let description = self.description()?;
        let name = self.name()?;
        self.expect(":")?;
        let ty = self.ty()?;
        let default = if self.skip("=")? { Some(self.value(true)?) } else { None };
        Ok(InputDefinition { description, name, ty, default, directives: self.directives(true)? })
    }

    fn directive_definition(&mut self, at: Offset, description: Option<String>) -> Parsed<Definition> {
        self.expect("@")?;
        let name = self.name()?;
        let arguments = self.optional_many("(", ")", Self::input_definition)?;
        let repeatable = self.skip_word("repeatable")?;
        self.expect_word("on")?;
        self.skip("|")?;
        let mut locations = vec![self.name()?];
        while self.skip("|")? {
            locations.push(self.name()?);
        }
        Ok(Definition::Directive(DirectiveDefinition {
            at,
            description,
            name,
            arguments,
            repeatable,
            locations,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::language::location;

    fn error(source: &str) -> (String, (u32, u32)) {
        let error = parse(source).map(|_| ()).unwrap_err();
        (error.message, location(source, error.at))
    }

    #[test]
    fn what_is_no_document_is_told_in_the_words_of_graphql_js() {
        let cases = [
            ("{", "Syntax Error: Expected Name, found <EOF>.", (1, 2)),
            ("", "Syntax Error: Unexpected <EOF>.", (1, 1)),
            (
                "{ ...MissingOn }\nfragment MissingOn Type",
                "Syntax Error: Expected \"on\", found Name \"Type\".",
                (2, 20),
            ),
            ("{ field: {} }", "Syntax Error: Expected Name, found \"{\".", (1, 10)),
            ("notAnOperation Foo { field }", "Syntax Error: Unexpected Name \"notAnOperation\".", (1, 1)),
            ("...", "Syntax Error: Unexpected \"...\".", (1, 1)),
            ("{ \"\"", "Syntax Error: Expected Name, found String \"\".", (1, 3)),
            (
                "query Foo($x: Complex = { a: { b: [ $var ] } }) { field }",
                "Syntax Error: Unexpected variable \"$var\" in constant value.",
                (1, 37),
            ),
            ("fragment on on on { on }", "Syntax Error: Unexpected Name \"on\".", (1, 10)),
            ("{ a(b: 01) }", "Syntax Error: Invalid number, unexpected digit after 0: \"1\".", (1, 9)),
            ("{ a ? }", "Syntax Error: Unexpected character: \"?\".", (1, 5)),
            ("{ a(b: \"x) }", "Syntax Error: Unterminated string.", (1, 13)),
            ("{ a(b: \"\\z\") }", "Syntax Error: Invalid character escape sequence: \"\\z\".", (1, 9)),
        ];
        for (source, message, at) in cases {
            assert_eq!(error(source), (message.to_owned(), at), "{source}");
        }
    }

    #[test]
    fn deep_documents_are_refused_and_end() {
        let deep = format!("{}{}", "{a".repeat(100_000), "}".repeat(100_000));
        assert!(error(&deep).0.ends_with("nested too deeply."));
        let deep = format!("{{a(b:{}{})}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(error(&deep).0.ends_with("nested too deeply."));
    }

    #[test]
    fn columns_count_utf_16_units() {
        let source = "# \u{1f600}\n{ a(b: \"\u{1f600}\") ? }";
        assert_eq!(error(source).1, (2, 14));
    }

    #[test]
    fn block_strings_lose_the_indentation_they_share() {
        let document = parse("{ a(b: \"\"\"\n    one\n      two\n    \"\"\") }").unwrap();
        let Some(Definition::Operation(operation)) = document.definitions.first() else { panic!() };
        let Some(Selection::Field(field)) = operation.selection.items.first() else { panic!() };
        let Some(ValueKind::Text { text, .. }) = field.arguments.first().map(|a| &a.value.kind) else {
            panic!()
        };
        assert_eq!(text, "one\n  two");
    }
}
