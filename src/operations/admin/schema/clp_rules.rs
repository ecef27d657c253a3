//! What class-level permissions may say (`SchemaController.validateCLP`). All refusals are 107.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::operations::Ctx;
use crate::types::javascript::is_empty_list;
use crate::types::{Field, FieldName, FieldType, Operation};

type Fields = IndexMap<FieldName, Field>;

/// Answers the permissions as the object they are. Empty lists are empty maps that PHP wrote.
///
/// # Errors
/// 107 with parse-server's texts.
pub fn validate(ctx: &Ctx, permissions: &Value, fields: &Fields) -> Result<Map<String, Value>> {
    if is_empty_list(permissions) {
        return Ok(Map::new());
    }
    let Value::Object(permissions) = permissions else {
        if permissions.as_str().is_some_and(|text| !text.is_empty()) {
            return Err(Error::invalid_json("0 is not a valid operation for class level permissions"));
        }
        return Err(Error::invalid_json("classLevelPermissions must be an object"));
    };
    let mut permissions = permissions.clone();
    for (key, operation) in &mut permissions {
        if !matches!(key.as_str(), "readUserFields" | "writeUserFields") {
            with_maps(operation, key == "ACL");
        }
    }
    for (key, operation) in &permissions {
        match key.as_str() {
            "readUserFields" | "writeUserFields" => user_fields(key, operation, fields)?,
            "protectedFields" => protected_fields(ctx, key, operation, fields)?,
            "ACL" => default_acl(ctx, key, operation)?,
            _ if Operation::parse(key).is_some() => grant(ctx, key, operation, fields)?,
            _ => {
                return Err(Error::invalid_json(format!(
                    "{key} is not a valid operation for class level permissions"
                )));
            }
        }
    }
    Ok(permissions)
}

fn with_maps(value: &mut Value, of_maps: bool) {
    if is_empty_list(value) {
        *value = Value::Object(Map::new());
    }
    if let (Value::Object(entries), true) = (value, of_maps) {
        entries.values_mut().for_each(|entry| with_maps(entry, false));
    }
}

/// As JavaScript's template strings print a value.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => "[object Object]".to_owned(),
        Value::Array(elements) => elements.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn object<'v>(key: &str, value: &'v Value) -> Result<&'v Map<String, Value>> {
    value.as_object().ok_or_else(|| {
        Error::invalid_json(format!(
            "'{}' is not a valid value for class level permissions {key} - must be an object",
            shown(value)
        ))
    })
}

fn user_fields(key: &str, value: &Value, fields: &Fields) -> Result<()> {
    let names = value.as_array().ok_or_else(|| {
        Error::invalid_json(format!(
            "'{}' is not a valid value for class level permissions {key} - must be an array",
            shown(value)
        ))
    })?;
    names.iter().try_for_each(|name| pointer_field(name, key, fields))
}

fn pointer_field(name: &Value, operation: &str, fields: &Fields) -> Result<()> {
    let ty = name.as_str().and_then(|name| fields.get(name)).map(|field| &field.ty);
    match ty {
        Some(FieldType::Array) => Ok(()),
        Some(FieldType::Pointer(class)) if class.is_user() => Ok(()),
        _ => Err(Error::invalid_json(format!(
            "'{}' is not a valid column for class level pointer permissions {operation}",
            shown(name)
        ))),
    }
}

fn is_user_id(ctx: &Ctx, key: &str) -> bool {
    if ctx.config().schema.allow_custom_object_id {
        return !key.is_empty();
    }
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn entity(ctx: &Ctx, key: &str, also: &[&str], prefixes: &[&str]) -> Result<()> {
    let known = key == "*" || also.contains(&key) || prefixes.iter().any(|prefix| key.starts_with(prefix));
    if known || is_user_id(ctx, key) {
        return Ok(());
    }
    Err(Error::invalid_json(format!("'{key}' is not a valid key for class level permissions")))
}

fn grant(ctx: &Ctx, key: &str, operation: &Value, fields: &Fields) -> Result<()> {
    for (who, permit) in object(key, operation)? {
        entity(ctx, who, &["pointerFields", "requiresAuthentication"], &["role:"])?;
        if who == "pointerFields" {
            let names = permit.as_array().ok_or_else(|| {
                Error::invalid_json(format!(
                    "'{}' is not a valid value for {key}[{who}] - expected an array.",
                    shown(permit)
                ))
            })?;
            names.iter().try_for_each(|name| pointer_field(name, "[object Object]", fields))?;
        } else if *permit != true {
            return Err(Error::invalid_json(format!(
                "'{}' is not a valid value for class level permissions acl {key}:{who}",
                shown(permit)
            )));
        }
    }
    Ok(())
}

fn default_acl(ctx: &Ctx, key: &str, operation: &Value) -> Result<()> {
    for (who, permit) in object(key, operation)? {
        entity(ctx, who, &["pointerFields", "requiresAuthentication"], &["role:"])?;
        let Value::Object(permit) = permit else {
            return Err(Error::invalid_json(format!(
                "'{}' is not a valid value for class level permissions acl",
                shown(permit)
            )));
        };
        let invalid: Vec<&str> =
            permit.keys().map(String::as_str).filter(|key| !matches!(*key, "read" | "write")).collect();
        if !invalid.is_empty() {
            return Err(Error::invalid_json(format!(
                "'{}' is not a valid key for class level permissions acl",
                invalid.join(",")
            )));
        }
        let invalid: Vec<String> = permit.values().filter(|value| !value.is_boolean()).map(shown).collect();
        if !invalid.is_empty() {
            return Err(Error::invalid_json(format!(
                "'{}' is not a valid value for class level permissions acl",
                invalid.join(",")
            )));
        }
    }
    Ok(())
}

fn protected_fields(ctx: &Ctx, key: &str, groups: &Value, fields: &Fields) -> Result<()> {
    const DEFAULT_FIELDS: [&str; 4] = ["objectId", "createdAt", "updatedAt", "ACL"];
    for (group, hidden) in object(key, groups)? {
        entity(ctx, group, &["authenticated"], &["userField:", "role:"])?;
        let hidden_fields = hidden.as_array().ok_or_else(|| {
            Error::invalid_json(format!(
                "'{}' is not a valid value for protectedFields[{group}] - expected an array.",
                shown(hidden)
            ))
        })?;
        for field in hidden_fields {
            let name = shown(field);
            if DEFAULT_FIELDS.contains(&name.as_str()) {
                return Err(Error::invalid_json(format!("Default field '{name}' can not be protected")));
            }
            if !fields.contains_key(name.as_str()) {
                return Err(Error::invalid_json(format!(
                    "Field '{name}' in protectedFields:{group} does not exist"
                )));
            }
        }
    }
    Ok(())
}
