//! How much a document may ask for: depth and number of fields (`requestComplexity`), lists within lists of
//! introspection, and what nobody may exceed: a depth, since what answers a selection calls itself for each level,
//! and numbers of fields and of variables' bytes, since fragments and variables multiply what a client sent.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use super::errors::{Code, GraphQLError};
use super::language::ast::{
    Argument, Definition, Directive, Document, Field, Fragment, Operation, Selection, SelectionSet, Value,
    ValueKind,
};
use crate::operations::budget::json_size;

/// Levels of a selection, fragments followed, for everybody.
const DEEPEST: usize = 400;
/// Fields of a selection, fragments followed wherever they are spread, for everybody.
const MOST_FIELDS: usize = 20_000;
/// Bytes of variables, counted wherever the document has them.
const MOST_GIVEN: usize = 20 * 1024 * 1024;
/// Bytes of a document that a client may send, as long as the body of a request without files may be.
const LONGEST_DOCUMENT: usize = 100 * 1024;
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

/// Depth and fields as parse-server counts them: past a limit it looks no further, and tells how far it came.
struct Count<'d> {
    fragments: &'d Fragments<'d>,
    limits: Limits,
    sum: Weight,
    known: HashMap<&'d str, Weight>,
}

impl<'d> Count<'d> {
    fn of(set: &'d SelectionSet, fragments: &'d Fragments<'d>, limits: Limits) -> Weight {
        let mut count = Self { fragments, limits, sum: Weight::default(), known: HashMap::new() };
        count.visit(set, 0);
        count.sum
    }

    fn is_past(&self) -> bool {
        let is_more = |count: usize, most: Option<u32>| most.is_some_and(|most| count > most as usize);
        is_more(self.sum.fields, self.limits.fields) || is_more(self.sum.depth, self.limits.depth)
    }

    fn visit(&mut self, set: &'d SelectionSet, depth: usize) {
        if self.is_past() {
            return;
        }
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    self.add(Weight { depth: 1, fields: 1 }, depth);
                    if let Some(set) = &field.selection {
                        self.visit(set, depth + 1);
                    }
                }
                Selection::Inline(inline) => self.visit(&inline.selection, depth),
                Selection::Spread(spread) => self.fragment(&spread.name.text, depth),
            }
        }
    }

    fn fragment(&mut self, name: &str, depth: usize) {
        if let Some(known) = self.known.get(name).copied() {
            self.add(known, depth);
            return;
        }
        let Some((name, fragment)) = self.fragments.get_key_value(name).filter(|_| !self.is_past()) else {
            return;
        };
        let before = self.sum;
        self.sum.depth = depth;
        self.visit(&fragment.selection, depth);
        let Weight { depth: deepest, fields } = self.sum;
        self.known.insert(name, Weight { depth: deepest - depth, fields: fields - before.fields });
        self.sum.depth = deepest.max(before.depth);
    }

    /// What is below a place `depth` levels deep.
    fn add(&mut self, below: Weight, depth: usize) {
        self.sum.fields = self.sum.fields.saturating_add(below.fields);
        self.sum.depth = self.sum.depth.max(depth + below.depth);
    }
}

/// What counts for callers without the master key (`requestComplexity`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    pub depth: Option<u32>,
    pub fields: Option<u32>,
    /// Fields of the root: each is an operation of its own, as the items of a batch are.
    pub operations: Option<u32>,
}

/// # Errors
/// For an operation that asks for too much.
pub fn check(operation: &Operation, fragments: &Fragments<'_>, limits: Limits) -> Result<(), GraphQLError> {
    let mut scales = Scales { fragments, known: HashMap::new(), too_deep: false };
    let Weight { depth, fields } = scales.weigh(&operation.selection, 0);
    let too_deep = scales.too_deep || depth > DEEPEST;
    let told =
        if too_deep { Weight { depth, fields } } else { Count::of(&operation.selection, fragments, limits) };
    let refuse = |text: String| Err(GraphQLError::new(Code::Internal, text));
    if let Some(most) = limits.depth.filter(|most| told.depth > *most as usize) {
        let depth = told.depth;
        return refuse(format!("GraphQL query depth of {depth} exceeds maximum allowed depth of {most}"));
    }
    if too_deep {
        return refuse("The document is nested too deeply.".to_owned());
    }
    if let Some(most) = limits.fields.filter(|most| told.fields > *most as usize) {
        let fields = told.fields;
        return refuse(format!("Number of GraphQL fields ({fields}) exceeds maximum allowed ({most})"));
    }
    if fields > MOST_FIELDS {
        return refuse(format!("The document selects more than {MOST_FIELDS} fields."));
    }
    if let Some(most) = limits.operations {
        let mut keys = HashSet::new();
        root_keys(&operation.selection, fragments, &mut HashSet::new(), &mut keys);
        if keys.len() > most as usize {
            let count = keys.len();
            return refuse(format!(
                "The document asks for {count} operations, more than the limit of {most}."
            ));
        }
    }
    Ok(())
}

fn root_keys<'d>(
    set: &'d SelectionSet,
    fragments: &Fragments<'d>,
    followed: &mut HashSet<&'d str>,
    keys: &mut HashSet<&'d str>,
) {
    for selection in &set.items {
        match selection {
            Selection::Field(field) if field.name.text.starts_with("__") => {}
            Selection::Field(field) => drop(keys.insert(field.key())),
            Selection::Inline(inline) => root_keys(&inline.selection, fragments, followed, keys),
            Selection::Spread(spread) => {
                let name = spread.name.text.as_str();
                if followed.insert(name)
                    && let Some(fragment) = fragments.get(name)
                {
                    root_keys(&fragment.selection, fragments, followed, keys);
                }
            }
        }
    }
}

/// # Errors
/// For a document that is too long to be read.
pub fn check_length(source: &str) -> Result<(), GraphQLError> {
    if source.len() > LONGEST_DOCUMENT {
        let text = format!("The document is longer than {LONGEST_DOCUMENT} bytes.");
        return Err(GraphQLError::new(Code::BadRequest, text));
    }
    Ok(())
}

/// # Errors
/// When the variables, each wherever it is used, are more than a request may hold.
pub fn check_given(document: &Document, variables: &super::input::Variables) -> Result<(), GraphQLError> {
    if variables.is_empty() {
        return Ok(());
    }
    let sizes =
        variables.iter().map(|(name, value): (&String, &Json)| (name.as_str(), json_size(value, MOST_GIVEN)));
    let mut given = Given { sizes: sizes.collect(), sum: 0 };
    for definition in &document.definitions {
        match definition {
            Definition::Operation(operation) => {
                given.directives(&operation.directives);
                given.selection(&operation.selection);
            }
            Definition::Fragment(fragment) => given.selection(&fragment.selection),
            _ => {}
        }
    }
    if given.sum > MOST_GIVEN {
        let text = format!("The variables, wherever they are used, are more than {MOST_GIVEN} bytes.");
        return Err(GraphQLError::new(Code::BadUserInput, text));
    }
    Ok(())
}

/// Bytes that the uses of variables come to.
struct Given<'v> {
    sizes: HashMap<&'v str, usize>,
    sum: usize,
}

impl Given<'_> {
    fn selection(&mut self, set: &SelectionSet) {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    self.arguments(&field.arguments);
                    self.directives(&field.directives);
                    if let Some(set) = &field.selection {
                        self.selection(set);
                    }
                }
                Selection::Inline(inline) => self.selection(&inline.selection),
                Selection::Spread(_) => {}
            }
        }
    }

    fn directives(&mut self, directives: &[Directive]) {
        for directive in directives {
            self.arguments(&directive.arguments);
        }
    }

    fn arguments(&mut self, arguments: &[Argument]) {
        for argument in arguments {
            self.value(&argument.value);
        }
    }

    fn value(&mut self, value: &Value) {
        match &value.kind {
            ValueKind::Variable(name) => {
                let size = self.sizes.get(name.as_str()).copied().unwrap_or_default();
                self.sum = self.sum.saturating_add(size);
            }
            ValueKind::List(items) => items.iter().for_each(|item| self.value(item)),
            ValueKind::Object(fields) => fields.iter().for_each(|field| self.value(&field.value)),
            _ => {}
        }
    }
}

/// Bytes that a document takes when it is parsed, at most: what stands for a name or a number is far larger than
/// its text.
pub fn parsed_size(source: &str) -> usize {
    const WORD: usize = 256;
    const SIGN: usize = 80;
    let (mut size, mut in_word) = (source.len() * 2, false);
    for byte in source.bytes() {
        let is_word = byte == b'_' || byte.is_ascii_alphanumeric() || !byte.is_ascii();
        if is_word && !in_word {
            size += WORD;
        } else if !is_word && !byte.is_ascii_whitespace() {
            size += SIGN;
        }
        in_word = is_word;
    }
    size
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
