//! Class-level and pointer permissions (parse-server `SchemaController.validatePermission` and
//! `DatabaseController.addPointerPermissions`).

use crate::error::{Error, ErrorCode, Result};
use crate::operations::{Auth, ClassSnapshot};
use crate::query::{Constraint, Filter, Operand};
use crate::types::clp::Grant;
use crate::types::{ClassName, FieldName, FieldType, Operation};

/// What pointer permissions leave of a class for one caller.
#[derive(Clone, Debug, PartialEq)]
pub enum RowRestriction {
    /// Every row (as far as ACLs allow).
    All,
    /// Rows that one of the permission's fields gives to the caller.
    Rows(Filter),
    /// No row: nobody is logged in whom a field could name.
    None,
}

/// Whether the write may be part of creating a new object or changes an existing one; `addField`
/// knows the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Read,
}

fn granted_outright(grant: &Grant, ids: &[String]) -> bool {
    grant.public || ids.iter().any(|id| id != "*" && grant.entities.contains(id))
}

/// Checks that the caller may do this on the class at all.
///
/// # Errors
/// 101 when a login is required, 119 otherwise, both sanitized.
pub fn check(auth: &Auth, class: &ClassSnapshot, op: Operation, action: Action) -> Result<()> {
    let Some(ids) = auth.acl_ids() else { return Ok(()) };
    let Some(clp) = &class.schema.clp else { return Ok(()) };
    let Some(grant) = clp.grant(op) else { return Ok(()) };
    if granted_outright(grant, &ids) {
        return Ok(());
    }
    if grant.requires_authentication {
        return if auth.principal.is_some() {
            Ok(())
        } else {
            Err(Error::denied(
                ErrorCode::OBJECT_NOT_FOUND,
                "Permission denied, user needs to be authenticated.",
            ))
        };
    }
    let denied =
        || Error::forbidden(format!("Permission denied for action {} on class {}.", op.name(), class.name()));
    if op == Operation::Create {
        return Err(denied());
    }
    let user_fields = if op.is_read() { &clp.read_user_fields } else { &clp.write_user_fields };
    let by_pointer =
        !grant.pointer_fields.is_empty() && (op != Operation::AddField || action == Action::Update);
    if !user_fields.is_empty() || by_pointer { Ok(()) } else { Err(denied()) }
}

/// The rows that pointer permissions leave to the caller; call after [`check`] passed.
///
/// # Errors
/// `Internal` when a permission names a field that is neither pointer, array nor object.
pub fn pointer_restriction(auth: &Auth, class: &ClassSnapshot, op: Operation) -> Result<RowRestriction> {
    let (Some(ids), Some(clp)) = (auth.acl_ids(), &class.schema.clp) else { return Ok(RowRestriction::All) };
    let Some(grant) = clp.grant(op) else { return Ok(RowRestriction::All) };
    if granted_outright(grant, &ids) {
        return Ok(RowRestriction::All);
    }
    let user_fields = if op.is_read() { &clp.read_user_fields } else { &clp.write_user_fields };
    let mut fields: Vec<&String> = grant.pointer_fields.iter().collect();
    fields.extend(user_fields.iter().filter(|field| !grant.pointer_fields.contains(field)));
    if fields.is_empty() {
        return Ok(RowRestriction::All);
    }
    let Some(user) = auth.user_id() else { return Ok(RowRestriction::None) };
    let mut filters = Vec::with_capacity(fields.len());
    for field in fields {
        let Some(name) = FieldName::valid(field) else { continue };
        let pointer = Operand::Pointer { class: ClassName::known("_User"), id: user.to_owned() };
        let constraint = match class.schema.field_type(field) {
            Some(FieldType::Array) => Constraint::All(vec![pointer]),
            Some(FieldType::Pointer(_) | FieldType::Object) => Constraint::Eq(pointer),
            // A column that was dropped since the permission was set grants nothing.
            _ => continue,
        };
        filters.push(Filter::field(name, constraint));
    }
    Ok(match filters.len() {
        0 => RowRestriction::None,
        1 => RowRestriction::Rows(filters.remove(0)),
        _ => RowRestriction::Rows(Filter::Or(filters)),
    })
}

/// [`check`] and [`pointer_restriction`] in one.
///
/// # Errors
/// Those of both.
pub fn admit(auth: &Auth, class: &ClassSnapshot, op: Operation, action: Action) -> Result<RowRestriction> {
    check(auth, class, op, action)?;
    pointer_restriction(auth, class, op)
}
