//! Rules about directives, and about the variables of an operation.

use std::collections::HashMap;

use super::super::language::ast::{Definition, Directive, Operation, Selection, ValueKind};
use super::super::schema::types::{TypeKind, TypeRef};
use super::super::suggest::{did_you_mean, near};
use super::values::by_name;
use super::{Usage, Walk, definition_address};

impl<'d> Walk<'d> {
    pub(super) fn directives(&mut self, directives: &'d [Directive], location: &str) {
        for directive in directives {
            let name = directive.name.text.as_str();
            let known = self.schema.directive(name);
            match known {
                None => self.report(format!("Unknown directive \"@{name}\"."), &[directive.at]),
                Some(known) if !known.locations.iter().any(|allowed| allowed == location) => {
                    let text = format!("Directive \"@{name}\" may not be used on {location}.");
                    self.report(text, &[directive.at]);
                }
                Some(_) => {}
            }
            if self.is_over() {
                return;
            }
            for argument in &directive.arguments {
                let given = argument.name.text.as_str();
                let is_known = known.is_none_or(|known| known.args.contains_key(given));
                if let Some(known) = known.filter(|_| !self.quiet && !is_known) {
                    let hint = did_you_mean("", &near(given, known.args.keys().map(|name| &**name)));
                    let text = format!("Unknown argument \"{given}\" on directive \"@{name}\".{hint}");
                    self.report(text, &[argument.at]);
                }
            }
            self.unique_arguments(&directive.arguments);
            for argument in &directive.arguments {
                let input = known.and_then(|known| known.args.get(argument.name.text.as_str()));
                let has_default = input.is_some_and(|input| input.default.is_some());
                self.value(&argument.value, input.map(|input| &input.ty), has_default);
            }
            for (argument, input) in known.into_iter().flat_map(|known| &known.args) {
                let is_given = directive.arguments.iter().any(|given| given.name.text == **argument);
                if input.is_required() && !is_given {
                    let text = format!(
                        "Directive \"@{name}\" argument \"{argument}\" of type \"{}\" is required, but it was not provided.",
                        input.ty
                    );
                    self.report(text, &[directive.at]);
                }
            }
        }
    }

    pub(super) fn unique_variables(&mut self, operation: &Operation) {
        for (name, places) in by_name(operation.variables.iter().map(|variable| &variable.name)) {
            if places.len() > 1 {
                self.report(format!("There can be only one variable named \"${name}\"."), &places);
            }
        }
    }

    pub(super) fn single_field(&mut self, operation: &Operation) {
        let name = operation.name.as_ref().map(|name| name.text.clone());
        let shown = match &name {
            Some(name) => format!("Subscription \"{name}\""),
            None => "Anonymous Subscription".to_owned(),
        };
        let extra = operation.selection.items.iter().skip(1).map(|selection| match selection {
            Selection::Field(field) => field.at,
            Selection::Spread(spread) => spread.at,
            Selection::Inline(inline) => inline.at,
        });
        let extra: Vec<_> = extra.collect();
        if !extra.is_empty() {
            self.report(format!("{shown} must select only one top level field."), &extra);
        }
        for selection in &operation.selection.items {
            if let Selection::Field(field) = selection
                && field.name.text.starts_with("__")
            {
                let text = format!("{shown} must not select an introspection top level field.");
                self.report(text, &[field.at]);
            }
        }
    }

    /// What can be said of an operation's variables once all their uses are known.
    pub(super) fn leave_operation(&mut self, definition: &'d Definition, operation: &'d Operation) {
        let usages = self.recursive_usages(definition, operation);
        let defined: HashMap<&str, _> =
            operation.variables.iter().map(|variable| (variable.name.text.as_str(), variable)).collect();
        let name = operation.name.as_ref().map(|name| name.text.as_str());
        for usage in usages.iter().filter(|usage| !defined.contains_key(usage.name)) {
            let text = match name {
                Some(name) => format!("Variable \"${}\" is not defined by operation \"{name}\".", usage.name),
                None => format!("Variable \"${}\" is not defined.", usage.name),
            };
            self.report(text, &[usage.at, operation.at]);
        }
        let used: std::collections::HashSet<&str> = usages.iter().map(|usage| usage.name).collect();
        for variable in operation.variables.iter().filter(|variable| !used.contains(&*variable.name.text)) {
            let text = match name {
                Some(name) => {
                    format!("Variable \"${}\" is never used in operation \"{name}\".", variable.name.text)
                }
                None => format!("Variable \"${}\" is never used.", variable.name.text),
            };
            self.report(text, &[variable.at]);
        }
        for usage in &usages {
            let Some(variable) = defined.get(usage.name) else { continue };
            let Some(place) = &usage.ty else { continue };
            if self.schema.get(&variable.ty.named().text).is_none() {
                continue;
            }
            let ty = TypeRef::from_ast(&variable.ty);
            let has_value =
                variable.default.as_ref().is_some_and(|value| !matches!(value.kind, ValueKind::Null));
            if !self.is_allowed(&ty, has_value, place, usage.has_default) {
                let text = format!(
                    "Variable \"${}\" of type \"{ty}\" used in position expecting type \"{place}\".",
                    usage.name
                );
                self.report(text, &[variable.at, usage.at]);
            }
        }
    }

    fn is_allowed(&self, ty: &TypeRef, has_value: bool, place: &TypeRef, place_has_default: bool) -> bool {
        match place {
            TypeRef::NonNull(inner) if !ty.is_required() => {
                (has_value || place_has_default) && self.is_subtype(ty, inner)
            }
            _ => self.is_subtype(ty, place),
        }
    }

    fn is_subtype(&self, ty: &TypeRef, of: &TypeRef) -> bool {
        match (ty, of) {
            (TypeRef::NonNull(ty), TypeRef::NonNull(of)) => self.is_subtype(ty, of),
            (_, TypeRef::NonNull(_)) => false,
            (TypeRef::NonNull(ty), _) => self.is_subtype(ty, of),
            (TypeRef::List(ty), TypeRef::List(of)) => self.is_subtype(ty, of),
            (TypeRef::List(_), _) | (_, TypeRef::List(_)) => false,
            (TypeRef::Named(ty), TypeRef::Named(of)) => {
                ty == of
                    || match (self.schema.get(ty), self.schema.get(of)) {
                        (Some(ty), Some(of))
                            if matches!(of.kind, TypeKind::Union(_) | TypeKind::Interface { .. }) =>
                        {
                            self.schema.is_possible(of, ty)
                        }
                        _ => false,
                    }
            }
        }
    }

    /// The uses in an operation and in all fragments that it spreads.
    fn recursive_usages(&self, definition: &'d Definition, operation: &'d Operation) -> Vec<Usage<'d>> {
        let of = |address: usize| self.collected.get(&address).cloned().unwrap_or_default();
        let mut usages = of(definition_address(definition));
        for fragment in self.referenced(&operation.selection) {
            usages.extend(of(std::ptr::from_ref(fragment) as usize));
        }
        usages
    }
}
