//! Rules about fragments: each is used, none leads back to itself.

use std::collections::{HashMap, HashSet};

use super::super::language::ast::{Definition, Fragment, Selection, SelectionSet, Spread};
use super::Walk;

/// Fragments that were followed already.
#[derive(Default)]
pub(super) struct Cycles<'d> {
    visited: HashSet<&'d str>,
}

/// All spreads in a selection, in graphql-js's order.
fn spreads(set: &SelectionSet) -> Vec<&Spread> {
    let mut found = Vec::new();
    let mut open = vec![set];
    while let Some(set) = open.pop() {
        for selection in &set.items {
            match selection {
                Selection::Spread(spread) => found.push(spread),
                Selection::Inline(inline) => open.push(&inline.selection),
                Selection::Field(field) => open.extend(&field.selection),
            }
        }
    }
    found
}

impl<'d> Walk<'d> {
    /// All fragments that a selection leads to.
    pub(super) fn referenced(&self, set: &'d SelectionSet) -> Vec<&'d Fragment> {
        let mut found = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
        let mut open = vec![set];
        while let Some(set) = open.pop() {
            for spread in spreads(set) {
                if seen.insert(&spread.name.text)
                    && let Some(fragment) = self.fragments.get(spread.name.text.as_str())
                {
                    found.push(*fragment);
                    open.push(&fragment.selection);
                }
            }
        }
        found
    }

    pub(super) fn unused_fragments(&mut self) {
        let document = self.document;
        let mut used: HashSet<&str> = HashSet::new();
        for definition in &document.definitions {
            if let Definition::Operation(operation) = definition {
                let fragments = self.referenced(&operation.selection);
                used.extend(fragments.into_iter().map(|fragment| fragment.name.text.as_str()));
            }
        }
        for definition in &document.definitions {
            if let Definition::Fragment(fragment) = definition
                && !used.contains(fragment.name.text.as_str())
            {
                self.report(format!("Fragment \"{}\" is never used.", fragment.name.text), &[fragment.at]);
            }
        }
    }

    /// Follows the spreads of a fragment as deep as they go, without calling itself: there may be as many
    /// fragments as a document has room for.
    pub(super) fn cycles_of(&mut self, fragment: &'d Fragment, cycles: &mut Cycles<'d>) {
        struct Frame<'d> {
            name: &'d str,
            spreads: std::vec::IntoIter<&'d Spread>,
        }
        let mut path: Vec<&'d Spread> = Vec::new();
        let mut index: HashMap<&'d str, usize> = HashMap::new();
        let mut frames: Vec<Frame<'d>> = Vec::new();
        let mut enter = |fragment: &'d Fragment, depth: usize, index: &mut HashMap<&'d str, usize>| {
            let name = fragment.name.text.as_str();
            if !cycles.visited.insert(name) {
                return None;
            }
            let spreads = spreads(&fragment.selection);
            if spreads.is_empty() {
                return None;
            }
            index.insert(name, depth);
            Some(Frame { name, spreads: spreads.into_iter() })
        };
        frames.extend(enter(fragment, 0, &mut index));
        while let Some(frame) = frames.last_mut() {
            let Some(spread) = frame.spreads.next() else {
                index.remove(frame.name);
                frames.pop();
                path.pop();
                continue;
            };
            let name = spread.name.text.as_str();
            match index.get(name).copied() {
                None => {
                    let next = self.fragments.get(name).copied();
                    if let Some(frame) = next.and_then(|next| enter(next, path.len() + 1, &mut index)) {
                        path.push(spread);
                        frames.push(frame);
                    }
                }
                Some(start) => {
                    let cycle: Vec<&Spread> =
                        path.iter().skip(start).copied().chain(std::iter::once(spread)).collect();
                    let via: Vec<String> = cycle
                        .iter()
                        .take(cycle.len() - 1)
                        .map(|spread| format!("\"{}\"", spread.name.text))
                        .collect();
                    let via = if via.is_empty() { String::new() } else { format!(" via {}", via.join(", ")) };
                    let places: Vec<_> = cycle.iter().map(|spread| spread.at).collect();
                    self.report(format!("Cannot spread fragment \"{name}\" within itself{via}."), &places);
                }
            }
        }
    }
}
