//! Objects as events carry them: masked for the audience, cut down to `keys`, serialised once for
//! each distinct combination and shared from there on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::operations::permissions::Protection;
use crate::operations::read::encode::write_entries;
use crate::operations::services::ObjectEvent;
use crate::operations::{Auth, ClassSnapshot};
use crate::types::Object;

/// Kept whatever `keys` say.
const ALWAYS: [&str; 5] = ["className", "objectId", "updatedAt", "createdAt", "ACL"];

/// What is hidden from one audience in the two states of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mask {
    current: BTreeSet<String>,
    original: BTreeSet<String>,
}

impl Mask {
    /// `present`: what has become of the object, where the event is told later on; what is hidden in it
    /// is hidden in all of its states.
    pub fn of(
        class: &ClassSnapshot,
        auth: &Auth,
        protection: &Protection,
        event: &ObjectEvent,
        present: Option<&Object>,
    ) -> Self {
        let hidden = |object: &Object| {
            let mut hidden = protection.hidden_in_object(class.name(), object);
            if class.name().is_user() {
                let own = object.get("objectId").and_then(Value::as_str) == auth.user_id();
                hidden.extend(["password", "sessionToken"].map(str::to_owned));
                let is_self = own && auth.user_id().is_some();
                if !auth.is_master() && !is_self {
                    hidden.insert("authData".to_owned());
                }
            }
            hidden
        };
        let mut mask = Self {
            current: hidden(&event.object),
            original: event.original.as_deref().map(hidden).unwrap_or_default(),
        };
        if let Some(present) = present {
            let now = hidden(present);
            mask.current.extend(now.iter().cloned());
            mask.original.extend(now);
        }
        mask
    }

    /// An object that a trigger changed.
    pub fn render(&self, object: &Object, keys: Option<&BTreeSet<String>>) -> Bytes {
        let hidden: BTreeSet<String> = self.current.union(&self.original).cloned().collect();
        write(object, &hidden, keys)
    }
}

fn write(object: &Object, hidden: &BTreeSet<String>, keys: Option<&BTreeSet<String>>) -> Bytes {
    let shown = |key: &str| {
        !key.starts_with('_')
            && !hidden.contains(key)
            && (ALWAYS.contains(&key) || keys.is_none_or(|keys| keys.contains(key)))
    };
    let mut out = Vec::with_capacity(256);
    write_entries(&mut out, object.iter().filter(|(key, _)| shown(key)));
    Bytes::from(out)
}

type Shape = (bool, Mask, Option<Arc<BTreeSet<String>>>);

/// Serialises each state of an event at most once for each mask and projection.
pub struct Renderer<'e> {
    event: &'e ObjectEvent,
    done: HashMap<Shape, Bytes>,
}

impl<'e> Renderer<'e> {
    pub fn new(event: &'e ObjectEvent) -> Self {
        Self { event, done: HashMap::new() }
    }

    pub fn render(&mut self, original: bool, mask: &Mask, keys: Option<&Arc<BTreeSet<String>>>) -> Bytes {
        let shape = (original, mask.clone(), keys.cloned());
        if let Some(bytes) = self.done.get(&shape) {
            return bytes.clone();
        }
        let (object, hidden) = match (original, self.event.original.as_deref()) {
            (true, Some(object)) => (object, &mask.original),
            _ => (&*self.event.object, &mask.current),
        };
        let bytes = write(object, hidden, keys.map(|keys| &**keys));
        self.done.insert(shape, bytes.clone());
        bytes
    }
}
