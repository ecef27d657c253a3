//! The rule that fields with one key in the answer are the same field (graphql-js's
//! `OverlappingFieldsCanBeMerged`). Pairs of fields are looked at, so their number is limited.

use std::collections::HashMap;
use std::rc::Rc;

use indexmap::{IndexMap, IndexSet};

use super::super::language::ast::{Field, Offset, Selection, SelectionSet};
use super::super::language::print;
use super::super::schema::field_of;
use super::super::schema::types::{FieldDef, TypeDef, TypeRef};
use super::Walk;

/// Pairs of fields that are compared for one document; no sensible one comes near.
const MOST_PAIRS: usize = 200_000;
/// Selections within selections that are compared; fragments may nest them deeper than brackets do.
const DEEPEST: usize = 300;

type Entry<'d> = (Option<&'d TypeDef>, &'d Field, Option<&'d FieldDef>);

/// Fields of a selection by their keys, and the fragments spread in it.
struct Collected<'d> {
    fields: IndexMap<&'d str, Vec<Entry<'d>>>,
    fragments: Vec<&'d str>,
}

#[derive(Default)]
pub(super) struct Seen<'d> {
    sets: HashMap<usize, Rc<Collected<'d>>>,
    with_fragment: HashMap<(usize, &'d str), bool>,
    fragments: HashMap<(&'d str, &'d str), bool>,
    /// Arguments as text, by the address of the field.
    arguments: HashMap<usize, Rc<str>>,
    pairs: usize,
    depth: usize,
    told: bool,
}

enum Reason {
    Text(String),
    Below(Vec<(String, Reason)>),
}

impl Reason {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Below(reasons) => {
                let told = reasons
                    .iter()
                    .map(|(key, reason)| format!("subfields \"{key}\" conflict because {}", reason.text()));
                told.collect::<Vec<_>>().join(" and ")
            }
        }
    }
}

struct Conflict {
    key: String,
    reason: Reason,
    first: Vec<Offset>,
    second: Vec<Offset>,
}

fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of) as usize
}

impl<'d> Walk<'d> {
    pub(super) fn overlapping(&mut self, set: &'d SelectionSet, parent: Option<&'d TypeDef>) {
        let mut conflicts = Vec::new();
        let own = self.collect(set, parent);
        self.within(&own, &mut conflicts);
        for (index, name) in own.fragments.iter().enumerate() {
            self.with_fragment(&own, name, false, &mut conflicts);
            for other in own.fragments.iter().skip(index + 1) {
                self.fragments(name, other, false, &mut conflicts);
            }
        }
        for conflict in conflicts {
            let text = format!(
                "Fields \"{}\" conflict because {}. Use different aliases on the fields to fetch both if this was intentional.",
                conflict.key,
                conflict.reason.text()
            );
            let places: Vec<Offset> = conflict.first.into_iter().chain(conflict.second).collect();
            self.report(text, &places);
        }
    }

    fn collect(&mut self, set: &'d SelectionSet, parent: Option<&'d TypeDef>) -> Rc<Collected<'d>> {
        if let Some(known) = self.overlap.sets.get(&address(set)) {
            return known.clone();
        }
        let mut fields: IndexMap<&'d str, Vec<Entry<'d>>> = IndexMap::new();
        let mut fragments: IndexSet<&'d str> = IndexSet::new();
        self.gather(set, parent, &mut fields, &mut fragments);
        let collected = Rc::new(Collected { fields, fragments: fragments.into_iter().collect() });
        self.overlap.sets.insert(address(set), collected.clone());
        collected
    }

    fn gather(
        &self,
        set: &'d SelectionSet,
        parent: Option<&'d TypeDef>,
        fields: &mut IndexMap<&'d str, Vec<Entry<'d>>>,
        fragments: &mut IndexSet<&'d str>,
    ) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    let definition = parent.and_then(|parent| field_of(parent, &field.name.text));
                    fields.entry(field.key()).or_default().push((parent, field, definition));
                }
                Selection::Spread(spread) => drop(fragments.insert(&spread.name.text)),
                Selection::Inline(inline) => {
                    let ty = match &inline.condition {
                        Some(condition) => self.schema.get(&condition.text),
                        None => parent,
                    };
                    self.gather(&inline.selection, ty, fields, fragments);
                }
            }
        }
    }

    fn of_fragment(&mut self, name: &str) -> Option<Rc<Collected<'d>>> {
        let fragment = *self.fragments.get(name)?;
        let ty = self.schema.get(&fragment.condition.text);
        Some(self.collect(&fragment.selection, ty))
    }

    fn within(&mut self, own: &Rc<Collected<'d>>, conflicts: &mut Vec<Conflict>) {
        for (key, fields) in &own.fields {
            // Nearly always; and then nothing can differ.
            let Some(((parent, first, _), others)) = fields.split_first() else { continue };
            let is_plain = |(other_parent, field, _): &Entry<'d>| {
                field.selection.is_none()
                    && field.name.text == first.name.text
                    && field.arguments.is_empty()
                    && other_parent.map(address) == parent.map(address)
            };
            if first.selection.is_none() && first.arguments.is_empty() && others.iter().all(is_plain) {
                continue;
            }
            for (index, one) in fields.iter().enumerate() {
                for other in fields.iter().skip(index + 1) {
                    conflicts.extend(self.conflict(false, key, one, other));
                }
            }
        }
    }

    fn between(
        &mut self,
        exclusive: bool,
        one: &Rc<Collected<'d>>,
        other: &Rc<Collected<'d>>,
        conflicts: &mut Vec<Conflict>,
    ) {
        for (key, fields) in &one.fields {
            let Some(others) = other.fields.get(key) else { continue };
            for field in fields {
                for other in others {
                    conflicts.extend(self.conflict(exclusive, key, field, other));
                }
            }
        }
    }

    fn with_fragment(
        &mut self,
        own: &Rc<Collected<'d>>,
        name: &'d str,
        exclusive: bool,
        conflicts: &mut Vec<Conflict>,
    ) {
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            if !self.counts(None) {
                return;
            }
            let pair = (Rc::as_ptr(own) as usize, name);
            if self.overlap.with_fragment.get(&pair).is_some_and(|known| exclusive || !*known) {
                continue;
            }
            self.overlap.with_fragment.insert(pair, exclusive);
            let Some(of_fragment) = self.of_fragment(name) else { continue };
            if Rc::ptr_eq(own, &of_fragment) {
                continue;
            }
            self.between(exclusive, own, &of_fragment, conflicts);
            open.extend(of_fragment.fragments.iter().rev());
        }
    }

    fn fragments(&mut self, one: &'d str, other: &'d str, exclusive: bool, conflicts: &mut Vec<Conflict>) {
        let mut open = vec![(one, other)];
        while let Some((one, other)) = open.pop() {
            if !self.counts(None) {
                return;
            }
            if one == other {
                continue;
            }
            let pair = if one < other { (one, other) } else { (other, one) };
            if self.overlap.fragments.get(&pair).is_some_and(|known| exclusive || !*known) {
                continue;
            }
            self.overlap.fragments.insert(pair, exclusive);
            let (Some(first), Some(second)) = (self.of_fragment(one), self.of_fragment(other)) else {
                continue;
            };
            self.between(exclusive, &first, &second, conflicts);
            open.extend(first.fragments.iter().map(|first| (*first, other)));
            open.extend(second.fragments.iter().map(|second| (one, *second)));
        }
    }

    /// Counts a pair of fields, selections or fragments: `false` when there were too many.
    fn counts(&mut self, at: Option<Offset>) -> bool {
        self.overlap.pairs += 1;
        if self.overlap.pairs <= MOST_PAIRS && self.overlap.depth <= DEEPEST {
            return true;
        }
        if !self.overlap.told {
            self.overlap.told = true;
            self.report("Too many fields share their keys.", at.as_slice());
        }
        false
    }

    /// Arguments in the order of their names.
    fn arguments_of(&mut self, field: &'d Field) -> Rc<str> {
        if let Some(known) = self.overlap.arguments.get(&address(field)) {
            return known.clone();
        }
        let mut all: Vec<String> = field
            .arguments
            .iter()
            .map(|argument| format!("{}:{}", argument.name.text, print::sorted(&argument.value)))
            .collect();
        all.sort_unstable();
        let text: Rc<str> = all.join("\n").into();
        self.overlap.arguments.insert(address(field), text.clone());
        text
    }

    fn conflict(
        &mut self,
        exclusive: bool,
        key: &str,
        one: &Entry<'d>,
        other: &Entry<'d>,
    ) -> Option<Conflict> {
        if !self.counts(Some(one.1.at)) {
            return None;
        }
        let (parent1, node1, def1) = one;
        let (parent2, node2, def2) = other;
        let is_object = |parent: &Option<&TypeDef>| parent.is_some_and(TypeDef::is_object);
        let same_parent = parent1.map(address) == parent2.map(address);
        let exclusive = exclusive || (!same_parent && is_object(parent1) && is_object(parent2));
        let conflict = |text: String| {
            Some(Conflict {
                key: key.to_owned(),
                reason: Reason::Text(text),
                first: vec![node1.at],
                second: vec![node2.at],
            })
        };
        if !exclusive {
            let (name1, name2) = (&node1.name.text, &node2.name.text);
            if name1 != name2 {
                return conflict(format!("\"{name1}\" and \"{name2}\" are different fields"));
            }
            if self.arguments_of(node1) != self.arguments_of(node2) {
                return conflict("they have differing arguments".to_owned());
            }
        }
        let (ty1, ty2) = (def1.map(|def| &def.ty), def2.map(|def| &def.ty));
        if let (Some(ty1), Some(ty2)) = (ty1, ty2)
            && self.types_conflict(ty1, ty2)
        {
            return conflict(format!("they return conflicting types \"{ty1}\" and \"{ty2}\""));
        }
        let (set1, set2) = (node1.selection.as_ref()?, node2.selection.as_ref()?);
        self.overlap.depth += 1;
        let below = self.sub_selections(
            exclusive,
            (set1, ty1.and_then(|ty| self.schema.of(ty))),
            (set2, ty2.and_then(|ty| self.schema.of(ty))),
        );
        self.overlap.depth -= 1;
        if below.is_empty() {
            return None;
        }
        let mut whole = Conflict {
            key: key.to_owned(),
            reason: Reason::Below(Vec::new()),
            first: vec![node1.at],
            second: vec![node2.at],
        };
        let mut reasons = Vec::new();
        for conflict in below {
            whole.first.extend(conflict.first);
            whole.second.extend(conflict.second);
            reasons.push((conflict.key, conflict.reason));
        }
        whole.reason = Reason::Below(reasons);
        Some(whole)
    }

    fn sub_selections(
        &mut self,
        exclusive: bool,
        (set1, ty1): (&'d SelectionSet, Option<&'d TypeDef>),
        (set2, ty2): (&'d SelectionSet, Option<&'d TypeDef>),
    ) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        let (one, other) = (self.collect(set1, ty1), self.collect(set2, ty2));
        self.between(exclusive, &one, &other, &mut conflicts);
        for name in &other.fragments {
            self.with_fragment(&one, name, exclusive, &mut conflicts);
        }
        for name in &one.fragments {
            self.with_fragment(&other, name, exclusive, &mut conflicts);
        }
        for first in &one.fragments {
            for second in &other.fragments {
                self.fragments(first, second, exclusive, &mut conflicts);
            }
        }
        conflicts
    }

    fn types_conflict(&self, one: &TypeRef, other: &TypeRef) -> bool {
        match (one, other) {
            (TypeRef::List(one), TypeRef::List(other)) | (TypeRef::NonNull(one), TypeRef::NonNull(other)) => {
                self.types_conflict(one, other)
            }
            (TypeRef::List(_) | TypeRef::NonNull(_), _) | (_, TypeRef::List(_) | TypeRef::NonNull(_)) => true,
            (TypeRef::Named(one), TypeRef::Named(other)) => {
                let is_leaf = |name: &str| self.schema.get(name).is_some_and(TypeDef::is_leaf);
                (is_leaf(one) || is_leaf(other)) && one != other
            }
        }
    }
}
