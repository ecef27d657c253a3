//! How much of what a client says is taken in. A parser looks at its limit first, while it only scans, and does
//! work that grows no faster than what it read. The limits hold for every caller, the master key included; they
//! are far above what programs need. `docs/security.md` lists them.

use crate::error::{Error, ErrorCode, Result};

/// Names in one of `keys`, `excludeKeys`, `include`, `watch`; include paths with their parents.
pub const MAX_NAMES: usize = 1_000;
/// Bytes of all names of one such list.
pub const MAX_NAMES_BYTES: usize = 128 * MAX_NAMES;
/// Names in `order`.
pub const MAX_SORT_KEYS: usize = 100;
/// Parts of a dotted name in one of these lists.
pub const MAX_NAME_DEPTH: usize = 32;
/// Parts of a dotted key in `where` and in a write.
pub const MAX_PATH_DEPTH: usize = 100;

/// Bytes of a dotted key in `where`, which its conditions repeat in the statement.
pub const MAX_KEY_BYTES: usize = 1_024;

/// Bytes of the cursor that a find goes on behind.
pub const MAX_CURSOR_BYTES: usize = 64 * 1024;
/// Conditions in one `where`: fields, operators, branches of `$or` and its like, members of `$all`.
pub const MAX_CONDITIONS: usize = 5_000;
/// Members of all lists in one `where`: `$in`, `$nin`, `$containedBy`, corners of polygons.
pub const MAX_LISTED: usize = 50_000;
/// Bytes of a `$regex`.
pub const MAX_REGEX_BYTES: usize = 8_192;
/// Bytes of the term of a `$text` search.
pub const MAX_TEXT_BYTES: usize = 4_096;

/// Objects that `Add`, `AddUnique`, `Remove`, `AddRelation` and `RemoveRelation` of one write name together.
pub const MAX_OPERANDS: usize = 50_000;
/// Dotted keys in one write: each is one step of the expression that computes a column.
pub const MAX_DOTTED_CHANGES: usize = 1_000;
/// Parts of all dotted keys in one write: each is a level of the value that such a step takes apart.
pub const MAX_DOTTED_PARTS: usize = 4_000;
/// Relations that one write may add to a class: each is a table of its own.
pub const MAX_NEW_RELATIONS: usize = 100;
/// Columns of a table, as PostgreSQL has it.
pub const MAX_COLUMNS: usize = 1_600;
/// Columns of a table that are no fields of its class: permissions, and what users have besides.
pub const HIDDEN_COLUMNS: usize = 12;
/// Fields of a class.
pub const MAX_FIELDS: usize = MAX_COLUMNS - HIDDEN_COLUMNS;

/// Values in one JSON text: each takes many times its text in memory, `[0,0,…]` most of all.
pub const MAX_VALUES: usize = 1_000_000;

/// Bytes of a multipart boundary (RFC 2046).
pub const MAX_BOUNDARY: usize = 70;
/// Parts of a multipart body.
pub const MAX_PARTS: usize = 1_000;

/// Bytes of the id that a live query goes on from.
pub const MAX_RESUME_BYTES: usize = 512;

/// Parts of a dotted name, found without taking it apart.
pub fn depth_of(name: &str) -> usize {
    1 + name.bytes().filter(|byte| *byte == b'.').count()
}

/// Looks through a comma-separated list, taking nothing apart.
///
/// # Errors
/// 102 for a list that is too long, holds too many names or one of too many parts.
pub fn check_names(parameter: &str, list: &str, most: usize) -> Result<()> {
    if list.len() > MAX_NAMES_BYTES {
        return Err(Error::invalid_query(format!("{parameter} must not exceed {MAX_NAMES_BYTES} bytes")));
    }
    let mut count = 0;
    for name in list.split(',').filter(|name| !name.is_empty()) {
        count += 1;
        if count > most {
            return Err(too_many_names(parameter, most));
        }
        if depth_of(name) > MAX_NAME_DEPTH {
            return Err(Error::invalid_query(format!(
                "A name in {parameter} must not have more than {MAX_NAME_DEPTH} parts"
            )));
        }
    }
    Ok(())
}

/// 102 for a list with more names than `most`.
pub fn too_many_names(parameter: &str, most: usize) -> Error {
    Error::invalid_query(format!("{parameter} must not contain more than {most} names"))
}

/// # Errors
/// 105 for a dotted key of too many parts.
pub fn check_path(key: &str) -> Result<()> {
    if key.len() > 2 * MAX_PATH_DEPTH && depth_of(key) > MAX_PATH_DEPTH {
        let message = format!("A key must not have more than {MAX_PATH_DEPTH} parts");
        return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, message));
    }
    Ok(())
}

/// # Errors
/// 105 for a key of a `where` that is too long or has too many parts.
pub fn check_condition_key(key: &str) -> Result<()> {
    if key.len() > MAX_KEY_BYTES {
        let message = format!("A key must not exceed {MAX_KEY_BYTES} bytes");
        return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, message));
    }
    check_path(key)
}
