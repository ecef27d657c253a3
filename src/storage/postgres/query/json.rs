//! Constraints on `jsonb` values: Array columns, and paths inside Object and Array columns. A
//! condition on an array holds when one of its elements satisfies it; equality also holds for the
//! whole array. Numbers compare with numbers only, texts with texts.

use serde_json::{Value, json};

use super::column::Expr;
use super::compare::ordering;
use super::pattern::push_regex;
use super::storable::{can_be_stored, without_nul};
use crate::query::{Constraint, Operand};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::{Bind, Sql};
use crate::types::path::FieldPath;

/// What a `jsonb` expression can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// An array, or NULL.
    ArrayColumn,
    /// Anything, or NULL when the path leads nowhere.
    Nested,
}

/// # Errors
/// `Refused` for regular expressions PostgreSQL cannot say.
pub fn push_constraint(
    sql: &mut Sql,
    value: Expr<'_>,
    leaf: Leaf,
    constraint: &Constraint,
) -> StorageResult<()> {
    if let Some((operator, operand)) = ordering(constraint) {
        push_ordering(sql, value, leaf, operator, operand);
        return Ok(());
    }
    match constraint {
        Constraint::Eq(Operand::Text(id)) if is_provider_id(value) && !id.contains('\0') => {
            push_provider_id(sql, value, id);
        }
        Constraint::Eq(operand) => push_eq(sql, value, leaf, operand),
        Constraint::In(list) => push_in(sql, value, leaf, list),
        Constraint::Exists(_) => {
            value.push(sql);
            sql.push_sql(" IS NOT NULL");
        }
        Constraint::All(list) => {
            sql.push_sql("(");
            for (index, operand) in list.iter().enumerate() {
                sql.push_sql(if index > 0 { " AND " } else { "" });
                push_eq(sql, value, leaf, operand);
            }
            sql.push_sql(if list.is_empty() { "FALSE)" } else { ")" });
        }
        Constraint::AllStartingWith(prefixes) => {
            sql.push_sql("(");
            for (index, prefix) in prefixes.iter().enumerate() {
                sql.push_sql(if index > 0 { " AND " } else { "" });
                push_any_element(sql, value, leaf, |sql| {
                    sql.push_sql("jsonb_typeof(e) = 'string' AND starts_with(e #>> '{}', ");
                    sql.push_text(without_nul(prefix));
                    sql.push_sql(")");
                });
            }
            sql.push_sql(if prefixes.is_empty() { "FALSE)" } else { ")" });
        }
        Constraint::ContainedBy(list) => {
            sql.push_sql("(jsonb_typeof(");
            value.push(sql);
            sql.push_sql(") = 'array' AND NOT ");
            push_any_element(sql, value, leaf, |sql| {
                sql.push_sql("NOT e = ANY(");
                let known = list.iter().filter(|operand| can_be_stored(operand));
                sql.push_bind(Bind::JsonbArray(known.map(|v| v.to_json().to_string()).collect()));
                sql.push_sql(")");
            });
            sql.push_sql(")");
        }
        Constraint::EqIgnoreCase(text) => push_any_element(sql, value, leaf, |sql| {
            sql.push_sql("jsonb_typeof(e) = 'string' AND lower(e #>> '{}') = lower(");
            sql.push_text(without_nul(text)).push_sql(")");
        }),
        Constraint::Regex(regex) => {
            let mut matched = Sql::default();
            push_regex(&mut matched, regex)?;
            push_any_element(sql, value, leaf, |sql| {
                sql.push_sql("jsonb_typeof(e) = 'string' AND (e #>> '{}')");
                sql.append(matched);
            });
        }
        _ => {
            sql.push_sql("FALSE");
        }
    }
    Ok(())
}

/// `EXISTS (SELECT 1 FROM jsonb_array_elements(…) e WHERE <condition>)`; a value that is not an
/// array counts as its own only element.
pub fn push_any_element(sql: &mut Sql, value: Expr<'_>, leaf: Leaf, condition: impl FnOnce(&mut Sql)) {
    sql.push_sql("EXISTS (SELECT 1 FROM ");
    push_elements(sql, value, leaf);
    sql.push_sql(" e WHERE ");
    condition(sql);
    sql.push_sql(")");
}

fn push_elements(sql: &mut Sql, value: Expr<'_>, leaf: Leaf) {
    sql.push_sql("jsonb_array_elements(CASE WHEN jsonb_typeof(");
    value.push(sql);
    sql.push_sql(") = 'array' THEN ");
    value.push(sql);
    if leaf == Leaf::Nested {
        sql.push_sql(" ELSE jsonb_build_array(");
        value.push(sql);
        sql.push_sql(")");
    }
    sql.push_sql(" END)");
}

/// `authData.<provider>.id`
fn is_provider_id(value: Expr<'_>) -> bool {
    value.path.root == "authData" && matches!(value.path.rest.as_slice(), [_, id] if id == "id")
}

/// In the words of the unique index on a provider's ids, so that a login finds its user through it.
fn push_provider_id(sql: &mut Sql, value: Expr<'_>, id: &str) {
    let Some(provider) = value.path.rest.first() else { return };
    let column = FieldPath { root: value.path.root.clone(), rest: Vec::new() };
    sql.push_sql("((");
    Expr { alias: value.alias, path: &column }.push(sql);
    sql.push_sql(" -> ");
    sql.push_text(without_nul(provider));
    sql.push_sql(" ->> 'id') = ");
    sql.push_text(id.to_owned());
    sql.push_sql(")");
}

fn push_eq(sql: &mut Sql, value: Expr<'_>, leaf: Leaf, operand: &Operand) {
    if !can_be_stored(operand) {
        sql.push_sql("FALSE");
        return;
    }
    let json = operand.to_json();
    sql.push_sql("(");
    match operand {
        // An array that holds null is one of those that equal null.
        Operand::Null => {
            value.push(sql);
            sql.push_sql(" IS NULL OR ");
            if leaf == Leaf::Nested {
                value.push(sql);
                sql.push_sql(" = 'null' OR ");
            }
            value.push(sql);
            sql.push_sql(" @> '[null]'");
        }
        // Containment is equality for these: scalars, and objects that are known by some keys.
        Operand::Bool(_)
        | Operand::Number(_)
        | Operand::Text(_)
        | Operand::Pointer { .. }
        | Operand::File(_) => {
            if leaf == Leaf::Nested {
                let login = push_login(sql, value, operand);
                push_whole(sql, value, operand, &json);
                if login {
                    sql.push_sql(")");
                    return;
                }
                sql.push_sql(" OR ");
            }
            value.push(sql);
            sql.push_sql(" @> ");
            sql.push_jsonb(&Value::Array(vec![json]));
        }
        Operand::Array(_) => {
            value.push(sql);
            sql.push_sql(" = ");
            sql.push_jsonb(&json);
            sql.push_sql(" OR ");
            push_element_equals(sql, value, leaf, &json);
        }
        _ if leaf == Leaf::Nested => {
            value.push(sql);
            sql.push_sql(" = ");
            sql.push_jsonb(&json);
            sql.push_sql(" OR (");
            value.push(sql);
            sql.push_sql(" @> ");
            sql.push_jsonb(&json!([json]));
            sql.push_sql(" AND ");
            push_element_equals(sql, value, leaf, &json);
            sql.push_sql(")");
        }
        _ => {
            value.push(sql);
            sql.push_sql(" @> ");
            sql.push_jsonb(&json!([json]));
            sql.push_sql(" AND ");
            push_element_equals(sql, value, leaf, &json);
        }
    }
    sql.push_sql(")");
}

fn push_whole(sql: &mut Sql, value: Expr<'_>, operand: &Operand, json: &Value) {
    value.push(sql);
    let known_by_keys = matches!(operand, Operand::Pointer { .. } | Operand::File(_));
    sql.push_sql(if known_by_keys { " @> " } else { " = " });
    sql.push_jsonb(json);
}

fn push_element_equals(sql: &mut Sql, value: Expr<'_>, leaf: Leaf, json: &Value) {
    push_any_element(sql, value, leaf, |sql| {
        sql.push_sql("e = ");
        sql.push_jsonb(json);
    });
}

/// `authData.<provider>.id` has a unique index on `"authData" -> '<provider>' ->> 'id'`, which
/// logins must be able to use: no alternative beside it.
fn push_login(sql: &mut Sql, value: Expr<'_>, operand: &Operand) -> bool {
    let (Operand::Text(id), [provider, key]) = (operand, value.path.rest.as_slice()) else { return false };
    if value.path.root != "authData" || key != "id" {
        return false;
    }
    value.alias.push(sql);
    sql.push_sql(".");
    sql.push_field(&value.path.root);
    sql.push_sql(" -> ");
    sql.push_text(provider.clone());
    sql.push_sql(" ->> 'id' = ");
    sql.push_text(id.clone());
    sql.push_sql(" AND ");
    true
}

fn push_in(sql: &mut Sql, value: Expr<'_>, leaf: Leaf, list: &[Operand]) {
    sql.push_sql("(");
    let mut exact = Vec::new();
    for operand in list.iter().filter(|operand| can_be_stored(operand)) {
        match operand {
            // A stored file also carries a URL.
            Operand::Null | Operand::File(_) => {
                push_eq(sql, value, leaf, operand);
                sql.push_sql(" OR ");
            }
            Operand::Array(_) => {
                value.push(sql);
                sql.push_sql(" = ");
                sql.push_jsonb(&operand.to_json());
                sql.push_sql(" OR ");
                exact.push(operand);
            }
            _ => exact.push(operand),
        }
    }
    let texts: Option<Vec<String>> = exact
        .iter()
        .map(|operand| match operand {
            Operand::Text(text) => Some(text.clone()),
            _ => None,
        })
        .collect();
    match texts {
        _ if exact.is_empty() => {
            sql.push_sql("FALSE");
        }
        Some(texts) if leaf == Leaf::ArrayColumn => {
            value.push(sql);
            sql.push_sql(" ?| ");
            sql.push_text_array(texts);
        }
        _ => push_any_element(sql, value, leaf, |sql| {
            sql.push_sql("e = ANY(");
            sql.push_bind(Bind::JsonbArray(exact.iter().map(|v| v.to_json().to_string()).collect()));
            sql.push_sql(")");
        }),
    }
    sql.push_sql(")");
}

/// Through `jsonpath`, which compares only what can be compared: a number with numbers, a text with
/// texts (by code point), a date with dates.
fn push_ordering(sql: &mut Sql, value: Expr<'_>, leaf: Leaf, operator: &str, operand: &Operand) {
    let (test, variable) = match operand {
        _ if !can_be_stored(operand) => {
            sql.push_sql("FALSE");
            return;
        }
        Operand::Number(_) | Operand::Text(_) | Operand::Bool(_) => ("@", operand.to_json()),
        Operand::Date(at) => ("@.\"__type\" == \"Date\" && @.iso", json!(at.to_iso())),
        Operand::Pointer { id, .. } => ("@.\"__type\" == \"Pointer\" && @.objectId", json!(id)),
        _ => {
            sql.push_sql("FALSE");
            return;
        }
    };
    let roots: &[&str] = match leaf {
        Leaf::ArrayColumn => &["$[*]"],
        Leaf::Nested => &["$", "$[*]"],
    };
    sql.push_sql("(");
    for (index, root) in roots.iter().enumerate() {
        sql.push_sql(if index > 0 { " OR " } else { "" });
        sql.push_sql("jsonb_path_exists(");
        value.push(sql);
        sql.push_sql(", 'strict ");
        sql.push_sql(root);
        sql.push_sql(" ? (");
        sql.push_sql(test);
        sql.push_sql(" ");
        sql.push_sql(operator);
        sql.push_sql(" $v)', ");
        sql.push_jsonb(&json!({ "v": variable }));
        sql.push_sql(", TRUE)");
    }
    sql.push_sql(")");
}
