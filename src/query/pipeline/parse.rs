//! MongoDB's JSON → [`Pipeline`], refusing what is malformed or unknown.

mod expression;
mod geo_near;
mod graph;
mod stages;
mod windows;

use serde_json::{Map, Value, json};

use super::{MAX_STAGES, Pipeline, Stage};
use crate::error::{Error, Result};
use crate::query::ParseContext;
use crate::types::names::FieldName;
use crate::types::path::FieldPath;
use crate::types::schema::ClassSchema;
use crate::types::time::Millis;

/// Longest name of a column.
const MAX_NAME: usize = 63;
/// Names that storage gives to columns of its own while a pipeline runs.
const RESERVED: &[&str] = &["_order", "_root", "_nothing"];

pub(super) fn refused(message: impl Into<String>) -> Error {
    Error::invalid_query(message.into())
}

/// `schema` is that of the class the pipeline runs on: the types of its fields count until a stage makes
/// others.
///
/// # Errors
/// 102, or the codes of `$match` filters, for stages and expressions that are malformed or unknown.
pub fn parse_pipeline(stages: &[Value], schema: Option<&ClassSchema>) -> Result<Pipeline> {
    let mut count = 0;
    PipelineParser { schema, now: Millis::now(), count: &mut count, nesting: 0 }.pipeline(stages)
}

/// Sub-pipelines inside each other.
const MAX_NESTING: u32 = 10;

struct PipelineParser<'s, 'c> {
    /// `None` once a stage has changed which fields there are.
    schema: Option<&'s ClassSchema>,
    /// What `$$NOW` and `$relativeTime` mean in every stage.
    now: Millis,
    count: &'c mut usize,
    nesting: u32,
}

impl PipelineParser<'_, '_> {
    fn pipeline(&mut self, stages: &[Value]) -> Result<Pipeline> {
        *self.count += stages.len();
        if *self.count > MAX_STAGES {
            return Err(refused(format!("Pipelines may have {MAX_STAGES} stages")));
        }
        if self.nesting > MAX_NESTING {
            return Err(refused("Sub-pipelines are nested too deep"));
        }
        let mut pipeline = Pipeline::default();
        for stage in stages {
            let Some((name, body)) = stage.as_object().and_then(|object| object.iter().next()) else {
                return Err(refused("Pipeline stages should only have one key but found ."));
            };
            if name == "$geoNear" && !pipeline.stages.is_empty() {
                return Err(refused("$geoNear is only valid as the first stage in a pipeline."));
            }
            self.stage(name, body, &mut pipeline.stages)?;
        }
        Ok(pipeline)
    }

    /// A pipeline inside this one, on rows of another class or of a later stage.
    fn sub_pipeline(&mut self, stages: &[Value], schema: Option<&ClassSchema>) -> Result<Pipeline> {
        let nesting = self.nesting + 1;
        PipelineParser { schema, now: self.now, count: self.count, nesting }.pipeline(stages)
    }

    fn context(&self) -> ParseContext<'_> {
        ParseContext { schema: self.schema, now: self.now, ..ParseContext::master() }
    }
}

/// MongoDB's name of a column, as Parse's.
fn parse_name(name: &str) -> &str {
    match name {
        "_id" => "objectId",
        "_created_at" => "createdAt",
        "_updated_at" => "updatedAt",
        other => other.strip_prefix("_p_").unwrap_or(other),
    }
}

/// A name a stage gives to a column.
fn column_name(name: &str) -> Result<FieldName> {
    FieldName::internal(parse_name(name))
        .filter(|name| name.len() <= MAX_NAME && !RESERVED.contains(&name.as_str()))
        .ok_or_else(|| refused(format!("Invalid field name in aggregation: {name}")))
}

/// A field reference without its `$`.
fn path(name: &str) -> Result<FieldPath> {
    let mut segments = name.split('.');
    let root = column_name(segments.next().unwrap_or_default())?;
    Ok(FieldPath { root, rest: segments.map(str::to_owned).collect() })
}

/// MongoDB's names and values, where a `$match` uses them, as Parse's.
fn parse_names(value: &Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.iter().map(parse_names).collect()),
        Value::Object(object) if object.len() == 1 && object.contains_key("$date") => date_literal(object),
        Value::Object(object) => {
            let mut renamed = Map::new();
            for (key, value) in object {
                let value = parse_names(value);
                match key.strip_prefix("_p_") {
                    Some(field) => renamed.insert(field.to_owned(), pointers(value)),
                    None => renamed.insert(parse_name(key).to_owned(), value),
                };
            }
            Value::Object(renamed)
        }
        other => other.clone(),
    }
}

/// `Class$id` is how MongoDB stores a pointer.
fn pointers(value: Value) -> Value {
    match value {
        Value::String(text) => match text.split_once('$') {
            Some((class, id)) if !class.is_empty() => {
                json!({ "__type": "Pointer", "className": class, "objectId": id })
            }
            _ => Value::String(text),
        },
        Value::Array(list) => list.into_iter().map(pointers).collect(),
        Value::Object(object) => {
            Value::Object(object.into_iter().map(|(key, value)| (key, pointers(value))).collect())
        }
        other => other,
    }
}

/// `{"$date": …}` of extended JSON.
fn date_literal(object: &Map<String, Value>) -> Value {
    let iso = match object.get("$date") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(n)) => Millis(n.as_i64().unwrap_or_default()).to_iso(),
        _ => String::new(),
    };
    json!({ "__type": "Date", "iso": iso })
}

/// Whether the fields of a class are still those of its schema after the stage.
fn keeps_fields(stage: &Stage) -> bool {
    matches!(
        stage,
        Stage::Match { .. } | Stage::Sort(_) | Stage::Limit(_) | Stage::Skip(_) | Stage::Sample(_)
    )
}
