//! Plans.

use bson::{Bson, Document, doc};
use mongodb::options::Hint;
use serde_json::Value;

use crate::query::{FindSpec, PlanDetail};
use crate::storage::StorageResult;
use crate::storage::mongo::error::of_query;
use crate::storage::mongo::layout::plain::document_value;
use crate::storage::mongo::{MongoAdapter, run};
use crate::types::ClassSchema;

impl MongoAdapter {
    pub(in crate::storage::mongo) async fn plan_of(
        &self,
        schema: &ClassSchema,
        spec: &FindSpec,
    ) -> StorageResult<Value> {
        let query = self.query(schema, spec, None).await?;
        let mut find = doc! { "find": self.core.full_name(&schema.name), "filter": query.filter };
        if let Some(sort) = query.options.sort {
            find.insert("sort", sort);
        }
        if let Some(limit) = query.options.limit {
            find.insert("limit", limit);
        }
        if let Some(skip) = query.options.skip {
            find.insert("skip", i64::try_from(skip).unwrap_or(i64::MAX));
        }
        if let Some(hint) = query.options.hint {
            let hint = match hint {
                Hint::Keys(keys) => Bson::Document(keys),
                Hint::Name(name) => Bson::String(name),
                _ => Bson::Null,
            };
            find.insert("hint", hint);
        }
        self.explained(find, spec.hints.plan).await
    }

    pub(in crate::storage::mongo) async fn explained(
        &self,
        command: Document,
        detail: PlanDetail,
    ) -> StorageResult<Value> {
        let verbosity = match detail {
            PlanDetail::Planner => "queryPlanner",
            PlanDetail::Execution => "executionStats",
            PlanDetail::AllPlans => "allPlansExecution",
        };
        let command = doc! { "explain": command, "verbosity": verbosity };
        let plan = run!(self, self.core.db.run_command(command.clone())).map_err(of_query)?;
        Ok(document_value(&plan))
    }
}
