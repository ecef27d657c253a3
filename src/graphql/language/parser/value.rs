//! Values and types.

use super::{Parsed, Parser};
use crate::graphql::language::SyntaxError;
use crate::graphql::language::ast::{ObjectField, Type, Value, ValueKind};
use crate::graphql::language::lexer::Kind;

impl Parser<'_> {
    pub(super) fn value(&mut self, constant: bool) -> Parsed<Value> {
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

    pub(super) fn ty(&mut self) -> Parsed<Type> {
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
}
