//! REST JSON with `__op` operators, read once: which type a value has, and which row or update a
//! draft becomes.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::Draft;
use crate::error::{Error, ErrorCode, Result};
use crate::types::limits::{self, MAX_DOTTED_CHANGES, MAX_FIELDS, MAX_OPERANDS};
use crate::types::path::FieldPath;
use crate::types::update::RelationChange;
use crate::types::{Acl, ClassName, ClassSchema, FieldName, FieldType, Object, ObjectId, Op, Update};

/// The type a value asks its column to have; `None` says nothing (null, `Delete`).
///
/// # Errors
/// 111 `This is not a valid <Type>`, 108 for an operator nobody knows.
pub fn infer_type(value: &Value) -> Result<Option<FieldType>> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(_) => FieldType::Boolean,
        Value::Number(_) => FieldType::Number,
        Value::String(_) => FieldType::String,
        Value::Array(_) => FieldType::Array,
        Value::Object(object) => return infer_object_type(object),
    }))
}

fn infer_object_type(object: &Object) -> Result<Option<FieldType>> {
    let present = |key: &str| object.get(key).is_some_and(super::is_truthy);
    let class = || object.get("className").and_then(Value::as_str).and_then(ClassName::valid);
    if let Some(tag) = object.get("__type").filter(|tag| super::is_truthy(tag)) {
        let ty = match tag.as_str() {
            Some("Pointer") => class().map(FieldType::Pointer),
            Some("Relation") => class().map(FieldType::Relation),
            Some("File") => present("name").then_some(FieldType::File),
            Some("Date") => present("iso").then_some(FieldType::Date),
            Some("GeoPoint") => ["latitude", "longitude"]
                .iter()
                .all(|key| object.get(*key).is_some_and(Value::is_number))
                .then_some(FieldType::GeoPoint),
            Some("Bytes") => object.get("base64").is_some_and(Value::is_string).then_some(FieldType::Bytes),
            Some("Polygon") => {
                object.get("coordinates").is_some_and(Value::is_array).then_some(FieldType::Polygon)
            }
            // An object that a query included: stored as a pointer to it.
            Some("Object") => class().map(FieldType::Pointer),
            _ => None,
        };
        let shown = tag.as_str().map_or_else(|| tag.to_string(), str::to_owned);
        return ty
            .map(Some)
            .ok_or_else(|| Error::parse(ErrorCode::INCORRECT_TYPE, format!("This is not a valid {shown}")));
    }
    let Some(op) = object.get("__op").filter(|op| super::is_truthy(op)) else {
        return Ok(Some(FieldType::Object));
    };
    Ok(match op.as_str() {
        Some("Increment") => Some(FieldType::Number),
        Some("Delete") => None,
        Some("Add" | "AddUnique" | "Remove") => Some(FieldType::Array),
        Some("SetOnInsert") => return object.get("amount").map_or(Ok(None), infer_type),
        Some("AddRelation" | "RemoveRelation") => {
            let target =
                object.get("objects").and_then(|objects| objects.get(0)).and_then(|o| o.get("className"));
            target.and_then(Value::as_str).and_then(ClassName::valid).map(FieldType::Relation)
        }
        Some("Batch") => return object.get("ops").and_then(|ops| ops.get(0)).map_or(Ok(None), infer_type),
        _ => return Err(unknown_operator(op)),
    })
}

fn unknown_operator(op: &Value) -> Error {
    let shown = op.as_str().map_or_else(|| op.to_string(), str::to_owned);
    Error::parse(ErrorCode::COMMAND_UNAVAILABLE, format!("The {shown} operator is not supported yet."))
}

/// A new object's fields without `SetOnInsert`, which only repeats what a create does anyway: rules about
/// single fields then see the value that is stored.
pub fn without_conditions(mut data: Object) -> Object {
    for value in data.values_mut().filter(|value| is_set_on_insert(value)) {
        *value = value.get("amount").cloned().unwrap_or_default();
    }
    data
}

pub fn is_set_on_insert(value: &Value) -> bool {
    operator(value) == Some("SetOnInsert")
}

fn operator(value: &Value) -> Option<&str> {
    value.as_object()?.get("__op")?.as_str()
}

/// Whether the answer tells the operator's result.
pub fn is_computed(value: &Value) -> bool {
    matches!(operator(value), Some("Increment" | "Add" | "AddUnique" | "Remove" | "SetOnInsert"))
}

pub fn is_delete(value: &Value) -> bool {
    operator(value) == Some("Delete")
}

/// A draft's data, sorted into what one statement stores and what join tables hold.
#[derive(Debug, Default)]
pub struct Parsed {
    /// For creates: the row in REST encoding, operators applied.
    pub row: Object,
    /// For updates.
    pub update: Update,
    pub relations: Vec<RelationChange>,
}

/// Counts what a write brings, before any of it is looked at.
///
/// # Errors
/// 107 for more keys than a class can have fields, more dotted keys than [`MAX_DOTTED_CHANGES`], or more operands
/// than [`MAX_OPERANDS`]; 105 for a key of too many parts.
pub fn check_size(data: &Object) -> Result<()> {
    let dotted = data.keys().filter(|key| key.contains('.')).count();
    if data.len() - dotted > MAX_FIELDS {
        return Err(Error::invalid_json(format!("An object must not have more than {MAX_FIELDS} fields")));
    }
    // Each provider of a user is a change of its own as well.
    let providers = data.get("authData").and_then(Value::as_object).map_or(0, Map::len);
    if dotted + providers > MAX_DOTTED_CHANGES {
        return Err(Error::invalid_json(format!(
            "A write must not have more than {MAX_DOTTED_CHANGES} dotted keys"
        )));
    }
    data.keys().try_for_each(|key| limits::check_path(key))?;
    let operands: usize = data.values().map(operands_of).sum();
    if operands > MAX_OPERANDS {
        return Err(Error::invalid_json(format!(
            "The operators of a write must not name more than {MAX_OPERANDS} objects"
        )));
    }
    Ok(())
}

/// Objects that an operator names; those of its parts for a `Batch`.
fn operands_of(value: &Value) -> usize {
    let count = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    match operator(value) {
        None => 0,
        Some("Batch") => {
            let parts = value.get("ops").and_then(Value::as_array).into_iter().flatten();
            parts.map(|part| 1 + count(part, "objects")).sum()
        }
        Some(_) => count(value, "objects"),
    }
}

/// # Errors
/// 107 for malformed operators, 111 for a relation that is to be set or unset, 121 for nested keys with `$` or
/// `.`, 123 for a malformed ACL.
pub fn parse(draft: &Draft, class: &ClassSchema) -> Result<Parsed> {
    let mut parsed = Parsed::default();
    if draft.is_create() {
        parsed.row = Object::with_capacity(draft.data.len() + 2);
    }
    let mut relations = Relations::new();
    for (key, value) in &draft.data {
        check_nested_keys(value)?;
        if key == "ACL" {
            if !value.is_null() {
                let acl = Acl::from_json(value)?;
                for (column, list) in [("_rperm", acl.read), ("_wperm", acl.write)] {
                    set(draft, &mut parsed, FieldName::known(column), Value::from(list));
                }
            }
            continue;
        }
        if draft.id.is_some() && (key == "objectId" || key == "createdAt" || key == "id") {
            continue;
        }
        if draft.class.is_user() && key == "authData" && draft.id.is_some() {
            // Provider by provider: those that are not named stay.
            if let Some(providers) = value.as_object() {
                parsed.update.ops.extend(crate::operations::classes::user::auth_data::operations(providers));
            }
            continue;
        }
        let path = match class.fields.get_key_value(key.as_str()) {
            Some((name, _)) => FieldPath::from(name.clone()),
            None => path_of(key)?,
        };
        if let Some(FieldType::Relation(target)) = class.field_type(&path.root) {
            check_members(draft, &path.root, target, value)?;
        }
        if collect_relations(&path, value, &mut relations)? {
            continue;
        }
        match &draft.id {
            None => insert_row(&mut parsed.row, &path, created_value(value)?),
            Some(_) => {
                if let Some(op) = update_op(value)? {
                    refuse_relation(class, &path)?;
                    parsed.update.ops.push((path, op));
                }
            }
        }
    }
    for (key, value) in &draft.internal {
        if let Some(column) = FieldName::internal(key) {
            if is_delete(value) && draft.id.is_some() {
                parsed.update.ops.push((column.into(), Op::Unset));
            } else if !is_delete(value) {
                set(draft, &mut parsed, column, value.clone());
            }
        }
    }
    parsed.relations = changes(class, relations)?;
    Ok(parsed)
}

fn set(draft: &Draft, parsed: &mut Parsed, column: FieldName, value: Value) {
    match &draft.id {
        None => {
            parsed.row.insert(column.as_str().to_owned(), value);
        }
        Some(_) => parsed.update.ops.push((column.into(), Op::Set(value))),
    }
}

/// `a.b.c` → root `a`, rest `b`, `c`.
///
/// # Errors
/// 105 `Invalid field name: ….`
pub fn path_of(key: &str) -> Result<FieldPath> {
    let mut segments = key.split('.');
    let root = segments.next().unwrap_or_default();
    let invalid = || Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name: {key}."));
    let root = FieldName::internal(root).ok_or_else(invalid)?;
    let rest: Vec<String> = segments.map(str::to_owned).collect();
    if rest.iter().any(|segment| segment.is_empty() || segment.contains('\0')) {
        return Err(invalid());
    }
    Ok(FieldPath { root, rest })
}

fn objects<'v>(value: &'v Value, message: &'static str) -> Result<&'v Vec<Value>> {
    value.get("objects").and_then(Value::as_array).ok_or_else(|| Error::invalid_json(message))
}

/// The value a create stores for a field with an operator; `None` stores nothing.
///
/// # Errors
/// 107, 108 for operators that are malformed or unknown.
pub fn created_value(value: &Value) -> Result<Option<Value>> {
    const MESSAGE: &str = "objects to add must be an array";
    Ok(match operator(value) {
        None => (!value.is_null()).then(|| value.clone()),
        Some("Increment") => {
            let amount = value.get("amount").filter(|amount| amount.is_number());
            Some(amount.ok_or_else(|| Error::invalid_json(MESSAGE))?.clone())
        }
        Some("SetOnInsert") => value.get("amount").filter(|amount| !amount.is_null()).cloned(),
        Some("Add" | "AddUnique") => Some(Value::Array(objects(value, MESSAGE)?.clone())),
        Some("Remove") => {
            objects(value, MESSAGE)?;
            Some(Value::Array(Vec::new()))
        }
        Some("Delete") => None,
        Some(other) => return Err(unknown_operator(&other.into())),
    })
}

/// What an update does with a value; `None` does nothing.
///
/// # Errors
/// 107, 108 for operators that are malformed or unknown.
pub fn update_op(value: &Value) -> Result<Option<Op>> {
    Ok(Some(match operator(value) {
        None if value.is_null() => Op::Unset,
        None => Op::Set(value.clone()),
        Some("Increment") => {
            let amount = value.get("amount").and_then(Value::as_f64);
            Op::Increment(amount.ok_or_else(|| Error::invalid_json("incrementing must provide a number"))?)
        }
        Some("SetOnInsert") => return Ok(None),
        Some("Add") => Op::Add(objects(value, "objects to add must be an array")?.clone()),
        Some("AddUnique") => Op::AddUnique(objects(value, "objects to add must be an array")?.clone()),
        Some("Remove") => Op::Remove(objects(value, "objects to remove must be an array")?.clone()),
        Some("Delete") => Op::Unset,
        Some(other) => return Err(unknown_operator(&other.into())),
    }))
}

/// Puts a dotted create key where it belongs: `{"a.b": 1}` stores `{"a": {"b": 1}}`.
fn insert_row(row: &mut Object, path: &FieldPath, value: Option<Value>) {
    let Some(value) = value else { return };
    let Some((last, parents)) = path.rest.split_last() else {
        row.insert(path.root.as_str().to_owned(), value);
        return;
    };
    let mut target = row.entry(path.root.as_str().to_owned()).or_insert_with(|| Value::Object(Map::new()));
    for segment in parents {
        let Value::Object(object) = target else { return };
        target = object.entry(segment.clone()).or_insert_with(|| Value::Object(Map::new()));
    }
    if let Value::Object(object) = target {
        object.insert(last.clone(), value);
    }
}

/// Members that relation fields gain (true) or lose. A later operator wins over an earlier one.
type Relations = IndexMap<FieldName, IndexMap<ObjectId, bool>>;

/// Every member of a relation is of its class, not the first one alone.
fn check_members(draft: &Draft, field: &FieldName, target: &ClassName, value: &Value) -> Result<()> {
    let nested = value.get("ops").and_then(Value::as_array).into_iter().flatten();
    let members = nested.chain([value]).filter_map(|op| op.get("objects")?.as_array()).flatten();
    for member in members {
        let Some(class) = member.get("className").and_then(Value::as_str) else { continue };
        if class != target.as_str() {
            let message = format!(
                "schema mismatch for {}.{field}; expected Relation<{target}> but got Relation<{class}>",
                draft.class
            );
            return Err(Error::parse(ErrorCode::INCORRECT_TYPE, message));
        }
    }
    Ok(())
}

/// Takes relation operators out of the data; false when the value is none.
fn collect_relations(path: &FieldPath, value: &Value, relations: &mut Relations) -> Result<bool> {
    let is_relation = |op: Option<&str>| matches!(op, Some("AddRelation" | "RemoveRelation"));
    let ops: Vec<&Value> = match operator(value) {
        op if is_relation(op) => vec![value],
        Some("Batch") => value.get("ops").and_then(Value::as_array).into_iter().flatten().collect(),
        _ => {
            // The SDK echoes relations it read; they are not columns.
            return Ok(value.get("__type").is_some_and(|tag| tag == "Relation"));
        }
    };
    for op in ops {
        let kind = operator(op);
        if !is_relation(kind) {
            return Err(unknown_operator(op.get("__op").unwrap_or(&Value::Null)));
        }
        let members = objects(op, "objects to add must be an array")?;
        let ids =
            members.iter().filter_map(|member| member.get("objectId")?.as_str()).filter_map(ObjectId::new);
        let gains = kind == Some("AddRelation");
        relations.entry(path.root.clone()).or_default().extend(ids.map(|id| (id, gains)));
    }
    Ok(true)
}

/// What the join tables have to change.
///
/// # Errors
/// 111 for a field that is no relation.
fn changes(class: &ClassSchema, relations: Relations) -> Result<Vec<RelationChange>> {
    let mut changes = Vec::with_capacity(relations.len());
    for (field, members) in relations.into_iter().filter(|(_, members)| !members.is_empty()) {
        let known = class.field_type(&field);
        if !matches!(known, Some(FieldType::Relation(_))) {
            let expected = known.map_or_else(|| "another type".to_owned(), FieldType::display);
            return Err(mismatch(class, &field, &expected, "Relation"));
        }
        let (add, remove): (Vec<_>, Vec<_>) = members.into_iter().partition(|(_, gains)| *gains);
        let ids = |members: Vec<(ObjectId, bool)>| members.into_iter().map(|(id, _)| id).collect();
        changes.push(RelationChange { field, add: ids(add), remove: ids(remove) });
    }
    Ok(changes)
}

/// A relation has no column, so there is nothing to set or to unset.
fn refuse_relation(class: &ClassSchema, path: &FieldPath) -> Result<()> {
    match class.field_type(&path.root) {
        Some(ty @ FieldType::Relation(_)) => Err(mismatch(class, &path.root, &ty.display(), "null")),
        _ => Ok(()),
    }
}

fn mismatch(class: &ClassSchema, field: &FieldName, expected: &str, got: &str) -> Error {
    Error::parse(
        ErrorCode::INCORRECT_TYPE,
        format!("schema mismatch for {}.{field}; expected {expected} but got {got}", class.name),
    )
}

/// # Errors
/// 121 when a key below the top level contains `$` or `.`.
pub fn check_nested_keys(value: &Value) -> Result<()> {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(elements) => pending.extend(elements),
            Value::Object(object) => {
                if object.keys().any(|key| key.contains(['$', '.'])) && !object.contains_key("__op") {
                    return Err(Error::parse(
                        ErrorCode::INVALID_NESTED_KEY,
                        "Nested keys should not contain the '$' or '.' characters",
                    ));
                }
                pending.extend(object.values());
            }
            _ => {}
        }
    }
    Ok(())
}
