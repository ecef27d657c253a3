//! `$setWindowFields`, and what of `$fill` needs no window.

use serde_json::{Map, Value};

use super::stages::{Finish, sort};
use super::{PipelineParser, column_name, path, refused};
use crate::error::Result;
use crate::query::pipeline::function::Function;
use crate::query::pipeline::window::{Bound, Frame, Ranking, Windowed, Windows};
use crate::query::pipeline::{Expr, Stage};

impl PipelineParser<'_, '_> {
    /// `{partitionBy, sortBy, output}`; what becomes of fields that are made of all values of their window comes too.
    pub(super) fn windows(&self, body: &Value) -> Result<(Windows, Finish)> {
        let output = body.get("output").and_then(Value::as_object);
        let output = output.ok_or_else(|| refused("$setWindowFields requires 'output' to be an object"))?;
        let partition = match body.get("partitionBy") {
            None | Some(Value::Null) => None,
            Some(partition) => Some(self.expression(partition)?),
        };
        let sort = body.get("sortBy").map(sort).transpose()?.unwrap_or_default();
        let mut finish = Finish::new();
        let mut fields = Vec::with_capacity(output.len());
        for (name, of) in output {
            let of = of.as_object();
            let of =
                of.ok_or_else(|| refused(format!("The field '{name}' must be a window function object")))?;
            fields.push((column_name(name)?, self.windowed(name, of, sort.len(), &mut finish)?));
        }
        Ok((Windows { partition, sort, fields }, finish))
    }

    /// `{<function>: <argument>, window: {…}}`
    fn windowed(
        &self,
        name: &str,
        of: &Map<String, Value>,
        sorted_by: usize,
        finish: &mut Finish,
    ) -> Result<Windowed> {
        let mut functions = of.iter().filter(|(key, _)| *key != "window");
        let (Some((function, argument)), None) = (functions.next(), functions.next()) else {
            return Err(refused(format!("The field '{name}' must have exactly one window function")));
        };
        let place = match function.as_str() {
            "$documentNumber" => Some(Ranking::Number),
            "$rank" => Some(Ranking::Rank),
            "$denseRank" => Some(Ranking::DenseRank),
            _ => None,
        };
        let has_window = of.get("window").is_some_and(|window| !window.is_null());
        if (place.is_some() || function == "$shift") && has_window {
            return Err(refused(format!("{function} does not accept a 'window' field")));
        }
        if let Some(place) = place {
            let wanted = if place == Ranking::Number { sorted_by > 0 } else { sorted_by == 1 };
            return if wanted {
                Ok(Windowed::Ranking(place))
            } else if place == Ranking::Number {
                Err(refused("$documentNumber must be specified with a sortBy expression"))
            } else {
                Err(refused(format!(
                    "{function} must be specified with a sortBy expression with exactly one element"
                )))
            };
        }
        if function == "$shift" {
            return self.shifted(argument, sorted_by);
        }
        let single = Map::from_iter([(function.clone(), argument.clone())]);
        let (_, accumulator) = self.accumulator(name, &Value::Object(single), finish)?;
        Ok(Windowed::Over { accumulator, frame: frame(of.get("window"), sorted_by)? })
    }

    /// `{output, by, default}`
    fn shifted(&self, argument: &Value, sorted_by: usize) -> Result<Windowed> {
        if sorted_by == 0 {
            return Err(refused("'$shift' requires a sortBy"));
        }
        let value =
            argument.get("output").ok_or_else(|| refused("'$shift' requires an 'output' expression"))?;
        let by = argument
            .get("by")
            .and_then(rows)
            .ok_or_else(|| refused("'$shift' requires 'by' as an integer value"))?;
        let default = argument.get("default").map(|default| self.expression(default)).transpose()?;
        let default = default.unwrap_or_else(Expr::null);
        if !matches!(default, Expr::Literal(_)) {
            return Err(refused("'$shift:default' must be a constant"));
        }
        Ok(Windowed::Shift { value: self.expression(value)?, by, default })
    }

    /// A `$fill` with values. Its methods look at other rows, which nothing here does.
    pub(super) fn fill(&self, body: &Value) -> Result<Stage> {
        let output = body.get("output").and_then(Value::as_object).filter(|output| !output.is_empty());
        let output = output.ok_or_else(|| refused("$fill requires 'output' to be a non-empty object"))?;
        let mut fields = Vec::with_capacity(output.len());
        for (name, of) in output {
            let Some(value) = of.get("value") else {
                return Err(refused(format!("$fill is supported with 'value' only: {name}")));
            };
            let place = path(name)?;
            let filled = vec![Expr::Field(place.clone()), self.expression(value)?];
            fields.push((place, Expr::Call(Function::IfNull, filled)));
        }
        Ok(Stage::AddFields(fields))
    }
}

/// `{documents: [from, upto]}`, or the whole partition.
fn frame(window: Option<&Value>, sorted_by: usize) -> Result<Frame> {
    let Some(window) = window.filter(|window| !window.is_null()) else { return Ok(Frame::ALL) };
    if window.get("range").is_some() || window.get("unit").is_some() {
        return Err(refused("Windows are supported as 'documents' only"));
    }
    let Some(bounds) = window.get("documents") else { return Ok(Frame::ALL) };
    let wrong = || refused("Window bounds must be a 2-element array");
    let [from, upto] = bounds.as_array().map(Vec::as_slice).unwrap_or_default() else { return Err(wrong()) };
    let bound = |value: &Value| match value {
        Value::String(word) if word == "unbounded" => Ok(Bound::Unbounded),
        Value::String(word) if word == "current" => Ok(Bound::Rows(0)),
        number => rows(number)
            .map(Bound::Rows)
            .ok_or_else(|| refused("Window bounds must be 'unbounded', 'current', or a whole number")),
    };
    let frame = Frame { from: bound(from)?, upto: bound(upto)? };
    if let (Bound::Rows(from), Bound::Rows(upto)) = (frame.from, frame.upto)
        && from > upto
    {
        return Err(refused("Lower bound must not exceed upper bound"));
    }
    if frame != Frame::ALL && sorted_by == 0 {
        return Err(refused("Document-based bounds require a sortBy"));
    }
    Ok(frame)
}

/// A number of rows.
#[allow(clippy::cast_possible_truncation)]
fn rows(value: &Value) -> Option<i32> {
    let most = f64::from(i32::MAX);
    value.as_f64().filter(|n| n.fract() == 0.0 && (-most..=most).contains(n)).map(|n| n as i32)
}
