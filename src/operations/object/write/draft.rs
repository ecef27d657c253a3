//! One write on its way through the steps.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::types::time::Millis;
use crate::types::{ClassName, Object, ObjectId};

/// What will be written, and what the steps so far found out.
#[derive(Debug)]
pub struct Draft {
    pub class: ClassName,
    /// The object to update; `None` creates one.
    pub id: Option<ObjectId>,
    /// REST JSON with operators, as sent and then as the steps changed it.
    pub data: Object,
    /// The stored object before the write, where a trigger or a live query wants it.
    pub original: Option<Object>,
    /// The caller may write the original, but not read it.
    pub hides_original: bool,
    /// Fields whose value the client does not know: set by triggers, defaults, the class's ACL.
    pub changed_by_server: BTreeSet<String>,
    /// Internal columns (`_hashed_password`, …) that special classes add; never in answers.
    pub internal: Map<String, Value>,
    /// The write brings fields that the class did not have.
    pub adds_field: bool,
    /// One instant for the whole operation.
    pub now: Millis,
    /// Cloud context, handed from trigger to trigger.
    pub context: Map<String, Value>,
    /// What users, sessions and installations remember between their steps.
    pub special: super::special::Memory,
    /// Status and keys for the answer beyond the usual ones.
    pub extra_response: Object,
}

impl Draft {
    pub fn create(class: ClassName, data: Object) -> Self {
        Self::new(class, None, data)
    }

    pub fn update(class: ClassName, id: ObjectId, data: Object) -> Self {
        Self::new(class, Some(id), data)
    }

    fn new(class: ClassName, id: Option<ObjectId>, data: Object) -> Self {
        Self {
            class,
            id,
            data,
            original: None,
            hides_original: false,
            changed_by_server: BTreeSet::new(),
            internal: Map::new(),
            adds_field: false,
            now: Millis::now(),
            context: Map::new(),
            special: super::special::Memory::default(),
            extra_response: Object::new(),
        }
    }

    pub fn is_create(&self) -> bool {
        self.id.is_none()
    }

    /// The object's id: the update's target, or the id the new object was given.
    pub fn object_id(&self) -> Option<&str> {
        match &self.id {
            Some(id) => Some(id.as_str()),
            None => self.data.get("objectId").and_then(Value::as_str),
        }
    }

    /// Whether a trigger changed parts of a field: the client is told the field as it then is.
    pub fn changed_in_parts(&self) -> bool {
        self.changed_by_server.iter().any(|key| key.contains('.'))
    }

    /// Sets a field on the client's behalf, to be told in the answer.
    pub fn set_for_client(&mut self, field: &str, value: Value) {
        self.data.insert(field.to_owned(), value);
        self.changed_by_server.insert(field.to_owned());
    }
}

/// The answer to a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// 201 for a created object, else 200.
    pub status: u16,
    /// Path below the base URL, `/classes/GameScore/Ed1nuqPvcm`, for created objects.
    pub location: Option<String>,
    pub body: Object,
    /// What an afterSave returned instead, where that is no object: an array, a date.
    pub replacement: Option<Value>,
}

impl Saved {
    /// The answer as JSON.
    pub fn into_value(self) -> Value {
        self.replacement.unwrap_or(Value::Object(self.body))
    }
}
