//! Pipelines on the rows of the in-memory adapter: every stage evaluated as it is said, so that the conformance
//! suite can hold the SQL of `postgres` against it. Rows are objects in REST encoding; what is null is a field
//! whose value is null where the stage shows it, and no field elsewhere. Named time zones are not known here.

mod call;
mod date;
mod expression;
mod graph;
mod group;
mod near;
mod order;
mod stages;
mod value;
mod windows;

use serde_json::{Value, json};

use super::{State, StorageResult};
use crate::query::pipeline::{Pipeline, Source};
use crate::storage::{AggregateOptions, StorageError};
use crate::types::{ClassSchema, Object};
pub use order::json_order;

/// What expressions call `$$name`.
type Variables = Vec<(String, Value)>;

const STAMPS: [&str; 2] = ["createdAt", "updatedAt"];

fn refused(message: impl Into<String>) -> StorageError {
    StorageError::Refused(crate::error::Error::invalid_query(message.into()))
}

pub fn run(
    state: &State,
    class: &ClassSchema,
    pipeline: &Pipeline,
    options: &AggregateOptions,
) -> StorageResult<Vec<Object>> {
    let runner = Runner { state };
    let rows = runner.rows_of(class);
    let rows = runner.run(rows, pipeline, &Variables::new())?;
    Ok(rows.into_iter().map(|row| shown(row, options)).collect())
}

struct Runner<'s> {
    state: &'s State,
}

impl Runner<'_> {
    /// Every row of a class, dates in their tagged form, without internal columns.
    fn rows_of(&self, class: &ClassSchema) -> Vec<Object> {
        let rows = self.state.rows.get(&class.name).into_iter().flat_map(|rows| rows.values());
        rows.map(|row| {
            let fields = row.iter().filter(|(name, _)| class.field(name).is_some());
            let fields = fields.map(|(name, value)| match value {
                Value::String(iso) if STAMPS.contains(&name.as_str()) => {
                    (name.clone(), json!({ "__type": "Date", "iso": iso }))
                }
                value => (name.clone(), value.clone()),
            });
            fields.collect()
        })
        .collect()
    }

    fn rows_from(&self, source: &Source) -> Option<Vec<Object>> {
        let class = source.access.schema.as_ref().filter(|_| !source.access.denied)?;
        Some(self.rows_of(class))
    }

    fn run(
        &self,
        rows: Vec<Object>,
        pipeline: &Pipeline,
        variables: &Variables,
    ) -> StorageResult<Vec<Object>> {
        pipeline.stages.iter().try_fold(rows, |rows, stage| self.stage(rows, stage, variables))
    }
}

/// A whole row as a value: `createdAt` and `updatedAt` are plain texts in there, and nothing is null.
fn whole(row: &Object) -> Value {
    let fields = row.iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(name, value)| (name.clone(), plain_stamp(name, value))).collect())
}

fn plain_stamp(name: &str, value: &Value) -> Value {
    match value.get("iso") {
        Some(iso) if STAMPS.contains(&name) => iso.clone(),
        _ => value.clone(),
    }
}

/// A row as the API answers it.
fn shown(row: Object, options: &AggregateOptions) -> Object {
    let mut object = Object::new();
    for (name, value) in row {
        let tag = |tag: &str| value.get("__type").is_some_and(|found| found == tag);
        let pointer = tag("Pointer")
            .then(|| Some((value.get("className")?.as_str()?, value.get("objectId")?.as_str()?)))
            .flatten();
        let answered = match (value.get("iso"), pointer) {
            (Some(iso), _) if options.raw_values && tag("Date") => json!({ "$date": iso }),
            (_, Some((class, id))) if options.raw_field_names => json!(format!("{class}${id}")),
            _ => plain_stamp(&name, &value),
        };
        let name = match name.as_str() {
            _ if !options.raw_field_names => name,
            "objectId" => "_id".to_owned(),
            "createdAt" => "_created_at".to_owned(),
            "updatedAt" => "_updated_at".to_owned(),
            _ if pointer.is_some() => format!("_p_{name}"),
            _ => name,
        };
        object.insert(name, answered);
    }
    object
}
