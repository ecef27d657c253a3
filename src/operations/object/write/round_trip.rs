//! What a beforeSave hands back, turned into what it changed. A trigger answers whole fields, made of the
//! object as it was when the trigger was called; writing them back would undo what others wrote meanwhile.
//! So a field is held against what the trigger was shown: what is the same is not written, of an object
//! only the parts that differ are, and what the client asked for stays what it was.

use serde_json::{Map, Value, json};

use crate::cloud::{apply_at, merged};
use crate::types::Object;
use crate::types::javascript::is_same;
use crate::types::time::Millis;

/// More changed parts than this are written as one whole field: each is a call in the statement.
const MAX_PARTS: usize = 64;

/// The fields and operators to write. `sent` is what the client sent, `answered` what the trigger made of
/// it. `is_echo`: the answer is an object of its own (a webhook's) rather than a list of what was set, so
/// that a field which equals the stored one says nothing.
pub fn changes(original: Option<&Object>, sent: &Object, answered: Object, is_echo: bool) -> Object {
    let mut written = Object::with_capacity(answered.len());
    // Paths below fields that the trigger changed, or that the client changed in part.
    let mut parts: Vec<(String, Value)> = Vec::new();
    let mut answered_fields: Vec<String> = Vec::new();
    for (key, value) in answered {
        let asked = sent.get(&key).filter(|asked| is_same(asked, &value));
        if let Some(asked) = asked {
            // The client's own form of it.
            written.insert(key, asked.clone());
            continue;
        }
        let is_plain = !key.contains('.') && value.get("__op").is_none() && !sent.contains_key(&key);
        let shown = if is_plain { shown(original, sent, &key) } else { None };
        let Some(shown) = shown else {
            written.insert(key, value);
            continue;
        };
        match different_parts(&key, &shown, &value) {
            Difference::None if is_echo || !is_scalar(&value) || in_parts(sent, &key) => {}
            Difference::Parts(found) => parts.extend(found),
            _ => {
                written.insert(key, value);
                continue;
            }
        }
        answered_fields.push(key);
    }
    for (key, value) in sent.iter().filter(|(key, _)| key.contains('.')) {
        // A field that the answer leaves out was taken back by the trigger, its parts with it.
        let is_left = key.split('.').next().is_some_and(|field| answered_fields.iter().any(|f| f == field));
        if is_left && !written.contains_key(key) {
            let value = with_parts(key, value.clone(), &mut parts);
            let is_taken = |(path, _): &(String, Value)| is_within(key, path);
            if !parts.iter().any(is_taken) {
                written.insert(key.clone(), value);
            }
        }
    }
    for (path, value) in parts {
        if !written.keys().any(|known| is_within(known, &path) || is_within(&path, known)) {
            written.insert(path, value);
        }
    }
    written
}

fn in_parts(sent: &Object, field: &str) -> bool {
    sent.keys().any(|key| key != field && is_within(key, field))
}

/// Whether one path is the other or lies below it.
fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The field as the trigger saw it: the stored one, with what the client changed in it.
fn shown(original: Option<&Object>, sent: &Object, field: &str) -> Option<Value> {
    let stored = original.and_then(|original| original.get_key_value(field));
    let stored = stored.map(|(key, value)| Map::from_iter([(key.clone(), value.clone())]));
    let changes = sent.iter().filter(|(key, _)| is_within(key, field));
    let changes = changes.map(|(key, value)| (key.clone(), value.clone())).collect();
    merged(stored.as_ref(), &changes).shift_remove(field)
}

/// What the trigger changed below a path that the client set, put into what the client set.
fn with_parts(key: &str, mut value: Value, parts: &mut Vec<(String, Value)>) -> Value {
    if value.get("__op").is_some() {
        return value;
    }
    let Value::Object(object) = &mut value else { return value };
    parts.retain(|(path, change)| {
        let below = path.strip_prefix(key).and_then(|rest| rest.strip_prefix('.'));
        if let Some(below) = below {
            apply_at(object, below, change);
        }
        below.is_none()
    });
    value
}

enum Difference {
    None,
    Parts(Vec<(String, Value)>),
    Whole,
}

fn different_parts(field: &str, shown: &Value, answered: &Value) -> Difference {
    if unchanged(shown, answered) {
        return Difference::None;
    }
    // Permissions and logins are written as they are meant, as a whole.
    let is_whole = matches!(field, "ACL" | "authData");
    match (plain(shown), plain(answered)) {
        (Some(shown), Some(answered)) if !is_whole => {
            let mut parts = Vec::new();
            match collect(field, shown, answered, &mut parts) && parts.len() <= MAX_PARTS {
                true => Difference::Parts(parts),
                false => Difference::Whole,
            }
        }
        _ => Difference::Whole,
    }
}

/// False when a part cannot be named or written by itself.
fn collect(path: &str, shown: &Object, answered: &Object, parts: &mut Vec<(String, Value)>) -> bool {
    for (key, value) in answered {
        let known = shown.get(key);
        if known.is_some_and(|known| unchanged(known, value)) {
            continue;
        }
        if !is_name(key) || value.is_null() || value.get("__op").is_some() {
            return false;
        }
        let path = format!("{path}.{key}");
        match (known.and_then(plain), plain(value)) {
            (Some(known), Some(object)) => {
                let begun = parts.len();
                if !collect(&path, known, object, parts) {
                    parts.truncate(begun);
                    parts.push((path, value.clone()));
                }
            }
            _ => parts.push((path, value.clone())),
        }
    }
    for key in shown.keys().filter(|key| !answered.contains_key(*key)) {
        if !is_name(key) {
            return false;
        }
        parts.push((format!("{path}.{key}"), json!({"__op": "Delete"})));
    }
    true
}

fn is_name(key: &str) -> bool {
    !key.is_empty() && !key.contains(['.', '$', '\0'])
}

fn plain(value: &Value) -> Option<&Object> {
    value.as_object().filter(|object| !object.contains_key("__type"))
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && plain(value).is_none()
}

/// [`is_same`], but for what the SDK writes in another form: times, and objects as pointers to them.
fn unchanged(shown: &Value, answered: &Value) -> bool {
    match (shown, answered) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| unchanged(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let text =
                |object: &Object, key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
            match (text(a, "__type").as_deref(), text(b, "__type").as_deref()) {
                (Some("Date"), Some("Date")) => {
                    let at = |object| text(object, "iso").and_then(|iso| Millis::parse(&iso));
                    at(a) == at(b)
                }
                (Some("Object"), Some("Pointer" | "Object")) => {
                    ["className", "objectId"].into_iter().all(|key| text(a, key) == text(b, key))
                }
                _ => {
                    a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| unchanged(a, b)))
                }
            }
        }
        _ => is_same(shown, answered),
    }
}

#[cfg(test)]
#[path = "round_trip_tests.rs"]
mod tests;
