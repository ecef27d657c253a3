//! What the client is told (`RestWrite._updateResponseWithData`): what it cannot know already.

use serde_json::{Map, Value};

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
    for (key, value) in &draft.data {
        if is_computed(value)
            && let Some(after) = &outcome.after
        {
            tell_result(key, after, &mut body);
        }
    }
    for field in &draft.changed_by_server {
        let Some(value) = draft.data.get(field) else { continue };
        let is_operator = value.get("__op").is_some();
        if !is_operator || is_delete(value) {
            body.insert(field.clone(), value.clone());
        }
    }
    if !draft.is_create() {
        body.insert("updatedAt".to_owned(), draft.now.to_iso().into());
    }
    let status = if draft.is_create() { 201 } else { 200 };
    let location = draft.is_create().then(|| location(draft.class.as_str(), &id));
    Saved { status, location, body }
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
