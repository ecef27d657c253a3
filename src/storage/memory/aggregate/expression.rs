//! Expressions, answered for one row.

use serde_json::Value;

use super::value::{at, inside, is_true, text_of};
use super::{Runner, Variables, json_order, refused, whole};
use crate::query::evaluate::Matcher;
use crate::query::pipeline::Expr;
use crate::query::{Constraint, Filter};
use crate::storage::StorageResult;
use crate::types::{FieldName, Object};

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
            Expr::SortArray { input, keys } => {
                let Some(mut elements) = list(input)? else { return Ok(Value::Null) };
                elements.sort_by(|a, b| {
                    let mut orders = keys.iter().map(|(path, descending)| {
                        let order = json_order(&inside(a, path), &inside(b, path));
                        if *descending { order.reverse() } else { order }
                    });
                    orders.find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
                });
                Value::Array(elements)
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
