//! The columns of users that are no fields of their class: read for the maintenance key, and by the rules of users.

use crate::types::{ClassSchema, FieldName, FieldType};

/// Internal columns of logins, passwords and mails.
const INTERNAL: [&str; 9] = [
    "_hashed_password",
    "_password_history",
    "_password_changed_at",
    "_failed_login_count",
    "_account_lockout_expires_at",
    "_email_verify_token",
    "_email_verify_token_expires_at",
    "_perishable_token",
    "_perishable_token_expires_at",
];

/// Every column of users, internal ones included.
pub fn all_columns(schema: &ClassSchema) -> Vec<FieldName> {
    let stored = schema.fields.iter().filter(|(name, field)| {
        !matches!(field.ty, FieldType::Relation(_) | FieldType::Acl)
            && name.as_str() != "password"
            && !INTERNAL.contains(&name.as_str())
    });
    stored.map(|(name, _)| name.clone()).chain(INTERNAL.map(FieldName::known)).collect()
}
