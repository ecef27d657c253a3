//! What a request says of how it is to be answered: which index, by which member of the replica set.

use bson::Bson;
use mongodb::options::{Hint, ReadPreference as DriverPreference, SelectionCriteria};
use serde_json::Value;

use crate::query::{FindHints, ReadPreference};
use crate::storage::mongo::layout::names;
use crate::types::ClassSchema;

pub fn criteria(hints: &FindHints) -> Option<SelectionCriteria> {
    let preference = match hints.read_preference {
        ReadPreference::Primary => return None,
        ReadPreference::PrimaryPreferred => DriverPreference::PrimaryPreferred { options: None },
        ReadPreference::Secondary => DriverPreference::Secondary { options: None },
        ReadPreference::SecondaryPreferred => DriverPreference::SecondaryPreferred { options: None },
        ReadPreference::Nearest => DriverPreference::Nearest { options: None },
    };
    Some(SelectionCriteria::ReadPreference(preference))
}

/// The index that the query asks for; its columns go by the names of fields or of keys.
pub fn hint(schema: &ClassSchema, hints: &FindHints) -> Option<Hint> {
    let keys = match hints.hint.as_ref()? {
        Value::String(name) => return Some(Hint::Name(name.clone())),
        Value::Object(keys) => keys,
        _ => return None,
    };
    let key = |(name, kind): (&String, &Value)| {
        let kind = match kind {
            Value::String(kind) => Bson::String(kind.clone()),
            other => {
                Bson::Int32(if other.as_f64().is_some_and(|direction| direction < 0.0) { -1 } else { 1 })
            }
        };
        (names::column_key(schema, name).into_owned(), kind)
    };
    Some(Hint::Keys(keys.iter().map(key).collect()))
}
