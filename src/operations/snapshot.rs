//! One class as every request on it sees it: schema, permissions, layout, triggers, immutable.
//! The class's owner actor builds a new one for each change and publishes it in one store.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::{ClassName, ClassSchema, Layout};

#[derive(Debug)]
pub struct ClassSnapshot {
    pub schema: Arc<ClassSchema>,
    /// Every stored column, in the order a full read returns them.
    pub layout: Arc<Layout>,
    /// CLP.protectedFields merged with the server option, by group.
    pub protected_fields: BTreeMap<String, Vec<String>>,
    /// Grows with every change of this class on this server.
    pub generation: u64,
}

impl ClassSnapshot {
    /// `server_protected` is the option `protectedFields` for this class: group → fields.
    pub fn build(
        schema: ClassSchema,
        server_protected: Option<&BTreeMap<String, Vec<String>>>,
        generation: u64,
    ) -> Self {
        let mut protected = schema.clp.as_ref().map(|clp| clp.protected_fields.clone()).unwrap_or_default();
        for (group, fields) in server_protected.into_iter().flatten() {
            let merged = protected.entry(group.clone()).or_default();
            for field in fields {
                if !merged.contains(field) {
                    merged.push(field.clone());
                }
            }
        }
        let layout = Arc::new(Layout::of(&schema));
        Self { schema: Arc::new(schema), layout, protected_fields: protected, generation }
    }

    pub fn name(&self) -> &ClassName {
        &self.schema.name
    }
}
