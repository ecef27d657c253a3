//! Whether a document fits the schema: the rules of graphql-js, its words and its order. One walk over the document
//! asks all rules at each node, as graphql-js does.

mod directives;
mod fragments;
mod overlap;
mod values;

use std::collections::HashMap;

use super::errors::{Code, GraphQLError};
use super::language::ast::{
    Definition, Document, Field, Fragment, Inline, Name, Offset, Operation, OperationKind, Selection,
    SelectionSet, Spread,
};
use super::schema::Schema;
use super::schema::types::{FieldDef, TypeDef, TypeKind, TypeRef};
use super::suggest::{did_you_mean, near};

/// More errors than this are not told.
const MOST_ERRORS: usize = 100;

/// Operations of a document: fragments are followed for each of them.
const MOST_OPERATIONS: usize = 500;

/// Everything that is wrong, in order; empty for a document that can be executed.
pub fn validate(schema: &Schema, document: &Document) -> Vec<GraphQLError> {
    let operations = document.definitions.iter();
    let count = operations.filter(|definition| matches!(definition, Definition::Operation(_))).count();
    if count > MOST_OPERATIONS {
        let text = format!("The document holds more than {MOST_OPERATIONS} operations.");
        return vec![GraphQLError::new(Code::ValidationFailed, text)];
    }
    let fragments = super::limits::fragments(document);
    let mut walk = Walk {
        schema,
        document,
        fragments,
        errors: Vec::new(),
        usages: Vec::new(),
        collected: HashMap::new(),
        overlap: overlap::Seen::default(),
        quiet: true,
    };
    // Which variables a fragment uses is known before the operations that spread it are looked at.
    for definition in &document.definitions {
        match definition {
            Definition::Operation(operation) => walk.operation_body(operation),
            Definition::Fragment(fragment) => walk.fragment_body(fragment),
            _ => continue,
        }
        let usages = std::mem::take(&mut walk.usages);
        walk.collected.insert(definition_address(definition), usages);
    }
    walk.quiet = false;
    walk.document();
    walk.errors
}

/// What an operation or a fragment is known by.
fn definition_address(definition: &Definition) -> usize {
    match definition {
        Definition::Operation(operation) => std::ptr::from_ref(operation) as usize,
        Definition::Fragment(fragment) => std::ptr::from_ref(fragment) as usize,
        other => std::ptr::from_ref(other) as usize,
    }
}

/// A use of a variable.
#[derive(Clone, Debug)]
struct Usage<'d> {
    name: &'d str,
    at: Offset,
    ty: Option<TypeRef>,
    has_default: bool,
}

struct Walk<'d> {
    schema: &'d Schema,
    document: &'d Document,
    fragments: super::limits::Fragments<'d>,
    errors: Vec<GraphQLError>,
    /// Those of the definition that is walked through.
    usages: Vec<Usage<'d>>,
    /// By the address of the definition.
    collected: HashMap<usize, Vec<Usage<'d>>>,
    overlap: overlap::Seen<'d>,
    /// Only looks for usages.
    quiet: bool,
}

impl<'d> Walk<'d> {
    fn report(&mut self, message: impl Into<String>, at: &[Offset]) {
        if self.quiet || self.errors.len() > MOST_ERRORS {
            return;
        }
        let error = if self.errors.len() == MOST_ERRORS {
            let text = "Too many validation errors, error limit reached. Validation aborted.";
            GraphQLError::new(Code::ValidationFailed, text)
        } else {
            GraphQLError { at: at.to_vec(), ..GraphQLError::new(Code::ValidationFailed, message) }
        };
        self.errors.push(error);
    }

    fn is_over(&self) -> bool {
        self.errors.len() > MOST_ERRORS
    }

    fn document(&mut self) {
        let document = self.document;
        for definition in &document.definitions {
            let (at, name) = match definition {
                Definition::Operation(_) | Definition::Fragment(_) => continue,
                Definition::Type(ty) => (ty.at, format!("\"{}\"", ty.name.text)),
                Definition::Directive(directive) => (directive.at, format!("\"{}\"", directive.name.text)),
                Definition::Schema { at, .. } => (*at, "schema".to_owned()),
            };
            self.report(format!("The {name} definition is not executable."), &[at]);
        }
        let operations = document.definitions.iter();
        let count = operations.filter(|definition| matches!(definition, Definition::Operation(_))).count();
        let mut names: HashMap<&str, Offset> = HashMap::new();
        let mut fragments: HashMap<&str, Offset> = HashMap::new();
        let mut cycles = fragments::Cycles::default();
        for definition in &document.definitions {
            if self.is_over() {
                return;
            }
            match definition {
                Definition::Operation(operation) => {
                    if let Some(name) = &operation.name {
                        match names.get(name.text.as_str()) {
                            Some(first) => {
                                let text =
                                    format!("There can be only one operation named \"{}\".", name.text);
                                let first = *first;
                                self.report(text, &[first, name.at]);
                            }
                            None => drop(names.insert(&name.text, name.at)),
                        }
                    } else if count > 1 {
                        let text = "This anonymous operation must be the only defined operation.";
                        self.report(text, &[operation.at]);
                    }
                    if operation.kind == OperationKind::Subscription {
                        self.single_field(operation);
                    }
                    self.unique_variables(operation);
                    self.operation_body(operation);
                    self.leave_operation(definition, operation);
                }
                Definition::Fragment(fragment) => {
                    self.composite_condition(&fragment.condition, Some(&fragment.name));
                    let name = &fragment.name;
                    match fragments.get(name.text.as_str()) {
                        Some(first) => {
                            let text = format!("There can be only one fragment named \"{}\".", name.text);
                            let first = *first;
                            self.report(text, &[first, name.at]);
                        }
                        None => drop(fragments.insert(&name.text, name.at)),
                    }
                    self.cycles_of(fragment, &mut cycles);
                    self.fragment_body(fragment);
                }
                _ => {}
            }
        }
        self.unused_fragments();
    }

    fn operation_body(&mut self, operation: &'d Operation) {
        let root = match operation.kind {
            OperationKind::Query => self.schema.get("Query"),
            OperationKind::Mutation if self.schema.has_mutations() => self.schema.get("Mutation"),
            OperationKind::Subscription if self.schema.has_subscriptions() => self.schema.get("Subscription"),
            _ => None,
        };
        for variable in &operation.variables {
            self.unique_directives(&variable.directives);
            let named = variable.ty.named();
            if let Some(ty) = self.schema.get(&named.text)
                && !ty.is_input()
            {
                let shown = super::language::print::type_of(&variable.ty);
                let text =
                    format!("Variable \"${}\" cannot be non-input type \"{shown}\".", variable.name.text);
                self.report(text, &[variable.ty.at()]);
            }
            self.known_type(named);
            let ty = self.input_of(TypeRef::from_ast(&variable.ty));
            if let Some(default) = &variable.default {
                self.value(default, ty.as_ref(), false);
            }
            self.directives(&variable.directives, "VARIABLE_DEFINITION");
        }
        self.unique_directives(&operation.directives);
        let location = match operation.kind {
            OperationKind::Query => "QUERY",
            OperationKind::Mutation => "MUTATION",
            OperationKind::Subscription => "SUBSCRIPTION",
        };
        self.directives(&operation.directives, location);
        self.selection_set(&operation.selection, root);
    }

    fn fragment_body(&mut self, fragment: &'d Fragment) {
        self.unique_directives(&fragment.directives);
        self.known_type(&fragment.condition);
        self.directives(&fragment.directives, "FRAGMENT_DEFINITION");
        let ty = self.schema.get(&fragment.condition.text);
        self.selection_set(&fragment.selection, ty);
    }

    fn known_type(&mut self, name: &Name) {
        if self.quiet || self.schema.get(&name.text).is_some() {
            return;
        }
        let near = near(&name.text, self.schema.names().chain(BUILT_IN));
        let hint = did_you_mean("", &near);
        self.report(format!("Unknown type \"{}\".{hint}", name.text), &[name.at]);
    }

    fn composite_condition(&mut self, condition: &Name, fragment: Option<&Name>) {
        let Some(ty) = self.schema.get(&condition.text) else { return };
        if ty.is_composite() {
            return;
        }
        let text = match fragment {
            Some(name) => format!(
                "Fragment \"{}\" cannot condition on non composite type \"{}\".",
                name.text, condition.text
            ),
            None => format!("Fragment cannot condition on non composite type \"{}\".", condition.text),
        };
        self.report(text, &[condition.at]);
    }

    /// `ty` is what the selection is made from; fields of a type that is none are looked at without.
    fn selection_set(&mut self, set: &'d SelectionSet, ty: Option<&'d TypeDef>) {
        let parent = ty.filter(|ty| ty.is_composite());
        if !self.quiet {
            self.overlapping(set, parent);
        }
        for selection in &set.items {
            if self.is_over() {
                return;
            }
            match selection {
                Selection::Field(field) => self.field(field, parent),
                Selection::Spread(spread) => self.spread(spread, parent),
                Selection::Inline(inline) => self.inline(inline, ty, parent),
            }
        }
    }

    fn field(&mut self, field: &'d Field, parent: Option<&'d TypeDef>) {
        let definition = parent.and_then(|parent| self.field_of(parent, &field.name.text));
        let ty = definition.and_then(|definition| self.schema.of(&definition.ty));
        if let (Some(definition), Some(ty)) = (definition, ty) {
            self.leaf(field, definition, ty);
        }
        if let (Some(parent), None) = (parent, definition) {
            self.unknown_field(field, parent);
        }
        if !self.quiet
            && matches!(field.name.text.as_str(), "__schema" | "__type")
            && super::limits::is_deep_introspection(field, &self.fragments)
        {
            self.report("Maximum introspection depth exceeded", &[field.at]);
        }
        self.unique_directives(&field.directives);
        self.unique_arguments(&field.arguments);
        for argument in &field.arguments {
            if self.is_over() {
                return;
            }
            let known = definition.and_then(|definition| definition.args.get(argument.name.text.as_str()));
            if let (None, Some(definition), Some(parent), false) = (known, definition, parent, self.quiet) {
                let near = near(&argument.name.text, definition.args.keys().map(|name| &**name));
                let text = format!(
                    "Unknown argument \"{}\" on field \"{}.{}\".{}",
                    argument.name.text,
                    parent.name,
                    field.name.text,
                    did_you_mean("", &near)
                );
                self.report(text, &[argument.at]);
            }
            let has_default = known.is_some_and(|known| known.default.is_some());
            self.value(&argument.value, known.map(|known| &known.ty), has_default);
        }
        self.directives(&field.directives, "FIELD");
        if let Some(set) = &field.selection {
            self.selection_set(set, ty);
        }
        for (name, input) in definition.into_iter().flat_map(|definition| &definition.args) {
            let is_given = field.arguments.iter().any(|argument| argument.name.text == **name);
            if input.is_required() && !is_given {
                let text = format!(
                    "Field \"{}\" argument \"{name}\" of type \"{}\" is required, but it was not provided.",
                    field.name.text, input.ty
                );
                self.report(text, &[field.at]);
            }
        }
    }

    fn field_of(&self, parent: &'d TypeDef, name: &str) -> Option<&'d FieldDef> {
        super::schema::field_of(parent, name)
    }

    fn leaf(&mut self, field: &Field, definition: &FieldDef, ty: &TypeDef) {
        let (name, shown) = (&field.name.text, &definition.ty);
        match &field.selection {
            Some(set) if ty.is_leaf() => {
                let text = format!(
                    "Field \"{name}\" must not have a selection since type \"{shown}\" has no subfields."
                );
                self.report(text, &[set.at]);
            }
            None if !ty.is_leaf() => {
                let text = format!(
                    "Field \"{name}\" of type \"{shown}\" must have a selection of subfields. Did you mean \"{name} {{ ... }}\"?"
                );
                self.report(text, &[field.at]);
            }
            _ => {}
        }
    }

    fn unknown_field(&mut self, field: &Field, parent: &TypeDef) {
        if self.quiet {
            return;
        }
        let name = &field.name.text;
        let types = self.types_with(parent, name);
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let mut hint = did_you_mean("to use an inline fragment on ", &types);
        if hint.is_empty() {
            let known = parent.fields().into_iter().flat_map(|fields| fields.keys().map(|name| &**name));
            hint = did_you_mean("", &near(name, known));
        }
        self.report(format!("Cannot query field \"{name}\" on type \"{}\".{hint}", parent.name), &[field.at]);
    }

    /// Types under an abstract one that have the field, those that fit most objects first.
    fn types_with(&self, parent: &TypeDef, field: &str) -> Vec<String> {
        if parent.is_object() || !parent.is_composite() {
            return Vec::new();
        }
        let has = |ty: &TypeDef| ty.fields().is_some_and(|fields| fields.contains_key(field));
        let mut counts: Vec<(&TypeDef, usize)> = Vec::new();
        for ty in self.schema.possible(parent).into_iter().filter(|ty| has(ty)) {
            counts.push((ty, 1));
            for interface in ty.interfaces().iter().filter_map(|name| self.schema.get(name)) {
                if !has(interface) {
                    continue;
                }
                match counts.iter_mut().find(|(known, _)| known.name == interface.name) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((interface, 1)),
                }
            }
        }
        counts.sort_by(|(a, many), (b, more)| {
            let is_above = |a: &TypeDef, b: &TypeDef| {
                matches!(a.kind, TypeKind::Interface { .. }) && self.schema.is_possible(a, b)
            };
            more.cmp(many).then_with(|| is_above(b, a).cmp(&is_above(a, b))).then_with(|| a.name.cmp(&b.name))
        });
        counts.into_iter().map(|(ty, _)| ty.name.to_string()).collect()
    }

    fn spread(&mut self, spread: &'d Spread, parent: Option<&'d TypeDef>) {
        let name = &spread.name.text;
        let fragment = self.fragments.get(name.as_str()).copied();
        if fragment.is_none() {
            self.report(format!("Unknown fragment \"{name}\"."), &[spread.name.at]);
        }
        let ty = fragment.and_then(|fragment| self.schema.get(&fragment.condition.text));
        if let (Some(ty), Some(parent)) = (ty.filter(|ty| ty.is_composite()), parent)
            && !self.quiet
            && !self.schema.overlap(ty, parent)
        {
            let text = format!(
                "Fragment \"{name}\" cannot be spread here as objects of type \"{}\" can never be of type \"{}\".",
                parent.name, ty.name
            );
            self.report(text, &[spread.at]);
        }
        self.unique_directives(&spread.directives);
        self.directives(&spread.directives, "FRAGMENT_SPREAD");
    }

    fn inline(&mut self, inline: &'d Inline, outer: Option<&'d TypeDef>, parent: Option<&'d TypeDef>) {
        let ty = match &inline.condition {
            Some(condition) => {
                self.composite_condition(condition, None);
                self.schema.get(&condition.text)
            }
            None => outer,
        };
        if let (Some(ty), Some(parent)) = (ty.filter(|ty| ty.is_composite()), parent)
            && !self.quiet
            && !self.schema.overlap(ty, parent)
        {
            let text = format!(
                "Fragment cannot be spread here as objects of type \"{}\" can never be of type \"{}\".",
                parent.name, ty.name
            );
            self.report(text, &[inline.at]);
        }
        self.unique_directives(&inline.directives);
        if let Some(condition) = &inline.condition {
            self.known_type(condition);
        }
        self.directives(&inline.directives, "INLINE_FRAGMENT");
        self.selection_set(&inline.selection, ty);
    }

    /// The type of a value, when values can have it.
    fn input_of(&self, ty: TypeRef) -> Option<TypeRef> {
        self.schema.of(&ty).is_some_and(TypeDef::is_input).then_some(ty)
    }
}

const BUILT_IN: [&str; 13] = [
    "String",
    "Int",
    "Float",
    "Boolean",
    "ID",
    "__Schema",
    "__Type",
    "__TypeKind",
    "__Field",
    "__InputValue",
    "__EnumValue",
    "__Directive",
    "__DirectiveLocation",
];
