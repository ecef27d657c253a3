//! What the client is told (`RestWrite._updateResponseWithData`): what it cannot know already.

use serde_json::{Map, Value};

use super::class_rules::ClassRules;
use super::ops::{is_computed, is_delete};
use super::stages::{Saved, Stored};
use crate::types::Object;
use crate::types::javascript::is_same;
use crate::types::member::is_typed;

pub fn build(stored: &Stored, rules: Option<&dyn ClassRules>) -> Saved {
    let mut body = Object::new();
    let id = stored.object_id().unwrap_or_default();
    if let Some(created) = &stored.times.created {
        body.insert("objectId".to_owned(), id.into());
        body.insert("createdAt".to_owned(), created.as_str().into());
    }
    tell_results(stored, &mut body);
    leave_news(stored, rules, &mut body);
    tell_changes(stored, &mut body);
    if !stored.is_create() {
        body.insert("updatedAt".to_owned(), stored.times.updated.as_str().into());
    }
    let status = if stored.is_create() { 201 } else { 200 };
    let location = stored.is_create().then(|| {
        let own = rules.and_then(|rules| rules.location(id));
        own.unwrap_or_else(|| format!("/classes/{}/{id}", stored.class.name()))
    });
    Saved { status, location, body, replacement: None }
}

/// What operators came to, in full.
pub fn tell_results(stored: &Stored, body: &mut Object) {
    let Some(after) = &stored.outcome.after else { return };
    for (key, value) in &stored.data {
        if is_computed(value) {
            tell_result(key, after, body);
        }
    }
}

/// The object as an afterSave left it, without what the client knows already.
pub fn of_object(stored: &Stored, rules: Option<&dyn ClassRules>, mut object: Object) -> Object {
    if !stored.is_create() {
        object.shift_remove("objectId");
    }
    leave_news(stored, rules, &mut object);
    tell_changes(stored, &mut object);
    for (key, value) in &stored.news.taken_back {
        object.entry(key.clone()).or_insert_with(|| value.clone());
    }
    object
}

/// Drops what the client sent, what was stored before, pointers and nulls.
///
/// Results of the client's own operators stay although nothing changed (parse-server drops them): an
/// SDK that finds none applies its operator to nothing, and shows the outcome as the field's value.
fn leave_news(stored: &Stored, rules: Option<&dyn ClassRules>, body: &mut Object) {
    let always: &[&str] = if stored.is_create() { &["objectId", "createdAt"] } else { &["updatedAt"] };
    let of_class = rules.map_or(&[][..], |rules| rules.told());
    let original = stored.original();
    let is_awaited = |field: &str| {
        !stored.news.changed.contains(field)
            && stored
                .data
                .iter()
                .any(|(key, value)| key.split('.').next() == Some(field) && is_computed(value))
    };
    body.retain(|key, value| {
        let known = |known: Option<&Value>| known.is_some_and(|known| is_same(known, value));
        let is_time = key == "updatedAt" && value.as_str() == Some(&stored.times.updated);
        let is_pointer = is_typed(value, "Pointer");
        always.contains(&key.as_str())
            || of_class.contains(&key.as_str())
            || !value.is_null() && is_awaited(key)
            || !(value.is_null()
                || is_pointer
                || is_time
                || known(stored.data.get(key))
                || known(original.and_then(|original| original.get(key))))
    });
}

/// Fields that triggers and the server set or took away.
fn tell_changes(stored: &Stored, body: &mut Object) {
    for field in &stored.news.changed {
        if let Some((field, _)) = field.split_once('.') {
            let now = stored.outcome.after.as_ref().and_then(|after| after.get(field));
            if let Some(now) = now.filter(|_| !stored.hides_original()) {
                body.insert(field.to_owned(), now.clone());
            }
            continue;
        }
        if field == "updatedAt" {
            body.entry("updatedAt").or_insert_with(|| stored.times.updated.as_str().into());
            continue;
        }
        let Some(value) = stored.data.get(field) else { continue };
        if is_delete(value) || (value.get("__op").is_none() && !body.contains_key(field)) {
            body.insert(field.clone(), value.clone());
        }
    }
}

/// The new value at a (dotted) path, under the same path: `"o.k"` answers `{"o": {"k": …}}`. An array is told as a
/// whole: clients put what is answered in its place, and parts of it would be an object.
fn tell_result(path: &str, after: &Object, body: &mut Object) {
    let mut segments = path.split('.');
    let Some(root) = segments.next() else { return };
    let Some(value) = after.get(root) else { return };
    let rest: Vec<&str> = segments.collect();
    let Some((last, parents)) = rest.split_last().filter(|_| !value.is_array()) else {
        body.insert(root.to_owned(), value.clone());
        return;
    };
    let mut source = value;
    let mut target = body.entry(root.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    for segment in parents {
        let Some(next) = inside(source, segment) else { return };
        source = next;
        let Value::Object(object) = target else { return };
        target = object.entry((*segment).to_owned()).or_insert_with(|| Value::Object(Map::new()));
    }
    if let (Some(value), Value::Object(object)) = (inside(source, last), target) {
        object.insert((*last).to_owned(), value.clone());
    }
}

/// The member of an object, the element of an array.
fn inside<'v>(value: &'v Value, segment: &str) -> Option<&'v Value> {
    match value {
        Value::Array(list) => list.get(segment.parse::<usize>().ok()?),
        other => other.get(segment),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_are_told_where_they_are() {
        let after = json!({"n": 2, "a": [{"n": 2}, 5], "o": {"n": 3, "l": [{"k": 4}]}});
        let after = after.as_object().cloned().unwrap_or_default();
        for (path, told) in [
            ("n", json!({"n": 2})),
            ("o.n", json!({"o": {"n": 3}})),
            ("a.0.n", json!({"a": [{"n": 2}, 5]})),
            ("a.1", json!({"a": [{"n": 2}, 5]})),
            ("o.l.0.k", json!({"o": {"l": {"0": {"k": 4}}}})),
            ("gone.x", json!({})),
        ] {
            let mut body = Object::new();
            tell_result(path, &after, &mut body);
            assert_eq!(Value::Object(body), told, "{path}");
        }
    }
}
