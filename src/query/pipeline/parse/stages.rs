//! One stage at a time. `$count`, `$sortByCount` and `$bucket` become stages that there are anyway.

use serde_json::Value;

use super::expression::{several, sort_by};
use super::{PipelineParser, column_name, keeps_fields, parse_names, path, refused};
use crate::error::Result;
use crate::query::parse::parse_where;
use crate::query::pipeline::function::Function;
use crate::query::pipeline::{Accumulate, Accumulator, Expr, Group, Lookup, SortKey, Source, Stage};
use crate::query::{Access, Operand, operand};
use crate::types::names::{ClassName, FieldName};
use crate::types::path::FieldPath;

/// What becomes of columns once their group is whole.
pub(super) type Finish = Vec<(FieldPath, Expr)>;

/// What a `$project` says about one name.
enum Projected<'v> {
    Included,
    Excluded,
    Computed(&'v Value),
}

fn projected(value: &Value) -> Projected<'_> {
    match value {
        Value::Bool(true) => Projected::Included,
        Value::Bool(false) => Projected::Excluded,
        Value::Number(n) if n.as_f64() == Some(0.0) => Projected::Excluded,
        Value::Number(_) => Projected::Included,
        other => Projected::Computed(other),
    }
}

impl PipelineParser<'_, '_> {
    pub(super) fn stage(&mut self, name: &str, body: &Value, stages: &mut Vec<Stage>) -> Result<()> {
        let stage = match name {
            "$match" => self.matched(body)?,
            "$group" => {
                let (group, finish) = self.group(body)?;
                if finish.is_empty() {
                    Stage::Group(group)
                } else {
                    stages.push(Stage::Group(group));
                    Stage::AddFields(finish)
                }
            }
            "$project" => self.project(body)?,
            "$addFields" | "$set" => self.add_fields(name, body)?,
            "$unset" => unset(body)?,
            "$replaceRoot" => {
                let root = body.get("newRoot");
                let root = root.ok_or_else(|| refused("no newRoot specified for the $replaceRoot stage"))?;
                Stage::ReplaceRoot(self.expression(root)?)
            }
            "$replaceWith" => Stage::ReplaceRoot(self.expression(body)?),
            "$sort" => Stage::Sort(sort(body)?),
            "$limit" => Stage::Limit(whole("$limit", body)?),
            "$skip" => Stage::Skip(whole("$skip", body)?),
            "$sample" => {
                let size = body.get("size").and_then(Value::as_u64).filter(|n| i64::try_from(*n).is_ok());
                Stage::Sample(
                    size.ok_or_else(|| refused("size argument to $sample must be a positive integer"))?,
                )
            }
            "$unwind" => unwind(body)?,
            "$count" => Stage::Count(column_name(body.as_str().unwrap_or_default())?),
            "$lookup" => Stage::Lookup(self.lookup(body)?),
            "$graphLookup" => Stage::GraphLookup(self.graph_lookup(body)?),
            "$geoNear" => Stage::GeoNear(self.geo_near(body)?),
            "$unionWith" => self.union_with(body)?,
            "$facet" => self.facet(body)?,
            "$fill" => self.fill(body)?,
            "$setWindowFields" => {
                let (windows, finish) = self.windows(body)?;
                if finish.is_empty() {
                    Stage::Windows(windows)
                } else {
                    stages.push(Stage::Windows(windows));
                    Stage::AddFields(finish)
                }
            }
            "$sortByCount" => {
                let count = FieldName::known("count");
                stages.push(Stage::Group(Group {
                    key: self.expression(body)?,
                    plain_parts: Vec::new(),
                    accumulators: vec![(count.clone(), counting())],
                }));
                Stage::Sort(vec![SortKey { path: count.into(), descending: true }])
            }
            "$bucket" => {
                let (group, finish) = self.bucket(body)?;
                stages.push(Stage::Group(group));
                if !finish.is_empty() {
                    stages.push(Stage::AddFields(finish));
                }
                Stage::Sort(vec![SortKey { path: FieldName::known("objectId").into(), descending: false }])
            }
            _ => return Err(refused(format!("Unrecognized pipeline stage name: '{name}'"))),
        };
        if !keeps_fields(&stage) {
            self.schema = None;
        }
        stages.push(stage);
        Ok(())
    }

    fn matched(&self, body: &Value) -> Result<Stage> {
        let mut condition = None;
        let wanted = match body.as_object() {
            Some(object) if object.contains_key("$expr") => {
                condition = object.get("$expr").map(|expr| self.expression(expr)).transpose()?;
                let rest = object.iter().filter(|(key, _)| *key != "$expr");
                Value::Object(rest.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
            _ => body.clone(),
        };
        let filter = parse_where(&parse_names(&wanted), &self.context())?;
        Ok(Stage::Match { filter, condition })
    }

    fn group(&mut self, body: &Value) -> Result<(Group, Finish)> {
        let Some(body) = body.as_object() else {
            return Err(refused("a group's fields must be specified in an object"));
        };
        let Some(id) = body.get("_id") else {
            return Err(refused("Invalid parameter for query: group. Missing key _id"));
        };
        // As parse-server reads them, these are no key.
        let empty = match id {
            Value::Null | Value::Bool(false) => true,
            Value::Number(n) => n.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(object) => object.is_empty(),
            Value::Bool(true) => false,
        };
        let key = if empty { Expr::null() } else { self.expression(id)? };
        let parts = id.as_object().into_iter().flatten();
        let plain = parts.filter(|(_, part)| part.as_str().is_some_and(|field| field.starts_with('$')));
        let plain_parts = plain.map(|(name, _)| name.clone()).collect();
        let accumulators = body.iter().filter(|(name, _)| *name != "_id");
        let (accumulators, finish) = self.accumulators(accumulators)?;
        Ok((Group { key, plain_parts, accumulators }, finish))
    }

    fn accumulators<'v>(
        &self,
        named: impl Iterator<Item = (&'v String, &'v Value)>,
    ) -> Result<(Vec<(FieldName, Accumulator)>, Finish)> {
        let mut finish = Finish::new();
        let all = named.map(|(name, value)| self.accumulator(name, value, &mut finish));
        Ok((all.collect::<Result<_>>()?, finish))
    }

    pub(super) fn accumulator(
        &self,
        name: &str,
        value: &Value,
        finish: &mut Finish,
    ) -> Result<(FieldName, Accumulator)> {
        let name = column_name(name)?;
        let single = value.as_object().filter(|object| object.len() == 1);
        let Some((operator, argument)) = single.and_then(|object| object.iter().next()) else {
            return Err(refused(format!("The field '{name}' must be an accumulator object")));
        };
        if let Some((value, of_list)) = self.of_all_values(operator, argument, &name)? {
            finish.push((name.clone().into(), of_list));
            return Ok((name, Accumulator { kind: Accumulate::Push, value }));
        }
        let Some(kind) = Accumulate::named(operator) else {
            return Err(refused(format!("unknown group operator '{operator}'")));
        };
        let value = if kind == Accumulate::Count { Expr::null() } else { self.expression(argument)? };
        Ok((name, Accumulator { kind, value }))
    }

    /// Accumulators that are made of the list of all values: what goes into the list, and what the list, a column
    /// of that name, becomes once its group is whole. `None` for all others.
    fn of_all_values(
        &self,
        operator: &str,
        argument: &Value,
        column: &FieldName,
    ) -> Result<Option<(Expr, Expr)>> {
        let list = || Expr::Field(FieldPath::from(column.clone()));
        let wanted = |key: &str| {
            let value = argument.get(key);
            self.expression(value.ok_or_else(|| refused(format!("Missing '{key}' parameter to {operator}")))?)
        };
        let variable = |name: &str, rest: &[&str]| Expr::Variable {
            name: name.to_owned(),
            rest: rest.iter().map(|&part| part.to_owned()).collect(),
        };
        let call = Expr::Call;
        Ok(Some(match operator {
            "$firstN" | "$lastN" | "$minN" | "$maxN" => {
                (wanted("input")?, several(operator, list(), wanted("n")?))
            }
            "$mergeObjects" => {
                let body = call(Function::Merge, vec![variable("value", &[]), variable("this", &[])]);
                let initial = Box::new(Expr::Object(Vec::new()));
                let merged = Expr::Reduce { input: Box::new(list()), initial, body: Box::new(body) };
                (self.expression(argument)?, merged)
            }
            "$top" | "$bottom" | "$topN" | "$bottomN" => {
                let by = argument.get("sortBy").filter(|by| by.is_object());
                let by = by.ok_or_else(|| refused(format!("Missing 'sortBy' parameter to {operator}")))?;
                let (mut parts, mut keys) = (Vec::new(), Vec::new());
                for (index, (path_of_key, descending)) in sort_by(operator, by)?.into_iter().enumerate() {
                    let key = format!("k{index}");
                    parts.push((key.clone(), Expr::Field(path(&path_of_key.join("."))?)));
                    keys.push((vec![key], descending));
                }
                parts.push(("output".to_owned(), wanted("output")?));
                let sorted = Expr::SortArray { input: Box::new(list()), keys };
                let output = variable("this", &["output"]);
                let of_sorted = if operator.ends_with('N') {
                    let which = if operator == "$topN" { "$firstN" } else { "$lastN" };
                    let some = several(which, sorted, wanted("n")?);
                    Expr::Map { input: Box::new(some), name: "this".to_owned(), body: Box::new(output) }
                } else {
                    let place = if operator == "$top" { 0.0 } else { -1.0 };
                    let one = call(Function::ElementAt, vec![sorted, Expr::number(place)]);
                    Expr::Let { variables: vec![("this".to_owned(), one)], body: Box::new(output) }
                };
                (Expr::Object(parts), of_sorted)
            }
            "$median" | "$percentile" => {
                let shares: Option<Vec<f64>> = match (operator, argument.get("p")) {
                    ("$median", _) => Some(vec![0.5]),
                    (_, Some(Value::Array(list))) => list.iter().map(Value::as_f64).collect(),
                    _ => None,
                };
                let shares =
                    shares.filter(|list| !list.is_empty() && list.iter().all(|p| (0.0..=1.0).contains(p)));
                let shares = shares
                    .ok_or_else(|| refused(format!("{operator} wants 'p' to be numbers from 0 to 1")))?;
                let numbers = Expr::Filter {
                    input: Box::new(list()),
                    name: "this".to_owned(),
                    condition: Box::new(call(Function::IsNumber, vec![variable("this", &[])])),
                };
                let sorted = Expr::SortArray { input: Box::new(numbers), keys: vec![(Vec::new(), false)] };
                let at = |share: f64| {
                    let size = call(Function::Size, vec![variable("sorted", &[])]);
                    let upto =
                        call(Function::Ceil, vec![call(Function::Multiply, vec![Expr::number(share), size])]);
                    let before = call(Function::Subtract, vec![upto, Expr::number(1.0)]);
                    let place = call(Function::MaxOf, vec![Expr::Array(vec![Expr::number(0.0), before])]);
                    call(Function::ElementAt, vec![variable("sorted", &[]), place])
                };
                let body = match (operator, shares.as_slice()) {
                    ("$median", [share, ..]) => at(*share),
                    _ => Expr::Array(shares.iter().map(|share| at(*share)).collect()),
                };
                let of_list =
                    Expr::Let { variables: vec![("sorted".to_owned(), sorted)], body: Box::new(body) };
                (wanted("input")?, of_list)
            }
            _ => return Ok(None),
        }))
    }

    fn project(&self, body: &Value) -> Result<Stage> {
        let body = body.as_object().filter(|body| !body.is_empty());
        let body = body.ok_or_else(|| refused("$project specification must be a non-empty object"))?;
        let is_id = |name: &str| matches!(name, "_id" | "objectId");
        let is_excluded = |value: &Value| matches!(projected(value), Projected::Excluded);
        let only_id = body.keys().all(|name| is_id(name));
        if body.iter().any(|(name, value)| is_excluded(value) && !is_id(name))
            || (only_id && body.values().all(is_excluded))
        {
            return exclude(body.keys().map(String::as_str));
        }
        let keep_id = !body.keys().any(|name| is_id(name));
        let mut fields = Vec::new();
        for (name, value) in body {
            let value = match projected(value) {
                Projected::Excluded => continue,
                Projected::Included => Expr::Field(path(name.trim_start_matches('$'))?),
                Projected::Computed(expression) => self.expression(expression)?,
            };
            fields.push((path(name)?, value));
        }
        Ok(Stage::Shape { keep_id, fields })
    }

    fn add_fields(&self, stage: &str, body: &Value) -> Result<Stage> {
        let added = body
            .as_object()
            .ok_or_else(|| refused(format!("{stage} specification stage must be an object")))?;
        let field = |(name, value): (&String, &Value)| Ok((path(name)?, self.expression(value)?));
        Ok(Stage::AddFields(added.iter().map(field).collect::<Result<_>>()?))
    }

    /// `{groupBy, boundaries, default, output}`: a group whose key is the lower bound.
    fn bucket(&mut self, body: &Value) -> Result<(Group, Finish)> {
        let wanted = || refused("$bucket requires 'groupBy' and 'boundaries' to be specified");
        let value = self.expression(body.get("groupBy").ok_or_else(wanted)?)?;
        let boundaries = body.get("boundaries").and_then(Value::as_array).ok_or_else(wanted)?;
        if boundaries.len() < 2 {
            return Err(refused("The $bucket 'boundaries' field must have at least 2 values"));
        }
        let boundaries: Vec<Operand> = boundaries.iter().map(|bound| operand(&parse_names(bound))).collect();
        let of = |function, bound: &Operand| {
            Expr::Call(function, vec![value.clone(), Expr::Literal(bound.clone())])
        };
        let branch = |(low, high): (&Operand, &Operand)| {
            let inside = vec![of(Function::Gte, low), of(Function::Lt, high)];
            (Expr::Call(Function::And, inside), Expr::Literal(low.clone()))
        };
        let branches = boundaries.iter().zip(boundaries.iter().skip(1)).map(branch).collect();
        let otherwise = match body.get("default") {
            Some(default) => self.expression(default)?,
            None => Expr::null(),
        };
        let (accumulators, finish) = match body.get("output").and_then(Value::as_object) {
            Some(output) => self.accumulators(output.iter())?,
            None => (vec![(FieldName::known("count"), counting())], Finish::new()),
        };
        let key = Expr::Switch { branches, otherwise: Box::new(otherwise) };
        Ok((Group { key, plain_parts: Vec::new(), accumulators }, finish))
    }

    fn lookup(&mut self, body: &Value) -> Result<Lookup> {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let all = || refused("$lookup wants from, localField, foreignField and as, all strings");
        let from = text("from").ok_or_else(all)?;
        let into = column_name(text("as").ok_or_else(all)?)?;
        let stages = body.get("pipeline").and_then(Value::as_array);
        let equal = match (text("localField"), text("foreignField")) {
            (Some(local), Some(foreign)) => Some((path(local)?, path(foreign)?)),
            (None, None) if stages.is_some() => None,
            _ => return Err(all()),
        };
        let mut variables = Vec::new();
        for (name, value) in body.get("let").and_then(Value::as_object).into_iter().flatten() {
            variables.push((name.clone(), self.expression(value)?));
        }
        let pipeline = self.sub_pipeline(stages.map(Vec::as_slice).unwrap_or_default(), None)?;
        Ok(Lookup { source: source(from), equal, variables, pipeline, into })
    }

    fn union_with(&mut self, body: &Value) -> Result<Stage> {
        let from = body.as_str().or_else(|| body.get("coll").and_then(Value::as_str));
        let from = from.ok_or_else(|| refused("the $unionWith stage wants a class"))?;
        let stages = body.get("pipeline").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(Stage::UnionWith { source: source(from), pipeline: self.sub_pipeline(stages, None)? })
    }

    fn facet(&mut self, body: &Value) -> Result<Stage> {
        let facets = body.as_object().filter(|facets| !facets.is_empty());
        let facets = facets.ok_or_else(|| refused("the $facet specification must be a non-empty object"))?;
        let mut parsed = Vec::new();
        for (name, stages) in facets {
            let stages = stages
                .as_array()
                .ok_or_else(|| refused(format!("arguments to $facet must be arrays, {name} is none")))?;
            parsed.push((column_name(name)?, self.sub_pipeline(stages, self.schema)?));
        }
        Ok(Stage::Facet(parsed))
    }
}

fn counting() -> Accumulator {
    Accumulator { kind: Accumulate::Count, value: Expr::null() }
}

pub(super) fn source(class: &str) -> Source {
    Source { class: ClassName::valid(class), access: Access::default() }
}

fn exclude<'n>(names: impl Iterator<Item = &'n str>) -> Result<Stage> {
    Ok(Stage::Exclude(names.map(path).collect::<Result<_>>()?))
}

fn unset(body: &Value) -> Result<Stage> {
    let names: Vec<&str> = match body {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return Err(refused("$unset specification must be a string or an array")),
    };
    exclude(names.into_iter())
}

pub(super) fn sort(body: &Value) -> Result<Vec<SortKey>> {
    let keys = body.as_object().filter(|keys| !keys.is_empty());
    let keys = keys.ok_or_else(|| refused("the $sort key specification must be an object"))?;
    let key = |(name, direction): (&String, &Value)| {
        let descending = match direction.as_f64() {
            Some(1.0) => false,
            Some(-1.0) => true,
            _ => {
                return Err(refused("$sort key ordering must be 1 (for ascending) or -1 (for descending)"));
            }
        };
        Ok(SortKey { path: path(name)?, descending })
    };
    keys.iter().map(key).collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(stage: &str, body: &Value) -> Result<u64> {
    let number = body.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 9e15);
    number.map(|n| n as u64).ok_or_else(|| refused(format!("{stage} wants a positive whole number")))
}

fn unwind(body: &Value) -> Result<Stage> {
    let name = body.as_str().or_else(|| body.get("path").and_then(Value::as_str));
    let name = name.and_then(|name| name.strip_prefix('$'));
    let name = name.ok_or_else(|| refused("path option to $unwind stage should be prefixed with a '$'"))?;
    let index = body.get("includeArrayIndex").and_then(Value::as_str);
    Ok(Stage::Unwind {
        path: path(name)?,
        keep_empty: body.get("preserveNullAndEmptyArrays") == Some(&Value::Bool(true)),
        index: index.map(column_name).transpose()?,
    })
}
