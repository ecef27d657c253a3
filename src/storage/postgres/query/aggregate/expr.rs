//! Expressions of a pipeline. Each becomes SQL of a known type; what has no value is NULL, and an operator on
//! the wrong type answers NULL instead of failing.

use super::super::column::{Expr as Column, Kind, kind_of};
use super::super::pattern::push_regex;
use super::super::storable::without_nul;
use super::typed::{Typed, build_object, joined, unified};
use super::{JSON, Relation};
use crate::query::Operand;
use crate::query::pipeline::Expr;
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::FieldType;
use crate::types::path::FieldPath;

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

    /// What is too large is refused where it becomes so: variables are kept with all that they stand for.
    pub(super) fn write(&self, expr: &Expr) -> StorageResult<Typed> {
        let written = self.written(expr)?;
        if written.sql.is_too_large() {
            return Err(super::refused("The pipeline is too complex"));
        }
        Ok(written)
    }

    fn written(&self, expr: &Expr) -> StorageResult<Typed> {
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
            Expr::SortArray { input, keys } => {
                let (elements, alias) = self.elements(input)?;
                let mut list = Sql::new(&format!("coalesce(jsonb_agg({alias}.v ORDER BY "));
                for (path, descending) in keys {
                    if path.is_empty() {
                        list.push_sql(&format!("{alias}.v"));
                    } else {
                        list.push_sql(&format!("coalesce({alias}.v #> ")).push_text_array(path.clone());
                        list.push_sql(", 'null')");
                    }
                    list.push_sql(if *descending { " DESC, " } else { ", " });
                }
                list.push_sql(&format!("{alias}.n), '[]')"));
                Typed::new(over(list, elements, Sql::default()), JSON)
            }
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
