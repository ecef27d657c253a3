//! `$graphLookup`.

use serde_json::Value;

use super::stages::source;
use super::{PipelineParser, column_name, parse_names, path, refused};
use crate::error::Result;
use crate::query::parse::parse_where;
use crate::query::pipeline::GraphLookup;
use crate::query::{Filter, ParseContext};

impl PipelineParser<'_, '_> {
    /// `{from, startWith, connectFromField, connectToField, as, maxDepth, depthField, restrictSearchWithMatch}`
    pub(super) fn graph_lookup(&self, body: &Value) -> Result<GraphLookup> {
        let text = |key: &str| {
            body.get(key).and_then(Value::as_str).ok_or_else(|| {
                refused(
                    "$graphLookup requires 'from', 'as', 'startWith', 'connectFromField', and 'connectToField' to be \
                     specified.",
                )
            })
        };
        let start = match body.get("startWith") {
            Some(start) => self.expression(start)?,
            None => return Err(refused("$graphLookup requires 'startWith' to be specified.")),
        };
        let max_depth = match body.get("maxDepth") {
            None => None,
            Some(depth) => {
                let whole = depth.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0);
                let whole = whole.ok_or_else(|| refused("maxDepth requires a nonnegative whole number"))?;
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                Some(whole.min(f64::from(u32::MAX)) as u32)
            }
        };
        let filter = match body.get("restrictSearchWithMatch") {
            None => Filter::all(),
            Some(wanted) if wanted.is_object() => {
                let context = ParseContext { schema: None, now: self.now, ..ParseContext::master() };
                parse_where(&parse_names(wanted), &context)?
            }
            Some(_) => return Err(refused("restrictSearchWithMatch must be an object")),
        };
        let depth_field = body.get("depthField").map(|name| column_name(name.as_str().unwrap_or_default()));
        Ok(GraphLookup {
            source: source(text("from")?),
            start,
            from: path(text("connectFromField")?)?,
            to: path(text("connectToField")?)?,
            max_depth,
            depth_field: depth_field.transpose()?,
            filter,
            into: column_name(text("as")?)?,
        })
    }
}
