//! `$group`.

use serde_json::Value;

use super::value::{number_of, text_of};
use super::{Runner, Variables, json_order};
use crate::query::evaluate::json_equals;
use crate::query::pipeline::{Accumulate, Group};
use crate::storage::StorageResult;
use crate::types::Object;
use crate::types::number::number_json;

impl Runner<'_> {
    pub(super) fn group(
        &self,
        rows: &[Object],
        group: &Group,
        variables: &Variables,
    ) -> StorageResult<Vec<Object>> {
        let mut groups: Vec<(Value, Vec<&Object>)> = Vec::new();
        for row in rows {
            let key = groupable(self.value(&group.key, row, variables)?);
            match groups.iter_mut().find(|(known, _)| json_equals(known, &key)) {
                Some((_, members)) => members.push(row),
                None => groups.push((key, vec![row])),
            }
        }
        let mut grouped = Vec::with_capacity(groups.len());
        for (mut key, members) in groups {
            if let Value::Object(parts) = &mut key {
                parts.retain(|name, part| !part.is_null() || !group.plain_parts.contains(name));
            }
            let mut row = Object::new();
            row.insert("objectId".to_owned(), key);
            for (name, accumulator) in &group.accumulators {
                let values = members
                    .iter()
                    .map(|member| self.value(&accumulator.value, member, variables))
                    .collect::<StorageResult<Vec<_>>>()?;
                row.insert(name.as_str().to_owned(), accumulated(accumulator.kind, values));
            }
            grouped.push(row);
        }
        Ok(grouped)
    }
}

/// Pointers and files are grouped by their text.
pub(super) fn groupable(key: Value) -> Value {
    match key.get("__type").and_then(Value::as_str) {
        Some("Pointer" | "File") => text_of(&key).map_or(Value::Null, Value::String),
        _ => key,
    }
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn accumulated(kind: Accumulate, values: Vec<Value>) -> Value {
    let numbers = || values.iter().filter_map(number_of).collect::<Vec<f64>>();
    match kind {
        Accumulate::Count => number_json(values.len() as f64),
        Accumulate::Sum => number_json(numbers().iter().sum()),
        Accumulate::Avg => mean(&numbers()).map_or(Value::Null, number_json),
        Accumulate::StdDevPop => deviation(&numbers(), 0.0),
        Accumulate::StdDevSamp => deviation(&numbers(), 1.0),
        Accumulate::Min => edge(values, std::cmp::Ordering::is_lt),
        Accumulate::Max => edge(values, std::cmp::Ordering::is_gt),
        Accumulate::First => values.into_iter().next().unwrap_or(Value::Null),
        Accumulate::Last => values.into_iter().next_back().unwrap_or(Value::Null),
        Accumulate::Push => values.into_iter().filter(|value| !value.is_null()).collect(),
        Accumulate::AddToSet => as_set(values.into_iter().filter(|value| !value.is_null()).collect()),
    }
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn mean(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

#[allow(clippy::cast_precision_loss)]
fn deviation(numbers: &[f64], less: f64) -> Value {
    let count = numbers.len() as f64 - less;
    match mean(numbers).filter(|_| count > 0.0) {
        Some(mean) => {
            let squares: f64 = numbers.iter().map(|n| (n - mean).powi(2)).sum();
            number_json((squares / count).sqrt())
        }
        None => Value::Null,
    }
}

/// The first value that comes before all others.
pub(super) fn edge(values: Vec<Value>, before: fn(std::cmp::Ordering) -> bool) -> Value {
    let values = values.into_iter().filter(|value| !value.is_null());
    let first = values.reduce(|best, value| if before(json_order(&value, &best)) { value } else { best });
    first.unwrap_or(Value::Null)
}

/// Each once, in the order of JSON.
pub(super) fn as_set(mut values: Vec<Value>) -> Value {
    values.sort_by(json_order);
    values.dedup_by(|a, b| json_equals(a, b));
    Value::Array(values)
}
