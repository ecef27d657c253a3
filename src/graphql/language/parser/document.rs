//! Operations, fragments, selections.

use super::{Parsed, Parser};
use crate::graphql::language::ast::{
    Argument, Definition, Directive, Field, Fragment, Inline, Operation, OperationKind, Selection,
    SelectionSet, Spread, VariableDefinition,
};
use crate::graphql::language::lexer::Kind;

impl Parser<'_> {
    pub(super) fn definition(&mut self) -> Parsed<Definition> {
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
            "query" | "mutation" | "subscription" => self.operation().map(Definition::Operation),
            "fragment" => self.fragment().map(Definition::Fragment),
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
        self.description()?;
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

    pub(super) fn operation_kind(&mut self) -> Parsed<OperationKind> {
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
        self.description()?;
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
        self.description()?;
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

    pub(super) fn directives(&mut self, constant: bool) -> Parsed<Vec<Directive>> {
        let mut directives = Vec::new();
        while self.is("@") {
            let at = self.advance()?.at;
            let name = self.name()?;
            directives.push(Directive { at, name, arguments: self.arguments(constant)? });
        }
        Ok(directives)
    }
}
