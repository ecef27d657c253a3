//! What each SQLSTATE means to whoever sent the statement: one table, by code and else by class, with
//! every class that PostgreSQL knows. No mistake of a client may look like a fault of the server.

use crate::error::ErrorCode;

/// What to make of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The connection, or the server behind it, is gone or refuses us.
    Lost,
    /// Another schema than the statement was made for.
    Stale,
    /// Another plan than the statement was prepared for: it did nothing, and works when planned anew.
    Replan,
    /// A unique index refused the row.
    Duplicate,
    /// What was to be made is there already.
    Exists,
    /// The whole transaction may be tried again.
    Conflict,
    /// It ran too long.
    Timeout,
    /// The client asked for what cannot be.
    Mistake(ErrorCode, &'static str),
    /// Of the server, the database or its operator.
    Fault,
}

use Meaning::{Conflict, Duplicate, Exists, Fault, Lost, Mistake, Replan, Stale, Timeout};

const VALUE: Meaning = Mistake(ErrorCode::INVALID_VALUE, "A value is not suitable for what is done with it");
const NUMBER: Meaning = Mistake(ErrorCode::INCORRECT_TYPE, "A number is out of range");
const DATE: Meaning = Mistake(ErrorCode::INCORRECT_TYPE, "A date is out of range");
const TEXT: Meaning = Mistake(ErrorCode::INCORRECT_TYPE, "A text has characters that cannot be stored");
const RULE: Meaning = Mistake(ErrorCode::VALIDATION_ERROR, "The object breaks a rule of the database");
const QUERY: Meaning = Mistake(ErrorCode::INVALID_QUERY, "The query cannot be answered");
const LARGE: Meaning = Mistake(
    ErrorCode::OBJECT_TOO_LARGE,
    "The object, or a value of an indexed field, is larger than the database can store",
);
const COMPLEX: Meaning = Mistake(ErrorCode::INVALID_QUERY, "The request is too complex");
const REGEX: Meaning = Mistake(ErrorCode::INVALID_QUERY, "Invalid regular expression");
const FIELDS: Meaning =
    Mistake(ErrorCode::INVALID_SCHEMA_OPERATION, "The class has as many fields as the database allows");

/// Codes that mean something else than the rest of their class. Sorted.
const CODES: &[(&str, Meaning)] = &[
    ("0A000", Replan),
    ("22003", NUMBER),
    ("22007", DATE),
    ("22008", DATE),
    ("2201B", REGEX),
    ("22021", TEXT),
    ("22P05", TEXT),
    ("23505", Duplicate),
    // The server became read-only: a standby, after another one took over.
    ("25006", Lost),
    ("25P03", Timeout),
    ("25P04", Timeout),
    ("42501", Fault),
    ("42601", QUERY),
    ("42602", QUERY),
    ("42622", QUERY),
    ("42701", Exists),
    ("42704", QUERY),
    ("42710", Exists),
    ("42723", Exists),
    // Two clients of one pooler prepared under the same name.
    ("42P05", Replan),
    ("42P06", Exists),
    ("42P07", Exists),
    ("53300", Lost),
    ("53400", COMPLEX),
    ("54001", COMPLEX),
    ("54011", FIELDS),
    ("54023", COMPLEX),
    ("55000", Fault),
    ("55P02", Fault),
    ("57014", Timeout),
];

/// Every class of PostgreSQL. Sorted.
const CLASSES: &[(&str, Meaning)] = &[
    ("00", Fault),
    ("01", Fault),
    ("02", Fault),
    ("03", Fault),
    ("08", Lost),
    ("09", RULE),
    ("0A", Replan),
    ("0B", Fault),
    ("0F", VALUE),
    ("0L", Fault),
    ("0P", Fault),
    ("0Z", Fault),
    ("10", VALUE),
    ("20", QUERY),
    ("21", QUERY),
    ("22", VALUE),
    // Constraints that the operator made by hand: the schema API knows of none, so no client can keep to them.
    ("23", Fault),
    ("24", Fault),
    ("25", Fault),
    // The prepared statement is not there, as behind a pooler.
    ("26", Replan),
    ("27", RULE),
    ("28", Lost),
    ("2B", Fault),
    ("2D", Fault),
    ("2F", Fault),
    ("34", Fault),
    ("38", Fault),
    ("39", Fault),
    ("3B", Fault),
    ("3D", Lost),
    ("3F", Stale),
    ("40", Conflict),
    // Tables, columns, types and operators: the class changed, or the request never suited it.
    ("42", Stale),
    ("44", RULE),
    ("53", Fault),
    ("54", LARGE),
    ("55", Conflict),
    ("57", Lost),
    ("58", Fault),
    ("72", Conflict),
    ("F0", Fault),
    ("HV", Fault),
    // A rule that the operator wrote as a trigger.
    ("P0", RULE),
    ("XX", Fault),
];

/// `text` is asked only where PostgreSQL has one code for many things: internal errors, which it does
/// not translate.
pub fn meaning(code: &str, text: &str) -> Meaning {
    if code == "XX000" {
        return internal(text);
    }
    if let Ok(at) = CODES.binary_search_by_key(&code, |(code, _)| code) {
        return CODES[at].1;
    }
    let class = code.get(..2).unwrap_or_default();
    CLASSES.binary_search_by_key(&class, |(class, _)| class).map_or(Fault, |at| CLASSES[at].1)
}

fn internal(text: &str) -> Meaning {
    let is = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if is(&["tuple concurrently"]) {
        Conflict
    } else if is(&["cache lookup failed", "could not open relation with OID"]) {
        // The table was dropped or rewritten while the statement was planned.
        Replan
    } else if is(&["invalid memory alloc request size"]) {
        LARGE
    } else {
        Fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(CODES.is_sorted_by_key(|(code, _)| code) && CODES.iter().all(|(code, _)| code.len() == 5));
        assert!(CLASSES.is_sorted_by_key(|(class, _)| class));
    }

    #[test]
    fn codes_before_classes() {
        assert_eq!(meaning("22003", ""), NUMBER);
        assert_eq!(meaning("22012", ""), VALUE);
        assert_eq!(meaning("42P01", ""), Stale);
        assert_eq!(meaning("57P01", ""), Lost);
        assert_eq!(meaning("55P03", ""), Conflict);
        assert_eq!(meaning("40P01", ""), Conflict);
        assert_eq!(meaning("XX000", "tuple concurrently updated"), Conflict);
        assert_eq!(meaning("XX001", ""), Fault);
        assert_eq!(meaning("ZZZZZ", ""), Fault);
        assert_eq!(meaning("", ""), Fault);
    }
}
