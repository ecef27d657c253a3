//! Expressions of a pipeline. Each becomes SQL of a known type; what has no value is NULL, and an operator on
//! the wrong type answers NULL instead of failing.

use super::super::column::{Expr as Column, Kind, kind_of};
use super::super::pattern::push_regex;
use super::super::rest_json::rest_json;
use super::super::storable::without_nul;
use super::{JSON, Relation};
use crate::query::Operand;
use crate::query::pipeline::Expr;
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::FieldType;
use crate::types::path::FieldPath;

/// An expression and the type of its values.
#[derive(Clone)]
pub(super) struct Typed {
    pub sql: Sql,
    pub ty: FieldType,
}

impl Typed {
    pub(super) fn new(sql: Sql, ty: FieldType) -> Self {
        Self { sql, ty }
    }

    pub(super) fn null() -> Self {
        Self::new(Sql::new("NULL::jsonb"), JSON)
    }

    fn is_json(&self) -> bool {
        matches!(self.ty, FieldType::Acl | FieldType::Object | FieldType::Array)
    }

    /// As `jsonb` in REST encoding.
    pub(super) fn json(self) -> Sql {
        rest_json(&self.sql, &Kind::from(&self.ty)).unwrap_or_else(|| Sql::new("NULL::jsonb"))
    }

    /// As a number, NULL when it is none.
    pub(super) fn number(self) -> Sql {
        match self.ty {
            FieldType::Number => self.sql,
            _ if self.is_json() => applied(
                "CASE WHEN jsonb_typeof(a0) = 'number' THEN (a0 #>> '{}')::float8 END",
                vec![self.sql],
            ),
            _ => Sql::new("NULL::float8"),
        }
    }

    /// As a whole number that PostgreSQL counts with.
    pub(super) fn int(self) -> Sql {
        let mut sql = Sql::new("least(greatest(trunc(");
        sql.append(self.number()).push_sql("), -2147483648), 2147483647)::int");
        sql
    }

    /// As text, NULL when it is none.
    pub(super) fn text(self) -> Sql {
        match self.ty {
            FieldType::String | FieldType::File | FieldType::Pointer(_) => self.sql,
            _ if self.is_json() => {
                applied("CASE WHEN jsonb_typeof(a0) = 'string' THEN a0 #>> '{}' END", vec![self.sql])
            }
            _ => Sql::new("NULL::text"),
        }
    }

    /// Numbers, booleans and dates as texts too.
    pub(super) fn shown(self) -> Sql {
        match self.ty {
            FieldType::String | FieldType::File | FieldType::Pointer(_) => self.sql,
            _ => applied(
                "CASE WHEN jsonb_typeof(a0) IN ('string', 'number', 'boolean') THEN a0 #>> '{}' \
                 WHEN a0 ->> '__type' = 'Date' THEN a0 ->> 'iso' END",
                vec![self.json()],
            ),
        }
    }

    /// As an instant, NULL when it is none.
    pub(super) fn date(self) -> Sql {
        match self.ty {
            FieldType::Date => self.sql,
            // Only what this system writes is read as a date, so that the cast cannot fail.
            _ if self.is_json() => applied(
                "CASE WHEN a0 ->> '__type' = 'Date' AND a0 ->> 'iso' \
                 ~ '^\\d{4}-[01]\\d-[0-3]\\dT[0-2]\\d:[0-5]\\d:[0-5]\\d\\.\\d{3}Z$' \
                 THEN (a0 ->> 'iso')::timestamptz END",
                vec![self.sql],
            ),
            _ => Sql::new("NULL::timestamptz"),
        }
    }

    /// As a condition.
    pub(super) fn condition(self) -> Sql {
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
pub(super) fn joined(open: &str, joint: &str, parts: Vec<Sql>, close: &str) -> Sql {
    let mut sql = Sql::new(open);
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            sql.push_sql(joint);
        }
        sql.append(part);
    }
    sql.push_sql(close);
    sql
}

/// `(SELECT <template> FROM (SELECT … AS a0, … AS a1) s)`: the template may use each argument as often as it
/// likes, the statement has it once.
pub(super) fn applied(template: &str, arguments: Vec<Sql>) -> Sql {
    let mut sql = Sql::new("(SELECT ");
    sql.push_sql(template).push_sql(" FROM (SELECT ");
    for (index, argument) in arguments.into_iter().enumerate() {
        sql.push_sql(if index > 0 { ", " } else { "" });
        sql.append(argument).push_sql(&format!(" AS a{index}"));
    }
    sql.push_sql(") s)");
    sql
}

/// Branches of one type keep it; of several they become JSON.
pub(super) fn unified(parts: Vec<Typed>, build: impl FnOnce(Vec<Sql>) -> Sql) -> Typed {
    let first = parts.first().map_or(JSON, |part| part.ty.clone());
    if parts.iter().all(|part| part.ty == first) {
        return Typed::new(build(parts.into_iter().map(|part| part.sql).collect()), first);
    }
    Typed::new(build(parts.into_iter().map(Typed::json).collect()), JSON)
}

impl Relation {
    pub(super) fn expression(&self, expr: &Expr) -> StorageResult<Typed> {
        Writer { relation: self, variables: self.variables.clone() }.write(expr)
    }

    /// A field, or what is inside it; NULL where there is none.
    pub(super) fn field(&self, path: &FieldPath) -> Typed {
        self.column_value(&self.place(path))
    }

    pub(super) fn column_value(&self, path: &FieldPath) -> Typed {
        let Some(kind) = kind_of(&self.schema, &path.root) else { return Typed::null() };
        if path.is_dotted() && !matches!(kind, Kind::Object | Kind::Array | Kind::Json | Kind::Bytes) {
            return Typed::null();
        }
        let mut sql = Sql::default();
        Column { alias: self.alias, path }.push(&mut sql);
        let ty = match self.schema.field_type(&path.root) {
            Some(ty) if !path.is_dotted() => ty.clone(),
            _ => JSON,
        };
        Typed::new(sql, ty)
    }
}

/// Writes an expression, with the variables that are in sight.
pub(super) struct Writer<'r> {
    relation: &'r Relation,
    variables: Vec<(String, Typed)>,
}

impl Writer<'_> {
    fn with(&self, name: &str, value: Typed) -> Self {
        let mut variables = self.variables.clone();
        variables.push((name.to_owned(), value));
        Writer { relation: self.relation, variables }
    }

    pub(super) fn write_all(&self, list: &[Expr]) -> StorageResult<Vec<Typed>> {
        list.iter().map(|expr| self.write(expr)).collect()
    }

    pub(super) fn write(&self, expr: &Expr) -> StorageResult<Typed> {
        Ok(match expr {
            Expr::Literal(value) => literal(value),
            Expr::Field(path) => self.relation.field(path),
            Expr::Root => Typed::new(self.relation.row_json(), JSON),
            Expr::Variable { name, rest } => self.variable(name, rest)?,
            Expr::Object(fields) => {
                let pair = |(key, value): &(String, Expr)| Ok((key.clone(), self.write(value)?.json()));
                let pairs = fields.iter().map(pair).collect::<StorageResult<_>>()?;
                Typed::new(build_object(pairs), FieldType::Object)
            }
            Expr::Array(items) => {
                let items = self.write_all(items)?.into_iter().map(Typed::json).collect();
                Typed::new(joined("jsonb_build_array(", ", ", items, ")"), JSON)
            }
            Expr::Call(function, arguments) => super::call::write(*function, self.write_all(arguments)?)?,
            Expr::Switch { branches, otherwise } => self.switch(branches, otherwise)?,
            Expr::Let { variables, body } => {
                let mut inner = Writer { relation: self.relation, variables: self.variables.clone() };
                for (name, value) in variables {
                    inner.variables.push((name.clone(), self.write(value)?));
                }
                inner.write(body)?
            }
            Expr::Map { input, name, body } => {
                let (elements, alias) = self.elements(input)?;
                let inner = self.with(name, Typed::new(Sql::new(&format!("{alias}.v")), JSON));
                let body = inner.write(body)?.json();
                let mut sql = Sql::new("coalesce(jsonb_agg(coalesce(");
                sql.append(body).push_sql(&format!(", 'null') ORDER BY {alias}.n), '[]')"));
                Typed::new(over(sql, elements, Sql::default()), JSON)
            }
            Expr::Filter { input, name, condition } => {
                let (elements, alias) = self.elements(input)?;
                let inner = self.with(name, Typed::new(Sql::new(&format!("{alias}.v")), JSON));
                let mut test = Sql::new(" WHERE ");
                test.append(inner.write(condition)?.condition());
                let list = Sql::new(&format!("coalesce(jsonb_agg({alias}.v ORDER BY {alias}.n), '[]')"));
                Typed::new(over(list, elements, test), JSON)
            }
            Expr::Reduce { input, initial, body } => self.reduce(input, initial, body)?,
            Expr::RegexMatch { input, regex } => {
                let mut sql = Sql::new("coalesce(");
                sql.append(self.write(input)?.text());
                push_regex(&mut sql, regex)?;
                sql.push_sql(", FALSE)");
                Typed::new(sql, FieldType::Boolean)
            }
            Expr::Date { function, arguments, zone } => {
                super::date::write(function, self.write_all(arguments)?, zone)?
            }
        })
    }

    fn variable(&self, name: &str, rest: &[String]) -> StorageResult<Typed> {
        let known = self.variables.iter().rev().find(|(known, _)| known == name);
        let Some((_, value)) = known else {
            return Err(super::refused(format!("Use of undefined variable: {name}")));
        };
        if rest.is_empty() {
            return Ok(value.clone());
        }
        let mut sql = Sql::new("(");
        sql.append(value.clone().json()).push_sql(" #> ").push_text_array(rest.to_vec()).push_sql(")");
        Ok(Typed::new(sql, JSON))
    }

    fn switch(&self, branches: &[(Expr, Expr)], otherwise: &Expr) -> StorageResult<Typed> {
        let mut tests = Vec::with_capacity(branches.len());
        let mut values = Vec::with_capacity(branches.len() + 1);
        for (test, value) in branches {
            tests.push(self.write(test)?.condition());
            values.push(self.write(value)?);
        }
        values.push(self.write(otherwise)?);
        Ok(unified(values, |values| {
            let mut sql = Sql::new("CASE");
            let mut values = values.into_iter();
            for (test, value) in tests.into_iter().zip(values.by_ref()) {
                sql.push_sql(" WHEN ").append(test).push_sql(" THEN ").append(value);
            }
            sql.push_sql(" ELSE ").append(values.next().unwrap_or_else(|| Sql::new("NULL"))).push_sql(" END");
            sql
        }))
    }

    /// The array as JSON, and what its elements are called in there.
    fn elements(&self, input: &Expr) -> StorageResult<(Elements, String)> {
        let alias = format!("v{}", self.variables.len());
        Ok((Elements { list: self.write(input)?.json(), alias: alias.clone() }, alias))
    }

    /// A row for each step: its number and the value so far.
    fn reduce(&self, input: &Expr, initial: &Expr, body: &Expr) -> StorageResult<Typed> {
        let alias = format!("r{}", self.variables.len());
        let inner = self
            .with("value", Typed::new(Sql::new(&format!("{alias}.value")), JSON))
            .with("this", Typed::new(Sql::new(&format!("({alias}.list -> {alias}.n)")), JSON));
        let step = inner.write(body)?.json();
        let mut sql = Sql::new(&format!("(WITH RECURSIVE {alias}(n, list, value) AS (SELECT 0, a0, "));
        sql.append(self.write(initial)?.json());
        sql.push_sql(" FROM (SELECT ").append(self.write(input)?.json());
        sql.push_sql(&format!(
            " AS a0) s WHERE jsonb_typeof(a0) = 'array' UNION ALL SELECT {alias}.n + 1, {alias}.list, "
        ));
        sql.append(step).push_sql(&format!(
            " FROM {alias} WHERE {alias}.n < jsonb_array_length({alias}.list)) \
             SELECT {alias}.value FROM {alias} ORDER BY {alias}.n DESC LIMIT 1)"
        ));
        Ok(Typed::new(sql, JSON))
    }
}

struct Elements {
    list: Sql,
    alias: String,
}

/// An aggregate over the elements of an array; NULL where there is none.
fn over(aggregate: Sql, elements: Elements, test: Sql) -> Sql {
    let Elements { list, alias } = elements;
    let mut sql = Sql::new("(SELECT CASE WHEN jsonb_typeof(a0) = 'array' THEN (SELECT ");
    sql.append(aggregate);
    sql.push_sql(&format!(
        " FROM jsonb_array_elements(CASE WHEN jsonb_typeof(a0) = 'array' THEN a0 END) \
         WITH ORDINALITY {alias}(v, n)"
    ));
    sql.append(test).push_sql(") END FROM (SELECT ").append(list).push_sql(" AS a0) s)");
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
            sql.push_text(without_nul(text)).push_sql("::text");
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
        sql.push_text(without_nul(&key)).push_sql("::text, ").append(value);
    }
    sql.push_sql("))");
    sql
}
