//! What the statement of a write has to do, made of the fields and operators that the class agreed to: the row of
//! a new object or the operations of an update, and what join tables hold of it.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::class_rules::ClassRules;
use super::ops::{
    check_nested_keys, created_value, is_delete, nested_key, objects, operator, unknown_operator, update_op,
};
use super::stages::{Checked, Draft, Times};
use crate::error::{Error, ErrorCode, Result};
use crate::types::member::{is_typed, member, member_of};
use crate::types::path::FieldPath;
use crate::types::update::RelationChange;
use crate::types::{Acl, ClassName, ClassSchema, FieldName, FieldType, Object, ObjectId, Op, Update};

/// A new object.
#[derive(Debug)]
pub struct Insert {
    /// In REST encoding, operators applied.
    pub row: Object,
    pub relations: Vec<RelationChange>,
    pub loan: Loan,
}

/// What the row took from the draft, to be given back after the statement: the data of most new objects is the row
/// already, and copying it costs more than all that is written here.
#[derive(Debug, Default)]
pub struct Loan {
    is_open: bool,
    acl: Option<Value>,
}

impl Loan {
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The row becomes the draft's data again.
    pub fn end(self, mut row: Object, data: &mut Object) {
        if !self.is_open {
            return;
        }
        // What was added to it, from its end.
        for added in ["updatedAt", "createdAt", "_wperm", "_rperm"] {
            row.shift_remove(added);
        }
        if let Some(acl) = self.acl {
            row.insert("ACL".to_owned(), acl);
        }
        *data = row;
    }
}

/// An update.
#[derive(Debug)]
pub struct Change {
    pub update: Update,
    pub relations: Vec<RelationChange>,
}

/// Takes the draft's data where that is the row as it stands ([`Insert::loan`]), if it `lends`.
///
/// # Errors
/// 107 for malformed operators, 121 for nested keys with `$` or `.`, 123 for a malformed ACL. Nothing is taken then.
pub fn insert(draft: &mut Draft, class: &ClassSchema, times: &Times, lends: bool) -> Result<Insert> {
    if lends && is_row(draft, class)? {
        return lent(draft, times);
    }
    let mut row = Object::with_capacity(draft.data.len() + 4);
    let mut relations = Relations::new();
    for (key, value) in &draft.data {
        check_nested_keys(value)?;
        if key == "ACL" {
            for (column, list) in permissions(value)?.into_iter().flatten() {
                row.insert(column.to_owned(), list);
            }
            continue;
        }
        let path = path_in(class, key)?;
        if !collect(class, &path, value, &mut relations)? {
            let stored = match nothing(&path, value) {
                Some(Nothing::Null) => Some(Value::Null),
                Some(Nothing::Unset) => None,
                None => created_value(value)?,
            };
            insert_row(&mut row, &path, stored);
        }
    }
    times.put_into(&mut row);
    for (key, value) in draft.internal.iter().filter(|(_, value)| !is_delete(value)) {
        if let Some(column) = FieldName::internal(key) {
            row.insert(column.as_str().to_owned(), value.clone());
        }
    }
    Ok(Insert { row, relations: changes(class, relations)?, loan: Loan::default() })
}

/// Whether the data is the row, but for times and permissions: fields that the class has, with values as they are
/// stored.
fn is_row(draft: &Draft, class: &ClassSchema) -> Result<bool> {
    if !draft.internal.is_empty() {
        return Ok(false);
    }
    for (key, value) in &draft.data {
        if matches!(key.as_str(), "createdAt" | "updatedAt" | "_rperm" | "_wperm") {
            return Ok(false);
        }
        match value {
            Value::Null => return Ok(false),
            Value::Object(object) => {
                let is_operator = member(object, "__op").is_some();
                if is_operator || is_typed(value, "Relation") || leads_nowhere(value) {
                    return Ok(false);
                }
                check_nested_keys(value)?;
            }
            Value::Array(_) => check_nested_keys(value)?,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        let is_column = key == "ACL" || class.fields.contains_key(key.as_str());
        if !is_column || key.contains('.') {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lent(draft: &mut Draft, times: &Times) -> Result<Insert> {
    let permitted = draft.data.get("ACL").map(permissions).transpose()?.flatten();
    let mut row = std::mem::take(&mut draft.data);
    let acl = row.shift_remove("ACL");
    row.extend(permitted.into_iter().flatten().map(|(column, list)| (column.to_owned(), list)));
    times.put_into(&mut row);
    Ok(Insert { row, relations: Vec::new(), loan: Loan { is_open: true, acl } })
}

/// # Errors
/// As [`insert`], and 111 for a relation that is to be set or unset.
pub fn change(checked: &Checked, rules: Option<&dyn ClassRules>) -> Result<Change> {
    let Checked { draft, class, times, .. } = checked;
    let mut ops = Vec::with_capacity(draft.data.len() + 1);
    let mut relations = Relations::new();
    for (key, value) in &draft.data {
        check_nested_keys(value)?;
        if key == "ACL" {
            for (column, list) in permissions(value)?.into_iter().flatten() {
                ops.push((FieldName::known(column).into(), Op::Set(list)));
            }
            continue;
        }
        // Ids stay, and times are the server's.
        if matches!(key.as_str(), "objectId" | "id" | "createdAt" | "updatedAt") {
            continue;
        }
        if let Some(own) = rules.and_then(|rules| rules.operations(key, value)) {
            ops.extend(own);
            continue;
        }
        let path = path_in(&class.schema, key)?;
        if collect(&class.schema, &path, value, &mut relations)? {
            continue;
        }
        if let Some(op) = update_op(value)? {
            refuse_relation(&class.schema, &path)?;
            let op = match nothing(&path, value) {
                Some(Nothing::Null) => Op::Set(Value::Null),
                Some(Nothing::Unset) => Op::Unset,
                None => op,
            };
            ops.push((path, op));
        }
    }
    ops.push((FieldName::known("updatedAt").into(), Op::Set(times.updated.as_str().into())));
    for (key, value) in &draft.internal {
        if let Some(column) = FieldName::internal(key) {
            let op = if is_delete(value) { Op::Unset } else { Op::Set(value.clone()) };
            ops.push((column.into(), op));
        }
    }
    Ok(Change { update: Update { ops }, relations: changes(&class.schema, relations)? })
}

/// The columns of permissions that an ACL goes into; none for `null`.
fn permissions(acl: &Value) -> Result<Option<[(&'static str, Value); 2]>> {
    if acl.is_null() {
        return Ok(None);
    }
    let acl = Acl::from_json(acl)?;
    Ok(Some([("_rperm", Value::from(acl.read)), ("_wperm", Value::from(acl.write))]))
}

fn path_in(class: &ClassSchema, key: &str) -> Result<FieldPath> {
    match class.fields.get_key_value(key) {
        Some((name, _)) => Ok(FieldPath::from(name.clone())),
        None => path_of(key),
    }
}

/// `a.b.c` → root `a`, rest `b`, `c`.
///
/// # Errors
/// 105 `Invalid field name: ….`, 121 for a part with `$`: it would be a nested key with one.
pub fn path_of(key: &str) -> Result<FieldPath> {
    let mut segments = key.split('.');
    let root = segments.next().unwrap_or_default();
    let invalid = || Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name: {key}."));
    let root = FieldName::internal(root).ok_or_else(invalid)?;
    let rest: Vec<String> = segments.map(str::to_owned).collect();
    if rest.iter().any(|segment| segment.is_empty() || segment.contains('\0')) {
        return Err(invalid());
    }
    if rest.iter().any(|segment| segment.contains('$')) {
        return Err(nested_key());
    }
    Ok(FieldPath { root, rest })
}

/// What becomes of a value that is none.
enum Nothing {
    /// Inside an object null is a value like others.
    Null,
    /// A column of null is one without a value, and so is one of a pointer that names no object.
    Unset,
}

fn nothing(path: &FieldPath, value: &Value) -> Option<Nothing> {
    match (path.is_dotted(), value.is_null()) {
        (true, true) => Some(Nothing::Null),
        (false, true) => Some(Nothing::Unset),
        (false, false) if leads_nowhere(value) => Some(Nothing::Unset),
        _ => None,
    }
}

fn leads_nowhere(value: &Value) -> bool {
    is_typed(value, "Pointer") && member_of(value, "objectId").is_none_or(Value::is_null)
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
fn check_members(class: &ClassSchema, field: &FieldName, target: &ClassName, value: &Value) -> Result<()> {
    let nested = value.get("ops").and_then(Value::as_array).into_iter().flatten();
    let members = nested.chain([value]).filter_map(|op| op.get("objects")?.as_array()).flatten();
    for member in members {
        let Some(got) = member.get("className").and_then(Value::as_str) else { continue };
        if got != target.as_str() {
            return Err(mismatch(class, field, &format!("Relation<{target}>"), &format!("Relation<{got}>")));
        }
    }
    Ok(())
}

/// Takes relation operators out of the data; false when the value is none.
fn collect(class: &ClassSchema, path: &FieldPath, value: &Value, relations: &mut Relations) -> Result<bool> {
    if let Some(FieldType::Relation(target)) = class.field_type(&path.root) {
        check_members(class, &path.root, target, value)?;
    }
    let is_relation = |op: Option<&str>| matches!(op, Some("AddRelation" | "RemoveRelation"));
    let ops: Vec<&Value> = match operator(value) {
        op if is_relation(op) => vec![value],
        Some("Batch") => value.get("ops").and_then(Value::as_array).into_iter().flatten().collect(),
        _ => {
            // The SDK echoes relations it read; they are not columns.
            return Ok(is_typed(value, "Relation"));
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
