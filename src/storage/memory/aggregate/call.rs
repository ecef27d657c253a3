//! Functions of expressions, with the meaning that the SQL of `postgres` gives them.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::date::{self, date_of};
use super::group::{as_set, edge, mean};
use super::json_order;
use super::value::{date_value, is_true, number_of, object, shown_of, text_of};
use crate::query::evaluate::json_equals;
use crate::query::pipeline::function::Function as F;
use crate::types::number::number_json;
use crate::types::time::Millis;

const NULL: Value = Value::Null;

/// The arguments as they were given; what was left out is null.
struct Given(Vec<Value>);

impl Given {
    fn at(&self, index: usize) -> &Value {
        self.0.get(index).unwrap_or(&NULL)
    }

    fn number(&self, index: usize) -> Option<f64> {
        number_of(self.at(index))
    }

    fn text(&self, index: usize) -> Option<String> {
        text_of(self.at(index))
    }

    fn list(&self, index: usize) -> Option<&Vec<Value>> {
        self.at(index).as_array()
    }

    fn lists(&self) -> Option<(&Vec<Value>, &Vec<Value>)> {
        self.list(0).zip(self.list(1))
    }
}

fn some_number(number: Option<f64>) -> Value {
    number.filter(|n| n.is_finite()).map_or(NULL, number_json)
}

fn some_text(text: Option<String>) -> Value {
    text.map_or(NULL, Value::String)
}

fn some_bool(truth: Option<bool>) -> Value {
    truth.map_or(NULL, Value::Bool)
}

fn contains(list: &[Value], value: &Value) -> bool {
    list.iter().any(|element| json_equals(element, value))
}

#[allow(clippy::cast_precision_loss)]
fn count(n: usize) -> f64 {
    n as f64
}

pub(super) fn call(function: F, arguments: Vec<Value>) -> Value {
    let given = Given(arguments);
    match function {
        F::Add | F::Subtract => moved(function, &given),
        F::Multiply => {
            some_number(given.0.iter().try_fold(1.0, |product, value| Some(product * number_of(value)?)))
        }
        F::Divide | F::Mod | F::Pow | F::Log | F::Atan2 => some_number(of_two(function, &given)),
        F::Abs
        | F::Ceil
        | F::Floor
        | F::Sqrt
        | F::Exp
        | F::Ln
        | F::Log10
        | F::Sin
        | F::Cos
        | F::Tan
        | F::Acos
        | F::Asin
        | F::Atan
        | F::Cosh
        | F::Sinh
        | F::Tanh
        | F::DegreesToRadians
        | F::RadiansToDegrees => some_number(given.number(0).and_then(|n| of_one(function, n))),
        F::Random => some_number(Some(rand::random())),
        F::Round | F::Trunc => some_number(rounded(function, &given)),
        F::BitAnd | F::BitOr | F::BitXor | F::BitNot => bits(function, &given),
        F::Concat => given.0.iter().map(text_of).collect::<Option<String>>().map_or(NULL, Value::String),
        F::Lower => some_text(given.text(0).map(|text| text.to_lowercase())),
        F::Upper => some_text(given.text(0).map(|text| text.to_uppercase())),
        F::Substr => some_text(substr(&given)),
        F::Length => some_number(given.text(0).map(|text| count(text.chars().count()))),
        F::Bytes => some_number(given.text(0).map(|text| count(text.len()))),
        F::Split => match given.text(0).zip(given.text(1)).filter(|(_, by)| !by.is_empty()) {
            Some((text, by)) => text.split(&by).map(|part| Value::String(part.to_owned())).collect(),
            None => NULL,
        },
        F::Trim | F::TrimStart | F::TrimEnd => some_text(trimmed(function, &given)),
        F::IndexOf => some_number(index_of(&given)),
        F::CompareIgnoreCase => {
            let folded = |index| shown_of(given.at(index)).unwrap_or_default().to_lowercase();
            ordering(folded(0).cmp(&folded(1)))
        }
        F::ReplaceOne | F::ReplaceAll => {
            let parts = given.text(0).zip(given.text(1)).zip(given.text(2));
            some_text(parts.map(|((text, find), with)| match function {
                F::ReplaceOne => text.replacen(&find, &with, 1),
                _ if find.is_empty() => text,
                _ => text.replace(&find, &with),
            }))
        }
        F::Eq => Value::Bool(equal(&given)),
        F::Ne => Value::Bool(!equal(&given)),
        F::Gt => compared(&given, Ordering::is_gt),
        F::Gte => compared(&given, Ordering::is_ge),
        F::Lt => compared(&given, Ordering::is_lt),
        F::Lte => compared(&given, Ordering::is_le),
        F::Compare => ordering(json_order(&bare(given.at(0)), &bare(given.at(1)))),
        F::And => Value::Bool(given.0.iter().all(is_true)),
        F::Or => Value::Bool(given.0.iter().any(is_true)),
        F::Not => Value::Bool(!is_true(given.at(0))),
        F::IfNull => given.0.into_iter().find(|value| !value.is_null()).unwrap_or(NULL),
        F::Type => type_of(given.at(0)),
        F::IsNumber => Value::Bool(given.at(0).is_number()),
        F::ToText => some_text(shown_of(given.at(0))),
        F::ToNumber => some_number(to_number(given.at(0))),
        F::ToWhole => some_number(to_number(given.at(0)).map(f64::trunc)),
        F::ToBool => match given.at(0) {
            Value::Null => NULL,
            value => Value::Bool(is_true(value)),
        },
        F::ToDate => to_date(given.at(0)),
        F::DateFromParts => {
            let parts: Option<Vec<f64>> = given.0.iter().map(number_of).collect();
            parts.and_then(|parts| date::from_parts(&parts)).map_or(NULL, date_value)
        }
        _ => of_lists(function, &given),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn bits(function: F, given: &Given) -> Value {
    let whole: Option<Vec<i32>> =
        given.0.iter().map(|value| Some(number_of(value)?.trunc() as i32)).collect();
    let Some(whole) = whole else { return NULL };
    let joined = whole.into_iter().reduce(|a, b| match function {
        F::BitAnd => a & b,
        F::BitOr => a | b,
        _ => a ^ b,
    });
    some_number(joined.map(|n| f64::from(if function == F::BitNot { !n } else { n })))
}

fn of_one(function: F, n: f64) -> Option<f64> {
    Some(match function {
        F::Abs => n.abs(),
        F::Ceil => n.ceil(),
        F::Floor => n.floor(),
        F::Sqrt => n.max(0.0).sqrt(),
        F::Exp => n.exp(),
        F::Ln => (n > 0.0).then(|| n.ln())?,
        F::Log10 => (n > 0.0).then(|| n.log10())?,
        F::Sin => n.sin(),
        F::Cos => n.cos(),
        F::Tan => n.tan(),
        F::Acos => n.acos(),
        F::Asin => n.asin(),
        F::Atan => n.atan(),
        F::Cosh => n.cosh(),
        F::Sinh => n.sinh(),
        F::Tanh => n.tanh(),
        F::DegreesToRadians => n.to_radians(),
        _ => n.to_degrees(),
    })
}

fn of_two(function: F, given: &Given) -> Option<f64> {
    let (a, b) = (given.number(0)?, given.number(1)?);
    match function {
        F::Divide => (b != 0.0).then(|| a / b),
        F::Mod => (b != 0.0).then(|| a % b),
        F::Pow => Some(a.powf(b)),
        F::Atan2 => Some(a.atan2(b)),
        _ => (a > 0.0 && b > 0.0 && b != 1.0).then(|| a.ln() / b.ln()),
    }
}

fn rounded(function: F, given: &Given) -> Option<f64> {
    let n = given.number(0)?;
    let places = if given.0.len() > 1 { given.number(1)?.trunc() } else { 0.0 };
    let scale = 10_f64.powf(places);
    Some(match function {
        F::Round if given.0.len() == 1 => n.round_ties_even(),
        F::Round => (n * scale).round() / scale,
        _ => (n * scale).trunc() / scale,
    })
}

/// Numbers, or a date and milliseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn moved(function: F, given: &Given) -> Value {
    let dates: Vec<Millis> = given.0.iter().filter_map(date_of).collect();
    let numbers = || given.0.iter().filter(|value| date_of(value).is_none()).map(number_of);
    match (function, dates.as_slice()) {
        (F::Add, []) => some_number(numbers().sum::<Option<f64>>()),
        (F::Add, [date]) => {
            let sum: Option<f64> = numbers().sum();
            sum.map_or(NULL, |millis| date_value(Millis(date.0 + millis as i64)))
        }
        (F::Subtract, []) => some_number(given.number(0).zip(given.number(1)).map(|(a, b)| a - b)),
        (F::Subtract, [a, b]) => some_number(Some((a.0 - b.0) as f64)),
        (F::Subtract, [date]) => match (date_of(given.at(0)), given.number(1)) {
            (Some(_), Some(millis)) => date_value(Millis(date.0 - millis as i64)),
            _ => NULL,
        },
        _ => NULL,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn substr(given: &Given) -> Option<String> {
    let (from, length) = (given.number(1)?.trunc(), given.number(2)?.trunc());
    if from < 0.0 {
        return Some(String::new());
    }
    let text = shown_of(given.at(0)).unwrap_or_default();
    let length = if length < 0.0 { usize::MAX } else { length as usize };
    Some(text.chars().skip(from as usize).take(length).collect())
}

fn trimmed(function: F, given: &Given) -> Option<String> {
    let text = given.text(0)?;
    let chars: Vec<char> = match given.text(1) {
        Some(chars) => chars.chars().collect(),
        None => vec![' ', '\t', '\n', '\u{b}', '\u{c}', '\r'],
    };
    let chars = chars.as_slice();
    Some(match function {
        F::Trim => text.trim_matches(chars).to_owned(),
        F::TrimStart => text.trim_start_matches(chars).to_owned(),
        _ => text.trim_end_matches(chars).to_owned(),
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn index_of(given: &Given) -> Option<f64> {
    let (text, part) = (given.text(0)?, given.text(1)?);
    let from = given.number(2).unwrap_or(0.0).trunc();
    let chars: Vec<char> = text.chars().collect();
    if from < 0.0 || from > count(chars.len()) {
        return Some(-1.0);
    }
    let rest: String = chars.iter().skip(from as usize).collect();
    let before = rest.find(&part).and_then(|bytes| rest.get(..bytes));
    Some(before.map_or(-1.0, |before| from + count(before.chars().count())))
}

/// A pointer equals its id.
fn bare(value: &Value) -> Value {
    match value.get("__type").and_then(Value::as_str) {
        Some("Pointer" | "File") => text_of(value).map_or(NULL, Value::String),
        _ => value.clone(),
    }
}

fn equal(given: &Given) -> bool {
    json_equals(&bare(given.at(0)), &bare(given.at(1)))
}

/// Nothing is more or less than null.
fn compared(given: &Given, test: fn(Ordering) -> bool) -> Value {
    let (a, b) = (bare(given.at(0)), bare(given.at(1)));
    Value::Bool(!a.is_null() && !b.is_null() && test(json_order(&a, &b)))
}

fn ordering(order: Ordering) -> Value {
    json!(match order {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    })
}

fn type_of(value: &Value) -> Value {
    json!(match value {
        Value::Null => "missing",
        Value::Bool(_) => "bool",
        Value::Number(n) => match n.as_f64() {
            Some(n) if n.fract() == 0.0 && n.abs() < 2_147_483_648.0 => "int",
            _ => "double",
        },
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(object) if object.get("__type").is_some_and(|tag| tag == "Date") => "date",
        Value::Object(_) => "object",
    })
}

#[allow(clippy::cast_precision_loss)]
fn to_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::String(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        other => date_of(other).map(|date| date.0 as f64),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn to_date(value: &Value) -> Value {
    let date = match value {
        Value::Number(n) => n.as_f64().map(|millis| Millis(millis as i64)),
        Value::String(text) => Millis::parse(text),
        other => date_of(other),
    };
    date.map_or(NULL, date_value)
}

fn of_lists(function: F, given: &Given) -> Value {
    let first = given.list(0);
    let of_first = |make: &dyn Fn(&Vec<Value>) -> Value| first.map_or(NULL, make);
    let of_both =
        |make: &dyn Fn(&Vec<Value>, &Vec<Value>) -> Value| given.lists().map_or(NULL, |(a, b)| make(a, b));
    let subset = |a: &[Value], b: &[Value]| a.iter().all(|value| contains(b, value));
    match function {
        F::Size => of_first(&|list| number_json(count(list.len()))),
        F::ElementAt => of_first(&|list| element(list, given.number(1))),
        F::Contains => Value::Bool(given.list(1).is_some_and(|list| contains(list, given.at(0)))),
        F::IndexOfElement => of_first(&|list| {
            let place = list.iter().position(|element| json_equals(element, given.at(1)));
            place.map_or(json!(-1), |place| json!(place))
        }),
        F::ConcatArrays => {
            let lists: Option<Vec<&Vec<Value>>> = given.0.iter().map(Value::as_array).collect();
            lists.map_or(NULL, |lists| lists.into_iter().flatten().cloned().collect())
        }
        F::Reverse => of_first(&|list| list.iter().rev().cloned().collect()),
        F::Slice => of_first(&|list| slice(list, given)),
        F::IsArray => Value::Bool(first.is_some()),
        F::Union => of_both(&|a, b| as_set(a.iter().chain(b).cloned().collect())),
        F::Intersection => of_both(&|a, b| as_set(a.iter().filter(|v| contains(b, v)).cloned().collect())),
        F::Difference => of_both(&|a, b| as_set(a.iter().filter(|v| !contains(b, v)).cloned().collect())),
        F::IsSubset => some_bool(given.lists().map(|(a, b)| subset(a, b))),
        F::SetEquals => some_bool(given.lists().map(|(a, b)| subset(a, b) && subset(b, a))),
        F::AnyTrue => some_bool(first.map(|list| list.iter().any(is_true))),
        F::AllTrue => some_bool(first.map(|list| list.iter().all(is_true))),
        F::SumOf => number_json(members(given.at(0)).iter().filter_map(number_of).sum()),
        F::AvgOf => {
            let numbers: Vec<f64> = members(given.at(0)).iter().filter_map(number_of).collect();
            some_number(mean(&numbers))
        }
        F::MinOf => edge(members(given.at(0)), Ordering::is_lt),
        F::MaxOf => edge(members(given.at(0)), Ordering::is_gt),
        F::Range => range(given),
        F::Zip | F::ZipLongest => of_first(&|lists| zipped(function, lists, given.list(1))),
        F::Member => match (given.at(0).as_object(), given.text(1)) {
            (Some(fields), Some(name)) => fields.get(&name).cloned().unwrap_or(NULL),
            _ => NULL,
        },
        F::WithoutMember => match (given.at(0).as_object(), given.text(1)) {
            (Some(fields), Some(name)) => object(
                fields.iter().filter(|(key, _)| **key != name).map(|(key, v)| (key.clone(), v.clone())),
            ),
            _ => NULL,
        },
        F::ObjectToArray => match given.at(0).as_object() {
            Some(fields) => {
                let mut pairs: Vec<_> = fields.iter().collect();
                pairs.sort_by(|a, b| a.0.cmp(b.0));
                pairs.into_iter().map(|(key, value)| json!({ "k": key, "v": value })).collect()
            }
            None => NULL,
        },
        F::ArrayToObject => of_first(&|list| {
            let part =
                |pair: &Value, name: &str, place: usize| pair.get(name).or_else(|| pair.get(place)).cloned();
            object(list.iter().filter_map(|pair| {
                let key = part(pair, "k", 0)?.as_str()?.to_owned();
                Some((key, part(pair, "v", 1).unwrap_or(NULL)))
            }))
        }),
        F::Merge => {
            let fields = given.0.iter().filter_map(Value::as_object).flatten();
            object(fields.map(|(name, value)| (name.clone(), value.clone())))
        }
        _ => NULL,
    }
}

/// The members of a list, or a value as the only one.
fn members(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list.clone(),
        other => vec![other.clone()],
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn element(list: &[Value], place: Option<f64>) -> Value {
    let Some(place) = place.map(f64::trunc) else { return NULL };
    let place = if place < 0.0 { place + count(list.len()) } else { place };
    if place < 0.0 { NULL } else { list.get(place as usize).cloned().unwrap_or(NULL) }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn slice(list: &[Value], given: &Given) -> Value {
    let length = count(list.len());
    let Some(a) = given.number(1).map(f64::trunc) else { return json!([]) };
    let (from, most) = match given.0.len() {
        2 if a >= 0.0 => (0.0, a),
        2 => ((length + a).max(0.0), length),
        _ => match given.number(2).map(f64::trunc) {
            Some(most) => (if a < 0.0 { (length + a).max(0.0) } else { a }, most.max(0.0)),
            None => return json!([]),
        },
    };
    list.iter().skip(from as usize).take(most as usize).cloned().collect()
}

/// More are none: a list is made whole before it is looked at.
const LONGEST_RANGE: i64 = 100_000;

#[allow(clippy::cast_possible_truncation)]
fn range(given: &Given) -> Value {
    let whole = |index| given.number(index).map(|n| i64::from(n.trunc() as i32));
    let (Some(from), Some(to)) = (whole(0), whole(1)) else { return NULL };
    let step = whole(2).unwrap_or(1);
    if step == 0 || (to - from) / step > LONGEST_RANGE {
        return NULL;
    }
    let values = std::iter::successors(Some(from), |n| Some(n + step));
    values.take_while(|n| if step > 0 { *n < to } else { *n > to }).map(|n| json!(n)).collect()
}

fn zipped(function: F, lists: &[Value], defaults: Option<&Vec<Value>>) -> Value {
    let lists: Option<Vec<&Vec<Value>>> = lists.iter().map(Value::as_array).collect();
    let Some(lists) = lists else { return NULL };
    let lengths = lists.iter().map(|list| list.len());
    let length = if function == F::Zip { lengths.min() } else { lengths.max() };
    let default = |place: usize| defaults.and_then(|list| list.get(place)).unwrap_or(&NULL);
    let at = |place: usize| -> Value {
        lists
            .iter()
            .enumerate()
            .map(|(n, list)| list.get(place).unwrap_or_else(|| default(n)).clone())
            .collect()
    };
    (0..length.unwrap_or(0)).map(at).collect()
}
