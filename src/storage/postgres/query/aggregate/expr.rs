//! Expressions of `$group`, `$project` and `$addFields`. Each becomes SQL of a known type; what has
//! no value is NULL, and an operator on the wrong type answers NULL instead of failing.

use serde_json::{Map, Value};

use super::super::column::{Expr, Kind, kind_of};
use super::super::rest_json::rest_json;
use super::{JSON, Relation, date_literal, refused};
use crate::query::{Operand, operand};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::FieldType;
use crate::types::time::Millis;

/// Nesting of expressions.
const MAX_DEPTH: u32 = 50;

/// An expression and the type of its values.
#[derive(Clone)]
pub(super) struct Typed {
    pub sql: Sql,
    pub ty: FieldType,
}

impl Typed {
    fn new(sql: Sql, ty: FieldType) -> Self {
        Self { sql, ty }
    }

    pub(super) fn null() -> Self {
        Self::new(Sql::new("NULL::jsonb"), JSON)
    }

    /// As `jsonb` in REST encoding.
    pub(super) fn json(self) -> Sql {
        rest_json(&self.sql, &Kind::from(&self.ty)).unwrap_or_else(|| Sql::new("NULL::jsonb"))
    }

    /// As a number, NULL when it is none.
    pub(super) fn number(self) -> Sql {
        match self.ty {
            FieldType::Number => self.sql,
            FieldType::Acl | FieldType::Object => {
                let mut sql = Sql::new("CASE WHEN jsonb_typeof(");
                sql.append(self.sql.clone()).push_sql(") = 'number' THEN (").append(self.sql);
                sql.push_sql(" #>> '{}')::float8 END");
                sql
            }
            _ => Sql::new("NULL::float8"),
        }
    }

    /// As text, NULL when it is none.
    fn text(self) -> Sql {
        match self.ty {
            FieldType::String | FieldType::File | FieldType::Pointer(_) => self.sql,
            FieldType::Acl | FieldType::Object => {
                let mut sql = Sql::new("CASE WHEN jsonb_typeof(");
                sql.append(self.sql.clone()).push_sql(") = 'string' THEN (").append(self.sql);
                sql.push_sql(" #>> '{}') END");
                sql
            }
            _ => Sql::new("NULL::text"),
        }
    }

    /// As an instant, NULL when it is none.
    fn date(self) -> Sql {
        match self.ty {
            FieldType::Date => self.sql,
            FieldType::Acl | FieldType::Object => {
                let mut sql = Sql::new("CASE WHEN ");
                sql.append(self.sql.clone()).push_sql(" ->> '__type' = 'Date' AND ").append(self.sql.clone());
                // Only what this system writes is read as a date, so that the cast cannot fail.
                sql.push_sql(
                    " ->> 'iso' ~ '^\\d{4}-[01]\\d-[0-3]\\dT[0-2]\\d:[0-5]\\d:[0-5]\\d\\.\\d{3}Z$' THEN (",
                );
                sql.append(self.sql).push_sql(" ->> 'iso')::timestamptz END");
                sql
            }
            _ => Sql::new("NULL::timestamptz"),
        }
    }

    /// As a condition.
    fn condition(self) -> Sql {
        let mut sql = Sql::default();
        match self.ty {
            FieldType::Boolean => {
                sql.push_sql("(").append(self.sql).push_sql(" IS TRUE)");
            }
            FieldType::Number => {
                sql.push_sql("(coalesce(").append(self.sql).push_sql(", 0) <> 0)");
            }
            FieldType::Acl => {
                sql.push_sql("(coalesce(").append(self.sql);
                sql.push_sql(", 'null') NOT IN ('null', 'false', '0'))");
            }
            _ => {
                sql.push_sql("(").append(self.sql).push_sql(" IS NOT NULL)");
            }
        }
        sql
    }
}

/// `name(a, b, …)` or `(a op b op …)`.
fn joined(open: &'static str, joint: &'static str, parts: Vec<Sql>) -> Sql {
    let mut sql = Sql::new(open);
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            sql.push_sql(joint);
        }
        sql.append(part);
    }
    sql.push_sql(")");
    sql
}

/// What `to_char`-free date parts are called in PostgreSQL.
fn date_part(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "$year" => "extract(year FROM ",
        "$month" => "extract(month FROM ",
        "$dayOfMonth" => "extract(day FROM ",
        "$dayOfYear" => "extract(doy FROM ",
        // MongoDB counts from Sunday = 1.
        "$dayOfWeek" => "1 + extract(dow FROM ",
        "$isoDayOfWeek" => "extract(isodow FROM ",
        "$isoWeekYear" => "extract(isoyear FROM ",
        "$isoWeek" => "extract(week FROM ",
        // Weeks begin on Sundays, days before the first are week 0.
        "$week" => "",
        "$hour" => "extract(hour FROM ",
        "$minute" => "extract(minute FROM ",
        "$second" => "floor(extract(second FROM ",
        "$millisecond" => "mod(extract(milliseconds FROM ",
        _ => return None,
    })
}

impl Relation<'_> {
    pub(super) fn expression(&self, json: &Value) -> StorageResult<Typed> {
        self.at_depth(json, 0)
    }

    fn at_depth(&self, json: &Value, depth: u32) -> StorageResult<Typed> {
        if depth > MAX_DEPTH {
            return Err(refused("The expression is nested too deep"));
        }
        match json {
            Value::String(text) => match text.strip_prefix('$') {
                Some("$NOW") => Ok(literal(&Operand::Date(Millis::now()))),
                Some("$ROOT" | "$CURRENT") => Err(refused("$$ROOT is not supported")),
                Some(name) => self.reference(name.strip_prefix("$CURRENT.").unwrap_or(name)),
                None => Ok(literal(&operand(json))),
            },
            Value::Object(object) => self.object(object, depth),
            Value::Array(list) => {
                let items = list.iter().map(|item| Ok(self.at_depth(item, depth + 1)?.json()));
                let items = items.collect::<StorageResult<Vec<_>>>()?;
                Ok(Typed::new(joined("jsonb_build_array(", ", ", items), JSON))
            }
            _ => Ok(literal(&operand(json))),
        }
    }

    /// `field` or `field.sub`.
    fn reference(&self, name: &str) -> StorageResult<Typed> {
        let path = self.path(name)?;
        let Some(kind) = kind_of(&self.schema, &path.root) else { return Ok(Typed::null()) };
        if path.is_dotted() && !matches!(kind, Kind::Object | Kind::Array | Kind::Json | Kind::Bytes) {
            return Ok(Typed::null());
        }
        let mut sql = Sql::default();
        Expr { alias: self.alias, path: &path }.push(&mut sql);
        let ty = match self.schema.field_type(&path.root) {
            Some(ty) if !path.is_dotted() => ty.clone(),
            _ => JSON,
        };
        Ok(Typed::new(sql, ty))
    }

    fn object(&self, object: &Map<String, Value>, depth: u32) -> StorageResult<Typed> {
        let mut keys = object.iter();
        if let (Some((key, argument)), None) = (keys.next(), keys.next())
            && key.starts_with('$')
        {
            return match key.as_str() {
                "$literal" => Ok(literal(&operand(argument))),
                "$date" => Ok(literal(&operand(&date_literal(object)))),
                _ => self.operator(key, argument, depth + 1),
            };
        }
        if object.keys().any(|key| key.starts_with('$')) {
            return Err(refused("an expression specification must contain exactly one field"));
        }
        if object.contains_key("__type") {
            return Ok(literal(&operand(&Value::Object(object.clone()))));
        }
        let mut pairs = Vec::with_capacity(object.len());
        for (key, value) in object {
            pairs.push((key.clone(), self.at_depth(value, depth + 1)?.json()));
        }
        Ok(Typed::new(build_object(pairs), FieldType::Object))
    }

    fn operator(&self, operator: &str, argument: &Value, depth: u32) -> StorageResult<Typed> {
        if let Some(part) = date_part(operator) {
            let argument = argument.get("date").unwrap_or(argument);
            let date = self.at_depth(argument, depth)?.date();
            return Ok(Typed::new(push_date_part(operator, part, date), FieldType::Number));
        }
        let list: Vec<&Value> = match argument {
            Value::Array(list) => list.iter().collect(),
            other => vec![other],
        };
        let operands = list.iter().map(|v| self.at_depth(v, depth)).collect::<StorageResult<Vec<_>>>()?;
        let numbers = || operands.iter().cloned().map(Typed::number).collect::<Vec<_>>();
        let arity = |wanted: usize| {
            if operands.len() == wanted {
                Ok(())
            } else {
                Err(refused(format!(
                    "Expression {operator} takes exactly {wanted} arguments. {} were passed in.",
                    operands.len()
                )))
            }
        };
        let number = |sql| Ok(Typed::new(sql, FieldType::Number));
        match operator {
            "$add" => number(joined("(", " + ", numbers())),
            "$multiply" => number(joined("(", " * ", numbers())),
            "$subtract" => {
                arity(2)?;
                number(joined("(", " - ", numbers()))
            }
            "$divide" => {
                arity(2)?;
                let [a, b] = two(numbers());
                let mut sql = Sql::new("(");
                sql.append(a).push_sql(" / nullif(").append(b).push_sql(", 0))");
                number(sql)
            }
            "$mod" => {
                arity(2)?;
                let [a, b] = two(numbers());
                let mut sql = Sql::new("mod((");
                sql.append(a).push_sql(")::numeric, nullif((").append(b).push_sql(")::numeric, 0))::float8");
                number(sql)
            }
            "$abs" | "$ceil" | "$floor" | "$sqrt" | "$round" => {
                arity(1)?;
                number(match operator {
                    "$abs" => joined("abs(", ", ", numbers()),
                    "$ceil" => joined("ceil(", ", ", numbers()),
                    "$floor" => joined("floor(", ", ", numbers()),
                    "$sqrt" => joined("sqrt(greatest(0, ", ", ", numbers()).tap_close(),
                    _ => joined("round(", ", ", numbers()),
                })
            }
            "$concat" => {
                let texts = operands.iter().cloned().map(Typed::text).collect();
                Ok(Typed::new(joined("(", " || ", texts), FieldType::String))
            }
            "$toLower" | "$toUpper" => {
                arity(1)?;
                let open = if operator == "$toLower" { "lower(" } else { "upper(" };
                let texts = operands.iter().cloned().map(Typed::text).collect();
                Ok(Typed::new(joined(open, ", ", texts), FieldType::String))
            }
            "$size" => {
                arity(1)?;
                let list = operands.into_iter().next().map_or_else(|| Sql::new("NULL::jsonb"), Typed::json);
                let mut sql = Sql::new("CASE WHEN jsonb_typeof(");
                sql.append(list.clone()).push_sql(") = 'array' THEN jsonb_array_length(").append(list);
                sql.push_sql(")::float8 END");
                number(sql)
            }
            "$ifNull" => Ok(unified(operands, |parts| joined("coalesce(", ", ", parts))),
            "$cond" => self.cond(argument, operands, depth),
            "$eq" | "$ne" | "$gt" | "$gte" | "$lt" | "$lte" => {
                arity(2)?;
                Ok(Typed::new(comparison(operator, operands), FieldType::Boolean))
            }
            "$and" | "$or" => {
                let joint = if operator == "$and" { " AND " } else { " OR " };
                let parts = operands.into_iter().map(Typed::condition).collect();
                Ok(Typed::new(joined("(", joint, parts), FieldType::Boolean))
            }
            "$not" => {
                arity(1)?;
                let parts = operands.into_iter().map(Typed::condition).collect();
                Ok(Typed::new(joined("(NOT ", "", parts), FieldType::Boolean))
            }
            _ => Err(refused(format!("Unrecognized expression '{operator}'"))),
        }
    }

    /// `[if, then, else]` or `{if, then, else}`.
    fn cond(&self, argument: &Value, operands: Vec<Typed>, depth: u32) -> StorageResult<Typed> {
        let parts = match argument {
            Value::Object(named) => ["if", "then", "else"]
                .iter()
                .map(|key| self.at_depth(named.get(*key).unwrap_or(&Value::Null), depth))
                .collect::<StorageResult<Vec<_>>>()?,
            _ => operands,
        };
        let Ok([test, then, other]) = <[Typed; 3]>::try_from(parts) else {
            return Err(refused("Expression $cond takes exactly 3 arguments."));
        };
        Ok(unified(vec![then, other], |parts| {
            let [then, other] = two(parts);
            let mut sql = Sql::new("CASE WHEN ");
            sql.append(test.condition()).push_sql(" THEN ").append(then);
            sql.push_sql(" ELSE ").append(other).push_sql(" END");
            sql
        }))
    }
}

trait TapClose {
    fn tap_close(self) -> Self;
}

impl TapClose for Sql {
    /// Closes a second parenthesis.
    fn tap_close(mut self) -> Self {
        self.push_sql(")");
        self
    }
}

fn two(parts: Vec<Sql>) -> [Sql; 2] {
    let mut parts = parts.into_iter();
    [parts.next().unwrap_or_default(), parts.next().unwrap_or_default()]
}

/// Branches of one type keep it; of several they become JSON.
fn unified(parts: Vec<Typed>, build: impl FnOnce(Vec<Sql>) -> Sql) -> Typed {
    let first = parts.first().map_or(JSON, |part| part.ty.clone());
    if parts.iter().all(|part| part.ty == first) {
        return Typed::new(build(parts.into_iter().map(|part| part.sql).collect()), first);
    }
    Typed::new(build(parts.into_iter().map(Typed::json).collect()), JSON)
}

fn comparison(operator: &str, operands: Vec<Typed>) -> Sql {
    let joint = match operator {
        "$eq" => " IS NOT DISTINCT FROM ",
        "$ne" => " IS DISTINCT FROM ",
        "$gt" => " > ",
        "$gte" => " >= ",
        "$lt" => " < ",
        _ => " <= ",
    };
    let comparable = |ty: &FieldType| !matches!(ty, FieldType::GeoPoint | FieldType::Polygon);
    let first = operands.first().map_or(JSON, |operand| operand.ty.clone());
    let same = operands.iter().all(|operand| operand.ty == first) && comparable(&first);
    let parts = operands.into_iter().map(|operand| if same { operand.sql } else { operand.json() });
    let mut sql = joined("(", joint, parts.collect());
    sql.push_sql(" IS TRUE");
    joined("(", "", vec![sql])
}

fn push_date_part(operator: &str, part: &'static str, date: Sql) -> Sql {
    let mut utc = Sql::new("(");
    utc.append(date).push_sql(" AT TIME ZONE 'UTC')");
    let mut sql = Sql::new("(");
    match operator {
        "$week" => {
            sql.push_sql("floor((extract(doy FROM ").append(utc.clone());
            sql.push_sql(") + 6 - extract(dow FROM ").append(utc).push_sql(")) / 7)");
        }
        "$second" => {
            sql.push_sql(part).append(utc).push_sql("))");
        }
        "$millisecond" => {
            sql.push_sql(part).append(utc).push_sql("), 1000)");
        }
        _ => {
            sql.push_sql(part).append(utc).push_sql(")");
        }
    }
    sql.push_sql(")::float8");
    sql
}

fn literal(value: &Operand) -> Typed {
    let mut sql = Sql::default();
    let ty = match value {
        Operand::Null => return Typed::null(),
        Operand::Number(n) => {
            sql.push_bind(Bind::Double(*n));
            FieldType::Number
        }
        Operand::Bool(b) => {
            sql.push_bind(Bind::Bool(*b));
            FieldType::Boolean
        }
        Operand::Text(text) => {
            sql.push_text(super::super::storable::without_nul(text)).push_sql("::text");
            FieldType::String
        }
        Operand::Date(at) => {
            sql.push_bind(Bind::Timestamptz(*at));
            FieldType::Date
        }
        other => {
            sql.push_bind(Bind::Jsonb(other.to_json().to_string().replace("\\u0000", "")));
            JSON
        }
    };
    Typed::new(sql, ty)
}

/// `jsonb_build_object`, in pieces that PostgreSQL's limit of arguments allows.
pub(super) fn build_object(pairs: Vec<(String, Sql)>) -> Sql {
    const PIECE: usize = 40;
    if pairs.is_empty() {
        return Sql::new("'{}'::jsonb");
    }
    let mut sql = Sql::new("(");
    for (index, (key, value)) in pairs.into_iter().enumerate() {
        if index % PIECE == 0 {
            sql.push_sql(if index > 0 { ") || jsonb_build_object(" } else { "jsonb_build_object(" });
        } else {
            sql.push_sql(", ");
        }
        sql.push_text(super::super::storable::without_nul(&key)).push_sql("::text, ").append(value);
    }
    sql.push_sql("))");
    sql
}
