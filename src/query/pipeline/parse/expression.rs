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
            "$rand" if *argument == Value::Object(Map::new()) || list.is_empty() => {
                call(Function::Random, Vec::new())
            }
            "$rand" => Err(refused("$rand does not currently accept arguments")),
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
            "$zip" => {
                let inputs = named.wanted("inputs")?.as_array();
                let inputs = inputs.ok_or_else(|| refused("inputs must be an array of expressions"))?;
                let longest = named.get("useLongestLength") == Some(&Value::Bool(true));
                let function = if longest { Function::ZipLongest } else { Function::Zip };
                let defaults = named.get("defaults").map(parse).transpose()?.unwrap_or_else(Expr::null);
                call(function, vec![Expr::Array(self.each(inputs.iter(), depth)?), defaults])
            }
            "$getField" => {
                let field = Expr::Literal(Operand::Text(constant_name(
                    operator,
                    named.get("field").unwrap_or(argument),
                )?));
                let input = named.get("input").map(parse).transpose()?.unwrap_or(Expr::Root);
                call(Function::Member, vec![input, field])
            }
            "$setField" | "$unsetField" => {
                let field = constant_name(operator, named.wanted("field")?)?;
                let input = parse(named.wanted("input")?)?;
                let value = if operator == "$setField" { Some(named.wanted("value")?) } else { None };
                match value.filter(|value| *value != "$$REMOVE") {
                    Some(value) => {
                        call(Function::Merge, vec![input, Expr::Object(vec![(field, parse(value)?)])])
                    }
                    None => call(Function::WithoutMember, vec![input, Expr::Literal(Operand::Text(field))]),
                }
            }
            "$convert" => self.convert(&named, depth),
            "$sortArray" => {
                let keys = sort_by(operator, named.wanted("sortBy")?)?;
                Ok(Expr::SortArray { input: boxed(named.wanted("input")?)?, keys })
            }
            "$firstN" | "$lastN" | "$minN" | "$maxN" => {
                let (n, input) = (parse(named.wanted("n")?)?, parse(named.wanted("input")?)?);
                Ok(several(operator, input, n))
            }
            _ => self.date_operator(&named, depth),
        }
    }

    /// `{input, to, onError, onNull}`.
    fn convert(&self, named: &Named<'_>, depth: u32) -> Result<Expr> {
        let to = named.wanted("to")?;
        let to = to.get("type").unwrap_or(to);
        let name = to.as_str().map(str::to_owned).or_else(|| to.as_u64().map(|code| code.to_string()));
        let function = match name.as_deref().unwrap_or_default() {
            "double" | "1" | "decimal" | "19" => Function::ToNumber,
            "int" | "16" | "long" | "18" => Function::ToWhole,
            "string" | "2" => Function::ToText,
            "bool" | "8" => Function::ToBool,
            "date" | "9" => Function::ToDate,
            _ => return Err(refused(format!("$convert cannot convert to {to}"))),
        };
        let part = |key: &str| named.get(key).map(|value| self.at_depth(value, depth)).transpose();
        let input = self.at_depth(named.wanted("input")?, depth)?;
        let name = "converted".to_owned();
        let value = || Expr::Variable { name: name.clone(), rest: Vec::new() };
        let nothing = Expr::Call(Function::IfNull, vec![value(), Expr::null()]);
        let converted = Expr::Call(function, vec![value()]);
        let converted = match part("onError")? {
            Some(on_error) => Expr::Call(Function::IfNull, vec![converted, on_error]),
            None => converted,
        };
        let body = match part("onNull")? {
            Some(on_null) => Expr::Switch {
                branches: vec![(Expr::Call(Function::Eq, vec![nothing, Expr::null()]), on_null)],
                otherwise: Box::new(converted),
            },
            None => converted,
        };
        Ok(Expr::Let { variables: vec![(name.clone(), input)], body: Box::new(body) })
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

/// The first, last, least or greatest `n` members.
pub(super) fn several(operator: &str, input: Expr, n: Expr) -> Expr {
    let list = match operator {
        "$minN" | "$maxN" => {
            let member = Expr::Variable { name: "this".to_owned(), rest: Vec::new() };
            let present = Expr::Filter {
                input: Box::new(input),
                name: "this".to_owned(),
                condition: Box::new(Expr::Call(
                    Function::And,
                    ["null", "missing"]
                        .map(|ty| {
                            let own = Expr::Call(Function::Type, vec![member.clone()]);
                            Expr::Call(Function::Ne, vec![own, Expr::Literal(Operand::Text(ty.to_owned()))])
                        })
                        .into(),
                )),
            };
            Expr::SortArray { input: Box::new(present), keys: vec![(Vec::new(), operator == "$maxN")] }
        }
        _ => input,
    };
    let n = if operator == "$lastN" { Expr::Call(Function::Subtract, vec![Expr::number(0.0), n]) } else { n };
    Expr::Call(Function::Slice, vec![list, n])
}

/// `1`, `-1`, or `{path: 1, …}`.
pub(super) fn sort_by(operator: &str, json: &Value) -> Result<Vec<(Vec<String>, bool)>> {
    let direction = |value: &Value| match value.as_f64() {
        Some(1.0) => Ok(false),
        Some(-1.0) => Ok(true),
        _ => Err(refused(format!("{operator} wants sortBy to be 1, -1, or an object of these"))),
    };
    let Value::Object(keys) = json else { return Ok(vec![(Vec::new(), direction(json)?)]) };
    if keys.is_empty()
        || keys.keys().any(|key| key.split('.').any(|part| part.is_empty() || part.starts_with('$')))
    {
        return Err(refused(format!("{operator} wants sortBy to name fields")));
    }
    keys.iter()
        .map(|(key, value)| Ok((key.split('.').map(str::to_owned).collect(), direction(value)?)))
        .collect()
}

/// The name of a field, as a text or a literal.
fn constant_name(operator: &str, json: &Value) -> Result<String> {
    let name = json.get("$literal").unwrap_or(json);
    let is_plain = |name: &&str| json.is_object() || !name.starts_with('$');
    let name = name.as_str().filter(is_plain);
    name.map(str::to_owned)
        .ok_or_else(|| refused(format!("{operator} requires 'field' to evaluate to a constant")))
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
