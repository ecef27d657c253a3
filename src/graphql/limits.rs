//! How much a document may ask for: depth and number of fields (`requestComplexity`), lists within lists of
//! introspection, and a depth that nobody may exceed, since what answers a selection calls itself for each level.

use std::collections::HashMap;

use super::errors::{Code, GraphQLError};
use super::language::ast::{Definition, Document, Field, Fragment, Operation, Selection, SelectionSet};

/// Levels of a selection, fragments followed, for everybody.
const DEEPEST: usize = 400;
/// Lists of types within each other.
const INTROSPECTED_LISTS: usize = 3;

pub type Fragments<'d> = HashMap<&'d str, &'d Fragment>;

pub fn fragments(document: &Document) -> Fragments<'_> {
    let fragments = document.definitions.iter().filter_map(|definition| match definition {
        Definition::Fragment(fragment) => Some((fragment.name.text.as_str(), fragment)),
        _ => None,
    });
    fragments.collect()
}

/// What a fragment adds wherever it is spread.
#[derive(Clone, Copy, Default)]
struct Weight {
    depth: usize,
    fields: usize,
}

struct Scales<'d> {
    fragments: &'d Fragments<'d>,
    known: HashMap<&'d str, Weight>,
    too_deep: bool,
}

impl<'d> Scales<'d> {
    fn weigh(&mut self, set: &'d SelectionSet, level: usize) -> Weight {
        let mut sum = Weight::default();
        if level > DEEPEST {
            self.too_deep = true;
            return sum;
        }
        for selection in &set.items {
            let (own, added) = match selection {
                Selection::Field(field) => {
                    let below =
                        field.selection.as_ref().map(|set| self.weigh(set, level + 1)).unwrap_or_default();
                    (1, below)
                }
                Selection::Inline(inline) => (0, self.weigh(&inline.selection, level + 1)),
                Selection::Spread(spread) => (0, self.fragment(&spread.name.text, level)),
            };
            sum.fields = sum.fields.saturating_add(own).saturating_add(added.fields);
            sum.depth = sum.depth.max(own + added.depth);
        }
        sum
    }

    fn fragment(&mut self, name: &str, level: usize) -> Weight {
        if let Some(known) = self.known.get(name) {
            // As deep as it is, below this level.
            self.too_deep |= level + known.depth > DEEPEST;
            return *known;
        }
        let Some((name, fragment)) = self.fragments.get_key_value(name) else { return Weight::default() };
        let weight = self.weigh(&fragment.selection, level + 1);
        self.known.insert(name, weight);
        weight
    }
}

/// # Errors
/// For an operation that asks for too much. `limits`: depth and fields, where they count.
pub fn check(
    operation: &Operation,
    fragments: &Fragments<'_>,
    limits: Option<(Option<u32>, Option<u32>)>,
) -> Result<(), GraphQLError> {
    let mut scales = Scales { fragments, known: HashMap::new(), too_deep: false };
    let Weight { depth, fields } = scales.weigh(&operation.selection, 0);
    let too_deep = scales.too_deep || depth > DEEPEST;
    let refuse = |text: String| Err(GraphQLError::new(Code::Internal, text));
    let (most_depth, most_fields) = limits.unwrap_or_default();
    if let Some(most) = most_depth.filter(|most| depth > *most as usize) {
        return refuse(format!("GraphQL query depth of {depth} exceeds maximum allowed depth of {most}"));
    }
    if too_deep {
        return refuse("The document is nested too deeply.".to_owned());
    }
    if let Some(most) = most_fields.filter(|most| fields > *most as usize) {
        return refuse(format!("Number of GraphQL fields ({fields}) exceeds maximum allowed ({most})"));
    }
    Ok(())
}

/// Whether a field of introspection asks for lists of types within lists, deeper than any tool does.
pub fn is_deep_introspection<'d>(field: &'d Field, fragments: &Fragments<'d>) -> bool {
    fn lists<'d>(
        set: &'d SelectionSet,
        fragments: &Fragments<'d>,
        known: &mut HashMap<&'d str, usize>,
        level: usize,
    ) -> usize {
        if level > DEEPEST {
            return INTROSPECTED_LISTS;
        }
        let mut most = 0;
        for selection in &set.items {
            let found = match selection {
                Selection::Field(field) => {
                    let is_list =
                        ["fields", "interfaces", "possibleTypes", "inputFields"].contains(&&*field.name.text);
                    let below = field.selection.as_ref().map(|set| lists(set, fragments, known, level + 1));
                    usize::from(is_list) + below.unwrap_or_default()
                }
                Selection::Inline(inline) => lists(&inline.selection, fragments, known, level + 1),
                Selection::Spread(spread) => {
                    let name = spread.name.text.as_str();
                    match (known.get(name), fragments.get_key_value(name)) {
                        (Some(known), _) => *known,
                        (None, Some((name, fragment))) => {
                            // Of a fragment that leads back to itself other rules tell.
                            known.insert(name, 0);
                            let found = lists(&fragment.selection, fragments, known, level + 1);
                            known.insert(name, found);
                            found
                        }
                        (None, None) => 0,
                    }
                }
            };
            most = most.max(found);
        }
        most
    }
    let found = field.selection.as_ref().map(|set| lists(set, fragments, &mut HashMap::new(), 0));
    found.unwrap_or_default() >= INTROSPECTED_LISTS
}
