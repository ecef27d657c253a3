//! Names of types, queries and mutations of a class.

use crate::types::ClassName;

/// Names that no type of a class may have.
pub const RESERVED_TYPES: &[&str] = &[
    "String",
    "Boolean",
    "Int",
    "Float",
    "ID",
    "ArrayResult",
    "Query",
    "Mutation",
    "Subscription",
    "CreateFileInput",
    "CreateFilePayload",
    "Viewer",
    "SignUpInput",
    "SignUpPayload",
    "LogInInput",
    "LogInPayload",
    "LogOutInput",
    "LogOutPayload",
    "CloudCodeFunction",
    "CallCloudCodeInput",
    "CallCloudCodePayload",
    "CreateClassInput",
    "CreateClassPayload",
    "UpdateClassInput",
    "UpdateClassPayload",
    "DeleteClassInput",
    "DeleteClassPayload",
    "PageInfo",
];

pub const RESERVED_QUERIES: &[&str] = &["health", "viewer", "class", "classes", "cloudConfig"];

pub const RESERVED_MUTATIONS: &[&str] = &[
    "signUp",
    "logIn",
    "logOut",
    "createFile",
    "callCloudCode",
    "createClass",
    "updateClass",
    "deleteClass",
    "updateCloudConfig",
];

/// `_User` → `User`, `game` → `Game`.
pub fn of_class(class: &ClassName) -> String {
    let name = class.as_str();
    let name = name.strip_prefix('_').unwrap_or(name);
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + chars.as_str(),
        None => String::new(),
    }
}

/// `User` → `user`
pub fn small(name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => first.to_ascii_lowercase().to_string() + chars.as_str(),
        None => String::new(),
    }
}

/// What GraphQL takes for a name.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
