//! Rules about values: each fits the type of its place, required fields are there, none is given twice.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::super::input::{Refused, enum_hint, scalar_literal};
use super::super::language::ast::{Argument, Directive, Name, ObjectField, Offset, Value, ValueKind};
use super::super::language::print;
use super::super::schema::types::{TypeDef, TypeKind, TypeRef};
use super::super::suggest::{did_you_mean, near};
use super::{Usage, Walk};

/// Where each name stands, in the order of their first places.
pub(super) fn by_name<'n>(names: impl Iterator<Item = &'n Name>) -> IndexMap<&'n str, Vec<Offset>> {
    let mut places: IndexMap<&str, Vec<Offset>> = IndexMap::new();
    for name in names {
        places.entry(&name.text).or_default().push(name.at);
    }
    places
}

impl<'d> Walk<'d> {
    /// A value at a place of this type; `None` where nothing is known of the place.
    pub(super) fn value(&mut self, value: &'d Value, ty: Option<&TypeRef>, has_default: bool) {
        self.typed(value, ty, has_default, ty.is_some());
    }

    /// `checked`: the value is looked at; what is inside of a value of one's own making is not.
    fn typed(&mut self, value: &'d Value, ty: Option<&TypeRef>, has_default: bool, checked: bool) {
        if self.is_over() {
            return;
        }
        match &value.kind {
            ValueKind::Variable(name) => {
                self.usages.push(Usage { name, at: value.at, ty: ty.cloned(), has_default });
            }
            ValueKind::List(items) => {
                let nullable = ty.map(TypeRef::nullable);
                let (item, fits) = match nullable {
                    Some(TypeRef::List(inner)) => (Some(&**inner), true),
                    other => (other, false),
                };
                if checked && !fits {
                    self.valid_literal(value, item);
                }
                for value in items {
                    self.typed(value, item, false, checked && fits);
                }
            }
            ValueKind::Object(fields) => self.object(value, fields, ty, checked),
            ValueKind::Null => {
                if let Some(ty) = ty.filter(|ty| checked && ty.is_required()) {
                    self.report(format!("Expected value of type \"{ty}\", found null."), &[value.at]);
                }
            }
            _ if checked => self.valid_literal(value, ty),
            _ => {}
        }
    }

    fn object(&mut self, value: &'d Value, fields: &'d [ObjectField], ty: Option<&TypeRef>, checked: bool) {
        let named = ty.and_then(|ty| self.schema.of(ty));
        let known = named.and_then(TypeDef::inputs);
        let is_told = checked && !self.quiet;
        if is_told {
            match (named, known) {
                (Some(named), Some(known)) => {
                    for (name, input) in known {
                        if input.is_required() && !fields.iter().any(|field| field.name.text == **name) {
                            let text = format!(
                                "Field \"{}.{name}\" of required type \"{}\" was not provided.",
                                named.name, input.ty
                            );
                            self.report(text, &[value.at]);
                        }
                    }
                }
                _ => self.valid_literal(value, ty),
            }
        }
        let mut seen: HashMap<&str, Offset> = HashMap::with_capacity(fields.len());
        for field in fields {
            if self.is_over() {
                return;
            }
            let name = field.name.text.as_str();
            let input = known.and_then(|known| known.get(name));
            if let (true, None, Some(named), Some(known)) = (is_told, input, named, known) {
                let near = near(name, known.keys().map(|name| &**name));
                let hint = did_you_mean("", &near);
                let text = format!("Field \"{name}\" is not defined by type \"{}\".{hint}", named.name);
                self.report(text, &[field.at]);
            }
            match seen.get(name).copied() {
                Some(first) => {
                    let text = format!("There can be only one input field named \"{name}\".");
                    self.report(text, &[first, field.name.at]);
                }
                None => drop(seen.insert(name, field.name.at)),
            }
            let has_default = input.is_some_and(|input| input.default.is_some());
            let ty = input.map(|input| &input.ty);
            self.typed(&field.value, ty, has_default, checked && known.is_some() && ty.is_some());
        }
    }

    fn valid_literal(&mut self, value: &Value, ty: Option<&TypeRef>) {
        let Some(ty) = ty.filter(|_| !self.quiet) else { return };
        let Some(named) = self.schema.of(ty) else { return };
        let found = || format!("Expected value of type \"{ty}\", found {}", print::value(value));
        let text = match &named.kind {
            TypeKind::Scalar => match scalar_literal(&named.name, value, None) {
                Ok(_) => return,
                Err(Refused::Said(text)) => text,
                Err(Refused::Explained(text)) => format!("{}; {text}", found()),
                Err(Refused::Undefined) => format!("{}.", found()),
            },
            TypeKind::Enum(values) => match &value.kind {
                ValueKind::Enum(name) if values.contains_key(name.as_str()) => return,
                ValueKind::Enum(name) => {
                    let hint = enum_hint(name, values);
                    format!("Value \"{name}\" does not exist in \"{}\" enum.{hint}", named.name)
                }
                _ => {
                    let shown = print::value(value);
                    let hint = enum_hint(&shown, values);
                    format!("Enum \"{}\" cannot represent non-enum value: {shown}.{hint}", named.name)
                }
            },
            _ => format!("{}.", found()),
        };
        self.report(text, &[value.at]);
    }

    pub(super) fn unique_arguments(&mut self, arguments: &[Argument]) {
        for (name, places) in by_name(arguments.iter().map(|argument| &argument.name)) {
            if places.len() > 1 {
                self.report(format!("There can be only one argument named \"{name}\"."), &places);
            }
        }
    }

    /// Directives that may stand once only stand once.
    pub(super) fn unique_directives(&mut self, directives: &[Directive]) {
        let mut seen: HashMap<&str, Offset> = HashMap::with_capacity(directives.len());
        for directive in directives {
            let name = directive.name.text.as_str();
            let first = seen.get(name).copied();
            seen.entry(name).or_insert(directive.at);
            let is_unique = self.schema.directive(name).is_none_or(|known| !known.repeatable);
            if let (Some(first), true, true) = (first, is_unique, self.schema.directive(name).is_some()) {
                let text = format!("The directive \"@{name}\" can only be used once at this location.");
                self.report(text, &[first, directive.at]);
            }
        }
    }
}
