//! [`Filter`] answered in memory, on an object in REST encoding: the reference for what a query
//! means. Live queries match with it, and property tests hold the SQL builders against it.
//!
//! What needs other objects (`$inQuery`, `$select`, `$relatedTo`, Relation fields) matches nothing
//! here, see [`crate::query::evaluate::ask`]; full text is matched by whole words without stems.

pub mod ask;
pub mod pattern;
use serde_json::{Map, Value};

use super::operand;
use super::term::Term;
use crate::query::evaluate::pattern::Regexes;
use crate::query::geo::{polygon_contains, same_ring};
use crate::query::{Constraint, Filter, Operand};
use crate::types::geo::GeoPoint;
use crate::types::path::FieldPath;
use crate::types::time::Millis;

/// A filter with its expressions compiled, to be matched against many objects.
#[derive(Debug)]
pub struct Matcher {
    filter: Filter,
    regexes: Regexes,
    pub(super) asks: bool,
}

impl Matcher {
    pub fn new(filter: Filter) -> Self {
        let regexes = Regexes::of(&filter);
        let asks = crate::query::evaluate::ask::asks(&filter);
        Self { filter, regexes, asks }
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The first pattern that is no regular expression.
    pub fn broken_pattern(&self) -> Option<&str> {
        self.regexes.broken()
    }

    /// Bytes that the compiled expressions take, roughly.
    pub fn weight(&self) -> usize {
        self.regexes.weight()
    }

    pub(super) fn regexes(&self) -> &Regexes {
        &self.regexes
    }

    /// Whether the object satisfies the filter.
    pub fn matches(&self, object: &Map<String, Value>) -> bool {
        holds(&self.filter, object, &self.regexes)
    }
}

/// One object, one filter.
pub fn matches(filter: &Filter, object: &Map<String, Value>) -> bool {
    holds(filter, object, &Regexes::of(filter))
}

fn holds(filter: &Filter, object: &Map<String, Value>, regexes: &Regexes) -> bool {
    match filter {
        Filter::And(parts) => parts.iter().all(|part| holds(part, object, regexes)),
        Filter::Or(parts) => parts.iter().any(|part| holds(part, object, regexes)),
        Filter::Nor(parts) => !parts.iter().any(|part| holds(part, object, regexes)),
        Filter::Field { path, constraints } => {
            let found = Found::at(object, path);
            constraints.iter().all(|constraint| found.satisfies(constraint, regexes))
        }
        Filter::RelatedTo(_) => false,
    }
}

/// What stands at a path.
pub(super) enum Found<'a> {
    Unset,
    /// The value of a column.
    Column(Value),
    /// An array column, or anything inside an Object or Array column.
    Nested(&'a Value),
}

impl<'a> Found<'a> {
    pub(super) fn at(object: &'a Map<String, Value>, path: &FieldPath) -> Self {
        let root = match object.get(path.root.as_str()) {
            None | Some(Value::Null) => return Self::Unset,
            Some(root) => root,
        };
        if !path.is_dotted() {
            return match root {
                Value::Array(_) => Self::Nested(root),
                // These two travel as plain text.
                Value::String(text) if path.is("createdAt") || path.is("updatedAt") => {
                    Self::Column(serde_json::json!({ "__type": "Date", "iso": text }))
                }
                _ => Self::Column(root.clone()),
            };
        }
        // Typed values are not objects to look into; bytes are stored as one.
        let typed = root.get("__type").and_then(Value::as_str).is_some_and(|tag| tag != "Bytes");
        if typed {
            return Self::Unset;
        }
        let leaf = path.rest.iter().try_fold(root, |value, segment| match value {
            Value::Object(object) => object.get(segment),
            Value::Array(list) => segment.parse::<usize>().ok().and_then(|index| list.get(index)),
            _ => None,
        });
        leaf.map_or(Self::Unset, Self::Nested)
    }

    pub(super) fn satisfies(&self, constraint: &Constraint, regexes: &Regexes) -> bool {
        match constraint {
            Constraint::Ne(operand) => !self.equals(operand),
            Constraint::Nin(list) => !list.iter().any(|operand| self.equals(operand)),
            Constraint::NotInQuery(_) | Constraint::DontSelect(_) => true,
            Constraint::Eq(operand) => self.equals(operand),
            Constraint::In(list) => list.iter().any(|operand| self.equals(operand)),
            Constraint::Exists(wanted) => *wanted != matches!(self, Self::Unset),
            Constraint::Lt(operand) => self.compares(operand, std::cmp::Ordering::is_lt),
            Constraint::Lte(operand) => self.compares(operand, std::cmp::Ordering::is_le),
            Constraint::Gt(operand) => self.compares(operand, std::cmp::Ordering::is_gt),
            Constraint::Gte(operand) => self.compares(operand, std::cmp::Ordering::is_ge),
            Constraint::All(list) => !list.is_empty() && list.iter().all(|operand| self.equals(operand)),
            Constraint::AllStartingWith(prefixes) => {
                let starts = |prefix: &String| self.any_text(|text| text.starts_with(prefix.as_str()));
                !prefixes.is_empty() && prefixes.iter().all(starts)
            }
            Constraint::ContainedBy(list) => self.contained_by(list),
            Constraint::EqIgnoreCase(wanted) => self.any_text(|text| same_but_for_case(text, wanted)),
            Constraint::Regex(regex) => {
                self.any_text(|text| regexes.is_match(regex, text))
                    || self.pointer_id().is_some_and(|id| regexes.is_match(regex, &id))
            }
            Constraint::Text(search) => match self {
                Self::Column(Value::String(text)) => {
                    Term::parse(&search.term).matches(text, search.case_sensitive)
                }
                _ => false,
            },
            Constraint::NearSphere { center, max_radians } => self
                .point()
                .is_some_and(|point| max_radians.is_none_or(|max| center.radians_to(point) <= max)),
            Constraint::WithinCircle { center, radians } => {
                self.point().is_some_and(|point| center.radians_to(point) <= *radians)
            }
            Constraint::WithinBox { southwest, northeast } => {
                self.point().is_some_and(|point| in_box(point, *southwest, *northeast))
            }
            Constraint::WithinPolygon(ring) => {
                self.point().is_some_and(|point| polygon_contains(ring, point))
            }
            Constraint::Intersects(point) => match self.column_operand() {
                Some(Operand::Polygon(ring)) => polygon_contains(&ring, *point),
                _ => false,
            },
            Constraint::InQuery(_) | Constraint::Select(_) => false,
        }
    }

    fn column_operand(&self) -> Option<Operand> {
        match self {
            Self::Column(value) => Some(operand(value)),
            _ => None,
        }
    }

    fn point(&self) -> Option<GeoPoint> {
        match self.column_operand() {
            Some(Operand::GeoPoint(point)) => Some(point),
            _ => None,
        }
    }

    fn equals(&self, wanted: &Operand) -> bool {
        match self {
            Self::Unset => *wanted == Operand::Null,
            Self::Column(value) => column_equals(value, wanted),
            Self::Nested(value) => nested_equals(value, wanted),
        }
    }

    fn compares(&self, wanted: &Operand, test: fn(std::cmp::Ordering) -> bool) -> bool {
        match self {
            Self::Unset => false,
            Self::Column(value) => compare_column(value, wanted).is_some_and(test),
            Self::Nested(value) => {
                elements(value).any(|element| compare_nested(element, wanted).is_some_and(test))
            }
        }
    }

    /// The id of a pointer that is the whole value.
    fn pointer_id(&self) -> Option<String> {
        match self {
            Self::Column(value) => match operand(value) {
                Operand::Pointer { id, .. } => Some(id),
                _ => None,
            },
            Self::Unset | Self::Nested(_) => None,
        }
    }

    /// Some text of the value: itself, or an element.
    fn any_text(&self, test: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Unset => false,
            Self::Column(value) => match operand(value) {
                Operand::Text(text) | Operand::File(text) => test(&text),
                _ => false,
            },
            Self::Nested(value) => elements(value).filter_map(Value::as_str).any(test),
        }
    }

    fn contained_by(&self, list: &[Operand]) -> bool {
        let Self::Nested(Value::Array(elements)) = self else { return false };
        let allowed: Vec<Value> = list.iter().map(Operand::to_json).collect();
        elements.iter().all(|element| allowed.iter().any(|value| json_equals(element, value)))
    }
}

fn same_but_for_case(a: &str, b: &str) -> bool {
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

/// The members of an array, or the value as its own only member.
fn elements(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(list) => Box::new(list.iter()),
        other => Box::new(std::iter::once(other)),
    }
}

fn column_equals(value: &Value, wanted: &Operand) -> bool {
    match (operand(value), wanted) {
        (Operand::Date(at), Operand::Text(text)) => Millis::parse(text) == Some(at),
        (Operand::Pointer { id, .. } | Operand::File(id), Operand::Text(text)) => id == *text,
        (Operand::Polygon(ring), Operand::Polygon(wanted)) => same_ring(&ring, wanted),
        (Operand::Object(object), Operand::Object(wanted)) => json_equals(&object, wanted),
        (value, wanted) => value == *wanted,
    }
}

/// Inside JSON a value equals what it would be written as; an array also equals its members.
fn nested_equals(value: &Value, wanted: &Operand) -> bool {
    let json = wanted.to_json();
    match wanted {
        Operand::Null => elements(value).any(Value::is_null),
        // These are known by some keys; the stored object may have more.
        Operand::Pointer { .. } | Operand::File(_) => elements(value).any(|element| has_keys(element, &json)),
        _ => {
            json_equals(value, &json) || (value.is_array() && elements(value).any(|e| json_equals(e, &json)))
        }
    }
}

fn has_keys(value: &Value, wanted: &Value) -> bool {
    let (Some(value), Some(wanted)) = (value.as_object(), wanted.as_object()) else { return false };
    wanted.iter().all(|(key, wanted)| value.get(key).is_some_and(|value| json_equals(value, wanted)))
}

/// JSON equality in which 1 and 1.0 are one number and the order of keys does not matter.
pub fn json_equals(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| json_equals(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| json_equals(a, b)))
        }
        _ => a == b,
    }
}

fn compare_column(value: &Value, wanted: &Operand) -> Option<std::cmp::Ordering> {
    match (operand(value), wanted) {
        (Operand::Number(a), Operand::Number(b)) => a.partial_cmp(b),
        (Operand::Bool(a), Operand::Bool(b)) => Some(a.cmp(b)),
        (Operand::Date(a), Operand::Date(b)) => Some(a.cmp(b)),
        (Operand::Date(a), Operand::Text(b)) => Millis::parse(b).map(|b| a.cmp(&b)),
        (Operand::Pointer { class: own, id: a }, Operand::Pointer { class, id: b }) => {
            (own == *class).then(|| a.cmp(b))
        }
        (Operand::Text(a) | Operand::Pointer { id: a, .. } | Operand::File(a), Operand::Text(b))
        | (Operand::File(a), Operand::File(b)) => Some(a.as_str().cmp(b.as_str())),
        _ => None,
    }
}

fn compare_nested(value: &Value, wanted: &Operand) -> Option<std::cmp::Ordering> {
    let tagged = |tag: &str, key: &str| {
        (value.get("__type").and_then(Value::as_str) == Some(tag)).then(|| value.get(key)?.as_str()).flatten()
    };
    match wanted {
        Operand::Number(b) => value.as_f64()?.partial_cmp(b),
        Operand::Text(b) => Some(value.as_str()?.cmp(b)),
        Operand::Bool(b) => Some(value.as_bool()?.cmp(b)),
        Operand::Date(b) => Some(tagged("Date", "iso")?.cmp(b.to_iso().as_str())),
        Operand::Pointer { id, .. } => Some(tagged("Pointer", "objectId")?.cmp(id)),
        _ => None,
    }
}

/// The box between two corners, whichever is which.
fn in_box(point: GeoPoint, a: GeoPoint, b: GeoPoint) -> bool {
    let between = |x: f64, a: f64, b: f64| a.min(b) <= x && x <= a.max(b);
    between(point.latitude, a.latitude, b.latitude) && between(point.longitude, a.longitude, b.longitude)
}
