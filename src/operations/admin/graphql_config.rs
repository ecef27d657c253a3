//! `GET` and `PUT /graphql-config`: what the GraphQL schema shows, the one row of `_GraphQLConfig` (parse-server's
//! `ParseGraphQLController`).

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::on_session;
use crate::operations::admin::single_row::{ID, change_or_create, row, schema};
use crate::operations::context::Ctx;
use crate::pubsub::Notice;
use crate::query::FindSpec;
use crate::storage::StorageError;
use crate::types::path::FieldPath;
use crate::types::update::Op;
use crate::types::{FieldName, Object, Update};

const CLASS: &str = "_GraphQLConfig";

/// On which other servers are told that the document changed.
pub const CHANNEL: &str = "graphql-config";

/// The document; `{}` when nothing is stored.
///
/// # Errors
/// When storage fails.
pub async fn get(ctx: &Ctx) -> Result<Value> {
    let schema = schema(ctx, CLASS).await?;
    let spec = FindSpec::new(row()).limit(1);
    let rows = match on_session!(ctx, |session| session.find(&schema, &spec)) {
        Ok(rows) => rows,
        Err(StorageError::StaleSchema(_)) => return Ok(json!({})),
        Err(error) => return Err(error.into()),
    };
    let found = rows.iter().next().and_then(|row| row.to_object().shift_remove("config"));
    Ok(found.filter(Value::is_object).unwrap_or_else(|| json!({})))
}

/// Replaces the document.
///
/// # Errors
/// 119 for the read-only master key; 500 for a document that is none, as parse-server has it: what is wrong with
/// it stands in the log.
pub async fn put(ctx: &Ctx, body: &Object) -> Result<Value> {
    if ctx.auth.is_read_only() {
        let text = "read-only masterKey isn't allowed to update the GraphQL config.";
        return Err(Error::forbidden(text));
    }
    let empty = json!({});
    let document = body.get("params").filter(|params| crate::types::javascript::is_truthy(params));
    let document = document.unwrap_or(&empty);
    check(document).map_err(|text| Error::internal(format!("Invalid graphQLConfig: {text}")))?;
    store(ctx, document).await?;
    crate::operations::audit::note(ctx, "config_changed", CLASS);
    ctx.services.state.graphql_config.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
    let notice = Notice::Other { channel: CHANNEL.to_owned(), payload: String::new() };
    if let Err(error) = ctx.services.pubsub.notify(notice).await {
        tracing::warn!(%error, "other servers could not be told of a change of the GraphQL config");
    }
    Ok(json!({ "response": { "result": true } }))
}

async fn store(ctx: &Ctx, document: &Value) -> Result<()> {
    let schema = schema(ctx, CLASS).await?;
    let mut update = Update::default();
    let path = FieldPath { root: FieldName::known("config"), rest: Vec::new() };
    update.ops.push((path, Op::Set(document.clone())));
    let row: Object = [("objectId".to_owned(), Value::from(ID)), ("config".to_owned(), document.clone())]
        .into_iter()
        .collect();
    change_or_create(ctx, &schema, &update, &row).await
}

type Checked = std::result::Result<(), String>;

/// Keys of an object that are not among these, as a list.
fn others(object: &Object, known: &[&str]) -> Option<String> {
    let others: Vec<&str> = object.keys().map(String::as_str).filter(|key| !known.contains(key)).collect();
    (!others.is_empty()).then(|| others.join(","))
}

fn given<'o>(object: &'o Object, key: &str) -> Option<&'o Value> {
    object.get(key).filter(|value| !value.is_null())
}

fn is_texts(value: &Value) -> bool {
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    value.as_array().is_some_and(|list| list.iter().all(is_text))
}

/// # Errors
/// Everything that is wrong with the document.
fn check(document: &Value) -> Checked {
    let Value::Object(document) = document else { return Err("must be a valid object".to_owned()) };
    let mut wrong = Vec::new();
    if let Some(keys) = others(document, &["enabledForClasses", "disabledForClasses", "classConfigs"]) {
        wrong.push(format!("encountered invalid keys: [{keys}]"));
    }
    for key in ["enabledForClasses", "disabledForClasses"] {
        if given(document, key).is_some_and(|list| !is_texts(list)) {
            wrong.push(format!("\"{key}\" is not a valid array"));
        }
    }
    match given(document, "classConfigs") {
        None => {}
        Some(Value::Array(classes)) => {
            for class in classes {
                if let Err(text) = check_class(class) {
                    let name = class.get("className").map_or_else(|| "undefined".to_owned(), shown);
                    wrong.push(format!("classConfig:{name} is invalid because {text}"));
                }
            }
        }
        Some(_) => wrong.push("\"classConfigs\" is not a valid array".to_owned()),
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn check_class(class: &Value) -> Checked {
    let Value::Object(class) = class else { return Err("it must be a valid object".to_owned()) };
    if let Some(keys) = others(class, &["className", "type", "query", "mutation"]) {
        return Err(format!("\"invalidKeys\" [{keys}] should not be present"));
    }
    let name = class.get("className").and_then(Value::as_str).filter(|name| !name.trim().is_empty());
    let Some(name) = name else { return Err("\"className\" must be a valid string".to_owned()) };
    if let Some(ty) = given(class, "type") {
        check_type(name, ty)?;
    }
    if let Some(query) = given(class, "query") {
        check_choices("query", query, &["find", "get"])?;
    }
    if let Some(mutation) = given(class, "mutation") {
        check_choices("mutation", mutation, &["create", "update", "destroy"])?;
    }
    Ok(())
}

fn check_type(class: &str, ty: &Value) -> Checked {
    let Value::Object(ty) = ty else { return Err("\"type\" must be a valid object".to_owned()) };
    if let Some(keys) = others(ty, &["inputFields", "outputFields", "constraintFields", "sortFields"]) {
        return Err(format!("\"type\" contains invalid keys, [{keys}]"));
    }
    for key in ["outputFields", "constraintFields"] {
        if given(ty, key).is_some_and(|list| !is_texts(list)) {
            return Err(format!("\"{key}\" must be a valid string array"));
        }
    }
    match given(ty, "sortFields") {
        None => {}
        Some(Value::Array(fields)) => {
            for (index, field) in fields.iter().enumerate() {
                check_sort(index, field)?;
            }
        }
        Some(_) => return Err("\"sortFields\" must be a valid array.".to_owned()),
    }
    let Some(inputs) = given(ty, "inputFields") else { return Ok(()) };
    let Value::Object(inputs) = inputs else {
        return Err("\"inputFields\" must be a valid object".to_owned());
    };
    if let Some(keys) = others(inputs, &["create", "update"]) {
        return Err(format!("\"inputFields\" contains invalid keys: [{keys}]"));
    }
    if given(inputs, "update").is_some_and(|list| !is_texts(list)) {
        return Err("\"inputFields.update\" must be a valid string array".to_owned());
    }
    if let Some(create) = given(inputs, "create") {
        if !is_texts(create) {
            return Err("\"inputFields.create\" must be a valid string array".to_owned());
        }
        let has = |name: &str| create.as_array().is_some_and(|list| list.iter().any(|field| field == name));
        if class == "_User" && !(has("username") && has("password")) {
            let text = "\"inputFields.create\" must include required fields, username and password";
            return Err(text.to_owned());
        }
    }
    Ok(())
}

fn check_sort(index: usize, field: &Value) -> Checked {
    let at = format!("\"sortField\" at index {index}");
    let Value::Object(field) = field else { return Err(format!("{at} is not a valid object")) };
    if let Some(keys) = others(field, &["field", "asc", "desc"]) {
        return Err(format!("{at} contains invalid keys, [{keys}]"));
    }
    if field.get("field").and_then(Value::as_str).is_none_or(|name| name.trim().is_empty()) {
        return Err(format!("{at} did not provide the \"field\" as a string"));
    }
    let is_flag = |key: &str| field.get(key).is_some_and(Value::is_boolean);
    if !is_flag("asc") || !is_flag("desc") {
        return Err(format!("{at} did not provide \"asc\" or \"desc\" as booleans"));
    }
    Ok(())
}

fn check_choices(group: &str, choices: &Value, names: &[&str]) -> Checked {
    let Value::Object(choices) = choices else { return Err(format!("\"{group}\" must be a valid object")) };
    let aliases: Vec<String> = names.iter().map(|name| format!("{name}Alias")).collect();
    let known: Vec<&str> = names.iter().copied().chain(aliases.iter().map(String::as_str)).collect();
    if let Some(keys) = others(choices, &known) {
        return Err(format!("\"{group}\" contains invalid keys, [{keys}]"));
    }
    for name in names {
        if given(choices, name).is_some_and(|value| !value.is_boolean()) {
            return Err(format!("\"{group}.{name}\" must be a boolean"));
        }
    }
    for alias in &aliases {
        if given(choices, alias).is_some_and(|value| !value.is_string()) {
            return Err(format!("\"{group}.{alias}\" must be a string"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_the_words_of_parse_server() {
        for (document, text) in [
            (json!([]), "must be a valid object"),
            (json!({"a": 1, "b": 2}), "encountered invalid keys: [a,b]"),
            (json!({"enabledForClasses": "x"}), "\"enabledForClasses\" is not a valid array"),
            (
                json!({"classConfigs": [{"className": "A", "query": {"get": 1}}]}),
                "classConfig:A is invalid because \"query.get\" must be a boolean",
            ),
            (
                json!({"classConfigs": [{"className": "_User", "type": {"inputFields": {"create": ["username"]}}}]}),
                "classConfig:_User is invalid because \"inputFields.create\" must include required fields, username and password",
            ),
        ] {
            assert_eq!(check(&document), Err(text.to_owned()));
        }
        assert_eq!(
            check(&json!({"disabledForClasses": ["A"], "classConfigs": [{"className": "B"}]})),
            Ok(())
        );
    }
}
