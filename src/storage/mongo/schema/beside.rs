//! What lies beside the classes: collections that `_SCHEMA` does not name, keys of documents that no class has. Other
//! programs leave such things, and what reads by classes never shows them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bson::{Document, doc};

use super::SCHEMA;
use crate::storage::StorageResult;
use crate::storage::mongo::MongoAdapter;
use crate::storage::mongo::layout::names::field_of_key;
use crate::storage::mongo::layout::value::has_numbered_objects;
use crate::types::names::VOLATILE_CLASSES;
use crate::types::{ClassName, ClassSchema};

/// Keys that are remembered.
const MOST: usize = 10_000;
/// Kinds of `_id` that no object has.
const NO_IDS: [&str; 6] = ["number", "object", "binData", "bool", "date", "timestamp"];
/// Collections that are no tables of objects.
const OTHERS: [&str; 3] = ["_parsimony_", "fs.", "system."];

/// Keys that scans met and that are no columns, by class, each with the first object that has it.
#[derive(Debug, Default)]
pub struct Beside(Mutex<BTreeMap<(ClassName, String), String>>);

impl Beside {
    pub fn meet(&self, class: &ClassName, key: &str, id: &str) {
        // The older form of the permissions is told by the newer one.
        if key == "_acl" {
            return;
        }
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = (class.clone(), key.to_owned());
        if met.len() < MOST {
            met.entry(named).or_insert_with(|| id.to_owned());
        }
    }

    /// Those that the classes still do not have.
    fn told(&self, schemas: &[ClassSchema]) -> Vec<String> {
        let met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_strange = |class: &ClassName, key: &str| {
            match schemas.iter().find(|schema| schema.name == *class) {
                Some(schema) => schema.field(field_of_key(schema, key)).is_none(),
                // Some have no entry; others were deleted since.
                None => class.is_volatile(),
            }
        };
        let strange = met.iter().filter(|((class, key), _)| is_strange(class, key));
        strange
            .map(|((class, key), id)| format!("key {key} of {class}, in {id} first: no field of the class"))
            .collect()
    }
}

fn is_of_a_class(schemas: &[ClassSchema], name: &str) -> bool {
    let is_join = |schema: &ClassSchema| MongoAdapter::joins(schema).iter().any(|join| *join == *name);
    name == SCHEMA
        || OTHERS.iter().any(|other| name.starts_with(other))
        || VOLATILE_CLASSES.contains(&name)
        || schemas.iter().any(|schema| schema.name == *name || is_join(schema))
}

impl MongoAdapter {
    /// In words, one for each thing.
    pub(in crate::storage::mongo) async fn beside(&self) -> StorageResult<Vec<String>> {
        let schemas = self.schemas(Document::new()).await?;
        let mut found = self.core.beside.told(&schemas);
        let mut names = self.core.timed(self.core.db.list_collection_names()).await?;
        names.sort();
        for name in names.iter().filter_map(|name| name.strip_prefix(self.core.prefix.as_str())) {
            let collection = self.documents(name);
            if !is_of_a_class(&schemas, name) {
                let count = self.core.timed(collection.estimated_document_count()).await?;
                if count > 0 {
                    found.push(format!("collection {name}, {count} documents: no class"));
                }
            } else if schemas.iter().any(|schema| schema.name == *name && !has_numbered_objects(&schema.name))
            {
                let odd = doc! { "_id": { "$type": NO_IDS.to_vec() } };
                let count = self.core.timed(collection.count_documents(odd)).await?;
                if count > 0 {
                    found.push(format!(
                        "{name}, {count} documents: an _id that is neither a text nor an ObjectId"
                    ));
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Field, FieldName, FieldType};

    #[test]
    fn what_belongs_to_a_class_is_not_told() {
        let mut game = ClassSchema::with_defaults(ClassName::known("Game"));
        let relation = FieldType::Relation(ClassName::known("_User"));
        game.fields.insert(FieldName::known("fans"), Field::of(relation));
        let schemas = [game];
        for name in ["Game", "_Join:fans:Game", "_SCHEMA", "_Hooks", "fs.files", "_parsimony_work"] {
            assert!(is_of_a_class(&schemas, name), "{name}");
        }
        for name in ["Other", "_Join:gone:Game", "GameX"] {
            assert!(!is_of_a_class(&schemas, name), "{name}");
        }
        let beside = Beside::default();
        for (key, id) in [("_acl", "a"), ("fans", "a"), ("extra", "a"), ("extra", "b")] {
            beside.meet(&schemas[0].name, key, id);
        }
        beside.meet(&ClassName::known("Gone"), "extra", "a");
        assert_eq!(beside.told(&schemas), ["key extra of Game, in a first: no field of the class"]);
    }
}
