//! One class as every request on it sees it: schema, permissions, layout, triggers, immutable.
//! The class's owner actor builds a new one for each change and publishes it in one store.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::AppConfig;
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
    /// The configuration lets live queries hear of this class: for all others nobody has to ask whether
    /// somebody listens.
    pub is_published: bool,
}

impl ClassSnapshot {
    pub fn build(schema: ClassSchema, config: &AppConfig, generation: u64) -> Self {
        let mut protected = schema.clp.as_ref().map(|clp| clp.protected_fields.clone()).unwrap_or_default();
        let by_server = config.users.protected_fields.get(schema.name.as_str());
        for (group, fields) in by_server.into_iter().flatten() {
            let merged = protected.entry(group.clone()).or_default();
            for field in fields {
                if !merged.contains(field) {
                    merged.push(field.clone());
                }
            }
        }
        let layout = Arc::new(Layout::of(&schema));
        let is_published = config.live_query.publishes(&schema.name);
        Self { schema: Arc::new(schema), layout, protected_fields: protected, generation, is_published }
    }

    pub fn name(&self) -> &ClassName {
        &self.schema.name
    }
}
