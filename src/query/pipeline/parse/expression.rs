//! JSON → [`Expr`]: fields, variables, literals, operators.

use serde_json::{Map, Value};

use super::{PipelineParser, date_literal, path, refused};
use crate::error::Result;
use crate::query::pipeline::Expr;
use crate::query::pipeline::date::{DateFunction, DatePart, DateUnit, Zone, read_format};
use crate::query::pipeline::function::{Function, MANY};
use crate::query::{Operand, RegexConstraint, operand};

/// Nesting of expressions.
const MAX_DEPTH: u32 = 50;
/// What `$dateToString` writes unless it is told otherwise.
const ISO_FORMAT: &str = "%Y-%m-%dT%H:%M:%S.%LZ";

/// The named arguments of an operator.
struct Named<'v> {
    operator: &'v str,
    arguments: Option<&'v Map<String, Value>>,
}

impl<'v> Named<'v> {
    fn get(&self, key: &str) -> Option<&'v Value> {
        self.arguments?.get(key)
    }

    fn wanted(&self, key: &str) -> Result<&'v Value> {
        self.get(key).ok_or_else(|| refused(format!("Missing '{key}' parameter to {}", self.operator)))
    }

    /// A text that is no expression.
    fn text(&self, key: &str) -> Result<Option<&'v str>> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.starts_with('$') => Ok(Some(text)),
            Some(_) => Err(refused(format!("{} wants '{key}' to be a constant text", self.operator))),
        }
    }
}

impl PipelineParser<'_, '_> {
    pub(super) fn expression(&self, json: &Value) -> Result<Expr> {
        self.at_depth(json, 0)
    }

    fn at_depth(&self, json: &Value, depth: u32) -> Result<Expr> {
        if depth > MAX_DEPTH {
            return Err(refused("The expression is nested too deep"));
        }
        match json {
            Value::String(text) => match text.strip_prefix('$') {
                Some(name) => self.reference(name),
                None => Ok(Expr::Literal(operand(json))),
            },
            Value::Object(object) => self.object(object, depth),
            Value::Array(list) => Ok(Expr::Array(self.each(list.iter(), depth + 1)?)),
            _ => Ok(Expr::Literal(operand(json))),
        }
    }

    fn each<'v>(&self, list: impl Iterator<Item = &'v Value>, depth: u32) -> Result<Vec<Expr>> {
        list.map(|value| self.at_depth(value, depth)).collect()
    }

    /// What stands behind the first `$`: a field, or a `$variable`.
    fn reference(&self, name: &str) -> Result<Expr> {
        let Some(variable) = name.strip_prefix('$') else { return Ok(Expr::Field(path(name)?)) };
        let (name, rest) =
            variable.split_once('.').map_or((variable, None), |(name, rest)| (name, Some(rest)));
        match (name, rest) {
            ("NOW", None) => Ok(Expr::Literal(Operand::Date(self.now))),
            ("ROOT" | "CURRENT", None) => Ok(Expr::Root),
            ("ROOT" | "CURRENT", Some(rest)) => Ok(Expr::Field(path(rest)?)),
            ("REMOVE", None) => Ok(Expr::null()),
            _ => Ok(Expr::Variable {
                name: name.to_owned(),
                rest: rest.into_iter().flat_map(|rest| rest.split('.')).map(str::to_owned).collect(),
            }),
        }
    }

    fn object(&self, object: &Map<String, Value>, depth: u32) -> Result<Expr> {
        let mut keys = object.iter();
        if let (Some((key, argument)), None) = (keys.next(), keys.next())
            && key.starts_with('$')
        {
            return match key.as_str() {
                "$literal" => Ok(Expr::Literal(operand(argument))),
                "$date" => Ok(Expr::Literal(operand(&date_literal(object)))),
                _ => self.operator(key, argument, depth + 1),
            };
        }
        if object.keys().any(|key| key.starts_with('$')) {
            return Err(refused("an expression specification must contain exactly one field"));
        }
        if object.contains_key("__type") {
            return Ok(Expr::Literal(operand(&Value::Object(object.clone()))));
        }
        let pair = |(key, value): (&String, &Value)| Ok((key.clone(), self.at_depth(value, depth + 1)?));
        Ok(Expr::Object(object.iter().map(pair).collect::<Result<_>>()?))
    }

    fn operator(&self, operator: &str, argument: &Value, depth: u32) -> Result<Expr> {
        if let Some(part) = DatePart::named(operator) {
            let named = Named { operator, arguments: argument.as_object() };
            let date = argument.get("date").unwrap_or(argument);
            let arguments = vec![self.at_depth(single(date), depth)?];
            return Ok(Expr::Date { function: DateFunction::Part(part), arguments, zone: zone(&named)? });
        }
        let list: Vec<&Value> = match argument {
            Value::Array(list) => list.iter().collect(),
            other => vec![other],
        };
        if let Some((function, least, most)) = Function::named(operator) {
            if !(least..=most).contains(&list.len()) {
                return Err(refused(wrong_count(operator, least, most, list.len())));
            }
            return Ok(Expr::Call(function, self.each(list.into_iter(), depth)?));
        }
        self.special(operator, argument, &list, depth)
    }

    /// Operators whose arguments have names, or mean something else by their number.
    fn special(&self, operator: &str, argument: &Value, list: &[&Value], depth: u32) -> Result<Expr> {
        let named = Named { operator, arguments: argument.as_object() };
        let parse = |value: &Value| self.at_depth(value, depth);
        let boxed = |value: &Value| Ok::<_, crate::error::Error>(Box::new(self.at_depth(value, depth)?));
        let call = |function, arguments| Ok(Expr::Call(function, arguments));
        match operator {
            "$cond" => self.cond(argument, list, depth),
            "$switch" => self.switch(&named, depth),
            "$let" => {
                let mut variables = Vec::new();
                for (name, value) in named.wanted("vars")?.as_object().into_iter().flatten() {
                    variables.push((name.clone(), parse(value)?));
                }
                Ok(Expr::Let { variables, body: boxed(named.wanted("in")?)? })
            }
            "$map" => Ok(Expr::Map {
                input: boxed(named.wanted("input")?)?,
                name: named.text("as")?.unwrap_or("this").to_owned(),
                body: boxed(named.wanted("in")?)?,
            }),
            "$filter" => Ok(Expr::Filter {
                input: boxed(named.wanted("input")?)?,
                name: named.text("as")?.unwrap_or("this").to_owned(),
                condition: boxed(named.wanted("cond")?)?,
            }),
            "$reduce" => Ok(Expr::Reduce {
                input: boxed(named.wanted("input")?)?,
                initial: boxed(named.wanted("initialValue")?)?,
                body: boxed(named.wanted("in")?)?,
            }),
            "$sum" | "$avg" | "$min" | "$max" => {
                let function = match operator {
                    "$sum" => Function::SumOf,
                    "$avg" => Function::AvgOf,
                    "$min" => Function::MinOf,
                    _ => Function::MaxOf,
                };
                let of = match list {
                    [one] => parse(one)?,
                    many => Expr::Array(self.each(many.iter().copied(), depth)?),
                };
                call(function, vec![of])
            }
            "$first" | "$last" => {
                let index = if operator == "$first" { 0.0 } else { -1.0 };
                call(Function::ElementAt, vec![parse(single(argument))?, Expr::number(index)])
            }
            "$trim" | "$ltrim" | "$rtrim" => {
                let function = match operator {
                    "$trim" => Function::Trim,
                    "$ltrim" => Function::TrimStart,
                    _ => Function::TrimEnd,
                };
                let chars = named.get("chars").map(parse).transpose()?;
                call(function, vec![parse(named.wanted("input")?)?, chars.unwrap_or_else(Expr::null)])
            }
            "$replaceOne" | "$replaceAll" => {
                let function =
                    if operator == "$replaceOne" { Function::ReplaceOne } else { Function::ReplaceAll };
                let parts = ["input", "find", "replacement"];
                call(function, parts.iter().map(|key| parse(named.wanted(key)?)).collect::<Result<_>>()?)
            }
            "$regexMatch" => {
                let pattern = named.text("regex")?.ok_or_else(|| refused("$regexMatch wants a regex"))?;
                crate::query::regex::check_length(pattern)?;
                let options = named.text("options")?.unwrap_or_default().to_owned();
                let regex = RegexConstraint { pattern: pattern.to_owned(), options };
                Ok(Expr::RegexMatch { input: boxed(named.wanted("input")?)?, regex })
            }
            _ => self.date_operator(&named, depth),
        }
    }

    fn date_operator(&self, named: &Named<'_>, depth: u32) -> Result<Expr> {
        let parse = |key: &str| self.at_depth(named.wanted(key)?, depth);
        let (function, arguments) = match named.operator {
            "$dateToString" => {
                let format = named.text("format")?.unwrap_or(ISO_FORMAT);
                let pieces = read_format(format)
                    .ok_or_else(|| refused(format!("Invalid format in $dateToString: {format}")))?;
                let text = Expr::Date {
                    function: DateFunction::ToText(pieces),
                    arguments: vec![parse("date")?],
                    zone: zone(named)?,
                };
                let Some(on_null) = named.get("onNull") else { return Ok(text) };
                return Ok(Expr::Call(Function::IfNull, vec![text, self.at_depth(on_null, depth)?]));
            }
            "$dateFromString" => return Ok(Expr::Call(Function::ToDate, vec![parse("dateString")?])),
            "$dateFromParts" => {
                let mut parts = vec![parse("year")?];
                for (key, default) in [
                    ("month", 1.0),
                    ("day", 1.0),
                    ("hour", 0.0),
                    ("minute", 0.0),
                    ("second", 0.0),
                    ("millisecond", 0.0),
                ] {
                    parts.push(match named.get(key) {
                        Some(value) => self.at_depth(value, depth)?,
                        None => Expr::number(default),
                    });
                }
                return Ok(Expr::Call(Function::DateFromParts, parts));
            }
            "$dateTrunc" => {
                let bin = match named.get("binSize") {
                    None => 1,
                    Some(size) => size
                        .as_u64()
                        .and_then(|size| u32::try_from(size).ok())
                        .filter(|size| (1..=100_000).contains(size))
                        .ok_or_else(|| refused("$dateTrunc wants binSize to be a positive whole number"))?,
                };
                (DateFunction::Trunc { unit: unit(named)?, bin }, vec![parse("date")?])
            }
            "$dateToParts" => (DateFunction::ToParts, vec![parse("date")?]),
            "$dateDiff" => (DateFunction::Diff(unit(named)?), vec![parse("startDate")?, parse("endDate")?]),
            "$dateAdd" | "$dateSubtract" => {
                let subtract = named.operator == "$dateSubtract";
                (
                    DateFunction::Add { unit: unit(named)?, subtract },
                    vec![parse("startDate")?, parse("amount")?],
                )
            }
            other => return Err(refused(format!("Unrecognized expression '{other}'"))),
        };
        Ok(Expr::Date { function, arguments, zone: zone(named)? })
    }

    /// `[if, then, else]` or `{if, then, else}`.
    fn cond(&self, argument: &Value, list: &[&Value], depth: u32) -> Result<Expr> {
        let parts = match argument {
            Value::Object(named) => {
                let part = |key: &&str| self.at_depth(named.get(*key).unwrap_or(&Value::Null), depth);
                ["if", "then", "else"].iter().map(part).collect::<Result<Vec<_>>>()?
            }
            _ => self.each(list.iter().copied(), depth)?,
        };
        let Ok([test, then, otherwise]) = <[Expr; 3]>::try_from(parts) else {
            return Err(refused("Expression $cond takes exactly 3 arguments."));
        };
        Ok(Expr::Switch { branches: vec![(test, then)], otherwise: Box::new(otherwise) })
    }

    fn switch(&self, named: &Named<'_>, depth: u32) -> Result<Expr> {
        let branches = named.get("branches").and_then(Value::as_array).filter(|list| !list.is_empty());
        let branches = branches.ok_or_else(|| refused("$switch requires at least one branch."))?;
        let part = |branch: &Value, key: &str| {
            let value = branch.get(key);
            let value = value
                .ok_or_else(|| refused(format!("$switch requires each branch have a '{key}' expression")));
            self.at_depth(value?, depth)
        };
        let branches = branches.iter().map(|branch| Ok((part(branch, "case")?, part(branch, "then")?)));
        let branches = branches.collect::<Result<_>>()?;
        let otherwise = named.get("default").map(|value| self.at_depth(value, depth)).transpose()?;
        Ok(Expr::Switch { branches, otherwise: Box::new(otherwise.unwrap_or_else(Expr::null)) })
    }
}

/// The only member of a list of one, as operators of one argument take it.
fn single(value: &Value) -> &Value {
    match value.as_array().map(Vec::as_slice) {
        Some([one]) => one,
        _ => value,
    }
}

fn zone(named: &Named<'_>) -> Result<Zone> {
    match named.text("timezone")? {
        None => Ok(Zone::UTC),
        Some(text) => {
            Zone::named(text).ok_or_else(|| refused(format!("unrecognized time zone identifier: \"{text}\"")))
        }
    }
}

fn unit(named: &Named<'_>) -> Result<DateUnit> {
    let text = named.text("unit")?.unwrap_or_default();
    DateUnit::named(text).ok_or_else(|| refused(format!("unknown time unit value: {text}")))
}

fn wrong_count(operator: &str, least: usize, most: usize, count: usize) -> String {
    if least == most {
        return format!("Expression {operator} takes exactly {least} arguments. {count} were passed in.");
    }
    if most == MANY {
        return format!("Expression {operator} takes at least {least} arguments. {count} were passed in.");
    }
    format!(
        "Expression {operator} takes at least {least} arguments, and at most {most}, but {count} were passed in."
    )
}
