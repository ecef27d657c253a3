//! The group about defined schemas.

use crate::config::table::Kind::*;
use crate::config::table::{Group, opt};

/// `schema`.
pub static SCHEMA: Group = Group {
    name: "schema",
    options: &[
        opt("afterMigration", "PARSE_SERVER_SCHEMA_AFTER_MIGRATION", Text, "", "Function called afterwards")
            .callable(),
        opt("beforeMigration", "PARSE_SERVER_SCHEMA_BEFORE_MIGRATION", Text, "", "Function called before")
            .callable(),
        opt("definitions", "PARSE_SERVER_SCHEMA_DEFINITIONS", Object, "[]", "The classes").required(),
        opt(
            "deleteExtraFields",
            "PARSE_SERVER_SCHEMA_DELETE_EXTRA_FIELDS",
            Bool,
            "false",
            "Remove fields that are not defined",
        ),
        opt(
            "keepUnknownIndexes",
            "PARSE_SERVER_SCHEMA_KEEP_UNKNOWN_INDEXES",
            Bool,
            "false",
            "Keep indexes that are not defined",
        ),
        opt(
            "lockSchemas",
            "PARSE_SERVER_SCHEMA_LOCK_SCHEMAS",
            Bool,
            "false",
            "Nothing else may change schemas",
        ),
        opt(
            "recreateModifiedFields",
            "PARSE_SERVER_SCHEMA_RECREATE_MODIFIED_FIELDS",
            Bool,
            "false",
            "Remove and add fields whose type changed",
        ),
        opt("strict", "PARSE_SERVER_SCHEMA_STRICT", Bool, "false", "Warn of what is not as defined"),
    ],
};
