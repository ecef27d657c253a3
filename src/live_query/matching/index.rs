//! The subscriptions of one class, found by what an object says: the cost of an event grows with the
//! subscriptions that may match it, not with all of them.
//!
//! A query is filed under one of its conjuncts, the one that tells it apart best: equality or `$in`
//! under field and value, a range of numbers or dates under its bounds, `$or` under a conjunct of each
//! of its branches. The rest is looked at for every event. What is found is a superset of what
//! matches; the matcher decides.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use crate::query::{Constraint, Filter, Operand};
use crate::types::time::Millis;

pub type EntryId = u64;

/// Branches of an `$or`, and values of an `$in`, beyond which a query is not filed under them.
const MOST_PLACES: usize = 256;

/// A value as a key: everything that equality in a query can compare by its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Bool(bool),
    Number(u64),
    /// Texts, and what a text is compared with: ids of pointers and names of files.
    Text(String),
    Pointer(String, String),
    Date(i64),
}

/// Where one query stands.
#[derive(Clone, Debug, PartialEq)]
enum Filing {
    Keys(String, Vec<Key>),
    /// Field, lower and upper bound; either may be infinite.
    Range(String, f64, f64),
    /// In several places, one for each branch.
    Each(Vec<Filing>),
    Anywhere,
}

/// A total order on floats for the range trees.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound(f64);

impl Eq for Bound {}
impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The ranges on one field. Those of like width stand together, sorted by their lower bound, so that
/// few are looked at besides the ones found, however many there are.
#[derive(Default)]
struct Ranges {
    /// Exponent of the width → (lower bound, entry) → upper bound. The width is below 2^exponent.
    closed: BTreeMap<i32, BTreeMap<(Bound, EntryId), f64>>,
    /// No upper bound: by the lower one.
    upwards: BTreeMap<Bound, HashSet<EntryId>>,
    /// No lower bound: by the upper one.
    downwards: BTreeMap<Bound, HashSet<EntryId>>,
}

impl Ranges {
    fn exponent(low: f64, high: f64) -> i32 {
        let width = (high - low).max(f64::MIN_POSITIVE);
        // The binary exponent as it is stored; infinite for widths beyond the largest number.
        i32::try_from(width.to_bits() >> 52).unwrap_or(i32::MAX) - 1022
    }

    fn insert(&mut self, id: EntryId, low: f64, high: f64) {
        if high == f64::INFINITY {
            self.upwards.entry(Bound(low)).or_default().insert(id);
        } else if low == f64::NEG_INFINITY {
            self.downwards.entry(Bound(high)).or_default().insert(id);
        } else {
            self.closed.entry(Self::exponent(low, high)).or_default().insert((Bound(low), id), high);
        }
    }

    fn remove(&mut self, id: EntryId, low: f64, high: f64) {
        let forget = |side: &mut BTreeMap<Bound, HashSet<EntryId>>, bound: f64| {
            if let Some(entries) = side.get_mut(&Bound(bound)) {
                entries.remove(&id);
                if entries.is_empty() {
                    side.remove(&Bound(bound));
                }
            }
        };
        if high == f64::INFINITY {
            forget(&mut self.upwards, low);
        } else if low == f64::NEG_INFINITY {
            forget(&mut self.downwards, high);
        } else {
            let exponent = Self::exponent(low, high);
            if let Some(level) = self.closed.get_mut(&exponent) {
                level.remove(&(Bound(low), id));
                if level.is_empty() {
                    self.closed.remove(&exponent);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.upwards.is_empty() && self.downwards.is_empty()
    }

    /// Ranges that meet the span from `min` to `max`: one number, or those of an array, of which one
    /// may satisfy the lower and another the upper bound.
    fn find(&self, min: f64, max: f64, found: &mut HashSet<EntryId>) {
        for (exponent, level) in &self.closed {
            // Beyond the largest number this is infinite, and everything below `max` is looked at.
            let from = min - 2f64.powi(*exponent);
            let near = level.range((Bound(from), EntryId::MIN)..=(Bound(max), EntryId::MAX));
            found.extend(near.filter(|(_, high)| min <= **high).map(|((_, id), _)| *id));
        }
        found.extend(self.upwards.range(..=Bound(max)).flat_map(|(_, entries)| entries));
        found.extend(self.downwards.range(Bound(min)..).flat_map(|(_, entries)| entries));
    }
}

#[derive(Default)]
pub struct Index {
    by_value: HashMap<String, HashMap<Key, HashSet<EntryId>>>,
    by_range: HashMap<String, Ranges>,
    anywhere: HashSet<EntryId>,
    filed: HashMap<EntryId, Filing>,
}

impl Index {
    pub fn insert(&mut self, id: EntryId, filter: &Filter) {
        let filing = self.file(filter);
        self.put(id, &filing);
        self.filed.insert(id, filing);
    }

    fn put(&mut self, id: EntryId, filing: &Filing) {
        match filing {
            Filing::Anywhere => {
                self.anywhere.insert(id);
            }
            Filing::Keys(field, keys) => {
                let values = self.by_value.entry(field.clone()).or_default();
                for key in keys {
                    values.entry(key.clone()).or_default().insert(id);
                }
            }
            Filing::Range(field, low, high) => {
                self.by_range.entry(field.clone()).or_default().insert(id, *low, *high);
            }
            Filing::Each(places) => places.iter().for_each(|place| self.put(id, place)),
        }
    }

    pub fn remove(&mut self, id: EntryId) {
        if let Some(filing) = self.filed.remove(&id) {
            self.take(id, &filing);
        }
    }

    fn take(&mut self, id: EntryId, filing: &Filing) {
        match filing {
            Filing::Anywhere => {
                self.anywhere.remove(&id);
            }
            Filing::Keys(field, keys) => {
                let Some(values) = self.by_value.get_mut(field) else { return };
                for key in keys {
                    if let Some(entries) = values.get_mut(key) {
                        entries.remove(&id);
                        if entries.is_empty() {
                            values.remove(key);
                        }
                    }
                }
                if values.is_empty() {
                    self.by_value.remove(field);
                }
            }
            Filing::Range(field, low, high) => {
                let Some(ranges) = self.by_range.get_mut(field) else { return };
                ranges.remove(id, *low, *high);
                if ranges.is_empty() {
                    self.by_range.remove(field);
                }
            }
            Filing::Each(places) => places.iter().for_each(|place| self.take(id, place)),
        }
    }

    /// Entries that may match one of the objects, each once.
    pub fn candidates<'o>(&self, objects: impl Iterator<Item = &'o Map<String, Value>>) -> Vec<EntryId> {
        let mut found: HashSet<EntryId> = HashSet::new();
        if !self.by_value.is_empty() || !self.by_range.is_empty() {
            for object in objects {
                for (field, value) in object {
                    self.candidates_by(field, value, &mut found);
                }
            }
        }
        found.extend(&self.anywhere);
        let mut found: Vec<EntryId> = found.into_iter().collect();
        found.sort_unstable();
        found
    }

    fn candidates_by(&self, field: &str, value: &Value, found: &mut HashSet<EntryId>) {
        if let Some(values) = self.by_value.get(field) {
            for_each_key(value, &mut |key| found.extend(values.get(&key).into_iter().flatten()));
        }
        if let Some(ranges) = self.by_range.get(field)
            && let Some((min, max)) = span_of(value)
        {
            ranges.find(min, max, found);
        }
    }

    /// The conjunct under which the fewest stand already: whatever all queries have in common tells
    /// them apart worst, and is not chosen again after the first.
    fn file(&self, filter: &Filter) -> Filing {
        let mut best = Filing::Anywhere;
        let mut best_cost = usize::MAX;
        let mut pending = vec![filter];
        while let Some(part) = pending.pop() {
            for filing in self.filings_of(part, &mut pending) {
                let cost = self.cost(&filing);
                if cost < best_cost {
                    (best, best_cost) = (filing, cost);
                }
            }
        }
        best
    }

    fn filings_of<'f>(&self, part: &'f Filter, pending: &mut Vec<&'f Filter>) -> Vec<Filing> {
        match part {
            Filter::And(parts) => {
                pending.extend(parts);
                Vec::new()
            }
            Filter::Or(parts) if !parts.is_empty() && parts.len() <= MOST_PLACES => {
                let places: Vec<Filing> = parts.iter().map(|part| self.file(part)).collect();
                if places.contains(&Filing::Anywhere) { Vec::new() } else { vec![Filing::Each(places)] }
            }
            Filter::Field { path, constraints } if !path.is_dotted() => {
                let field = path.root.as_str();
                let keys = constraints.iter().filter_map(keys_of_constraint);
                let mut filings: Vec<Filing> =
                    keys.map(|keys| Filing::Keys(field.to_owned(), keys)).collect();
                filings.extend(
                    range_of(constraints).map(|(low, high)| Filing::Range(field.to_owned(), low, high)),
                );
                filings
            }
            _ => Vec::new(),
        }
    }

    /// Roughly how many entries an object that is found there brings with it.
    fn cost(&self, filing: &Filing) -> usize {
        match filing {
            Filing::Anywhere => usize::MAX,
            Filing::Keys(field, keys) => {
                let values = self.by_value.get(field);
                let filed = |key| values.and_then(|values| values.get(key)).map_or(0, HashSet::len);
                keys.len() + keys.iter().map(filed).sum::<usize>()
            }
            // Always after equality, which tells more than it seems while there are few queries.
            Filing::Range(_, low, high) if low.is_finite() && high.is_finite() => 1 << 32,
            Filing::Range(..) => 1 << 33,
            Filing::Each(places) => {
                places.iter().map(|place| self.cost(place)).fold(1, usize::saturating_add)
            }
        }
    }
}

/// The keys of which a matching object has one.
fn keys_of_constraint(constraint: &Constraint) -> Option<Vec<Key>> {
    match constraint {
        Constraint::Eq(operand) => keys_of(operand),
        // One of the wanted elements is enough to find the query by.
        Constraint::All(operands) => keys_of(operands.first()?),
        Constraint::In(operands) if operands.len() <= MOST_PLACES => {
            let each: Option<Vec<Vec<Key>>> = operands.iter().map(keys_of).collect();
            Some(each?.concat())
        }
        _ => None,
    }
}

/// Closed bounds: the matcher decides about equality. `None` when no number bounds the field, and for
/// bounds that only an array can satisfy.
#[allow(clippy::cast_precision_loss)]
fn range_of(constraints: &[Constraint]) -> Option<(f64, f64)> {
    let number = |operand: &Operand| match operand {
        Operand::Number(n) => Some(*n),
        Operand::Date(at) => Some(at.0 as f64),
        _ => None,
    };
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    for constraint in constraints {
        match constraint {
            Constraint::Gt(operand) | Constraint::Gte(operand) => {
                low = number(operand).map_or(low, |n| low.max(n));
            }
            Constraint::Lt(operand) | Constraint::Lte(operand) => {
                high = number(operand).map_or(high, |n| high.min(n));
            }
            _ => {}
        }
    }
    let bounded = low != f64::NEG_INFINITY || high != f64::INFINITY;
    // -0.0 and 0.0 are one number, but not to `total_cmp`.
    (bounded && low <= high).then_some((low + 0.0, high + 0.0))
}

/// Cheap for texts that are none.
fn date_in(text: &str) -> Option<Millis> {
    if text.len() < 8 || !text.contains('-') { None } else { Millis::parse(text) }
}

fn number_key(n: f64) -> Key {
    // 0.0 and -0.0 are one number.
    Key::Number(if n == 0.0 { 0 } else { n.to_bits() })
}

/// `None` for what cannot be told by a key.
fn keys_of(operand: &Operand) -> Option<Vec<Key>> {
    Some(match operand {
        Operand::Bool(b) => vec![Key::Bool(*b)],
        Operand::Number(n) => vec![number_key(*n)],
        Operand::Text(text) => {
            // A text also equals the date that it says.
            let date = date_in(text).map(|at| Key::Date(at.0));
            std::iter::once(Key::Text(text.clone())).chain(date).collect()
        }
        Operand::File(name) => vec![Key::Text(name.clone())],
        Operand::Date(at) => vec![Key::Date(at.0)],
        Operand::Pointer { class, id } => vec![Key::Pointer(class.as_str().to_owned(), id.clone())],
        _ => return None,
    })
}

fn for_each_key(value: &Value, found: &mut dyn FnMut(Key)) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| key_of_stored(element, found)),
        other => key_of_stored(other, found),
    }
}

fn key_of_stored(value: &Value, found: &mut dyn FnMut(Key)) {
    match value {
        Value::Bool(b) => found(Key::Bool(*b)),
        Value::Number(n) => n.as_f64().into_iter().for_each(|n| found(number_key(n))),
        Value::String(text) => {
            if let Some(at) = date_in(text) {
                found(Key::Date(at.0));
            }
            found(Key::Text(text.clone()));
        }
        Value::Object(object) => {
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            if let Some(id) = text("objectId") {
                if let Some(class) = text("className") {
                    found(Key::Pointer(class.to_owned(), id.to_owned()));
                }
                found(Key::Text(id.to_owned()));
            }
            if let Some(name) = text("name") {
                found(Key::Text(name.to_owned()));
            }
            if let Some(at) = text("iso").and_then(Millis::parse) {
                found(Key::Date(at.0));
            }
        }
        Value::Null | Value::Array(_) => {}
    }
}

/// The least and the largest number or date of a value; `None` when it has neither.
#[allow(clippy::cast_precision_loss)]
fn span_of(value: &Value) -> Option<(f64, f64)> {
    let one = |value: &Value| match value {
        Value::Number(n) => n.as_f64().map(|n| (n + 0.0, n + 0.0)),
        Value::String(iso) => date_in(iso).map(|at| (at.0 as f64, at.0 as f64)),
        Value::Object(object) => {
            let iso = object.get("iso")?.as_str()?;
            // Inside an array dates are compared by their text, whatever it says.
            Some(
                Millis::parse(iso)
                    .map_or((f64::NEG_INFINITY, f64::INFINITY), |at| (at.0 as f64, at.0 as f64)),
            )
        }
        _ => None,
    };
    match value {
        Value::Array(elements) => elements.iter().filter_map(one).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
        other => one(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::{ParseContext, parse_where};

    fn filter(condition: &Value) -> Filter {
        parse_where(condition, &ParseContext::master()).expect("a valid query")
    }

    #[test]
    fn finds_by_value_range_and_anything_else() {
        let mut index = Index::default();
        for (id, condition) in [
            (1, json!({"room": "a"})),
            (2, json!({"room": {"$in": ["b", "c"]}, "n": {"$gt": 3}})),
            (3, json!({"n": {"$gte": 10, "$lt": 20}})),
            (4, json!({"text": {"$regex": "x"}})),
            (5, json!({"$or": [{"room": "a"}, {"n": 1}]})),
            (6, json!({"owner": {"__type": "Pointer", "className": "_User", "objectId": "u1"}})),
        ] {
            index.insert(id, &filter(&condition));
        }
        let found = |object: Value| {
            let object = object.as_object().cloned().unwrap_or_default();
            index.candidates(std::iter::once(&object))
        };
        assert_eq!(found(json!({"room": "a"})), [1, 4, 5]);
        assert_eq!(found(json!({"room": ["c", "z"], "n": 5})), [2, 4]);
        assert_eq!(found(json!({"n": 10})), [3, 4]);
        assert_eq!(found(json!({"n": 1})), [4, 5]);
        assert_eq!(found(json!({"n": 21})), [4]);
        let pointer = json!({"__type": "Pointer", "className": "_User", "objectId": "u1"});
        assert_eq!(found(json!({"owner": pointer})), [4, 6]);
    }

    #[test]
    fn files_under_what_tells_apart() {
        let mut index = Index::default();
        for id in 0..1000 {
            index.insert(id, &filter(&json!({"kind": "chat", "room": id})));
            let low = id * 10;
            index.insert(10_000 + id, &filter(&json!({"n": {"$gte": low, "$lt": low + 10}})));
            index.insert(20_000 + id, &filter(&json!({"$or": [{"room": id}, {"other": id}]})));
        }
        let found = |object: Value| {
            let object = object.as_object().cloned().unwrap_or_default();
            index.candidates(std::iter::once(&object))
        };
        assert!(found(json!({"kind": "chat", "room": 7})).len() <= 3);
        assert!(found(json!({"n": 5005})).len() <= 3);
        assert_eq!(found(json!({"other": 7})), [20_007]);
        // One element satisfies the lower bound, another the upper one.
        assert!(found(json!({"n": [0, 9_999]})).len() >= 1000);
    }

    #[test]
    fn forgets_what_is_removed() {
        let mut index = Index::default();
        let conditions = [
            json!({"a": 1}),
            json!({"a": {"$lt": 5}}),
            json!({}),
            json!({"a": {"$gt": 1, "$lt": 3}}),
            json!({"$or": [{"a": 1}, {"b": {"$gt": 3}}]}),
        ];
        for (id, condition) in conditions.iter().enumerate() {
            index.insert(id as u64, &filter(condition));
        }
        for id in 0..5 {
            index.remove(id);
        }
        let object = json!({"a": 1}).as_object().cloned().unwrap_or_default();
        assert!(index.candidates(std::iter::once(&object)).is_empty());
        assert!(index.by_value.is_empty() && index.by_range.is_empty());
    }
}
