//! Which fields of a type a selection asks for, and the paths below a field as a flat list.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use indexmap::IndexMap;
use serde_json::Value;

use super::super::input::Variables;
use super::super::language::ast::{Directive, Field, Selection, SelectionSet, ValueKind};
use super::super::limits::Fragments;
use super::super::schema::types::TypeDef;
use super::Execution;

/// Fields by their keys in the answer.
pub type Collected<'e> = Rc<IndexMap<&'e str, Vec<&'e Field>>>;

/// By type and selection: the objects of a list are cut alike.
pub type Cache<'e> = HashMap<(usize, Vec<usize>), Collected<'e>>;

/// The selections of a field that stands in several places.
pub fn sets<'e>(fields: &[&'e Field]) -> Vec<&'e SelectionSet> {
    fields.iter().filter_map(|field| field.selection.as_ref()).collect()
}

/// Whether `@skip` and `@include` leave a selection in.
pub fn is_included(directives: &[Directive], variables: &Variables) -> bool {
    directives.iter().all(|directive| {
        let condition = || {
            let argument = directive.arguments.iter().find(|argument| argument.name.text == "if");
            match argument.map(|argument| &argument.value.kind) {
                Some(ValueKind::Boolean(value)) => *value,
                Some(ValueKind::Variable(name)) => variables.get(name) == Some(&Value::Bool(true)),
                _ => false,
            }
        };
        match directive.name.text.as_str() {
            "skip" => !condition(),
            "include" => condition(),
            _ => true,
        }
    })
}

impl<'e> Execution<'e> {
    pub(super) fn collect(&self, ty: &TypeDef, sets: &[&'e SelectionSet]) -> Collected<'e> {
        let addresses = sets.iter().map(|set| std::ptr::from_ref(*set) as usize).collect();
        let key = (std::ptr::from_ref(ty) as usize, addresses);
        if let Some(known) = self.cache.borrow().get(&key) {
            return known.clone();
        }
        let mut fields = IndexMap::new();
        let mut visited = HashSet::new();
        for set in sets {
            self.gather(ty, set, &mut fields, &mut visited);
        }
        let collected = Rc::new(fields);
        self.cache.borrow_mut().insert(key, collected.clone());
        collected
    }

    fn gather(
        &self,
        ty: &TypeDef,
        set: &'e SelectionSet,
        fields: &mut IndexMap<&'e str, Vec<&'e Field>>,
        visited: &mut HashSet<&'e str>,
    ) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    if is_included(&field.directives, self.variables) {
                        fields.entry(field.key()).or_default().push(field);
                    }
                }
                Selection::Inline(inline) => {
                    let fits = inline.condition.as_ref().is_none_or(|name| self.is_of(ty, &name.text));
                    if fits && is_included(&inline.directives, self.variables) {
                        self.gather(ty, &inline.selection, fields, visited);
                    }
                }
                Selection::Spread(spread) => {
                    let name = spread.name.text.as_str();
                    if !is_included(&spread.directives, self.variables) || !visited.insert(name) {
                        continue;
                    }
                    if let Some(fragment) = self.fragments.get(name)
                        && self.is_of(ty, &fragment.condition.text)
                    {
                        self.gather(ty, &fragment.selection, fields, visited);
                    }
                }
            }
        }
    }

    fn is_of(&self, ty: &TypeDef, name: &str) -> bool {
        ty.name == name
            || self.schema.get(name).is_some_and(|condition| self.schema.is_possible(condition, ty))
    }
}

/// A tree of the field names below fields: no aliases, fragments of all types as one (the npm package
/// `graphql-list-fields`).
#[derive(Debug, Default)]
pub struct Names<'e> {
    pub below: IndexMap<&'e str, Names<'e>>,
}

impl<'e> Names<'e> {
    pub fn of(fields: &[&'e Field], fragments: &Fragments<'e>, variables: &Variables) -> Self {
        let mut names = Self::default();
        for set in sets(fields) {
            names.add(set, fragments, variables);
        }
        names
    }

    fn add(&mut self, set: &'e SelectionSet, fragments: &Fragments<'e>, variables: &Variables) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) if is_included(&field.directives, variables) => {
                    let below = self.below.entry(&field.name.text).or_default();
                    if let Some(set) = &field.selection {
                        below.add(set, fragments, variables);
                    }
                }
                Selection::Inline(inline) if is_included(&inline.directives, variables) => {
                    self.add(&inline.selection, fragments, variables);
                }
                Selection::Spread(spread) if is_included(&spread.directives, variables) => {
                    if let Some(fragment) = fragments.get(spread.name.text.as_str()) {
                        self.add(&fragment.selection, fragments, variables);
                    }
                }
                _ => {}
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<&Self> {
        self.below.get(name)
    }

    /// Below a path.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |names, name| names.get(name))
    }

    pub fn has(&self, name: &str) -> bool {
        self.below.contains_key(name)
    }
}
