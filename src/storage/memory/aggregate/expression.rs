//! Expressions, answered for one row.

use serde_json::{Value, json};

use super::{Runner, Variables, refused, whole};
use crate::query::evaluate::Matcher;
use crate::query::pipeline::Expr;
use crate::query::{Constraint, Filter, Operand};
use crate::storage::StorageResult;
use crate::types::number::number_json;
use crate::types::path::FieldPath;
use crate::types::{FieldName, Object};

/// The value at a path; null where there is none, and inside of typed values.
pub(super) fn at(row: &Object, path: &FieldPath) -> Value {
    let Some(root) = row.get(path.root.as_str()) else { return Value::Null };
    let is_typed = root.get("__type").is_some_and(|tag| tag != "Bytes");
    if path.is_dotted() && is_typed {
        return Value::Null;
    }
    inside(root, &path.rest)
}

fn inside(root: &Value, rest: &[String]) -> Value {
    let found = rest.iter().try_fold(root, |value, key| match value {
        Value::Array(elements) => key.parse::<usize>().ok().and_then(|place| elements.get(place)),
        other => other.get(key),
    });
    found.cloned().unwrap_or(Value::Null)
}

pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        _ => true,
    }
}

pub(super) fn number_of(value: &Value) -> Option<f64> {
    value.as_f64()
}

/// A text; pointers and files are known by theirs.
pub(super) fn text_of(value: &Value) -> Option<String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    match value.get("__type").and_then(Value::as_str) {
        Some("Pointer") => text(value.get("objectId")),
        Some("File") => text(value.get("name")),
        Some(_) => None,
        None => text(Some(value)),
    }
}

/// Numbers, booleans and dates as texts too.
pub(super) fn shown_of(value: &Value) -> Option<String> {
    match value {
        Value::Number(n) => Some(number_json(n.as_f64()?).to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ if value.get("__type").is_some_and(|tag| tag == "Date") => {
            value.get("iso").and_then(Value::as_str).map(str::to_owned)
        }
        other => text_of(other),
    }
}

impl Runner<'_> {
    pub(super) fn value(&self, expr: &Expr, row: &Object, variables: &Variables) -> StorageResult<Value> {
        let value = |expr: &Expr| self.value(expr, row, variables);
        let list = |input: &Expr| {
            Ok::<_, crate::storage::StorageError>(match value(input)? {
                Value::Array(elements) => Some(elements),
                _ => None,
            })
        };
        let with = |named: &[(&str, Value)]| {
            let mut inner = variables.clone();
            inner.extend(named.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            inner
        };
        Ok(match expr {
            Expr::Literal(literal) => literal.to_json(),
            Expr::Field(path) => at(row, path),
            Expr::Root => whole(row),
            Expr::Variable { name, rest } => {
                let known = variables.iter().rev().find(|(known, _)| known == name);
                match known {
                    Some((_, value)) => inside(value, rest),
                    None => return Err(refused(format!("Use of undefined variable: {name}"))),
                }
            }
            Expr::Object(fields) => {
                let mut object = Object::new();
                for (name, field) in fields {
                    object.insert(name.clone(), value(field)?);
                }
                Value::Object(object)
            }
            Expr::Array(items) => Value::Array(items.iter().map(value).collect::<StorageResult<_>>()?),
            Expr::Call(function, arguments) => {
                super::call::call(*function, arguments.iter().map(value).collect::<StorageResult<_>>()?)
            }
            Expr::Switch { branches, otherwise } => {
                for (test, then) in branches {
                    if is_true(&value(test)?) {
                        return value(then);
                    }
                }
                value(otherwise)?
            }
            Expr::Let { variables: named, body } => {
                let mut inner = variables.clone();
                for (name, expr) in named {
                    inner.push((name.clone(), value(expr)?));
                }
                self.value(body, row, &inner)?
            }
            Expr::Map { input, name, body } => {
                let Some(elements) = list(input)? else { return Ok(Value::Null) };
                let mapped = elements.into_iter().map(|one| self.value(body, row, &with(&[(name, one)])));
                Value::Array(mapped.collect::<StorageResult<_>>()?)
            }
            Expr::Filter { input, name, condition } => {
                let Some(elements) = list(input)? else { return Ok(Value::Null) };
                let mut kept = Vec::new();
                for one in elements {
                    if is_true(&self.value(condition, row, &with(&[(name, one.clone())]))?) {
                        kept.push(one);
                    }
                }
                Value::Array(kept)
            }
            Expr::Reduce { input, initial, body } => {
                let Some(elements) = list(input)? else { return Ok(Value::Null) };
                let start = value(initial)?;
                elements.into_iter().try_fold(start, |so_far, one| {
                    self.value(body, row, &with(&[("value", so_far), ("this", one)]))
                })?
            }
            Expr::RegexMatch { input, regex } => match text_of(&value(input)?) {
                Some(text) => {
                    let path = FieldName::known("text");
                    let matcher = Matcher::new(Filter::field(path, Constraint::Regex(regex.clone())));
                    let mut object = Object::new();
                    object.insert("text".to_owned(), Value::String(text));
                    Value::Bool(matcher.matches(&object))
                }
                None => Value::Bool(false),
            },
            Expr::Date { function, arguments, zone } => {
                let arguments = arguments.iter().map(value).collect::<StorageResult<Vec<_>>>()?;
                super::date::call(function, &arguments, zone)?
            }
        })
    }
}

/// A date as a value.
pub(super) fn date_value(at: crate::types::time::Millis) -> Value {
    Operand::Date(at).to_json()
}

pub(super) fn object(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
    pairs.into_iter().fold(json!({}), |mut all, (name, value)| {
        if let Some(all) = all.as_object_mut() {
            all.insert(name, value);
        }
        all
    })
}
