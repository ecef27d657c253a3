//! The value of one `where` key: a plain value, or an object of `$` operators.

use serde_json::{Map, Value};

use super::relative_time::{relative_time, time_operator_error};
use crate::error::{Error, Result};
use crate::query::parse::WhereParser;
use crate::query::parse::geo as parse_geo;
use crate::query::{Constraint, Operand, RegexConstraint, TextSearch};
use crate::types::geo::GeoPoint;
use crate::types::javascript::{is_empty_list, is_truthy};
use crate::types::limits::MAX_TEXT_BYTES;
use crate::types::names::ClassName;
use crate::types::path::FieldPath;
use crate::types::schema::FieldType;
use crate::types::time::Millis;

/// Letters of `$options`, of which there are five.
const MAX_OPTIONS: usize = 16;

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
        return Ok(vec![Constraint::Eq(checked(value)?)]);
    }
    parser.spend_conditions(object.keys().filter(|key| key.starts_with('$')).count())?;
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
            "$all" => self.all(value)?,
            "$containedBy" => {
                let list = value.as_array().ok_or_else(|| bad("bad $containedBy: should be an array"))?;
                self.spend(list.iter())?;
                Constraint::ContainedBy(list.iter().map(checked).collect::<Result<_>>()?)
            }
            "$regex" => self.regex(value)?,
            "$text" => Constraint::Text(text_search(value)?),
            "$nearSphere" => parse_geo::near(value, self.object)?,
            "$within" => parse_geo::within_box(value)?,
            "$geoWithin" => {
                self.parser.spend_listed(parse_geo::corners(value))?;
                parse_geo::geo_within(value)?
            }
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
        if let Some(time) = value.get("$relativeTime").filter(|time| is_truthy(time)) {
            return self.relative(key, time);
        }
        Ok(match key {
            "$eq" => Constraint::Eq(checked(value)?),
            "$ne" => Constraint::Ne(checked(value)?),
            "$lt" => Constraint::Lt(checked(value)?),
            "$lte" => Constraint::Lte(checked(value)?),
            "$gt" => Constraint::Gt(checked(value)?),
            "$gte" => Constraint::Gte(checked(value)?),
            _ => Constraint::Exists(is_truthy(value)),
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
        let members = list.iter().flat_map(|element| match element {
            Value::Array(inner) => inner.as_slice(),
            other => std::slice::from_ref(other),
        });
        self.spend(members.clone())?;
        let operands = members.map(checked).collect::<Result<Vec<_>>>()?;
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

    /// Charges a list before it is taken over. What is no plain value becomes a condition of its own.
    fn spend<'v>(&self, members: impl Iterator<Item = &'v Value>) -> Result<()> {
        let (mut listed, mut conditions) = (0, 0);
        for member in members {
            listed += 1;
            let alone =
                member.is_null() || member.is_array() || member.get("__type").is_some_and(is_compound);
            conditions += usize::from(alone);
        }
        self.parser.spend_listed(listed)?;
        self.parser.spend_conditions(conditions)
    }

    /// `$all`: values, or start-anchored quoted expressions, not both. Each member is a condition.
    fn all(&self, value: &Value) -> Result<Constraint> {
        let list = value.as_array().ok_or_else(|| bad("bad $all value"))?;
        self.parser.spend_conditions(list.len())?;
        let prefixes: Vec<Option<String>> = list.iter().map(quoted_prefix).collect();
        if prefixes.iter().all(Option::is_none) {
            return Ok(Constraint::All(list.iter().map(checked).collect::<Result<_>>()?));
        }
        if prefixes.iter().any(Option::is_none) {
            return Err(bad(format!("All $all values must be of regex type or none: {}", js_text(value))));
        }
        Ok(Constraint::AllStartingWith(prefixes.into_iter().flatten().collect()))
    }

    fn regex(&self, value: &Value) -> Result<Constraint> {
        let ctx = self.parser.ctx;
        if !ctx.is_master && !ctx.limits.allow_regex {
            return Err(Error::invalid_query("$regex operator is not allowed"));
        }
        let pattern = value.as_str().ok_or_else(|| Error::invalid_query("$regex value must be a string"))?;
        crate::query::regex::check_length(pattern)?;
        let options = match self.object.get("$options") {
            None => "",
            Some(Value::String(options)) => {
                let known = |options: &str| options.bytes().all(|c| b"imxsu".contains(&c));
                if options.is_empty() || options.len() > MAX_OPTIONS || !known(options) {
                    return Err(Error::invalid_query(format!("Bad $options value for query: {options}")));
                }
                options
            }
            Some(_) => return Err(Error::invalid_query("$options value must be a string")),
        };
        if options == "i"
            && let Some(text) = whole_text(pattern)
        {
            return Ok(Constraint::EqIgnoreCase(text));
        }
        Ok(Constraint::Regex(RegexConstraint { pattern: pattern.to_owned(), options: options.to_owned() }))
    }

    fn in_query(&self, key: &str, value: &Value) -> Result<Constraint> {
        let improper = || Error::invalid_query(format!("improper usage of {key}"));
        let query = value.as_object().ok_or_else(improper)?;
        let named = query.get("className").is_some_and(|class| class.is_string() && is_truthy(class));
        if !named || !query.get("where").is_some_and(|v| v.is_object() || is_empty_list(v)) {
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
        let named = query.get("className").is_some_and(|class| class.is_string() && is_truthy(class));
        // Some SDKs leave `where` out when it is empty.
        if !named || !query.get("where").is_none_or(|v| v.is_object() || v.is_null() || is_empty_list(v)) {
            return Err(improper());
        }
        let key = crate::query::parse::parse_key(key.ok_or_else(improper)?, false)?;
        let query = Box::new(self.parser.subquery(query, Some(key), self.depth)?);
        Ok(if operator == "$select" { Constraint::Select(query) } else { Constraint::DontSelect(query) })
    }
}

/// The literal of `{"$regex": "^\\Q…\\E"}`.
fn quoted_prefix(value: &Value) -> Option<String> {
    let pattern = value.get("$regex")?.as_str()?;
    let rest = pattern.strip_prefix("^\\Q")?;
    // A quotation is closed and reopened around a literal `\E`.
    Some(rest.strip_suffix("\\E").unwrap_or(rest).replace("\\E\\\\E\\Q", "\\E"))
}

/// The text of a fully anchored literal (`^\Q…\E$`, or escaped): with option `i`, equality that does not mind
/// case. That is how clients ask for it.
fn whole_text(pattern: &str) -> Option<String> {
    let body = pattern.strip_prefix('^')?.strip_suffix('$')?;
    if let Some(quoted) = body.strip_prefix("\\Q").and_then(|rest| rest.strip_suffix("\\E")) {
        return (!quoted.contains("\\E") && !quoted.contains('\0')).then(|| quoted.to_owned());
    }
    let mut text = String::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        text.push(match c {
            '\\' => rest.next().filter(|escaped| !escaped.is_alphanumeric())?,
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            '\0' => return None,
            literal => literal,
        });
    }
    Some(text)
}

/// A value inside a text, as JavaScript's `String()` shows it.
pub(crate) fn js_text(value: &Value) -> String {
    let mut out = String::new();
    push_js_text(value, &mut out);
    out
}

fn push_js_text(value: &Value, out: &mut String) {
    match value {
        Value::Null => {}
        Value::String(text) => out.push_str(text),
        Value::Object(_) => out.push_str("[object Object]"),
        Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_js_text(element, out);
            }
        }
        other => out.push_str(&other.to_string()),
    }
}

fn text_search(value: &Value) -> Result<TextSearch> {
    let search = value.get("$search").and_then(Value::as_object);
    let search = search.ok_or_else(|| bad("bad $text: $search, should be object"))?;
    let term = search.get("$term").and_then(Value::as_str).filter(|term| !term.is_empty());
    let term = term.ok_or_else(|| bad("bad $text: $term, should be string"))?;
    if term.len() > MAX_TEXT_BYTES {
        return Err(Error::invalid_query(format!("$term must not exceed {MAX_TEXT_BYTES} bytes")));
    }
    let language = match search.get("$language").filter(|v| is_truthy(v)) {
        None => None,
        Some(Value::String(language)) => Some(language.clone()),
        Some(_) => return Err(bad("bad $text: $language, should be string")),
    };
    let flag = |key: &str| match search.get(key) {
        Some(Value::Bool(b)) => Ok(Some(*b)),
        Some(value) if is_truthy(value) => Err(bad(format!("bad $text: {key}, should be boolean"))),
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

/// As [`operand`], for what a client compares with.
///
/// # Errors
/// 102 for a date that no stored date could be.
fn checked(value: &Value) -> Result<Operand> {
    let date = value.get("iso").filter(|_| value.get("__type").is_some_and(|tag| tag == "Date"));
    if date.and_then(Value::as_str).is_some_and(Millis::is_out_of_range) {
        return Err(Error::invalid_query("A date is before 4713 BC, which cannot be compared with"));
    }
    Ok(operand(value))
}

/// Whether values of a type are compared one by one.
fn is_compound(tag: &Value) -> bool {
    matches!(tag.as_str(), Some("File" | "GeoPoint" | "Polygon"))
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
            let id = match object.get("objectId")? {
                Value::String(id) => id.clone(),
                // Stored as the text of it.
                id @ (Value::Number(_) | Value::Bool(_)) => id.to_string(),
                _ => return None,
            };
            Some(Operand::Pointer { class, id })
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

#[cfg(test)]
mod tests {
    use super::whole_text;

    #[test]
    fn anchored_literals_are_recognised() {
        assert_eq!(whole_text(r"^\Qa.b\E$").as_deref(), Some("a.b"));
        assert_eq!(whole_text(r"^a\.b@c\-d$").as_deref(), Some("a.b@c-d"));
        assert_eq!(whole_text(r"^a\b$"), None);
        assert_eq!(whole_text("^a.b$"), None);
        assert_eq!(whole_text("ab$"), None);
        assert_eq!(whole_text(r"^ab\$"), None);
        assert_eq!(whole_text("^a\0$"), None);
    }
}
