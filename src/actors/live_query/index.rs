//! The subscriptions of one class, found by what an object says: the cost of an event grows with the
//! subscriptions that may match it, not with all of them.
//!
//! A query that asks for equality (or `$in`) on a plain field is filed under that field and value; a
//! query with a numeric range on a field is kept sorted by its lower bound; the rest is looked at for
//! every event. Equal queries share one entry and are matched once.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use crate::types::query::{Constraint, Filter, Operand};

pub type EntryId = u64;

/// A value as a key: everything that equality in a query can compare by its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Bool(bool),
    Number(u64),
    Text(String),
    Pointer(String, String),
}

#[derive(Clone, Debug, PartialEq)]
enum Filing {
    Keys(String, Vec<Key>),
    /// Field, lower and upper bound; either may be infinite.
    Range(String, f64, f64),
    Anywhere,
}

/// A total order on floats for the range tree.
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

#[derive(Default)]
pub struct Index {
    by_value: HashMap<String, HashMap<Key, HashSet<EntryId>>>,
    /// Field → (lower bound, entry) → upper bound.
    by_range: HashMap<String, BTreeMap<(Bound, EntryId), f64>>,
    anywhere: HashSet<EntryId>,
    filed: HashMap<EntryId, Filing>,
}

impl Index {
    pub fn insert(&mut self, id: EntryId, filter: &Filter) {
        let filing = file(filter);
        match &filing {
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
                self.by_range.entry(field.clone()).or_default().insert((Bound(*low), id), *high);
            }
        }
        self.filed.insert(id, filing);
    }

    pub fn remove(&mut self, id: EntryId) {
        match self.filed.remove(&id) {
            None => {}
            Some(Filing::Anywhere) => {
                self.anywhere.remove(&id);
            }
            Some(Filing::Keys(field, keys)) => {
                let Some(values) = self.by_value.get_mut(&field) else { return };
                for key in keys {
                    if let Some(entries) = values.get_mut(&key) {
                        entries.remove(&id);
                        if entries.is_empty() {
                            values.remove(&key);
                        }
                    }
                }
                if values.is_empty() {
                    self.by_value.remove(&field);
                }
            }
            Some(Filing::Range(field, low, _)) => {
                let Some(ranges) = self.by_range.get_mut(&field) else { return };
                ranges.remove(&(Bound(low), id));
                if ranges.is_empty() {
                    self.by_range.remove(&field);
                }
            }
        }
    }

    /// Entries that may match one of the objects, each once.
    pub fn candidates<'o>(
        &self,
        objects: impl Iterator<Item = &'o Map<String, Value>> + Clone,
    ) -> Vec<EntryId> {
        let mut found: HashSet<EntryId> = HashSet::new();
        for (field, values) in &self.by_value {
            for object in objects.clone() {
                for key in object.get(field).map(keys_of_stored).unwrap_or_default() {
                    found.extend(values.get(&key).into_iter().flatten());
                }
            }
        }
        for (field, ranges) in &self.by_range {
            for object in objects.clone() {
                for number in object.get(field).map(numbers_of).unwrap_or_default() {
                    let below = ranges.range(..=(Bound(number), EntryId::MAX));
                    found.extend(below.filter(|(_, high)| number <= **high).map(|((_, id), _)| *id));
                }
            }
        }
        found.extend(&self.anywhere);
        let mut found: Vec<EntryId> = found.into_iter().collect();
        found.sort_unstable();
        found
    }
}

/// Files a query under its most telling term: equality first, then `$in`, then a range.
fn file(filter: &Filter) -> Filing {
    let mut best = Filing::Anywhere;
    let mut pending = vec![filter];
    while let Some(part) = pending.pop() {
        match part {
            Filter::And(parts) => pending.extend(parts),
            Filter::Field { path, constraints } if !path.is_dotted() => {
                let field = path.root.as_str();
                for constraint in constraints {
                    let filing = file_constraint(field, constraint, constraints);
                    if rank(&filing) > rank(&best) {
                        best = filing;
                    }
                }
            }
            _ => {}
        }
    }
    best
}

fn rank(filing: &Filing) -> u8 {
    match filing {
        Filing::Keys(_, keys) if keys.len() == 1 => 3,
        Filing::Keys(..) => 2,
        Filing::Range(..) => 1,
        Filing::Anywhere => 0,
    }
}

fn file_constraint(field: &str, constraint: &Constraint, all: &[Constraint]) -> Filing {
    let keys = |operands: &[Operand]| -> Option<Vec<Key>> {
        (!operands.is_empty()).then(|| operands.iter().map(key_of).collect()).flatten()
    };
    match constraint {
        Constraint::Eq(operand) => key_of(operand).map(|key| Filing::Keys(field.to_owned(), vec![key])),
        Constraint::In(operands) => keys(operands).map(|keys| Filing::Keys(field.to_owned(), keys)),
        // One of the wanted elements is enough to find the query by.
        Constraint::All(operands) => {
            operands.first().and_then(key_of).map(|key| Filing::Keys(field.to_owned(), vec![key]))
        }
        Constraint::Gt(Operand::Number(_) | Operand::Date(_))
        | Constraint::Gte(Operand::Number(_) | Operand::Date(_))
        | Constraint::Lt(Operand::Number(_) | Operand::Date(_))
        | Constraint::Lte(Operand::Number(_) | Operand::Date(_)) => {
            let (low, high) = bounds(all);
            Some(Filing::Range(field.to_owned(), low, high))
        }
        _ => None,
    }
    .unwrap_or(Filing::Anywhere)
}

/// Closed bounds: the matcher decides about equality.
#[allow(clippy::cast_precision_loss)]
fn bounds(constraints: &[Constraint]) -> (f64, f64) {
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
    (low, high)
}

fn number_key(n: f64) -> Key {
    // 0.0 and -0.0 are one number.
    Key::Number(if n == 0.0 { 0 } else { n.to_bits() })
}

fn key_of(operand: &Operand) -> Option<Key> {
    Some(match operand {
        Operand::Bool(b) => Key::Bool(*b),
        Operand::Number(n) => number_key(*n),
        Operand::Text(text) => Key::Text(text.clone()),
        Operand::Pointer { class, id } => Key::Pointer(class.as_str().to_owned(), id.clone()),
        _ => return None,
    })
}

fn keys_of_stored(value: &Value) -> Vec<Key> {
    match value {
        Value::Array(elements) => elements.iter().filter_map(key_of_stored).collect(),
        other => key_of_stored(other).into_iter().collect(),
    }
}

fn key_of_stored(value: &Value) -> Option<Key> {
    Some(match value {
        Value::Bool(b) => Key::Bool(*b),
        Value::Number(n) => number_key(n.as_f64()?),
        Value::String(text) => Key::Text(text.clone()),
        Value::Object(object)
            if object.get("__type").is_some_and(|tag| tag == "Pointer" || tag == "Object") =>
        {
            let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
            Key::Pointer(text("className")?, text("objectId")?)
        }
        _ => return None,
    })
}

#[allow(clippy::cast_precision_loss)]
fn numbers_of(value: &Value) -> Vec<f64> {
    let one = |value: &Value| match value {
        Value::Number(n) => n.as_f64(),
        Value::String(iso) => crate::types::time::Millis::parse(iso).map(|at| at.0 as f64),
        Value::Object(object) => {
            let iso = object.get("iso")?.as_str()?;
            crate::types::time::Millis::parse(iso).map(|at| at.0 as f64)
        }
        _ => None,
    };
    match value {
        Value::Array(elements) => elements.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::query::{ParseContext, parse_where};

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
        assert_eq!(found(json!({"room": ["c", "z"], "n": 5})), [2, 4, 5]);
        assert_eq!(found(json!({"n": 10})), [3, 4, 5]);
        assert_eq!(found(json!({"n": 21})), [4, 5]);
        let pointer = json!({"__type": "Pointer", "className": "_User", "objectId": "u1"});
        assert_eq!(found(json!({"owner": pointer})), [4, 5, 6]);
    }

    #[test]
    fn forgets_what_is_removed() {
        let mut index = Index::default();
        let conditions = [json!({"a": 1}), json!({"a": {"$lt": 5}}), json!({})];
        for (id, condition) in conditions.iter().enumerate() {
            index.insert(id as u64, &filter(condition));
        }
        for id in 0..3 {
            index.remove(id);
        }
        let object = json!({"a": 1}).as_object().cloned().unwrap_or_default();
        assert!(index.candidates(std::iter::once(&object)).is_empty());
        assert!(index.by_value.is_empty() && index.by_range.is_empty());
    }
}
