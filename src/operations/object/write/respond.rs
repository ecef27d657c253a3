//! What the client is told (`RestWrite._updateResponseWithData`): what it cannot know already.

use serde_json::{Map, Number, Value};

use super::draft::{Draft, Saved};
use super::ops::{is_computed, is_delete};
use super::store::Outcome;
use crate::operations::Ctx;
use crate::types::Object;

pub fn build(_ctx: &Ctx, draft: &Draft, outcome: &Outcome) -> Saved {
    let mut body = Object::new();
    let id = draft.object_id().unwrap_or_default().to_owned();
    if draft.is_create() {
        body.insert("objectId".to_owned(), id.as_str().into());
        copy(&draft.data, "createdAt", &mut body);
    }
    tell_results(draft, outcome, &mut body);
    leave_news(draft, original(draft, outcome), &mut body);
    tell_changes(draft, outcome, &mut body);
    if !draft.is_create() {
        body.insert("updatedAt".to_owned(), draft.now.to_iso().into());
    }
    let status = if draft.is_create() { 201 } else { 200 };
    let location = draft.is_create().then(|| location(draft.class.as_str(), &id));
    Saved { status, location, body, replacement: None }
}

/// What operators came to, in full.
pub fn tell_results(draft: &Draft, outcome: &Outcome, body: &mut Object) {
    let Some(after) = &outcome.after else { return };
    for (key, value) in &draft.data {
        if is_computed(value) {
            tell_result(key, after, body);
        }
    }
}

/// The object as an afterSave left it, without what the client knows already.
pub fn of_object(draft: &Draft, outcome: &Outcome, mut object: Object) -> Object {
    if !draft.is_create() {
        object.shift_remove("objectId");
    }
    leave_news(draft, original(draft, outcome), &mut object);
    tell_changes(draft, outcome, &mut object);
    for (key, value) in &draft.extra_response {
        object.entry(key.clone()).or_insert_with(|| value.clone());
    }
    object
}

/// Present where a trigger or a live query wanted it.
fn original<'a>(draft: &'a Draft, outcome: &'a Outcome) -> Option<&'a Object> {
    draft.original.as_ref().or(outcome.before.as_deref())
}

/// Drops what the client sent, what was stored before, pointers and nulls.
///
/// Results of the client's own operators stay although nothing changed (parse-server drops them): an
/// SDK that finds none applies its operator to nothing, and shows the outcome as the field's value.
fn leave_news(draft: &Draft, original: Option<&Object>, body: &mut Object) {
    let always: &[&str] = match (draft.is_create(), draft.class.is_user()) {
        (true, false) => &["objectId", "createdAt"],
        (true, true) => &["objectId", "createdAt", "username"],
        (false, false) => &["updatedAt"],
        (false, true) => &["updatedAt", "username"],
    };
    let is_awaited = |field: &str| {
        !draft.changed_by_server.contains(field)
            && draft
                .data
                .iter()
                .any(|(key, value)| key.split('.').next() == Some(field) && is_computed(value))
    };
    body.retain(|key, value| {
        let known = |source: Option<&Object>| {
            source.and_then(|source| source.get(key)).is_some_and(|known| same(known, value))
        };
        let is_pointer = value.get("__type").is_some_and(|tag| tag == "Pointer");
        always.contains(&key.as_str())
            || !value.is_null() && is_awaited(key)
            || !(value.is_null() || is_pointer || known(Some(&draft.data)) || known(original))
    });
}

/// Fields that triggers and the server set or took away.
fn tell_changes(draft: &Draft, outcome: &Outcome, body: &mut Object) {
    for field in &draft.changed_by_server {
        if let Some((field, _)) = field.split_once('.') {
            let now = outcome.after.as_ref().and_then(|after| after.get(field));
            if let Some(now) = now.filter(|_| !draft.hides_original) {
                body.insert(field.to_owned(), now.clone());
            }
            continue;
        }
        let Some(value) = draft.data.get(field) else { continue };
        if is_delete(value) || (value.get("__op").is_none() && !body.contains_key(field)) {
            body.insert(field.clone(), value.clone());
        }
    }
}

/// Whether both are one value to JavaScript: `1` is `1.0`.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || Number::as_f64(a) == Number::as_f64(b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

pub fn location(class: &str, id: &str) -> String {
    if class == "_User" { format!("/users/{id}") } else { format!("/classes/{class}/{id}") }
}

fn copy(from: &Object, key: &str, to: &mut Object) {
    if let Some(value) = from.get(key) {
        to.insert(key.to_owned(), value.clone());
    }
}

/// The new value at a (dotted) path, under the same path: `"o.k"` answers `{"o": {"k": …}}`.
fn tell_result(path: &str, after: &Object, body: &mut Object) {
    let mut segments = path.split('.');
    let Some(root) = segments.next() else { return };
    let Some(value) = after.get(root) else { return };
    let rest: Vec<&str> = segments.collect();
    let Some((last, parents)) = rest.split_last() else {
        body.insert(root.to_owned(), value.clone());
        return;
    };
    let mut source = value;
    let mut target = body.entry(root.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    for segment in parents {
        let Some(next) = source.get(segment) else { return };
        source = next;
        let Value::Object(object) = target else { return };
        target = object.entry((*segment).to_owned()).or_insert_with(|| Value::Object(Map::new()));
    }
    if let (Some(value), Value::Object(object)) = (source.get(last), target) {
        object.insert((*last).to_owned(), value.clone());
    }
}
