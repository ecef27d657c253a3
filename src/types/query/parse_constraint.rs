//! The value of one `where` key: a plain value, or an object of `$` operators.

use serde_json::{Map, Value};

use super::parse::{WhereParser, truthy};
use super::relative_time::{relative_time, time_operator_error};
use super::{Constraint, FieldPath, Operand, RegexConstraint, TextSearch, parse_geo};
use crate::error::{Error, Result};
use crate::types::geo::GeoPoint;
use crate::types::names::ClassName;
use crate::types::schema::FieldType;
use crate::types::time::Millis;

fn bad(message: impl Into<String>) -> Error {
    Error::invalid_json(message.into())
}

/// # Errors
/// 102 and 107 of the operators.
pub(super) fn parse_constraints(
    parser: &WhereParser<'_, '_>,
    path: &FieldPath,
    value: &Value,
    depth: u32,
) -> Result<Vec<Constraint>> {
    let Some(object) = value.as_object() else {
        return Ok(vec![Constraint::Eq(operand(value))]);
    };
    if !object.keys().any(|key| key.starts_with('$')) {
        return Ok(vec![Constraint::Eq(operand(value))]);
    }
    let field = Field { parser, path, object, depth };
    let mut constraints = Vec::with_capacity(object.len());
    // Keys without `$` beside operators are one value to equal.
    let direct: Map<String, Value> =
        object.iter().filter(|(key, _)| !key.starts_with('$')).map(|(k, v)| (k.clone(), v.clone())).collect();
    if !direct.is_empty() {
        constraints.push(Constraint::Eq(operand(&Value::Object(direct))));
    }
    for (key, value) in object.iter().filter(|(key, _)| key.starts_with('$')) {
        constraints.extend(field.operator(key, value)?);
    }
    Ok(constraints)
}

struct Field<'a, 'p, 'c> {
    parser: &'a WhereParser<'p, 'c>,
    path: &'a FieldPath,
    object: &'a Map<String, Value>,
    depth: u32,
}

impl Field<'_, '_, '_> {
    /// `None` for keys that only qualify another operator.
    fn operator(&self, key: &str, value: &Value) -> Result<Option<Constraint>> {
        Ok(Some(match key {
            "$eq" | "$ne" | "$exists" | "$lt" | "$lte" | "$gt" | "$gte" => self.comparison(key, value)?,
            "$in" | "$nin" => {
                let list = self.list(key, value)?;
                if key == "$in" { Constraint::In(list) } else { Constraint::Nin(list) }
            }
            "$all" => all(value)?,
            "$containedBy" => {
                let list = value.as_array().ok_or_else(|| bad("bad $containedBy: should be an array"))?;
                Constraint::ContainedBy(list.iter().map(operand).collect())
            }
            "$regex" => self.regex(value)?,
            "$text" => Constraint::Text(text_search(value)?),
            "$nearSphere" => parse_geo::near(value, self.object)?,
            "$within" => parse_geo::within_box(value)?,
            "$geoWithin" => parse_geo::geo_within(value)?,
            "$geoIntersects" => parse_geo::intersects(value)?,
            "$inQuery" | "$notInQuery" => self.in_query(key, value)?,
            "$select" | "$dontSelect" => self.select(key, value)?,
            "$options" if !self.object.contains_key("$regex") => {
                return Err(bad(format!("bad constraint: {key}")));
            }
            "$options"
            | "$maxDistance"
            | "$maxDistanceInRadians"
            | "$maxDistanceInMiles"
            | "$maxDistanceInKilometers" => return Ok(None),
            _ => return Err(bad(format!("bad constraint: {key}"))),
        }))
    }

    fn comparison(&self, key: &str, value: &Value) -> Result<Constraint> {
        if let Some(time) = value.get("$relativeTime").filter(|time| truthy(time)) {
            return self.relative(key, time);
        }
        Ok(match key {
            "$eq" => Constraint::Eq(operand(value)),
            "$ne" => Constraint::Ne(operand(value)),
            "$lt" => Constraint::Lt(operand(value)),
            "$lte" => Constraint::Lte(operand(value)),
            "$gt" => Constraint::Gt(operand(value)),
            "$gte" => Constraint::Gte(operand(value)),
            _ => Constraint::Exists(truthy(value)),
        })
    }

    fn relative(&self, key: &str, time: &Value) -> Result<Constraint> {
        let known = self.parser.ctx.schema.and_then(|schema| schema.field_type(&self.path.root));
        if known.is_some_and(|ty| *ty != FieldType::Date) {
            return Err(bad("$relativeTime can only be used with Date field"));
        }
        let constraint = match key {
            "$lt" => Constraint::Lt,
            "$lte" => Constraint::Lte,
            "$gt" => Constraint::Gt,
            "$gte" => Constraint::Gte,
            _ => return Err(time_operator_error()),
        };
        let at = relative_time(time.as_str().unwrap_or_default(), self.parser.ctx.now)
            .map_err(|info| bad(format!("bad $relativeTime ({key}) value. {info}")))?;
        Ok(constraint(Operand::Date(at)))
    }

    /// `$in` and `$nin`; arrays inside the list count as their members.
    fn list(&self, key: &str, value: &Value) -> Result<Vec<Operand>> {
        let list = value.as_array().ok_or_else(|| bad(format!("bad {key} value")))?;
        let mut operands = Vec::with_capacity(list.len());
        for element in list {
            match element {
                Value::Array(inner) => operands.extend(inner.iter().map(operand)),
                other => operands.push(operand(other)),
            }
        }
        let is_text = !self.path.is_dotted()
            && self.parser.ctx.schema.and_then(|schema| schema.field_type(&self.path.root))
                == Some(&FieldType::String);
        if is_text && operands.iter().any(|o| !matches!(o, Operand::Null | Operand::Text(_))) {
            return Err(Error::invalid_query(format!(
                "{key} element type mismatch: expected string for field \"{}\"",
                self.path.root
            )));
        }
        Ok(operands)
    }

    fn regex(&self, value: &Value) -> Result<Constraint> {
        let ctx = self.parser.ctx;
        if !ctx.is_master && !ctx.limits.allow_regex {
            return Err(Error::invalid_query("$regex operator is not allowed"));
        }
        let pattern = value.as_str().ok_or_else(|| Error::invalid_query("$regex value must be a string"))?;
        let options = match self.object.get("$options") {
            None => "",
            Some(Value::String(options)) => {
                if options.is_empty() || !options.chars().all(|c| "imxsu".contains(c)) {
                    return Err(Error::invalid_query(format!("Bad $options value for query: {options}")));
                }
                options
            }
            Some(_) => return Err(Error::invalid_query("$options value must be a string")),
        };
        Ok(Constraint::Regex(RegexConstraint { pattern: pattern.to_owned(), options: options.to_owned() }))
    }

    fn in_query(&self, key: &str, value: &Value) -> Result<Constraint> {
        let improper = || Error::invalid_query(format!("improper usage of {key}"));
        let query = value.as_object().ok_or_else(improper)?;
        let named = query.get("className").is_some_and(|class| class.is_string() && truthy(class));
        if !named || !query.get("where").is_some_and(Value::is_object) {
            return Err(improper());
        }
        let query = Box::new(self.parser.subquery(query, None, self.depth)?);
        Ok(if key == "$inQuery" { Constraint::InQuery(query) } else { Constraint::NotInQuery(query) })
    }

    fn select(&self, operator: &str, value: &Value) -> Result<Constraint> {
        let improper = || Error::invalid_query(format!("improper usage of {operator}"));
        let object = value.as_object().filter(|object| object.len() == 2).ok_or_else(improper)?;
        let query = object.get("query").and_then(Value::as_object).ok_or_else(improper)?;
        let key = object.get("key").and_then(Value::as_str).filter(|key| !key.is_empty());
        let named = query.get("className").is_some_and(|class| class.is_string() && truthy(class));
        // Some SDKs leave `where` out when it is empty.
        if !named || !query.get("where").is_none_or(|v| v.is_object() || v.is_null()) {
            return Err(improper());
        }
        let key = super::parse::parse_key(key.ok_or_else(improper)?, false)?;
        let query = Box::new(self.parser.subquery(query, Some(key), self.depth)?);
        Ok(if operator == "$select" { Constraint::Select(query) } else { Constraint::DontSelect(query) })
    }
}

/// `$all`: values, or start-anchored quoted expressions, not both.
fn all(value: &Value) -> Result<Constraint> {
    let list = value.as_array().ok_or_else(|| bad("bad $all value"))?;
    let prefixes: Vec<Option<String>> = list.iter().map(quoted_prefix).collect();
    if prefixes.iter().all(Option::is_none) {
        return Ok(Constraint::All(list.iter().map(operand).collect()));
    }
    if prefixes.iter().any(Option::is_none) {
        let shown: Vec<String> = list.iter().map(js_text).collect();
        return Err(bad(format!("All $all values must be of regex type or none: {}", shown.join(","))));
    }
    Ok(Constraint::AllStartingWith(prefixes.into_iter().flatten().collect()))
}

/// The literal of `{"$regex": "^\\Q…\\E"}`.
fn quoted_prefix(value: &Value) -> Option<String> {
    let pattern = value.get("$regex")?.as_str()?;
    let rest = pattern.strip_prefix("^\\Q")?;
    // A quotation is closed and reopened around a literal `\E`.
    Some(rest.strip_suffix("\\E").unwrap_or(rest).replace("\\E\\\\E\\Q", "\\E"))
}

/// A value inside a text, as JavaScript's `String()` shows it.
pub(super) fn js_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(_) => "[object Object]".to_owned(),
        Value::Array(list) => list.iter().map(js_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn text_search(value: &Value) -> Result<TextSearch> {
    let search = value.get("$search").and_then(Value::as_object);
    let search = search.ok_or_else(|| bad("bad $text: $search, should be object"))?;
    let term = search.get("$term").and_then(Value::as_str).filter(|term| !term.is_empty());
    let term = term.ok_or_else(|| bad("bad $text: $term, should be string"))?;
    let language = match search.get("$language").filter(|v| truthy(v)) {
        None => None,
        Some(Value::String(language)) => Some(language.clone()),
        Some(_) => return Err(bad("bad $text: $language, should be string")),
    };
    let flag = |key: &str| match search.get(key) {
        Some(Value::Bool(b)) => Ok(Some(*b)),
        Some(value) if truthy(value) => Err(bad(format!("bad $text: {key}, should be boolean"))),
        _ => Ok(None),
    };
    Ok(TextSearch {
        term: term.to_owned(),
        language,
        case_sensitive: flag("$caseSensitive")?.unwrap_or(false),
        // PostgreSQL's own reading, unless the query asks for the other.
        diacritic_sensitive: flag("$diacriticSensitive")?.unwrap_or(true),
    })
}

/// A REST value as something to compare with. Typed objects that are not what their tag says are
/// compared as plain objects, so they match nothing that was stored through the API.
pub fn operand(value: &Value) -> Operand {
    match value {
        Value::Null => Operand::Null,
        Value::Bool(b) => Operand::Bool(*b),
        Value::Number(n) => Operand::Number(n.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Operand::Text(text.clone()),
        Value::Array(list) => Operand::Array(list.clone()),
        Value::Object(object) => typed(object).unwrap_or_else(|| Operand::Object(value.clone())),
    }
}

fn typed(object: &Map<String, Value>) -> Option<Operand> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    match text("__type")? {
        "Date" => Millis::parse(text("iso")?).map(Operand::Date),
        // An included object stands for its pointer.
        "Pointer" | "Object" => {
            let class = ClassName::valid(text("className")?)?;
            Some(Operand::Pointer { class, id: text("objectId")?.to_owned() })
        }
        "GeoPoint" => GeoPoint::from_json(&Value::Object(object.clone())).map(Operand::GeoPoint),
        "Polygon" => {
            let pairs = object.get("coordinates")?.as_array()?;
            let ring: Option<Vec<GeoPoint>> = pairs
                .iter()
                .map(|pair| GeoPoint::new(pair.get(0)?.as_f64()?, pair.get(1)?.as_f64()?))
                .collect();
            ring.filter(|ring| ring.len() >= 3).map(Operand::Polygon)
        }
        "File" => text("name").map(|name| Operand::File(name.to_owned())),
        "Bytes" => text("base64").map(|base64| Operand::Bytes(base64.to_owned())),
        _ => None,
    }
}
