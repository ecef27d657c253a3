//! What an object looks like with the client's changes applied: webhooks show it, as the SDK does in
//! Cloud Code. Only for showing; what is stored comes from the storage's own arithmetic.

use serde_json::{Map, Value};

/// `original` with `data` (values and ops in REST encoding) on top.
pub fn merged(original: Option<&Map<String, Value>>, data: &Map<String, Value>) -> Map<String, Value> {
    let mut object = original.cloned().unwrap_or_default();
    for (key, change) in data {
        apply_at(&mut object, key, change);
    }
    object
}

/// What a hook before a save is shown, as the SDK writes an object that is not saved yet: ops of whole
/// fields as they are, so that a hook which hands the object back has not changed them.
pub fn pending(original: Option<&Map<String, Value>>, data: &Map<String, Value>) -> Map<String, Value> {
    let mut object = original.cloned().unwrap_or_default();
    for (key, change) in data {
        match key.contains('.') {
            true => apply_at(&mut object, key, change),
            false => {
                object.insert(key.clone(), change.clone());
            }
        }
    }
    object
}

/// Applies a value or an op to what a (dotted) key names.
pub fn apply_at(object: &mut Map<String, Value>, key: &str, change: &Value) {
    match key.split_once('.') {
        None => apply(object, key, change),
        Some((field, below)) => {
            let entry = object.entry(field.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            apply_below(entry, below, change);
        }
    }
}

fn apply_below(container: &mut Value, path: &str, change: &Value) {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    if let Value::Array(elements) = container {
        let Some(element) = head.parse().ok().and_then(|index: usize| elements.get_mut(index)) else {
            return;
        };
        match rest {
            Some(rest) => apply_below(element, rest, change),
            None => {
                let mut held = Map::from_iter([(head.to_owned(), element.take())]);
                apply(&mut held, head, change);
                *element = held.shift_remove(head).unwrap_or_default();
            }
        }
        return;
    }
    if !container.is_object() {
        *container = Value::Object(Map::new());
    }
    let Value::Object(object) = container else { return };
    match rest {
        None => apply(object, head, change),
        Some(rest) => {
            let entry = object.entry(head.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            apply_below(entry, rest, change);
        }
    }
}

fn apply(object: &mut Map<String, Value>, key: &str, change: &Value) {
    let Some(op) = change.get("__op").and_then(Value::as_str) else {
        object.insert(key.to_owned(), change.clone());
        return;
    };
    let listed = || change.get("objects").and_then(Value::as_array).cloned().unwrap_or_default();
    let list = || object.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let value = match op {
        "Delete" => {
            object.shift_remove(key);
            return;
        }
        "Increment" => increment(object.get(key), change.get("amount")),
        "SetOnInsert" => change.get("amount").cloned().unwrap_or_default(),
        "Add" => {
            let mut all = list();
            all.extend(listed());
            Value::Array(all)
        }
        "AddUnique" => {
            let mut all = list();
            for item in listed() {
                if !all.iter().any(|known| same(known, &item)) {
                    all.push(item);
                }
            }
            Value::Array(all)
        }
        "Remove" => {
            let removed = listed();
            let mut all = list();
            all.retain(|known| !removed.iter().any(|item| same(known, item)));
            Value::Array(all)
        }
        "AddRelation" | "RemoveRelation" | "Batch" => relation(change),
        _ => change.clone(),
    };
    object.insert(key.to_owned(), value);
}

fn increment(current: Option<&Value>, amount: Option<&Value>) -> Value {
    let (current, amount) = (current.unwrap_or(&Value::Null), amount.unwrap_or(&Value::Null));
    match (current.as_i64().or(current.is_null().then_some(0)), amount.as_i64()) {
        (Some(current), Some(amount)) if current.checked_add(amount).is_some() => (current + amount).into(),
        _ => (current.as_f64().unwrap_or(0.0) + amount.as_f64().unwrap_or(0.0)).into(),
    }
}

/// Pointers to one object are the same whatever else they carry.
fn same(a: &Value, b: &Value) -> bool {
    let identity = |value: &Value| {
        let id = value.get("objectId")?.as_str()?.to_owned();
        Some((value.get("className")?.as_str()?.to_owned(), id))
    };
    a == b || identity(a).is_some_and(|a| identity(b) == Some(a))
}

fn relation(change: &Value) -> Value {
    let first = |op: &Value| op.get("objects")?.get(0)?.get("className").cloned();
    let nested = || change.get("ops")?.as_array()?.iter().find_map(first);
    let mut relation = Map::new();
    relation.insert("__type".into(), "Relation".into());
    if let Some(class) = first(change).or_else(nested) {
        relation.insert("className".into(), class);
    }
    Value::Object(relation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_op_shows_its_result() {
        let original = json!({
            "kept": 1, "gone": 1, "n": 2, "half": 0.5, "list": [1, 2],
            "friends": [{"__type": "Pointer", "className": "_User", "objectId": "a"}],
            "nested": {"a": 1},
        });
        let data = json!({
            "gone": {"__op": "Delete"},
            "n": {"__op": "Increment", "amount": 3},
            "new": {"__op": "Increment", "amount": 1},
            "half": {"__op": "Increment", "amount": 1},
            "list": {"__op": "Remove", "objects": [1]},
            "added": {"__op": "Add", "objects": ["x"]},
            "friends": {"__op": "AddUnique", "objects": [
                {"__type": "Object", "className": "_User", "objectId": "a", "name": "ann"},
                {"__type": "Pointer", "className": "_User", "objectId": "b"}]},
            "fans": {"__op": "AddRelation", "objects": [{"className": "_User", "objectId": "a"}]},
            "nested.b": 2,
            "nested.c.d": 3,
            "deep.e": {"__op": "Increment", "amount": 1},
        });
        let object = merged(original.as_object(), data.as_object().unwrap());
        assert_eq!(
            Value::Object(object),
            json!({
                "kept": 1, "n": 5, "half": 1.5, "list": [2], "new": 1, "added": ["x"],
                "friends": [{"__type": "Pointer", "className": "_User", "objectId": "a"},
                    {"__type": "Pointer", "className": "_User", "objectId": "b"}],
                "fans": {"__type": "Relation", "className": "_User"},
                "nested": {"a": 1, "b": 2, "c": {"d": 3}},
                "deep": {"e": 1},
            })
        );
    }
}
