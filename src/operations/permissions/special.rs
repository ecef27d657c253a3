//! What clients may do with parse-server's own classes before any CLP is looked at
//! (`SharedRest.enforceRoleSecurity`), and who may make classes.

use crate::error::{Error, Result};
use crate::operations::{ClassSnapshot, Ctx};
use crate::types::ClassName;
use crate::types::names::SYSTEM_CLASSES;
use crate::types::row::has_permission_columns;

/// The word that error details use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Find,
    Get,
    Create,
    Update,
    Delete,
}

impl Verb {
    pub fn name(self) -> &'static str {
        match self {
            Self::Find => "find",
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    pub fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete)
    }
}

/// # Errors
/// 119 (sanitized) for clients on internal classes, for find and delete of installations, for any
/// write with the read-only master key, and for objects where there can be none.
pub fn enforce(ctx: &Ctx, class: &ClassName, verb: Verb) -> Result<()> {
    let auth = &ctx.auth;
    let op = verb.name();
    if !auth.is_master() && !auth.is_maintenance() {
        if class.is_installation() && matches!(verb, Verb::Find | Verb::Delete) {
            return Err(Error::forbidden(format!(
                "Clients aren't allowed to perform the {op} operation on the installation collection."
            )));
        }
        let internal = class.is_volatile() || class.is_join();
        if internal {
            return Err(Error::forbidden(format!(
                "Clients aren't allowed to perform the {op} operation on the {class} collection."
            )));
        }
    }
    if auth.is_read_only() && verb.writes() {
        return Err(Error::forbidden(format!(
            "read-only masterKey isn't allowed to perform the {op} operation."
        )));
    }
    // These tables hold no objects: no id, no times, no permissions. Their own routes change them.
    if matches!(verb, Verb::Create | Verb::Update) && !has_permission_columns(class) {
        return Err(Error::forbidden(format!("Rows of {class} are not changed as objects.")));
    }
    Ok(())
}

/// `allowClientClassCreation`: clients see nothing of classes that do not exist.
///
/// # Errors
/// 119 (sanitized).
pub fn check_class_exists(ctx: &Ctx, class: &ClassName, snapshot: Option<&ClassSnapshot>) -> Result<()> {
    let may_create = ctx.config().schema.allow_client_class_creation
        || ctx.auth.is_unrestricted()
        || SYSTEM_CLASSES.contains(&class.as_str());
    if may_create || snapshot.is_some() {
        return Ok(());
    }
    Err(Error::forbidden(format!("This user is not allowed to access non-existent class: {class}")))
}
