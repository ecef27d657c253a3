//! A draft against its class: types, new fields, required fields and defaults, class permissions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::class_rules::ClassRules;
use super::ops::{created_value, infer_type, is_delete};
use super::stages::{Checked, Draft, Times};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::permissions::clp::{self, Action};
use crate::operations::transactions::Effect;
use crate::operations::{ClassSnapshot, Ctx};
use crate::types::javascript::is_truthy;
use crate::types::limits::{MAX_FIELDS, MAX_NEW_RELATIONS};
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, Field, FieldName, FieldType, ObjectId, Operation};

/// What a class says to a draft.
pub struct Agreed {
    /// As it is now, with the fields that the draft brought.
    pub class: Arc<ClassSnapshot>,
    adds_field: bool,
}

/// Asks the class, and adds the fields that the draft brings.
///
/// # Errors
/// 105, 111 for names and types, 119 for class permissions, 130 for file addresses, 142 for required
/// fields.
pub async fn agree(
    ctx: &Ctx,
    draft: &Draft,
    snapshot: Option<Arc<ClassSnapshot>>,
    rules: Option<&dyn ClassRules>,
) -> Result<Agreed> {
    super::ops::check_size(&draft.data)?;
    super::contents::check(ctx, &draft.data)?;
    let (new_fields, names_untyped) =
        new_fields(ctx, draft, snapshot.as_deref(), rules).map_err(|error| {
            // Whoever may not add fields is told that before anything about types and names.
            let brings_fields = snapshot.as_deref().filter(|class| names_unknown_field(draft, class));
            let refusal = brings_fields
                .and_then(|class| clp::check(&ctx.auth, class, Operation::AddField, action_of(draft)).err());
            refusal.unwrap_or(error)
        })?;
    if !new_fields.is_empty() {
        let known = snapshot.as_deref().map_or(0, |class| class.schema.fields.len());
        check_field_count(&draft.class, known + new_fields.len())?;
        check_new_relations(&draft.class, &new_fields)?;
    }
    if let Some(rules) = rules {
        check_required(draft, rules.required_fields())?;
    }
    let action = action_of(draft);
    let mut adds_field = false;
    if let Some(class) = &snapshot {
        // A null makes no field, but whoever may not add fields may not name new ones either.
        if !new_fields.is_empty() || (names_untyped && names_unknown_field(draft, class)) {
            adds_field = true;
            clp::check(&ctx.auth, class, Operation::AddField, action)?;
        }
        let op = if draft.is_create() { Operation::Create } else { Operation::Update };
        clp::check(&ctx.auth, class, op, action)?;
    }
    let class = match snapshot {
        Some(class) if new_fields.is_empty() => class,
        _ if draft.class.is_volatile() => {
            return Err(Error::parse(
                ErrorCode::INVALID_KEY_NAME,
                format!("Invalid field name: {}.", new_fields.first().map_or("", |(name, _)| name.as_str())),
            ));
        }
        _ => evolve(ctx, draft, &new_fields).await?,
    };
    for (name, field) in &new_fields {
        check_type(&draft.class, name, class.schema.field_type(name), &field.ty)?;
    }
    Ok(Agreed { class, adds_field })
}

fn action_of(draft: &Draft) -> Action {
    if draft.is_create() { Action::Create } else { Action::Update }
}

fn names_unknown_field(draft: &Draft, class: &ClassSnapshot) -> bool {
    let own =
        |root: &str| root.starts_with('_') || matches!(root, "ACL" | "objectId" | "createdAt" | "updatedAt");
    draft.data.iter().any(|(key, value)| {
        let root = key.split('.').next().unwrap_or(key);
        !own(root) && !is_delete(value) && class.schema.fields.get(root).is_none()
    })
}

/// Fills in what a new object gets from its class and from the server.
///
/// # Errors
/// 142 for required fields, and for times that cannot be.
pub fn complete(ctx: &Ctx, mut draft: Draft, agreed: Agreed) -> Result<Checked> {
    let times = fill_in(ctx, &mut draft, &agreed)?;
    Ok(checked(draft, agreed, times))
}

/// The first part of [`complete`], for drafts that stay where they are when they are refused.
///
/// # Errors
/// As [`complete`].
pub fn fill_in(ctx: &Ctx, draft: &mut Draft, agreed: &Agreed) -> Result<Times> {
    let times = times(ctx, draft)?;
    fill_fields(ctx, draft, &agreed.class)?;
    Ok(times)
}

/// The second part of [`complete`].
pub fn checked(draft: Draft, agreed: Agreed, times: Times) -> Checked {
    Checked { draft, class: agreed.class, times, adds_field: agreed.adds_field }
}

/// The same for an object whose class proved to be another one than it was checked against.
///
/// # Errors
/// As [`agree`] and [`complete`].
pub async fn check_anew(
    ctx: &Ctx,
    checked: Checked,
    snapshot: Option<Arc<ClassSnapshot>>,
    rules: Option<&dyn ClassRules>,
) -> Result<Checked> {
    let Checked { draft, adds_field, .. } = checked;
    let mut agreed = agree(ctx, &draft, snapshot, rules).await?;
    // The fields that the first try added are the write's all the same.
    agreed.adds_field |= adds_field;
    complete(ctx, draft, agreed)
}

/// To be asked before a class gets new fields.
///
/// # Errors
/// 105 for more fields than a table can have columns.
pub fn check_field_count(class: &ClassName, count: usize) -> Result<()> {
    if count > MAX_FIELDS {
        let message = format!("Class {class} must not have more than {MAX_FIELDS} fields");
        return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, message));
    }
    Ok(())
}

/// A join table for each, all made by one change of the schema.
fn check_new_relations(class: &ClassName, new: &[(FieldName, Field)]) -> Result<()> {
    let relations = new.iter().filter(|(_, field)| matches!(field.ty, FieldType::Relation(_))).count();
    if relations > MAX_NEW_RELATIONS {
        let message =
            format!("A write must not add more than {MAX_NEW_RELATIONS} relations to class {class}");
        return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, message));
    }
    Ok(())
}

/// Fields of the draft that the class does not have, and whether it names some without saying their type; those that
/// the class has must agree in type.
fn new_fields(
    ctx: &Ctx,
    draft: &Draft,
    snapshot: Option<&ClassSnapshot>,
    rules: Option<&dyn ClassRules>,
) -> Result<(Vec<(FieldName, Field)>, bool)> {
    // A class that is yet to be made has its default columns already: nobody gives them another type.
    let to_be = snapshot.is_none().then(|| ClassSchema::with_defaults(draft.class.clone()));
    let schema = snapshot.map(|class| &*class.schema).or(to_be.as_ref());
    let mut new: Vec<(FieldName, Field)> = Vec::new();
    let (mut geo_points, mut names_untyped) = (0, false);
    for (key, value) in &draft.data {
        let (root, ty) = match key.split_once('.') {
            None => (key.as_str(), infer_type(value)?),
            Some((root, below)) => {
                let index = below.split('.').next().is_some_and(|s| s.bytes().all(|b| b.is_ascii_digit()));
                let per_offset = matches!(root, "sentPerUTCOffset" | "failedPerUTCOffset");
                (root, Some(if index && !per_offset { FieldType::Array } else { FieldType::Object }))
            }
        };
        names_untyped |= ty.is_none();
        geo_points += usize::from(ty == Some(FieldType::GeoPoint));
        if geo_points > 1 {
            return Err(Error::parse(
                ErrorCode::INCORRECT_TYPE,
                "there can only be one geopoint field in a class",
            ));
        }
        if root == "ACL" {
            if key != "ACL" {
                // Permissions are columns of their own, which a path does not reach.
                return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name: {key}.")));
            }
            continue;
        }
        if let (Some(ty), Some((name, field))) =
            (&ty, schema.and_then(|schema| schema.fields.get_key_value(root)))
            && !name.is_internal()
        {
            check_dotted_type(&draft.class, key, name, &field.ty, ty)?;
            continue;
        }
        let bare = if ctx.auth.is_maintenance() { root.strip_prefix('_').unwrap_or(root) } else { root };
        let invalid = || Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name: {root}."));
        let name = match FieldName::valid(bare) {
            Some(_) if bare != "className" || rules.is_some_and(|rules| rules.has_reserved_field(bare)) => {
                FieldName::internal(root).ok_or_else(invalid)?
            }
            _ if ty.is_none() => continue,
            _ => return Err(invalid()),
        };
        let Some(ty) = ty else { continue };
        if name.is_internal() {
            continue;
        }
        let known = schema.and_then(|schema| schema.field_type(&name));
        match known {
            Some(expected) => check_dotted_type(&draft.class, key, &name, expected, &ty)?,
            None => match new.iter().find(|(known, _)| *known == name) {
                Some((_, field)) => check_type(&draft.class, &name, Some(&field.ty), &ty)?,
                None => {
                    if ty == FieldType::GeoPoint
                        && let Some(class) = snapshot
                        && class.schema.fields.values().any(|field| field.ty == FieldType::GeoPoint)
                    {
                        return Err(Error::parse(
                            ErrorCode::INCORRECT_TYPE,
                            "there can only be one geopoint field in a class",
                        ));
                    }
                    new.push((name, Field::of(ty)));
                }
            },
        }
    }
    Ok((new, names_untyped))
}

fn check_dotted_type(
    class: &ClassName,
    key: &str,
    name: &FieldName,
    expected: &FieldType,
    ty: &FieldType,
) -> Result<()> {
    // A numeric segment may be a key of an Object as well as an index of an Array.
    let container = matches!(expected, FieldType::Object | FieldType::Array);
    if key.contains('.') && *ty == FieldType::Array && container {
        return Ok(());
    }
    check_type(class, name, Some(expected), ty)
}

fn check_type(
    class: &ClassName,
    field: &FieldName,
    expected: Option<&FieldType>,
    got: &FieldType,
) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    if expected == got {
        return Ok(());
    }
    Err(Error::parse(
        ErrorCode::INCORRECT_TYPE,
        format!(
            "schema mismatch for {class}.{field}; expected {} but got {}",
            expected.display(),
            got.display()
        ),
    ))
}

/// Fields that objects of the class cannot be without (`SchemaController.requiredColumns.write`).
fn check_required(draft: &Draft, required: &[&str]) -> Result<()> {
    for column in required {
        let value = draft.data.get(*column);
        let missing = match draft.id {
            Some(_) => value.is_some_and(is_delete),
            None => !value.is_some_and(is_truthy),
        };
        if missing {
            return Err(Error::parse(ErrorCode::INCORRECT_TYPE, format!("{column} is required.")));
        }
    }
    Ok(())
}

async fn evolve(ctx: &Ctx, draft: &Draft, fields: &[(FieldName, Field)]) -> Result<Arc<ClassSnapshot>> {
    let known = ctx.services.classes.admit(&draft.class).await?;
    let (Some(open), Some(_)) = (&ctx.transaction, &known) else {
        return ctx.services.classes.evolve(&draft.class, fields).await;
    };
    // The transaction's own connection: it may already hold locks on the table.
    let guard = open.lock().await;
    let transaction = guard.as_ref().ok_or_else(|| Error::internal("the transaction has ended"))?;
    let mut schema = transaction.add_fields(&draft.class, fields).await?;
    open.defer(Effect::ClassChanged(draft.class.clone()));
    schema.add_default_columns();
    Ok(Arc::new(ClassSnapshot::build(schema, ctx.config(), 0)))
}

/// Required fields and, for new objects, id, default values and the class's default ACL.
fn fill_fields(ctx: &Ctx, draft: &mut Draft, class: &ClassSnapshot) -> Result<()> {
    if !draft.is_create() {
        for (name, value) in &draft.data {
            if is_unset(Some(value)) && class.schema.field(name).is_some_and(|field| field.required) {
                return Err(required_error(name));
            }
        }
        return Ok(());
    }
    default_acl(ctx, draft, class);
    if !draft.data.get("objectId").is_some_and(is_truthy) {
        let id = ObjectId::generate(ctx.config().schema.object_id_size);
        draft.data.insert("objectId".to_owned(), id.as_str().into());
    }
    let wanting = |field: &Field| field.required || field.default_value.is_some();
    for (name, field) in class.schema.fields.iter().filter(|(_, field)| wanting(field)) {
        let value = draft.data.get(name.as_str());
        if !stores_nothing(value) {
            continue;
        }
        let absent = value.is_none_or(is_delete);
        match &field.default_value {
            Some(default) if absent => draft.set_for_client(name, default.clone()),
            _ if field.required => return Err(required_error(name)),
            _ => {}
        }
    }
    Ok(())
}

fn is_unset(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(other) => is_delete(other),
    }
}

/// Whether a new object will have nothing in the field, whatever operator says so.
fn stores_nothing(value: Option<&Value>) -> bool {
    let Some(value) = value else { return true };
    if is_unset(Some(value)) || value.get("__op").is_none() {
        return is_unset(Some(value));
    }
    let result = created_value(value).ok().flatten();
    is_unset(result.as_ref())
}

fn required_error(field: &str) -> Error {
    Error::parse(ErrorCode::VALIDATION_ERROR, format!("{field} is required"))
}

/// CLP.ACL, unless the client sent an ACL or it says no more than "public".
fn default_acl(ctx: &Ctx, draft: &mut Draft, class: &ClassSnapshot) {
    let Some(acl) = class.schema.clp.as_ref().and_then(|clp| clp.acl.as_ref()) else { return };
    let has_own = draft.data.get("ACL").is_some_and(is_truthy);
    if has_own || *acl == json!({"*": {"read": true, "write": true}}) {
        return;
    }
    let mut acl = acl.clone();
    if let Some(entries) = acl.as_object_mut()
        && let Some(own) = entries.shift_remove("currentUser")
        && let Some(user) = ctx.auth.user_id()
    {
        entries.insert(user.to_owned(), own);
    }
    draft.set_for_client("ACL", acl);
}

/// Times are the server's; with the maintenance key a create may bring its own.
fn times(ctx: &Ctx, draft: &Draft) -> Result<Times> {
    let now = draft.now.to_iso();
    if !draft.is_create() {
        return Ok(Times { created: None, updated: now });
    }
    let given = |key: &str| {
        let value = draft.data.get(key)?;
        (value.get("__type")? == "Date").then(|| value.get("iso")?.as_str().map(str::to_owned)).flatten()
    };
    let Some(created) = given("createdAt").filter(|_| ctx.auth.is_maintenance()) else {
        return Ok(Times { created: Some(now.clone()), updated: now });
    };
    let updated = given("updatedAt").unwrap_or_else(|| created.clone());
    if let (Some(created), Some(updated)) = (Millis::parse(&created), Millis::parse(&updated))
        && updated < created
    {
        return Err(Error::parse(ErrorCode::VALIDATION_ERROR, "updatedAt cannot occur before createdAt"));
    }
    Ok(Times { created: Some(created), updated })
}
