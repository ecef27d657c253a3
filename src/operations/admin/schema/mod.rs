//! The schema API: list, get, create, update, delete classes, and purge their rows
//! (parse-server `SchemasRouter` and `SchemaController`).

pub mod clp_rules;
pub mod field_rules;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorCode, Result};
use crate::operations::object::write::validate::check_field_count;
use crate::operations::ports::{IndexChange, SchemaChange};
use crate::operations::{ClassSnapshot, Ctx, audit};
use crate::query::{Filter, FindSpec};
use crate::types::javascript::{is_empty_list, is_truthy};
use crate::types::names::VOLATILE_CLASSES;
use crate::types::schema::{invalid_class_name_message, is_default_column};
use crate::types::{ClassName, ClassSchema, Clp, Field, Object};

/// `GET /schemas`.
///
/// # Errors
/// 403 without a master key.
pub async fn list(ctx: &Ctx) -> Result<Value> {
    ctx.require_master()?;
    let classes = ctx.services.classes.list().await?;
    let shown = classes.iter().filter(|class| !VOLATILE_CLASSES.contains(&class.name().as_str()));
    let results: Vec<Value> = shown.map(|class| class.schema.to_api_json()).collect();
    Ok(json!({ "results": results }))
}

/// `GET /schemas/:C`.
///
/// # Errors
/// 103 `Class … does not exist.`
pub async fn get(ctx: &Ctx, class: &str) -> Result<Value> {
    ctx.require_master()?;
    let missing = || missing_class(class);
    let name = ClassName::valid(class).ok_or_else(missing)?;
    let found = ctx.services.classes.reload(&name).await?;
    let mut shown = found.ok_or_else(missing)?.schema.to_api_json();
    if name.is_volatile() {
        shown["classLevelPermissions"] = json!({});
        // Shown of every class, though these tables have not all of them.
        for (column, ty) in [("objectId", "String"), ("createdAt", "Date"), ("updatedAt", "Date")] {
            if shown["fields"].get(column).is_none() {
                shown["fields"][column] = json!({ "type": ty });
            }
        }
    }
    Ok(shown)
}

/// The server's own tables, which go with the server and not with a schema.
fn is_fixed(class: &ClassName) -> bool {
    class.is_volatile() || class.is_join()
}

fn missing_class(class: &str) -> Error {
    Error::parse(ErrorCode::INVALID_CLASS_NAME, format!("Class {class} does not exist."))
}

/// # Errors
/// 107 for a zero byte anywhere, which the database cannot hold.
fn check_texts(body: &Object) -> Result<()> {
    let mut pending: Vec<&Value> = Vec::new();
    let mut objects: Vec<&Object> = vec![body];
    let refused = || Error::invalid_json("strings must not contain null characters");
    loop {
        if let Some(object) = objects.pop() {
            if object.keys().any(|key| key.contains('\0')) {
                return Err(refused());
            }
            pending.extend(object.values());
            continue;
        }
        match pending.pop() {
            None => return Ok(()),
            Some(Value::String(text)) if text.contains('\0') => return Err(refused()),
            Some(Value::Array(list)) => pending.extend(list),
            Some(Value::Object(object)) => objects.push(object),
            Some(_) => {}
        }
    }
}

fn check_may_change(ctx: &Ctx, verb: &str) -> Result<()> {
    ctx.require_master()?;
    if ctx.config().schema.lock_schemas() {
        return Err(Error::parse(
            ErrorCode::OPERATION_FORBIDDEN,
            "Cannot perform this operation when schemas options is used.",
        ));
    }
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden(format!("read-only masterKey isn't allowed to {verb} a schema.")));
    }
    Ok(())
}

/// The class name of a request from its path and body.
fn class_name_of(path: Option<&str>, body: &Object, route: &str) -> Result<String> {
    let in_body = body.get("className").filter(|name| is_truthy(name)).map(clp_rules::shown);
    match (path, in_body) {
        (Some(path), Some(body)) if *path != body => Err(Error::parse(
            ErrorCode::INVALID_CLASS_NAME,
            format!("Class name mismatch between {body} and {path}."),
        )),
        (Some(name), _) => Ok(name.to_owned()),
        (None, Some(name)) => Ok(name),
        (None, None) => {
            Err(Error::parse(ErrorCode::MISSING_REQUIRED_FIELD, format!("POST {route} needs a class name.")))
        }
    }
}

fn valid_class_name(name: &str) -> Result<ClassName> {
    ClassName::valid(name)
        .ok_or_else(|| Error::parse(ErrorCode::INVALID_CLASS_NAME, invalid_class_name_message(name)))
}

/// `POST /schemas[/:C]`; `route` is the path as requested, for the error text.
///
/// # Errors
/// 103, 105, 107, 111, 135, 136 as the facts on the schema API tell.
pub async fn create(ctx: &Ctx, class: Option<&str>, route: &str, body: &Object) -> Result<Value> {
    check_may_change(ctx, "create")?;
    create_defined(ctx, class, route, body).await
}

/// [`create`] without a look at rights: for the server itself, which has the schema from its configuration.
///
/// # Errors
/// As [`create`].
pub async fn create_defined(ctx: &Ctx, class: Option<&str>, route: &str, body: &Object) -> Result<Value> {
    check_texts(body)?;
    check_defaults(ctx, body)?;
    let name = class_name_of(class, body, route)?;
    let known = match ClassName::valid(&name) {
        Some(class) => ctx.services.classes.reload(&class).await?,
        None => None,
    };
    if known.is_some() {
        return Err(Error::parse(ErrorCode::INVALID_CLASS_NAME, format!("Class {name} already exists.")));
    }
    let class = valid_class_name(&name)?;
    if is_fixed(&class) {
        return Err(Error::parse(ErrorCode::INVALID_CLASS_NAME, invalid_class_name_message(&name)));
    }
    let (schema, indexes) = plan_creation(ctx, &class, body)?;
    let created = ctx.services.classes.create(schema).await?;
    audit::note(ctx, "class_created", &name);
    let created = match indexes {
        Some(indexes) => {
            let change = SchemaChange { indexes: Some(indexes), ..SchemaChange::default() };
            match ctx.services.classes.change(&class, change).await {
                Ok(changed) => changed,
                Err(error) => {
                    take_back(ctx, &created).await;
                    return Err(error);
                }
            }
        }
        None => created,
    };
    let mut shown = created.schema.to_api_json();
    // The answer repeats the indexes that were asked for; the primary key's is shown from the next request on.
    if let Some(indexes) = shown.get_mut("indexes").and_then(Value::as_object_mut) {
        indexes.shift_remove(PRIMARY_INDEX);
    }
    Ok(shown)
}

/// A class whose indexes were refused goes again, so that the request can be sent once more; unless somebody has
/// stored an object in it by now.
async fn take_back(ctx: &Ctx, created: &ClassSnapshot) {
    let class = created.name();
    let count = ctx.services.storage.count(&created.schema, &FindSpec::new(Filter::all())).await;
    if !matches!(count, Ok(0)) {
        return;
    }
    match ctx.services.classes.delete(class).await {
        Ok(()) => audit::note(ctx, "class_deleted", class.as_str()),
        Err(error) => {
            tracing::warn!(%error, class = %class, "class {class} stays without its indexes: {error}");
        }
    }
}

/// The class that a request makes, and its indexes.
///
/// # Errors
/// As [`create`], but for what only the database knows.
pub fn plan_creation(
    ctx: &Ctx,
    class: &ClassName,
    body: &Object,
) -> Result<(ClassSchema, Option<IndexChange>)> {
    let submitted = fields_of(body)?;
    let mut schema =
        ClassSchema { name: class.clone(), fields: IndexMap::new(), clp: None, indexes: Map::new() };
    for (field, definition) in submitted.into_iter().flatten() {
        let (field, definition) = field_rules::new_field(class, field, definition)?;
        schema.fields.insert(field, definition);
    }
    schema.add_default_columns();
    check_field_count(class, schema.fields.len())?;
    field_rules::check_geo_points(&schema)?;
    let permissions = body.get("classLevelPermissions");
    if let Some(permissions) = permissions.filter(|value| !matches!(value, Value::Null | Value::Bool(false)))
    {
        let permissions = clp_rules::validate(ctx, permissions, &schema.fields)?;
        schema.clp = Some(Clp::from_json(&permissions));
    }
    // None at all are no change, so that a new class does not show its primary key's.
    let indexes = index_change(ctx, body.get("indexes"), &schema)?.filter(|change| !change.create.is_empty());
    Ok((schema, indexes))
}

/// Default values are stored by every create, so they obey the rules for stored values.
fn check_defaults(ctx: &Ctx, body: &Object) -> Result<()> {
    let fields = body.get("fields").and_then(Value::as_object);
    let defaults = fields
        .into_iter()
        .flatten()
        .filter_map(|(name, definition)| Some((name.clone(), definition.get("defaultValue")?.clone())));
    crate::operations::object::write::contents::check(ctx, &defaults.collect())
}

/// `PUT /schemas/:C`.
///
/// # Errors
/// 255 for fields that exist or do not, 136 for default fields, 107 for those that somebody else added at the same
/// time as others, else as [`create`].
pub async fn update(ctx: &Ctx, class: &str, body: &Object) -> Result<Value> {
    check_may_change(ctx, "update")?;
    update_defined(ctx, class, body).await
}

/// [`update`] without a look at rights.
///
/// # Errors
/// As [`update`].
pub async fn update_defined(ctx: &Ctx, class: &str, body: &Object) -> Result<Value> {
    check_texts(body)?;
    check_defaults(ctx, body)?;
    class_name_of(Some(class), body, "")?;
    let name = ClassName::valid(class).filter(|name| !is_fixed(name)).ok_or_else(|| missing_class(class))?;
    let current = ctx.services.classes.reload(&name).await?.ok_or_else(|| missing_class(class))?;
    let (change, _) = plan_update(ctx, &current.schema, body)?;
    let event = if change.permissions.is_some() { "permissions_changed" } else { "class_changed" };
    let added = change.add_fields.clone();
    let changed = ctx.services.classes.change(&name, change).await?;
    audit::note(ctx, event, class);
    // Somebody else was quicker, with another type.
    if let Some((field, _)) =
        added.iter().find(|(field, wanted)| changed.schema.field_type(field) != Some(&wanted.ty))
    {
        return Err(Error::invalid_json(format!("Could not add field {field}")));
    }
    let mut shown = changed.schema.to_api_json();
    if ctx.config().users.protected_fields.contains_key(class) {
        // The answer to a change, unlike a get, shows what the server's option adds.
        shown["classLevelPermissions"]["protectedFields"] = json!(changed.protected_fields);
    }
    Ok(shown)
}

/// What a request changes, and the class as it is then.
///
/// # Errors
/// As [`update`], but for what only the database knows.
pub fn plan_update(ctx: &Ctx, current: &ClassSchema, body: &Object) -> Result<(SchemaChange, ClassSchema)> {
    let mut change = SchemaChange::default();
    let mut after = current.clone();
    plan_fields(current, fields_of(body)?, &mut change, &mut after)?;
    check_field_count(&current.name, after.fields.len())?;
    field_rules::check_geo_points(&after)?;
    match body.get("classLevelPermissions") {
        None => {}
        // Takes back what was set: what a class without permissions has.
        Some(Value::Null | Value::Bool(false)) => {
            change.permissions = Clp::api_json(None).as_object().cloned()
        }
        Some(permissions) => {
            let permissions = clp_rules::validate(ctx, permissions, &after.fields)?;
            change.permissions = Some(permissions);
        }
    }
    change.indexes = index_change(ctx, body.get("indexes"), &after)?;
    if let Some(permissions) = &change.permissions {
        after.clp = Some(Clp::from_json(permissions));
    }
    if let Some(indexes) = &change.indexes {
        after.indexes.retain(|name, _| !indexes.drop.contains(name));
        after.indexes.extend(indexes.create.clone());
    }
    Ok((change, after))
}

fn object_of(value: Option<&Value>) -> Option<&Object> {
    value.and_then(Value::as_object)
}

/// The fields of a request.
///
/// # Errors
/// 105 for a list or a text: its places are no field names.
fn fields_of(body: &Object) -> Result<Option<&Object>> {
    let named_by_place = match body.get("fields") {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    };
    if named_by_place {
        return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, "invalid field name: 0"));
    }
    Ok(object_of(body.get("fields")))
}

fn is_delete(definition: &Value) -> bool {
    definition.get("__op").is_some_and(|op| op == "Delete")
}

fn plan_fields(
    current: &ClassSchema,
    submitted: Option<&Object>,
    change: &mut SchemaChange,
    after: &mut ClassSchema,
) -> Result<()> {
    let class = &current.name;
    let refuse = |message: String| Error::parse(ErrorCode::INVALID_SCHEMA_OPERATION, message);
    for (name, definition) in submitted.into_iter().flatten() {
        let existing = current.fields.get(name.as_str());
        match existing {
            Some(existing)
                if !is_delete(definition)
                    && definition.get("type").is_none_or(|ty| ty != existing.ty.name()) =>
            {
                return Err(refuse(format!("Field {name} exists, cannot update.")));
            }
            None if is_delete(definition) => {
                return Err(refuse(format!("Field {name} does not exist, cannot delete.")));
            }
            _ => {}
        }
    }
    for (name, definition) in submitted.into_iter().flatten() {
        let existing = current.fields.get_key_value(name.as_str());
        match existing {
            Some((field, _)) if is_delete(definition) => {
                if is_default_column(class, name) {
                    return Err(Error::parse(
                        ErrorCode::IMMUTABLE_FIELD_CHANGED,
                        format!("field {name} cannot be changed"),
                    ));
                }
                change.delete_fields.push(field.clone());
                after.fields.shift_remove(field);
            }
            Some((field, existing)) => {
                field_rules::check_has_target(class, field, existing, definition)?;
                let wanted = Field::from_json(definition)?;
                if wanted != *existing {
                    field_rules::check_same_type(class, field, existing, &wanted)?;
                    field_rules::check_options(class, field, definition, &wanted)?;
                    change.set_options.push((field.clone(), wanted.clone()));
                    after.fields.insert(field.clone(), wanted);
                }
            }
            None => {
                let (field, definition) = field_rules::new_field(class, name, definition)?;
                change.add_fields.push((field.clone(), definition.clone()));
                after.fields.insert(field, definition);
            }
        }
    }
    Ok(())
}

/// The primary key's index, which a class shows after the first change of its indexes.
const PRIMARY_INDEX: &str = "_id_";

/// What an `indexes` object asks for; `None` when it asks for nothing.
fn index_change(ctx: &Ctx, indexes: Option<&Value>, schema: &ClassSchema) -> Result<Option<IndexChange>> {
    if indexes.is_some_and(is_empty_list) {
        return Ok(Some(IndexChange::default()));
    }
    if matches!(indexes, Some(Value::Array(_) | Value::String(_))) {
        return Err(Error::invalid_query("Field 0 does not exist, cannot add index."));
    }
    let Some(submitted) = object_of(indexes) else { return Ok(None) };
    let mut change = IndexChange::default();
    let unchecked = ctx.config().database.options.disable_index_field_validation;
    for (name, columns) in submitted {
        let known = schema.indexes.contains_key(name) || (schema.indexes.is_empty() && name == PRIMARY_INDEX);
        if known && !is_delete(columns) {
            return Err(Error::invalid_query(format!("Index {name} exists, cannot update.")));
        }
        if !known && is_delete(columns) {
            return Err(Error::invalid_query(format!("Index {name} does not exist, cannot delete.")));
        }
        if is_delete(columns) {
            change.drop.push(name.clone());
            continue;
        }
        for column in columns.as_object().into_iter().flatten().map(|(column, _)| column) {
            let field = column.strip_prefix("_p_").unwrap_or(column);
            // Permissions are columns of other names, and a path is no field.
            if !unchecked && (field == "ACL" || !schema.fields.contains_key(field)) {
                return Err(Error::invalid_query(format!(
                    "Field {column} does not exist, cannot add index."
                )));
            }
        }
        change.create.insert(name.clone(), columns.clone());
    }
    Ok(Some(change))
}

/// `DELETE /schemas/:C`; a class that does not exist is no error.
///
/// # Errors
/// 255 while the class has objects.
pub async fn delete(ctx: &Ctx, class: &str) -> Result<Value> {
    ctx.require_master()?;
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden("read-only masterKey isn't allowed to delete a schema."));
    }
    let name = valid_class_name(class)?;
    if is_fixed(&name) {
        return Err(Error::parse(ErrorCode::INVALID_CLASS_NAME, invalid_class_name_message(class)));
    }
    if let Some(snapshot) = ctx.services.classes.reload(&name).await? {
        let storage = &ctx.services.storage;
        let count = storage.count(&snapshot.schema, &FindSpec::new(Filter::all())).await?;
        if count > 0 {
            return Err(Error::parse(
                ErrorCode::INVALID_SCHEMA_OPERATION,
                format!("Class {class} is not empty, contains {count} objects, cannot drop schema."),
            ));
        }
        ctx.services.classes.delete(&name).await?;
        audit::note(ctx, "class_deleted", class);
    }
    Ok(json!({}))
}

/// `DELETE /purge/:C`: every row goes, the class stays. No triggers run.
///
/// # Errors
/// 403 without a master key, 119 for the read-only one.
pub async fn purge(ctx: &Ctx, class: &str) -> Result<Value> {
    ctx.require_master()?;
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden("read-only masterKey isn't allowed to purge a schema."));
    }
    let Some(name) = ClassName::valid(class) else { return Ok(json!({})) };
    if let Some(snapshot) = ctx.services.classes.admit(&name).await? {
        ctx.services.storage.purge_class(&snapshot.schema).await?;
        audit::note(ctx, "class_purged", class);
        if name.is_role() || name.is_session() || name.is_user() {
            ctx.services.principals.roles_changed().await;
        }
    }
    Ok(json!({}))
}
