//! The order of PostgreSQL's `jsonb`: null, texts, numbers, booleans, arrays, objects.

use std::cmp::Ordering;

use serde_json::{Map, Value};

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::String(_) => 1,
        Value::Number(_) => 2,
        Value::Bool(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

pub fn json_order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let each = || a.iter().zip(b).map(|(a, b)| json_order(a, b)).find(|order| order.is_ne());
            a.len().cmp(&b.len()).then_with(|| each().unwrap_or(Ordering::Equal))
        }
        (Value::Object(a), Value::Object(b)) => {
            let (a, b) = (sorted(a), sorted(b));
            let each = || {
                let pairs = a.iter().zip(&b);
                let orders = pairs.map(|(a, b)| a.0.cmp(b.0).then_with(|| json_order(a.1, b.1)));
                orders.into_iter().find(|order| order.is_ne())
            };
            a.len().cmp(&b.len()).then_with(|| each().unwrap_or(Ordering::Equal))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Shorter keys come first.
fn sorted(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<_> = object.iter().collect();
    pairs.sort_by(|a, b| a.0.len().cmp(&b.0.len()).then_with(|| a.0.cmp(b.0)));
    pairs
}
