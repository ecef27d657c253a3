//! Names that Parse allows and PostgreSQL has no room for: its own columns, other relations' names, and
//! those that it would cut. Tables themselves may be called as its own, since statements name the schema.

use diesel_async::AsyncPgConnection;

use crate::error::{Error, ErrorCode};
use crate::storage::postgres::sql::Sql;
use crate::storage::{StorageError, StorageResult};
use crate::types::schema::invalid_class_name_message;
use crate::types::{ClassName, FieldName};

/// PostgreSQL cuts longer names without a word, and two classes would share one table.
const MAX_IDENTIFIER: usize = 63;
/// Every table of PostgreSQL has columns of these names already.
const SYSTEM_COLUMNS: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

fn refused(code: ErrorCode, message: String) -> StorageError {
    StorageError::Refused(Error::parse(code, message))
}

/// # Errors
/// 105 for a name that no column can have.
pub fn check_fields<'f>(mut fields: impl Iterator<Item = &'f FieldName>) -> StorageResult<()> {
    match fields.find(|name| name.len() > MAX_IDENTIFIER || SYSTEM_COLUMNS.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(refused(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name: {name}."))),
    }
}

/// Indexes, views and sequences share the tables' names: a class called like one of them cannot be.
///
/// # Errors
/// 103 for a name that no table can have.
pub async fn check_class(conn: &AsyncPgConnection, class: &ClassName) -> StorageResult<()> {
    let invalid = || refused(ErrorCode::INVALID_CLASS_NAME, invalid_class_name_message(class));
    if class.len() > MAX_IDENTIFIER {
        return Err(invalid());
    }
    let mut sql = Sql::new(
        "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'public' AND c.relkind NOT IN ('r', 'p', 'f') AND c.relname = ",
    );
    sql.push_text(class.as_str());
    if sql.load(conn).await?.is_empty() { Ok(()) } else { Err(invalid()) }
}

/// How the names of indexes begin that the server builds by itself.
pub const ON_DEMAND: &str = "parsimony_";

/// An index's name as PostgreSQL can hold it.
pub fn index_name(wanted: String) -> String {
    use sha2::{Digest, Sha256};
    if (1..=MAX_IDENTIFIER).contains(&wanted.len()) {
        return wanted;
    }
    let digest = Sha256::digest(wanted.as_bytes());
    format!("parsimony_index_{}", hex::encode(digest.iter().take(8).copied().collect::<Vec<_>>()))
}

/// Look-ups that parse-server leaves to table scans: by session token, by a user's sessions, by
/// installation.
pub const OWN: &[(&str, &str)] = &[
    ("_Session", "sessionToken"),
    ("_Session", "user"),
    ("_Installation", "installationId"),
    ("_Installation", "deviceToken"),
];

pub fn own_name(class: &str, column: &str) -> String {
    format!("parsimony{class}_{column}")
}

/// Names and columns of our own indexes on this class, for a table that is being made.
pub fn own_of(class: &ClassName) -> impl Iterator<Item = (String, &'static str)> {
    OWN.iter().filter(move |(of, _)| class == *of).map(|(of, column)| (own_name(of, column), *column))
}

/// Name of our index on a join table; hashed, because identifiers end at 63 bytes.
pub fn owner_index(join: &ClassName) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(join.as_str().as_bytes());
    format!("parsimony_owner_{}", hex::encode(&digest[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_column_is_called_as_one_of_postgresqls() {
        let long = "a".repeat(64);
        let refused = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", long.as_str()];
        for name in refused.iter().filter_map(|name| FieldName::valid(name)) {
            assert!(check_fields(std::iter::once(&name)).is_err(), "{name}");
        }
        assert!(check_fields([FieldName::known("oid"), FieldName::known("user")].iter()).is_ok());
    }

    #[test]
    fn index_names_fit() {
        assert_eq!(index_name("by_score".into()), "by_score");
        let (one, other) = (index_name("x".repeat(64)), index_name("x".repeat(65)));
        assert!(one.len() < 64 && one != other && !index_name(String::new()).is_empty());
    }
}
