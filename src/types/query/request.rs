//! A find as a client asked for it, parsed but not yet authorized. `parse` builds it from REST
//! parameters (`parse_find_options`), `operations::read` turns it into statements.

use indexmap::IndexMap;
use serde_json::Value;

use super::{Filter, OrderKey, ReadPreference};
use crate::types::FieldName;

#[derive(Clone, Debug)]
pub struct FindRequest {
    pub filter: Filter,
    pub order: Vec<OrderKey>,
    /// `None`: the app's default.
    pub limit: Option<u64>,
    pub skip: u64,
    pub count: bool,
    /// `keys`, dotted paths as given; `None` = all fields.
    pub keys: Option<Vec<String>>,
    pub exclude_keys: Vec<String>,
    /// `include`, with the parents of dotted `keys` added. `includeAll` is a flag of its own.
    pub include: IncludeTree,
    pub include_all: bool,
    /// `$score` among the keys.
    pub with_score: bool,
    pub redirect_class_name_for_key: Option<FieldName>,
    pub read_preference: Option<ReadPreference>,
    pub include_read_preference: Option<ReadPreference>,
    pub subquery_read_preference: Option<ReadPreference>,
    /// `true`, `"queryPlanner"`, …
    pub explain: Option<Value>,
    pub hint: Option<Value>,
    pub comment: Option<String>,
}

impl FindRequest {
    /// A find with nothing but a filter.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            order: Vec::new(),
            limit: None,
            skip: 0,
            count: false,
            keys: None,
            exclude_keys: Vec::new(),
            include: IncludeTree::default(),
            include_all: false,
            with_score: false,
            redirect_class_name_for_key: None,
            read_preference: None,
            include_read_preference: None,
            subquery_read_preference: None,
            explain: None,
            hint: None,
            comment: None,
        }
    }
}

/// Include paths as a tree of segments: `a.b` and `a.c` share `a`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncludeTree {
    pub children: IndexMap<String, IncludeTree>,
}

impl IncludeTree {
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Adds a dotted path and its parents.
    pub fn insert(&mut self, path: &str) {
        let mut node = self;
        for segment in path.split('.') {
            node = node.children.entry(segment.to_owned()).or_default();
        }
    }

    /// Every path in the tree, parents included, dotted.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut pending: Vec<(String, &Self)> =
            self.children.iter().map(|(segment, node)| (segment.clone(), node)).collect();
        while let Some((path, node)) = pending.pop() {
            pending.extend(node.children.iter().map(|(segment, child)| (format!("{path}.{segment}"), child)));
            paths.push(path);
        }
        paths.sort();
        paths
    }
}
