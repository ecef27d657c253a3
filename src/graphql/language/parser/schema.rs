//! The definitions that a schema is written in.

use super::{Parsed, Parser};
use crate::graphql::language::ast::{
    Definition, DirectiveDefinition, EnumValueDefinition, FieldDefinition, InputDefinition, Name, Offset,
    TypeBody, TypeDefinition,
};
use crate::graphql::language::lexer::{Kind, Token};

impl Parser<'_> {
    pub(super) fn description(&mut self) -> Parsed<Option<String>> {
        if !matches!(self.token.kind, Kind::Text(_) | Kind::Block(_)) {
            return Ok(None);
        }
        Ok(match self.advance()?.kind {
            Kind::Text(text) | Kind::Block(text) => Some(text),
            _ => None,
        })
    }

    pub(super) fn type_system(&mut self, extends: bool) -> Parsed<Definition> {
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
