//! The stages of one write. Each holds what is known by then, and the step that leads to the next one takes it:
//! [`Draft`] is what came in and what triggers and the rules of the class make of it, [`Checked`] what the schema
//! agreed to, [`Stored`] what the statement left behind, [`Saved`] the answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::operations::ClassSnapshot;
use crate::query::Filter;
use crate::types::time::Millis;
use crate::types::{ClassName, Object, ObjectId};

/// What will be written, as far as it is known before the schema was asked.
#[derive(Debug)]
pub struct Draft {
    pub class: ClassName,
    /// The object to update; `None` creates one.
    pub id: Option<ObjectId>,
    /// REST JSON with operators, as sent and then as triggers and rules changed it.
    pub data: Object,
    /// The stored object before the write, where a trigger wants it.
    pub original: Option<Original>,
    pub news: News,
    /// Internal columns (`_hashed_password`, …) that rules of classes add; never in answers.
    pub internal: Map<String, Value>,
    /// Must hold for the object besides its id, or the update finds nothing.
    pub condition: Option<Filter>,
    /// One instant for the whole operation.
    pub now: Millis,
    /// Cloud context that a trigger left for the next one, in place of the request's.
    pub context: Option<Map<String, Value>>,
}

/// The object that an update changes, as triggers see it.
#[derive(Debug)]
pub struct Original {
    pub object: Object,
    /// The caller may write it, but not read it.
    pub is_hidden: bool,
}

/// What the client does not know although it sent the write.
#[derive(Debug, Default)]
pub struct News {
    /// Fields (and dotted parts of them) set by triggers, defaults, the class's ACL.
    pub changed: BTreeSet<String>,
    /// Fields that a trigger took back, with what stays stored.
    pub taken_back: Object,
}

impl News {
    /// Whether a trigger changed parts of a field: the client is told the field as it then is.
    pub fn has_parts(&self) -> bool {
        self.changed.iter().any(|key| key.contains('.'))
    }
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
            news: News::default(),
            internal: Map::new(),
            condition: None,
            now: Millis::now(),
            context: None,
        }
    }

    pub fn is_create(&self) -> bool {
        self.id.is_none()
    }

    /// The object's id: the update's target, or the id the new object was given.
    pub fn object_id(&self) -> Option<&str> {
        object_id(self.id.as_ref(), &self.data)
    }

    /// The stored object before the write, where a trigger wanted it.
    pub fn original(&self) -> Option<&Object> {
        self.original.as_ref().map(|original| &original.object)
    }

    /// Sets a field on the client's behalf, to be told in the answer.
    pub fn set_for_client(&mut self, field: &str, value: Value) {
        self.data.insert(field.to_owned(), value);
        self.news.changed.insert(field.to_owned());
    }

    /// Asks for one more condition besides the object's id.
    pub fn require(&mut self, condition: Filter) {
        self.condition = Some(match self.condition.take() {
            Some(known) => known.and(condition),
            None => condition,
        });
    }
}

fn object_id<'d>(id: Option<&'d ObjectId>, data: &'d Object) -> Option<&'d str> {
    match id {
        Some(id) => Some(id.as_str()),
        None => data.get("objectId").and_then(Value::as_str),
    }
}

/// A draft that its class agreed to: its types fit, required fields are there, defaults are filled in.
///
/// When the statement finds the class changed, the draft in it is checked anew; nothing that the check found
/// out lies in the draft, but for values that a new object was given.
#[derive(Debug)]
pub struct Checked {
    pub draft: Draft,
    pub class: Arc<ClassSnapshot>,
    pub times: Times,
    /// The write brings fields that the class did not have.
    pub adds_field: bool,
}

/// What goes into the columns of times.
#[derive(Debug)]
pub struct Times {
    /// Of a new object.
    pub created: Option<String>,
    pub updated: String,
}

impl Times {
    /// Data with the times in it, as triggers see it after the write.
    pub fn put_into(&self, data: &mut Object) {
        if let Some(created) = &self.created {
            data.insert("createdAt".to_owned(), created.as_str().into());
        }
        data.insert("updatedAt".to_owned(), self.updated.as_str().into());
    }
}

/// What is known of the object around the statement.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The row before, when somebody wanted it.
    pub before: Option<Arc<Object>>,
    /// The row after: complete for creates, and for updates when a trigger or a live query wanted it; else
    /// at least what operators computed.
    pub after: Option<Arc<Object>>,
    /// Both sides are what a live query needs. Whether anybody listens may change during the write.
    pub is_publishable: bool,
    pub stamp: u64,
}

/// An object that was written.
#[derive(Debug)]
pub struct Stored {
    pub class: Arc<ClassSnapshot>,
    /// The object that was updated; `None` after a create.
    pub id: Option<ObjectId>,
    /// What was written, with operators.
    pub data: Object,
    pub original: Option<Original>,
    pub news: News,
    pub times: Times,
    pub context: Option<Map<String, Value>>,
    pub outcome: Outcome,
}

impl Stored {
    pub fn new(checked: Checked, outcome: Outcome) -> Self {
        let Checked { draft, class, times, adds_field: _ } = checked;
        let Draft { class: _, id, data, original, news, internal: _, condition: _, now: _, context } = draft;
        Self { class, id, data, original, news, times, context, outcome }
    }

    pub fn is_create(&self) -> bool {
        self.id.is_none()
    }

    pub fn object_id(&self) -> Option<&str> {
        object_id(self.id.as_ref(), &self.data)
    }

    /// The object before the write, where a trigger or a live query wanted it.
    pub fn original(&self) -> Option<&Object> {
        match &self.original {
            Some(original) => Some(&original.object),
            None => self.outcome.before.as_deref(),
        }
    }

    /// The caller may write the original, but not read it.
    pub fn hides_original(&self) -> bool {
        self.original.as_ref().is_some_and(|original| original.is_hidden)
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
