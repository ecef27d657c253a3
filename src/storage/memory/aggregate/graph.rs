//! `$graphLookup`.

use serde_json::{Value, json};

use super::stages::same;
use super::value::at;
use super::{Runner, Variables, whole};
use crate::query::pipeline::GraphLookup;
use crate::storage::StorageResult;
use crate::types::Object;

impl Runner<'_> {
    pub(super) fn reached(
        &self,
        mut row: Object,
        graph: &GraphLookup,
        variables: &Variables,
    ) -> StorageResult<Object> {
        let others = self.rows_from(&graph.source).unwrap_or_default();
        let mut left = self.state.filtered(&graph.filter, others);
        let mut wanted = vec![self.value(&graph.start, &row, variables)?];
        let mut found = Vec::new();
        for depth in 0..=graph.max_depth.unwrap_or(u32::MAX) {
            let (mut reached, rest): (Vec<Object>, Vec<Object>) =
                left.into_iter().partition(|other| has_one(&at(other, &graph.to), &wanted));
            left = rest;
            if reached.is_empty() {
                break;
            }
            wanted = reached.iter().map(|other| at(other, &graph.from)).collect();
            reached.sort_by(|a, b| at(a, &id()).as_str().cmp(&at(b, &id()).as_str()));
            found.extend(reached.iter().map(|other| {
                let mut other = whole(other);
                if let (Some(name), Value::Object(other)) = (&graph.depth_field, &mut other) {
                    other.insert(name.as_str().to_owned(), json!(depth));
                }
                other
            }));
        }
        row.insert(graph.into.as_str().to_owned(), Value::Array(found));
        Ok(row)
    }
}

fn id() -> crate::types::path::FieldPath {
    crate::types::FieldName::known("objectId").into()
}

/// Whether the value, or a member of it, is one of these, or a member of one.
fn has_one(value: &Value, wanted: &[Value]) -> bool {
    let members = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    members.iter().any(|member| wanted.iter().any(|wanted| same(wanted, member)))
}
