//! Writes on one in-memory object: the same meaning as the SQL of `postgres::update`.

use serde_json::{Value, json};

use super::{StorageError, StorageResult, other};
use crate::query::evaluate::json_equals;
use crate::storage::mismatch::mismatch_of;
use crate::types::number::number_json;
use crate::types::update::Op;
use crate::types::{ClassSchema, FieldType, Object, Update};

fn is_known(class: &ClassSchema, column: &str) -> bool {
    column.starts_with('_') || class.field(column).is_some()
}

/// What is kept of a new row: no nulls, dates in their tagged form.
pub fn stored(class: &ClassSchema, row: &Object) -> StorageResult<Object> {
    let mut kept = Object::new();
    for (name, value) in row.iter().filter(|(_, value)| !value.is_null()) {
        if !is_known(class, name) {
            return Err(StorageError::StaleSchema(other(format!("column {name} is not known"))));
        }
        kept.insert(name.clone(), tagged(class, name, value));
    }
    Ok(kept)
}

fn tagged(class: &ClassSchema, column: &str, value: &Value) -> Value {
    match value {
        Value::String(iso)
            if class.field_type(column) == Some(&FieldType::Date)
                && column != "createdAt"
                && column != "updatedAt" =>
        {
            json!({ "__type": "Date", "iso": iso })
        }
        other => other.clone(),
    }
}

/// Applies every operation in turn.
pub fn update(class: &ClassSchema, row: &mut Object, update: &Update) -> StorageResult<()> {
    for (path, op) in &update.ops {
        let column = path.root.as_str();
        if !is_known(class, column) {
            return Err(StorageError::StaleSchema(other(format!("column {column} is not known"))));
        }
        if !path.is_dotted() {
            let fits = match op {
                Op::Increment(_) => class.field_type(column) == Some(&FieldType::Number),
                Op::Add(_) | Op::AddUnique(_) | Op::Remove(_) => {
                    class.field_type(column) == Some(&FieldType::Array)
                }
                _ => true,
            };
            if !fits {
                return Err(mismatch_of(class, column, "an operation"));
            }
        }
        let op = match op {
            Op::Set(value) if !path.is_dotted() => &Op::Set(tagged(class, column, value)),
            op => op,
        };
        let mut document = row.shift_remove(column).unwrap_or(Value::Null);
        change(&mut document, &path.rest, op);
        if !document.is_null() {
            row.insert(column.to_owned(), document);
        }
    }
    Ok(())
}

fn change(value: &mut Value, path: &[String], op: &Op) {
    let Some((head, rest)) = path.split_first() else {
        *value = changed(value, op);
        return;
    };
    if let Op::SetOnInsert(_) = op {
        return;
    }
    if let (Value::Array(elements), Ok(place)) = (&mut *value, head.parse::<usize>()) {
        if elements.len() <= place {
            elements.resize(place + 1, Value::Null);
        }
        change(&mut elements[place], rest, op);
        return;
    }
    if !value.is_object() {
        if matches!(op, Op::Unset) {
            return;
        }
        *value = json!({});
    }
    let Some(object) = value.as_object_mut() else { return };
    if rest.is_empty() && matches!(op, Op::Unset) {
        object.shift_remove(head);
    } else if object.contains_key(head) || !matches!(op, Op::Unset) {
        change(object.entry(head.clone()).or_insert(Value::Null), rest, op);
    }
}

fn changed(value: &Value, op: &Op) -> Value {
    let list = || value.as_array().cloned().unwrap_or_default();
    match op {
        Op::Set(new) => new.clone(),
        Op::Unset => Value::Null,
        Op::SetOnInsert(_) => value.clone(),
        Op::Increment(by) => number_json(value.as_f64().unwrap_or(0.0) + by),
        Op::Add(new) => list().into_iter().chain(new.iter().cloned()).collect(),
        Op::AddUnique(new) => {
            let mut list = list();
            for element in new {
                if !list.iter().any(|old| json_equals(old, element)) {
                    list.push(element.clone());
                }
            }
            Value::Array(list)
        }
        Op::Remove(gone) => {
            list().into_iter().filter(|old| !gone.iter().any(|g| json_equals(old, g))).collect()
        }
    }
}
